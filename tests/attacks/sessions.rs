//! Sessions and who may go on with them: theft, replay, expiry, sign-out, rotation, clocks that differ.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use test_support::{FORM, Tokens, form, keys, logs, secret_of};

use crate::{
    bench::{Attempt, Bench, Expected, Place, post},
    ledger::{Fault, Row},
};

/// A renewal by its own client, as [`test_support::App::renew_as`] sends it.
fn renewal(client: &str, tokens: &Tokens) -> lambda_http::http::Request<Vec<u8>> {
    let secret = secret_of(client);
    let mut pairs = vec![("refresh_token", tokens.refresh()), ("access_token", tokens.access()), ("client_id", client)];
    if !client.starts_with("spa") {
        pairs.push(("client_secret", &secret));
    }
    post("/token/renew", None, FORM, form(&pairs))
}

pub async fn mixed(row: Row) {
    for client in ["librechat", "spa", "ps", "ed", "hs", "librechat-oauth"] {
        let bench = Bench::of(row, client, &[]).await;
        let id = ("claims", r#"{"id":"65a1b2c3d4e5f60718293a4b"}"#);
        let mut pairs = vec![("client_id", client), ("subject", "mallory")];
        if client == "hs" {
            pairs.push(id);
        }
        let mallory = bench.app.issue_form(&pairs).await.tokens();
        let second = bench.app.issue_for(client).await;
        let renewed = bench.app.renew_as(client, &second).await.tokens();
        bench.settle();
        let mut attempts = Vec::new();
        let sets = [("own", &bench.tokens), ("mallory's", &mallory), ("another session's", &renewed)];
        for (whose, refresh) in &sets {
            for (access_of, access) in sets.iter().filter(|(other, _)| other != whose) {
                let request = renewal(client, &refresh.with_access(access.access()));
                let what = format!("{client}: {whose} refresh token, {access_of} access token");
                attempts.push(Attempt::new(what, request, Expected::invalid_grant()));
            }
        }
        bench.refuse(attempts).await;
        bench.session_has_survived().await;
    }
}

/// Refused, and the session has ended: the record has changed by that and by nothing else.
async fn ends_session(bench: &Bench, what: &str, tokens: &Tokens, operations: &'static [&'static str], reason: &str) {
    bench.row.plan(1);
    let before: Value = serde_json::from_str(&bench.app.snapshot()).unwrap();
    bench.app.operations();
    let answer = bench.app.send(renewal(bench.client, tokens)).await;
    bench.row.attempted();
    let expected = Expected::invalid_grant().after(operations);
    if !expected.matches(&answer) || bench.app.operations() != operations {
        bench.row.fault(Fault::WrongAnswer, format_args!("{what}: {answer:?}"));
    }
    let mut after: Value = serde_json::from_str(&bench.app.snapshot()).unwrap();
    let mut before = before;
    let session = tokens.0["session_id"].as_str().unwrap();
    let mut ended = 0;
    for item in after["Items"].as_array_mut().unwrap() {
        let item = item.as_object_mut().unwrap();
        if let Some(Value::Object(said)) = item.remove("revoked_reason") {
            ended += usize::from(said["S"] == reason && item.remove("revoked_at").is_some());
        }
    }
    for item in [&mut before, &mut after].into_iter().flat_map(|table| table["Items"].as_array_mut().unwrap()) {
        // What the end of a session takes away, and what it sets.
        for name in ["claims", "sealed_successor", "previous_hash", "expires_at", "revocation_id"] {
            item.as_object_mut().unwrap().remove(name);
        }
    }
    let lines = logs::audit_of(session);
    let is_told = lines
        .iter()
        .any(|line| line["event"] == "reuse_detected" && line["reason"] == reason && line["level"] == "WARN");
    if ended != 1 || after != before || !is_told {
        bench.row.fault(Fault::StateChange, format_args!("{what}: {ended} ended, told: {is_told}"));
    }
    bench.settle();
}

