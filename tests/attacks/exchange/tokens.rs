//! What else a tool's token might be good for, and for how long.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use latchkey_token::values::{ClientId, Owner, Subject};
use serde_json::{Value, json};
use test_support::{FORM, basic, form, keys, secret_of, sign_in::CALLBACK};
use tokio::task::JoinSet;

use super::{
    CHAT, FILES, JWT_BEARER, TOOL, TOOLS, deputies::invalid_target, exchange, on_behalf_of, own, registrations, start,
};
use crate::{
    bench::{Attempt, Bench, Expected, Place, post},
    forge::{Forge, changed, hmac_key},
    ledger::Row,
};

/// Where nobody gets anything for it. Its own client and its issuer may know what it says.
const CLOSED: [Place; 10] = [
    Place::Renewal,
    Place::RenewalJson,
    Place::RenewalBearer,
    Place::RenewalUnnamed,
    Place::RevocationByIssuer,
    Place::RevocationByClient,
    Place::Userinfo,
    Place::UserinfoForm,
    Place::Hint,
    Place::HintForm,
];

pub async fn open_nothing_else(row: Row) {
    let bench = start(row).await;
    let [tool, files] = bench.chain().await;
    let other = bench.exchanged(CHAT, bench.tokens.access(), FILES).await;
    let answer = bench.app.send(bench.bring(Place::Resource, tool.access()).unwrap()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    row.controlled();
    bench.settle();
    let mut attempts = Vec::new();
    for (what, token) in
        [("a tool's", tool.access()), ("a second tool's", files.access()), ("another tool's", other.access())]
    {
        for place in CLOSED {
            attempts.push(Attempt::new(
                format_args!("{what} at {place:?}"),
                bench.bring(place, token).unwrap(),
                place.refusal(),
            ));
        }
        if token != tool.access() {
            let request = bench.bring(Place::Resource, token).unwrap();
            attempts.push(Attempt::new(format_args!("{what} at the tool"), request, Expected::invalid_token()));
        }
        attempts.extend(elsewhere(&bench, what, token));
        let asks = |client: &str| post("/token/introspect", Some(&own(client)), FORM, form(&[("token", token)]));
        for stranger in ["librechat-oauth", "short", "ps", "ed", "hs", "graceful"] {
            attempts.push(Attempt::new(
                format_args!("{what} asked about by {stranger}"),
                asks(stranger),
                Expected::inactive(),
            ));
        }
        let second =
            post("/token/introspect", Some(&basic("second", &secret_of("second"))), FORM, form(&[("token", token)]));
        attempts.push(Attempt::new(format_args!("{what} asked about by another issuer"), second, Expected::inactive()));
    }
    // The user's own token is not for the tool, nor for its client.
    let request = bench.bring(Place::Resource, bench.tokens.access()).unwrap();
    attempts.push(Attempt::new("the user's at the tool", request, Expected::invalid_token()));
    attempts.push(Attempt::new(
        "the user's by the tool",
        exchange(TOOL, bench.tokens.access(), FILES),
        Expected::invalid_grant(),
    ));
    let other_tools = exchange(TOOL, other.access(), FILES);
    attempts.push(Attempt::new("another tool's by the tool", other_tools, Expected::invalid_grant()));
    bench.refuse(attempts).await;
    bench.session_has_survived().await;
}

/// In the place of every other kind of token.
fn elsewhere(bench: &Bench, what: &str, token: &str) -> Vec<Attempt> {
    let chat = own(CHAT);
    let refresh = form(&[("refresh_token", token), ("access_token", bench.tokens.access())]);
    let code = form(&[("grant_type", "authorization_code"), ("code", token), ("redirect_uri", CALLBACK)]);
    let assertion = form(&[("grant_type", JWT_BEARER), ("assertion", token), ("client_id", CHAT)]);
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let asserted = [("client_assertion_type", kind), ("client_assertion", token), ("token", bench.tokens.refresh())];
    let secret = form(&[("client_id", CHAT), ("client_secret", token), ("token", bench.tokens.refresh())]);
    let ticket = form(&[("ticket", token), ("subject", "mallory")]);
    let portal = basic("portal", &secret_of("portal"));
    let no_ticket = Expected::invalid_request("ticket is none of this deployment's: send it as it came");
    [
        ("as a refresh token", post("/token/renew", Some(&chat), FORM, refresh), Expected::invalid_grant()),
        ("as a code", post("/token/renew", Some(&own("librechat-oauth")), FORM, code), Expected::invalid_grant()),
        ("as an issuer's assertion", post("/token", None, FORM, assertion), Expected::invalid_grant()),
        ("as a client's assertion", post("/token/revoke", None, FORM, form(&asserted)), Expected::invalid_client()),
        ("as a secret", post("/token/revoke", None, FORM, secret), Expected::invalid_client()),
        ("as a ticket", post("/authorize/accept", Some(&portal), FORM, ticket), no_ticket),
    ]
    .into_iter()
    .map(|(how, request, expected)| Attempt::new(format_args!("{what} {how}"), request, expected))
    .collect()
}

/// What a tool's token must not say, even when one of our keys has signed it; and LibreChat's key signs none.
pub async fn forged(row: Row) {
    let bench = start(row).await;
    let [tool, _] = bench.chain().await;
    let bob = bench.app.issue_form(&[("client_id", CHAT), ("subject", "bob")]).await.tokens();
    bench.settle();
    let forge = Forge::of(row.kind(), CHAT, tool.access());
    let actor = |sub: &str| json!({"sub": sub});
    let five = ["1", "2", "3", "4"].iter().fold(actor("5"), |inner, sub| json!({"sub": sub, "act": inner}));
    let unread = [
        json!({"act": null}),
        json!({"act": []}),
        json!({"act": {}}),
        json!({"act": CHAT}),
        json!({"act": [actor(CHAT)]}),
        json!({"act": {"sub": null}}),
        json!({"act": {"sub": [CHAT]}}),
        json!({"act": {"sub": CHAT, "iss": test_support::ISSUER}}),
        json!({"act": {"sub": CHAT, "act": null}}),
        json!({"act": {"sub": CHAT, "act": {}}}),
        json!({"act": five}),
        // Who acts is whose token it is.
        json!({"act": actor(TOOL)}),
        json!({"act": actor("alice")}),
        json!({"act": {"sub": TOOL, "act": actor(CHAT)}}),
        json!({"client_id": TOOL}),
        json!({"client_id": "hs"}),
    ];
    // Of a session that is another's, or of a registration that says less.
    let read = [
        json!({"sub": "bob"}),
        json!({"sid": bob.0["session_id"]}),
        json!({"sub": "mallory", "sid": bob.0["session_id"]}),
        json!({"client_id": TOOL, "act": {"sub": TOOL, "act": actor(CHAT)}}),
        json!({"client_id": "short", "act": actor("short")}),
        json!({"client_id": "gone", "act": actor("gone")}),
    ];
    let places = [Place::Resource, Place::IntrospectionByClient, Place::IntrospectionByIssuer];
    let mut attempts = Vec::new();
    for change in unread {
        let token = forge.with_claims(change.clone());
        for place in places.iter().chain(&CLOSED).filter(|place| **place != Place::RenewalUnnamed) {
            attempts.push(Attempt::new(
                format_args!("{change} at {place:?}"),
                bench.bring(*place, &token).unwrap(),
                place.refusal(),
            ));
        }
        attempts.extend(passed_on(&change, &token));
    }
    for change in read {
        let token = forge.with_claims(change.clone());
        let is_gone = change["client_id"] == "gone";
        let after: &'static [&'static str] = if is_gone { &[] } else { &["GetItem"] };
        let request = bench.bring(Place::Resource, &token).unwrap();
        attempts.push(Attempt::new(
            format_args!("{change} at the tool"),
            request,
            Expected::invalid_token().after(after),
        ));
        if !is_gone {
            let request = exchange(TOOL, &token, FILES);
            attempts.push(Attempt::new(
                format_args!("{change} passed on"),
                request,
                Expected::invalid_grant().after(after),
            ));
        }
    }
    for (what, token) in by_librechats_key(&forge) {
        for place in places.iter().chain(&CLOSED).filter(|place| **place != Place::RenewalUnnamed) {
            attempts.push(Attempt::new(
                format_args!("{what} at {place:?}"),
                bench.bring(*place, &token).unwrap(),
                place.refusal(),
            ));
        }
        attempts.extend(passed_on(&what, &token));
    }
    bench.refuse(attempts).await;
    bench.session_has_survived().await;
}

