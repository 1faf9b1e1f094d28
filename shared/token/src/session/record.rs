//! The session record.

use std::fmt;

use crate::{
    audit::Reason,
    registrations::Epochs,
    tokens::{CodeBinding, SealedSuccessor, SecretHash},
    values::{ClientId, CustomClaims, Generation, IssuerId, Scope, Seconds, SessionKey, Sid, Subject, Timestamp},
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
    /// The sign-in that the session began with; `None` where it was issued. Its first token is then a code.
    pub sign_in: Option<SignIn>,
    /// When and how the user was authenticated, as far as the issuer has said so.
    pub authentication: Authentication,
}

/// What of a sign-in stays in the session's record. Does not print the nonce, which is the client's secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SignIn {
    /// What the code is bound to.
    pub binding: CodeBinding,
    /// For the first ID token; gone with the first renewal after the exchange, which an own write seen twice needs it for.
    pub nonce: Option<String>,
    /// What the access token of the exchange is narrowed to, unless the exchange itself says; empty: to nothing. Goes when
    /// `nonce` goes.
    pub resource: Vec<String>,
}

impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIn").field("binding", &self.binding).finish_non_exhaustive()
    }
}

/// When and how the user was authenticated (OpenID Connect Core §2): in every ID token of the session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authentication {
    /// `auth_time`: when the user was last asked who they are.
    pub time: Option<Timestamp>,
    /// `acr`: which level of assurance the authentication has reached, in the issuer's own word.
    pub acr: Option<String>,
    /// `amr`: by which methods, in the issuer's own words (RFC 8176 lists some).
    pub amr: Vec<String>,
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
    /// Drawn by the invocation that ended the session: so it knows its own write again.
    pub id: RevocationId,
}

/// 16 random bytes, drawn for one revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevocationId([u8; 16]);

impl RevocationId {
    /// Takes the 16 bytes as they are: new random ones, or those of a record.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, for the record.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl Revocation {
    /// An end at `at`, in the audit trail's word for the reason. `id` is new.
    pub fn new(at: Timestamp, reason: Reason, id: RevocationId) -> Self {
        Self { at, reason: reason.name().to_owned(), id }
    }
}

/// How a session stands that can still let somebody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It can be renewed.
    Live,
    /// Nobody has renewed it in time: it cannot be renewed any more, but its access tokens may be good.
    Idle,
}

impl Standing {
    /// The word for it in answers: `live` or `idle`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Idle => "idle",
        }
    }
}

/// When the record of a session that was ended at `at` may be deleted, in Unix seconds: from its sid alone, since the one
/// who ends it has not read it.
pub fn ended_deletable_at(sid: &Sid, at: Timestamp) -> i64 {
    deletable_after(at.plus(sid.access_token_seconds()).min(sid.absolute_expires_at()))
}

/// When the record of a session whose last token expires at `end` may be deleted, in Unix seconds.
pub fn deletable_after(end: Timestamp) -> i64 {
    end.plus(DELETION_DELAY_SECONDS).unix_seconds()
}

impl Session {
    /// When the session ends if nobody renews it.
    pub fn ends_at(&self) -> Timestamp {
        self.idle_expires_at.min(self.absolute_expires_at)
    }

    /// Whether its first token is a code that nobody has exchanged yet. It can be for so long only as the session is live.
    pub fn is_unused_code(&self) -> bool {
        self.sign_in.is_some() && self.generation == Generation::FIRST
    }

    /// How the session stands; `None` once it cannot let anybody in: revoked, past its absolute expiry, issued before an
    /// epoch in force, or begun with a code that has expired unused.
    pub fn standing(&self, epochs: &Epochs, now: Timestamp) -> Option<Standing> {
        let is_over = self.revocation.is_some()
            || self.absolute_expires_at <= now
            || epochs.have_ended(&self.issuer_id, self.issued_at);
        match is_over {
            true => None,
            false if now < self.idle_expires_at => Some(Standing::Live),
            false => (!self.is_unused_code()).then_some(Standing::Idle),
        }
    }

    /// `exp` of the access token of the last issue or renewal, in Unix seconds.
    pub fn access_token_exp(&self) -> i64 {
        self.access_expires_at.min(self.absolute_expires_at).unix_seconds()
    }

