#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod documents;
mod erasing;
mod record;
pub mod ring_versions;
pub mod sdk;
pub mod secrets;
pub mod sign_in;
pub mod store;
pub mod table;
pub mod verification;

pub use documents::{CachedDocuments, DocumentSecrets};
pub use ring_versions::{RingSecrets, SecretsManagerRing};
pub use secrets::{Cached, Document, SecretText};
pub use sign_in::CachedSignInDocuments;
pub use store::DynamoDbSessions;
pub use verification::{CachedPublicKeys, CachedVerifyingDocuments};
