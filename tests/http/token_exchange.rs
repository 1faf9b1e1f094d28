//! The exchange of an access token for a target (RFC 8693): a user's identity is passed on to a tool, ends with the user's session
//! and opens nothing else.

use lambda_http::http::Request;
use serde_json::{Value, json};

use crate::support::{Answer, App, FORM, ISSUER, JSON, Tokens, basic, form, keys, logs, secret_of};

const TOOLS: &str = "https://tools.example.org/mcp";
const FILES: &str = "https://files.example.org/mcp";
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// `librechat` passes identity on to the client `tools` (a tool), and that to `files`. Both have the scope `read`.
fn clients() -> Vec<Value> {
    let entry =
        |audience: &str, scopes: Value| json!({"audience": audience, "scopes": scopes, "access_token_seconds": 300});
    let mut clients = keys::clients();
    for client in &mut clients {
        match client["client_id"].as_str() {
            Some("librechat") => {
                client["exchange"] =
                    json!([entry(TOOLS, json!(["tools", "read"])), entry(FILES, json!(["files", "read"]))]);
            }
            // Not their names matter, but that their audiences are the targets.
            Some("wide") => {
                client["audience"] = json!([TOOLS]);
                client["exchange"] = json!([entry(FILES, json!(["files"]))]);
            }
            Some("strict") => client["audience"] = json!([FILES]),
            _ => {}
        }
    }
    clients
}

fn changed(id: &str, change: impl Fn(&mut Value)) -> String {
    let mut clients = clients();
    change(clients.iter_mut().find(|client| client["client_id"] == id).unwrap());
    keys::registrations_of(&clients)
}

async fn app_for(audience: &str) -> App {
    let app = App::with(&[("LATCHKEY_AUDIENCE", audience), ("LATCHKEY_GRACE_SECONDS", "3600")]).await;
    app.rewrite("clients.json", &keys::registrations_of(&clients()));
    app
}

async fn app() -> App {
    app_for(TOOLS).await
}

async fn ask(app: &App, client: &str, pairs: &[(&str, &str)]) -> Answer {
    app.post("/token/renew", Some(&basic(client, &secret_of(client))), FORM, form(pairs)).await
}

fn asking<'a>(subject_token: &'a str, target: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("grant_type", TOKEN_EXCHANGE),
        ("subject_token", subject_token),
        ("subject_token_type", ACCESS_TOKEN),
        ("audience", target),
    ]
}

async fn exchange(app: &App, client: &str, subject_token: &str, target: &str) -> Answer {
    ask(app, client, &asking(subject_token, target)).await
}

async fn on_behalf_of(app: &App, client: &str, assertion: &str, scope: &str) -> Answer {
    let pairs = [("grant_type", JWT_BEARER), ("assertion", assertion), ("requested_token_use", "on_behalf_of")];
    ask(app, client, &[&pairs[..], &[("scope", scope)]].concat()).await
}

async fn introspect(app: &App, caller: &str, token: &str) -> Value {
    let body = form(&[("token", token)]);
    app.post("/token/introspect", Some(&basic(caller, &secret_of(caller))), FORM, body).await.json()
}

async fn is_let_in(app: &App, token: &str) -> bool {
    let request = Request::get("/demo/me").header("authorization", format!("Bearer {token}"));
    let answer = app.send(request.body(vec![]).unwrap()).await;
    assert!([200, 401].contains(&answer.status.as_u16()), "{answer:?}");
    answer.status == 200
}

fn inactive() -> Value {
    json!({"active": false})
}

#[tokio::test]
async fn a_chat_clients_token_becomes_a_tools_token_with_one_read_and_no_write() {
    let app = app().await;
    let chat = app.issue().await;
    let records = app.records().await;
    app.operations();
    let answer = exchange(&app, "librechat", chat.access(), TOOLS).await;
    let tool = answer.tokens();
    assert_eq!(app.operations(), ["GetItem"]);
    assert_eq!(app.records().await, records);
    assert_eq!(
        answer.json(),
        json!({"access_token": tool.access(), "issued_token_type": ACCESS_TOKEN, "token_type": "Bearer",
            "expires_in": 300, "scope": "tools read"})
    );
    let (now, jti) = (app.now(), tool.claims()["jti"].clone());
    assert_eq!(
        tool.claims(),
        json!({"iss": ISSUER, "sub": "alice", "aud": TOOLS, "client_id": "librechat", "iat": now, "exp": now + 300,
            "jti": jti, "sid": chat.0["session_id"], "scope": "tools read", "act": {"sub": "librechat"}})
    );
    assert_eq!(answer.headers["cache-control"], "no-store");
    let again = exchange(&app, "librechat", chat.access(), TOOLS).await.tokens();
    assert_ne!(again.claims()["jti"], jti, "it is drawn anew");
}

