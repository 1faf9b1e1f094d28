//! Values as they are given on the command line; the error says what would be right.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use latchkey_token::values::{ClientId, IssuerId, SessionKey, Subject, Timestamp};

/// A subject as it is given on the command line.
pub(crate) fn subject(text: &str) -> Result<Subject, String> {
    Subject::parse(text).ok_or_else(|| format!("a subject has {}", Subject::RULE))
}

/// A session as operators know it.
#[derive(Clone)]
pub(crate) enum NamedSession {
    /// By its id.
    Id(SessionKey),
    /// By the audit trail's name for it, of which no id can be made.
    AuditName(String),
}

impl NamedSession {
    /// The audit trail's name for it.
    pub(crate) fn audit_name(&self) -> String {
        match self {
            Self::Id(key) => key.audit_name(),
            Self::AuditName(name) => name.clone(),
        }
    }
}

/// A [`NamedSession`] as it is given on the command line.
pub(crate) fn named_session(text: &str) -> Result<NamedSession, &'static str> {
    let is_name = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    match SessionKey::parse(text) {
        Some(key) => Ok(NamedSession::Id(key)),
        None if is_name => Ok(NamedSession::AuditName(text.to_owned())),
        None => Err("neither a session's id (43 characters) nor its name in the audit trail (16 hex digits)"),
    }
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
