//! Assertions (RFC 7521, RFC 7523): JWTs that others sign, an issuer to vouch for a user, a client to vouch for itself.
//!
//! Nothing is fetched from anywhere: the keys are in the registration, all of one algorithm, and which one is meant is
//! never for the assertion to say beyond its `kid`.

use std::fmt;

use jsonwebtoken::{
    DecodingKey,
    jwk::{AlgorithmParameters, Jwk, PublicKeyUse},
};

use crate::{
    identity::{AssertionKey, IssuerId, Subject},
    json::{Map, Value},
    jwt::{self, Compact},
    keys::{Algorithm, MIN_HMAC_BYTES, MIN_RSA_BITS, rsa_bits},
    policy::{MAX_ACCESS_TOKEN_SECONDS, MAX_IAT_AHEAD_SECONDS, Policy},
    time::{Seconds, Timestamp},
};

/// A longer-lived issuer's assertion is as good as one without `exp` (RFC 7523 §3, item 4: unreasonably far in the
/// future): seven days.
pub const MAX_ASSERTION_SECONDS: Seconds = MAX_ACCESS_TOKEN_SECONDS;
/// A client makes its assertions for the request at hand: `exp` is at most an hour ahead.
pub const MAX_CLIENT_ASSERTION_SECONDS: Seconds = 3600;
/// The longest `legacy_max_age_seconds`: ten years.
pub const MAX_LEGACY_AGE_SECONDS: Seconds = 315_360_000;

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

/// What a party's assertions are verified with: public keys, or one shared secret. One algorithm for all.
#[derive(Clone)]
pub struct AssertionKeys {
    algorithm: Algorithm,
    keys: Vec<(Option<String>, DecodingKey)>,
}

/// Says which algorithm, never a key: one of them may be a secret.
impl fmt::Debug for AssertionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AssertionKeys({}, {})", self.algorithm, self.keys.len())
    }
}

impl AssertionKeys {
    /// The keys of a JWK set (RFC 7517 §5): public, for signatures, each with the same `alg`, told apart by `kid` where
    /// there are several. The error says what is wrong and quotes nothing.
    pub(crate) fn of_jwks(value: Value) -> Result<Self, String> {
        let list = value.get("keys").and_then(Value::as_array).filter(|list| !list.is_empty());
        let list = list.ok_or("must be a JWK set with at least one key: {\"keys\":[…]}")?;
        let keys = list.iter().map(public_key).collect::<Result<Vec<_>, _>>()?;
        let (algorithm, _, _) = keys.first().ok_or("must hold a key")?;
        let algorithm = *algorithm;
        if keys.iter().any(|(other, _, _)| *other != algorithm) {
            return Err("all keys must have the same alg".into());
        }
        let kids: Vec<&String> = keys.iter().filter_map(|(_, kid, _)| kid.as_ref()).collect();
        let is_told_apart = kids.len() == keys.len() || keys.len() == 1;
        if !is_told_apart
            || kids.iter().enumerate().any(|(index, kid)| kids.iter().skip(index + 1).any(|other| other == kid))
        {
            return Err("several keys need a kid each, none twice".into());
        }
        Ok(Self { algorithm, keys: keys.into_iter().map(|(_, kid, key)| (kid, key)).collect() })
    }

    /// HS256 with a secret that both sides know, at least 32 bytes (RFC 7518 §3.2).
    pub(crate) fn of_hs256_secret(secret: &str) -> Result<Self, String> {
        if secret.len() < MIN_HMAC_BYTES {
            return Err(format!("is shorter than the {MIN_HMAC_BYTES} bytes that HS256 needs"));
        }
        Ok(Self { algorithm: Algorithm::Hs256, keys: vec![(None, DecodingKey::from_secret(secret.as_bytes()))] })
    }