#[tokio::test]
async fn audience_and_resource_name_the_target_alike_and_either_type_may_be_asked_for() {
    let app = app().await;
    let chat = app.issue().await;
    let base = [("grant_type", TOKEN_EXCHANGE), ("subject_token", chat.access()), ("subject_token_type", JWT)];
    for target in [
        vec![("resource", TOOLS)],
        vec![("audience", TOOLS), ("resource", TOOLS)],
        vec![("resource", TOOLS), ("resource", TOOLS), ("requested_token_type", ACCESS_TOKEN)],
    ] {
        let answer = ask(&app, "librechat", &[&base[..], &target[..]].concat()).await;
        assert_eq!(answer.tokens().claims()["aud"], TOOLS);
        assert_eq!(answer.json()["issued_token_type"], ACCESS_TOKEN);
    }
    let jwt =
        ask(&app, "librechat", &[&base[..], &[("audience", TOOLS), ("requested_token_type", JWT)]].concat()).await;
    assert_eq!((jwt.json()["issued_token_type"].as_str(), jwt.status.as_u16()), (Some(JWT), 200));
    let body = json!({"grant_type": TOKEN_EXCHANGE, "subject_token": chat.access(), "subject_token_type": JWT,
        "resource": [TOOLS], "scope": "read", "client_id": "librechat", "client_secret": secret_of("librechat")});
    let answer = app.post("/token/renew", None, JSON, body.to_string()).await;
    assert_eq!(answer.tokens().claims()["scope"], "read");
}

#[tokio::test]
async fn librechats_request_on_behalf_of_a_user_finds_its_target_by_scope() {
    let app = app().await;
    let chat = app.issue().await;
    for (scope, target) in [("tools", TOOLS), ("read tools", TOOLS), ("files", FILES)] {
        let tool = on_behalf_of(&app, "librechat", chat.access(), scope).await.tokens();
        assert_eq!((&tool.claims()["aud"], &tool.claims()["scope"]), (&json!(target), &json!(scope)));
        assert_eq!(tool.claims()["act"], json!({"sub": "librechat"}));
    }
    for (scope, why) in [("read", "two have it"), ("tools files", "none has both"), ("admin", "none"), ("", "left out")]
    {
        let answer = on_behalf_of(&app, "librechat", chat.access(), scope).await;
        assert_eq!((answer.status.as_u16(), answer.error().as_str()), (400, "invalid_target"), "{why}");
    }
    let only = changed("librechat", |client| {
        client["exchange"] = json!([{"audience": TOOLS, "scopes": ["tools", "read"]}]);
    });
    app.rewrite("clients.json", &only);
    let tool = on_behalf_of(&app, "librechat", chat.access(), "").await.tokens();
    assert_eq!(tool.claims()["scope"], "tools read", "the only one there is, with all of its scopes");
}

#[tokio::test]
async fn it_opens_its_target_and_nothing_else() {
    let app = app().await;
    let chat = app.issue().await;
    let tool = exchange(&app, "librechat", chat.access(), TOOLS).await.tokens();
    assert!(is_let_in(&app, tool.access()).await);
    assert!(!is_let_in(&app, chat.access()).await, "the user's own token is not for the tool");
    let files = exchange(&app, "librechat", chat.access(), FILES).await.tokens();
    assert!(!is_let_in(&app, files.access()).await, "another target's");

    let userinfo = Request::get("/userinfo").header("authorization", format!("Bearer {}", tool.access()));
    app.send(userinfo.body(vec![]).unwrap()).await.refused(401, "invalid_token");
    app.renew(&chat.with_access(tool.access())).await.invalid_grant();
    let as_refresh = [("refresh_token", tool.access()), ("access_token", chat.access())];
    ask(&app, "librechat", &as_refresh).await.invalid_grant();
    for token in [tool.access(), files.access()] {
        let body = form(&[("token", token)]);
        let answer = app.post("/token/revoke", Some(&basic("librechat", &secret_of("librechat"))), FORM, body).await;
        assert_eq!(answer.status, 200);
    }
    let hint = format!("/sign-out?{}", form(&[("id_token_hint", tool.access())]));
    app.browser().get(&hint).await.page(400);
    let assertion = form(&[("grant_type", JWT_BEARER), ("assertion", tool.access()), ("client_id", "librechat")]);
    app.post("/token", None, FORM, assertion).await.invalid_grant();
    let chat = app.renew(&chat).await.tokens();
    assert!(is_let_in(&app, tool.access()).await, "the session goes on, and so does the tool's token");
    assert_eq!(introspect(&app, "librechat", chat.access()).await["active"], true);
}

