//! Keys made at run time, once for the whole process, and the registrations of the tests.

use std::sync::OnceLock;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, Header, jwk::Jwk};
use latchkey_token::keys::{Algorithm, thumbprint};
use latchkey_token_lambda::system::generate_private_key;
use serde_json::{Value, json};

use crate::{
    ISSUER, secret_of,
    sign_in::{CALLBACK, SIGN_IN_URL, SIGN_OUT_URL, SIGNED_OUT},
};

pub struct Pair {
    pub kid: String,
    pub pem: String,
}

fn pair(algorithm: Algorithm) -> Pair {
    let pem = generate_private_key(algorithm).unwrap();
    Pair { kid: thumbprint(algorithm, &pem).unwrap().as_str().to_owned(), pem }
}

macro_rules! once {
    ($name:ident, $algorithm:ident) => {
        pub fn $name() -> &'static Pair {
            static PAIR: OnceLock<Pair> = OnceLock::new();
            PAIR.get_or_init(|| pair(Algorithm::$algorithm))
        }
    };
}

once!(rs256, Rs256);
once!(ps256, Ps256);
once!(es256, Es256);
once!(eddsa, EdDsa);
// Keys of others: of the issuer `signing` and of the client `keyed`, for their assertions.
once!(signing_issuer, Es256);
once!(keyed_client, Rs256);

/// What would be LibreChat's JWT_SECRET.
pub const JWT_SECRET: &str = "test-jwt-secret-of-librechat-0123456789abcdef";

/// What the issuer `legacy` signs its tokens with.
pub const LEGACY_SECRET: &str = "test-hs256-secret-of-a-legacy-portal-0123456789";

/// The public half of a key as a JWK.
pub fn jwk(pair: &Pair, algorithm: jsonwebtoken::Algorithm) -> Value {
    let mut jwk = Jwk::from_encoding_key(&encoding_key(pair, algorithm), algorithm).unwrap();
    jwk.common.key_id = Some(pair.kid.clone());
    serde_json::to_value(jwk).unwrap()
}

/// The private half, to sign with.
pub fn encoding_key(pair: &Pair, algorithm: jsonwebtoken::Algorithm) -> EncodingKey {
    match algorithm {
        jsonwebtoken::Algorithm::ES256 => EncodingKey::from_ec_pem(pair.pem.as_bytes()).unwrap(),
        jsonwebtoken::Algorithm::EdDSA => EncodingKey::from_ed_pem(pair.pem.as_bytes()).unwrap(),
        _ => EncodingKey::from_rsa_pem(pair.pem.as_bytes()).unwrap(),
    }
}

/// The secret of tag key 1.
pub fn tag_secret() -> String {
    URL_SAFE_NO_PAD.encode([42; 32])
}

/// The secret of the audit key.
pub fn audit_secret() -> String {
    URL_SAFE_NO_PAD.encode([43; 32])
}

/// Everything in the ring that must never be logged.
pub fn secrets() -> Vec<String> {
    let bodies = [rs256(), ps256(), es256(), eddsa()].map(|pair| {
        let lines: Vec<&str> = pair.pem.lines().filter(|line| !line.starts_with('-')).collect();
        lines.join("")
    });
    bodies.into_iter().chain([JWT_SECRET.to_owned(), LEGACY_SECRET.to_owned(), tag_secret(), audit_secret()]).collect()
}

pub fn ring() -> String {
    ring_with(json!([{"kid": 1, "secret": tag_secret()}]), vec![])
}

pub fn ring_with(tagging: Value, more: Vec<Value>) -> String {
    let entry = |alg: &str, pair: &Pair| json!({"kid": pair.kid, "alg": alg, "private_key": pair.pem});
    let mut signing = vec![
        entry("RS256", rs256()),
        entry("PS256", ps256()),
        entry("ES256", es256()),
        entry("EdDSA", eddsa()),
        json!({"kid": "librechat-hs", "alg": "HS256", "secret": JWT_SECRET}),
    ];
    signing.extend(more);
    json!({"signing": signing, "tagging": tagging, "audit": {"secret": audit_secret()}}).to_string()
}

