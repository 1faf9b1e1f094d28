//! Revocation (RFC 7009): a live token of the caller's own ends its session; anything else changes nothing, and the
//! answer is the same.

use super::{
    caller::{Caller, CallerIdentification, identify},
    recognise::{CallersToken, Worth, documents_for, recognise, worth},
};
use crate::{
    audit::{Event, EventKind, Reason},
    failure::Failure,
    policy::Policy,
    ports::{Audit, Clock, DocumentSource, ReadSession, RevokeSession},
    session::{Revocation, Session},
    values::{ClientId, SessionKey, Subject, Timestamp},
};

/// What revocation needs.
pub struct Revoke<'a, S, D> {
    /// Where the token's session is read and ended.
    pub store: &'a S,
    /// Where key ring and registrations come from.
    pub documents: &'a D,
    /// The deployment's settings; a client's own settings replace some of them.
    pub policy: &'a Policy,
    /// The time; read once per request.
    pub clock: &'a dyn Clock,
    /// Where ended sessions and refusals are recorded.
    pub audit: &'a dyn Audit,
}

impl<S: ReadSession + RevokeSession, D: DocumentSource> Revoke<'_, S, D> {
    /// Ends the session of `token`: the current refresh token, a predecessor that could still be retried, or an
    /// unexpired access token.
    pub async fn run(&self, caller: &CallerIdentification, token: &str) -> Result<(), Failure> {
        let now = self.clock.now();
        let documents = self.documents.current(now).await?;
        identify(&documents.registrations, caller, self.policy, now, self.audit)?;
        let documents = documents_for(self.documents, documents, token, now).await?;
        let caller = identify(&documents.registrations, caller, self.policy, now, self.audit)?;
        let denied = |reason| self.audit.record(&caller.mark(Event::new(EventKind::AccessDenied)).because(reason));
        match recognise(token, caller, &documents, self.policy, now) {
            Err(reason) => denied(reason),
            Ok(CallersToken::Access(token)) => match token.check_times(now, self.policy.clock_skew_seconds) {
                Err(reason) => denied(reason),
                Ok(()) => {
                    let ending = Ending { key: &token.session, client_id: &token.client_id, subject: &token.subject };
                    end(self.store, self.audit, caller, ending, now).await?;
                }
            },
            Ok(CallersToken::Refresh(token, client)) => {
                let record = self.store.read(&token.session).await?;
                match (worth(&token, client, record.as_ref(), self.policy, now), &record) {
                    (Worth::Current | Worth::Retriable, Some(record)) => {
                        end(self.store, self.audit, caller, record.into(), now).await?;
                    }
                    (Worth::Current | Worth::Retriable | Worth::Nothing, _) => denied(Reason::RefreshTokenNotLive),
                }
            }
        }
        Ok(())
    }
}

/// A session that is to end.
pub(crate) struct Ending<'a> {
    pub key: &'a SessionKey,
    pub client_id: &'a ClientId,
    pub subject: &'a Subject,
}

impl<'a> From<&'a Session> for Ending<'a> {
    fn from(session: &'a Session) -> Self {
        Self { key: &session.key, client_id: &session.client_id, subject: &session.subject }
    }
}

/// Ends one session on behalf of `caller`; `true` if it was still going.
pub(crate) async fn end(
    store: &impl RevokeSession,
    audit: &dyn Audit,
    caller: Caller<'_>,
    session: Ending<'_>,
    now: Timestamp,
) -> Result<bool, Failure> {
    let revocation = Revocation::new(now, caller.reason());
    let has_ended = store.revoke(session.key, &revocation).await?;
    if has_ended {
        let event = Event::new(EventKind::SessionRevoked).client(session.client_id).subject(session.subject);
        let mut event = caller.mark(event).because(caller.reason());
        event.session = Some(session.key.audit_name());
        audit.record(&event);
    }
    Ok(has_ended)
}