#[tokio::test]
async fn it_ends_with_the_users_session() {
    let app = app().await;
    let (revoked, live) = (app.issue().await, app.issue().await);
    let [ended, going] = [
        exchange(&app, "librechat", revoked.access(), TOOLS).await.tokens(),
        exchange(&app, "librechat", live.access(), TOOLS).await.tokens(),
    ];
    let portal = basic("portal", &secret_of("portal"));
    app.post("/token/revoke", Some(&portal), FORM, form(&[("token", revoked.refresh())])).await;
    assert_eq!(introspect(&app, "librechat", ended.access()).await, inactive());
    assert!(!is_let_in(&app, ended.access()).await && is_let_in(&app, going.access()).await);
    exchange(&app, "librechat", revoked.access(), TOOLS).await.invalid_grant();

    // Every session below is older than that.
    let epoch = app.now() + 10_000;
    for (what, registrations) in [
        (
            "an epoch of the session's client",
            changed("librechat", |client| client["sessions_not_before"] = json!(epoch)),
        ),
        ("an epoch of the deployment", {
            let mut document: Value = serde_json::from_str(&keys::registrations_of(&clients())).unwrap();
            document["sessions_not_before"] = json!(epoch);
            document.to_string()
        }),
        ("the session's client is gone", {
            let rest: Vec<Value> = clients().into_iter().filter(|client| client["client_id"] != "librechat").collect();
            keys::registrations_of(&rest)
        }),
    ] {
        app.rewrite("clients.json", &keys::registrations_of(&clients()));
        let live = app.issue_form(&[("client_id", "librechat"), ("subject", "bob")]).await.tokens();
        let chain = exchange(&app, "librechat", live.access(), TOOLS).await.tokens();
        let chain = exchange(&app, "wide", chain.access(), FILES).await.tokens();
        assert_eq!(introspect(&app, "wide", chain.access()).await["active"], true, "{what}");
        app.rewrite("clients.json", &registrations);
        assert_eq!(introspect(&app, "wide", chain.access()).await, inactive(), "{what}");
    }
}

#[tokio::test]
async fn it_never_outlives_its_own_time_the_users_token_or_the_session() {
    let app = app().await;
    let longer = changed("librechat", |client| {
        client["exchange"] = json!([{"audience": TOOLS, "scopes": []}]);
        client["access_token_seconds"] = json!(600);
    });
    app.rewrite("clients.json", &longer);
    let chat = app.issue().await;
    app.clock.advance(100);
    let answer = exchange(&app, "librechat", chat.access(), TOOLS).await;
    assert_eq!(
        answer.tokens().claims()["exp"],
        chat.claims()["exp"],
        "without a time of its own: as the client's, capped"
    );
    assert_eq!((answer.json()["expires_in"].as_i64(), answer.json().get("scope")), (Some(500), None));
    app.clock.advance(499);
    assert_eq!(exchange(&app, "librechat", chat.access(), TOOLS).await.json()["expires_in"], 1);
    app.clock.advance(1);
    exchange(&app, "librechat", chat.access(), TOOLS).await.invalid_grant();
    assert_eq!(app.renew(&chat).await.status, 200, "in its grace period it renews, and passes nobody on");

    let brief = App::with(&[("LATCHKEY_ABSOLUTE_SECONDS", "900")]).await;
    brief.rewrite("clients.json", &keys::registrations_of(&clients()));
    let chat = brief.issue().await;
    brief.clock.advance(899);
    assert_eq!(exchange(&brief, "librechat", chat.access(), TOOLS).await.json()["expires_in"], 1);
}

