//! MCP clients that register themselves: nothing of them is stored, and everything that an operator ends is over for them too.

use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use lambda_http::http::Request;
use serde_json::{Value, json};

use crate::support::{
    Answer, App, FORM, ISSUER, JSON, Tokens, basic, form, keys, logs, secret_of,
    sign_in::{Browser, CHALLENGE, SIGN_IN_URL, SIGN_OUT_URL, VERIFIER},
};

const REDIRECT: &str = "https://chat.example.org/api/mcp/github/oauth/callback";
const LOOPBACK: &str = "http://127.0.0.1:49152/callback";
const RESOURCE: &str = "https://tools.example.org/mcp";
/// How long a registration is good, in seconds.
const SECONDS: i64 = 7_776_000;

fn dynamic() -> Value {
    json!({
        "redirect_uris": ["https://chat.example.org/api/mcp/*/oauth/callback", "http://127.0.0.1/callback"],
        "scopes": ["openid", "tools"], "audience": [RESOURCE, "librechat"], "sign_in_issuer": "portal",
    })
}

/// The registrations with `dynamic_clients`, and whatever else is changed.
fn registrations(dynamic: Value, change: impl Fn(&mut Value)) -> String {
    let mut document: Value = serde_json::from_str(&keys::registrations()).unwrap();
    document["dynamic_clients"] = dynamic;
    change(&mut document);
    document.to_string()
}

async fn app() -> App {
    let app = App::with(&[("LATCHKEY_DYNAMIC_CLIENTS", "true")]).await;
    app.rewrite("clients.json", &registrations(dynamic(), |_| {}));
    app
}

async fn register(app: &App, metadata: &Value) -> Answer {
    app.post("/register", None, JSON, metadata.to_string()).await
}

/// A client that has registered itself.
struct Mcp<'a> {
    app: &'a App,
    id: String,
    secret: Option<String>,
    redirect: &'static str,
}

impl<'a> Mcp<'a> {
    async fn of(app: &'a App, method: &str, redirect: &'static str) -> Self {
        let metadata = json!({"redirect_uris": [redirect], "token_endpoint_auth_method": method, "client_name": "MCP"});
        let answer = register(app, &metadata).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let client = answer.json();
        let text = |name: &str| client[name].as_str().map(str::to_owned);
        Self { app, id: text("client_id").unwrap(), secret: text("client_secret"), redirect }
    }

    async fn public(app: &'a App) -> Self {
        Self::of(app, "none", REDIRECT).await
    }

    async fn begin(&self, browser: &Browser<'_>, changes: &[(&str, &str)]) -> Answer {
        let own = [("redirect_uri", self.redirect), ("scope", "openid tools")];
        browser.begin(&self.id, &[&own[..], changes].concat()).await
    }

    async fn code(&self) -> String {
        self.code_for(&[]).await
    }

    async fn code_for(&self, changes: &[(&str, &str)]) -> String {
        let browser = self.app.browser();
        let ticket = self.begin(&browser, changes).await.carried_to(SIGN_IN_URL)["ticket"].clone();
        let accepted = self.app.portal("accept", &[("ticket", &ticket), ("subject", "alice")]).await;
        assert_eq!(accepted.status, 200, "{accepted:?}");
        let back = accepted.json()["redirect_to"].as_str().unwrap().to_owned();
        browser.get(&back).await.carried_to(self.redirect)["code"].clone()
    }

    async fn ask(&self, more: &[(&str, &str)]) -> Answer {
        let mut pairs = vec![("client_id", self.id.as_str())];
        pairs.extend(self.secret.as_deref().map(|secret| ("client_secret", secret)));
        self.app.post("/token/renew", None, FORM, form(&[&pairs[..], more].concat())).await
    }

    async fn exchange(&self, code: &str) -> Answer {
        let grant = ("grant_type", "authorization_code");
        self.ask(&[grant, ("code", code), ("redirect_uri", self.redirect), ("code_verifier", VERIFIER)]).await
    }

    async fn sign_in(&self) -> Tokens {
        self.exchange(&self.code().await).await.tokens()
    }

    async fn renew(&self, tokens: &Tokens) -> Answer {
        self.ask(&[("grant_type", "refresh_token"), ("refresh_token", tokens.refresh())]).await
    }
}

async fn introspect(app: &App, token: &str) -> Value {
    app.post("/token/introspect", Some(&basic("portal", &secret_of("portal"))), FORM, form(&[("token", token)]))
        .await
        .json()
}

async fn is_let_in(app: &App, tokens: &Tokens) -> bool {
    let request = Request::get("/demo/me").header("authorization", format!("Bearer {}", tokens.access()));
    app.send(request.body(Vec::new()).unwrap()).await.status == 200
}

async fn sessions(app: &App, method: &str, issuer: &str, query: &str) -> Answer {
    let request = Request::builder().method(method).uri(format!("/sessions?subject=alice{query}"));
    app.send(request.header("authorization", basic(issuer, &secret_of(issuer))).body(Vec::new()).unwrap()).await
}

