//! Audit events: what happened to whom, never a token, a secret or a live hash.

use super::reason::Reason;
use crate::values::{ClientId, Generation, IssuerId, SessionKey, Subject};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    TokenIssued,
    TokenRenewed,
    TokenRetried,
    RenewalRejected,
    TokenExpired,
    ReuseDetected,
    ClientRejected,
    StateMismatch,
    KeysRotated,
    SessionRevoked,
    AccessDenied,
}

impl EventKind {
    /// Every kind, in the order of a session's life; what can go wrong with it last.
    pub const ALL: [Self; 11] = [
        Self::TokenIssued,
        Self::TokenRenewed,
        Self::TokenRetried,
        Self::TokenExpired,
        Self::SessionRevoked,
        Self::KeysRotated,
        Self::RenewalRejected,
        Self::ClientRejected,
        Self::AccessDenied,
        Self::ReuseDetected,
        Self::StateMismatch,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::TokenIssued => "token_issued",
            Self::TokenRenewed => "token_renewed",
            Self::TokenRetried => "token_retried",
            Self::RenewalRejected => "renewal_rejected",
            Self::TokenExpired => "token_expired",
            Self::ReuseDetected => "reuse_detected",
            Self::ClientRejected => "client_rejected",
            Self::StateMismatch => "state_mismatch",
            Self::KeysRotated => "keys_rotated",
            Self::SessionRevoked => "session_revoked",
            Self::AccessDenied => "access_denied",
        }
    }

    /// Whether an operator should look: theft, or a record that contradicts an authentic token.
    pub const fn is_alarming(self) -> bool {
        matches!(self, Self::ReuseDetected | Self::StateMismatch)
    }
}

/// One line of the audit trail. What is not known is left out.
#[derive(Clone, Debug)]
pub struct Event {
    pub kind: EventKind,
    pub client_id: Option<String>,
    pub issuer_id: Option<String>,
    /// The first 16 hex digits of SHA-256(sid).
    pub session: Option<String>,
    /// The first 16 hex digits of SHA-256(subject).
    pub subject_hash: Option<String>,
    pub jti: Option<String>,
    pub generation: Option<u32>,
    /// Precise here, though every refusal looks the same from outside.
    pub reason: Option<Reason>,
    /// Seconds until the access token concerned expires: at issue the new one, at renewal the one presented;
    /// negative once it has.
    pub seconds_to_expiry: Option<i64>,
    /// Whether the access token presented was in its grace period.
    pub in_grace: Option<bool>,
}

impl Event {
    pub const fn new(kind: EventKind) -> Self {
        Self {
            kind,
            client_id: None,
            issuer_id: None,
            session: None,
            subject_hash: None,
            jti: None,
            generation: None,
            reason: None,
            seconds_to_expiry: None,
            in_grace: None,
        }
    }

    pub fn because(mut self, reason: Reason) -> Self {
        self.reason = Some(reason);
        self
    }

    pub fn client(mut self, client: &ClientId) -> Self {
        self.client_id = Some(client.as_str().to_owned());
        self
    }

    pub fn issuer(mut self, issuer: &IssuerId) -> Self {
        self.issuer_id = Some(issuer.as_str().to_owned());
        self
    }

    pub fn session(mut self, session: &SessionKey, generation: Generation) -> Self {
        self.session = Some(session.audit_name());
        self.generation = Some(generation.number());
        self
    }

    pub fn subject(mut self, subject: &Subject) -> Self {
        self.subject_hash = Some(subject.audit_name());
        self
    }
}
