//! `POST /token/introspect` and the authorizer, by way of `GET /demo/me`: which tokens are live.

use lambda_http::http::Request;
use serde_json::{Value, json};

use crate::support::{Answer, App, FORM, ISSUER, basic, form, keys, logs, secret_of};

const CACHE_SECONDS: &str = "LATCHKEY_AUTHORIZER_CACHE_SECONDS";

async fn introspect(app: &App, caller: &str, token: &str) -> Value {
    let answer =
        app.post("/token/introspect", Some(&basic(caller, &secret_of(caller))), FORM, form(&[("token", token)])).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn me(app: &App, authorization: Option<&str>) -> Answer {
    let mut request = Request::get("/demo/me");
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    app.send(request.body(vec![]).unwrap()).await
}

async fn me_with(app: &App, token: &str) -> Answer {
    me(app, Some(&format!("Bearer {token}"))).await
}

#[tokio::test]
async fn a_live_access_token_is_described() {
    let app = App::start().await;
    let tokens = app.issue().await;
    let now = app.now();
    app.operations();
    let said = introspect(&app, "librechat", tokens.access()).await;
    assert_eq!(
        said,
        json!({
            "active": true, "token_type": "Bearer", "iss": ISSUER, "sub": "alice", "client_id": "librechat",
            "aud": ["librechat"], "scope": "openid profile email", "iat": now, "exp": now + 86_400,
            "jti": tokens.claims()["jti"], "sid": tokens.0["session_id"],
        })
    );
    assert_eq!(app.operations(), ["GetItem"], "never a write");
    assert_eq!(introspect(&app, "portal", tokens.access()).await, said);
}

#[tokio::test]
async fn refresh_tokens_are_shown_to_issuers_only() {
    let app = App::start().await;
    let first = app.issue().await;
    let said = introspect(&app, "portal", first.refresh()).await;
    assert_eq!(
        (&said["active"], &said["sub"], &said["client_id"]),
        (&json!(true), &json!("alice"), &json!("librechat"))
    );
    let inactive = json!({"active": false});
    assert_eq!(introspect(&app, "librechat", first.refresh()).await, inactive);
    assert_eq!(introspect(&app, "second", first.refresh()).await, inactive);
    let second = app.renew(&first).await.tokens();
    assert_eq!(introspect(&app, "portal", first.refresh()).await, inactive, "used up");
    assert_eq!(introspect(&app, "portal", second.refresh()).await["active"], true);
}

#[tokio::test]
async fn everything_that_is_not_live_is_inactive_and_nothing_more() {
    let app = App::start().await;
    let tokens = app.issue_for("graceful").await;
    let revoked = app.issue_for("graceful").await;
    app.post(
        "/token/revoke",
        Some(&basic("portal", &secret_of("portal"))),
        FORM,
        form(&[("token", revoked.refresh())]),
    )
    .await;
    let records = app.records().await;
    let inactive = json!({"active": false});
    for token in [
        "garbage",
        revoked.access(),
        tokens.0["id_token"].as_str().unwrap(),
        &format!("{}AAAA", &tokens.access()[..tokens.access().len() - 4]),
    ] {
        assert_eq!(introspect(&app, "graceful", token).await, inactive, "{token}");
    }
    assert_eq!(introspect(&app, "librechat", tokens.access()).await, inactive, "another client's");
    assert_eq!(introspect(&app, "second", tokens.access()).await, inactive, "another issuer's");
    app.clock.advance(86_400);
    assert_eq!(introspect(&app, "graceful", tokens.access()).await, inactive, "expired, though in its grace period");
    assert_eq!(app.records().await, records);
    app.renew_as("graceful", &tokens).await.tokens();
}

#[tokio::test]
async fn a_client_may_ask_about_tokens_that_are_meant_for_it_and_end_none_of_them() {
    let app = App::start().await;
    // Its audiences are its own id and https://api.example.org.
    let tokens = app.issue_for("wide").await;
    let inactive = json!({"active": false});
    assert_eq!(introspect(&app, "strict", tokens.access()).await, inactive);
    app.rewrite(
        "clients.json",
        &keys::registrations_with("strict", |client| client["audience"] = json!(["https://api.example.org"])),
    );
    let said = introspect(&app, "strict", tokens.access()).await;
    assert_eq!((&said["active"], &said["client_id"]), (&json!(true), &json!("wide")));
    let body = form(&[("token", tokens.access())]);
    let answer = app.post("/token/revoke", Some(&basic("strict", &secret_of("strict"))), FORM, body).await;
    assert_eq!(answer.status, 200);
    assert_eq!(introspect(&app, "wide", tokens.access()).await["active"], true, "it is not its to end");
    app.rewrite("clients.json", &keys::registrations_with("wide", |client| client["audience"] = json!(["strict"])));
    let tokens = app.renew_as("wide", &tokens).await.tokens();
    assert_eq!(introspect(&app, "strict", tokens.access()).await["active"], true, "its id is an audience as well");
}

#[tokio::test]
async fn public_clients_and_strangers_may_not_introspect() {
    let app = App::start().await;
    let tokens = app.issue_for("spa").await;
    let body = form(&[("token", tokens.access()), ("client_id", "spa")]);
    app.post("/token/introspect", None, FORM, body).await.refused(401, "invalid_client");
    app.post("/token/introspect", None, FORM, form(&[("token", tokens.access())])).await.refused(401, "invalid_client");
    app.drop_table().await;
    let portal = basic("portal", &secret_of("portal"));
    let answer = app.post("/token/introspect", Some(&portal), FORM, form(&[("token", tokens.access())])).await;
    answer.refused(503, "temporarily_unavailable");
}

#[tokio::test]
async fn the_authorizer_lets_in_who_bears_a_live_token() {
    let app = App::start().await;
    let tokens = app.issue().await;
    let answer = me_with(&app, tokens.access()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.json(),
        json!({"sub": "alice", "client_id": "librechat", "scope": "openid profile email", "sid": tokens.0["session_id"]})
    );
}

#[tokio::test]
async fn the_authorizer_refuses_an_expired_token_that_renewal_still_accepts() {
    let app = App::with(&[("LATCHKEY_GRACE_SECONDS", "3600")]).await;
    let tokens = app.issue().await;
    app.clock.advance(86_399);
    assert_eq!(me_with(&app, tokens.access()).await.status, 200);
    app.clock.advance(1);
    me_with(&app, tokens.access()).await.refused(401, "invalid_token");
    let renewed = app.renew(&tokens).await.tokens();
    assert_eq!(me_with(&app, renewed.access()).await.status, 200);
}

#[tokio::test]
async fn whoever_is_not_let_in_is_told_the_same() {
    let app = App::start().await;
    let tokens = app.issue().await;
    let other_audience = app.issue_for("wide").await;
    let body = r#"{"error":"invalid_token","error_description":"the access token is missing or not valid"}"#;
    let mut in_the_future = tokens.claims();
    in_the_future["iat"] = (app.now() + 61).into();
    for authorization in [
        None,
        Some("Bearer x".to_owned()),
        Some("Bearer".to_owned()),
        Some(basic("librechat", &secret_of("librechat"))),
        Some(format!("Bearer {}", tokens.refresh())),
        Some(format!("Bearer {}", tokens.0["id_token"].as_str().unwrap())),
        Some(format!("Bearer {}", other_audience.access())),
        Some(format!("Bearer {}", keys::signed_rs256(&in_the_future))),
    ] {
        let answer = me(&app, authorization.as_deref()).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (401, body), "{authorization:?}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer error=\"invalid_token\"");
    }
}

