//! Access tokens as they are presented: unverified, then authentic.
//!
//! The library underneath accepts more than RFC 8725 allows (unknown `crit`, any `typ`, duplicate members, huge
//! `exp`), so the token is split and read strictly here and the library checks the signature alone. Times are
//! judged against the caller's clock.

use super::jwt::{self, Compact};
use crate::{
    audit::Reason,
    failure::Unavailable,
    json::{Map, Value},
    keys::{Algorithm, KeyRing, SigningKey},
    policy::{MAX_ACCESS_TOKEN_SECONDS, MAX_IAT_AHEAD_SECONDS, Policy},
    registrations::{Client, ClientPolicy, Registrations},
    values::{Actors, ClientId, Owner, Seconds, SessionKey, Subject, Timestamp},
};

/// A token in compact form whose signature nobody has checked. Its only use is [`UnverifiedAccessToken::verify`].
pub struct UnverifiedAccessToken<'a> {
    token: Compact<'a>,
    algorithm: String,
    kid: String,
    typ: String,
}

impl<'a> UnverifiedAccessToken<'a> {
    /// Splits the compact form. The header holds `alg`, `kid` and `typ`, each a string, and nothing else: no `crit`,
    /// `jku`, `jwk`, `x5u`, `b64` or `zip` is ever looked at.
    pub fn parse(token: &'a str) -> Result<Self, Reason> {
        let mut token = Compact::parse(token).ok_or(Reason::AccessTokenMalformed)?;
        let mut take = |name| match token.header.remove(name) {
            Some(Value::String(text)) => Ok(text),
            _ => Err(Reason::AccessTokenHeader),
        };
        let (algorithm, kid, typ) = (take("alg")?, take("kid")?, take("typ")?);
        if token.header.is_empty() { Ok(Self { token, algorithm, kid, typ }) } else { Err(Reason::AccessTokenHeader) }
    }

    /// Which key the token names. May be unknown, and may be anything a stranger likes.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Why this is no access token of ours at all, as far as its header tells: of a key that we do not have, or of another type.
    /// A token that claims to be ours is for [`Self::verify`] to judge, whoever made it. The key may be there and faulty: then
    /// nobody can tell.
    pub fn foreign_because(&self, keys: &KeyRing, now: Timestamp) -> Result<Option<Reason>, Unavailable> {
        Ok(match keys.verifier(&self.kid, now.unix_seconds())? {
            None => Some(Reason::AccessTokenUnknownKid),
            // Such as our own ID tokens. Whoever holds an HS256 key outside makes what it likes with it: that is judged.
            Some(key) if !key.algorithm().is_symmetric() && self.typ != access_token_type(key.algorithm()) => {
                Some(Reason::AccessTokenType)
            }
            Some(_) => None,
        })
    }

    /// Checks everything but the times: algorithm and type as the named key has them, signature, all claims
    /// present and well-formed, `iss`, and that the key is one for the client that the token names. Key or client may be
    /// there and faulty: then nobody can tell.
    pub fn verify(
        &self,
        keys: &KeyRing,
        registrations: &Registrations,
        policy: &Policy,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<Result<AuthenticAccessToken, Reason>, Unavailable> {
        let Some(key) = keys.verifier(&self.kid, now.unix_seconds())? else {
            return Ok(Err(Reason::AccessTokenUnknownKid));
        };
        let token = match self.signed_by(key, policy, purpose) {
            Ok(token) if token.actors.is_empty() => token,
            // Whoever knows an HS256 secret could put any session into such a token.
            Ok(_) if key.algorithm().is_symmetric() => return Ok(Err(Reason::AccessTokenClaims)),
            Ok(_) if purpose == Purpose::RenewOrEnd => return Ok(Err(Reason::AccessTokenExchanged)),
            Ok(token) => token,
            Err(reason) => return Ok(Err(reason)),
        };
        let Some(client) = registrations.client(token.client_id.as_str())? else {
            return Ok(Err(Reason::AccessTokenUnknownClient));
        };
        let was_key_for = || purpose == Purpose::RenewOrEnd && client.previous_kids.contains(key.kid());
        let is_clients = is_key_for(key, client) || was_key_for();
        Ok(if is_clients { Ok(token) } else { Err(Reason::AccessTokenKeyNotTheClients) })
    }

    fn signed_by(&self, key: &SigningKey, policy: &Policy, purpose: Purpose) -> Result<AuthenticAccessToken, Reason> {
        if self.algorithm != key.algorithm().name() {
            return Err(Reason::AccessTokenAlgorithm);
        }
        if self.typ != access_token_type(key.algorithm()) {
            return Err(Reason::AccessTokenType);
        }
        if !self.token.is_signed_by(key.verifier(), key.algorithm().jose()) {
            return Err(Reason::AccessTokenSignature);
        }
        let is_issuer = |issuer: &str| {
            let is_previous = || policy.previous_issuers.iter().any(|previous| previous == issuer);
            issuer == policy.issuer || (purpose == Purpose::RenewOrEnd && is_previous())
        };
        read_claims(&self.token.claims().ok_or(Reason::AccessTokenClaims)?, is_issuer)
    }
}

/// What an access token is shown for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To let its bearer in, or to tell whether to.
    LetIn,
    /// To renew its session or to end it. Here a client's `previous_kids` and the deployment's previous issuers are
    /// accepted as well, so that nobody is signed out by a move. A token that has been exchanged is not: it opens its target
    /// and nothing else.
    RenewOrEnd,
}

