#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod derived;
mod documents;
mod erasing;
mod record;
pub mod ring_versions;
pub mod sdk;
pub mod secrets;
pub mod store;
pub mod table;

pub use derived::{CachedPublicKeys, CachedSignInDocuments, CachedVerifyingDocuments};
pub use documents::{CachedDocuments, DocumentSecrets};
pub use ring_versions::{RingSecrets, SecretsManagerRing};
pub use secrets::{Cached, Document, SecretText};
pub use store::DynamoDbSessions;