#[tokio::test]
async fn a_registration_is_answered_as_rfc_7591_has_it_and_writes_nothing() {
    let app = app().await;
    app.operations();
    let metadata = json!({
        "redirect_uris": [REDIRECT, LOOPBACK], "client_name": "<b>Bank</b>", "logo_uri": "https://evil.example/logo",
        "client_uri": "https://evil.example", "scope": "openid admin", "grant_types": ["authorization_code"],
        "response_types": ["code"], "contacts": [1, {"x": null}], "software_id": null,
    });
    let answer = register(&app, &metadata).await;
    assert_eq!((answer.status.as_u16(), &answer.headers["cache-control"]), (201, &"no-store".parse().unwrap()));
    let mut client = answer.json();
    let (id, secret) = (client["client_id"].take(), client["client_secret"].take());
    let (id, secret) = (id.as_str().unwrap(), secret.as_str().unwrap());
    assert!(id.starts_with("lkd1_") && id.len() <= 255 && secret.len() == 43);
    let expected = json!({
        "client_id": null, "client_id_issued_at": app.now(), "client_secret": null,
        "client_secret_expires_at": app.now() + SECONDS, "redirect_uris": [REDIRECT, LOOPBACK],
        "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
        "token_endpoint_auth_method": "client_secret_basic", "scope": "openid tools",
    });
    assert_eq!(client, expected, "what it says of itself is not kept");
    assert!(app.operations().is_empty());
    let lines = logs::lines(|line| line["client_id"] == id);
    assert_eq!(
        (lines.len(), &lines[0]["event"], &lines[0]["redirect_uris"]),
        (1, &json!("client_registered"), &json!(2))
    );
    assert!(!logs::text().contains(secret) && !logs::text().contains("evil.example"));
    let public =
        register(&app, &json!({"redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none"})).await.json();
    assert!(public.get("client_secret").is_none() && public.get("client_secret_expires_at").is_none());
    let again = register(&app, &metadata).await.json();
    assert_ne!(again["client_id"], id, "no two registrations are alike");
}

