//! `POST /token/renew`: what a renewal needs and gives.

use serde_json::json;

use crate::support::{App, FORM, JSON, START, basic, form, keys, logs, secret_of};

#[tokio::test]
async fn a_renewal_is_one_update_and_no_read() {
    let app = App::start().await;
    let tokens = app.issue().await;
    app.operations();
    app.renew(&tokens).await.tokens();
    assert_eq!(app.operations(), ["UpdateItem"]);
}

#[tokio::test]
async fn a_renewal_rotates_the_refresh_token_and_starts_a_new_life() {
    let app = App::start().await;
    let first = app.issue().await;
    app.clock.advance(1000);
    let second = app.renew(&first).await.tokens();
    assert_ne!(second.refresh(), first.refresh());
    assert_eq!(second.0["session_id"], first.0["session_id"]);
    assert_eq!(second.0["expires_in"], 86_400);
    assert_eq!(second.0["refresh_token_expires_in"], 604_800);
    assert_eq!(second.claims()["iat"], START.unix_seconds() + 1000);
    assert_ne!(second.claims()["jti"], first.claims()["jti"]);
    assert_eq!(second.id_claims()["exp"], second.claims()["exp"]);
    assert!(second.id_claims().get("nonce").is_none(), "the nonce belongs to the first ID token");
    for name in ["sub", "aud", "iss", "client_id", "scope", "sid"] {
        assert_eq!(second.claims()[name], first.claims()[name], "{name}");
    }
    let third = app.renew(&second).await.tokens();
    assert_eq!(app.number("generation").await, 2);
    app.renew(&third).await.tokens();
}

#[tokio::test]
async fn the_record_after_a_renewal_is_the_contracts() {
    let app = App::start().await;
    let tokens = app.issue().await;
    let before = app.record().await;
    app.clock.advance(1000);
    app.renew(&tokens).await.tokens();
    let after = app.record().await;
    let now = START.unix_millis() + 1_000_000;
    for (name, expected) in [
        ("generation", 1),
        ("rotated_at", now),
        ("access_expires_at", now + 86_400_000),
        ("idle_expires_at", now + 604_800_000),
    ] {
        assert_eq!(after[name].as_n().unwrap(), &expected.to_string(), "{name}");
    }
    assert_eq!(after["previous_hash"], before["secret_hash"]);
    assert_ne!(after["secret_hash"], before["secret_hash"]);
    assert_eq!(after["sealed_successor"].as_b().unwrap().as_ref().len(), 60);
    for name in ["absolute_expires_at", "issued_at", "scope", "claims", "audience", "subject", "expires_at"] {
        assert_eq!(after[name], before[name], "{name}");
    }
}

#[tokio::test]
async fn expiry_and_idle_time_never_pass_the_absolute_expiry() {
    let app = App::with(&[("LATCHKEY_ABSOLUTE_SECONDS", "100000"), ("LATCHKEY_IDLE_SECONDS", "90000")]).await;
    let tokens = app.issue().await;
    app.clock.advance(80_000);
    let renewed = app.renew(&tokens).await.tokens();
    assert_eq!(renewed.0["expires_in"], 20_000);
    assert_eq!(renewed.0["refresh_token_expires_in"], 20_000);
    assert_eq!(renewed.claims()["exp"], START.unix_seconds() + 100_000);
    assert_eq!(app.number("idle_expires_at").await, app.number("absolute_expires_at").await);
    assert_eq!(app.number("access_expires_at").await, app.number("absolute_expires_at").await);
}

#[tokio::test]
async fn a_shortened_life_is_kept_for_the_sessions_renewals() {
    let app = App::start().await;
    let pairs = [("client_id", "librechat"), ("subject", "alice"), ("expires_in", "600")];
    let tokens = app.issue_form(&pairs).await.tokens();
    app.clock.advance(500);
    let renewed = app.renew(&tokens).await.tokens();
    assert_eq!(renewed.0["expires_in"], 600);
    assert_eq!(app.number("access_expires_at").await, (app.now() + 600) * 1000);
}

#[tokio::test]
async fn the_access_token_may_come_in_the_header_and_names_a_public_client() {
    let app = App::start().await;
    let tokens = app.issue_for("spa").await;
    let bearer = format!("Bearer {}", tokens.access());
    let body = form(&[("refresh_token", tokens.refresh())]);
    let renewed = app.post("/token/renew", Some(&bearer), FORM, body).await.tokens();
    let body = json!({"refresh_token": renewed.refresh(), "access_token": renewed.access()}).to_string();
    app.post("/token/renew", None, JSON, body).await.tokens();
}

#[tokio::test]
async fn client_authentication_in_the_body_or_the_header() {
    let app = App::start().await;
    let tokens = app.issue().await;
    let secret = secret_of("librechat");
    let pairs = [
        ("refresh_token", tokens.refresh()),
        ("client_id", "librechat"),
        ("client_secret", &secret),
        ("grant_type", "refresh_token"),
    ];
    let bearer = format!("Bearer {}", tokens.access());
    let tokens = app.post("/token/renew", Some(&bearer), FORM, form(&pairs)).await.tokens();
    let percent_encoded = basic("librechat", &secret.replace('-', "%2D"));
    let pairs = [("refresh_token", tokens.refresh()), ("access_token", tokens.access())];
    app.post("/token/renew", Some(&percent_encoded), FORM, form(&pairs)).await.tokens();
}

