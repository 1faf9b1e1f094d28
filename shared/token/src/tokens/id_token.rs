//! ID tokens as hints: which session a browser wants to be signed out of (OpenID Connect RP-Initiated Logout 1.0 §2). They
//! are for nothing else here.

use super::jwt::{self, Compact};
use crate::{
    audit::Reason,
    failure::Unavailable,
    json::{Map, Value},
    keys::{KeyRing, SigningKey},
    policy::Policy,
    registrations::{Client, Registrations},
    values::{ClientId, Owner, SessionKey, Subject, Timestamp},
};

/// An ID token in compact form whose signature nobody has checked. Its only use is [`UnverifiedIdToken::verify`].
pub struct UnverifiedIdToken<'a> {
    token: Compact<'a>,
    kid: String,
}

/// An ID token that we signed. Says nothing about its times: a hint may have expired.
pub struct IdTokenHint<'r> {
    /// The session that it belongs to.
    pub session: SessionKey,
    /// The client that it was made for.
    pub client: &'r Client,
    /// The user.
    pub subject: Subject,
}

impl<'a> UnverifiedIdToken<'a> {
    /// Splits the compact form; `None` for anything else.
    pub fn parse(token: &'a str) -> Option<Self> {
        let token = Compact::parse(token)?;
        let kid = token.header.get("kid")?.as_str()?.to_owned();
        Some(Self { token, kid })
    }

    /// Which key the token names. May be unknown, and may be anything a stranger likes.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Checks header, signature and claims. Previous issuers are accepted as well: users who signed in before a move can sign
    /// out. Only asymmetric keys count: others know the HS256 ones.
    pub fn verify<'r>(
        &self,
        keys: &KeyRing,
        registrations: &'r Registrations,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Result<IdTokenHint<'r>, Reason>, Unavailable> {
        let Some(key) = keys.verifier(&self.kid, now.unix_seconds())? else { return Ok(Err(Reason::HintInvalid)) };
        let Some((session, client_id, subject)) = self.signed_by(key, policy) else {
            return Ok(Err(Reason::HintInvalid));
        };
        let client = registrations.client(client_id.as_str())?;
        Ok(client.map(|client| IdTokenHint { session, client, subject }).ok_or(Reason::ClientUnknown))
    }

    fn signed_by(&self, key: &SigningKey, policy: &Policy) -> Option<(SessionKey, ClientId, Subject)> {
        let header = Map::from_iter([
            ("alg".to_owned(), key.algorithm().name().into()),
            ("kid".to_owned(), self.kid.as_str().into()),
            ("typ".to_owned(), "JWT".into()),
        ]);
        let is_ours = !key.algorithm().is_symmetric()
            && self.token.header == header
            && self.token.is_signed_by(key.verifier(), key.algorithm().jose());
        let claims = self.token.claims().filter(|_| is_ours)?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let iss = text("iss")?;
        let is_issuer = iss == policy.issuer || policy.previous_issuers.iter().any(|previous| previous == iss);
        let has_times = ["iat", "exp"].iter().all(|name| claims.get(*name).and_then(jwt::numeric_date).is_some());
        let (client_id, subject) = (ClientId::parse(text("aud")?)?, Subject::parse(text("sub")?)?);
        let session = SessionKey::parse(text("sid")?)?;
        let is_whole = is_issuer && has_times && session.owner == Owner::of(&client_id, &subject);
        is_whole.then_some((session, client_id, subject))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, NOW, sign_hs256, sign_raw};

    const ISSUER: &str = "https://issuer.example";
    const SECRET: &str = "an example secret of 32+ bytes, not real";
    const HEADER: &str = r#"{"alg":"ES256","kid":"es","typ":"JWT"}"#;

    fn ring() -> KeyRing {
        let es = testing::pem_entry("es", "ES256", testing::one_es256_pem(), "");
        KeyRing::parse(&format!(r#"{{"signing":[{es},{}],"tagging":[]}}"#, testing::hs256_entry("hs", SECRET))).unwrap()
    }

    fn claims(change: impl Fn(&mut Map<String, Value>)) -> String {
        let session = testing::session(0).key;
        let claims = serde_json::json!({
            "iss": ISSUER, "sub": "alice", "aud": "librechat", "iat": 1, "exp": 2, "sid": session.to_string(),
        });
        let Value::Object(mut members) = claims else { unreachable!() };
        change(&mut members);
        Value::Object(members).to_string()
    }

    fn verified(token: &str) -> Result<SessionKey, Reason> {
        let registrations = Registrations::parse(
            r#"{"issuers":[],"clients":[{"client_id":"librechat","type":"public","audience":["librechat"]}]}"#,
        )
        .unwrap();
        let policy = Policy { previous_issuers: vec!["https://before.example".into()], ..Policy::new(ISSUER) };
        let token = UnverifiedIdToken::parse(token).ok_or(Reason::HintInvalid)?;
        token.verify(&ring(), &registrations, &policy, NOW).unwrap().map(|hint| hint.session)
    }

    fn signed(header: &str, claims: &str) -> String {
        sign_raw(ring().verifier("es", 0).unwrap().unwrap(), header, claims)
    }

    #[test]
    fn an_id_token_of_ours_is_a_hint_long_after_it_has_expired_and_after_a_move() {
        let session = testing::session(0).key;
        assert_eq!(verified(&signed(HEADER, &claims(|_| {}))), Ok(session));
        let moved = claims(|claims| drop(claims.insert("iss".into(), "https://before.example".into())));
        assert_eq!(verified(&signed(HEADER, &moved)), Ok(session));
    }

    #[test]
    fn what_is_no_id_token_of_ours_is_no_hint() {
        let invalid = Err(Reason::HintInvalid);
        let good = claims(|_| {});
        for header in [
            r#"{"alg":"ES256","kid":"es","typ":"at+jwt"}"#,
            r#"{"alg":"ES256","kid":"es"}"#,
            r#"{"alg":"ES256","kid":"es","typ":"JWT","crit":["exp"]}"#,
            r#"{"alg":"none","kid":"es","typ":"JWT"}"#,
            r#"{"alg":"ES256","kid":"unknown","typ":"JWT"}"#,
        ] {
            assert_eq!(verified(&signed(header, &good)), invalid, "{header}");
        }
        let forged = sign_hs256(SECRET, r#"{"alg":"HS256","kid":"hs","typ":"JWT"}"#, &good);
        assert_eq!(verified(&forged), invalid, "LibreChat knows that secret");
        let mut altered = signed(HEADER, &good);
        altered.replace_range(altered.len() - 8.., "AAAAAAAA");
        assert_eq!(verified(&altered), invalid);
        for (name, value) in [
            ("iss", "https://other.example".into()),
            ("aud", serde_json::json!(["librechat"])),
            ("aud", "other".into()),
            ("sub", "bob".into()),
            ("sid", "x".into()),
            ("exp", "2".into()),
        ] {
            let claims = claims(|claims| drop(claims.insert(name.into(), value.clone())));
            assert_eq!(verified(&signed(HEADER, &claims)), invalid, "{name} {value}");
        }
        assert_eq!(verified("no token"), invalid);
    }
}