/// By everybody who might pass it on.
fn passed_on(what: impl std::fmt::Display, token: &str) -> [Attempt; 3] {
    [exchange(CHAT, token, TOOLS), exchange(TOOL, token, FILES), on_behalf_of(CHAT, token, "tools")]
        .map(|request| Attempt::new(format_args!("{what} passed on"), request, Expected::invalid_grant()))
}

/// LibreChat knows the secret of HS256. What it makes of it is nobody's identity.
fn by_librechats_key(forge: &Forge) -> Vec<(String, String)> {
    let owner = Owner::of(&ClientId::parse("hs").unwrap(), &Subject::parse("alice").unwrap());
    let own = URL_SAFE_NO_PAD.encode([&owner.as_bytes()[..], &[7; 16]].concat());
    let hs = json!({"client_id": "hs", "act": {"sub": "hs"}});
    let changes = [
        json!({}),
        hs.clone(),
        changed(&hs, json!({"sid": own})),
        changed(&hs, json!({"aud": "hs"})),
        changed(&hs, json!({"aud": CHAT, "scope": "openid"})),
        changed(&hs, json!({"aud": [TOOLS, FILES, CHAT, "hs"]})),
        json!({"client_id": "hs", "act": {"sub": "hs", "act": {"sub": CHAT}}}),
        json!({"client_id": "hs", "act": {"sub": CHAT}}),
        json!({"client_id": TOOL, "act": {"sub": TOOL, "act": {"sub": CHAT}}, "aud": FILES}),
    ];
    let kids = ["librechat-hs", &keys::rs256().kid].map(str::to_owned);
    let mut all = Vec::new();
    for change in changes {
        for kid in &kids {
            for typ in ["JWT", "at+jwt"] {
                let key = hmac_key(kid, typ, keys::JWT_SECRET.as_bytes());
                let claims: Value = changed(&forge.claims, change.clone());
                let token = key.sign(&key.header().to_string(), &claims.to_string());
                all.push((format!("LibreChat's key, {typ}, {change}"), token));
            }
        }
    }
    all
}