    /// The claims, if one of the keys has signed them.
    fn verified_claims(&self, mut token: Compact<'_>, types: &[&str]) -> Result<Map<String, Value>, AssertionFault> {
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
        if algorithm.as_deref() != Some(self.algorithm.name()) {
            return Err(AssertionFault::Algorithm);
        }
        let key = match (self.keys.as_slice(), &kid) {
            ([(own, key)], kid) if own.is_none() || kid.is_none() || own == kid => key,
            (keys, Some(kid)) => {
                let named = keys.iter().find(|(own, _)| own.as_ref() == Some(kid));
                &named.ok_or(AssertionFault::UnknownKid)?.1
            }
            (_, None) => return Err(AssertionFault::UnknownKid),
        };
        if !token.is_signed_by(key, self.algorithm) {
            return Err(AssertionFault::Signature);
        }
        token.claims().ok_or(AssertionFault::Claims)
    }
}

fn public_key(value: &Value) -> Result<(Algorithm, Option<String>, DecodingKey), String> {
    // `oct` keys have `k`; private keys all have `d`.
    if value.get("d").is_some() || value.get("k").is_some() {
        return Err("holds a private or symmetric key: public keys only".into());
    }
    let jwk: Jwk = serde_json::from_value(value.clone()).map_err(|_| "holds something that is not a JWK")?;
    let algorithm = value.get("alg").and_then(Value::as_str).and_then(Algorithm::parse);
    let algorithm = algorithm
        .filter(|algorithm| !algorithm.is_symmetric())
        .ok_or("every key needs an alg: RS256, PS256, ES256 or EdDSA")?;
    let fits = match (&jwk.algorithm, algorithm) {
        (AlgorithmParameters::RSA(rsa), Algorithm::Rs256 | Algorithm::Ps256) => rsa_bits(&rsa.n) >= MIN_RSA_BITS,
        (AlgorithmParameters::EllipticCurve(ec), Algorithm::Es256) => {
            ec.curve == jsonwebtoken::jwk::EllipticCurve::P256
        }
        (AlgorithmParameters::OctetKeyPair(okp), Algorithm::EdDsa) => {
            okp.curve == jsonwebtoken::jwk::EllipticCurve::Ed25519
        }
        _ => false,
    };
    if !fits {
        return Err(format!("holds a key that is not one for its alg, or weaker than {MIN_RSA_BITS} bits of RSA"));
    }
    if jwk.common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature) {
        return Err("holds a key that is not for signatures".into());
    }
    let key = DecodingKey::from_jwk(&jwk).map_err(|_| "holds a key that cannot be read")?;
    Ok((algorithm, jwk.common.key_id, key))
}

/// What an issuer's assertions must be like: its registration.
#[derive(Clone, Debug)]
pub struct AssertionRules {
    pub(crate) keys: AssertionKeys,
    /// `iss`, byte for byte.
    pub(crate) iss: String,
    /// `aud`, byte for byte, alone or as the only one of a list.
    pub(crate) aud: Option<String>,
    /// The claim that names the user.
    pub(crate) subject_claim: String,
    /// Waives `exp` and `aud` where they are missing, for tokens no older than this by `iat`.
    pub(crate) legacy_max_age_seconds: Option<Seconds>,
}

/// What an authentic assertion of an issuer says.
pub(crate) struct Vouched {
    pub subject: Subject,
    /// All claims of the assertion; the client's registration decides which of them become custom claims.
    pub claims: Map<String, Value>,
    /// Where the assertion may be used once only.
    pub once: Option<SingleUse>,
}

/// An assertion with a `jti`: to be used once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SingleUse {
    /// Under which the use is recorded.
    pub key: AssertionKey,
    /// When the assertion is refused for its age anyway.
    pub until: Timestamp,
}

/// An issuer's assertion, in pieces and not yet believed.
pub(crate) struct UnverifiedAssertion<'a> {
    token: Compact<'a>,
    iss: String,
}

impl<'a> UnverifiedAssertion<'a> {
    pub fn parse(assertion: &'a str) -> Result<Self, AssertionFault> {
        let token = Compact::parse(assertion).ok_or(AssertionFault::Malformed)?;
        let claims = token.claims().ok_or(AssertionFault::Malformed)?;
        let iss = claims.get("iss").and_then(Value::as_str).ok_or(AssertionFault::Claims)?.to_owned();
        Ok(Self { token, iss })
    }

