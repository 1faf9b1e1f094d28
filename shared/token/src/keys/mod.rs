//! Keys: which there are, when each is in use, and their parsed forms.

mod algorithm;
mod assertion_keys;
mod audit_key;
mod of_tag_key;
mod parsed;
mod pkcs8;
mod public;
mod reader;
mod ring;
mod verification;

pub use self::{
    algorithm::{Algorithm, MIN_HMAC_BYTES, MIN_RSA_BITS},
    assertion_keys::{AssertionKeys, KeySet},
    audit_key::AuditKey,
    of_tag_key::RegistrationKey,
    pkcs8::thumbprint,
    public::PublicKeys,
    ring::{KeyRing, Kid, NOT_YET, Signer, SigningKey, TagKey},
};
pub(crate) use self::{
    assertion_keys::{NoKey, SecretHash, secret_bytes},
    of_tag_key::{registration_secret, ticket_secret},
    verification::{only, value_of},
};