pub async fn no_longer_good(row: Row) {
    let bench = start(row).await;
    let user = bench.tokens.access().to_owned();
    let forge = bench.forge();
    let mut attempts = Vec::new();
    // Our keys have signed it, for somebody else's deployment, or for a session that never was.
    for iss in ["https://other.example", "http://latchkey.example", "", "https://latchkey.example/"] {
        let token = forge.with_claims(json!({"iss": iss}));
        attempts.extend(refused(iss, CHAT, &token, &[]));
    }
    let mut sid = URL_SAFE_NO_PAD.decode(bench.tokens.0["session_id"].as_str().unwrap()).unwrap();
    sid[31] ^= 1;
    let unknown = forge.with_claims(json!({"sid": URL_SAFE_NO_PAD.encode(sid)}));
    attempts.extend(refused("no such session", CHAT, &unknown, &["GetItem"]));
    for (what, token) in
        [("the refresh token", bench.tokens.refresh()), ("the ID token", bench.tokens.0["id_token"].as_str().unwrap())]
    {
        attempts.extend(refused(what, CHAT, token, &[]));
    }
    bench.refuse(attempts).await;
    bench.exchanged(CHAT, &user, TOOLS).await;

    // Of its own second on it is over; the tolerance for clocks is none here.
    let graceful = bench.app.issue_for("graceful").await;
    let [tool, _] = bench.chain().await;
    bench.app.clock.advance(299);
    bench.exchanged(TOOL, tool.access(), FILES).await;
    bench.app.clock.advance(1);
    bench.settle();
    let expired = [exchange(TOOL, tool.access(), FILES), on_behalf_of(TOOL, tool.access(), "files")];
    let attempts = expired.map(|request| Attempt::new("a tool's that is over", request, Expected::invalid_grant()));
    bench.refuse(attempts.into()).await;
    let request = bench.bring(Place::Resource, tool.access()).unwrap();
    bench.refuse(vec![Attempt::new("a tool's that is over at the tool", request, Expected::invalid_token())]).await;
    bench.app.clock.advance(86_400);
    for seconds in [0, 1, 3_000, 86_400, 31_536_000] {
        bench.app.clock.advance(seconds);
        bench.settle();
        let attempts = [("expired", CHAT, user.as_str()), ("in grace or after it", "graceful", graceful.access())];
        let attempts = attempts.iter().flat_map(|(what, client, token)| refused(what, client, token, &[]));
        bench.refuse(attempts.collect()).await;
    }

    for how in ["revoked", "ended"] {
        let bench = start(row).await;
        let [tool, files] = bench.chain().await;
        let portal = basic("portal", &secret_of("portal"));
        if how == "revoked" {
            bench.app.post("/token/revoke", Some(&portal), FORM, form(&[("token", bench.tokens.refresh())])).await;
        } else {
            let path = "/sessions?subject=alice";
            let request = crate::bench::request("DELETE".parse().unwrap(), path, &[("authorization", &portal)], vec![]);
            assert_eq!(bench.app.send(request).await.json()["ended"], 1);
        }
        bench.settle();
        let mut attempts: Vec<Attempt> = refused(how, CHAT, bench.tokens.access(), &["GetItem"]).into();
        attempts.extend(over(&bench, how, tool.access(), files.access()));
        bench.refuse(attempts).await;
    }

    // Neither when the entry is gone that they rest on, whatever time they had left.
    let bench = start(row).await;
    let lasting = registrations().replace(r#""access_token_seconds":300"#, r#""access_token_seconds":3000"#);
    bench.app.rewrite("clients.json", &lasting);
    let [tool, files] = bench.chain().await;
    let mut without: Value = serde_json::from_str(&lasting).unwrap();
    for client in without["clients"].as_array_mut().unwrap() {
        client.as_object_mut().unwrap().remove("exchange");
    }
    bench.app.rewrite("clients.json", &without.to_string());
    bench.settle();
    let mut attempts = vec![
        Attempt::new("no entry", exchange(CHAT, bench.tokens.access(), TOOLS), invalid_target()),
        Attempt::new("no entry", exchange(TOOL, tool.access(), FILES), invalid_target()),
    ];
    let after: &'static [&'static str] = &["GetItem"];
    let at_tool = bench.bring(Place::Resource, tool.access()).unwrap();
    attempts.push(Attempt::new("at the tool without entry", at_tool, Expected::invalid_token().after(after)));
    for token in [tool.access(), files.access()] {
        let asked = bench.bring(Place::IntrospectionByIssuer, token).unwrap();
        attempts.push(Attempt::new("asked about without entry", asked, Expected::inactive().after(after)));
    }
    bench.refuse(attempts).await;
}