#[tokio::test]
async fn what_cannot_be_registered_is_refused_by_its_own_error() {
    let app = app().await;
    let with = |name: &str, value: Value| {
        let mut metadata = json!({"redirect_uris": [REDIRECT]});
        metadata[name] = value;
        metadata
    };
    let many = |count: usize| {
        (0..count).map(|n| format!("https://chat.example.org/api/mcp/{n}/oauth/callback")).collect::<Vec<_>>()
    };
    assert_eq!(register(&app, &with("redirect_uris", json!(many(8)))).await.status, 201);
    for bad in [
        json!([]),
        json!(null),
        json!(REDIRECT),
        json!([7]),
        json!([""]),
        json!(many(9)),
        json!(many(100)),
        json!([REDIRECT, "https://evil.example/cb"]),
        json!(["https://chat.example.org/api/mcp/x/oauth/callback?next=https://evil.example"]),
        json!(["https://chat.example.org/api/mcp/x/oauth/callback#f"]),
        json!(["https://chat.example.org/api/mcp/*/oauth/callback"]),
        json!(["https://chat.example.org/api/mcp/../oauth/callback"]),
        json!(["https://chat.example.org/api/mcp/%2e%2e/oauth/callback"]),
        json!(["https://chat.example.org/api/mcp/a%2Fb/oauth/callback"]),
        json!(["https://chat.example.org/api/mcp/a/b/oauth/callback"]),
        json!(["https://chat.example.org:8443/api/mcp/x/oauth/callback"]),
        json!(["https://user@chat.example.org/api/mcp/x/oauth/callback"]),
        json!(["https://chat.example.org.evil.example/api/mcp/x/oauth/callback"]),
        json!(["https://chаt.example.org/api/mcp/x/oauth/callback"]),
        json!(["https://Chat.example.org/api/mcp/x/oauth/callback"]),
        json!(["http://chat.example.org/api/mcp/x/oauth/callback"]),
        json!(["http://localhost/callback"]),
        json!(["https://127.0.0.1/callback"]),
        json!(["http://127.0.0.1.evil.example/callback"]),
        json!(["cursor://callback"]),
        json!(["javascript:alert(1)"]),
    ] {
        let answer = register(&app, &with("redirect_uris", bad.clone())).await;
        answer.refused(400, "invalid_redirect_uri");
        assert!(!answer.text.contains("evil"), "{bad}");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    for (name, bad) in [
        ("token_endpoint_auth_method", json!("private_key_jwt")),
        ("token_endpoint_auth_method", json!(7)),
        ("grant_types", json!(["refresh_token"])),
        ("grant_types", json!("authorization_code")),
        ("response_types", json!(["token"])),
        ("response_types", json!("code")),
    ] {
        register(&app, &with(name, bad)).await.refused(400, "invalid_client_metadata");
    }
    let twice = format!(r#"{{"redirect_uris":["{REDIRECT}"],"redirect_uris":["{REDIRECT}"]}}"#);
    app.post("/register", None, JSON, twice).await.refused(400, "invalid_request");
    app.post("/register", None, JSON, "[]").await.refused(400, "invalid_request");
    app.post("/register", None, FORM, form(&[("redirect_uris", REDIRECT)])).await.refused(415, "invalid_request");
    let named = |bytes: usize| json!({"redirect_uris": [REDIRECT], "client_name": "x".repeat(bytes)});
    register(&app, &named(16 * 1024)).await.refused(413, "invalid_request");
    assert_eq!(register(&app, &named(15 * 1024)).await.status, 201, "read, and forgotten");
    assert!(app.records().await.is_empty());
}

#[tokio::test]
async fn grants_that_a_client_asks_for_besides_are_left_out_of_the_answer() {
    let app = app().await;
    for (name, asked) in [
        ("grant_types", json!(["authorization_code", "urn:ietf:params:oauth:grant-type:device_code"])),
        ("grant_types", json!(["client_credentials", "refresh_token", "authorization_code"])),
        ("grant_types", json!([])),
        ("response_types", json!(["code", "token"])),
        ("response_types", json!([])),
    ] {
        let mut metadata = json!({"redirect_uris": [REDIRECT]});
        metadata[name] = asked;
        let answer = register(&app, &metadata).await;
        assert_eq!(answer.status, 201, "{metadata} {answer:?}");
        let client = answer.json();
        assert_eq!(client["grant_types"], json!(["authorization_code", "refresh_token"]), "{metadata}");
        assert_eq!(client["response_types"], json!(["code"]), "{metadata}");
    }
}

#[tokio::test]
async fn a_client_registers_signs_its_user_in_renews_and_signs_out() {
    let app = app().await;
    for (method, redirect) in [("none", REDIRECT), ("client_secret_post", LOOPBACK), ("client_secret_basic", REDIRECT)]
    {
        let client = Mcp::of(&app, method, redirect).await;
        let tokens = client.sign_in().await;
        let claims = tokens.claims();
        assert_eq!((&claims["client_id"], &claims["aud"]), (&json!(client.id), &json!([RESOURCE, "librechat"])));
        assert_eq!((&claims["scope"], &claims["sub"]), (&json!("openid tools"), &json!("alice")));
        assert!(is_let_in(&app, &tokens).await);
        let said = introspect(&app, tokens.access()).await;
        assert_eq!((&said["active"], &said["client_id"]), (&json!(true), &json!(client.id)), "{said}");
        let userinfo = Request::get("/userinfo").header("authorization", format!("Bearer {}", tokens.access()));
        assert_eq!(app.send(userinfo.body(Vec::new()).unwrap()).await.json(), json!({"sub": "alice"}));
        app.operations();
        let renewed = client.renew(&tokens).await.tokens();
        assert_eq!(app.operations(), ["UpdateItem"]);
        assert_eq!(renewed.claims()["sid"], claims["sid"]);
        // The retry of a public client, and the theft of a token that has been replaced.
        assert_eq!(client.renew(&tokens).await.tokens().refresh(), renewed.refresh());
        let mut pairs = vec![("token", renewed.refresh()), ("client_id", client.id.as_str())];
        pairs.extend(client.secret.as_deref().map(|secret| ("client_secret", secret)));
        assert_eq!(app.post("/token/revoke", None, FORM, form(&pairs)).await.status, 200);
        client.renew(&renewed).await.invalid_grant();
        assert!(!is_let_in(&app, &renewed).await && introspect(&app, renewed.access()).await["active"] == false);
    }
}

#[tokio::test]
async fn such_a_client_asks_for_a_token_for_one_resource() {
    let app = app().await;
    let client = Mcp::public(&app).await;
    let code = client.code_for(&[("resource", RESOURCE)]).await;
    let tokens = client.exchange(&code).await.tokens();
    let aud = tokens.claims()["aud"].clone();
    assert!(aud == RESOURCE || aud == json!([RESOURCE]), "{aud}");
    let elsewhere = client.begin(&app.browser(), &[("resource", "https://evil.example/mcp")]).await;
    assert_eq!(elsewhere.carried_to(REDIRECT)["error"], "invalid_target");
}

#[tokio::test]
async fn a_client_that_has_a_secret_must_show_its_own() {
    let app = app().await;
    let client = Mcp::of(&app, "client_secret_basic", REDIRECT).await;
    let other = Mcp::of(&app, "client_secret_basic", REDIRECT).await;
    let public = Mcp::public(&app).await;
    let tokens = client.sign_in().await;
    let records = app.records().await;
    let grant = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh())];
    let ask = async |authorization: Option<String>, more: &[(&str, &str)]| {
        app.post("/token/renew", authorization.as_deref(), FORM, form(&[&grant[..], more].concat())).await
    };
    for secret in [other.secret.as_deref().unwrap(), "x", &client.id] {
        ask(Some(basic(&client.id, secret)), &[]).await.refused(401, "invalid_client");
    }
    ask(None, &[("client_id", &client.id)]).await.refused(401, "invalid_client");
    ask(None, &[("client_id", &public.id), ("client_secret", client.secret.as_deref().unwrap())])
        .await
        .refused(401, "invalid_client");
    // Another client's token fails by its tag.
    ask(None, &[("client_id", &public.id)]).await.invalid_grant();
    assert_eq!(app.records().await, records);
    assert_eq!(ask(Some(basic(&client.id, client.secret.as_deref().unwrap())), &[]).await.status, 200);
}

