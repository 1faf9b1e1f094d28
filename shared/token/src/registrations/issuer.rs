//! An issuer as it is registered.

use super::credentials::SecretHashes;
use crate::{
    keys::AssertionKeys,
    values::{ClientId, IssuerId, Seconds, Timestamp, WebUrl},
};

/// An external system that may issue tokens for its clients' subjects.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// The id as it was registered; no other issuer has it.
    pub issuer_id: IssuerId,
    pub(super) secrets: SecretHashes,
    /// How its assertions are verified, if it may issue by assertion (RFC 7523 §2.1).
    pub(crate) assertions: Option<AssertionRules>,
    /// The clients that it may act for; each of them is registered.
    pub clients: Vec<ClientId>,
    /// Where browsers go to sign in: a page of the external system. `None`: nobody signs in there.
    pub sign_in_url: Option<WebUrl>,
    /// Where browsers go to sign out of the external system as well.
    pub sign_out_url: Option<WebUrl>,
    /// Answered as if it were unknown. Its sessions go on unless their epoch says otherwise.
    pub is_disabled: bool,
    /// Its sessions that were issued earlier are over; `None`: none of them for that reason.
    pub sessions_not_before: Option<Timestamp>,
}

impl Issuer {
    /// Whether it has a page where users of `client` sign in, and may act for it.
    pub fn signs_in_users_of(&self, client: &ClientId) -> bool {
        self.sign_in_url.is_some() && self.clients.contains(client)
    }
}

/// What an issuer's assertions must be like: its registration.
#[derive(Clone, Debug)]
pub struct AssertionRules {
    pub(crate) keys: AssertionKeys,
    /// `iss`, byte for byte.
    pub(crate) iss: String,
    /// `aud`, byte for byte, alone or as the only one of a list.
    pub(crate) aud: Option<String>,
    /// The claim that names the user.
    pub(crate) subject_claim: String,
    /// Waives `exp` and `aud` where they are missing, for tokens no older than this by `iat`.
    pub(crate) legacy_max_age_seconds: Option<Seconds>,
    /// Assertions that were made earlier by `iat`, or do not say when, are refused.
    pub(crate) not_before: Option<Timestamp>,
    /// The only clients of the issuer that assertions are good for; `None`: all of them.
    pub(crate) clients: Option<Vec<ClientId>>,
}
