//! Values as they are given on the command line; the error says what would be right.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use latchkey_token::values::{ClientId, IssuerId, SessionKey, Subject, Timestamp};

/// A subject as it is given on the command line.
pub(crate) fn subject(text: &str) -> Result<Subject, String> {
    Subject::parse(text).ok_or_else(|| format!("a subject has {}", Subject::RULE))
}

/// A session by its id.
pub(crate) fn session_key(text: &str) -> Result<SessionKey, &'static str> {
    SessionKey::parse(text).ok_or("a session's id has 43 characters, all of A-Z a-z 0-9 - _")
}

/// A client by its id.
pub(crate) fn client_id(text: &str) -> Result<ClientId, &'static str> {
    ClientId::parse(text).ok_or("a client's id has 1 to 255 printable ASCII characters")
}

/// An issuer by its id.
pub(crate) fn issuer_id(text: &str) -> Result<IssuerId, &'static str> {
    IssuerId::parse(text).ok_or("an issuer's id has 1 to 255 printable ASCII characters")
}

/// A point in time as operators say it.
#[derive(Clone, Copy)]
pub(crate) enum Moment {
    At(Timestamp),
    Ago(Duration),
}

/// A [`Moment`] as it is given on the command line.
pub(crate) fn moment(text: &str) -> Result<Moment, &'static str> {
    let unix = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u32>().ok()).flatten();
    if let Some(seconds) = unix {
        return Ok(Moment::At(Timestamp::from_unix_seconds(seconds.into())));
    }
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok(Moment::Ago(ago));
    }
    let at = humantime::parse_rfc3339_weak(text).ok().and_then(timestamp);
    at.map(Moment::At)
        .ok_or("neither a time (2026-01-31T09:30:00Z in UTC, or Unix seconds) nor how long ago (90min, 12h, 7d)")
}

fn timestamp(time: SystemTime) -> Option<Timestamp> {
    let since_epoch = time.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since_epoch.as_millis()).ok().map(Timestamp::from_unix_millis)
}

impl Moment {
    /// The time that is meant, if it is now `now`.
    pub(crate) fn before(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => {
                let millis = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
                Timestamp::from_unix_millis(now.unix_millis().saturating_sub(millis))
            }
        }
    }
}
