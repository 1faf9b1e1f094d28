#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod record;
pub mod ring_versions;
pub mod sdk;
pub mod secrets;
pub mod store;
pub mod table;
pub mod verification;

pub use ring_versions::{RingSecrets, SecretsManagerRing};
pub use secrets::{Cached, CachedDocuments, DocumentSecrets, SecretText};
pub use store::DynamoDbSessions;
pub use verification::{CachedPublicKeys, CachedVerifyingDocuments, PublicKeysSecret, VerifyingDocumentSecrets};
