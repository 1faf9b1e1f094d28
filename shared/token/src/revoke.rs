//! Revocation (RFC 7009): a live token of the caller's own ends its session; anything else changes nothing, and the
//! answer is the same.

use crate::{
    audit::{Event, EventKind},
    caller::{Caller, CallerIdentification, identify},
    identity::SessionKey,
    policy::Policy,
    ports::{Audit, AuthoritySource, Clock, ReadSession, RevokeSession},
    presented::{CallersToken, Worth, authority_for, recognise, worth},
    refusal::Failure,
    session::Revocation,
    time::Timestamp,
};

/// What revocation needs.
pub struct Revoke<'a, S, A> {
    pub store: &'a S,
    pub authority: &'a A,
    pub policy: &'a Policy,
    pub clock: &'a dyn Clock,
    pub audit: &'a dyn Audit,
}

impl<S: ReadSession + RevokeSession, A: AuthoritySource> Revoke<'_, S, A> {
    /// Ends the session of `token`: the current refresh token, a predecessor that could still be retried, or an
    /// unexpired access token.
    pub async fn run(&self, caller: &CallerIdentification, token: &str) -> Result<(), Failure> {
        let now = self.clock.now();
        let authority = self.authority.current(now).await?;
        identify(&authority.registry, caller, self.audit)?;
        let authority = authority_for(self.authority, authority, token, now).await?;
        let caller = identify(&authority.registry, caller, self.audit)?;
        let denied = |reason| self.audit.record(&caller.mark(Event::new(EventKind::AccessDenied)).because(reason));
        match recognise(token, caller, &authority, self.policy, now) {
            Err(reason) => denied(reason),
            Ok(CallersToken::Access(token)) if token.is_expired_at(now) => denied("access_token_expired"),
            Ok(CallersToken::Access(token)) => self.end(caller, &token.session, now).await?,
            Ok(CallersToken::Refresh(token, client)) => {
                let record = self.store.read(&token.session).await?;
                match worth(&token, client, record.as_ref(), self.policy, now) {
                    Worth::Current | Worth::Retriable => self.end(caller, &token.session, now).await?,
                    Worth::Nothing => denied("refresh_token_not_live"),
                }
            }
        }
        Ok(())
    }

    async fn end(&self, caller: Caller<'_>, session: &SessionKey, now: Timestamp) -> Result<(), Failure> {
        end(self.store, self.audit, caller, session, now).await.map(drop)
    }
}

/// Ends one session on behalf of `caller`; `true` if it was still going.
pub(crate) async fn end(
    store: &impl RevokeSession,
    audit: &dyn Audit,
    caller: Caller<'_>,
    session: &SessionKey,
    now: Timestamp,
) -> Result<bool, Failure> {
    let revocation = Revocation { at: now, reason: caller.name().to_owned() };
    let has_ended = store.revoke(session, &revocation).await?;
    if has_ended {
        let mut event = caller.mark(Event::new(EventKind::SessionRevoked)).because(caller.name());
        event.session = Some(session.audit_name());
        audit.record(&event);
    }
    Ok(has_ended)
}
