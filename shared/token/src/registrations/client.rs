//! A client as it is registered.

use super::credentials::SecretHashes;
use crate::{
    keys::{Algorithm, AssertionKeys, Kid},
    values::{ClientId, Scope, Seconds},
};

/// RFC 6749 §2.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientType {
    Public,
    Confidential(SecretHashes),
}

/// What the access token is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// RFC 9068.
    Standard,
    /// HS256 with LibreChat's own secret and the claims that LibreChat reads.
    LibreChat,
}

/// What a renewal must bring along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RenewalRequirement {
    /// The refresh token and an access token of the same session, unexpired or within the grace period.
    #[default]
    AccessToken,
    /// The refresh token alone, as plain OAuth has it.
    RefreshToken,
}

/// A client's own renewal settings; `None` means the deployment's.
#[derive(Clone, Debug, Default)]
pub struct RenewalSettings {
    pub requires: RenewalRequirement,
    pub grace_seconds: Option<Seconds>,
    pub window_seconds: Option<Seconds>,
    pub retry_seconds: Option<Seconds>,
}

/// An application that holds tokens and renews them.
#[derive(Clone, Debug)]
pub struct Client {
    pub client_id: ClientId,
    pub(super) client_type: ClientType,
    /// What its own assertions are verified with, if it authenticates by `private_key_jwt`.
    pub(crate) assertion_keys: Option<AssertionKeys>,
    pub profile: Profile,
    pub algorithm: Algorithm,
    /// The signing key by name; always set for HS256.
    pub kid: Option<Kid>,
    pub audience: Vec<String>,
    pub scope: Scope,
    /// Names of the custom claims that an issuer may set.
    pub claims: Vec<String>,
    pub access_token_seconds: Option<Seconds>,
    pub renewal: RenewalSettings,
}

impl Client {
    pub fn client_type(&self) -> &ClientType {
        &self.client_type
    }

    pub fn is_public(&self) -> bool {
        self.client_type == ClientType::Public
    }
}
