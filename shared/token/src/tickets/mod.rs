//! What a sign-in is on its way through the browser: the ticket to the portal, the answer back. Both are sealed, so nothing
//! is stored of either.

mod answer;
mod browser;
mod keys;
mod sealed;
mod ticket;

pub use self::{
    answer::{ANSWER_SECONDS, Answer, Verdict},
    browser::{Browser, BrowserHash},
    keys::{SealPurpose, TICKET_SALT_BYTES, TicketKey, TicketKeys},
    sealed::{ANSWER_PREFIX, TICKET_PREFIX},
    ticket::{TICKET_SECONDS, Ticket},
};