/// `typ` of an access token: RFC 9068 says `at+jwt`; for HS256, what LibreChat makes itself.
pub const fn access_token_type(algorithm: Algorithm) -> &'static str {
    if algorithm.is_symmetric() { "JWT" } else { "at+jwt" }
}

/// An HS256 key's holder outside knows its secret, so it vouches for the clients that name it and for no others;
/// theirs are vouched for by no other key.
fn is_key_for(key: &SigningKey, client: &Client) -> bool {
    if key.algorithm().is_symmetric() || client.algorithm.is_symmetric() {
        client.algorithm == key.algorithm() && client.kid.as_ref() == Some(key.kid())
    } else {
        true
    }
}

/// An access token that we signed, for the client and session it names. Says nothing about its times: ask
/// [`AuthenticAccessToken::is_renewable_at`].
#[derive(Debug)]
pub struct AuthenticAccessToken {
    /// `sid`: the session that the token belongs to.
    pub session: SessionKey,
    /// `client_id`: a registered client.
    pub client_id: ClientId,
    /// `sub`: the user, as the external system names it.
    pub subject: Subject,
    /// `aud` as a list; never empty.
    pub audience: Vec<String>,
    /// Unix seconds.
    pub iat: i64,
    /// Unix seconds.
    pub exp: i64,
    /// The token's own id; never empty.
    pub jti: String,
    /// Scope names with spaces between them; may be fewer than the session's, or empty.
    pub scope: String,
    /// `act`: who acts for the subject, if the token has been exchanged (RFC 8693). Then `client_id` is the latest of them, and
    /// the session another client's.
    pub actors: Actors,
}

impl AuthenticAccessToken {
    /// Whether the token has not expired past its grace period. Good for renewal only, never a reason to let anybody in.
    pub fn is_renewable_at(&self, moment: Timestamp, policy: &ClientPolicy) -> bool {
        moment < policy.renewable_until(self.exp)
    }

    /// Whether the token lets its bearer in: neither expired nor from the future; or the reason, for the audit trail. The
    /// grace period does not count.
    pub fn check_times(&self, now: Timestamp, clock_skew_seconds: Seconds) -> Result<(), Reason> {
        if self.is_from_the_future(now) {
            return Err(Reason::AccessTokenFromTheFuture);
        }
        let is_unexpired = now < Timestamp::from_unix_seconds(self.exp).plus(clock_skew_seconds);
        is_unexpired.then_some(()).ok_or(Reason::AccessTokenExpired)
    }

    /// Whether `iat` lies further ahead than clocks differ.
    pub fn is_from_the_future(&self, now: Timestamp) -> bool {
        self.iat > now.unix_seconds() + i64::from(MAX_IAT_AHEAD_SECONDS)
    }

    /// Whether `exp` has come; neither grace period nor tolerance for clocks counts.
    pub fn is_expired_at(&self, now: Timestamp) -> bool {
        self.exp <= now.unix_seconds()
    }

    /// Seconds until `exp`; negative once it has passed.
    pub fn seconds_to_expiry(&self, now: Timestamp) -> i64 {
        self.exp - now.unix_seconds()
    }
}

