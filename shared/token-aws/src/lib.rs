#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod erasing;
mod record;
pub mod ring_versions;
pub mod sdk;
pub mod secrets;
pub mod store;
pub mod table;

pub use ring_versions::SecretsManagerRing;
pub use secrets::{Cached, CachedDocuments, CachedPublicKeys, DocumentSecrets, PublicKeysSecret, SecretText};
pub use store::DynamoDbSessions;
