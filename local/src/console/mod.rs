//! The terminal: arguments, tables, progress, failures.

mod arguments;
mod failure;
mod output;
pub(crate) mod progress;
mod table;
mod waiting;

pub(crate) use self::{
    arguments::{Moment, client_id, issuer_id, moment, session_key, subject},
    failure::Failure,
    output::{print, reveal},
    table::table,
    waiting::block_on,
};
