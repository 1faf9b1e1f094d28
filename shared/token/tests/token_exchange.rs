//! Whatever clients make of a user's token by exchanges, one after the other: no token has more than an entry allows, and none
//! outlives its session.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::OnceLock;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use latchkey_token::{
    audit::Event,
    documents::Documents,
    grants::{ClientIdentification, IssuedTokenType, Targets, TokenExchange, TokenExchangeRequest},
    keys::{Algorithm, thumbprint},
    ports::{Audit, RevokeSession},
    registrations::Credentials,
};
use latchkey_token_testkit::{
    FixedDocuments, InMemorySessions, World,
    fixture::{NOW, revocation},
    statement,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const CLIENTS: [&str; 3] = ["a", "b", "c"];
const TARGETS: [&str; 3] = ["https://a.example.org", "https://b.example.org", "https://c.example.org"];
const SCOPES: [&str; 2] = ["read", "write"];
const SECRET: &str = "secret";

struct Nobody;

impl Audit for Nobody {
    fn record(&self, _: &Event) {}
}

/// What the three clients may exchange: for each of them and each target a mask of scopes, if there is an entry; and whether the
/// client is the target that has its letter.
type Entries = [([Option<u8>; 3], bool); 3];

fn scopes(mask: u8) -> Vec<&'static str> {
    SCOPES.into_iter().enumerate().filter(|(bit, _)| mask >> bit & 1 == 1).map(|(_, name)| name).collect()
}

fn documents(entries: &Entries) -> FixedDocuments {
    static PEM: OnceLock<String> = OnceLock::new();
    let pem = PEM.get_or_init(|| {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let der = key.to_pkcs8v1().unwrap();
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()))
    });
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, SECRET.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let client = |index: usize| {
        let (masks, is_target) = entries[index];
        let entry = |(target, mask): (&str, Option<u8>)| {
            Some(json!({"audience": target, "scopes": scopes(mask?), "access_token_seconds": 300}))
        };
        let exchange: Vec<Value> = TARGETS.into_iter().zip(masks).filter_map(entry).collect();
        let audience = if is_target { TARGETS[index] } else { CLIENTS[index] };
        json!({"client_id": CLIENTS[index], "type": "confidential", "secret_sha256": [hash], "alg": "ES256",
            "audience": [audience], "scopes": ["openid"], "exchange": exchange})
    };
    let kid = thumbprint(Algorithm::Es256, pem).unwrap();
    let keys = json!({
        "signing": [{"kid": kid.as_str(), "alg": "ES256", "private_key": pem}],
        "tagging": [{"kid": 1, "secret": URL_SAFE_NO_PAD.encode([9; 32])}],
    });
    let issuers = json!([{"issuer_id": "portal", "secret_sha256": [hash], "clients": CLIENTS}]);
    let registrations = json!({"issuers": issuers, "clients": [client(0), client(1), client(2)]});
    FixedDocuments::new(Documents::parse(&keys.to_string(), &registrations.to_string()).unwrap())
}

fn claims(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

/// One exchange: by which client, of which of the tokens so far, for which target, for which scopes if any are named.
type Step = (usize, prop::sample::Index, usize, Option<u8>);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]
    #[test]
    fn no_sequence_of_exchanges_gets_more_than_the_entries_allow_or_outlives_the_session(
        entries in any::<Entries>(),
        steps in proptest::collection::vec((0..3_usize, any::<prop::sample::Index>(), 0..3_usize, any::<Option<u8>>()), 1..24),
        end in any::<prop::sample::Index>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(sequence(&entries, &steps, end.index(steps.len())));
    }
}

async fn sequence(entries: &Entries, steps: &[Step], end: usize) {
    let world = World::new(InMemorySessions::default(), documents(entries), "https://id.example.org", NOW);
    let issued = world.issue(&Nobody).run(statement("portal", SECRET, CLIENTS[0], "alice")).await.unwrap();
    let session = issued.session;
    let mut tokens = vec![issued.access_token];
    for (number, (client, subject, target, asked)) in steps.iter().enumerate() {
        if number == end {
            world.store.revoke(&session, &revocation(1)).await.unwrap();
        }
        let subject = &tokens[subject.index(tokens.len())];
        let credentials = Credentials { id: CLIENTS[*client].into(), secret: SECRET.into() };
        let request = TokenExchangeRequest {
            client: ClientIdentification::Authenticated(vec![credentials]),
            subject_token: subject.clone(),
            targets: Targets::Named(vec![TARGETS[*target].into()]),
            scope: asked.map(|mask| scopes(mask).join(" ")).filter(|scope| !scope.is_empty()),
            issued: IssuedTokenType::AccessToken,
        };
        let World { store, documents, policy, clock, randomness } = &world;
        let use_case = TokenExchange { store, documents, policy, clock, randomness, audit: &Nobody };
        let answer = use_case.run(request).await;
        let before = claims(subject);
        let (masks, is_target) = entries[*client];
        let is_meant = before["client_id"] == CLIENTS[*client]
            || before["aud"] == CLIENTS[*client]
            || is_target && before["aud"] == TARGETS[*client];
        let depth = std::iter::successors(before.get("act"), |act| act.get("act")).count();
        let allowed = masks[*target].map(scopes).filter(|_| is_meant && number < end && depth < 4);
        let asked = asked.map(scopes).filter(|names| !names.is_empty());
        let expected = allowed.and_then(|allowed| match asked {
            None => Some(allowed),
            Some(asked) => asked.iter().all(|name| allowed.contains(name)).then_some(asked),
        });
        clock.advance(1);
        assert_eq!(answer.is_ok(), expected.is_some(), "{} of {before} for {}", CLIENTS[*client], TARGETS[*target]);
        let (Ok(exchanged), Some(expected)) = (answer, expected) else { continue };
        let own = claims(&exchanged.access_token);
        assert_eq!(own["scope"], expected.join(" "));
        assert_eq!((&own["aud"], &own["client_id"]), (&json!(TARGETS[*target]), &json!(CLIENTS[*client])));
        assert_eq!((&own["sub"], &own["sid"]), (&before["sub"], &before["sid"]));
        assert!(own["exp"].as_i64() <= before["exp"].as_i64(), "{own}");
        let mut act = json!({"sub": CLIENTS[*client]});
        if let Some(others) = before.get("act") {
            act["act"] = others.clone();
        }
        assert_eq!(own["act"], act);
        tokens.push(exchanged.access_token);
    }
}