    /// Who would have signed it: for a registration to be found by, nothing else.
    pub fn iss(&self) -> &str {
        &self.iss
    }

    /// Checks everything that can be checked without the store (RFC 7523 §3).
    pub fn verify(
        self,
        issuer_id: &IssuerId,
        rules: &AssertionRules,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Vouched, AssertionFault> {
        let claims = rules.keys.verified_claims(self.token, &["JWT"])?;
        if claims.get("iss").and_then(Value::as_str) != Some(&rules.iss) {
            return Err(AssertionFault::UnknownIssuer);
        }
        let times = Times::read(&claims)?;
        times.check(now, policy.clock_skew_seconds)?;
        let is_endless = times.is_endless(now, MAX_ASSERTION_SECONDS);
        let aud = claims.get("aud");
        match (aud.map(jwt::audience), &rules.aud) {
            (Some(Some(said)), Some(wanted)) if said == [wanted.as_str()] => {}
            (None, _) if rules.legacy_max_age_seconds.is_some() => {}
            _ => return Err(AssertionFault::Audience),
        }
        let until = match rules.legacy_max_age_seconds {
            Some(max_age) if is_endless || aud.is_none() => {
                let iat = Timestamp::from_unix_seconds(times.iat.ok_or(AssertionFault::Claims)?);
                let until = iat.plus(max_age);
                if until <= now {
                    return Err(AssertionFault::TooOld);
                }
                until
            }
            _ if is_endless => return Err(AssertionFault::Endless),
            _ => {
                Timestamp::from_unix_seconds(times.exp.ok_or(AssertionFault::Endless)?).plus(policy.clock_skew_seconds)
            }
        };
        let once = match claims.get("jti") {
            None => None,
            Some(Value::String(jti)) if (1..=1024).contains(&jti.len()) => {
                Some(SingleUse { key: AssertionKey::of(issuer_id, jti), until })
            }
            Some(_) => return Err(AssertionFault::Claims),
        };
        let subject = claims.get(&rules.subject_claim).and_then(subject).ok_or(AssertionFault::Subject)?;
        Ok(Vouched { subject, claims, once })
    }
}

/// Text, or a whole number, as many user tables have it; its decimal digits are the subject then.
fn subject(value: &Value) -> Option<Subject> {
    match value {
        Value::String(text) => Subject::parse(text),
        value => value.as_u64().and_then(|number| Subject::parse(&number.to_string())),
    }
}

/// `exp`, `nbf` and `iat`, in Unix seconds.
struct Times {
    exp: Option<i64>,
    nbf: Option<i64>,
    iat: Option<i64>,
}

impl Times {
    fn read(claims: &Map<String, Value>) -> Result<Self, AssertionFault> {
        let date =
            |name| claims.get(name).map(|value| jwt::numeric_date(value).ok_or(AssertionFault::Claims)).transpose();
        Ok(Self { exp: date("exp")?, nbf: date("nbf")?, iat: date("iat")? })
    }

    fn check(&self, now: Timestamp, clock_skew_seconds: Seconds) -> Result<(), AssertionFault> {
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
    fn is_endless(&self, now: Timestamp, longest: Seconds) -> bool {
        self.exp.is_none_or(|exp| exp > now.plus(longest).unix_seconds())
    }
}

/// How a client says who it is by an assertion: `private_key_jwt` (OpenID Connect Core 1.0 §9, RFC 7523 §2.2).
pub struct ClientAssertion {
    pub assertion: String,
    /// `client_id`, where the request has one as well: it must be the same.
    pub client_id: Option<String>,
}

impl ClientAssertion {
    /// Whom the assertion claims to come from: for a registration to be found by, nothing else.
    pub(crate) fn claimed_id(&self) -> Option<String> {
        let claims = Compact::parse(&self.assertion)?.claims()?;
        claims.get("sub").and_then(Value::as_str).map(str::to_owned)
    }