fn read_claims(claims: &Map<String, Value>, is_issuer: impl Fn(&str) -> bool) -> Result<AuthenticAccessToken, Reason> {
    if !is_issuer(text(claims, "iss")?) {
        return Err(Reason::AccessTokenIssuer);
    }
    let token = AuthenticAccessToken {
        session: SessionKey::parse(text(claims, "sid")?).ok_or(Reason::AccessTokenClaims)?,
        client_id: ClientId::parse(text(claims, "client_id")?).ok_or(Reason::AccessTokenClaims)?,
        subject: Subject::parse(text(claims, "sub")?).ok_or(Reason::AccessTokenClaims)?,
        audience: claims.get("aud").and_then(jwt::audience).ok_or(Reason::AccessTokenClaims)?,
        iat: seconds(claims, "iat")?,
        exp: seconds(claims, "exp")?,
        jti: text(claims, "jti")?.to_owned(),
        scope: text(claims, "scope")?.to_owned(),
        actors: match claims.get("act") {
            None => Actors::default(),
            Some(claim) => Actors::parse(claim).ok_or(Reason::AccessTokenClaims)?,
        },
    };
    let life = token.exp - token.iat;
    if !(0..=i64::from(MAX_ACCESS_TOKEN_SECONDS)).contains(&life) || token.jti.is_empty() {
        return Err(Reason::AccessTokenClaims);
    }
    let is_consistent = match token.actors.latest() {
        None => token.session.owner == Owner::of(&token.client_id, &token.subject),
        // Whose session it is only the record tells: `Backing::scope_of`.
        Some(actor) => *actor == token.client_id,
    };
    is_consistent.then_some(token).ok_or(Reason::AccessTokenClaims)
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Result<&'a str, Reason> {
    claims.get(name).and_then(Value::as_str).ok_or(Reason::AccessTokenClaims)
}

