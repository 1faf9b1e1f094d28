//! Points in time and lengths of time.

use std::fmt;

/// A length of time in whole seconds. Every limit of the contract fits in 32 bits (at most a year).
pub type Seconds = u32;

/// A point in time: Unix milliseconds, as session records keep it.
///
/// Tokens and the key ring count in seconds; [`Timestamp::unix_seconds`] rounds down, so that a token
/// never outlives the record it was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The time `millis` milliseconds after 1970 began, in UTC; before it, if negative.
    pub const fn from_unix_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// The time `seconds` seconds after 1970 began, in UTC; the nearest that fits, if it is out of range.
    pub const fn from_unix_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Unix milliseconds, as session records keep them.
    pub const fn unix_millis(self) -> i64 {
        self.0
    }

    /// Whole Unix seconds, rounded down.
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The time `seconds` later.
    pub const fn plus(self, seconds: Seconds) -> Self {
        Self(self.0.saturating_add(seconds as i64 * 1000))
    }

    /// The time `seconds` earlier.
    pub const fn minus(self, seconds: Seconds) -> Self {
        Self(self.0.saturating_sub(seconds as i64 * 1000))
    }

    /// Milliseconds from `earlier` to `self`; negative when `earlier` is in fact later.
    pub const fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// RFC 3339 in UTC, to the second: `2026-01-31T09:30:00Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use time::{OffsetDateTime, format_description::well_known::Rfc3339};
        let moment = OffsetDateTime::from_unix_timestamp(self.unix_seconds()).ok();
        match moment.and_then(|moment| moment.format(&Rfc3339).ok()) {
            Some(text) => f.write_str(&text),
            None => write!(f, "{} s after 1970", self.unix_seconds()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_round_down_and_text_is_rfc_3339() {
        let moment = Timestamp::from_unix_millis(1_769_851_800_999);
        assert_eq!(moment.unix_seconds(), 1_769_851_800);
        assert_eq!(moment.to_string(), "2026-01-31T09:30:00Z");
        assert_eq!(Timestamp::from_unix_millis(-1).unix_seconds(), -1);
    }
}
