//! Assertions (RFC 7521, RFC 7523): JWTs that others sign, an issuer to vouch for a user, a client to vouch for itself.
//!
//! Nothing is fetched from anywhere: the keys are in the registration, all of one algorithm, and which one is meant is
//! never for the assertion to say beyond its `kid`.

use super::jwt::{self, Compact};
use crate::{
    audit::Reason,
    json::{Map, Value},
    keys::AssertionKeys,
    policy::MAX_IAT_AHEAD_SECONDS,
    values::{Seconds, Timestamp},
};

/// The claims, if one of the keys has signed them.
pub(super) fn verified_claims(
    keys: &AssertionKeys,
    mut token: Compact<'_>,
    types: &[&str],
) -> Result<Map<String, Value>, Reason> {
    let mut take = |name| match token.header.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Reason::AssertionHeader),
    };
    let (algorithm, kid, typ) = (take("alg")?, take("kid")?, take("typ")?);
    // Thumbprints of certificates: names of keys, and no keys are looked up by them.
    let _ = (take("x5t")?, take("x5t#S256")?);
    let is_typed = typ.is_none_or(|typ| types.iter().any(|known| typ.eq_ignore_ascii_case(known)));
    if !token.header.is_empty() || !is_typed {
        return Err(Reason::AssertionHeader);
    }
    if algorithm.as_deref() != Some(keys.algorithm().name()) {
        return Err(Reason::AssertionAlgorithm);
    }
    let key = keys.named(kid.as_deref()).ok_or(Reason::AssertionUnknownKid)?;
    if !token.is_signed_by(key, keys.algorithm()) {
        return Err(Reason::AssertionSignature);
    }
    token.claims().ok_or(Reason::AssertionClaims)
}

/// `exp`, `nbf` and `iat`, in Unix seconds.
pub(super) struct Times {
    pub exp: Option<i64>,
    nbf: Option<i64>,
    pub iat: Option<i64>,
}

impl Times {
    pub fn read(claims: &Map<String, Value>) -> Result<Self, Reason> {
        let date =
            |name| claims.get(name).map(|value| jwt::numeric_date(value).ok_or(Reason::AssertionClaims)).transpose();
        Ok(Self { exp: date("exp")?, nbf: date("nbf")?, iat: date("iat")? })
    }

    pub fn check(&self, now: Timestamp, clock_skew_seconds: Seconds) -> Result<(), Reason> {
        if self.exp.is_some_and(|exp| Timestamp::from_unix_seconds(exp).plus(clock_skew_seconds) <= now) {
            return Err(Reason::AssertionExpired);
        }
        let latest = now.plus(MAX_IAT_AHEAD_SECONDS).unix_seconds();
        if [self.nbf, self.iat].into_iter().flatten().any(|start| start > latest) {
            return Err(Reason::AssertionFromTheFuture);
        }
        Ok(())
    }

    /// Whether `iat` says that it was made at `epoch` or later.
    pub fn is_made_since(&self, epoch: Timestamp) -> bool {
        self.iat.is_some_and(|iat| Timestamp::from_unix_seconds(iat) >= epoch)
    }

    /// Whether `exp` is missing, or so far ahead that it might as well be.
    pub fn is_endless(&self, now: Timestamp, longest: Seconds) -> bool {
        self.exp.is_none_or(|exp| exp > now.plus(longest).unix_seconds())
    }
}
