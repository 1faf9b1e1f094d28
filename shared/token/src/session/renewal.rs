//! A renewal of a session: what was presented, and what is to be written in its place.

use super::record::{Predecessor, Session};
use crate::{
    tokens::{SealedSuccessor, SecretHash},
    values::{ClientId, Generation, Seconds, SessionKey, Timestamp},
};

/// An authentic refresh token as the decision sees it.
#[derive(Clone, Debug)]
pub struct Presented {
    pub client_id: ClientId,
    pub generation: Generation,
    pub secret_hash: SecretHash,
    /// The audience of the access token that came along: it must be the session's.
    pub audience: Option<Vec<String>>,
    /// Hash of the successor that this very invocation has drawn, once it may have been written.
    pub candidate: Option<SecretHash>,
}

/// The successor of the presented refresh token, drawn once per invocation.
#[derive(Clone, Debug)]
pub struct Successor {
    pub generation: Generation,
    pub secret_hash: SecretHash,
    pub tag_kid: u8,
    pub sealed: SealedSuccessor,
}

/// One renewal, ready to be written in one conditional update without a read.
#[derive(Clone, Debug)]
pub struct Renewal {
    pub key: SessionKey,
    pub presented: Presented,
    pub rules: RenewalRules,
    pub now: Timestamp,
    pub successor: Successor,
    pub access_expires_at: Timestamp,
    pub idle_expires_at: Timestamp,
}

/// The two settings that the decision depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenewalRules {
    /// How long the predecessor may be presented again; 0: never.
    pub retry_seconds: Seconds,
    /// Renewal opens this long before the access token expires; 0: always open.
    pub window_seconds: Seconds,
}

impl Session {
    /// The record after `renewal` has been written.
    pub fn renewed(&self, renewal: &Renewal) -> Self {
        Self {
            generation: renewal.successor.generation,
            tag_kid: renewal.successor.tag_kid,
            secret_hash: renewal.successor.secret_hash,
            predecessor: Some(Predecessor {
                secret_hash: renewal.presented.secret_hash,
                sealed_successor: renewal.successor.sealed.clone(),
            }),
            rotated_at: renewal.now,
            access_expires_at: renewal.access_expires_at,
            idle_expires_at: renewal.idle_expires_at,
            ..self.clone()
        }
    }
}
