//! Tickets: good for the issuer that they were sent to, in the deployment that made them, for ten minutes.

use lambda_http::http::Request;
use latchkey_token::{
    keys::KeyRing,
    tickets::{Browser, Ticket, TicketKeys},
    values::{ClientId, IssuerId, Scope, Timestamp},
};
use serde_json::json;
use test_support::{
    App, ISSUER, START, basic, keys, secret_of,
    sign_in::{CALLBACK, SIGN_IN_URL, query_of},
};

use super::{CLIENT, altered, call, portal, start};
use crate::{
    bench::{Attempt, Bench, Expected, bytes_of, refresh_token_of},
    ledger::Row,
};

const CALLS: [&str; 3] = ["accept", "reject", "inspect"];

fn no_ticket() -> Expected {
    Expected::invalid_request("ticket is none of this deployment's: send it as it came")
}

fn expired() -> Expected {
    Expected::invalid_request("ticket has expired: the user has to begin again at the client")
}

/// By the portal, in each of its calls.
fn everywhere(what: &str, ticket: &str, expected: &Expected) -> Vec<Attempt> {
    let attempt = |name: &str| {
        let request = call(name, Some(&portal()), ticket);
        let is_too_large = request.body().len() > 16 * 1024;
        let expected = if is_too_large { Expected::too_large() } else { expected.clone() };
        Attempt::new(format_args!("{what} at {name}"), request, expected)
    };
    CALLS.into_iter().map(attempt).collect()
}

/// The portal itself still gets what it asks for.
async fn is_good(bench: &Bench, ticket: &str) {
    let answer = bench.app.portal("inspect", &[("ticket", ticket)]).await;
    assert_eq!(answer.json()["client_id"], CLIENT, "{answer:?}");
    bench.row.controlled();
    bench.settle();
}

pub async fn altered_bits(row: Row) {
    let bench = start(row).await;
    let ticket = bench.app.browser().ticket(CLIENT, &[]).await;
    is_good(&bench, &ticket).await;
    let bytes = bytes_of(&ticket[1..]);
    let mut attempts = Vec::new();
    for index in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[index] ^= 1 << bit;
            let text = refresh_token_of(&changed).replacen("lk1_", "lkt1_", 1);
            let all = everywhere(&format!("byte {index}, bit {bit}"), &text, &no_ticket());
            // Each call in its turn.
            attempts.extend(all.into_iter().skip((index + bit) % 3).take(1));
        }
    }
    // Every other key's number, known or not: none has anything read again.
    for kid in 0..=255_u8 {
        let mut changed = bytes.clone();
        changed[0] = kid;
        let text = refresh_token_of(&changed).replacen("lk1_", "lkt1_", 1);
        if text != ticket {
            attempts.extend(everywhere(&format!("key {kid}"), &text, &no_ticket()).into_iter().take(1));
        }
    }
    bench.refuse(attempts).await;
    is_good(&bench, &ticket).await;
    bench.session_has_survived().await;
}

pub async fn altered_text(row: Row) {
    let bench = start(row).await;
    let ticket = bench.app.browser().ticket(CLIENT, &[]).await;
    is_good(&bench, &ticket).await;
    let mut attempts = Vec::new();
    for (number, (what, text)) in altered(&ticket).into_iter().enumerate() {
        attempts.extend(everywhere(&what, &text, &no_ticket()).into_iter().skip(number % 3).take(1));
    }
    let missing = Expected::invalid_request("ticket is missing");
    attempts.extend(everywhere("empty", "", &missing));
    for text in ["lkt1_", "lkt1_AAAA", "null", "{}", "https://evil.example/", "' OR '1'='1", &"x".repeat(13_000)] {
        attempts.extend(everywhere(text, text, &no_ticket()));
    }
    attempts.extend(everywhere("20 kB", &"x".repeat(20_000), &no_ticket()));
    bench.refuse(attempts).await;
    is_good(&bench, &ticket).await;
    bench.session_has_survived().await;
}

