//! Assertions (RFC 7521, RFC 7523): JWTs that others sign, an issuer to vouch for a user, a client to vouch for itself.
//!
//! Nothing is fetched from anywhere: the keys are in the registration, each of one algorithm, and which one is meant is
//! never for the assertion to say beyond its `alg` and its `kid`.

use super::jwt::{self, Compact};
use crate::{
    audit::Reason,
    json::{Map, Value},
    keys::{AssertionKeys, NoKey},
    policy::MAX_IAT_AHEAD_SECONDS,
    values::{Seconds, Timestamp},
};

/// Header parameters that would bring a key along, or change what the signature means: a reader that does not see to
/// them must not go on (RFC 7515 §4.1, RFC 7797 §3). The last two belong to encrypted tokens (RFC 7516 §4.1).
const NOT_TO_BE_IGNORED: [&str; 8] = ["crit", "b64", "jku", "jwk", "x5u", "x5c", "enc", "zip"];

/// Claims that a header may repeat, with the same values (RFC 7519 §5.3).
const REPEATED: [&str; 3] = ["iss", "sub", "aud"];

/// The claims, if one of the keys has signed them. Whatever else is in the header, and not understood, does not count
/// (RFC 7515 §4).
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
    if NOT_TO_BE_IGNORED.iter().any(|name| token.header.contains_key(*name))
        || !typ.is_none_or(|typ| is_one_of(types, &typ))
    {
        return Err(Reason::AssertionHeader);
    }
    let key = keys.named(algorithm.as_deref(), kid.as_deref()).map_err(|why| match why {
        NoKey::Algorithm => Reason::AssertionAlgorithm,
        NoKey::Kid => Reason::AssertionUnknownKid,
    })?;
    if !token.is_signed_by(&key.key, key.algorithm) {
        return Err(Reason::AssertionSignature);
    }
    let claims = token.claims().ok_or(Reason::AssertionClaims)?;
    let says_otherwise = |name: &&str| token.header.get(*name).is_some_and(|said| claims.get(*name) != Some(said));
    if REPEATED.iter().any(says_otherwise) {
        return Err(Reason::AssertionHeader);
    }
    Ok(claims)
}

/// Whether `typ` is one of these media types, in upper or lower case, with or without `application/` (RFC 7515 §4.1.9).
fn is_one_of(types: &[&str], typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    let typ = typ.strip_prefix("application/").unwrap_or(&typ);
    types.iter().any(|known| known.eq_ignore_ascii_case(typ))
}

/// `exp`, `nbf` and `iat`, in Unix seconds; fractions of one do not count.
pub(super) struct Times {
    pub exp: Option<i64>,
    nbf: Option<i64>,
    pub iat: Option<i64>,
}

impl Times {
    pub fn read(claims: &Map<String, Value>) -> Result<Self, Reason> {
        let date = |name| {
            claims.get(name).map(|value| jwt::foreign_numeric_date(value).ok_or(Reason::AssertionClaims)).transpose()
        };
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
