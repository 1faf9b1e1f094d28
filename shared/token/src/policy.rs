//! The deployment's policy, and what a client's registration makes of it.

use crate::{
    registry::{Client, ClientType, RenewalRequirement},
    time::{Seconds, Timestamp},
};

/// Longest life of an access token, from `iat` to `exp`: seven days.
pub const MAX_ACCESS_TOKEN_SECONDS: Seconds = 604_800;
/// Longest grace period and renewal window: seven days.
pub const MAX_GRACE_SECONDS: Seconds = 604_800;
/// Longest idle time and longest session: one year.
pub const MAX_SESSION_SECONDS: Seconds = 31_536_000;
/// Longest retry time of a public client, for whom a stolen refresh token is all that a thief needs.
pub const MAX_RETRY_PUBLIC_SECONDS: Seconds = 300;
/// Longest retry time of a confidential client: a day.
pub const MAX_RETRY_CONFIDENTIAL_SECONDS: Seconds = 86_400;
/// How far ahead of our clock an access token's `iat` may lie (FAPI 2.0: accept 10 s, refuse more than 60 s).
pub const MAX_IAT_AHEAD_SECONDS: Seconds = 60;

/// The deployment's settings that decide what is issued and renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `iss`, byte for byte.
    pub issuer: String,
    /// Life of an access token unless the client's registration says otherwise.
    pub access_token_seconds: Seconds,
    /// How long after `exp` an access token may still be presented for renewal.
    pub grace_seconds: Seconds,
    /// Renewal opens this long before the access token expires; 0: always open.
    pub window_seconds: Seconds,
    /// A session unused this long ends.
    pub idle_seconds: Seconds,
    /// A session never outlives this.
    pub absolute_seconds: Seconds,
    pub retry_public_seconds: Seconds,
    pub retry_confidential_seconds: Seconds,
    /// Tolerance for the clocks of others when times are verified.
    pub clock_skew_seconds: Seconds,
}

/// The defaults of the contract, for `issuer`.
impl Policy {
    pub fn new(issuer: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            access_token_seconds: 86_400,
            grace_seconds: 0,
            window_seconds: 0,
            idle_seconds: 604_800,
            absolute_seconds: 2_592_000,
            retry_public_seconds: 60,
            retry_confidential_seconds: 86_400,
            clock_skew_seconds: 0,
        }
    }

    /// What holds for `client` today.
    pub fn for_client(&self, client: &Client) -> ClientPolicy {
        let retry_seconds = match client.client_type() {
            ClientType::Public => self.retry_public_seconds,
            ClientType::Confidential(_) => self.retry_confidential_seconds,
        };
        ClientPolicy {
            requires: client.renewal.requires,
            access_token_seconds: client.access_token_seconds.unwrap_or(self.access_token_seconds),
            grace_seconds: client.renewal.grace_seconds.unwrap_or(self.grace_seconds),
            window_seconds: client.renewal.window_seconds.unwrap_or(self.window_seconds),
            retry_seconds: client.renewal.retry_seconds.unwrap_or(retry_seconds),
            idle_seconds: self.idle_seconds,
            clock_skew_seconds: self.clock_skew_seconds,
        }
    }
}

/// The deployment's policy with a client's own settings applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientPolicy {
    pub requires: RenewalRequirement,
    pub access_token_seconds: Seconds,
    pub grace_seconds: Seconds,
    /// 0: always open.
    pub window_seconds: Seconds,
    pub retry_seconds: Seconds,
    pub idle_seconds: Seconds,
    pub clock_skew_seconds: Seconds,
}

impl ClientPolicy {
    /// Until when an access token that expires at `exp` (Unix seconds) may be presented for renewal.
    pub fn renewable_until(&self, exp: i64) -> Timestamp {
        Timestamp::from_unix_seconds(exp).plus(self.grace_seconds).plus(self.clock_skew_seconds)
    }
}
