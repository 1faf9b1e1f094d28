//! Audit events: what happened to whom, never a token, a secret or a live hash.
//!
//! To add one: a variant, its place in [`EventKind::ALL`], and its metric in docs/monitoring.md.

use super::reason::Reason;
use crate::values::{ClientId, Generation, IssuerId, SessionKey};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// `sign_in_started`: a browser was sent to the portal with a ticket. Counted, not written.
    SignInStarted,
    /// `sign_in_accepted`: the portal has said who has signed in; a code waits for its exchange.
    SignInAccepted,
    /// `sign_in_rejected`: a sign-in came to nothing: its request, ticket or answer was refused, or the portal has rejected
    /// it.
    SignInRejected,
    /// `token_issued`: a session was created and its first tokens were given out.
    TokenIssued,
    /// `token_renewed`: a renewal was written and its tokens were given out.
    TokenRenewed,
    /// `token_exchanged`: a client was given a token to act for a user at a target.
    TokenExchanged,
    /// `token_retried`: a refresh token came again within the retry time and got the same successor.
    TokenRetried,
    /// `renewal_rejected`: a renewal was refused for a reason that has no event of its own.
    RenewalRejected,
    /// `token_expired`: a renewal was refused because the access token or the session had expired.
    TokenExpired,
    /// `reuse_detected`: a replaced refresh token came again and was no permitted retry: theft. Recorded even if the
    /// session could not be ended.
    ReuseDetected,
    /// `client_registered`: a client has registered itself. Nothing of it is stored: this line is all that tells of it.
    ClientRegistered,
    /// `client_rejected`: the request of an issuer or a client was refused: the caller is unknown or not
    /// authenticated, or it may not do this.
    ClientRejected,
    /// `state_mismatch`: the record contradicts an authentic refresh token, or its seal does not open.
    StateMismatch,
    /// `keys_rotated`: a rotation was finished and a new version of the key ring is in force.
    KeysRotated,
    /// `session_revoked`: an issuer, a client or an operator ended a session.
    SessionRevoked,
    /// `document_fault`: a document has been read that has faults, or is none. Not about a request.
    DocumentFault,
    /// `access_denied`: the authorizer, introspection or revocation did not accept a token.
    AccessDenied,
}

impl EventKind {
    /// Every kind, in the order of a session's life; what can go wrong with it last.
    pub const ALL: [Self; 17] = [
        Self::SignInStarted,
        Self::SignInAccepted,
        Self::TokenIssued,
        Self::TokenRenewed,
        Self::TokenRetried,
        Self::TokenExchanged,
        Self::TokenExpired,
        Self::SessionRevoked,
        Self::ClientRegistered,
        Self::KeysRotated,
        Self::SignInRejected,
        Self::RenewalRejected,
        Self::ClientRejected,
        Self::AccessDenied,
        Self::ReuseDetected,
        Self::StateMismatch,
        Self::DocumentFault,
    ];

    /// The word for it in audit lines (`event`) and the name of its metric.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SignInStarted => "sign_in_started",
            Self::SignInAccepted => "sign_in_accepted",
            Self::SignInRejected => "sign_in_rejected",
            Self::TokenIssued => "token_issued",
            Self::TokenRenewed => "token_renewed",
            Self::TokenRetried => "token_retried",
            Self::TokenExchanged => "token_exchanged",
            Self::RenewalRejected => "renewal_rejected",
            Self::TokenExpired => "token_expired",
            Self::ReuseDetected => "reuse_detected",
            Self::ClientRegistered => "client_registered",
            Self::ClientRejected => "client_rejected",
            Self::StateMismatch => "state_mismatch",
            Self::KeysRotated => "keys_rotated",
            Self::SessionRevoked => "session_revoked",
            Self::AccessDenied => "access_denied",
            Self::DocumentFault => "document_fault",
        }
    }

    /// Whether the event is counted and has no line: whatever strangers cause any number of.
    pub const fn is_counted_only(self) -> bool {
        matches!(self, Self::SignInStarted)
    }

    /// Whether an operator should look: theft, a record that contradicts an authentic token, or a faulty document.
    pub const fn is_alarming(self) -> bool {
        matches!(self, Self::ReuseDetected | Self::StateMismatch | Self::DocumentFault)
    }
}

/// One line of the audit trail. What is not known is left out.
#[derive(Clone, Debug)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The client that the event is about; never an id that a caller only claims.
    pub client_id: Option<String>,
    /// The issuer that asked, or that issued the session; never an id that a caller only claims.
    pub issuer_id: Option<String>,
    /// The first 16 hex digits of SHA-256(sid).
    pub session: Option<String>,
    /// The first 16 hex digits of HMAC-SHA256(audit key, subject); left out while there is no audit key.
    pub subject_hash: Option<String>,
    /// `jti` of the access token concerned: the new one at issue and renewal, the one presented at the authorizer.
    pub jti: Option<String>,
    /// Generation of the refresh token concerned: the new one, or the one presented where there is no new one.
    pub generation: Option<u32>,
    /// Precise here, though every refusal looks the same from outside.
    pub reason: Option<Reason>,
    /// Seconds until the access token concerned expires: at issue the new one, at renewal the one presented;
    /// negative once it has.
    pub seconds_to_expiry: Option<i64>,
    /// Whether the access token presented was in its grace period.
    pub in_grace: Option<bool>,
    /// How many addresses a client has registered for.
    pub redirect_uris: Option<usize>,
}

impl Event {
    /// An event of which nothing but the kind is known.
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
            redirect_uris: None,
        }
    }

    /// The event with its reason.
    pub fn because(mut self, reason: Reason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// The event with the client's id.
    pub fn client(mut self, client: &ClientId) -> Self {
        self.client_id = Some(client.as_str().to_owned());
        self
    }

    /// The event with the issuer's id.
    pub fn issuer(mut self, issuer: &IssuerId) -> Self {
        self.issuer_id = Some(issuer.as_str().to_owned());
        self
    }

    /// The event with the generation and with the session's name for the audit trail ([`SessionKey::audit_name`]).
    pub fn session(mut self, session: &SessionKey, generation: Generation) -> Self {
        self.session = Some(session.audit_name());
        self.generation = Some(generation.number());
        self
    }

    /// The event with the subject's name for the audit trail
    /// ([`KeyRing::audit_name`](crate::keys::KeyRing::audit_name)), if there is one.
    pub fn subject(mut self, audit_name: Option<String>) -> Self {
        self.subject_hash = audit_name;
        self
    }
}