#[tokio::test]
async fn an_id_that_is_made_up_altered_or_anothers_is_an_unknown_client() {
    let app = app().await;
    let client = Mcp::public(&app).await;
    let tokens = client.sign_in().await;
    let elsewhere =
        App::with(&[("LATCHKEY_DYNAMIC_CLIENTS", "true"), ("LATCHKEY_ISSUER", "https://other.example")]).await;
    elsewhere.rewrite("clients.json", &registrations(dynamic(), |_| {}));
    let foreign = Mcp::public(&elsewhere).await.id;
    let middle = client.id.len() / 2;
    let letter = if client.id.as_bytes()[middle] == b'A' { "B" } else { "A" };
    let altered = format!("{}{letter}{}", &client.id[..middle], &client.id[middle + 1..]);
    let records = app.records().await;
    app.operations();
    for id in [foreign.as_str(), &altered, "lkd1_", "lkd1", "lkd1_x", &format!("{}A", client.id)] {
        let stranger = Mcp { app: &app, id: id.to_owned(), secret: None, redirect: REDIRECT };
        stranger.begin(&app.browser(), &[]).await.page(400);
        stranger.renew(&tokens).await.refused(401, "invalid_client");
    }
    assert!(app.operations().is_empty());
    assert_eq!(app.records().await, records);
}

#[tokio::test]
async fn the_redirect_is_one_that_was_registered_and_is_allowed_today() {
    let app = app().await;
    let client = Mcp::of(&app, "none", LOOPBACK).await;
    let browser = app.browser();
    let goes = async |redirect: &str| client.begin(&browser, &[("redirect_uri", redirect)]).await;
    goes("http://127.0.0.1:1/callback").await.carried_to(SIGN_IN_URL);
    for foreign in [
        REDIRECT,
        "http://127.0.0.1:1/callback/",
        "http://127.0.0.1:1/callback?x=y",
        "http://localhost:1/callback",
        "http://127.0.0.1:1@evil.example/callback",
        "https://127.0.0.1:1/callback",
        "https://evil.example/callback",
    ] {
        goes(foreign).await.page(400);
    }
    let client = Mcp::public(&app).await;
    let ticket = client.begin(&browser, &[]).await.carried_to(SIGN_IN_URL)["ticket"].clone();
    let mut narrowed = dynamic();
    narrowed["redirect_uris"] = json!(["http://127.0.0.1/callback"]);
    app.rewrite("clients.json", &registrations(narrowed, |_| {}));
    client.begin(&browser, &[]).await.page(400);
    app.portal("accept", &[("ticket", &ticket), ("subject", "alice")]).await.refused(400, "invalid_request");
}

#[tokio::test]
async fn a_move_of_the_deployment_signs_no_client_out_that_registered_itself_before() {
    const SWITCH: (&str, &str) = ("LATCHKEY_DYNAMIC_CLIENTS", "true");
    const MOVED: (&str, &str) = ("LATCHKEY_ISSUER", "https://after.example");
    let previous = format!("https://x.example, {ISSUER}");
    let before = App::with(&[SWITCH]).await;
    before.rewrite("clients.json", &registrations(dynamic(), |_| {}));
    let after = before.with_settings(&[SWITCH, MOVED, ("LATCHKEY_PREVIOUS_ISSUERS", &previous)]).await;
    let forgetful = before.with_settings(&[SWITCH, MOVED]).await;
    for method in ["none", "client_secret_post"] {
        let client = Mcp::of(&before, method, REDIRECT).await;
        let (tokens, revoked, signed_out) = (client.sign_in().await, client.sign_in().await, client.sign_in().await);
        let of = |app| Mcp { app, id: client.id.clone(), secret: client.secret.clone(), redirect: REDIRECT };
        of(&forgetful).renew(&tokens).await.refused(401, "invalid_client");
        let moved = of(&after);
        assert!(!is_let_in(&after, &tokens).await, "{method}: a token of before lets nobody in");
        let renewed = moved.renew(&tokens).await.tokens();
        assert_eq!(renewed.claims()["sid"], tokens.claims()["sid"]);
        assert!(is_let_in(&after, &renewed).await, "{method}");
        assert_eq!(introspect(&after, renewed.access()).await["active"], true, "{method}");
        if let Some(secret) = &client.secret {
            let asked =
                |secret| form(&[("token", renewed.refresh()), ("client_id", &client.id), ("client_secret", secret)]);
            after.post("/token/revoke", None, FORM, asked("x")).await.refused(401, "invalid_client");
            let fresh = Mcp::of(&after, method, REDIRECT).await.secret.unwrap();
            assert_ne!(&fresh, secret);
        }
        let mut pairs = vec![("token", revoked.refresh()), ("client_id", client.id.as_str())];
        pairs.extend(client.secret.as_deref().map(|secret| ("client_secret", secret)));
        assert_eq!(after.post("/token/revoke", None, FORM, form(&pairs)).await.status, 200);
        moved.renew(&revoked).await.invalid_grant();
        let hint = form(&[("id_token_hint", signed_out.0["id_token"].as_str().unwrap())]);
        assert_eq!(after.browser().get(&format!("/sign-out?{hint}")).await.location(), SIGN_OUT_URL);
        moved.renew(&signed_out).await.invalid_grant();
        moved.begin(&after.browser(), &[]).await.page(400);
    }
}