#[tokio::test]
async fn a_chain_names_everybody_who_acted_and_is_of_four_at_most() {
    let app = app().await;
    let round = json!([{"audience": TOOLS, "scopes": ["tools"]}]);
    let mut all = clients();
    for client in &mut all {
        if ["librechat", "wide"].contains(&client["client_id"].as_str().unwrap()) {
            client["exchange"] = round.clone();
        }
    }
    app.rewrite("clients.json", &keys::registrations_of(&all));
    let chat = app.issue().await;
    let mut token = exchange(&app, "librechat", chat.access(), TOOLS).await.tokens();
    let mut act = json!({"sub": "librechat"});
    for _ in 0..3 {
        token = exchange(&app, "wide", token.access(), TOOLS).await.tokens();
        act = json!({"sub": "wide", "act": act});
        assert_eq!((&token.claims()["act"], &token.claims()["client_id"]), (&act, &json!("wide")));
        assert_eq!(token.claims()["sid"], chat.0["session_id"]);
        assert!(is_let_in(&app, token.access()).await);
        assert_eq!(introspect(&app, "wide", token.access()).await["act"], act);
    }
    exchange(&app, "wide", token.access(), TOOLS).await.invalid_grant();
}

#[tokio::test]
async fn no_deputy_is_confused() {
    let app = app().await;
    let chat = app.issue().await;
    let tool = exchange(&app, "librechat", chat.access(), TOOLS).await.tokens();
    let files = exchange(&app, "librechat", chat.access(), FILES).await.tokens();
    // The tool may pass on what is meant for it, to where it is registered, and nothing else.
    assert_eq!(exchange(&app, "wide", tool.access(), FILES).await.tokens().claims()["aud"], FILES);
    exchange(&app, "wide", tool.access(), TOOLS).await.refused(400, "invalid_target");
    exchange(&app, "wide", tool.access(), "librechat").await.refused(400, "invalid_target");
    exchange(&app, "wide", chat.access(), FILES).await.invalid_grant();
    exchange(&app, "wide", files.access(), FILES).await.invalid_grant();
    exchange(&app, "strict", tool.access(), TOOLS).await.refused(400, "invalid_target");
    let spare = changed("short", |client| client["exchange"] = json!([{"audience": TOOLS, "scopes": ["tools"]}]));
    app.rewrite("clients.json", &spare);
    exchange(&app, "short", chat.access(), TOOLS).await.invalid_grant();
    exchange(&app, "short", tool.access(), TOOLS).await.invalid_grant();
    on_behalf_of(&app, "short", chat.access(), "tools").await.invalid_grant();
}

#[tokio::test]
async fn what_is_refused_has_its_code() {
    let app = app().await;
    let chat = app.issue().await;
    let id_token = chat.0["id_token"].as_str().unwrap();
    let good = asking(chat.access(), TOOLS);
    let forged = format!("{}AAAA", &chat.access()[..chat.access().len() - 4]);
    let with = |name: &'static str, value| -> Vec<(&str, &str)> {
        let rest = good.iter().filter(|(own, _)| *own != name).copied();
        rest.chain([(name, value)]).collect()
    };
    let records = app.records().await;
    for (pairs, code) in [
        (with("subject_token", ""), "invalid_request"),
        (with("subject_token", "garbage"), "invalid_grant"),
        (with("subject_token", &forged), "invalid_grant"),
        (with("subject_token", chat.refresh()), "invalid_grant"),
        (with("subject_token", id_token), "invalid_grant"),
        (with("subject_token_type", ""), "invalid_request"),
        (with("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"), "invalid_request"),
        (with("subject_token_type", "urn:ietf:params:oauth:token-type:refresh_token"), "invalid_request"),
        (with("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"), "invalid_request"),
        (with("actor_token", chat.access()), "invalid_request"),
        (with("actor_token_type", ACCESS_TOKEN), "invalid_request"),
        (with("audience", ""), "invalid_request"),
        (with("audience", "https://tools.example.org/mcp/"), "invalid_target"),
        (with("audience", "https://TOOLS.example.org/mcp"), "invalid_target"),
        (with("audience", "https://tools.example.org/mcp#x"), "invalid_target"),
        (with("audience", "librechat"), "invalid_target"),
        (with("resource", FILES), "invalid_target"),
        (with("scope", "files"), "invalid_scope"),
        (with("scope", "tools admin"), "invalid_scope"),
        (with("scope", "openid"), "invalid_scope"),
        (with("scope", "to\"ols"), "invalid_scope"),
    ] {
        let answer = ask(&app, "librechat", &pairs).await;
        assert_eq!((answer.status.as_u16(), answer.error().as_str()), (400, code), "{pairs:?}");
        if code == "invalid_grant" {
            answer.invalid_grant();
        }
    }
    let twice = [&good[..], &[("subject_token", chat.access())]].concat();
    ask(&app, "librechat", &twice).await.refused(400, "invalid_request");
    for (pairs, code) in [
        (vec![("assertion", chat.access())], "invalid_request"),
        (vec![("assertion", chat.access()), ("requested_token_use", "other")], "invalid_request"),
        (vec![("requested_token_use", "on_behalf_of")], "invalid_request"),
    ] {
        let pairs = [&[("grant_type", JWT_BEARER)], &pairs[..]].concat();
        ask(&app, "librechat", &pairs).await.refused(400, code);
    }
    app.post("/token/renew", Some(&basic("librechat", "wrong")), FORM, form(&good))
        .await
        .refused(401, "invalid_client");
    app.post("/token/renew", None, FORM, form(&good)).await.refused(400, "invalid_request");
    let named = |id| form(&[&good[..], &[("client_id", id)]].concat());
    app.post("/token/renew", None, FORM, named("librechat")).await.refused(401, "invalid_client");
    app.post("/token/renew", None, FORM, named("spa")).await.refused(400, "unauthorized_client");
    assert_eq!(app.records().await, records, "nothing is written, whatever is refused");
}