pub async fn theft(row: Row) {
    const REUSE: &[&str] = &["UpdateItem", "UpdateItem"];
    for (client, delay, back, reason) in [
        ("librechat", 0, 2, "predecessor_after_successor_used"),
        ("librechat", 0, 3, "older_generation"),
        ("librechat", 80_000, 6, "older_generation"),
        ("spa", 0, 2, "predecessor_after_successor_used"),
        ("spa", 61, 1, "predecessor_after_retry_time"),
        ("spa", 80_000, 4, "older_generation"),
        ("strict", 0, 1, "predecessor_after_retry_time"),
        ("strict", 0, 2, "predecessor_after_successor_used"),
        ("librechat-oauth", 86_401, 1, "predecessor_after_retry_time"),
        ("hs", 0, 2, "predecessor_after_successor_used"),
        // An access token that has expired does not hide it: the record is read instead of written.
        ("librechat", 86_400, 2, "predecessor_after_successor_used"),
        ("spa", 86_400, 1, "predecessor_after_retry_time"),
    ] {
        let bench = Bench::of(row, client, &[]).await;
        let mut chain = vec![bench.tokens.clone()];
        for _ in 0..6 {
            let next = bench.app.renew_as(client, chain.last().unwrap()).await.tokens();
            chain.push(next);
        }
        bench.app.clock.advance(delay);
        let stolen = &chain[chain.len() - 1 - back];
        let is_expired = delay >= 86_400 && client != "librechat-oauth";
        let operations: &[&str] = if is_expired { &["GetItem", "UpdateItem"] } else { REUSE };
        ends_session(&bench, &format!("{client}, {back} back, after {delay} s"), stolen, operations, reason).await;
        // Neither the thief nor the victim goes on, with whatever token of the chain.
        let after: &'static [&'static str] = if is_expired { &["GetItem"] } else { &["UpdateItem"] };
        let attempts = chain.iter().enumerate().map(|(generation, tokens)| {
            let what = format!("{client}: generation {generation} after the theft");
            Attempt::new(what, renewal(client, tokens), Expected::invalid_grant().after(after))
        });
        bench.refuse(attempts.collect()).await;
    }
}

/// An old token is shown to nobody. What it is good for is to end its session: whoever holds it gives nothing away by
/// that, and presenting it for renewal would end the session too.
pub async fn old_token_is_good_for_a_sign_out_alone(row: Row) {
    for client in ["librechat", "spa", "strict"] {
        let bench = Bench::of(row, client, &[]).await;
        let mut chain = vec![bench.tokens.clone()];
        for _ in 0..4 {
            let next = bench.app.renew_as(client, chain.last().unwrap()).await.tokens();
            chain.push(next);
        }
        bench.settle();
        let current = chain.pop().unwrap();
        let attempts = chain.iter().enumerate().map(|(generation, tokens)| {
            let asked = form(&[("token", tokens.refresh())]);
            let request = post("/token/introspect", Some(&bench.basic("portal")), FORM, asked);
            let what = format!("{client}: generation {generation} shown");
            Attempt::new(what, request, Expected::inactive().after(&["GetItem"]))
        });
        bench.refuse(attempts.collect()).await;
        bench.app.renew_as(client, &current).await.tokens();
        row.controlled();
    }
}

pub async fn after_revocation(row: Row) {
    for how in ["revoke", "sessions"] {
        let bench = Bench::start(row).await;
        let first = bench.tokens.clone();
        let second = bench.app.renew(&first).await.tokens();
        let third = bench.app.renew(&second).await.tokens();
        let portal = bench.basic("portal");
        if how == "revoke" {
            bench.app.post("/token/revoke", Some(&portal), FORM, form(&[("token", third.access())])).await;
        } else {
            let path = format!("/sessions/{}", third.0["session_id"].as_str().unwrap());
            let request =
                crate::bench::request("DELETE".parse().unwrap(), &path, &[("authorization", &portal)], vec![]);
            assert_eq!(bench.app.send(request).await.json()["ended"], 1);
        }
        bench.settle();
        let mut attempts = Vec::new();
        for (generation, tokens) in [&first, &second, &third].into_iter().enumerate() {
            let what = format!("{how}: generation {generation}");
            attempts.push(Attempt::new(
                &what,
                renewal("librechat", tokens),
                Expected::invalid_grant().after(&["UpdateItem"]),
            ));
            for place in [Place::Resource, Place::IntrospectionByIssuer, Place::IntrospectionByClient] {
                let request = bench.bring(place, tokens.access()).unwrap();
                attempts.push(Attempt::new(
                    format!("{what} at {place:?}"),
                    request,
                    place.refusal().after(&["GetItem"]),
                ));
            }
        }
        bench.refuse(attempts).await;
    }
}

