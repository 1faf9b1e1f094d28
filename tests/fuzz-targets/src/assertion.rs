//! Assertions: honest signatures over any header and claims, up to the tokens that they are exchanged for.

use std::sync::OnceLock;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use latchkey_token::{
    documents::Documents,
    json::{Map, Value},
    keys::KeyRing,
    policy::MAX_IAT_AHEAD_SECONDS,
    ports::ListSessions,
    tokens::MAX_ASSERTION_SECONDS,
    values::{ClientId, Owner, Subject},
};
use latchkey_token_lambda::{Body, Request};
use latchkey_token_testkit::{FixedDocuments, fixture::NOW};
use serde_json::json;

use crate::{
    Outcome,
    placeholders::{self, es256},
    text,
    world::{ISSUER, World, block_on, example_registrations, read, ring},
};

const HS256_SECRET: &str = "an example secret of 32+ bytes, not real";
const LEGACY_SECONDS: i64 = 86_400;

/// The input's first line is the header of an assertion, the rest is its payload; ES256 is signed with one issuer's
/// key, anything else with the secret of two others. Tokens are given only for a subject that the assertion names, by
/// the issuer whose key and algorithm they are, within its times, and once where it has a `jti`; never with a signature
/// that differs. Every refusal is the same, but for one of the claims of an
/// assertion that is good, and makes no session.
pub fn assertion(data: &[u8]) -> Outcome {
    let Some((header, payload)) = text(data).and_then(|text| text.split_once('\n')) else { return Outcome::Unused };
    let assertion = placeholders::signed(header, payload, HS256_SECRET);
    block_on(async {
        let world = World::of(documents());
        let (status, answer) = exchange(&world, &assertion).await;
        if status != 200 {
            assert_eq!(status, 400, "{answer}");
            if answer["error"] != "invalid_grant" {
                assert_eq!(answer["error"], "invalid_request", "{answer}");
                assert_may_be_relied_on(header, &claims(payload));
            }
            assert_eq!(exchange(&world, &assertion).await, (status, answer), "refused twice, and not alike");
            let alice = Owner::of(&ClientId::parse("spa").unwrap(), &Subject::parse("alice").unwrap());
            assert!(world.tokens.store.list(&alice).await.unwrap().is_empty(), "a refusal has made a session");
            return Outcome::Refused;
        }
        let claims = claims(payload);
        assert_is_for(&assert_may_be_relied_on(header, &claims), &answer);
        let (again, _) = exchange(&world, &assertion).await;
        assert_eq!(again == 200, !claims.contains_key("jti"), "an assertion with a jti is good once");

        let (input, signature) = assertion.rsplit_once('.').unwrap();
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let bit = payload.len() % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let forged = format!("{input}.{}", URL_SAFE_NO_PAD.encode(bytes));
        assert_eq!(exchange(&World::of(documents()), &forged).await.0, 400, "a signature that differs");
        Outcome::Accepted
    })
}

async fn exchange(world: &World, assertion: &str) -> (u16, Value) {
    let form = format!("grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&client_id=spa&assertion={assertion}");
    let mut request = Request::new(Body::Text(form));
    request.headers_mut().insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
    let (status, body) = read(issue::handle(&world.tokens, request).await);
    // Longer than a body may be is longer than an assertion may be.
    if status == 413 { (400, json!({"error": "invalid_grant"})) } else { (status, body) }
}

fn claims(payload: &str) -> Map<String, Value> {
    serde_json::from_str(payload).expect("what a plain parser reads as well")
}

/// Returns the subject.
fn assert_may_be_relied_on(header: &str, claims: &Map<String, Value>) -> String {
    let header: Map<String, Value> = serde_json::from_str(header).unwrap();
    let iss = claims["iss"].as_str().unwrap();
    let (algorithm, subject_claim, is_legacy) = match iss {
        "https://keys.example" => ("ES256", "sub", false),
        "https://secret.example" => ("HS256", "sub", false),
        "legacy" => ("HS256", "id", true),
        other => panic!("nobody is registered for {other}"),
    };
    assert_eq!(header["alg"], algorithm);
    for name in ["crit", "b64", "jku", "jwk", "x5u", "x5c"] {
        assert!(!header.contains_key(name), "{name} is not to be ignored");
    }
    for name in ["azp", "client_id"] {
        assert!(claims.get(name).is_none_or(|client| client == "spa"), "for another client");
    }
    // Any JSON number (RFC 7519 §2).
    let seconds = |name: &str| claims.get(name).map(|value| value.as_f64().expect("a number").floor() as i64);
    let now = NOW.unix_seconds();
    assert!(seconds("exp").is_none_or(|exp| exp > now), "expired");
    for start in ["iat", "nbf"] {
        assert!(seconds(start).is_none_or(|start| start <= now + i64::from(MAX_IAT_AHEAD_SECONDS)), "{start}");
    }
    let is_endless = seconds("exp").is_none_or(|exp| exp > now + i64::from(MAX_ASSERTION_SECONDS));
    let is_for_all = !claims.contains_key("aud");
    assert!(is_legacy || !is_endless && !is_for_all, "endless, or for anybody");
    if is_legacy && (is_endless || is_for_all) {
        assert!(seconds("iat").unwrap() + LEGACY_SECONDS > now - 1, "too old");
    }
    assert!(is_for_all || claims["aud"] == ISSUER || claims["aud"] == json!([ISSUER]), "for somebody else");

    match &claims[subject_claim] {
        Value::String(subject) => subject.clone(),
        number => number.as_u64().expect("text or a whole number").to_string(),
    }
}

fn assert_is_for(subject: &str, answer: &Value) {
    let token = answer["access_token"].as_str().unwrap().split('.').nth(1).unwrap();
    let token: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).unwrap()).unwrap();
    assert_eq!((token["sub"].as_str(), token["client_id"].as_str()), (Some(subject), Some("spa")));
}

fn documents() -> FixedDocuments {
    static DOCUMENTS: OnceLock<FixedDocuments> = OnceLock::new();
    let parse = || {
        let own = placeholders::filled(
            r#"{"signing":[{"kid":"{{ES256.kid}}","alg":"ES256","private_key":"{{ES256}}"}],"tagging":[]}"#,
        );
        let jwks = KeyRing::parse(&own).unwrap().public_keys(0).to_json();
        let jwks: Value = serde_json::from_str(&jwks).unwrap();
        assert_eq!(jwks["keys"][0]["kid"], es256().kid);
        let mut registrations: Value = serde_json::from_str(&example_registrations()).unwrap();
        registrations["issuers"].as_array_mut().unwrap().extend([
            json!({"issuer_id": "keys", "jwks": jwks, "assertion_iss": "https://keys.example",
                "assertion_aud": ISSUER, "clients": ["spa"]}),
            json!({"issuer_id": "secret", "hs256_secret": HS256_SECRET, "assertion_iss": "https://secret.example",
                "assertion_aud": ISSUER, "clients": ["spa"]}),
            json!({"issuer_id": "legacy", "hs256_secret": HS256_SECRET, "assertion_iss": "legacy", "assertion_aud": ISSUER,
                "subject_claim": "id", "legacy_max_age_seconds": LEGACY_SECONDS, "clients": ["spa"]}),
        ]);
        FixedDocuments::new(Documents::parse(&ring(), &registrations.to_string()).unwrap())
    };
    DOCUMENTS.get_or_init(parse).clone()
}
