//! Registrations and keys: documents in a file or in Secrets Manager, edited as they stand.

mod audit_key;
mod client;
mod document;
mod epochs;
mod issuer;
mod keys;
mod party;
mod place;
mod registrations;
mod secret;

pub(super) use self::{audit_key::AuditKeyLocation, epochs::AllSessions, place::Place};
pub(crate) use self::{client::ClientCommand, issuer::IssuerCommand, keys::KeysCommand};
