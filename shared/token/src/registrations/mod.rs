//! Registrations: which issuers and clients there are, and what each may do.

mod all;
mod client;
mod client_policy;
mod credentials;
mod issuer;
mod reader;

pub use self::{
    all::Registrations,
    client::{Client, ClientType, Profile, RenewalRequirement, RenewalSettings},
    client_policy::ClientPolicy,
    credentials::{Credentials, SecretHashes},
    issuer::{AssertionRules, Issuer},
};
