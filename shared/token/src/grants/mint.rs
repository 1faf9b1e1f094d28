//! Makes the tokens of an answer from a session record.

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Header;

use crate::{
    documents::Signers,
    failure::Unavailable,
    json::{Map, Value},
    keys::{Signer, TagKey},
    registrations::Client,
    session::{Authentication, Session},
    tokens::{RefreshSecret, RefreshToken, access_token_type},
    values::{AskedScope, Generation, OPENID, Scope, SessionKey, Timestamp, first_16},
};

/// What issue and renewal answer. Holds live tokens: has no `Debug`.
pub struct TokenSet {
    /// A signed JWT in compact form: RFC 9068, or the profile `librechat`.
    pub access_token: String,
    /// Seconds.
    pub expires_in: i64,
    /// Starts with `lk1_`. It can be used once; within the retry time its renewal can be repeated.
    pub refresh_token: String,
    /// Seconds until the session ends if nobody renews it.
    pub refresh_token_expires_in: i64,
    /// What the access token allows (RFC 6749 §5.1); may be less than was asked for.
    pub scope: Scope,
    /// The ID token (OpenID Connect Core §2); `None` unless the session's scope has `openid`.
    pub id_token: Option<String>,
    /// The session that the tokens belong to: `session_id` in the answer.
    pub session: SessionKey,
    pub(crate) jti: String,
}

/// What an access token allows, and where.
pub(crate) struct Reach {
    pub scope: Scope,
    pub audience: Vec<String>,
}

/// What an answer is made from.
pub(crate) struct Mint<'a> {
    pub session: &'a Session,
    pub client: &'a Client,
    pub issuer: &'a str,
    pub signers: &'a Signers<'a>,
    pub now: Timestamp,
}

/// The times of one access token, in Unix seconds.
#[derive(Clone, Copy)]
pub(crate) struct Validity {
    pub iat: i64,
    pub exp: i64,
}

impl Mint<'_> {
    /// Scope of the session that the registration still allows.
    fn scope(&self) -> Scope {
        self.session.scope.intersection(&self.client.scope)
    }

    /// All that the session has and the registration still allows.
    pub(crate) fn reach(&self) -> Reach {
        Reach { scope: self.scope(), audience: self.client.allowed_audience(&self.session.audience) }
    }

    /// `scope` and `resources` narrow this answer's access token. A scope with nothing in common leaves what the session has.
    /// Resources that are registered, but were not when the session was issued, are in the token all the same: its client is
    /// about to hand it over to them, and must not hand over one for somebody else. It is not live anywhere
    /// ([`Backing::scope_of`](crate::session::Backing::scope_of)).
    pub(crate) fn narrowed_reach(&self, scope: Option<AskedScope<'_>>, resources: &[String]) -> Reach {
        let Reach { scope: whole_scope, mut audience } = self.reach();
        let scope = match scope.map(|asked| whole_scope.narrowed_to(&asked)) {
            Some(narrowed) if !narrowed.is_empty() => narrowed,
            _ => whole_scope,
        };
        let asked = |of: &[String]| of.iter().filter(|one| resources.contains(one)).cloned().collect::<Vec<_>>();
        let narrowed = [asked(&audience), asked(&self.client.audience)];
        if let Some(narrowed) = narrowed.into_iter().find(|narrowed| !narrowed.is_empty()) {
            audience = narrowed;
        }
        Reach { scope, audience }
    }

    /// `refresh_token` is tagged with `tag_key`: for a retry the key of the renewal that it repeats.
    pub(crate) fn token_set(
        &self,
        generation: Generation,
        secret: RefreshSecret,
        tag_key: &TagKey,
        validity: Validity,
        reach: Reach,
        nonce: Option<&str>,
    ) -> Result<TokenSet, Unavailable> {
        let session = self.session;
        let jti = jti(&session.key, generation, validity.iat, &reach);
        let wants_id_token = self.scope().contains(OPENID);
        let id_token = match (wants_id_token, self.signers.id) {
            (true, Some(key)) => Some(sign(key, "JWT", &self.id_claims(validity, nonce))?),
            _ => None,
        };
        let access_type = access_token_type(self.signers.access.algorithm());
        Ok(TokenSet {
            access_token: sign(self.signers.access, access_type, &self.access_claims(validity, &reach, &jti))?,
            expires_in: validity.exp - self.now.unix_seconds(),
            refresh_token: RefreshToken::new(session.key, generation, secret).expose(tag_key, &self.client.client_id),
            refresh_token_expires_in: session.ends_at().millis_since(self.now).div_euclid(1000),
            scope: reach.scope,
            id_token,
            session: session.key,
            jti,
        })
    }

    fn access_claims(&self, validity: Validity, reach: &Reach, jti: &str) -> Map<String, Value> {
        let audience = match reach.audience.as_slice() {
            [one] => Value::from(one.as_str()),
            several => Value::from(several.to_vec()),
        };
        let mut claims = self.shared_claims(validity, audience);
        claims.insert("client_id".into(), self.client.client_id.as_str().into());
        claims.insert("jti".into(), jti.into());
        claims.insert("sid".into(), self.session.key.to_string().into());
        claims.insert("scope".into(), reach.scope.to_string().into());
        claims
    }

    /// OpenID Connect Core §2. `sid` names the session at sign-out (OpenID Connect RP-Initiated Logout 1.0 §2).
    fn id_claims(&self, validity: Validity, nonce: Option<&str>) -> Map<String, Value> {
        let mut claims = self.shared_claims(validity, self.client.client_id.as_str().into());
        claims.insert("sid".into(), self.session.key.to_string().into());
        let Authentication { time, acr, amr } = &self.session.authentication;
        let optional = [
            ("nonce", nonce.map(Value::from)),
            ("auth_time", time.map(|time| time.unix_seconds().into())),
            ("acr", acr.as_deref().map(Value::from)),
            ("amr", (!amr.is_empty()).then(|| Value::from(amr.clone()))),
        ];
        claims.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        claims
    }

    fn shared_claims(&self, validity: Validity, audience: Value) -> Map<String, Value> {
        let custom = self.session.claims.allowed_by(&self.client.claims);
        let mut claims: Map<String, Value> = custom.map(|(name, value)| (name.clone(), value.clone())).collect();
        claims.insert("iss".into(), self.issuer.into());
        claims.insert("sub".into(), self.session.subject.as_str().into());
        claims.insert("aud".into(), audience);
        claims.insert("iat".into(), validity.iat.into());
        claims.insert("exp".into(), validity.exp.into());
        claims
    }
}

