//! Codes: a session's first token, good once, for a minute, for its client, redirect and verifier.

use std::sync::Arc;

use latchkey_token::{
    keys::KeyRing,
    tokens::{AuthorizationCode, RefreshSecret},
    values::{ClientId, Generation, SessionKey},
};
use serde_json::Value;
use test_support::{
    FORM, form, keys, logs, secret_of,
    sign_in::{CALLBACK, CHALLENGE, VERIFIER},
};
use tokio::task::JoinSet;

use super::{CLIENT, altered, exchange, start};
use crate::{
    bench::{Attempt, Bench, Expected, bytes_of, post, refresh_token_of},
    ledger::Row,
};

/// A code that nobody has used yet.
async fn code(bench: &Bench) -> String {
    let code = bench.app.browser().code(CLIENT).await;
    bench.settle();
    code
}

fn honest(code: &str) -> lambda_http::http::Request<Vec<u8>> {
    exchange(CLIENT, code, CALLBACK, Some(VERIFIER))
}

/// The code is still good: nothing has used it up.
async fn is_good(bench: &Bench, code: &str) {
    bench.app.send(honest(code)).await.tokens();
    bench.row.controlled();
    bench.settle();
}

/// What is no code of ours, at the exchange and wherever else a token may stand.
fn everywhere(what: &str, code: &str) -> Vec<Attempt> {
    let (own, issuer) = (test_support::basic(CLIENT, &secret_of(CLIENT)), super::portal());
    let asked = form(&[("token", code)]);
    vec![
        Attempt::new(format_args!("{what} at the exchange"), honest(code), Expected::invalid_grant()),
        Attempt::new(
            format_args!("{what} at introspection"),
            post("/token/introspect", Some(&issuer), FORM, asked.clone()),
            Expected::inactive(),
        ),
        Attempt::new(
            format_args!("{what} at revocation"),
            post("/token/revoke", Some(&own), FORM, asked),
            Expected::nothing(),
        ),
    ]
}

pub async fn altered_bits(row: Row) {
    let bench = start(row).await;
    let genuine = code(&bench).await;
    let bytes = bytes_of(&genuine[1..]);
    let mut attempts = Vec::new();
    for index in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[index] ^= 1 << bit;
            let text = refresh_token_of(&changed).replacen("lk1_", "lkc1_", 1);
            attempts.extend(everywhere(&format!("byte {index}, bit {bit}"), &text).into_iter().take(1));
        }
    }
    bench.refuse(attempts).await;
    is_good(&bench, &genuine).await;
    bench.session_has_survived().await;
}

pub async fn altered_text(row: Row) {
    let bench = start(row).await;
    let genuine = code(&bench).await;
    let mut attempts: Vec<Attempt> = altered(&genuine).iter().flat_map(|(what, text)| everywhere(what, text)).collect();
    for guess in [
        "lkc1_",
        "x",
        "null",
        "0",
        "SplxlOBeZQQYbYS6WxSbIA",
        "{}",
        "' OR '1'='1",
        "../..",
        "lkc1_*",
        "https://evil.example/",
    ] {
        attempts.extend(everywhere(guess, guess));
    }
    let mut scrambled = bytes_of(&genuine[1..]);
    for round in 0..128_u32 {
        // Numbers that look random and are the same in every run.
        for (index, byte) in scrambled.iter_mut().enumerate().skip(1) {
            *byte = byte.wrapping_mul(197).wrapping_add((round as u8).wrapping_mul(31) ^ index as u8);
        }
        let text = refresh_token_of(&scrambled).replacen("lk1_", "lkc1_", 1);
        attempts.extend(everywhere(&format!("guess {round}"), &text));
    }
    bench.refuse(attempts).await;
    is_good(&bench, &genuine).await;
    bench.session_has_survived().await;
}

