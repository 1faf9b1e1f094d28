//! Tokens of sessions that were live a moment ago: spares most requests their read.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use latchkey_token::{
    tokens::AuthenticAccessToken,
    values::{Seconds, SessionKey, Timestamp},
};

/// More sessions than this are never remembered.
const MOST: usize = 10_000;

/// Remembers for how long a session need not be looked up again. That long, a revoked session's tokens still pass here.
pub struct LiveSessions {
    seconds: Seconds,
    found: Mutex<HashMap<SessionKey, Found>>,
}

/// What the session has been found to back: nothing else is known of it.
struct Found {
    audience: Vec<String>,
    scope: String,
    at: Timestamp,
}

impl Found {
    fn is_about(&self, token: &AuthenticAccessToken) -> bool {
        self.audience == token.audience && self.scope == token.scope
    }
}

impl LiveSessions {
    /// 0 remembers nothing: every request reads.
    pub fn new(seconds: Seconds) -> Self {
        Self { seconds, found: Mutex::default() }
    }

    /// Whether the token's session was read less than so long ago, live and of this audience and scope.
    pub fn is_known(&self, token: &AuthenticAccessToken, now: Timestamp) -> bool {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.get(&token.session).is_some_and(|found| self.is_fresh(found.at, now) && found.is_about(token))
    }

    /// Notes that the token's session is live, unless that is known: what is remembered never grows older than so long.
    pub fn remember(&self, token: &AuthenticAccessToken, now: Timestamp) {
        if self.seconds == 0 || self.is_known(token, now) {
            return;
        }
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.len() >= MOST {
            found.retain(|_, found| self.is_fresh(found.at, now));
        }
        if found.len() < MOST {
            let (audience, scope) = (token.audience.clone(), token.scope.clone());
            found.insert(token.session, Found { audience, scope, at: now });
        }
    }

    fn is_fresh(&self, at: Timestamp, now: Timestamp) -> bool {
        at <= now && now < at.plus(self.seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use latchkey_token::values::{ClientId, Owner, Sid, Subject};

    fn token(number: u8) -> AuthenticAccessToken {
        AuthenticAccessToken {
            session: SessionKey { owner: Owner::from_bytes([number; 16]), sid: Sid::from_bytes([number; 16]) },
            client_id: ClientId::parse("librechat").unwrap(),
            subject: Subject::parse("alice").unwrap(),
            audience: vec!["librechat".into()],
            iat: 0,
            exp: 0,
            jti: "jti".into(),
            scope: "openid".into(),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_800_000_000 + seconds)
    }

    #[test]
    fn a_session_is_remembered_for_so_long_and_being_used_does_not_prolong_it() {
        let live = LiveSessions::new(30);
        live.remember(&token(1), at(0));
        live.remember(&token(1), at(29));
        assert!(live.is_known(&token(1), at(29)));
        assert!(!live.is_known(&token(1), at(30)));
        assert!(!live.is_known(&token(2), at(0)));
    }

    #[test]
    fn a_session_is_known_for_the_audience_and_scope_that_it_was_found_with() {
        let live = LiveSessions::new(30);
        live.remember(&token(1), at(0));
        assert!(!live.is_known(&AuthenticAccessToken { audience: vec!["orders".into()], ..token(1) }, at(0)));
        assert!(!live.is_known(&AuthenticAccessToken { scope: "openid admin".into(), ..token(1) }, at(0)));
    }

    #[test]
    fn zero_remembers_nothing() {
        let live = LiveSessions::new(0);
        live.remember(&token(1), at(0));
        assert!(!live.is_known(&token(1), at(0)));
    }
}