pub async fn expiry(row: Row) {
    let client = "librechat-oauth";
    // Idle for a week; and a session that is renewed daily until its thirty days are over.
    for (what, chain) in [("idle", 0), ("absolute", 6)] {
        let bench = Bench::of(row, client, &[]).await;
        let mut tokens = bench.tokens.clone();
        for _ in 0..chain {
            bench.app.clock.advance(430_000);
            tokens = bench.app.renew_oauth(client, tokens.refresh()).await.tokens();
        }
        let left = tokens.0["refresh_token_expires_in"].as_u64().unwrap();
        bench.app.clock.advance(u32::try_from(left).unwrap());
        // The table's own deletion may be days, or for ever, late.
        for later in [0, 1, 86_400, 864_000, 31_536_000] {
            bench.app.clock.advance(later);
            bench.settle();
            let oauth = form(&[("refresh_token", tokens.refresh())]);
            let asked = form(&[("token", tokens.refresh())]);
            let (own, portal) = (bench.basic(client), bench.basic("portal"));
            let mut attempts = vec![
                Attempt::new(
                    format!("{what}, {later} s later: renewal"),
                    post("/token/renew", Some(&own), FORM, oauth),
                    Expected::invalid_grant().after(&["UpdateItem"]),
                ),
                Attempt::new(
                    format!("{what}, {later} s later: introspection"),
                    post("/token/introspect", Some(&portal), FORM, asked.clone()),
                    Expected::inactive().after(&["GetItem"]),
                ),
            ];
            // An idle session can still be ended: its access tokens may be out.
            if what == "absolute" {
                attempts.push(Attempt::new(
                    format!("{what}, {later} s later: revocation"),
                    post("/token/revoke", Some(&portal), FORM, asked),
                    Expected::nothing().after(&["GetItem"]),
                ));
            }
            bench.refuse(attempts).await;
        }
    }
}

pub async fn in_parallel(row: Row) {
    const AT_ONCE: usize = 32;
    for client in ["librechat", "spa", "librechat-oauth"] {
        let bench = std::sync::Arc::new(Bench::of(row, client, &[]).await);
        row.plan(AT_ONCE);
        let tasks: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                let bench = std::sync::Arc::clone(&bench);
                tokio::spawn(async move { bench.app.renew_as(client, &bench.tokens).await })
            })
            .collect();
        let mut successors = BTreeSet::new();
        for task in tasks {
            let answer = task.await.unwrap();
            row.attempted();
            match answer.status.as_u16() {
                200 => {
                    successors.insert(answer.tokens().refresh().to_owned());
                }
                _ => row.fault(Fault::WrongAnswer, format_args!("{client}: {answer:?}")),
            }
        }
        let generation = bench.app.generation_of(bench.tokens.0["session_id"].as_str().unwrap()).await;
        if successors.len() != 1 || generation != "1" {
            let count = successors.len();
            row.fault(Fault::LetIn, format_args!("{client}: {count} successors, generation {generation}"));
        }
    }
}

/// Two functions whose clocks differ by half a minute either way, on one table.
pub async fn clocks(row: Row) {
    for client in ["librechat", "spa"] {
        for (first, second) in [(0, 30_000), (0, -30_000), (30_000, -29_000), (-30_000, 29_000)] {
            let bench = Bench::of(row, client, &[]).await;
            let renewing = bench.app.twin(first).await;
            let retrying = bench.app.twin(second).await;
            row.plan(1);
            let successor = renewing.renew_as(client, &bench.tokens).await.tokens();
            let retried = retrying.renew_as(client, &bench.tokens).await;
            row.attempted();
            if retried.status != 200 || retried.tokens().refresh() != successor.refresh() {
                row.fault(Fault::WrongAnswer, format_args!("{client}, {first} and {second} ms: {retried:?}"));
            }
            let next = retrying.renew_as(client, &successor).await.tokens();
            renewing.renew_as(client, &next).await.tokens();
            row.controlled();
        }
    }
}