/// The code is genuine, and what comes along does not fit it: refused, and nothing changes, used or not.
pub async fn misfits(row: Row) {
    let bench = start(row).await;
    let genuine = code(&bench).await;
    let mut attempts = Vec::new();
    for client in ["spa-oauth", "actions", "librechat", "spa", "hs", "short", "other"] {
        let request = exchange(client, &genuine, CALLBACK, Some(VERIFIER));
        attempts.push(Attempt::new(format_args!("by {client}"), request, Expected::invalid_grant()));
    }
    for (what, secret) in
        [("no secret", ""), ("a wrong one", "wrong"), ("the code", &genuine), ("the verifier", VERIFIER)]
    {
        let mut pairs = vec![
            ("grant_type", "authorization_code"),
            ("code", genuine.as_str()),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
            ("client_id", CLIENT),
        ];
        if !secret.is_empty() {
            pairs.push(("client_secret", secret));
        }
        let request = post("/token/renew", None, FORM, form(&pairs));
        attempts.push(Attempt::new(format_args!("with {what}"), request, Expected::invalid_client()));
    }
    bench.refuse(attempts).await;
    bench.refuse(bound(&genuine)).await;
    is_good(&bench, &genuine).await;
    // A thief without the verifier cannot even end the session.
    bench.refuse(bound(&genuine)).await;
    let without = bench.app.browser();
    let asked = [("code_challenge", ""), ("code_challenge_method", "")];
    let back = without.accepted("actions", &asked).await;
    let unbound = without.get(&back).await.carried_to(CALLBACK)["code"].clone();
    bench.settle();
    // A verifier for a code without a challenge: somebody took the challenge away (RFC 9700 2.1.1).
    let downgraded = exchange("actions", &unbound, CALLBACK, Some(VERIFIER));
    let expected = Expected::invalid_grant().after(&["UpdateItem"]);
    bench.refuse(vec![Attempt::new("a downgrade", downgraded, expected)]).await;
    bench.app.exchange_with("actions", &unbound, CALLBACK, None).await.tokens();
    bench.row.controlled();
    bench.settle();
    bench.session_has_survived().await;
}

/// Other verifiers and redirects. What has the form of one is compared in the table's condition.
fn bound(code: &str) -> Vec<Attempt> {
    let (compared, malformed) = (Expected::invalid_grant().after(&["UpdateItem"]), Expected::invalid_grant());
    let mut attempts = Vec::new();
    for (what, verifier, expected) in [
        ("no verifier", None, &compared),
        ("the challenge", Some(CHALLENGE.to_owned()), &compared),
        ("43 letters", Some("a".repeat(43)), &compared),
        ("128 letters", Some("a".repeat(128)), &compared),
        ("the verifier and more", Some(format!("{VERIFIER}a")), &compared),
        ("in capitals", Some(VERIFIER.to_uppercase()), &compared),
        ("another last letter", Some(format!("{}A", &VERIFIER[..42])), &compared),
        ("42 letters", Some(VERIFIER[..42].to_owned()), &malformed),
        ("129 letters", Some("a".repeat(129)), &malformed),
        ("with a space", Some(format!("{VERIFIER} ")), &malformed),
        ("with a line end", Some(format!("{VERIFIER}\n")), &malformed),
        ("padded", Some(format!("{VERIFIER}=")), &malformed),
        ("with a plus", Some(format!("+{VERIFIER}")), &malformed),
        ("two-byte letters", Some("é".repeat(43)), &malformed),
    ] {
        let request = exchange(CLIENT, code, CALLBACK, verifier.as_deref());
        attempts.push(Attempt::new(format_args!("verifier: {what}"), request, expected.clone()));
    }
    for redirect in [
        format!("{CALLBACK}/"),
        format!("{CALLBACK}?"),
        format!("{CALLBACK}#"),
        format!("{CALLBACK} "),
        CALLBACK.to_uppercase(),
        CALLBACK.replacen("https", "http", 1),
        CALLBACK.replacen(".org/", ".org:443/", 1),
        CALLBACK.replacen("callback", "%63allback", 1),
        "http://127.0.0.1/callback".to_owned(),
        "https://evil.example/".to_owned(),
        "x".to_owned(),
    ] {
        let request = exchange(CLIENT, code, &redirect, Some(VERIFIER));
        attempts.push(Attempt::new(format_args!("redirect {redirect:?}"), request, compared.clone()));
    }
    let request = exchange(CLIENT, code, "", Some(VERIFIER));
    let expected = Expected::invalid_request("redirect_uri is missing");
    attempts.push(Attempt::new("no redirect", request, expected));
    attempts
}