/// A ticket as `/authorize` makes it, sealed with whatever keys, for whatever deployment.
fn made(ring: &str, issuer: &str, change: impl Fn(&mut Ticket)) -> String {
    let mut ticket = Ticket {
        client_id: ClientId::parse(CLIENT).unwrap(),
        issuer_id: IssuerId::parse("portal").unwrap(),
        redirect_uri: CALLBACK.into(),
        scope: Scope::parse("openid email").unwrap(),
        resource: Vec::new(),
        state: None,
        nonce: None,
        code_challenge: None,
        prompt: None,
        login_hint: None,
        acr_values: None,
        max_age: None,
        browser: Browser::from_bytes([3; 32]).hash(),
        begun_at: START,
    };
    change(&mut ticket);
    ticket.seal(&TicketKeys::of(&KeyRing::parse(ring).unwrap()), issuer, [9; 16]).unwrap()
}

pub async fn not_ours_now(row: Row) {
    let bench = start(row).await;
    let ticket = bench.app.browser().ticket(CLIENT, &[]).await;
    is_good(&bench, &ticket).await;
    let other_keys =
        keys::ring_with(json!([{"kid": 1, "secret": "CgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo"}]), vec![]);
    let elsewhere = App::with(&[("LATCHKEY_ISSUER", "https://other.example")]).await;
    let theirs = elsewhere.browser().ticket(CLIENT, &[]).await;
    let browser = bench.app.browser();
    let answer = super::answer_of(&browser.accepted(CLIENT, &[]).await);
    let code = browser.code(CLIENT).await;
    bench.settle();
    is_good(&bench, &made(&keys::ring(), ISSUER, |_| {})).await;
    let body = |text: &str| text.split_once("1_").unwrap().1.to_owned();
    let mut attempts = Vec::new();
    for (what, text) in [
        ("of another deployment with the same keys", theirs),
        ("of another issuer", made(&keys::ring(), "https://other.example", |_| {})),
        ("of our issuer with a slash", made(&keys::ring(), &format!("{ISSUER}/"), |_| {})),
        ("of our issuer in capitals", made(&keys::ring(), &ISSUER.to_uppercase(), |_| {})),
        ("of no issuer", made(&keys::ring(), "", |_| {})),
        ("of other keys", made(&other_keys, ISSUER, |_| {})),
        ("an answer", answer.clone()),
        ("an answer called a ticket", format!("lkt1_{}", body(&answer))),
        ("a code", code.clone()),
        ("a code called a ticket", format!("lkt1_{}", body(&code))),
        ("a refresh token", bench.tokens.refresh().to_owned()),
        ("an access token", bench.tokens.access().to_owned()),
        ("an ID token", bench.tokens.0["id_token"].as_str().unwrap().to_owned()),
    ] {
        attempts.extend(everywhere(what, &text, &no_ticket()));
    }
    // Whoever has a ticket key can seal whatever they like; what is in it is judged all the same.
    let unauthorized = Expected::error(400, "unauthorized_client", "this issuer may not act for that client");
    for (what, change) in [
        ("another issuer's", (|ticket| ticket.issuer_id = IssuerId::parse("second").unwrap()) as fn(&mut Ticket)),
        ("a client of another issuer", |ticket| ticket.client_id = ClientId::parse("other").unwrap()),
        ("a client that is gone", |ticket| ticket.client_id = ClientId::parse("gone").unwrap()),
    ] {
        attempts.extend(everywhere(what, &made(&keys::ring(), ISSUER, change), &unauthorized));
    }
    let elsewhere_to = made(&keys::ring(), ISSUER, |ticket| ticket.redirect_uri = "https://evil.example/".into());
    let moved = Expected::invalid_request("redirect_uri of this sign-in is not registered any more");
    attempts.push(Attempt::new("to another address", call("accept", Some(&portal()), &elsewhere_to), moved));
    let wide = made(&keys::ring(), ISSUER, |ticket| ticket.scope = Scope::parse("admin").unwrap());
    let scope = Expected::error(400, "invalid_scope", "the scope is malformed or not allowed for this client");
    attempts.push(Attempt::new("of another scope", call("accept", Some(&portal()), &wide), scope));
    let old = made(&keys::ring(), ISSUER, |ticket| ticket.begun_at = Timestamp::from_unix_seconds(0));
    attempts.extend(everywhere("of 1970", &old, &expired()));
    bench.refuse(attempts).await;
    bench.app.clock.advance(599);
    is_good(&bench, &ticket).await;
    for seconds in [1, 60, 86_400] {
        bench.app.clock.advance(seconds);
        bench.refuse(everywhere(&format!("{seconds} s later"), &ticket, &expired())).await;
    }
    // The key that sealed it retires.
    let young = bench.app.browser().ticket(CLIENT, &[]).await;
    is_good(&bench, &young).await;
    let retires = bench.app.now() + 200;
    let tagging = json!([
        {"kid": 1, "secret": keys::tag_secret(), "retire_at": retires},
        {"kid": 2, "secret": "CgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo", "use_from": retires},
    ]);
    bench.app.rewrite("keys.json", &keys::ring_with(tagging, vec![]));
    bench.refuse(everywhere("after its key's end", &young, &no_ticket())).await;
    let next = bench.app.browser().ticket(CLIENT, &[]).await;
    is_good(&bench, &next).await;
}

