//! The session record.

use crate::{
    audit::Reason,
    tokens::{AuthenticAccessToken, SealedSuccessor, SecretHash},
    values::{ClientId, CustomClaims, Generation, IssuerId, Scope, Seconds, SessionKey, Subject, Timestamp},
};

/// How long after its absolute expiry a record may be deleted.
const DELETION_DELAY_SECONDS: Seconds = 86_400;

/// What lives from issue to logout or absolute expiry; one record.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// The record's primary key.
    pub key: SessionKey,
    /// The user that the session is for.
    pub subject: Subject,
    /// The client that the tokens are for; only this client can renew.
    pub client_id: ClientId,
    /// The issuer that created the session.
    pub issuer_id: IssuerId,
    /// What was granted at issue; a renewal never widens it.
    pub scope: Scope,
    /// `aud` of its access tokens, as the client was registered at issue.
    pub audience: Vec<String>,
    /// The custom claims that were given at issue.
    pub claims: CustomClaims,
    /// Life of its access tokens in seconds, as fixed at issue.
    pub access_token_seconds: Seconds,
    /// Generation of the current refresh token.
    pub generation: Generation,
    /// Which tag key made the current refresh token's tag.
    pub tag_kid: u8,
    /// Hash of the current refresh token's secret.
    pub secret_hash: SecretHash,
    /// What the last renewal left behind; none before the first.
    pub predecessor: Option<Predecessor>,
    /// When the session was created.
    pub issued_at: Timestamp,
    /// When the session was last renewed; before the first renewal, when it was created.
    pub rotated_at: Timestamp,
    /// When the access token of the last issue or renewal expires; never after the absolute expiry.
    pub access_expires_at: Timestamp,
    /// When the session ends if nobody renews it; never after the absolute expiry.
    pub idle_expires_at: Timestamp,
    /// When the session ends at the latest; no renewal moves it.
    pub absolute_expires_at: Timestamp,
    /// When and why the session was ended; `None` while nobody has ended it.
    pub revocation: Option<Revocation>,
}

/// The generation before the current one, for as long as it may be retried.
#[derive(Clone, Debug, PartialEq)]
pub struct Predecessor {
    /// Hash of the previous refresh token's secret.
    pub secret_hash: SecretHash,
    /// The current refresh token's secret, readable only with the previous one's.
    pub sealed_successor: SealedSuccessor,
}

/// When and why a session was ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Revocation {
    /// When the session was ended.
    pub at: Timestamp,
    /// Why, in the audit trail's word: usually [`Reason::name`].
    pub reason: String,
}

impl Revocation {
    /// An end at `at`, in the audit trail's word for the reason.
    pub fn new(at: Timestamp, reason: Reason) -> Self {
        Self { at, reason: reason.name().to_owned() }
    }
}

impl Session {
    /// When the session ends if nobody renews it.
    pub fn ends_at(&self) -> Timestamp {
        self.idle_expires_at.min(self.absolute_expires_at)
    }

    /// Neither revoked nor over.
    pub fn is_live_at(&self, now: Timestamp) -> bool {
        self.revocation.is_none() && now < self.ends_at()
    }

    /// Whether an access token of this session is still backed by it: not revoked, before the absolute expiry. The idle
    /// time ends renewals, not tokens that are out. A token that says more than its session is none of ours: LibreChat
    /// knows the secret of its HS256 key.
    pub fn is_live_for(&self, token: &AuthenticAccessToken, now: Timestamp) -> bool {
        let is_of_it = self.client_id == token.client_id
            && self.audience == token.audience
            && token.scope.split_ascii_whitespace().all(|name| self.scope.contains(name));
        is_of_it && self.revocation.is_none() && now < self.absolute_expires_at
    }

    /// `exp` of the access token of the last issue or renewal, in Unix seconds.
    pub fn access_token_exp(&self) -> i64 {
        self.access_expires_at.min(self.absolute_expires_at).unix_seconds()
    }

    /// When the table may delete the record, in Unix seconds. A hint, never trusted.
    pub fn deletable_at(&self) -> i64 {
        self.absolute_expires_at.plus(DELETION_DELAY_SECONDS).unix_seconds()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOW, session};

    #[test]
    fn a_session_is_live_until_it_is_revoked_or_one_of_its_times_comes() {
        let live = session(3);
        let end = NOW.plus(10);
        let before = Timestamp::from_unix_millis(end.unix_millis() - 1);
        for record in
            [Session { idle_expires_at: end, ..live.clone() }, Session { absolute_expires_at: end, ..live.clone() }]
        {
            assert_eq!(record.ends_at(), end);
            assert!(record.is_live_at(before) && !record.is_live_at(end) && !record.is_live_at(end.plus(1)));
        }
        let revoked = Session { revocation: Some(Revocation { at: NOW, reason: "logout".into() }), ..live.clone() };
        assert!(live.is_live_at(NOW) && !revoked.is_live_at(NOW));
    }

    #[test]
    fn an_access_token_is_backed_by_its_clients_session_until_revocation_or_absolute_expiry() {
        let live = session(3);
        let token = |client: &str| AuthenticAccessToken {
            session: live.key,
            client_id: ClientId::parse(client).unwrap(),
            subject: live.subject.clone(),
            audience: live.audience.clone(),
            iat: NOW.unix_seconds(),
            exp: NOW.plus(600).unix_seconds(),
            jti: "jti".into(),
            scope: String::new(),
        };
        let own = token("librechat");
        assert!(live.is_live_for(&own, NOW) && !live.is_live_for(&token("other"), NOW));
        let narrowed = AuthenticAccessToken { scope: "openid".into(), ..token("librechat") };
        let widened = AuthenticAccessToken { scope: "openid admin".into(), ..token("librechat") };
        let elsewhere = AuthenticAccessToken { audience: vec!["orders".into()], ..token("librechat") };
        assert!(live.scope.contains("openid") && live.is_live_for(&narrowed, NOW));
        assert!(!live.is_live_for(&widened, NOW) && !live.is_live_for(&elsewhere, NOW));
        // The idle time ends renewals, not tokens that are out.
        assert!(live.is_live_for(&own, live.idle_expires_at));
        let end = live.absolute_expires_at;
        assert!(live.is_live_for(&own, Timestamp::from_unix_millis(end.unix_millis() - 1)));
        assert!(!live.is_live_for(&own, end) && !live.is_live_for(&own, end.plus(1)));
        let revoked = Session { revocation: Some(Revocation { at: NOW, reason: "logout".into() }), ..live.clone() };
        assert!(!revoked.is_live_for(&own, NOW));
    }

    #[test]
    fn a_record_may_be_deleted_a_day_after_its_absolute_expiry() {
        let record = session(3);
        assert_eq!(record.deletable_at(), record.absolute_expires_at.unix_seconds() + 86_400);
    }
}