#[tokio::test]
async fn neither_from_nor_for_clients_of_hs256() {
    let app = app().await;
    let claims = r#"{"id":"65a1b2c3d4e5f60718293a4b"}"#;
    let pairs = [("client_id", "hs"), ("subject", "alice"), ("claims", claims)];
    let hs = app.issue_form(&pairs).await.tokens();
    exchange(&app, "hs", hs.access(), TOOLS).await.refused(400, "unauthorized_client");
    app.rewrite("clients.json", &changed("librechat", |client| client["audience"] = json!(["librechat", "hs"])));
    exchange(&app, "librechat", hs.access(), TOOLS).await.invalid_grant();
    // LibreChat knows the secret. What it could make of it is no token of a session that is not its own.
    let chat = app.issue().await;
    let tool = exchange(&app, "librechat", chat.access(), TOOLS).await.tokens();
    let mut forged = tool.claims();
    forged["client_id"] = json!("hs");
    forged["act"] = json!({"sub": "hs"});
    let header = json!({"alg": "HS256", "typ": "JWT", "kid": "librechat-hs"});
    let key = jsonwebtoken::EncodingKey::from_secret(keys::JWT_SECRET.as_bytes());
    let forged = keys::signed(&header, &forged, jsonwebtoken::Algorithm::HS256, &key);
    assert!(!is_let_in(&app, &forged).await);
    assert_eq!(introspect(&app, "portal", &forged).await, inactive());
    exchange(&app, "librechat", &forged, TOOLS).await.invalid_grant();
}

#[tokio::test]
async fn introspection_shows_it_to_its_target_and_to_who_acts_and_to_nobody_else() {
    let app = app().await;
    let chat = app.issue().await;
    let tool = exchange(&app, "librechat", chat.access(), TOOLS).await.tokens();
    let said = introspect(&app, "wide", tool.access()).await;
    let claims = tool.claims();
    assert_eq!(
        said,
        json!({"active": true, "token_type": "Bearer", "iss": ISSUER, "sub": "alice", "client_id": "librechat",
            "aud": [TOOLS], "scope": "tools read", "iat": claims["iat"], "exp": claims["exp"], "jti": claims["jti"],
            "sid": chat.0["session_id"], "act": {"sub": "librechat"}})
    );
    assert_eq!(introspect(&app, "librechat", tool.access()).await, said);
    assert_eq!(introspect(&app, "portal", tool.access()).await, said);
    for stranger in ["strict", "short", "second"] {
        assert_eq!(introspect(&app, stranger, tool.access()).await, inactive(), "{stranger}");
    }
    app.clock.advance(300);
    assert_eq!(introspect(&app, "wide", tool.access()).await, inactive(), "expired; no grace");
}

