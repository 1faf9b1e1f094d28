//! Registrations and keys: documents in a file or in Secrets Manager, edited as they stand.

mod client;
mod document;
mod issuer;
mod key_ring;
mod keys;
mod party;
mod place;
mod registrations;
mod secret;

pub(super) use self::place::Place;
pub(crate) use self::{client::ClientCommand, issuer::IssuerCommand, keys::KeysCommand};