pub fn sha256(text: &str) -> String {
    let hash = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.key_utils.compute_digest;
    let bytes = hash(text.as_bytes(), jsonwebtoken::jwk::ThumbprintHash::SHA256).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A confidential client, or a public one if it is called `spa…`, with more members.
fn client(id: &str, more: Value) -> Value {
    let mut client = json!({
        "client_id": id, "type": "public", "alg": "ES256", "audience": [id],
        "scopes": ["openid", "profile", "email"], "claims": ["email", "name", "groups"],
    });
    if !id.starts_with("spa") {
        client["type"] = "confidential".into();
        client["secret_sha256"] = json!([sha256(&secret_of(id))]);
    }
    for (name, value) in more.as_object().unwrap() {
        client[name] = value.clone();
    }
    client
}

/// With the addresses of a client whose users sign in.
fn signs_in(mut more: Value) -> Value {
    more["redirect_uris"] = json!([CALLBACK, "http://127.0.0.1/callback"]);
    more["post_logout_redirect_uris"] = json!([SIGNED_OUT]);
    more
}

pub fn clients() -> Vec<Value> {
    vec![
        client("librechat", json!({"alg": "RS256"})),
        client("librechat-oauth", signs_in(json!({"renewal": {"requires": "refresh_token"}}))),
        client("spa", json!({})),
        client("spa-oauth", signs_in(json!({"renewal": {"requires": "refresh_token"}}))),
        client("actions", signs_in(json!({"pkce": "optional", "renewal": {"requires": "refresh_token"}}))),
        client("graceful", json!({"renewal": {"grace_seconds": 3600}})),
        client("windowed", json!({"renewal": {"window_seconds": 600}})),
        client("strict", json!({"renewal": {"retry_seconds": 0}})),
        client("short", json!({"access_token_seconds": 300})),
        client("ps", json!({"alg": "PS256"})),
        client("ed", json!({"alg": "EdDSA"})),
        client("hs", json!({"alg": "HS256", "kid": "librechat-hs", "profile": "librechat"})),
        client("scopeless", json!({"scopes": []})),
        client("wide", json!({"audience": ["wide", "https://api.example.org"]})),
        client(
            "keyed",
            json!({"secret_sha256": [], "jwks": {"keys": [jwk(keyed_client(), jsonwebtoken::Algorithm::RS256)]},
                "renewal": {"requires": "refresh_token"}}),
        ),
        client("other", json!({})),
    ]
}

pub fn registrations() -> String {
    registrations_of(&clients())
}

/// `portal` may act for all clients but `other`, for whom `second` may. `signing` and `legacy` issue by assertion only.
pub fn registrations_of(clients: &[Value]) -> String {
    let ids: Vec<&str> = clients.iter().filter_map(|client| client["client_id"].as_str()).collect();
    let portals: Vec<&&str> = ids.iter().filter(|id| **id != "other").collect();
    let asserted = |wanted: &[&str]| ids.iter().filter(|id| wanted.contains(id)).copied().collect::<Vec<_>>();
    let seconds: Vec<&&str> = ids.iter().filter(|id| **id == "other").collect();
    json!({
        "issuers": [
            {"issuer_id": "portal", "secret_sha256": [sha256(&secret_of("portal"))], "clients": portals,
                "sign_in_url": SIGN_IN_URL, "sign_out_url": SIGN_OUT_URL},
            {"issuer_id": "second", "secret_sha256": [sha256(&secret_of("second"))], "clients": seconds},
            {"issuer_id": "signing", "jwks": {"keys": [jwk(signing_issuer(), jsonwebtoken::Algorithm::ES256)]},
                "assertion_iss": "https://portal.example", "assertion_aud": ISSUER,
                "clients": asserted(&["librechat", "hs"])},
            {"issuer_id": "legacy", "hs256_secret": LEGACY_SECRET, "assertion_iss": "old-portal",
                "subject_claim": "user_id", "legacy_max_age_seconds": 31_536_000, "clients": asserted(&["librechat"])},
        ],
        "clients": clients,
    })
    .to_string()
}

/// The registrations with one client changed.
pub fn registrations_with(id: &str, change: impl Fn(&mut Value)) -> String {
    let mut clients = clients();
    let client = clients.iter_mut().find(|client| client["client_id"] == id).unwrap();
    change(client);
    registrations_of(&clients)
}

/// A token of our own key with whatever header and claims.
pub fn signed(header: &Value, claims: &Value, algorithm: jsonwebtoken::Algorithm, key: &EncodingKey) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let input = format!("{}.{}", encode(header), encode(claims));
    let signature = jsonwebtoken::crypto::sign(input.as_bytes(), key, algorithm).unwrap();
    format!("{input}.{signature}")
}

/// As [`signed`], by the RS256 key of the ring and with its usual header.
pub fn signed_rs256(claims: &Value) -> String {
    let mut header = Header::new(jsonwebtoken::Algorithm::RS256);
    header.typ = Some("at+jwt".into());
    header.kid = Some(rs256().kid.clone());
    let key = EncodingKey::from_rsa_pem(rs256().pem.as_bytes()).unwrap();
    signed(&serde_json::to_value(header).unwrap(), claims, jsonwebtoken::Algorithm::RS256, &key)
}