    /// Checks that the client `id` made the assertion with one of `keys`, for us alone and not long ago.
    ///
    /// `iss` and `sub` are the client's id, `aud` is our issuer identifier and nothing else (the update of RFC 7523
    /// that closes audience injection), `exp` is at most an hour ahead. It may be used again within its life: whoever has
    /// overheard the request has also the refresh token in it, and what that is worth is for the session to say.
    pub(crate) fn verify(
        &self,
        id: &str,
        keys: &AssertionKeys,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<(), AssertionFault> {
        let token = Compact::parse(&self.assertion).ok_or(AssertionFault::Malformed)?;
        let claims = keys.verified_claims(token, &["JWT", "client-authentication+jwt"])?;
        let says = |name| claims.get(name).and_then(Value::as_str) == Some(id);
        if !says("iss") || !says("sub") || self.client_id.as_deref().is_some_and(|named| named != id) {
            return Err(AssertionFault::Claims);
        }
        if claims.get("aud").and_then(jwt::audience).is_none_or(|said| said != [policy.issuer.as_str()]) {
            return Err(AssertionFault::Audience);
        }
        let times = Times::read(&claims)?;
        times.check(now, policy.clock_skew_seconds)?;
        if times.is_endless(now, MAX_CLIENT_ASSERTION_SECONDS) {
            return Err(AssertionFault::Endless);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::EncodingKey;
    use serde_json::json;

    use super::*;
    use crate::testing::{NOW, es256_pem, rsa_pem, sign_hs256};

    const SECRET: &str = "an example secret of 32+ bytes, not real";

    fn jwk(algorithm: Algorithm, key: &EncodingKey, kid: Option<&str>) -> Value {
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(key, algorithm.jose()).unwrap()).unwrap();
        jwk["alg"] = algorithm.name().into();
        if let Some(kid) = kid {
            jwk["kid"] = kid.into();
        }
        jwk
    }

    fn es256(kid: Option<&str>) -> Value {
        jwk(Algorithm::Es256, &EncodingKey::from_ec_pem(es256_pem().as_bytes()).unwrap(), kid)
    }

    fn fault(keys: Value) -> String {
        AssertionKeys::of_jwks(json!({"keys": keys})).unwrap_err()
    }

    #[test]
    fn a_key_set_holds_public_signature_keys_of_one_algorithm_told_apart() {
        let rsa = jwk(Algorithm::Rs256, &EncodingKey::from_rsa_pem(rsa_pem(2048).as_bytes()).unwrap(), Some("r"));
        for good in
            [json!([es256(None)]), json!([es256(Some("a"))]), json!([es256(Some("a")), es256(Some("b"))]), json!([rsa])]
        {
            assert!(AssertionKeys::of_jwks(json!({"keys": good})).is_ok());
        }
        assert!(AssertionKeys::of_jwks(json!([])).is_err() && fault(json!([])).contains("at least one key"));
        assert!(fault(json!([es256(Some("a")), rsa])).contains("same alg"));
        assert!(fault(json!([es256(Some("a")), es256(Some("a"))])).contains("none twice"));
        assert!(fault(json!([es256(Some("a")), es256(None)])).contains("a kid each"));
        let changed = |name: &str, value: Value| {
            let mut key = es256(None);
            key[name] = value;
            fault(json!([key]))
        };
        assert!(changed("d", "AA".into()).contains("public keys only"));
        assert!(changed("use", "enc".into()).contains("not for signatures"));
        assert!(changed("alg", "RS256".into()).contains("not one for its alg"));
        assert!(changed("alg", "HS256".into()).contains("needs an alg"));
        assert!(changed("alg", Value::Null).contains("needs an alg"));
        assert!(changed("x", "%".into()).contains("cannot be read"));
        assert!(fault(json!([{"kty": "oct", "alg": "HS256", "k": "AA"}])).contains("public keys only"));
        assert!(AssertionKeys::of_hs256_secret(&SECRET[..31]).unwrap_err().contains("32 bytes"));
        assert!(AssertionKeys::of_hs256_secret(&SECRET[..32]).is_ok());
    }

    #[test]
    fn nothing_of_a_secret_is_ever_shown() {
        assert_eq!(format!("{:?}", AssertionKeys::of_hs256_secret(SECRET).unwrap()), "AssertionKeys(HS256, 1)");
    }

    fn rules(legacy_max_age_seconds: Option<Seconds>) -> AssertionRules {
        AssertionRules {
            keys: AssertionKeys::of_hs256_secret(SECRET).unwrap(),
            iss: "portal".into(),
            aud: Some("latchkey".into()),
            subject_claim: "uid".into(),
            legacy_max_age_seconds,
        }
    }

    fn verified(header: &str, claims: &Value, rules: &AssertionRules) -> Result<Vouched, AssertionFault> {
        let token = sign_hs256(SECRET, header, &claims.to_string());
        let issuer = IssuerId::parse("portal").unwrap();
        UnverifiedAssertion::parse(&token)?.verify(&issuer, rules, &Policy::new("https://id.example.org"), NOW)
    }

    /// What is said of good claims with one of them changed, or left out by `null`.
    fn changed(name: &str, value: Value, rules: &AssertionRules) -> Option<AssertionFault> {
        let now = NOW.unix_seconds();
        let mut claims = json!({"iss": "portal", "aud": "latchkey", "uid": "alice", "iat": now, "exp": now + 60});
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value,
        }
        verified(r#"{"alg":"HS256"}"#, &claims, rules).err()
    }

    #[test]
    fn each_claim_is_judged_by_its_own_rule() {
        let now = NOW.unix_seconds();
        let rules = rules(None);
        let week = i64::from(MAX_ASSERTION_SECONDS);
        for (name, value, expected) in [
            ("exp", json!(now + 60), None),
            ("exp", json!(now), Some(AssertionFault::Expired)),
            ("exp", Value::Null, Some(AssertionFault::Endless)),
            ("exp", json!(now + week), None),
            ("exp", json!(now + week + 1), Some(AssertionFault::Endless)),
            ("exp", json!("60"), Some(AssertionFault::Claims)),
            ("exp", json!(-1), Some(AssertionFault::Claims)),
            ("exp", json!(u64::MAX), Some(AssertionFault::Claims)),
            ("exp", json!(1e9), Some(AssertionFault::Claims)),
            ("iat", Value::Null, None),
            ("iat", json!(now + 60), None),
            ("iat", json!(now + 61), Some(AssertionFault::FromTheFuture)),
            ("nbf", json!(now + 60), None),
            ("nbf", json!(now + 61), Some(AssertionFault::FromTheFuture)),
            ("aud", json!(["latchkey"]), None),
            ("aud", json!(["latchkey", "other"]), Some(AssertionFault::Audience)),
            ("aud", json!("latchkey/"), Some(AssertionFault::Audience)),
            ("aud", json!([]), Some(AssertionFault::Audience)),
            ("aud", Value::Null, Some(AssertionFault::Audience)),
            ("iss", json!("Portal"), Some(AssertionFault::UnknownIssuer)),
            ("iss", json!(["portal"]), Some(AssertionFault::Claims)),
            ("uid", json!(42), None),
            ("uid", json!(4.5), Some(AssertionFault::Subject)),
            ("uid", json!(""), Some(AssertionFault::Subject)),
            ("uid", Value::Null, Some(AssertionFault::Subject)),
            ("jti", json!("x"), None),
            ("jti", json!(""), Some(AssertionFault::Claims)),
            ("jti", json!(5), Some(AssertionFault::Claims)),
        ] {
            assert_eq!(changed(name, value.clone(), &rules), expected, "{name}: {value}");
        }
    }

    #[test]
    fn the_waiver_is_for_what_is_missing_and_for_a_time() {
        let now = NOW.unix_seconds();
        let rules = rules(Some(1000));
        assert_eq!(changed("exp", Value::Null, &rules), None);
        assert_eq!(changed("exp", json!(now + 315_360_000), &rules), None, "ten years are no expiry");
        assert_eq!(changed("exp", json!(now - 1), &rules), Some(AssertionFault::Expired));
        assert_eq!(changed("aud", Value::Null, &rules), None);
        assert_eq!(changed("aud", json!("other"), &rules), Some(AssertionFault::Audience));
        let legacy =
            |iat: Value| verified(r#"{"alg":"HS256"}"#, &json!({"iss": "portal", "uid": 7, "iat": iat}), &rules).err();
        assert_eq!(legacy(json!(now - 999)), None);
        assert_eq!(legacy(json!(now - 1000)), Some(AssertionFault::TooOld));
        assert_eq!(legacy(json!(now + 61)), Some(AssertionFault::FromTheFuture));
        assert_eq!(legacy(json!("x")), Some(AssertionFault::Claims));
        let without_iat = verified(r#"{"alg":"HS256"}"#, &json!({"iss": "portal", "uid": 7}), &rules).err();
        assert_eq!(without_iat, Some(AssertionFault::Claims));
    }

    #[test]
    fn a_use_is_remembered_for_as_long_as_the_assertion_could_come_again() {
        let now = NOW.unix_seconds();
        let once = |claims: Value, rules: &AssertionRules| {
            verified(r#"{"alg":"HS256"}"#, &claims, rules).unwrap().once.unwrap()
        };
        let claims =
            json!({"iss": "portal", "aud": "latchkey", "uid": "a", "iat": now - 10, "exp": now + 60, "jti": "j"});
        assert_eq!(once(claims, &rules(None)).until, NOW.plus(60));
        let legacy = json!({"iss": "portal", "uid": "a", "iat": now - 10, "jti": "j"});
        assert_eq!(once(legacy, &rules(Some(1000))).until, NOW.plus(990));
        let portal = IssuerId::parse("portal").unwrap();
        assert_ne!(AssertionKey::of(&portal, "a"), AssertionKey::of(&portal, "b"));
        assert_ne!(AssertionKey::of(&portal, "a"), AssertionKey::of(&IssuerId::parse("portal2").unwrap(), "a"));
    }

    #[test]
    fn the_header_names_the_registered_algorithm_and_nothing_that_would_bring_a_key_along() {
        let now = NOW.unix_seconds();
        let claims = json!({"iss": "portal", "aud": "latchkey", "uid": "a", "exp": now + 60});
        for (header, expected) in [
            (r#"{"alg":"HS256","typ":"JWT","kid":"any"}"#, None),
            (r#"{"alg":"HS256","typ":"jwt","x5t":"AA","x5t#S256":"AA"}"#, None),
            (r#"{"alg":"HS384"}"#, Some(AssertionFault::Algorithm)),
            (r#"{"alg":"RS256"}"#, Some(AssertionFault::Algorithm)),
            (r#"{"alg":"none"}"#, Some(AssertionFault::Algorithm)),
            (r#"{"alg":"hs256"}"#, Some(AssertionFault::Algorithm)),
            (r#"{"alg":5}"#, Some(AssertionFault::Header)),
            ("{}", Some(AssertionFault::Algorithm)),
            (r#"{"alg":"HS256","typ":"at+jwt"}"#, Some(AssertionFault::Header)),
            (r#"{"alg":"HS256","jku":"https://127.0.0.1/"}"#, Some(AssertionFault::Header)),
            (r#"{"alg":"HS256","jwk":{}}"#, Some(AssertionFault::Header)),
            (r#"{"alg":"HS256","x5c":["AA"]}"#, Some(AssertionFault::Header)),
            (r#"{"alg":"HS256","crit":["exp"]}"#, Some(AssertionFault::Header)),
            (r#"{"alg":"HS256","b64":false}"#, Some(AssertionFault::Header)),
            (r#"{"alg":"HS256","alg":"HS256"}"#, Some(AssertionFault::Malformed)),
        ] {
            assert_eq!(verified(header, &claims, &rules(None)).err(), expected, "{header}");
        }
        let other =
            sign_hs256("another secret of 32 bytes or more, not real", r#"{"alg":"HS256"}"#, &claims.to_string());
        let issuer = IssuerId::parse("portal").unwrap();
        let judged = UnverifiedAssertion::parse(&other).unwrap().verify(&issuer, &rules(None), &Policy::new("x"), NOW);
        assert_eq!(judged.err(), Some(AssertionFault::Signature));
    }
}