/// A function of what the token is, so that a retry repeats it: 128 bits of SHA-256, base64url.
fn jti(session: &SessionKey, generation: Generation, iat: i64, reach: &Reach) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(session.sid.as_bytes());
    context.update(&generation.number().to_be_bytes());
    context.update(&iat.to_be_bytes());
    context.update(reach.scope.to_string().as_bytes());
    // No scope holds a zero, which every length begins with.
    for audience in &reach.audience {
        context.update(&(audience.len() as u64).to_be_bytes());
        context.update(audience.as_bytes());
    }
    URL_SAFE_NO_PAD.encode(first_16(context.finish().as_ref()))
}

pub(super) fn sign(key: Signer<'_>, typ: &str, claims: &Map<String, Value>) -> Result<String, Unavailable> {
    let mut header = Header::new(key.algorithm().jose());
    header.kid = Some(key.kid().as_str().to_owned());
    header.typ = Some(typ.to_owned());
    jsonwebtoken::encode(&header, claims, key.private_key())
        .map_err(|_| Unavailable::new("key ring", format!("key {:?} does not sign", key.kid().as_str())))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::testing::{NOW, session};

    #[test]
    fn no_two_tokens_that_differ_have_the_same_jti() {
        let key = session(0).key;
        let named = |generation, iat, scope: &str, audience: &[&str]| {
            let audience = audience.iter().map(|one| (*one).to_owned()).collect();
            jti(&key, Generation::new(generation), iat, &Reach { scope: Scope::parse(scope).unwrap(), audience })
        };
        let now = NOW.unix_seconds();
        let first = || named(0, now, "openid", &["a"]);
        assert_eq!(first(), first());
        let others = [
            named(1, now, "openid", &["a"]),
            named(0, now + 1, "openid", &["a"]),
            named(0, now, "openid a", &["a"]),
            named(0, now, "openida", &["a"]),
            named(0, now, "", &["a"]),
            named(0, now, "openid", &["b"]),
            named(0, now, "openid", &["a", "b"]),
            named(0, now, "openid", &["b", "a"]),
            named(0, now, "openid", &["ab"]),
            named(0, now, "openid", &["a\0\0\0\0\0\0\0\u{1}b"]),
            named(0, now, "openid", &["a", "a"]),
        ];
        let different: BTreeSet<String> = others.iter().cloned().chain([first()]).collect();
        assert_eq!(different.len(), others.len() + 1);
    }
}