pub async fn other_kinds(row: Row) {
    let bench = start(row).await;
    let genuine = code(&bench).await;
    let unused = bench.app.browser();
    let ticket = unused.ticket(CLIENT, &[]).await;
    let answer = super::answer_of(&unused.accepted(CLIENT, &[]).await);
    bench.settle();
    let own = test_support::basic(CLIENT, &secret_of(CLIENT));
    let renamed = genuine.replacen("lkc1_", "lk1_", 1);
    let mut attempts = Vec::new();
    for (what, token) in [("a code", &genuine), ("a code called a refresh token", &renamed)] {
        let request = post("/token/renew", Some(&own), FORM, form(&[("refresh_token", token)]));
        attempts.push(Attempt::new(format_args!("{what} at renewal"), request, Expected::invalid_grant()));
        for (place, request, expected) in [
            ("introspection", "/token/introspect", Expected::inactive()),
            ("revocation", "/token/revoke", Expected::nothing()),
        ] {
            let request = post(request, Some(&super::portal()), FORM, form(&[("token", token)]));
            attempts.push(Attempt::new(format_args!("{what} at {place}"), request, expected));
        }
        for path in ["/demo/me", "/userinfo"] {
            let request = crate::bench::get(path, Some(&format!("Bearer {token}")));
            attempts.push(Attempt::new(format_args!("{what} at {path}"), request, Expected::invalid_token()));
        }
    }
    let refresh = bench.tokens.refresh().to_owned();
    for (what, token) in [
        ("a refresh token", refresh.clone()),
        ("a refresh token called a code", refresh.replacen("lk1_", "lkc1_", 1)),
        ("an access token", bench.tokens.access().to_owned()),
        ("an ID token", bench.tokens.0["id_token"].as_str().unwrap().to_owned()),
        ("a ticket", ticket.clone()),
        ("a ticket called a code", ticket.replacen("lkt1_", "lkc1_", 1)),
        ("an answer", answer.clone()),
        ("an answer called a code", answer.replacen("lka1_", "lkc1_", 1)),
        ("a session's id", bench.tokens.0["session_id"].as_str().unwrap().to_owned()),
    ] {
        attempts.push(Attempt::new(format_args!("{what} at the exchange"), honest(&token), Expected::invalid_grant()));
    }
    bench.refuse(attempts).await;
    is_good(&bench, &genuine).await;
    bench.session_has_survived().await;
}

/// Whoever has the tag key can make texts that look like our codes. They open nothing and change nothing.
pub async fn stolen_tag_key(row: Row) {
    let bench = start(row).await;
    let genuine = code(&bench).await;
    let ring = KeyRing::parse(&keys::ring()).unwrap();
    let client = ClientId::parse(CLIENT).unwrap();
    let made = |session: SessionKey, generation: u32, secret: [u8; 32]| {
        let code = AuthorizationCode::new(session, Generation::new(generation), RefreshSecret::from_bytes(secret));
        code.expose(ring.tag_key(1, bench.app.now()).unwrap().unwrap(), &client)
    };
    let of_issue = SessionKey::parse(bench.tokens.0["session_id"].as_str().unwrap()).unwrap();
    let of_code = SessionKey::parse(&test_support::session_of_code(&genuine)).unwrap();
    let unknown = SessionKey::parse(&"A".repeat(43)).unwrap();
    let mut attempts = Vec::new();
    for (what, session) in
        [("a session without a code", of_issue), ("the code's session", of_code), ("no session", unknown)]
    {
        for generation in [0, 1, 2, 1_000_000, u32::MAX - 1] {
            for secret in [[0; 32], [0xff; 32]] {
                let what = format!("{what}, generation {generation}");
                // Codes are of generation 0; anything else is refused before the table is asked.
                let asked: &[&str] = if generation == 0 { &["UpdateItem"] } else { &[] };
                let expected = Expected::invalid_grant().after(asked);
                attempts.push(Attempt::new(what, honest(&made(session, generation, secret)), expected));
            }
        }
    }
    bench.refuse(attempts).await;
    is_good(&bench, &genuine).await;
    bench.session_has_survived().await;
}

