//! Access tokens: the splitter with any text, the verifier with honest signatures over any header and claims.

use std::sync::OnceLock;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use latchkey_token::{
    documents::Documents,
    json::{Map, Value},
    policy::{MAX_ACCESS_TOKEN_SECONDS, Policy},
    tokens::{AuthenticAccessToken, Purpose, UnverifiedAccessToken},
    values::Timestamp,
};

use crate::{Outcome, placeholders, text};

const ISSUER: &str = "https://latchkey.example";
const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
/// Longest token that is looked at, in bytes.
const MAX_BYTES: usize = 8192;
const HS256_SECRET: &str = "an example secret of 32+ bytes, not real";

/// Without a line break the input is a token: no text verifies, whatever it looks like. With one, its first line is a
/// header and the rest is a payload, which get the signature of the key that fits the header's `alg`: such a token
/// verifies only if every claim is what a verifier may rely on, and never with a signature that differs.
pub fn access_token(data: &[u8]) -> Outcome {
    let Some(text) = text(data) else { return Outcome::Unused };
    let text = placeholders::filled(text);
    match text.split_once('\n') {
        None => present(&text),
        Some((header, payload)) => verify(&placeholders::signed(header, payload, HS256_SECRET), header, payload),
    }
}

fn documents() -> &'static Documents {
    static DOCUMENTS: OnceLock<Documents> = OnceLock::new();
    DOCUMENTS.get_or_init(|| {
        let ring = placeholders::filled(&format!(
            r#"{{"signing":[{{"kid":"{{{{ES256.kid}}}}","alg":"ES256","private_key":"{{{{ES256}}}}"}},
                {{"kid":"{{{{EdDSA.kid}}}}","alg":"EdDSA","private_key":"{{{{EdDSA}}}}"}},
                {{"kid":"hs","alg":"HS256","secret":"{HS256_SECRET}"}}],"tagging":[]}}"#
        ));
        let clients = r#"{"issuers":[],"clients":[
            {"client_id":"librechat","type":"public","alg":"EdDSA","audience":["librechat"]},
            {"client_id":"legacy","type":"public","alg":"HS256","kid":"hs","audience":["legacy"]}]}"#;
        Documents::parse(&ring, clients).unwrap()
    })
}

fn verified(token: &str) -> Option<AuthenticAccessToken> {
    let token = UnverifiedAccessToken::parse(token).ok()?;
    let policy = Policy::new(ISSUER);
    // What lets nobody in may accept more: the oracle is told of no earlier key or issuer, so both must agree.
    let verify = |purpose| {
        let verified = token.verify(&documents().keys, &documents().registrations, &policy, purpose, NOW);
        verified.expect("sound documents").ok()
    };
    let verified = verify(Purpose::LetIn);
    assert_eq!(verified.is_some(), verify(Purpose::RenewOrEnd).is_some());
    verified
}

/// A token of somebody who has none of our keys.
fn present(token: &str) -> Outcome {
    assert!(verified(token).is_none(), "forged: {token}");
    let Ok(unverified) = UnverifiedAccessToken::parse(token) else { return Outcome::Refused };
    assert!(token.len() <= MAX_BYTES);
    let parts: Vec<&str> = token.split('.').collect();
    let [header, _, signature] = parts[..] else { panic!("{} parts", parts.len()) };
    for part in [header, signature] {
        assert_eq!(URL_SAFE_NO_PAD.encode(URL_SAFE_NO_PAD.decode(part).unwrap()), part, "another spelling");
    }
    let header: Map<String, Value> = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    assert_eq!(header.keys().collect::<Vec<_>>(), ["alg", "kid", "typ"]);
    assert_eq!(header["kid"], unverified.kid());
    Outcome::Accepted
}

fn verify(token: &str, header: &str, payload: &str) -> Outcome {
    let Some(authentic) = verified(token) else { return Outcome::Refused };
    assert_may_be_relied_on(&authentic, header, payload);

    let (input, signature) = token.rsplit_once('.').unwrap();
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let bit = payload.len() % (bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
    assert!(verified(&format!("{input}.{}", URL_SAFE_NO_PAD.encode(bytes))).is_none(), "a signature that differs");
    Outcome::Accepted
}

fn assert_may_be_relied_on(token: &AuthenticAccessToken, header: &str, payload: &str) {
    // A plain parser, as other verifiers have it, reads the same.
    let header: Map<String, Value> = serde_json::from_str(header).unwrap();
    let claims: Map<String, Value> = serde_json::from_str(payload).unwrap();
    let client = documents().registrations.client(token.client_id.as_str()).unwrap().expect("a registered client");
    let is_legacy = client.client_id.as_str() == "legacy";
    let typ = if is_legacy { "JWT" } else { "at+jwt" };
    assert_eq!((header.len(), &header["typ"]), (3, &Value::from(typ)));
    assert_eq!(header["kid"] == "hs", is_legacy, "an HS256 key is its own clients'");
    assert_eq!(header["alg"] == "HS256", is_legacy);
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["sub"], token.subject.as_str());
    assert_eq!(claims["client_id"], token.client_id.as_str());
    assert_eq!(claims["sid"], token.session.to_string());
    assert_eq!(claims["jti"], token.jti);
    assert_eq!(claims["scope"], token.scope);
    assert_eq!((claims["iat"].as_i64(), claims["exp"].as_i64()), (Some(token.iat), Some(token.exp)));
    assert!(!token.audience.is_empty() && !token.jti.is_empty());
    assert!((0..=i64::from(MAX_ACCESS_TOKEN_SECONDS)).contains(&(token.exp - token.iat)));

    let policy = Policy::new(ISSUER).for_client(client);
    for moment in [NOW, Timestamp::from_unix_seconds(token.iat), Timestamp::from_unix_seconds(token.exp)] {
        let lets_in = token.check_times(moment, 0).is_ok();
        assert!(!lets_in || (!token.is_expired_at(moment) && token.iat <= moment.unix_seconds() + 60));
        assert!(!lets_in || token.is_renewable_at(moment, &policy), "what lets in can be renewed");
        assert_eq!(token.seconds_to_expiry(moment) <= 0, token.is_expired_at(moment));
    }
}
