//! Assertions (RFC 7521, RFC 7523): JWTs that others sign, an issuer to vouch for a user, a client to vouch for itself.
//!
//! Nothing is fetched from anywhere: the keys are in the registration, all of one algorithm, and which one is meant is
//! never for the assertion to say beyond its `kid`.

use super::jwt::{self, Compact};
use crate::{
    json::{Map, Value},
    keys::AssertionKeys,
    policy::MAX_IAT_AHEAD_SECONDS,
    values::{Seconds, Timestamp},
};

/// Why an assertion is refused; for the audit trail only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssertionFault {
    Malformed,
    Header,
    /// Nobody is registered for its `iss`, or for no assertions.
    UnknownIssuer,
    Algorithm,
    UnknownKid,
    Signature,
    Claims,
    Audience,
    Expired,
    /// Without `exp`, or with one too far ahead, where that is not waived.
    Endless,
    /// `iat` or `nbf` lies further ahead than clocks differ.
    FromTheFuture,
    /// Older than the waiver for legacy tokens allows.
    TooOld,
    Subject,
    /// Its `jti` has been used before.
    Replayed,
}

impl AssertionFault {
    /// The audit trail's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "assertion_malformed",
            Self::Header => "assertion_header",
            Self::UnknownIssuer => "assertion_unknown_issuer",
            Self::Algorithm => "assertion_algorithm",
            Self::UnknownKid => "assertion_unknown_kid",
            Self::Signature => "assertion_signature",
            Self::Claims => "assertion_claims",
            Self::Audience => "assertion_audience",
            Self::Expired => "assertion_expired",
            Self::Endless => "assertion_endless",
            Self::FromTheFuture => "assertion_from_the_future",
            Self::TooOld => "assertion_too_old",
            Self::Subject => "assertion_subject",
            Self::Replayed => "assertion_replayed",
        }
    }
}

/// The claims, if one of the keys has signed them.
pub(super) fn verified_claims(
    keys: &AssertionKeys,
    mut token: Compact<'_>,
    types: &[&str],
) -> Result<Map<String, Value>, AssertionFault> {
    let mut take = |name| match token.header.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(AssertionFault::Header),
    };
    let (algorithm, kid, typ) = (take("alg")?, take("kid")?, take("typ")?);
    // Thumbprints of certificates: names of keys, and no keys are looked up by them.
    let _ = (take("x5t")?, take("x5t#S256")?);
    let is_typed = typ.is_none_or(|typ| types.iter().any(|known| typ.eq_ignore_ascii_case(known)));
    if !token.header.is_empty() || !is_typed {
        return Err(AssertionFault::Header);
    }
    if algorithm.as_deref() != Some(keys.algorithm().name()) {
        return Err(AssertionFault::Algorithm);
    }
    let key = keys.named(kid.as_deref()).ok_or(AssertionFault::UnknownKid)?;
    if !token.is_signed_by(key, keys.algorithm()) {
        return Err(AssertionFault::Signature);
    }
    token.claims().ok_or(AssertionFault::Claims)
}

/// `exp`, `nbf` and `iat`, in Unix seconds.
pub(super) struct Times {
    pub exp: Option<i64>,
    nbf: Option<i64>,
    pub iat: Option<i64>,
}

impl Times {
    pub fn read(claims: &Map<String, Value>) -> Result<Self, AssertionFault> {
        let date =
            |name| claims.get(name).map(|value| jwt::numeric_date(value).ok_or(AssertionFault::Claims)).transpose();
        Ok(Self { exp: date("exp")?, nbf: date("nbf")?, iat: date("iat")? })
    }

    pub fn check(&self, now: Timestamp, clock_skew_seconds: Seconds) -> Result<(), AssertionFault> {
        if self.exp.is_some_and(|exp| Timestamp::from_unix_seconds(exp).plus(clock_skew_seconds) <= now) {
            return Err(AssertionFault::Expired);
        }
        let latest = now.plus(MAX_IAT_AHEAD_SECONDS).unix_seconds();
        if [self.nbf, self.iat].into_iter().flatten().any(|start| start > latest) {
            return Err(AssertionFault::FromTheFuture);
        }
        Ok(())
    }

    /// Whether `exp` is missing, or so far ahead that it might as well be.
    pub fn is_endless(&self, now: Timestamp, longest: Seconds) -> bool {
        self.exp.is_none_or(|exp| exp > now.plus(longest).unix_seconds())
    }
}
