#![doc = include_str!("../README.md")]

mod record;
pub mod sdk;
pub mod secrets;
pub mod store;

pub use secrets::{CachedAuthority, SecretText};
pub use store::DynamoDbSessions;