#[tokio::test]
async fn the_portal_is_told_that_the_client_registered_itself_and_where_its_users_go() {
    let app = app().await;
    let client = Mcp::public(&app).await;
    let ticket = client.begin(&app.browser(), &[]).await.carried_to(SIGN_IN_URL)["ticket"].clone();
    let said = app.portal("inspect", &[("ticket", &ticket)]).await.json();
    assert_eq!((&said["registered"], &said["redirect_uri"]), (&json!(true), &json!(REDIRECT)));
    assert_eq!((&said["client_id"], &said["scope"]), (&json!(client.id), &json!("openid tools")));
    let (second, pairs) = (basic("second", &secret_of("second")), form(&[("ticket", &ticket)]));
    app.post("/authorize/inspect", Some(&second), FORM, pairs).await.refused(400, "unauthorized_client");
    let without = client.begin(&app.browser(), &[("code_challenge", ""), ("code_challenge_method", "")]).await;
    assert_eq!(without.carried_to(REDIRECT)["error"], "invalid_request", "PKCE always: {CHALLENGE}");
}

#[tokio::test]
async fn a_client_is_over_with_its_registration_its_key_or_the_switch() {
    type End = fn(&App);
    let ends: [(&str, End); 4] = [
        ("its time", |app| app.clock.advance(u32::try_from(SECONDS).unwrap())),
        ("the switch", |app| app.rewrite("clients.json", &registrations(Value::Null, |_| {}))),
        ("a shorter time", |app| {
            let mut shorter = dynamic();
            shorter["seconds"] = 1.into();
            app.rewrite("clients.json", &registrations(shorter, |_| {}));
        }),
        ("its tag key", |app| {
            let now = app.now();
            let tagging = json!([
                {"kid": 1, "secret": keys::tag_secret(), "retire_at": now + 1},
                {"kid": 2, "secret": "CgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo"},
            ]);
            app.rewrite("keys.json", &keys::ring_with(tagging, vec![]));
        }),
    ];
    for (what, end) in ends {
        let app = app().await;
        let client = Mcp::public(&app).await;
        let tokens = client.sign_in().await;
        let browser = app.browser();
        assert!(client.begin(&browser, &[]).await.location().starts_with(SIGN_IN_URL), "{what}");
        end(&app);
        client.begin(&browser, &[]).await.page(400);
        app.operations();
        client.renew(&tokens).await.refused(401, "invalid_client");
        assert!(app.operations().is_empty(), "{what}");
        assert!(!is_let_in(&app, &tokens).await, "{what}");
    }
}

#[tokio::test]
async fn an_epoch_of_such_clients_ends_their_sessions_and_no_others() {
    let app = app().await;
    let client = Mcp::public(&app).await;
    let (tokens, other) = (client.sign_in().await, app.issue().await);
    let mut dated = dynamic();
    dated["sessions_not_before"] = (app.now() + 1).into();
    app.rewrite("clients.json", &registrations(dated.clone(), |_| {}));
    client.renew(&tokens).await.invalid_grant();
    assert!(!is_let_in(&app, &tokens).await && is_let_in(&app, &other).await);
    app.renew(&other).await.tokens();
    client.renew(&client.sign_in().await).await.tokens();
    dated["sessions_not_before"] = (app.now() + 3600).into();
    app.rewrite("clients.json", &registrations(dated, |_| {}));
    let ticket = client.begin(&app.browser(), &[]).await.carried_to(SIGN_IN_URL)["ticket"].clone();
    let accepted = app.portal("accept", &[("ticket", &ticket), ("subject", "alice")]).await;
    accepted.refused(503, "temporarily_unavailable");
}

#[tokio::test]
async fn a_faulty_switch_is_503_for_those_clients_and_nobody_else() {
    let app = app().await;
    let client = Mcp::public(&app).await;
    let (tokens, other) = (client.sign_in().await, app.issue().await);
    let mut faulty = dynamic();
    faulty["seconds"] = "long".into();
    app.rewrite("clients.json", &registrations(faulty, |_| {}));
    client.renew(&tokens).await.refused(503, "temporarily_unavailable");
    register(&app, &json!({"redirect_uris": [REDIRECT]})).await.refused(503, "temporarily_unavailable");
    assert_eq!(client.begin(&app.browser(), &[]).await.status, 503);
    app.renew(&other).await.tokens();
    assert!(
        sessions(&app, "GET", "portal", "").await.json()["sessions"].as_array().unwrap().len() == 2,
        "whose they are can be read"
    );
}

/// Of `dynamic_clients`: nobody can read in it whose clients they are.
fn without_a_readable_issuer() -> [Value; 2] {
    let mut faulty = dynamic();
    faulty["sign_in_issuer"] = 5.into();
    [faulty, "off".into()]
}

async fn end_one(app: &App, issuer: &str, tokens: &Tokens) -> Answer {
    let path = format!("/sessions/{}", tokens.0["session_id"].as_str().unwrap());
    let request = Request::delete(&path).header("authorization", basic(issuer, &secret_of(issuer)));
    app.send(request.body(Vec::new()).unwrap()).await
}

