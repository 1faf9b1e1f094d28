//! The registrations: clients and issuers, and the commands that edit them.

mod client;
mod dynamic;
mod edits;
mod epochs;
mod exchange;
mod issuer;
mod key_set;
mod party;
mod sign_in;

pub(super) use self::edits::Party;
pub(crate) use self::{
    client::ClientCommand, dynamic::DynamicClientsCommand, epochs::AllSessions, issuer::IssuerCommand,
};