pub async fn key_rotation(row: Row) {
    let bench = Bench::start(row).await;
    let stranger = crate::forge::attackers(jsonwebtoken::Algorithm::RS256, "next");
    let now = bench.app.now();
    let tagging = json!([{"kid": 1, "secret": keys::tag_secret()}]);
    let entry = |publish_at: i64, sign_from: i64, retire_at: Value| {
        let mut ring: Value = serde_json::from_str(&keys::ring_with(tagging.clone(), vec![])).unwrap();
        let mut entry = ring["signing"][0].clone();
        entry["kid"] = "next".into();
        entry["private_key"] = stranger.pem().into();
        entry["publish_at"] = publish_at.into();
        entry["sign_from"] = sign_from.into();
        entry["retire_at"] = retire_at;
        ring["signing"].as_array_mut().unwrap().push(entry);
        ring.to_string()
    };
    let forge = bench.forge();
    let token = |bench: &Bench| {
        let mut claims = forge.claims.clone();
        claims["iat"] = bench.app.now().into();
        claims["exp"] = (bench.app.now() + 600).into();
        stranger.sign(&stranger.header().to_string(), &claims.to_string())
    };
    // Before it is published, a key vouches for nothing.
    bench.app.rewrite("keys.json", &entry(now + 10_000, now + 20_000, Value::Null));
    bench.refuse_tokens(vec![("not yet published".into(), token(&bench))]).await;
    // Published, and not yet signing: old and new verify.
    bench.app.rewrite("keys.json", &entry(now, now + 20_000, Value::Null));
    for verified in [token(&bench), bench.tokens.access().to_owned()] {
        let answer = bench.app.send(bench.bring(Place::Resource, &verified).unwrap()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        row.controlled();
    }
    // Retired: its tokens are worth nothing, unexpired as they are.
    bench.app.rewrite("keys.json", &entry(now, now, (now + 1_000).into()));
    bench.app.clock.advance(1_000);
    bench.refuse_tokens(vec![("retired".into(), token(&bench))]).await;
    bench.session_has_survived().await;
}

/// What is asked for at renewal narrows; nothing widens.
pub async fn wider_scope(row: Row) {
    let bench = Bench::of(row, "librechat-oauth", &[]).await;
    let pairs = [("client_id", "librechat-oauth"), ("subject", "alice"), ("scope", "profile")];
    let mut tokens = bench.app.issue_form(&pairs).await.tokens();
    let asked = [
        "openid",
        "email",
        "profile email",
        "openid profile email",
        "admin",
        "profile admin",
        "*",
        "profile,email",
        "PROFILE",
        "offline_access",
    ];
    row.plan(asked.len());
    for scope in asked {
        let secret = secret_of("librechat-oauth");
        let pairs = [
            ("refresh_token", tokens.refresh()),
            ("client_id", "librechat-oauth"),
            ("client_secret", &secret),
            ("scope", scope),
        ];
        let answer = bench.app.post("/token/renew", None, FORM, form(&pairs)).await;
        row.attempted();
        tokens = answer.tokens();
        if tokens.0["scope"] != "profile" || tokens.claims()["scope"] != "profile" || tokens.0.get("id_token").is_some()
        {
            row.fault(Fault::LetIn, format_args!("{scope:?}: {}", tokens.0["scope"]));
        }
    }
    let hostile = ["pro\"file", "profile\\", "pro\u{e9}", "profile\t", "profile\n", "profile\0"];
    let attempts = hostile.into_iter().map(|scope| {
        let own = bench.basic("librechat-oauth");
        let request =
            post("/token/renew", Some(&own), FORM, form(&[("refresh_token", tokens.refresh()), ("scope", scope)]));
        let text = "the scope is malformed or not allowed for this client";
        Attempt::new(format!("{scope:?}"), request, Expected::error(400, "invalid_scope", text))
    });
    bench.settle();
    bench.refuse(attempts.collect()).await;
}
