//! The deployment's policy, and the limits that no setting passes.

use std::iter;

use crate::values::Seconds;

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

/// How long a client's registration of itself is good unless the registrations say otherwise: ninety days.
pub const DYNAMIC_CLIENT_SECONDS: Seconds = 7_776_000;
/// The longest that it may be good: one year.
pub const MAX_DYNAMIC_CLIENT_SECONDS: Seconds = 31_536_000;

/// How long one request may go on ending sessions: well before its caller is given up, so that what is left is told.
pub const ENDING_SECONDS: Seconds = 5;

/// The longest `legacy_max_age_seconds`: ten years.
pub const MAX_LEGACY_AGE_SECONDS: Seconds = 315_360_000;

/// The deployment's settings that decide what is issued and renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `iss`, byte for byte.
    pub issuer: String,
    /// Earlier values of `iss`: access tokens that have one renew and end their sessions, and let nobody in.
    pub previous_issuers: Vec<String>,
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
    /// How long after its renewal a refresh token of a public client may be presented again; 0: never.
    pub retry_public_seconds: Seconds,
    /// The same for confidential clients.
    pub retry_confidential_seconds: Seconds,
    /// Tolerance for the clocks of others when times are verified.
    pub clock_skew_seconds: Seconds,
}

/// The defaults of the contract, for `issuer`.
impl Policy {
    /// Takes `issuer` as it is, byte for byte; every other setting has its default.
    pub fn new(issuer: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            previous_issuers: Vec::new(),
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

    /// Every value that the deployment's `iss` has had, today's first.
    pub(crate) fn issuers(&self) -> impl Iterator<Item = &str> + Clone {
        iter::once(self.issuer.as_str()).chain(self.previous_issuers.iter().map(String::as_str))
    }
}