#[tokio::test]
async fn while_nobody_can_read_whose_such_clients_are_nobody_is_told_that_they_are_not_his() {
    for faulty in without_a_readable_issuer() {
        let app = app().await;
        let client = Mcp::public(&app).await;
        let (tokens, other) = (client.sign_in().await, app.issue().await);
        let ticket = client.begin(&app.browser(), &[]).await.carried_to(SIGN_IN_URL)["ticket"].clone();
        app.rewrite("clients.json", &registrations(faulty, |_| {}));
        for (step, more) in
            [("accept", Some(("subject", "alice"))), ("inspect", None), ("reject", Some(("error", "access_denied")))]
        {
            let pairs: Vec<_> = [("ticket", ticket.as_str())].into_iter().chain(more).collect();
            app.portal(step, &pairs).await.refused(503, "temporarily_unavailable");
        }
        end_one(&app, "portal", &tokens).await.refused(503, "temporarily_unavailable");
        assert_eq!(end_one(&app, "portal", &other).await.json(), json!({"ended": 1}));
        app.rewrite("clients.json", &registrations(dynamic(), |_| {}));
        client.renew(&tokens).await.tokens();
    }
}

#[tokio::test]
async fn while_nobody_can_read_whose_such_clients_are_every_issuer_ends_the_sessions_of_its_own() {
    for faulty in without_a_readable_issuer() {
        let app = app().await;
        let client = Mcp::public(&app).await;
        let (tokens, other) = (client.sign_in().await, app.issue().await);
        app.rewrite("clients.json", &registrations(faulty.clone(), |_| {}));
        for query in ["", "&client_id=lkd1", &format!("&client_id={}", client.id)] {
            sessions(&app, "GET", "portal", query).await.refused(503, "temporarily_unavailable");
        }
        let listed = sessions(&app, "GET", "portal", "&client_id=librechat").await.json();
        assert_eq!(listed["sessions"].as_array().unwrap().len(), 1);
        sessions(&app, "DELETE", "portal", "").await.refused(503, "temporarily_unavailable");
        app.renew(&other).await.invalid_grant();
        assert_eq!(sessions(&app, "DELETE", "portal", "&client_id=librechat").await.json(), json!({"ended": 0}));
        app.rewrite("clients.json", &registrations(dynamic(), |_| {}));
        client.renew(&tokens).await.tokens();
        // Who signs nobody in has none of them, and loses nothing.
        let other = app.issue().await;
        app.rewrite(
            "clients.json",
            &registrations(faulty, |document| {
                let issuers = document["issuers"].as_array_mut().unwrap();
                for issuer in issuers {
                    issuer.as_object_mut().unwrap().remove("sign_in_url");
                }
            }),
        );
        let listed = sessions(&app, "GET", "portal", "").await.json();
        assert_eq!(listed["sessions"].as_array().unwrap().len(), 1);
        assert_eq!(sessions(&app, "DELETE", "portal", "").await.json(), json!({"ended": 1}));
        app.renew(&other).await.invalid_grant();
    }
}

#[tokio::test]
async fn their_sessions_are_listed_and_ended_by_the_issuer_that_signs_them_in() {
    let app = app().await;
    let (one, two) = (Mcp::public(&app).await, Mcp::public(&app).await);
    let (first, second, other) = (one.sign_in().await, two.sign_in().await, app.issue().await);
    let listed = async |issuer: &str, query: &str| {
        let answer = sessions(&app, "GET", issuer, query).await.json();
        let ids = answer["sessions"].as_array().unwrap().iter().map(|session| session["session_id"].clone());
        ids.collect::<Vec<_>>()
    };
    let id = |tokens: &Tokens| tokens.0["session_id"].clone();
    assert_eq!(listed("portal", "").await.len(), 3);
    assert!(listed("second", "").await.is_empty());
    assert_eq!(listed("portal", &format!("&client_id={}", one.id)).await, [id(&first)]);
    assert_eq!(listed("portal", "&client_id=lkd1").await.len(), 2);
    sessions(&app, "GET", "second", &format!("&client_id={}", one.id)).await.refused(400, "unauthorized_client");
    let ended = sessions(&app, "DELETE", "portal", &format!("&client_id={}", one.id)).await.json();
    assert_eq!(ended, json!({"ended": 1}));
    one.renew(&first).await.invalid_grant();
    two.renew(&second).await.tokens();
    assert_eq!(sessions(&app, "DELETE", "second", "").await.json(), json!({"ended": 0}));
    assert_eq!(sessions(&app, "DELETE", "portal", "&client_id=lkd1").await.json(), json!({"ended": 1}));
    app.renew(&other).await.tokens();
    let third = one.sign_in().await;
    for (issuer, expected) in [("second", 0), ("portal", 1)] {
        assert_eq!(end_one(&app, issuer, &third).await.json(), json!({"ended": expected}), "{issuer}");
    }
    assert_eq!(
        sessions(&app, "DELETE", "portal", "").await.json(),
        json!({"ended": 1}),
        "what is left is another client's"
    );
}

#[tokio::test]
async fn a_record_that_cannot_be_read_ends_with_its_client_and_others_stay() {
    let app = app().await;
    let (one, two) = (Mcp::public(&app).await, Mcp::public(&app).await);
    let first = one.sign_in().await;
    app.plant("generation", AttributeValue::S("x".into())).await;
    let second = two.sign_in().await;
    one.renew(&first).await.refused(503, "temporarily_unavailable");
    let query = format!("&client_id={}", one.id);
    assert_eq!(sessions(&app, "DELETE", "portal", &query).await.json(), json!({"ended": 1}));
    assert_eq!(sessions(&app, "DELETE", "portal", &query).await.json(), json!({"ended": 0}));
    two.renew(&second).await.tokens();
}

