//! Registrations: which issuers and clients there are, and what each may do.

mod all;
mod client;
mod client_policy;
mod credentials;
mod dynamic;
mod epochs;
mod faulty;
mod issuer;
mod reader;
mod recognising;
mod sign_in;

pub(crate) use self::epochs::epoch_unreadable;
pub use self::{
    all::Registrations,
    client::{Client, ClientType, ExchangeTarget, Pkce, Profile, RenewalRequirement, RenewalSettings},
    client_policy::ClientPolicy,
    credentials::{Credentials, SecretHashes},
    dynamic::{AuthenticationMethod, DynamicClients, MAX_REDIRECTS, RegisteredId},
    epochs::{EpochVerdict, Epochs, MAX_ISSUER_EPOCHS},
    issuer::{AssertionRules, Issuer},
};