/// By a client whose token it was, in both forms.
fn refused(what: &str, client: &str, token: &str, after: &'static [&'static str]) -> [Attempt; 2] {
    [exchange(client, token, TOOLS), on_behalf_of(client, token, "tools")].map(|request| {
        Attempt::new(format_args!("{what} by {client}"), request, Expected::invalid_grant().after(after))
    })
}

/// The tools' tokens after the end of their session.
fn over(bench: &Bench, how: &str, tool: &str, files: &str) -> Vec<Attempt> {
    let after: &'static [&'static str] = &["GetItem"];
    let mut attempts = vec![
        Attempt::new(how, exchange(TOOL, tool, FILES), Expected::invalid_grant().after(after)),
        Attempt::new(how, exchange(CHAT, tool, TOOLS), Expected::invalid_grant().after(after)),
        Attempt::new(how, on_behalf_of(TOOL, tool, "files"), Expected::invalid_grant().after(after)),
        Attempt::new(how, bench.bring(Place::Resource, tool).unwrap(), Expected::invalid_token().after(after)),
    ];
    for token in [tool, files] {
        let asked = bench.bring(Place::IntrospectionByIssuer, token).unwrap();
        attempts.push(Attempt::new(format_args!("{how}: asked about"), asked, Expected::inactive().after(after)));
    }
    attempts
}

/// Whatever was answered before the end is cut off with it.
pub async fn raced(row: Row) {
    let bench = Arc::new(start(row).await);
    for _ in 0..16 {
        let tokens = bench.app.issue_for(CHAT).await;
        let mut race = JoinSet::new();
        for _ in 0..15 {
            let (bench, request) = (Arc::clone(&bench), exchange(CHAT, tokens.access(), TOOLS));
            race.spawn(async move { Some(bench.app.send(request).await) });
        }
        let (racing, token) = (Arc::clone(&bench), tokens.refresh().to_owned());
        race.spawn(async move {
            let ended = racing.app.post("/token/revoke", Some(&own(CHAT)), FORM, form(&[("token", &token)])).await;
            assert_eq!(ended.status, 200);
            None
        });
        let answers: Vec<_> = race.join_all().await.into_iter().flatten().collect();
        bench.settle();
        let mut attempts: Vec<Attempt> = refused("afterwards", CHAT, tokens.access(), &["GetItem"]).into();
        for answer in answers {
            let is_known = answer.status == 200 || Expected::invalid_grant().matches(&answer);
            bench.judge_by("an answer while the session ends", is_known);
            if answer.status == 200 {
                let tool = answer.tokens();
                attempts.extend(over(&bench, "what was answered before", tool.access(), tool.access()));
            }
        }
        bench.refuse(attempts).await;
    }
    bench.session_has_survived().await;
}
