//! Registrations and keys: documents in a file or in Secrets Manager, edited as they stand.

mod client;
mod document;
mod epochs;
mod issuer;
mod keys;
mod party;
mod place;
mod registrations;
mod secret;

pub(crate) use self::{client::ClientCommand, issuer::IssuerCommand, keys::KeysCommand};
pub(super) use self::{epochs::AllSessions, place::Place};
