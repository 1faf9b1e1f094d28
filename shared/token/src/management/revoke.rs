//! Revocation (RFC 7009): a token of the caller's own ends its session; anything else changes nothing, and the answer is
//! the same.

use super::{
    caller::{Caller, CallerIdentification, identify},
    recognise::{CallersToken, Mentioning, documents_for, knowing_registered_owner, recognise},
};
use crate::{
    audit::{Event, EventKind, Reason},
    failure::Failure,
    policy::Policy,
    ports::{Audit, Clock, DocumentSource, Randomness, ReadSession, RevokeSession, random},
    session::{Revocation, RevocationId},
    tokens::Purpose,
    values::{ClientId, SessionKey, Timestamp},
};

/// What revocation needs.
pub struct Revoke<'a, S, D> {
    /// Where the token's session is ended.
    pub store: &'a S,
    /// Where key ring and registrations come from.
    pub documents: &'a D,
    /// The deployment's settings; a client's own settings replace some of them.
    pub policy: &'a Policy,
    /// The time; read once per request.
    pub clock: &'a dyn Clock,
    /// Where new random bytes come from.
    pub randomness: &'a dyn Randomness,
    /// Where ended sessions and refusals are recorded.
    pub audit: &'a dyn Audit,
}

impl<S: ReadSession + RevokeSession, D: DocumentSource> Revoke<'_, S, D> {
    /// Ends the session of `token`: any refresh token that we made, whatever its generation, or an unexpired access
    /// token. Whoever holds one gives nothing away by ending its session, and renewal would end it too. A failure means
    /// that the session may still be live: the same request is safe to repeat.
    pub async fn run(&self, caller: &CallerIdentification, token: &str) -> Result<(), Failure> {
        let now = self.clock.now();
        let source = Mentioning { source: self.documents, policy: self.policy, ids: caller.ids(), token: Some(token) };
        let documents = source.current(now).await?;
        identify(&documents.registrations, caller, self.policy, now, self.audit)?;
        let documents = documents_for(&source, documents, token, now).await?;
        let caller = identify(&documents.registrations, caller, self.policy, now, self.audit)?;
        let documents = knowing_registered_owner(self.store, &documents, caller, token, self.policy, now).await?;
        let denied = |reason| self.audit.record(&caller.mark(Event::new(EventKind::AccessDenied)).because(reason));
        let (key, client_id, subject) =
            match recognise(token, caller, &documents, self.policy, Purpose::RenewOrEnd, now)? {
                Err(reason) => {
                    denied(reason);
                    return Ok(());
                }
                Ok(CallersToken::Access(token)) => {
                    if let Err(reason) = token.check_times(now, self.policy.clock_skew_seconds) {
                        denied(reason);
                        return Ok(());
                    }
                    (token.session, token.client_id, Some(token.subject))
                }
                Ok(CallersToken::Refresh(token, client)) => {
                    // For the audit line alone. A record that cannot be read is ended like any other.
                    let record = self.store.read(&token.session).await.ok().flatten();
                    if record.as_ref().is_some_and(|record| record.revocation.is_some()) {
                        denied(Reason::SessionNotLive);
                        return Ok(());
                    }
                    (token.session, client.client_id.clone(), record.map(|record| record.subject))
                }
            };
        if key.sid.absolute_expires_at() <= now {
            denied(Reason::SessionNotLive);
            return Ok(());
        }
        let subject_name = subject.and_then(|subject| documents.keys.audit_name(&subject));
        let ending = Ending { key: &key, client_id: &client_id, subject_name };
        if !end(self.store, self.randomness, self.audit, caller, ending, now).await? {
            denied(Reason::SessionNotLive);
        }
        Ok(())
    }
}

/// A session that is to end.
pub(crate) struct Ending<'a> {
    pub key: &'a SessionKey,
    pub client_id: &'a ClientId,
    /// The audit trail's name for the subject, where it is known.
    pub subject_name: Option<String>,
}

/// Ends one session on behalf of `caller`; `true` if it was still going.
pub(crate) async fn end(
    store: &impl RevokeSession,
    randomness: &dyn Randomness,
    audit: &dyn Audit,
    caller: Caller<'_>,
    session: Ending<'_>,
    now: Timestamp,
) -> Result<bool, Failure> {
    let has_ended = write_end(store, randomness, session.key, caller.reason(), now).await?;
    if has_ended {
        record_end(audit, caller, session);
    }
    Ok(has_ended)
}

/// The write alone, which needs no more than the key; `true` if the session was still going.
pub(crate) async fn write_end(
    store: &impl RevokeSession,
    randomness: &dyn Randomness,
    key: &SessionKey,
    reason: Reason,
    now: Timestamp,
) -> Result<bool, Failure> {
    let id = RevocationId::from_bytes(random(randomness)?);
    Ok(store.revoke(key, &Revocation::new(now, reason, id)).await?.is_done())
}

/// The audit line of a session that `caller` has ended.
pub(crate) fn record_end(audit: &dyn Audit, caller: Caller<'_>, session: Ending<'_>) {
    let event = Event::new(EventKind::SessionRevoked).client(session.client_id).subject(session.subject_name);
    let mut event = caller.mark(event).because(caller.reason());
    event.session = Some(session.key.audit_name());
    audit.record(&event);
}
