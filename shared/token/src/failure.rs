//! How a use case fails: the caller's fault, or the infrastructure's.

use crate::values::Timestamp;

/// A request that is answered with an error of its own making. What the caller may know; the precise cause is in the
/// audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Malformed, incomplete or contradictory; the text says what to mend.
    InvalidRequest(String),
    /// Unknown or unauthenticated issuer or client.
    InvalidClient,
    /// The refresh token or access token is not good for a renewal; nothing more is said.
    InvalidGrant,
    /// A scope that the client's registration does not allow, or malformed.
    InvalidScope {
        /// The names that are not allowed, as far as they may be repeated to the caller ([`Scope::unregistered`]).
        ///
        /// [`Scope::unregistered`]: crate::values::Scope::unregistered
        unregistered: Vec<String>,
    },
    /// This issuer may not act for that client.
    UnauthorizedClient,
    /// This client may not exchange tokens: it is public, or its tokens are of HS256.
    MayNotExchange,
    /// A target (RFC 8693 `audience`, RFC 8707 `resource`) that is not registered for this client.
    InvalidTarget,
    /// `grant_type` names something else than what this endpoint does.
    UnsupportedGrantType {
        /// What it may name; it may also be left out.
        supported: &'static [&'static str],
    },
    /// At registration: the addresses are none, or none that a client may register for; the text says what to mend.
    InvalidRedirectUri(&'static str),
    /// At registration: metadata that this service does not do; the text says what to mend.
    InvalidClientMetadata(&'static str),
    /// Too early: renewal opens at this time.
    WindowClosed {
        /// Rounded up to a full second.
        opens_at: Timestamp,
        /// Seconds from now until then, rounded up: the header `Retry-After`.
        retry_after_seconds: u32,
    },
}

/// Why a use case gave no tokens: the caller's fault, or the infrastructure's.
#[derive(Debug, Clone)]
pub enum Failure {
    /// The caller's fault: the answer is 400 or 401 with an error code of RFC 6749 §5.2.
    Refused(Refusal),
    /// The infrastructure's fault: the answer is 503, and the same request may be sent again.
    Unavailable(Unavailable),
    /// The same after a write whose outcome is not known and which the same request could not repeat: an assertion that
    /// may be used once may be used up.
    Unrepeatable(Unavailable),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Unavailable> for Failure {
    fn from(unavailable: Unavailable) -> Self {
        Self::Unavailable(unavailable)
    }
}

/// The store, the key source or the machine's randomness did not do its part. Never the caller's fault, never a
/// reason to end a session.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{what}: {detail}")]
pub struct Unavailable {
    /// What is missing, for the operator.
    pub what: &'static str,
    /// What it said. Holds no secret.
    pub detail: String,
}

impl Unavailable {
    /// `what` is also the `reason` of a metric, so it is one of few words. Neither text may hold a secret.
    pub fn new(what: &'static str, detail: impl Into<String>) -> Self {
        Self { what, detail: detail.into() }
    }
}