pub async fn by_others(row: Row) {
    let bench = start(row).await;
    let ticket = bench.app.browser().ticket(CLIENT, &[]).await;
    is_good(&bench, &ticket).await;
    let mut attempts = Vec::new();
    let unauthorized = Expected::error(400, "unauthorized_client", "this issuer may not act for that client");
    let second = basic("second", &secret_of("second"));
    for name in CALLS {
        attempts.push(Attempt::new(
            format_args!("second at {name}"),
            call(name, Some(&second), &ticket),
            unauthorized.clone(),
        ));
        let request = call(name, None, &ticket);
        attempts.push(Attempt::new(format_args!("nobody at {name}"), request, Expected::invalid_client()));
        for (who, secret) in [
            ("portal", secret_of("second")),
            ("portal", String::new()),
            ("portal", "portal".into()),
            ("Portal", secret_of("portal")),
            ("nobody", secret_of("portal")),
            ("signing", secret_of("signing")),
            ("legacy", keys::LEGACY_SECRET.into()),
            (CLIENT, secret_of(CLIENT)),
            ("spa-oauth", String::new()),
            ("portal", ticket.clone()),
            (CLIENT, secret_of("portal")),
        ] {
            let request = call(name, Some(&basic(who, &secret)), &ticket);
            attempts.push(Attempt::new(format_args!("{who} at {name}"), request, Expected::invalid_client_basic()));
        }
        // The ticket, or a token, is no credential.
        for token in [ticket.as_str(), bench.tokens.access()] {
            let request = call(name, Some(&format!("Bearer {token}")), &ticket);
            attempts.push(Attempt::new(format_args!("a bearer at {name}"), request, Expected::invalid_client()));
        }
        // A browser cannot do it by a link.
        let path = format!("/authorize/{name}?ticket={ticket}&subject=mallory&issuer_id=portal");
        let link = Request::get(path).header("authorization", portal()).body(vec![]).unwrap();
        let text = "this route does not take this method";
        let expected = Expected::error(405, "invalid_request", text).with_header("allow", "POST");
        attempts.push(Attempt::new(format_args!("a link at {name}"), link, expected));
    }
    bench.refuse(attempts).await;
    is_good(&bench, &ticket).await;
    bench.session_has_survived().await;
}

/// Whoever gets the same ticket accepted twice has two codes, of two sessions; each is good once, and dies unused.
pub async fn replayed(row: Row) {
    let bench = start(row).await;
    let browser = bench.app.browser();
    let begun = browser.begin(CLIENT, &[]).await.location();
    let ticket = query_of(&begun)["ticket"].clone();
    assert!(begun.starts_with(SIGN_IN_URL));
    let mut codes = Vec::new();
    for _ in 0..8 {
        let accepted = bench.app.portal("accept", &[("ticket", &ticket), ("subject", "alice")]).await;
        let back = accepted.json()["redirect_to"].as_str().unwrap().to_owned();
        codes.push(browser.get(&back).await.carried_to(CALLBACK)["code"].clone());
    }
    let different: std::collections::BTreeSet<_> = codes.iter().collect();
    bench.judge_by("a second accept repeats a code", different.len() == codes.len());
    let last = codes.pop().unwrap();
    let tokens = bench.app.exchange(CLIENT, &last).await.tokens();
    bench.row.controlled();
    bench.app.clock.advance(60);
    bench.settle();
    let attempts = codes.iter().map(|code| {
        let request = super::exchange(CLIENT, code, CALLBACK, Some(test_support::sign_in::VERIFIER));
        Attempt::new("a code that nobody used", request, Expected::invalid_grant().after(&["UpdateItem"]))
    });
    bench.refuse(attempts.collect()).await;
    bench.app.renew_oauth(CLIENT, tokens.refresh()).await.tokens();
    bench.row.controlled();
}
