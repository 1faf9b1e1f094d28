#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod documents;
mod erasing;
mod record;
pub mod ring_versions;
pub mod sdk;
pub mod secrets;
pub mod store;
pub mod table;

pub use documents::{CachedDocuments, DocumentSecrets};
pub use ring_versions::SecretsManagerRing;
pub use secrets::{Cached, CachedPublicKeys, PublicKeysSecret, SecretText};
pub use store::DynamoDbSessions;
