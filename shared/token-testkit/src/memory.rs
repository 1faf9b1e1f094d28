//! Sessions in memory. What DynamoDB's condition says in its own words is here the domain's [`decide`] itself.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use latchkey_token::{
    failure::Unavailable,
    ports::{
        InsertSession, ListSessions, ReadSession, RedeemAssertion, Redemption, RenewSession, RenewalOutcome,
        RevokeSession,
    },
    session::{Decision, Presented, Renewal, Revocation, Session, Write, decide},
    tokens::{SecretHash, SingleUse},
    values::{AssertionKey, Owner, SessionKey},
};

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
    async fn insert(&self, session: &Session) -> Result<(), Unavailable> {
        let mut sessions = self.sessions();
        match sessions.get(&session.key) {
            None => {
                sessions.insert(session.key, session.clone());
                Ok(())
            }
            Some(old) if old.secret_hash == session.secret_hash => Ok(()),
            Some(_) => Err(Unavailable::new("session store", "the drawn session id is taken")),
        }
    }
}

impl RedeemAssertion for InMemorySessions {
    async fn redeem(&self, assertion: &SingleUse, session: &Session) -> Result<Redemption, Unavailable> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        match used.get(&assertion.key) {
            Some(hash) if *hash == session.secret_hash => Ok(Redemption::Redeemed),
            Some(_) => Ok(Redemption::AlreadyUsed),
            None => {
                let mut sessions = self.sessions();
                if sessions.contains_key(&session.key) {
                    return Err(Unavailable::new("session store", "the drawn session id is taken"));
                }
                sessions.insert(session.key, session.clone());
                used.insert(assertion.key, session.secret_hash);
                Ok(Redemption::Redeemed)
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
        match (decide(record.as_deref(), &presented, renewal.now, renewal.rules), record) {
            (Decision::Renewed(Write::Due), Some(record)) => {
                *record = record.renewed(renewal);
                Ok(RenewalOutcome::Committed(record.clone()))
            }
            (_, record) => Ok(RenewalOutcome::ConditionFailed(record.cloned())),
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
}

impl RevokeSession for InMemorySessions {
    async fn revoke(&self, key: &SessionKey, revocation: &Revocation) -> Result<bool, Unavailable> {
        match self.sessions().get_mut(key) {
            Some(record) if record.revocation.is_none() => {
                record.revocation = Some(revocation.clone());
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}
