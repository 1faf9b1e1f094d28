//! An issuer's assertion that vouches for a user (RFC 7523 §2.1).

use super::{
    assertion::{Times, verified_claims},
    jwt::{self, Compact},
};
use crate::{
    audit::Reason,
    json::{Map, Value},
    policy::{MAX_ACCESS_TOKEN_SECONDS, Policy},
    registrations::AssertionRules,
    values::{AssertionKey, IssuerId, Seconds, Subject, Timestamp},
};

/// A longer-lived issuer's assertion is as good as one without `exp` (RFC 7523 §3, item 4: unreasonably far in the
/// future): seven days.
pub const MAX_ASSERTION_SECONDS: Seconds = MAX_ACCESS_TOKEN_SECONDS;

/// What an authentic assertion of an issuer says.
pub(crate) struct Vouched {
    pub subject: Subject,
    /// All claims of the assertion; the client's registration decides which of them become custom claims.
    pub claims: Map<String, Value>,
    /// The only client that it is good for, if it names one: `azp` (OpenID Connect Core 1.0 §2) or `client_id` (RFC 9068
    /// §2.2).
    pub client_id: Option<String>,
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
    pub fn parse(assertion: &'a str) -> Result<Self, Reason> {
        let token = Compact::parse(assertion).ok_or(Reason::AssertionMalformed)?;
        let claims = token.claims().ok_or(Reason::AssertionMalformed)?;
        let iss = claims.get("iss").and_then(Value::as_str).ok_or(Reason::AssertionClaims)?.to_owned();
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
    ) -> Result<Vouched, Reason> {
        let claims = verified_claims(&rules.keys, self.token, &["JWT"])?;
        if claims.get("iss").and_then(Value::as_str) != Some(&rules.iss) {
            return Err(Reason::AssertionUnknownIssuer);
        }
        let times = Times::read(&claims)?;
        times.check(now, policy.clock_skew_seconds)?;
        if rules.not_before.is_some_and(|epoch| !times.is_made_since(epoch)) {
            return Err(Reason::AssertionBeforeEpoch);
        }
        let is_endless = times.is_endless(now, MAX_ASSERTION_SECONDS);
        let aud = claims.get("aud");
        match (aud.map(jwt::audience), &rules.aud) {
            (Some(Some(said)), Some(wanted)) if said == [wanted.as_str()] => {}
            (None, _) if rules.legacy_max_age_seconds.is_some() => {}
            _ => return Err(Reason::AssertionAudience),
        }
        let until = match rules.legacy_max_age_seconds {
            Some(max_age) if is_endless || aud.is_none() => {
                let iat = Timestamp::from_unix_seconds(times.iat.ok_or(Reason::AssertionClaims)?);
                let until = iat.plus(max_age);
                if until <= now {
                    return Err(Reason::AssertionTooOld);
                }
                until
            }
            _ if is_endless => return Err(Reason::AssertionEndless),
            _ => {
                Timestamp::from_unix_seconds(times.exp.ok_or(Reason::AssertionEndless)?).plus(policy.clock_skew_seconds)
            }
        };
        let once = match claims.get("jti") {
            None => None,
            Some(Value::String(jti)) if (1..=1024).contains(&jti.len()) => {
                Some(SingleUse { key: AssertionKey::of(issuer_id, jti), until })
            }
            Some(_) => return Err(Reason::AssertionClaims),
        };
        let subject = claims.get(&rules.subject_claim).and_then(subject).ok_or(Reason::AssertionSubject)?;
        let client_id = bound_client(&claims)?;
        Ok(Vouched { subject, claims, client_id, once })
    }
}

/// The client that the claims name; twice is as good as once, if it is the same.
fn bound_client(claims: &Map<String, Value>) -> Result<Option<String>, Reason> {
    let named = |name| claims.get(name).map(|value| value.as_str().ok_or(Reason::AssertionClaims)).transpose();
    match (named("azp")?, named("client_id")?) {
        (Some(azp), Some(client_id)) if azp != client_id => Err(Reason::AssertionClaims),
        (azp, client_id) => Ok(azp.or(client_id).map(str::to_owned)),
    }
}

