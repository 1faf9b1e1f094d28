//! What the demo's pages have in common: who may see them, how they answer, what they remember of a browser, and how their
//! back ends call the service.

mod answers;
mod back_end;
mod sessions;
mod visitors;

pub(super) use self::{
    answers::{escaped, file, html, off_page, other_method, protected, see_other, unavailable},
    back_end::{BackEnd, Called, Tokens},
    sessions::Sessions,
    visitors::{Off, forbidden, is_from_the_page, is_navigation, is_on_this_machine, is_posted_by_the_page, moved, on},
};
