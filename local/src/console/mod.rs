//! The terminal: arguments, tables, progress, failures.

mod arguments;
mod failure;
mod output;
pub(crate) mod progress;
mod table;
mod waiting;

pub(crate) use self::{
    arguments::{Moment, NamedSession, client_id, issuer_id, moment, named_session, subject},
    failure::Failure,
    output::{print, reveal},
    table::table,
    waiting::block_on,
};