#[tokio::test]
async fn its_scope_and_its_target_are_what_the_entry_says_now() {
    let app = app().await;
    let chat = app.issue().await;
    let lasting = |scopes: Value| {
        changed("librechat", |client| client["exchange"] = json!([{"audience": TOOLS, "scopes": scopes}]))
    };
    app.rewrite("clients.json", &lasting(json!(["tools", "read"])));
    let tool = exchange(&app, "librechat", chat.access(), TOOLS).await.tokens();
    app.rewrite("clients.json", &lasting(json!(["read"])));
    assert_eq!(introspect(&app, "wide", tool.access()).await["scope"], "read");
    assert!(is_let_in(&app, tool.access()).await);
    let gone = changed("librechat", |client| client["exchange"] = json!([{"audience": FILES, "scopes": ["tools"]}]));
    app.rewrite("clients.json", &gone);
    assert_eq!(introspect(&app, "wide", tool.access()).await, inactive());
    assert!(!is_let_in(&app, tool.access()).await);
}

#[tokio::test]
async fn a_session_that_is_remembered_lets_in_no_token_that_says_more_than_its_entry() {
    let app = App::with(&[("LATCHKEY_AUDIENCE", TOOLS), ("LATCHKEY_AUTHORIZER_CACHE_SECONDS", "30")]).await;
    app.rewrite("clients.json", &keys::registrations_of(&clients()));
    let chat = app.issue().await;
    let tool = exchange(&app, "librechat", chat.access(), TOOLS).await.tokens();
    app.operations();
    assert!(is_let_in(&app, tool.access()).await && is_let_in(&app, tool.access()).await);
    assert_eq!(app.operations(), ["GetItem"], "and its session is remembered");
    for (name, value) in [
        ("sub", json!("bob")),
        ("client_id", json!("wide")),
        ("act", json!({"sub": "wide"})),
        ("act", json!(null)),
        ("aud", json!([TOOLS, FILES])),
        (
            "sid",
            app.issue_form(&[("client_id", "librechat"), ("subject", "bob")]).await.tokens().0["session_id"].clone(),
        ),
    ] {
        let mut claims = tool.claims();
        claims[name] = value;
        assert!(!is_let_in(&app, &keys::signed_rs256(&claims)).await, "{name}");
    }
    let mut more = tool.claims();
    more["scope"] = json!("tools read admin");
    let request = Request::get("/demo/me").header("authorization", format!("Bearer {}", keys::signed_rs256(&more)));
    let told = app.send(request.body(vec![]).unwrap()).await.json();
    assert_eq!(told["scope"], "tools read", "the entry's scopes and no other");
}

#[tokio::test]
async fn trouble_is_503_and_says_nothing_of_the_token() {
    let app = app().await;
    let chat = app.issue().await;
    app.rewrite("clients.json", &changed("librechat", |client| client["exchange"] = json!("faulty")));
    exchange(&app, "librechat", chat.access(), TOOLS).await.refused(503, "temporarily_unavailable");
    app.rewrite("clients.json", &keys::registrations_of(&clients()));
    app.drop_table().await;
    exchange(&app, "librechat", chat.access(), TOOLS).await.refused(503, "temporarily_unavailable");
    exchange(&app, "librechat", "garbage", TOOLS).await.invalid_grant();
}

#[tokio::test]
async fn who_acts_for_whom_is_in_the_audit_trail() {
    let app = app().await;
    let chat = app.issue().await;
    let tool: Tokens = exchange(&app, "librechat", chat.access(), TOOLS).await.tokens();
    let lines = logs::audit_of(chat.0["session_id"].as_str().unwrap());
    let last = lines.last().unwrap();
    assert_eq!((&last["event"], &last["client_id"]), (&json!("token_exchanged"), &json!("librechat")));
    assert_eq!((&last["jti"], &last["seconds_to_expiry"]), (&tool.claims()["jti"], &json!(300)));
    assert_eq!(last["subject_hash"], lines[0]["subject_hash"]);
    exchange(&app, "wide", chat.access(), FILES).await.invalid_grant();
    let lines = logs::audit_of(chat.0["session_id"].as_str().unwrap());
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["event"], &last["reason"], &last["client_id"]),
        (&json!("renewal_rejected"), &json!("access_token_of_another_client"), &json!("wide"))
    );
}