fn seconds(claims: &Map<String, Value>, name: &str) -> Result<i64, Reason> {
    claims.get(name).and_then(jwt::numeric_date).ok_or(Reason::AccessTokenClaims)
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

    use super::jwt::MAX_BYTES;
    use super::*;
    use crate::{
        json,
        testing::{self, NOW, sign_raw},
    };

    const ISSUER: &str = "https://issuer.example";
    const HS256_OF_ANOTHER: &str = "another secret of 32+ bytes, not real";

    struct Fixture {
        keys: KeyRing,
        registrations: Registrations,
        hs256: String,
    }

    impl Fixture {
        fn new() -> Self {
            let hs256 = "an example secret of 32+ bytes, not real".to_owned();
            let keys = format!(
                r#"{{"signing":[{},{},{}],"tagging":[]}}"#,
                testing::pem_entry("es", "ES256", testing::one_es256_pem(), ""),
                testing::hs256_entry("hs", &hs256),
                testing::hs256_entry("hs2", HS256_OF_ANOTHER)
            );
            let clients = r#"{"issuers":[],"clients":[
                {"client_id":"librechat","type":"public","alg":"ES256","audience":["librechat"]},
                {"client_id":"legacy","type":"public","alg":"HS256","kid":"hs","audience":["legacy"]},
                {"client_id":"moved","type":"public","alg":"ES256","previous_kids":["hs","gone"],"audience":["moved"]}]}"#;
            Self { keys: KeyRing::parse(&keys).unwrap(), registrations: Registrations::parse(clients).unwrap(), hs256 }
        }

        fn verify(&self, token: &str) -> Result<AuthenticAccessToken, Reason> {
            self.verify_for(Purpose::LetIn, token)
        }

        fn verify_for(&self, purpose: Purpose, token: &str) -> Result<AuthenticAccessToken, Reason> {
            let policy = Policy { previous_issuers: vec!["https://before.example".into()], ..Policy::new(ISSUER) };
            let token = UnverifiedAccessToken::parse(token)?;
            token.verify(&self.keys, &self.registrations, &policy, purpose, NOW).unwrap()
        }

        fn es256(&self, header: &str, payload: &str) -> String {
            sign_raw(self.keys.verifier("es", 0).unwrap().unwrap(), header, payload)
        }

        fn claims(&self, claims: &str) -> Result<AuthenticAccessToken, Reason> {
            self.verify(&self.es256(HEADER, claims))
        }
    }

    const HEADER: &str = r#"{"alg":"ES256","kid":"es","typ":"at+jwt"}"#;

    fn with_member(members: &Map<String, Value>, name: &str, value: &Value) -> String {
        let mut changed = members.clone();
        changed.insert(name.into(), value.clone());
        Value::Object(changed).to_string()
    }

    fn claims_of(client: &str) -> String {
        let client_id = ClientId::parse(client).unwrap();
        let owner = Owner::of(&client_id, &Subject::parse("alice").unwrap());
        let sid = SessionKey { owner, sid: crate::values::Sid::from_bytes([5; 16]) };
        let iat = NOW.unix_seconds();
        format!(
            r#"{{"iss":"{ISSUER}","sub":"alice","aud":"{client}","client_id":"{client}","iat":{iat},"exp":{},"jti":"j","sid":"{sid}","scope":"openid"}}"#,
            iat + 600
        )
    }

    #[test]
    fn a_token_of_our_own_is_authentic() {
        let fixture = Fixture::new();
        let token = fixture.claims(&claims_of("librechat")).unwrap();
        assert_eq!(token.client_id.as_str(), "librechat");
        assert_eq!(token.audience, ["librechat"]);
        assert_eq!(token.exp - token.iat, 600);
    }

    #[test]
    fn headers_are_exactly_alg_kid_typ() {
        let fixture = Fixture::new();
        let payload = claims_of("librechat");
        for (header, expected) in [
            (r#"{"alg":"none","kid":"es","typ":"at+jwt"}"#, Reason::AccessTokenAlgorithm),
            (r#"{"alg":"nOnE","kid":"es","typ":"at+jwt"}"#, Reason::AccessTokenAlgorithm),
            (r#"{"alg":"","kid":"es","typ":"at+jwt"}"#, Reason::AccessTokenAlgorithm),
            (r#"{"alg":"HS256","kid":"es","typ":"at+jwt"}"#, Reason::AccessTokenAlgorithm),
            (r#"{"alg":"RS256","kid":"es","typ":"at+jwt"}"#, Reason::AccessTokenAlgorithm),
            (r#"{"alg":5,"kid":"es","typ":"at+jwt"}"#, Reason::AccessTokenHeader),
            (r#"{"kid":"es","typ":"at+jwt"}"#, Reason::AccessTokenHeader),
            (r#"{"alg":"ES256","typ":"at+jwt"}"#, Reason::AccessTokenHeader),
            (r#"{"alg":"ES256","kid":"es"}"#, Reason::AccessTokenHeader),
            (r#"{"alg":"ES256","kid":"ES","typ":"at+jwt"}"#, Reason::AccessTokenUnknownKid),
            (r#"{"alg":"ES256","kid":"../../etc/passwd","typ":"at+jwt"}"#, Reason::AccessTokenUnknownKid),
            (r#"{"alg":"ES256","kid":"es\u0000","typ":"at+jwt"}"#, Reason::AccessTokenUnknownKid),
            (r#"{"alg":"ES256","kid":"es' OR 1=1","typ":"at+jwt"}"#, Reason::AccessTokenUnknownKid),
            (r#"{"alg":"ES256","kid":"es","typ":"JWT"}"#, Reason::AccessTokenType),
            (r#"{"alg":"ES256","kid":"es","typ":"AT+JWT"}"#, Reason::AccessTokenType),
            (r#"{"alg":"ES256","kid":"es","typ":"at+jwt","crit":["exp"]}"#, Reason::AccessTokenHeader),
            (r#"{"alg":"ES256","kid":"es","typ":"at+jwt","b64":false}"#, Reason::AccessTokenHeader),
            (r#"{"alg":"ES256","kid":"es","typ":"at+jwt","zip":"DEF"}"#, Reason::AccessTokenHeader),
            (r#"{"alg":"ES256","kid":"es","typ":"at+jwt","jku":"https://127.0.0.1/"}"#, Reason::AccessTokenHeader),
            (r#"{"alg":"ES256","kid":"es","typ":"at+jwt","jwk":{}}"#, Reason::AccessTokenHeader),
            (r#"{"alg":"ES256","kid":"es","kid":"es","typ":"at+jwt"}"#, Reason::AccessTokenMalformed),
            (r#"["alg"]"#, Reason::AccessTokenMalformed),
        ] {
            assert_eq!(fixture.verify(&fixture.es256(header, &payload)).unwrap_err(), expected, "{header}");
        }
        let huge = format!(r#"{{"alg":"ES256","kid":"{}","typ":"at+jwt"}}"#, "k".repeat(10_000));
        assert_eq!(fixture.verify(&fixture.es256(&huge, &payload)).unwrap_err(), Reason::AccessTokenMalformed);
    }

    #[test]
    fn the_form_is_three_canonical_parts() {
        let fixture = Fixture::new();
        let good = fixture.es256(HEADER, &claims_of("librechat"));
        let (input, signature) = good.rsplit_once('.').unwrap();
        for bad in [
            String::new(),
            "..".into(),
            input.to_owned(),
            format!("{input}."),
            format!("{input}.IA"),
            format!("{good}."),
            format!("{good}.{signature}"),
            format!(".{good}"),
            format!("{good}="),
            format!("{good}\n"),
            format!(" {good}"),
            good.replacen('.', "=.", 1),
            good.replace('-', "+"),
            format!("{{\"protected\":\"{input}\"}}"),
        ] {
            if bad != good {
                assert!(fixture.verify(&bad).is_err(), "{bad}");
            }
        }
        let parsed = |token: &str| UnverifiedAccessToken::parse(token).err();
        assert_eq!(parsed(&format!("{input}.")), Some(Reason::AccessTokenMalformed), "an empty signature");
        assert_eq!(parsed(&format!("{good}.{signature}")), Some(Reason::AccessTokenMalformed), "a fourth part");
        assert_eq!(UnverifiedAccessToken::parse(&good).unwrap().kid(), "es");
        // The longest token that is looked at, and one that is a character longer.
        let longest = format!("{input}.{}", "A".repeat(MAX_BYTES - input.len() - 1));
        assert_eq!((longest.len(), parsed(&longest)), (MAX_BYTES, None));
        assert_eq!(parsed(&format!("{longest}A")), Some(Reason::AccessTokenMalformed));
        // A non-canonical last character: the same bytes in another spelling.
        let last = signature.as_bytes().last().copied().unwrap();
        let respelt = format!("{}{}", &good[..good.len() - 1], char::from(last + 1));
        assert!(fixture.verify(&respelt).is_err());
    }

    #[test]
    fn the_signature_is_checked_in_its_one_form() {
        let fixture = Fixture::new();
        let good = fixture.es256(HEADER, &claims_of("librechat"));
        let (input, signature) = good.rsplit_once('.').unwrap();
        let raw = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let with = |bytes: Vec<u8>| format!("{input}.{}", URL_SAFE_NO_PAD.encode(bytes));
        let mut flipped = raw.clone();
        flipped[10] ^= 1;
        let order = [
            0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad,
            0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
        ];
        let mut der = vec![0x30, 0x44, 0x02, 0x20];
        der.extend(&raw[..32]);
        der.extend([0x02, 0x20]);
        der.extend(&raw[32..]);
        for (name, bytes) in [
            ("flipped", flipped),
            ("zeros", vec![0; 64]),
            ("r = 0", [&[0; 32], &raw[32..]].concat()),
            ("s = 0", [&raw[..32], &[0; 32]].concat()),
            ("r = n, s = n", [order, order].concat()),
            ("DER", der),
            ("short", raw[..63].to_vec()),
            ("long", [&raw[..], &[0]].concat()),
        ] {
            assert_eq!(fixture.verify(&with(bytes)).unwrap_err(), Reason::AccessTokenSignature, "{name}");
        }
        let (header, _) = input.split_once('.').unwrap();
        let other_payload = URL_SAFE_NO_PAD.encode(claims_of("librechat").replace("alice", "mallory"));
        assert_eq!(
            fixture.verify(&format!("{header}.{other_payload}.{signature}")).unwrap_err(),
            Reason::AccessTokenSignature
        );
    }

    #[test]
    fn hs256_with_a_public_key_as_secret_is_refused() {
        let fixture = Fixture::new();
        let public = fixture.keys.public_keys(0);
        let jwk = public.to_json();
        let (_, rest) = jwk.split_once(r#""x":""#).unwrap();
        for secret in [jwk.as_str(), rest.split('"').next().unwrap(), testing::one_es256_pem()] {
            let header = r#"{"alg":"HS256","kid":"es","typ":"JWT"}"#;
            let forged = testing::sign_hs256(secret, header, &claims_of("librechat"));
            assert_eq!(fixture.verify(&forged).unwrap_err(), Reason::AccessTokenAlgorithm);
        }
    }

    #[test]
    fn an_hs256_key_vouches_only_for_the_clients_that_name_it() {
        let fixture = Fixture::new();
        let header = r#"{"alg":"HS256","kid":"hs","typ":"JWT"}"#;
        let hs256 = |payload: &str| testing::sign_hs256(&fixture.hs256, header, payload);
        assert!(fixture.verify(&hs256(&claims_of("legacy"))).is_ok());
        assert_eq!(fixture.verify(&hs256(&claims_of("librechat"))).unwrap_err(), Reason::AccessTokenKeyNotTheClients);
        let another = testing::sign_hs256(HS256_OF_ANOTHER, &header.replace("hs", "hs2"), &claims_of("legacy"));
        assert_eq!(fixture.verify(&another).unwrap_err(), Reason::AccessTokenKeyNotTheClients);
        let by_es256 = fixture.es256(HEADER, &claims_of("legacy"));
        assert_eq!(fixture.verify(&by_es256).unwrap_err(), Reason::AccessTokenKeyNotTheClients);
    }

    #[test]
    fn what_signed_before_a_move_renews_and_ends_sessions_and_lets_nobody_in() {
        let fixture = Fixture::new();
        let moved = claims_of("moved");
        let hs = testing::sign_hs256(&fixture.hs256, r#"{"alg":"HS256","kid":"hs","typ":"JWT"}"#, &moved);
        let es = fixture.es256(HEADER, &moved);
        let from_another_issuer = fixture.es256(HEADER, &moved.replace("issuer.example", "before.example"));
        for (token, reason) in [
            (&hs, Some(Reason::AccessTokenKeyNotTheClients)),
            (&from_another_issuer, Some(Reason::AccessTokenIssuer)),
            (&es, None),
        ] {
            assert_eq!(fixture.verify(token).err(), reason);
            assert!(fixture.verify_for(Purpose::RenewOrEnd, token).is_ok());
        }
        // Of a key that the client does not name, and of an issuer that nobody names, nothing is accepted at all.
        let unnamed = testing::sign_hs256(HS256_OF_ANOTHER, r#"{"alg":"HS256","kid":"hs2","typ":"JWT"}"#, &moved);
        let foreign = fixture.es256(HEADER, &moved.replace("issuer.example", "elsewhere.example"));
        for token in [&unnamed, &foreign] {
            assert!(fixture.verify_for(Purpose::RenewOrEnd, token).is_err());
        }
    }

    #[test]
    fn every_claim_is_demanded_and_times_are_whole_numbers() {
        let fixture = Fixture::new();
        let good = claims_of("librechat");
        let members = json::parse_object(good.as_bytes()).unwrap();
        for name in ["iss", "sub", "aud", "client_id", "iat", "exp", "jti", "sid", "scope"] {
            let mut without = members.clone();
            without.remove(name);
            assert!(fixture.claims(&Value::Object(without).to_string()).is_err(), "without {name}");
            for odd in [
                Value::Null,
                Value::from(-1),
                Value::from(1.5),
                Value::from("x"),
                Value::from(""),
                Value::Array(vec![]),
            ] {
                let any_text_will_do = ["jti", "aud", "scope"].contains(&name) && odd.is_string();
                if !any_text_will_do || name == "jti" && odd == "" {
                    let verdict = fixture.claims(&with_member(&members, name, &odd));
                    assert!(verdict.is_err(), "{name} = {odd}");
                }
            }
        }
        let iat = NOW.unix_seconds();
        for exp in [
            "1e3",
            "1e400",
            "18446744073709551615",
            "\"1\"",
            &format!("{}.0", iat + 5),
            &format!("{}", iat + 604_801),
            &format!("{}", iat - 1),
        ] {
            let claims = good.replace(&format!(r#""exp":{}"#, iat + 600), &format!(r#""exp":{exp}"#));
            assert_ne!(claims, good);
            assert!(fixture.claims(&claims).is_err(), "exp = {exp}");
        }
        assert!(fixture.claims(&good.replace(&format!("{}", iat + 600), &format!("{}", iat + 604_800))).is_ok());
        assert_eq!(
            fixture.claims(&good.replace("issuer.example", "issuer.example/")).unwrap_err(),
            Reason::AccessTokenIssuer
        );
        assert!(
            fixture
                .claims(&good.replace(r#""iss":"https://issuer.example""#, r#""iss":["https://issuer.example"]"#))
                .is_err()
        );
        assert!(
            fixture.claims(&good.replace(r#""sub":"alice""#, r#""sub":"mallory""#)).is_err(),
            "sid belongs to the subject"
        );
        assert!(fixture.claims(&good.replace(r#""jti":"j""#, r#""jti":"j","jti":"j""#)).is_err());
        assert_eq!(fixture.claims(&good.replace("}", r#","extra":{"a":[1,2]}}"#)).unwrap().jti, "j");
    }

    #[test]
    fn times_are_judged_against_the_given_clock() {
        let fixture = Fixture::new();
        let token = fixture.claims(&claims_of("librechat")).unwrap();
        let policy = |grace_seconds, clock_skew_seconds| {
            let mut policy = crate::policy::Policy::new(ISSUER);
            policy.grace_seconds = grace_seconds;
            policy.clock_skew_seconds = clock_skew_seconds;
            policy.for_client(fixture.registrations.client("librechat").unwrap().unwrap())
        };
        assert!(token.is_renewable_at(NOW.plus(599), &policy(0, 0)));
        assert!(!token.is_renewable_at(NOW.plus(600), &policy(0, 0)));
        assert!(token.is_renewable_at(NOW.plus(699), &policy(100, 0)));
        assert!(!token.is_renewable_at(NOW.plus(700), &policy(100, 0)));
        assert!(token.is_renewable_at(NOW.plus(709), &policy(100, 10)));
        assert!(!token.is_from_the_future(NOW.minus(9)));
        assert!(!token.is_from_the_future(NOW.minus(60)));
        assert!(token.is_from_the_future(NOW.minus(61)));
        assert!(token.is_expired_at(NOW.plus(600)) && !token.is_expired_at(NOW.plus(599)));
        assert_eq!(token.seconds_to_expiry(NOW.plus(599)), 1);
        assert_eq!(token.seconds_to_expiry(NOW.plus(605)), -5);
    }

    #[test]
    fn a_token_lets_in_from_a_minute_before_iat_until_exp_and_never_in_its_grace_period() {
        let token = Fixture::new().claims(&claims_of("librechat")).unwrap();
        let last = Timestamp::from_unix_millis(NOW.plus(600).unix_millis() - 1);
        assert_eq!(token.check_times(NOW.minus(60), 0), Ok(()));
        assert_eq!(token.check_times(NOW.minus(61), 0), Err(Reason::AccessTokenFromTheFuture));
        assert_eq!(token.check_times(last, 0), Ok(()));
        for past in [600, 601] {
            assert_eq!(token.check_times(NOW.plus(past), 0), Err(Reason::AccessTokenExpired));
        }
        assert_eq!(token.check_times(NOW.plus(609), 10), Ok(()));
        assert_eq!(token.check_times(NOW.plus(610), 10), Err(Reason::AccessTokenExpired));
    }

    #[test]
    fn times_end_far_beyond_every_calendar_and_an_audience_may_be_a_list() {
        let fixture = Fixture::new();
        let at = |exp: u64| {
            let iat = NOW.unix_seconds();
            let times = format!(r#""iat":{},"exp":{exp}"#, exp - 600);
            fixture.claims(&claims_of("librechat").replace(&format!(r#""iat":{iat},"exp":{}"#, iat + 600), &times))
        };
        assert_eq!(at(1 << 48).unwrap().exp, 1 << 48);
        assert!(at((1 << 48) + 1).is_err());
        let several = claims_of("librechat").replace(r#""aud":"librechat""#, r#""aud":["librechat","api"]"#);
        assert_eq!(fixture.claims(&several).unwrap().audience, ["librechat", "api"]);
    }

    #[test]
    fn the_audit_trails_words_are_apart() {
        let names = [
            Reason::AccessTokenMalformed,
            Reason::AccessTokenHeader,
            Reason::AccessTokenUnknownKid,
            Reason::AccessTokenAlgorithm,
            Reason::AccessTokenType,
            Reason::AccessTokenSignature,
            Reason::AccessTokenClaims,
            Reason::AccessTokenIssuer,
            Reason::AccessTokenUnknownClient,
            Reason::AccessTokenKeyNotTheClients,
        ]
        .map(Reason::name);
        assert!(names.iter().all(|name| name.starts_with("access_token_")));
        assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), names.len());
    }
}
