//! Documents of today's version are read without a fault for ever, and those of a newer one as far as they are understood.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;

use latchkey_token::{
    documents::Documents,
    json::{Map, Value},
    keys::{KeyRing, Kid},
    registrations::{Pkce, Registrations, RenewalRequirement},
    values::{ClientId, Subject},
};
use serde_json::json;

const NOW: i64 = 1_800_000_000;
/// Of thirty-two equal bytes, worthless.
const TAG_SECRET: &str = "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk";
const AUDIT_SECRET: &str = "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg";
const HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Every member of a key ring that version 0.1.0 knows.
fn ring() -> Value {
    json!({
        "signing": [
            {"kid": "librechat-hs", "alg": "HS256", "secret": "a test secret of at least 32 bytes"},
            {"kid": "earlier-hs", "alg": "HS256", "secret": "another test secret of 32+ bytes..", "publish_at": 0,
                "sign_from": 0, "retire_at": 1_900_000_000},
        ],
        "tagging": [
            {"kid": 1, "secret": TAG_SECRET},
            {"kid": 2, "secret": AUDIT_SECRET, "use_from": 1_700_000_000, "retire_at": null},
        ],
        "audit": {"secret": AUDIT_SECRET},
        "critical": ["kid"],
    })
}

/// Every member of registrations that version 0.1.0 knows.
fn registrations() -> Value {
    json!({
        "sessions_not_before": 0,
        "critical": ["audience"],
        "issuers": [
            {"issuer_id": "portal", "secret_sha256": [HASH], "clients": ["librechat", "spa"], "disabled": false,
                "sign_in_url": "https://portal.example.org/sign-in", "sign_out_url": "https://portal.example.org/sign-out",
                "sessions_not_before": 1_700_000_000},
            {"issuer_id": "old-portal", "hs256_secret": "a test secret of at least 32 bytes", "assertion_iss": "old-portal",
                "assertion_aud": "latchkey", "subject_claim": "user_id", "legacy_max_age_seconds": 86_400,
                "assertions_not_before": 1_700_000_000, "clients": ["librechat"]},
        ],
        "clients": [
            {"client_id": "librechat", "type": "confidential", "secret_sha256": [HASH, HASH], "profile": "librechat",
                "alg": "HS256", "kid": "librechat-hs", "previous_kids": ["earlier-hs"], "audience": ["librechat"],
                "scopes": ["openid", "profile"], "claims": ["email"], "access_token_seconds": 86_400,
                "sessions_not_before": 0, "redirect_uris": ["https://chat.example.org/oauth/openid/callback"],
                "post_logout_redirect_uris": ["https://chat.example.org/login"], "pkce": "optional", "sign_in_issuer": "portal",
                "renewal": {"requires": "refresh_token", "grace_seconds": 60, "window_seconds": 0, "retry_seconds": 60}},
            {"client_id": "spa", "type": "public", "alg": "HS256", "kid": "earlier-hs", "audience": ["spa"]},
        ],
    })
}

fn read(ring: &Value, registrations: &Value) -> (Documents, usize) {
    let ring = KeyRing::read(&ring.to_string()).unwrap();
    let registrations = Registrations::read(&registrations.to_string()).unwrap();
    let faults = ring.faults.lines().len() + registrations.faults.lines().len();
    let fitted = Documents::of(Arc::new(ring.value), Arc::new(registrations.value));
    (fitted.value, faults + fitted.faults.lines().len())
}

/// What the documents of today say.
fn assert_says_the_same(documents: &Documents) {
    let keys = &documents.keys;
    assert_eq!(keys.tagger(NOW).unwrap().kid(), 2);
    assert!(keys.tag_key(1, NOW).unwrap().is_some());
    assert!(keys.verifier("earlier-hs", 1_900_000_000).unwrap().is_none(), "it has retired");
    assert_eq!(keys.audit_name(&Subject::parse("alice").unwrap()).unwrap().len(), 16);
    let client = documents.registrations.client("librechat").unwrap().unwrap();
    assert_eq!(client.renewal.requires, RenewalRequirement::RefreshToken);
    assert_eq!(client.previous_kids, [Kid::parse("earlier-hs").unwrap()]);
    assert_eq!(documents.registrations.issuer("portal").unwrap().unwrap().clients.len(), 2);
    assert!(client.redirects_to("https://chat.example.org/oauth/openid/callback") && client.pkce == Pkce::Optional);
    assert!(client.redirects_after_sign_out_to("https://chat.example.org/login"));
    let portal = documents.registrations.sign_in_issuer(client).unwrap().unwrap();
    assert_eq!(portal.sign_out_url.as_ref().unwrap().as_str(), "https://portal.example.org/sign-out");
    let epochs = documents.registrations.epochs(&ClientId::parse("spa").unwrap()).unwrap();
    assert_eq!((epochs.floor(), epochs.issuers().len(), epochs.unreadable().len()), (None, 1, 0));
}

#[test]
fn documents_of_today_are_read_without_a_fault() {
    let (documents, faults) = read(&ring(), &registrations());
    assert_eq!(faults, 0);
    assert_says_the_same(&documents);
    assert!(Documents::parse(&ring().to_string(), &registrations().to_string()).is_ok(), "strictly as well");
}

/// Puts an unknown member into every object, however deep, and says how many.
fn add_news(value: &mut Value) -> usize {
    match value {
        Value::Object(members) => {
            let within: usize = members.values_mut().map(add_news).sum();
            members.insert("of_a_newer_version".into(), json!({"any": ["thing"]}));
            within + 1
        }
        Value::Array(items) => items.iter_mut().map(add_news).sum(),
        _ => 0,
    }
}

#[test]
fn members_of_a_newer_version_are_ignored_and_named() {
    let (mut ring, mut registrations) = (ring(), registrations());
    // What stands in `audit` is that key's own business.
    let added = add_news(&mut ring) - 1 + add_news(&mut registrations);
    let (documents, faults) = read(&ring, &registrations);
    assert_eq!(faults, added);
    assert_says_the_same(&documents);
}

#[test]
fn entries_and_values_of_a_newer_version_cost_themselves_alone() {
    let (mut ring, mut registrations) = (ring(), registrations());
    let push = |document: &mut Value, list: &str, entry: Value| document[list].as_array_mut().unwrap().push(entry);
    push(&mut ring, "signing", json!({"kid": "pq", "alg": "ML-DSA-65", "private_key": "of another form"}));
    push(&mut ring, "tagging", json!({"kid": 3, "alg": "HMAC-SHA3", "secret": "of another form"}));
    push(&mut registrations, "clients", json!({"client_id": "agent", "type": "workload", "audience": ["agent"]}));
    push(&mut registrations, "issuers", json!({"issuer_id": "mesh", "spiffe": {"trust": "example.org"}}));
    registrations["dynamic_things"] = Value::Object(Map::new());
    let (documents, faults) = read(&ring, &registrations);
    assert!(faults >= 5);
    assert_says_the_same(&documents);
    assert!(documents.registrations.client("agent").is_err() && documents.registrations.issuer("mesh").is_err());
    assert!(documents.keys.verifier("pq", NOW).is_err() && documents.keys.tag_key(3, NOW).is_err());
    assert!(documents.registrations.client("nobody").unwrap().is_none());
}
