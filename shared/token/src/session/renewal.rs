//! A renewal of a session: what was presented, and what is to be written in its place.

use super::record::{Predecessor, Session, SignIn};
use crate::{
    registrations::Epochs,
    tokens::{CodeBinding, SealedSuccessor, SecretHash},
    values::{ClientId, Generation, Seconds, SessionKey, Timestamp},
};

/// An authentic refresh token or code as the decision sees it.
#[derive(Clone, Debug)]
pub struct Presented {
    /// The client that the token's tag was verified for.
    pub client_id: ClientId,
    /// The generation that the token states.
    pub generation: Generation,
    /// Hash of the token's secret.
    pub secret_hash: SecretHash,
    /// Hash of the successor that this very invocation has drawn, once it may have been written.
    pub candidate: Option<SecretHash>,
    /// What came along with a code; `None`: the token is a refresh token.
    pub binding: Option<CodeBinding>,
}

/// The successor of the presented refresh token, drawn once per invocation.
#[derive(Clone, Debug)]
pub struct Successor {
    /// One more than the presented token's.
    pub generation: Generation,
    /// Hash of its secret.
    pub secret_hash: SecretHash,
    /// The number of the tag key that makes its tag.
    pub tag_kid: u8,
    /// Its secret, readable only with the presented token's.
    pub sealed: SealedSuccessor,
}

/// One renewal, ready to be written in one conditional update without a read.
#[derive(Clone, Debug)]
pub struct Renewal {
    /// The session that is renewed.
    pub key: SessionKey,
    /// The refresh token that must be current for the write to take place.
    pub presented: Presented,
    /// The client's settings and epochs. All but the retry time are part of the write's condition.
    pub rules: RenewalRules,
    /// The time of the renewal. The expiry times are compared with it, and it becomes `rotated_at`.
    pub now: Timestamp,
    /// What takes the presented token's place.
    pub successor: Successor,
    /// When the new access token expires; never after the absolute expiry.
    pub access_expires_at: Timestamp,
    /// When the session ends if nobody renews it again; never after the absolute expiry.
    pub idle_expires_at: Timestamp,
}

/// What the decision depends on besides record, token and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewalRules {
    /// How long the predecessor may be presented again; 0: never.
    pub retry_seconds: Seconds,
    /// Renewal opens this long before the access token expires; 0: always open.
    pub window_seconds: Seconds,
    /// Sessions that were issued earlier are over.
    pub epochs: Epochs,
}

impl Session {
    /// The record after `renewal` has been written.
    pub fn renewed(&self, renewal: &Renewal) -> Self {
        let is_exchange = renewal.presented.binding.is_some();
        let after_the_first = |sign_in: SignIn| SignIn { nonce: None, resource: Vec::new(), ..sign_in };
        let sign_in = self.sign_in.clone();
        Self {
            sign_in: if is_exchange { sign_in } else { sign_in.map(after_the_first) },
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