#[tokio::test]
async fn a_tool_passes_the_identity_on_that_such_a_client_has_brought_and_it_ends_with_the_client() {
    let app = app().await;
    let files = "https://files.example.org/mcp";
    let passing = |dynamic: Value| {
        registrations(dynamic, |document| {
            let clients = document["clients"].as_array_mut().unwrap();
            let tool = clients.iter_mut().find(|client| client["client_id"] == "wide").unwrap();
            tool["audience"] = json!([RESOURCE]);
            tool["exchange"] = json!([{"audience": files, "scopes": ["files"]}]);
        })
    };
    app.rewrite("clients.json", &passing(dynamic()));
    let client = Mcp::public(&app).await;
    let tokens = client.sign_in().await;
    let pairs = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", tokens.access()),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("audience", files),
    ];
    let ask = async || app.post("/token/renew", Some(&basic("wide", &secret_of("wide"))), FORM, form(&pairs)).await;
    let exchanged = ask().await.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(introspect(&app, &exchanged).await["active"], true);
    app.rewrite("clients.json", &passing(Value::Null));
    assert_eq!(introspect(&app, &exchanged).await["active"], false);
    ask().await.invalid_grant();
    app.rewrite("clients.json", &passing(dynamic()));
    // Such a client passes nothing on itself.
    let confidential = Mcp::of(&app, "client_secret_post", REDIRECT).await;
    let own = confidential.sign_in().await;
    let pairs = [pairs[0], ("subject_token", own.access()), pairs[2], pairs[3]];
    confidential.ask(&pairs).await.refused(400, "invalid_target");
}

#[tokio::test]
async fn such_a_client_sees_its_own_tokens_only() {
    let app = app().await;
    let (one, two) =
        (Mcp::of(&app, "client_secret_post", REDIRECT).await, Mcp::of(&app, "client_secret_post", REDIRECT).await);
    let (own, others, librechats) = (one.sign_in().await, two.sign_in().await, app.issue().await);
    let sees = async |tokens: &Tokens| {
        let secret = one.secret.as_deref().unwrap();
        let asked = form(&[("token", tokens.access()), ("client_id", &one.id), ("client_secret", secret)]);
        app.post("/token/introspect", None, FORM, asked).await.json()["active"] == true
    };
    assert!(sees(&own).await && !sees(&others).await && !sees(&librechats).await, "though all have one audience");
    let public = Mcp::public(&app).await;
    let asked = form(&[("token", own.access()), ("client_id", &public.id)]);
    app.post("/token/introspect", None, FORM, asked).await.refused(401, "invalid_client");
}

#[tokio::test]
async fn the_issuer_that_signs_them_in_introspects_and_revokes_by_their_refresh_tokens() {
    let app = app().await;
    let client = Mcp::public(&app).await;
    let (tokens, kept, other) = (client.sign_in().await, client.sign_in().await, app.issue().await);
    let ask = async |route: &str, issuer: &str, token: &str| {
        let body = form(&[("token", token)]);
        app.post(&format!("/token/{route}"), Some(&basic(issuer, &secret_of(issuer))), FORM, body).await
    };
    let said = ask("introspect", "portal", tokens.refresh()).await.json();
    assert_eq!((&said["active"], &said["client_id"]), (&json!(true), &json!(client.id)));
    assert_eq!(ask("introspect", "second", tokens.refresh()).await.json(), json!({"active": false}));
    assert_eq!(ask("revoke", "second", tokens.refresh()).await.status, 200);
    let mut forged = tokens.refresh().to_owned();
    forged.replace_range(50..51, if &forged[50..51] == "A" { "B" } else { "A" });
    assert_eq!(ask("introspect", "portal", &forged).await.json(), json!({"active": false}));
    assert_eq!(ask("revoke", "portal", &forged).await.status, 200);
    let tokens = client.renew(&tokens).await.tokens();
    // By the token before this one as well.
    let newest = client.renew(&kept).await.tokens();
    for token in [tokens.refresh(), kept.refresh()] {
        assert_eq!(ask("revoke", "portal", token).await.json(), json!({}));
    }
    for ended in [&tokens, &newest] {
        client.renew(ended).await.invalid_grant();
        assert!(!is_let_in(&app, ended).await);
        assert_eq!(ask("introspect", "portal", ended.refresh()).await.json(), json!({"active": false}));
    }
    app.operations();
    assert_eq!(ask("introspect", "portal", other.refresh()).await.json()["active"], true);
    assert_eq!(app.operations().len(), 1, "a listed client's needs no more than before");
    let tokens = client.sign_in().await;
    let mut faulty = dynamic();
    faulty["seconds"] = "long".into();
    for faulty in [faulty].into_iter().chain(without_a_readable_issuer()) {
        app.rewrite("clients.json", &registrations(faulty, |_| {}));
        for route in ["introspect", "revoke"] {
            ask(route, "portal", tokens.refresh()).await.refused(503, "temporarily_unavailable");
        }
    }
}

