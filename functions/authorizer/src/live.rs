//! Tokens of sessions that were live a moment ago: spares most requests their read.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use latchkey_token::{
    session::Backing,
    values::{Seconds, SessionKey, Timestamp},
};

/// More sessions than this are never remembered.
const MOST: usize = 10_000;

/// Remembers for how long a session need not be looked up again. That long, a revoked session's tokens still pass here.
pub struct LiveSessions {
    seconds: Seconds,
    found: Mutex<HashMap<SessionKey, Found>>,
}

/// What a session's tokens rest on, as it was read.
struct Found {
    backing: Backing,
    at: Timestamp,
}

impl LiveSessions {
    /// 0 remembers nothing: every request reads.
    pub fn new(seconds: Seconds) -> Self {
        Self { seconds, found: Mutex::default() }
    }

    /// What the session's tokens rest on, if it was read less than so long ago.
    pub fn known(&self, session: &SessionKey, now: Timestamp) -> Option<Backing> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let found = found.get(session).filter(|found| self.is_fresh(found.at, now))?;
        Some(found.backing.clone())
    }

    /// Notes what the session's tokens rest on, unless that is known: what is remembered never grows older than so long.
    pub fn remember(&self, session: SessionKey, backing: Backing, now: Timestamp) {
        if self.seconds == 0 {
            return;
        }
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.get(&session).is_some_and(|found| self.is_fresh(found.at, now)) {
            return;
        }
        if found.len() >= MOST {
            found.retain(|_, found| self.is_fresh(found.at, now));
        }
        if found.len() < MOST {
            found.insert(session, Found { backing, at: now });
        }
    }

    fn is_fresh(&self, at: Timestamp, now: Timestamp) -> bool {
        at <= now && now < at.plus(self.seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use latchkey_token_testkit::fixture::session;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_800_000_000 + seconds)
    }

    fn remember(live: &LiveSessions, number: u32, now: Timestamp) {
        let session = session(number);
        live.remember(session.key, session.backing().unwrap(), now);
    }

    #[test]
    fn a_session_is_remembered_for_so_long_and_being_used_does_not_prolong_it() {
        let live = LiveSessions::new(30);
        remember(&live, 1, at(0));
        remember(&live, 1, at(29));
        assert_eq!(live.known(&session(1).key, at(29)), session(1).backing());
        assert!(live.known(&session(1).key, at(30)).is_none());
        assert!(live.known(&session(2).key, at(0)).is_none());
    }

    #[test]
    fn zero_remembers_nothing() {
        let live = LiveSessions::new(0);
        remember(&live, 1, at(0));
        assert!(live.known(&session(1).key, at(0)).is_none());
    }
}