#[tokio::test]
async fn a_public_client_may_name_itself_by_basic_without_a_password() {
    let app = App::start().await;
    let tokens = app.issue_for("spa-oauth").await;
    let body = form(&[("refresh_token", tokens.refresh())]);
    app.post("/token/renew", Some(&basic("spa-oauth", "")), FORM, body).await.tokens();
}

#[tokio::test]
async fn plain_oauth_clients_renew_with_the_refresh_token_alone() {
    let app = App::start().await;
    let tokens = app.issue_for("librechat-oauth").await;
    app.clock.advance(200_000); // the access token has long expired
    let renewed = app.renew_oauth("librechat-oauth", tokens.refresh()).await.tokens();
    assert!(renewed.0["id_token"].is_string());
    let public = app.issue_for("spa-oauth").await;
    app.renew_oauth("spa-oauth", public.refresh()).await.tokens();
}

#[tokio::test]
async fn an_access_token_sent_without_need_must_belong_to_the_session_whatever_its_times() {
    let app = App::start().await;
    let mine = app.issue_for("librechat-oauth").await;
    let another = app.issue_for("librechat-oauth").await;
    let records = app.records().await;
    app.renew_as("librechat-oauth", &mine.with_access(another.access())).await.invalid_grant();
    let of_nobody = app.renew_as("librechat-oauth", &mine.with_access("garbage")).await;
    of_nobody.refused(400, "invalid_request");
    assert_eq!(app.records().await, records);
    app.clock.advance(200_000);
    app.renew_as("librechat-oauth", &mine).await.tokens();
}

#[tokio::test]
async fn scope_narrows_this_access_token_only() {
    let app = App::start().await;
    let tokens = app.issue_for("librechat-oauth").await;
    let secret = secret_of("librechat-oauth");
    let renew = async |refresh_token: String, scope: &str| {
        let pairs = [
            ("refresh_token", refresh_token.as_str()),
            ("client_id", "librechat-oauth"),
            ("client_secret", &secret),
            ("scope", scope),
        ];
        app.post("/token/renew", None, FORM, form(&pairs)).await
    };
    let narrow = renew(tokens.refresh().into(), "email admin").await.tokens();
    assert_eq!(narrow.0["scope"], "email");
    assert_eq!(narrow.claims()["scope"], "email");
    assert!(narrow.0["id_token"].is_string(), "the session has openid");
    let foreign = renew(narrow.refresh().into(), "admin").await.tokens();
    assert_eq!(foreign.0["scope"], "openid profile email", "nothing in common: the session's");
    let full = renew(foreign.refresh().into(), "").await.tokens();
    assert_eq!(full.0["scope"], "openid profile email");
    let spaced = renew(full.refresh().into(), " email  openid ").await.tokens();
    assert_eq!(spaced.0["scope"], "openid email", "clients are careless with spaces");
    renew(spaced.refresh().into(), "e\"mail").await.refused(400, "invalid_scope");
}

#[tokio::test]
async fn custom_claims_live_as_long_as_the_session_and_the_registration_allows() {
    let app = App::start().await;
    let claims = r#"{"email":"alice@example.org","groups":["a",1,0.5,null]}"#;
    let pairs = [("client_id", "librechat"), ("subject", "alice"), ("claims", claims)];
    let tokens = app.issue_form(&pairs).await.tokens();
    let renewed = app.renew(&tokens).await.tokens();
    assert_eq!(renewed.claims()["groups"], json!(["a", 1, 0.5, null]));
    app.rewrite(
        "clients.json",
        &keys::registrations_with("librechat", |client| {
            client["claims"] = json!(["email"]);
            client["scopes"] = json!(["email", "admin"]);
            client["audience"] = json!(["new"]);
            client["alg"] = json!("ES256");
        }),
    );
    let after = app.renew(&renewed).await.tokens();
    assert_eq!(after.claims()["email"], "alice@example.org");
    assert!(after.claims().get("groups").is_none(), "no longer registered");
    assert_eq!(after.0["scope"], "email", "never widened, and no more than is registered");
    assert_eq!(after.claims()["aud"], "new", "nothing of the stored one is registered any more");
    assert_eq!(crate::support::part(after.access(), 0)["alg"], "ES256", "algorithm as registered now");
    assert!(after.0.get("id_token").is_none());
}

#[tokio::test]
async fn a_client_that_is_gone_is_unknown() {
    let app = App::start().await;
    let tokens = app.issue().await;
    let mut clients = keys::clients();
    clients.retain(|client| client["client_id"] != "librechat");
    let public = app.issue_for("spa").await;
    clients.retain(|client| client["client_id"] != "spa");
    app.rewrite("clients.json", &keys::registrations_of(&clients));
    app.renew(&tokens).await.refused(401, "invalid_client");
    let bearer = format!("Bearer {}", public.access());
    let body = form(&[("refresh_token", public.refresh())]);
    app.post("/token/renew", Some(&bearer), FORM, body).await.refused(401, "invalid_client");
}

#[tokio::test]
async fn a_renewal_leaves_an_audit_line() {
    let app = App::start().await;
    let tokens = app.issue_for("graceful").await;
    app.clock.advance(86_500);
    let renewed = app.renew_as("graceful", &tokens).await.tokens();
    let lines = logs::audit_of(tokens.0["session_id"].as_str().unwrap());
    let [_, line] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(line["event"], "token_renewed");
    assert_eq!(line["in_grace"], true);
    assert_eq!(line["seconds_to_expiry"], -100);
    assert_eq!(line["generation"], 1);
    assert_eq!(line["jti"], renewed.claims()["jti"]);
}