#[tokio::test]
async fn a_revoked_session_is_refused_at_once_or_after_the_cache_time() {
    for (cache_seconds, still_passes) in [(None, false), (Some("30"), true)] {
        let app = App::with(&cache_seconds.map_or(vec![], |seconds| vec![(CACHE_SECONDS, seconds)])).await;
        let tokens = app.issue().await;
        assert_eq!(me_with(&app, tokens.access()).await.status, 200);
        let portal = basic("portal", &secret_of("portal"));
        app.post("/token/revoke", Some(&portal), FORM, form(&[("token", tokens.refresh())])).await;
        assert_eq!(me_with(&app, tokens.access()).await.status == 200, still_passes, "{cache_seconds:?} s");
        app.clock.advance(30);
        me_with(&app, tokens.access()).await.refused(401, "invalid_token");
    }
}

/// Whoever holds LibreChat's secret can sign anything; the session knows what it is for.
#[tokio::test]
async fn a_token_that_says_more_than_its_session_is_not_live() {
    let app = App::with(&[(CACHE_SECONDS, "30")]).await;
    let tokens =
        app.issue_form(&[("client_id", "librechat"), ("subject", "alice"), ("scope", "openid")]).await.tokens();
    assert_eq!(me_with(&app, tokens.access()).await.status, 200, "and its session is remembered");
    for (name, value) in [("scope", json!("openid profile")), ("aud", json!(["librechat", "orders"]))] {
        let mut claims = tokens.claims();
        claims[name] = value;
        let token = keys::signed_rs256(&claims);
        me_with(&app, &token).await.refused(401, "invalid_token");
        assert_eq!(introspect(&app, "librechat", &token).await, json!({"active": false}), "{name}");
        assert_eq!(introspect(&app, "portal", &token).await, json!({"active": false}), "{name}");
    }
}

#[tokio::test]
async fn a_store_that_is_down_is_no_denial() {
    let app = App::start().await;
    let tokens = app.issue().await;
    app.drop_table().await;
    me_with(&app, tokens.access()).await.refused(503, "temporarily_unavailable");
}

#[tokio::test]
async fn denials_are_in_the_audit_trail() {
    let app = App::start().await;
    let tokens = app.issue().await;
    app.clock.advance(86_400);
    me_with(&app, tokens.access()).await.refused(401, "invalid_token");
    let lines = logs::audit_of(tokens.0["session_id"].as_str().unwrap());
    let last = lines.last().unwrap();
    assert_eq!(
        (last["event"].as_str(), last["reason"].as_str()),
        (Some("access_denied"), Some("access_token_expired"))
    );
}
