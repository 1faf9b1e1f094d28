//! Sessions that were live a moment ago: spares most requests their read.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use latchkey_token::{
    identity::SessionKey,
    time::{Seconds, Timestamp},
};

/// More than this many are never remembered.
const MOST: usize = 10_000;

/// Remembers for how long a session need not be looked up again. That long, a revoked session's tokens still pass here.
pub struct LiveSessions {
    seconds: Seconds,
    read_at: Mutex<HashMap<SessionKey, Timestamp>>,
}

impl LiveSessions {
    /// 0 remembers nothing: every request reads.
    pub fn new(seconds: Seconds) -> Self {
        Self { seconds, read_at: Mutex::default() }
    }

    /// Whether the session was read and live less than so long ago.
    pub fn is_known(&self, session: &SessionKey, now: Timestamp) -> bool {
        let read_at = self.read_at.lock().unwrap_or_else(PoisonError::into_inner);
        read_at.get(session).is_some_and(|at| self.is_fresh(*at, now))
    }

    /// Notes a session as live, unless that is known: what is remembered never grows older than so long.
    pub fn remember(&self, session: SessionKey, now: Timestamp) {
        if self.seconds == 0 || self.is_known(&session, now) {
            return;
        }
        let mut read_at = self.read_at.lock().unwrap_or_else(PoisonError::into_inner);
        if read_at.len() >= MOST {
            read_at.retain(|_, at| self.is_fresh(*at, now));
        }
        if read_at.len() < MOST {
            read_at.insert(session, now);
        }
    }

    fn is_fresh(&self, at: Timestamp, now: Timestamp) -> bool {
        at <= now && now < at.plus(self.seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use latchkey_token::identity::{Owner, Sid};

    fn session(number: u8) -> SessionKey {
        SessionKey { owner: Owner::from_bytes([number; 16]), sid: Sid::from_bytes([number; 16]) }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_800_000_000 + seconds)
    }

    #[test]
    fn a_session_is_remembered_for_so_long_and_being_used_does_not_prolong_it() {
        let live = LiveSessions::new(30);
        live.remember(session(1), at(0));
        live.remember(session(1), at(29));
        assert!(live.is_known(&session(1), at(29)));
        assert!(!live.is_known(&session(1), at(30)));
        assert!(!live.is_known(&session(2), at(0)));
    }

    #[test]
    fn zero_remembers_nothing() {
        let live = LiveSessions::new(0);
        live.remember(session(1), at(0));
        assert!(!live.is_known(&session(1), at(0)));
    }
}
