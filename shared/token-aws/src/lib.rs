#![doc = include_str!("../README.md")]

mod record;
pub mod sdk;
pub mod secrets;
pub mod store;
pub mod table;

pub use secrets::{CachedAuthority, SecretText};
pub use store::DynamoDbSessions;