#[tokio::test]
async fn such_a_client_signs_out_by_its_id_token_and_goes_nowhere_but_to_the_portal() {
    let app = app().await;
    let client = Mcp::public(&app).await;
    let tokens = client.sign_in().await;
    let hint = tokens.0["id_token"].as_str().unwrap();
    let query = form(&[("id_token_hint", hint), ("post_logout_redirect_uri", REDIRECT)]);
    let answer = app.browser().get(&format!("/sign-out?{query}")).await;
    assert_eq!(answer.location(), SIGN_OUT_URL);
    client.renew(&tokens).await.invalid_grant();
}

#[tokio::test]
async fn nobody_issues_for_such_a_client() {
    let app = app().await;
    let client = Mcp::public(&app).await;
    app.issue_form(&[("client_id", &client.id), ("subject", "alice")]).await.refused(400, "unauthorized_client");
    app.issue_form(&[("client_id", "lkd1"), ("subject", "alice")]).await.refused(400, "unauthorized_client");
}

#[tokio::test]
async fn without_the_setting_the_route_is_not_there_and_is_not_announced() {
    let app = App::start().await;
    app.rewrite("clients.json", &registrations(dynamic(), |_| {}));
    let metadata = json!({"redirect_uris": [REDIRECT]});
    let answer = register(&app, &metadata).await;
    assert_eq!(
        (answer.status.as_u16(), answer.text.as_str()),
        (404, app.post("/nowhere", None, JSON, "{}").await.text.as_str())
    );
    let announced = async |app: &App| {
        let request = Request::get("/.well-known/oauth-authorization-server").body(Vec::new()).unwrap();
        app.send(request).await.json()["registration_endpoint"].clone()
    };
    assert_eq!(announced(&app).await, Value::Null);
    let app = App::with(&[("LATCHKEY_DYNAMIC_CLIENTS", "true")]).await;
    assert_eq!(announced(&app).await, format!("{ISSUER}/register"));
    assert_eq!(register(&app, &metadata).await.status, 404, "the registrations say nothing of it");
}

#[tokio::test]
async fn sixteen_exchanges_of_one_code_are_one_session_that_ends() {
    let app = Arc::new(app().await);
    let client = Mcp::public(&app).await;
    let code = client.code().await;
    let mut granted = 0;
    for answer in futures_of(&client, &code).await {
        granted += usize::from(answer.status == 200);
    }
    assert!(granted <= 1, "{granted}");
    assert_eq!(app.records().await.len(), 1);
}

async fn futures_of(client: &Mcp<'_>, code: &str) -> Vec<Answer> {
    let mut answers = Vec::new();
    for _ in 0..4 {
        let (one, two, three, four) =
            tokio::join!(client.exchange(code), client.exchange(code), client.exchange(code), client.exchange(code));
        answers.extend([one, two, three, four]);
    }
    answers
}

#[tokio::test]
async fn a_tool_passes_on_who_has_come_by_a_client_that_registered_itself_and_such_a_client_passes_on_nobody() {
    const FILES: &str = "https://files.example.org/mcp";
    const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
    const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
    let app = app().await;
    let with_a_tool = |dynamic: Value| {
        registrations(dynamic, |document| {
            let clients = document["clients"].as_array_mut().unwrap();
            let tool = clients.iter_mut().find(|client| client["client_id"] == "wide").unwrap();
            tool["audience"] = json!([RESOURCE]);
            tool["exchange"] = json!([{"audience": FILES, "scopes": ["files"]}]);
        })
    };
    app.rewrite("clients.json", &with_a_tool(dynamic()));
    let (own, other) =
        (Mcp::of(&app, "client_secret_post", REDIRECT).await, Mcp::of(&app, "client_secret_post", LOOPBACK).await);
    let tokens = own.sign_in().await;
    let subject = [("grant_type", GRANT), ("subject_token", tokens.access()), ("subject_token_type", ACCESS_TOKEN)];
    let tool = basic("wide", &secret_of("wide"));
    let body = form(&[&subject[..], &[("resource", FILES)]].concat());
    let passed_on = app.post("/token/renew", Some(&tool), FORM, body).await.tokens();
    assert_eq!((&passed_on.claims()["aud"], &passed_on.claims()["act"]), (&json!(FILES), &json!({"sub": "wide"})));
    assert_eq!(introspect(&app, passed_on.access()).await["active"], true);
    for target in [RESOURCE, FILES] {
        own.ask(&[&subject[..], &[("resource", target)]].concat()).await.refused(400, "invalid_target");
    }
    let introspected_by = async |mcp: &Mcp<'_>| {
        let caller = [("client_id", mcp.id.as_str()), ("client_secret", mcp.secret.as_deref().unwrap())];
        let body = form(&[&caller[..], &[("token", tokens.access())]].concat());
        app.post("/token/introspect", None, FORM, body).await.json()["active"].clone()
    };
    assert_eq!(introspected_by(&own).await, true);
    assert_eq!(introspected_by(&other).await, false, "the audience that they have in common makes it no target");
    app.rewrite("clients.json", &with_a_tool(Value::Null));
    assert_eq!(introspect(&app, passed_on.access()).await["active"], false, "the session's client is over");
}