    /// When the table may delete the record, in Unix seconds: a day after the session's last token can have expired, or a
    /// code that nobody has exchanged. A hint, never trusted.
    pub fn deletable_at(&self) -> i64 {
        match &self.revocation {
            Some(revocation) => ended_deletable_at(&self.key.sid, revocation.at),
            None if self.is_unused_code() => deletable_after(self.idle_expires_at),
            None => deletable_after(self.absolute_expires_at),
        }
    }

    /// Whether this very revocation has ended the session.
    pub fn is_ended_by(&self, revocation: &Revocation) -> bool {
        self.revocation.as_ref().is_some_and(|own| own.id == revocation.id)
    }

    /// The record after `revocation` has been written: claims and seal are gone, they serve nobody any more.
    pub fn ended(&self, revocation: &Revocation) -> Self {
        Self {
            claims: CustomClaims::default(),
            predecessor: None,
            revocation: Some(revocation.clone()),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOW, code_session, session};

    #[test]
    fn a_session_is_live_then_idle_and_over_at_its_absolute_expiry() {
        let (idle, end) = (NOW.plus(10), NOW.plus(20));
        let record = Session { idle_expires_at: idle, absolute_expires_at: end, ..session(3) };
        let just_before = |moment: Timestamp| Timestamp::from_unix_millis(moment.unix_millis() - 1);
        for (moment, expected) in [
            (just_before(idle), Some(Standing::Live)),
            (idle, Some(Standing::Idle)),
            (just_before(end), Some(Standing::Idle)),
            (end, None),
        ] {
            assert_eq!(record.standing(&Epochs::NONE, moment), expected, "{moment:?}");
        }
    }

    #[test]
    fn a_session_that_was_revoked_or_is_older_than_its_epoch_stands_no_more() {
        let record = session(3);
        let revoked = record.ended(&Revocation::new(NOW, Reason::ByClient, RevocationId::from_bytes([1; 16])));
        assert_eq!(revoked.standing(&Epochs::NONE, NOW), None);
        let standing = |epoch| record.standing(&Epochs::new(Some(epoch), []), NOW);
        assert_eq!(standing(record.issued_at), Some(Standing::Live));
        assert_eq!(standing(record.issued_at.plus(1)), None);
    }

    #[test]
    fn an_unused_code_is_live_for_its_time_and_never_idle_and_its_record_goes_a_day_later() {
        let code = Session { idle_expires_at: NOW.plus(60), ..code_session() };
        let standing = |session: &Session, moment| session.standing(&Epochs::NONE, moment);
        assert_eq!(standing(&code, NOW.plus(59)), Some(Standing::Live));
        assert_eq!(standing(&code, NOW.plus(60)), None);
        assert_eq!(code.deletable_at(), NOW.plus(60 + 86_400).unix_seconds());
        let exchanged = Session { generation: Generation::new(1), ..code };
        assert_eq!(standing(&exchanged, NOW.plus(60)), Some(Standing::Idle));
        assert_eq!(exchanged.deletable_at(), exchanged.absolute_expires_at.plus(86_400).unix_seconds());
    }

    #[test]
    fn a_record_may_be_deleted_a_day_after_its_absolute_expiry() {
        let record = session(3);
        assert_eq!(record.deletable_at(), record.absolute_expires_at.unix_seconds() + 86_400);
    }

    #[test]
    fn an_ended_record_keeps_no_claims_and_may_be_deleted_a_day_after_its_last_token() {
        let revocation = |at| Revocation::new(at, Reason::ByClient, RevocationId::from_bytes([1; 16]));
        let record = Session { claims: claims(), ..session(3) };
        let ended = record.ended(&revocation(NOW));
        assert!(ended.claims == CustomClaims::default() && ended.predecessor.is_none());
        assert_eq!(ended.deletable_at(), NOW.unix_seconds() + 86_400 + 86_400, "a token's life and a day");
        let late = record.absolute_expires_at.minus(10);
        let absolute = record.absolute_expires_at.unix_seconds();
        assert_eq!(record.ended(&revocation(late)).deletable_at(), absolute + 86_400, "no token outlives its session");
    }

    fn claims() -> CustomClaims {
        CustomClaims::from_record(crate::json::parse_object(br#"{"email":"alice@example.org"}"#).unwrap())
    }
}
