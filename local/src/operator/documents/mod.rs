//! Registrations and keys: documents in a file or in Secrets Manager, edited as they stand.

mod audit_key;
mod document;
mod keys;
mod place;
mod registrations;
mod secret;

pub(super) use self::{audit_key::AuditKeyLocation, place::Place, registrations::AllSessions};
pub(crate) use self::{
    keys::KeysCommand,
    registrations::{ClientCommand, DynamicClientsCommand, IssuerCommand},
};
