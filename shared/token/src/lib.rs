#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod audit;
pub mod documents;
pub mod failure;
pub mod grants;
pub mod json;
pub mod keys;
pub mod management;
pub mod metadata;
pub mod policy;
pub mod ports;
pub mod registrations;
pub mod rotation;
pub mod routes;
pub mod session;

pub mod sign_in;
pub mod tickets;
pub mod tokens;
pub mod values;

#[cfg(test)]
mod testing;