/// The second use of a code that fits in everything ends its session: one of the two is a thief.
pub async fn used_twice(row: Row) {
    for renewals in [0, 1, 5] {
        let bench = start(row).await;
        let genuine = code(&bench).await;
        let mut tokens = vec![bench.app.send(honest(&genuine)).await.tokens()];
        for _ in 0..renewals {
            let next = bench.app.renew_oauth(CLIENT, tokens.last().unwrap().refresh()).await.tokens();
            tokens.push(next);
        }
        bench.app.operations();
        let answer = bench.app.send(honest(&genuine)).await;
        let session = tokens[0].0["session_id"].as_str().unwrap();
        let is_told = logs::audit_of(session).iter().any(|line| line["event"] == "reuse_detected");
        let is_refused = Expected::invalid_grant().matches(&answer) && is_told;
        bench.judge_by("a second use", is_refused && bench.app.operations() == ["UpdateItem", "UpdateItem"]);
        bench.settle();
        let over = Expected::invalid_grant().after(&["UpdateItem"]);
        let mut attempts: Vec<Attempt> =
            (0..3).map(|_| Attempt::new("a third use", honest(&genuine), over.clone())).collect();
        for (generation, tokens) in tokens.iter().enumerate() {
            let own = test_support::basic(CLIENT, &secret_of(CLIENT));
            let request = post("/token/renew", Some(&own), FORM, form(&[("refresh_token", tokens.refresh())]));
            attempts.push(Attempt::new(format_args!("generation {generation} afterwards"), request, over.clone()));
            let request = crate::bench::get("/userinfo", Some(&format!("Bearer {}", tokens.access())));
            let expected = Expected::invalid_token().after(&["GetItem"]);
            attempts.push(Attempt::new(format_args!("its access token {generation}"), request, expected));
        }
        bench.refuse(attempts).await;
        bench.session_has_survived().await;
    }
}

/// Tokens once at most, whatever the order, and never two that both go on.
pub async fn raced(row: Row) {
    let bench = Arc::new(start(row).await);
    for _ in 0..16 {
        let genuine = code(&bench).await;
        let race = (0..16).map(|_| {
            let (bench, genuine) = (Arc::clone(&bench), genuine.clone());
            async move { bench.app.send(honest(&genuine)).await }
        });
        let answers = race.collect::<JoinSet<_>>().join_all().await;
        let won: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
        let lost = answers.iter().filter(|answer| Expected::invalid_grant().matches(answer)).count();
        for _ in 0..answers.len() - 1 {
            bench.judge_by("tokens twice", won.len() == 1 && lost == 15);
        }
        let tokens = won[0].tokens();
        bench.app.renew_oauth(CLIENT, tokens.refresh()).await.invalid_grant();
    }
    bench.settle();
    bench.session_has_survived().await;
    let table: Value = serde_json::from_str(&bench.app.snapshot()).unwrap();
    let is_over = |item: &&Value| item.get("revoked_at").is_some();
    assert_eq!(table["Items"].as_array().unwrap().iter().filter(is_over).count(), 16, "each race ends its session");
}

pub async fn old(row: Row) {
    let bench = start(row).await;
    let genuine = code(&bench).await;
    bench.app.clock.advance_millis(59_999);
    is_good(&bench, &genuine).await;
    let unused = code(&bench).await;
    for millis in [60_000, 1, 1_000, 3_600_000, 600_000_000] {
        bench.app.clock.advance_millis(millis);
        let expected = Expected::invalid_grant().after(&["UpdateItem"]);
        let late = Attempt::new(format_args!("{millis} ms later"), honest(&unused), expected);
        bench.refuse(vec![late]).await;
    }
}
