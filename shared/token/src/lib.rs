#![doc = include_str!("../README.md")]

pub mod access_token;
pub mod assertion;
pub mod audit;
pub mod authority;
pub mod authorize;
pub mod caller;
pub mod claims;
pub mod document;
pub mod identity;
pub mod introspect;
pub mod issue;
pub mod json;
mod jwt;
pub mod keys;
pub mod metadata;
pub mod mint;
pub mod policy;
pub mod ports;
mod prepared;
mod presented;
pub mod refresh_token;
pub mod refusal;
pub mod registry;
pub mod renew;
pub mod revoke;
pub mod rotation;
pub mod scope;
pub mod seal;
pub mod session;
pub mod sessions;
pub mod time;

#[cfg(test)]
mod testing;