/// Text, or a whole number, as many user tables have it; its decimal digits are the subject then.
fn subject(value: &Value) -> Option<Subject> {
    match value {
        Value::String(text) => Subject::parse(text),
        value => value.as_u64().and_then(|number| Subject::parse(&number.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        keys::{AssertionKeys, SecretHash},
        testing::{NOW, sign_hs256},
    };

    const SECRET: &str = "an example secret of 32+ bytes, not real";

    fn rules(legacy_max_age_seconds: Option<Seconds>) -> AssertionRules {
        AssertionRules {
            keys: AssertionKeys::of_secret(SecretHash::Sha256, SECRET.as_bytes()).unwrap(),
            iss: "portal".into(),
            aud: Some("latchkey".into()),
            subject_claim: "uid".into(),
            legacy_max_age_seconds,
            not_before: None,
            clients: None,
        }
    }

    fn verified(header: &str, claims: &Value, rules: &AssertionRules) -> Result<Vouched, Reason> {
        let token = sign_hs256(SECRET, header, &claims.to_string());
        let issuer = IssuerId::parse("portal").unwrap();
        UnverifiedAssertion::parse(&token)?.verify(&issuer, rules, &Policy::new("https://id.example.org"), NOW)
    }

    /// What is said of good claims with one of them changed, or left out by `null`.
    fn changed(name: &str, value: Value, rules: &AssertionRules) -> Option<Reason> {
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
            ("exp", json!(now), Some(Reason::AssertionExpired)),
            ("exp", Value::Null, Some(Reason::AssertionEndless)),
            ("exp", json!(now + week), None),
            ("exp", json!(now + week + 1), Some(Reason::AssertionEndless)),
            ("exp", json!("60"), Some(Reason::AssertionClaims)),
            ("exp", json!(-1), Some(Reason::AssertionClaims)),
            ("exp", json!(u64::MAX), Some(Reason::AssertionClaims)),
            ("exp", json!(1e9), Some(Reason::AssertionExpired)),
            ("exp", json!(now as f64 + 1.5), None),
            ("exp", json!(now as f64 + 0.5), Some(Reason::AssertionExpired)),
            ("exp", json!(1.9e9), Some(Reason::AssertionEndless)),
            ("exp", json!(-0.5), Some(Reason::AssertionClaims)),
            ("exp", json!(1e300), Some(Reason::AssertionClaims)),
            ("iat", Value::Null, None),
            ("iat", json!(1.7e9), None),
            ("iat", json!(now as f64 - 0.25), None),
            ("iat", json!(now as f64 + 61.5), Some(Reason::AssertionFromTheFuture)),
            ("iat", json!([now]), Some(Reason::AssertionClaims)),
            ("nbf", json!(now as f64 - 0.5), None),
            ("iat", json!(now + 60), None),
            ("iat", json!(now + 61), Some(Reason::AssertionFromTheFuture)),
            ("nbf", json!(now + 60), None),
            ("nbf", json!(now + 61), Some(Reason::AssertionFromTheFuture)),
            ("aud", json!(["latchkey"]), None),
            ("aud", json!(["latchkey", "other"]), Some(Reason::AssertionAudience)),
            ("aud", json!("latchkey/"), Some(Reason::AssertionAudience)),
            ("aud", json!([]), Some(Reason::AssertionAudience)),
            ("aud", Value::Null, Some(Reason::AssertionAudience)),
            ("iss", json!("Portal"), Some(Reason::AssertionUnknownIssuer)),
            ("iss", json!(["portal"]), Some(Reason::AssertionClaims)),
            ("uid", json!(42), None),
            ("uid", json!(4.5), Some(Reason::AssertionSubject)),
            ("uid", json!(""), Some(Reason::AssertionSubject)),
            ("uid", Value::Null, Some(Reason::AssertionSubject)),
            ("azp", json!("librechat"), None),
            ("azp", json!(["librechat"]), Some(Reason::AssertionClaims)),
            ("client_id", json!(7), Some(Reason::AssertionClaims)),
            ("jti", json!("x"), None),
            ("jti", json!(""), Some(Reason::AssertionClaims)),
            ("jti", json!(5), Some(Reason::AssertionClaims)),
        ] {
            assert_eq!(changed(name, value.clone(), &rules), expected, "{name}: {value}");
        }
    }

    #[test]
    fn an_assertion_from_before_the_epoch_or_of_unknown_age_is_refused() {
        let rules = AssertionRules { not_before: Some(NOW), ..rules(Some(1000)) };
        let now = NOW.unix_seconds();
        assert_eq!(changed("iat", json!(now), &rules), None);
        assert_eq!(changed("iat", json!(now - 1), &rules), Some(Reason::AssertionBeforeEpoch));
        assert_eq!(changed("iat", Value::Null, &rules), Some(Reason::AssertionBeforeEpoch));
    }

    #[test]
    fn the_waiver_is_for_what_is_missing_and_for_a_time() {
        let now = NOW.unix_seconds();
        let rules = rules(Some(1000));
        assert_eq!(changed("exp", Value::Null, &rules), None);
        assert_eq!(changed("exp", json!(now + 315_360_000), &rules), None, "ten years are no expiry");
        assert_eq!(changed("exp", json!(now - 1), &rules), Some(Reason::AssertionExpired));
        assert_eq!(changed("aud", Value::Null, &rules), None);
        assert_eq!(changed("aud", json!("other"), &rules), Some(Reason::AssertionAudience));
        let legacy =
            |iat: Value| verified(r#"{"alg":"HS256"}"#, &json!({"iss": "portal", "uid": 7, "iat": iat}), &rules).err();
        assert_eq!(legacy(json!(now - 999)), None);
        assert_eq!(legacy(json!(now - 1000)), Some(Reason::AssertionTooOld));
        assert_eq!(legacy(json!(now + 61)), Some(Reason::AssertionFromTheFuture));
        assert_eq!(legacy(json!("x")), Some(Reason::AssertionClaims));
        let without_iat = verified(r#"{"alg":"HS256"}"#, &json!({"iss": "portal", "uid": 7}), &rules).err();
        assert_eq!(without_iat, Some(Reason::AssertionClaims));
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
    fn the_client_that_it_names_is_the_only_one() {
        let now = NOW.unix_seconds();
        let bound = |more: &[(&str, &str)]| {
            let mut claims = json!({"iss": "portal", "aud": "latchkey", "uid": "alice", "exp": now + 60});
            more.iter().for_each(|(name, value)| claims[*name] = json!(value));
            verified(r#"{"alg":"HS256"}"#, &claims, &rules(None)).map(|vouched| vouched.client_id)
        };
        let a = || Ok(Some("a".to_owned()));
        assert_eq!(bound(&[]), Ok(None));
        assert_eq!((bound(&[("azp", "a")]), bound(&[("client_id", "a")])), (a(), a()));
        assert_eq!(bound(&[("azp", "a"), ("client_id", "a")]), a());
        assert_eq!(bound(&[("azp", "a"), ("client_id", "b")]), Err(Reason::AssertionClaims));
    }

    #[test]
    fn the_header_names_the_registered_algorithm_and_nothing_that_would_bring_a_key_along() {
        let now = NOW.unix_seconds();
        let claims = json!({"iss": "portal", "aud": "latchkey", "uid": "a", "exp": now + 60});
        for (header, expected) in [
            (r#"{"alg":"HS256","typ":"JWT","kid":"any"}"#, None),
            (r#"{"alg":"HS256","typ":"jwt","x5t":"AA","x5t#S256":"AA"}"#, None),
            (r#"{"alg":"HS256","typ":"application/jwt","cty":"JWT","acme.tenant":{"id":7}}"#, None),
            (r#"{"alg":"HS256","typ":"Application/JWT","iss":"portal","nonce":[1]}"#, None),
            (r#"{"alg":"HS256","iss":"elsewhere"}"#, Some(Reason::AssertionHeader)),
            (r#"{"alg":"HS256","typ":"text/jwt"}"#, Some(Reason::AssertionHeader)),
            (r#"{"alg":"HS256","x5u":"https://127.0.0.1/"}"#, Some(Reason::AssertionHeader)),
            (r#"{"alg":"HS256","zip":"DEF"}"#, Some(Reason::AssertionHeader)),
            (r#"{"alg":"HS384"}"#, Some(Reason::AssertionAlgorithm)),
            (r#"{"alg":"RS256"}"#, Some(Reason::AssertionAlgorithm)),
            (r#"{"alg":"none"}"#, Some(Reason::AssertionAlgorithm)),
            (r#"{"alg":"hs256"}"#, Some(Reason::AssertionAlgorithm)),
            (r#"{"alg":5}"#, Some(Reason::AssertionHeader)),
            ("{}", Some(Reason::AssertionAlgorithm)),
            (r#"{"alg":"HS256","typ":"at+jwt"}"#, Some(Reason::AssertionHeader)),
            (r#"{"alg":"HS256","jku":"https://127.0.0.1/"}"#, Some(Reason::AssertionHeader)),
            (r#"{"alg":"HS256","jwk":{}}"#, Some(Reason::AssertionHeader)),
            (r#"{"alg":"HS256","x5c":["AA"]}"#, Some(Reason::AssertionHeader)),
            (r#"{"alg":"HS256","crit":["exp"]}"#, Some(Reason::AssertionHeader)),
            (r#"{"alg":"HS256","b64":false}"#, Some(Reason::AssertionHeader)),
            (r#"{"alg":"HS256","alg":"HS256"}"#, Some(Reason::AssertionMalformed)),
        ] {
            assert_eq!(verified(header, &claims, &rules(None)).err(), expected, "{header}");
        }
        let other =
            sign_hs256("another secret of 32 bytes or more, not real", r#"{"alg":"HS256"}"#, &claims.to_string());
        let issuer = IssuerId::parse("portal").unwrap();
        let judged = UnverifiedAssertion::parse(&other).unwrap().verify(&issuer, &rules(None), &Policy::new("x"), NOW);
        assert_eq!(judged.err(), Some(Reason::AssertionSignature));
    }
}
