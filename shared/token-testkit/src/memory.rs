//! Sessions in memory. What DynamoDB's condition says in its own words is here the domain's [`decide`] itself.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use latchkey_token::{
    failure::Unavailable,
    ports::{
        InsertSession, ListSessions, Page, ReadSession, RedeemAssertion, RedemptionFailure, RenewSession,
        RenewalOutcome, RevokeSession,
    },
    session::{Decision, Presented, Renewal, Revocation, Session, Write, WriteOutcome, decide},
    tokens::{SecretHash, SingleUse},
    values::{AssertionKey, ClientId, Owner, SessionKey, Sid},
};

/// So few keys come at once that a test sees pages.
const KEYS_PER_PAGE: usize = 7;

/// A session store without a disk.
#[derive(Default)]
pub struct InMemorySessions {
    sessions: Mutex<BTreeMap<SessionKey, Session>>,
    /// Used assertions, each with the first refresh token of the session that came of it.
    used: Mutex<BTreeMap<AssertionKey, SecretHash>>,
}

impl InMemorySessions {
    fn sessions(&self) -> MutexGuard<'_, BTreeMap<SessionKey, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InsertSession for InMemorySessions {
    async fn insert(&self, session: &Session) -> Result<WriteOutcome, Unavailable> {
        let mut sessions = self.sessions();
        Ok(match sessions.get(&session.key) {
            None => {
                sessions.insert(session.key, session.clone());
                WriteOutcome::Done(())
            }
            Some(old) if old.secret_hash == session.secret_hash => WriteOutcome::DoneBefore(()),
            Some(_) => WriteOutcome::ByAnother(()),
        })
    }
}

impl RedeemAssertion for InMemorySessions {
    async fn redeem(&self, assertion: &SingleUse, session: &Session) -> Result<WriteOutcome, RedemptionFailure> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        match used.get(&assertion.key) {
            Some(hash) if *hash == session.secret_hash => Ok(WriteOutcome::DoneBefore(())),
            Some(_) => Ok(WriteOutcome::ByAnother(())),
            None => {
                let mut sessions = self.sessions();
                if sessions.contains_key(&session.key) {
                    let taken = Unavailable::new("session store", "the drawn session id is taken");
                    return Err(RedemptionFailure::NotWritten(taken));
                }
                sessions.insert(session.key, session.clone());
                used.insert(assertion.key, session.secret_hash);
                Ok(WriteOutcome::Done(()))
            }
        }
    }
}

impl RenewSession for InMemorySessions {
    async fn renew(&self, renewal: &Renewal) -> Result<RenewalOutcome, Unavailable> {
        let mut sessions = self.sessions();
        let record = sessions.get_mut(&renewal.key);
        // The condition knows nothing of candidates.
        let presented = Presented { candidate: None, ..renewal.presented.clone() };
        match (decide(record.as_deref(), &presented, renewal.now, &renewal.rules), record) {
            (Decision::Renewed(Write::Due), Some(record)) => {
                *record = record.renewed(renewal);
                Ok(WriteOutcome::Done(record.clone()))
            }
            (_, record) => Ok(renewal.refused_by(record.cloned())),
        }
    }
}

impl ReadSession for InMemorySessions {
    async fn read(&self, key: &SessionKey) -> Result<Option<Session>, Unavailable> {
        Ok(self.sessions().get(key).cloned())
    }
}

impl ListSessions for InMemorySessions {
    async fn list(&self, owner: &Owner) -> Result<Vec<Session>, Unavailable> {
        Ok(self.sessions().values().filter(|session| session.key.owner == *owner).cloned().collect())
    }

    async fn page(&self, owner: &Owner, after: &Sid, limit: usize) -> Result<Page<Session>, Unavailable> {
        let sessions = self.sessions();
        let after = SessionKey { owner: *owner, sid: *after };
        let found = sessions.range((Bound::Excluded(after), Bound::Unbounded)).map(|(_, session)| session);
        let mut found = found
            .take_while(|session| session.key.owner == *owner)
            .filter(|session| session.revocation.is_none())
            .peekable();
        let items: Vec<Session> = found.by_ref().take(limit).cloned().collect();
        let next = found.peek().and_then(|_| items.last()).map(|session| session.key.sid);
        Ok(Page { items, next })
    }

    async fn keys(
        &self,
        owner: &Owner,
        after: &Sid,
        client: Option<&ClientId>,
    ) -> Result<Page<SessionKey>, Unavailable> {
        let Page { items, next } = self.page(owner, after, KEYS_PER_PAGE).await?;
        let is_asked = |session: &&Session| client.is_none_or(|client| session.client_id == *client);
        Ok(Page { items: items.iter().filter(is_asked).map(|session| session.key).collect(), next })
    }
}

impl RevokeSession for InMemorySessions {
    async fn revoke(&self, key: &SessionKey, revocation: &Revocation) -> Result<WriteOutcome, Unavailable> {
        Ok(match self.sessions().get_mut(key) {
            Some(record) if record.revocation.is_none() => {
                *record = record.ended(revocation);
                WriteOutcome::Done(())
            }
            Some(record) if record.is_ended_by(revocation) => WriteOutcome::DoneBefore(()),
            _ => WriteOutcome::ByAnother(()),
        })
    }
}
