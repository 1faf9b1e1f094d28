//! `/userinfo` and `/sign-out`: what a client whose user has signed in asks for afterwards.

use lambda_http::http::Request;
use serde_json::json;

use crate::support::{
    Answer, App, FORM, basic, form, keys, logs, secret_of,
    sign_in::{SIGN_OUT_URL, SIGNED_OUT},
};

async fn userinfo(app: &App, authorization: &str) -> Answer {
    app.send(Request::get("/userinfo").header("authorization", authorization).body(vec![]).unwrap()).await
}

#[tokio::test]
async fn userinfo_says_who_the_bearer_is_with_one_read() {
    let app = App::start().await;
    let claims = r#"{"email":"alice@example.org","name":"Alice"}"#;
    let pairs = [("client_id", "librechat-oauth"), ("subject", "alice"), ("claims", claims)];
    let tokens = app.issue_form(&pairs).await.tokens();
    app.operations();
    let answer = userinfo(&app, &format!("Bearer {}", tokens.access())).await;
    assert_eq!(answer.json(), json!({"sub": "alice", "email": "alice@example.org", "name": "Alice"}));
    assert_eq!((&answer.headers["cache-control"], answer.status.as_u16()), (&"no-store".parse().unwrap(), 200));
    assert_eq!(app.operations(), ["GetItem"]);
    let in_body = app.post("/userinfo", None, FORM, form(&[("access_token", tokens.access())])).await;
    assert_eq!(in_body.json(), answer.json());
    let in_header = Request::post("/userinfo").header("authorization", format!("Bearer {}", tokens.access()));
    assert_eq!(app.send(in_header.body(vec![]).unwrap()).await.json(), answer.json());
    let both = app
        .post(
            "/userinfo",
            Some(&format!("Bearer {}", tokens.access())),
            FORM,
            form(&[("access_token", tokens.access())]),
        )
        .await;
    both.refused(400, "invalid_request");
}

#[tokio::test]
async fn userinfo_wants_an_access_token_of_a_live_session_with_openid() {
    let app = App::start().await;
    let tokens = app.issue_for("librechat-oauth").await;
    let id_token = tokens.0["id_token"].as_str().unwrap().to_owned();
    let invalid = async |authorization: &str| {
        let answer = userinfo(&app, authorization).await;
        answer.refused(401, "invalid_token");
        assert_eq!(answer.headers["www-authenticate"], "Bearer error=\"invalid_token\"");
    };
    for bad in [
        format!("Bearer {id_token}"),
        format!("Bearer {}", tokens.refresh()),
        format!("Bearer {}x", tokens.access()),
        basic("librechat-oauth", &secret_of("librechat-oauth")),
    ] {
        invalid(&bad).await;
    }
    let nothing = app.send(Request::get("/userinfo").body(vec![]).unwrap()).await;
    assert_eq!(nothing.status, 401);
    let in_query = Request::get(format!("/userinfo?access_token={}", tokens.access())).body(vec![]).unwrap();
    assert_eq!(app.send(in_query).await.status, 401, "never in the address");
    let plain = [("client_id", "librechat-oauth"), ("subject", "bob"), ("scope", "email")];
    let plain = app.issue_form(&plain).await.tokens();
    let answer = userinfo(&app, &format!("Bearer {}", plain.access())).await;
    answer.refused(403, "insufficient_scope");
    assert!(answer.headers["www-authenticate"].to_str().unwrap().contains(r#"error="insufficient_scope""#));
    app.post("/token/revoke", Some(&basic("portal", &secret_of("portal"))), FORM, form(&[("token", tokens.refresh())]))
        .await;
    invalid(&format!("Bearer {}", tokens.access())).await;
    app.clock.advance(86_400);
    invalid(&format!("Bearer {}", plain.access())).await;
}

async fn sign_out(app: &App, pairs: &[(&str, &str)]) -> Answer {
    app.browser().get(&format!("/sign-out?{}", form(pairs))).await
}

#[tokio::test]
async fn a_hint_ends_its_session_with_one_write_and_the_browser_goes_to_the_portal() {
    let app = App::start().await;
    let tokens = app.browser().sign_in("librechat-oauth").await;
    let hint = tokens.0["id_token"].as_str().unwrap();
    app.operations();
    // Long after the ID token has expired.
    app.clock.advance(200_000);
    let asked = [("id_token_hint", hint), ("post_logout_redirect_uri", SIGNED_OUT), ("state", "a b")];
    let answer = sign_out(&app, &asked).await;
    assert_eq!(app.operations(), ["UpdateItem"]);
    assert_eq!(answer.carried_to(SIGN_OUT_URL)["return_to"], format!("{SIGNED_OUT}?state=a+b"));
    assert_eq!(
        (&answer.headers["cache-control"], &answer.headers["referrer-policy"]),
        (&"no-store".parse().unwrap(), &"no-referrer".parse().unwrap())
    );
    app.renew_oauth("librechat-oauth", tokens.refresh()).await.invalid_grant();
    let lines = logs::audit_of(tokens.0["session_id"].as_str().unwrap());
    assert!(lines.iter().any(|line| line["event"] == "session_revoked" && line["reason"] == "sign_out"));
    let again = sign_out(&app, &asked).await;
    assert_eq!(again.location(), answer.location(), "whether or not it was over");
}

#[tokio::test]
async fn a_form_signs_out_as_an_address_does_and_the_client_may_be_named_beside_the_hint() {
    let app = App::start().await;
    let tokens = app.browser().sign_in("librechat-oauth").await;
    let hint = tokens.0["id_token"].as_str().unwrap();
    let body = form(&[("id_token_hint", hint), ("client_id", "librechat-oauth"), ("logout_hint", "bob")]);
    let answer = app.browser().post_form("/sign-out", body).await;
    assert_eq!(answer.location(), SIGN_OUT_URL);
    app.renew_oauth("librechat-oauth", tokens.refresh()).await.invalid_grant();
}

#[tokio::test]
async fn without_a_hint_nobody_is_signed_out() {
    let app = App::start().await;
    let tokens = app.browser().sign_in("librechat-oauth").await;
    let before = app.records().await;
    let asked = [("client_id", "librechat-oauth"), ("logout_hint", "alice"), ("post_logout_redirect_uri", SIGNED_OUT)];
    let answer = sign_out(&app, &asked).await;
    assert_eq!(answer.carried_to(SIGN_OUT_URL)["return_to"], SIGNED_OUT, "the portal asks");
    sign_out(&app, &[]).await.page(400);
    sign_out(&app, &[("client_id", "nobody")]).await.page(400);
    assert_eq!(app.records().await, before);
    app.renew_oauth("librechat-oauth", tokens.refresh()).await.tokens();
}

#[tokio::test]
async fn a_hint_that_is_not_ours_or_not_the_clients_ends_nothing_and_leads_nowhere() {
    let app = App::start().await;
    let tokens = app.browser().sign_in("librechat-oauth").await;
    let hint = tokens.0["id_token"].as_str().unwrap();
    let before = app.records().await;
    let forged = format!("{}AAAA", &hint[..hint.len() - 4]);
    for asked in [
        vec![("id_token_hint", forged.as_str())],
        vec![("id_token_hint", tokens.access())],
        vec![("id_token_hint", tokens.refresh())],
        vec![("id_token_hint", hint), ("client_id", "spa-oauth")],
        vec![("id_token_hint", hint), ("id_token_hint", hint)],
    ] {
        let asked = [&asked[..], &[("post_logout_redirect_uri", SIGNED_OUT)]].concat();
        sign_out(&app, &asked).await.page(400);
    }
    assert_eq!(app.records().await, before);
}

#[tokio::test]
async fn the_browser_goes_to_registered_addresses_only() {
    let app = App::start().await;
    let signed_in =
        async |app: &App| app.browser().sign_in("librechat-oauth").await.0["id_token"].as_str().unwrap().to_owned();
    let hint = signed_in(&app).await;
    for elsewhere in ["https://evil.example/", "https://chat.example.org/signed-out/", "javascript:alert(1)"] {
        let answer = sign_out(&app, &[("id_token_hint", &hint), ("post_logout_redirect_uri", elsewhere)]).await;
        assert_eq!(answer.location(), SIGN_OUT_URL, "{elsewhere}: signed out all the same");
    }
    let mut registrations: serde_json::Value = serde_json::from_str(&keys::registrations()).unwrap();
    registrations["issuers"][0].as_object_mut().unwrap().remove("sign_out_url");
    app.rewrite("clients.json", &registrations.to_string());
    let hint = signed_in(&app).await;
    let back = [("id_token_hint", hint.as_str()), ("post_logout_redirect_uri", SIGNED_OUT), ("state", "s")];
    assert_eq!(sign_out(&app, &back).await.location(), format!("{SIGNED_OUT}?state=s"));
    let hint = signed_in(&app).await;
    let page = sign_out(&app, &[("id_token_hint", &hint), ("post_logout_redirect_uri", "https://evil.example/")]).await;
    page.page(200);
    assert!(page.text.contains("You are signed out") && !page.text.contains("evil"), "{page:?}");
    let page = sign_out(&app, &[("client_id", "librechat-oauth")]).await;
    page.page(200);
    assert!(page.text.contains("Nobody was signed out"), "{page:?}");
}

/// Signing out fails safe: whatever is wrong with the way afterwards, the session is over.
#[tokio::test]
async fn a_session_ends_although_the_browser_cannot_be_sent_where_it_should() {
    let app = App::start().await;
    let state = "s".repeat(1_025);
    let tokens = app.browser().sign_in("librechat-oauth").await;
    let hint = tokens.0["id_token"].as_str().unwrap();
    let answer =
        sign_out(&app, &[("id_token_hint", hint), ("post_logout_redirect_uri", SIGNED_OUT), ("state", &state)]).await;
    assert_eq!(answer.carried_to(SIGN_OUT_URL)["return_to"], SIGNED_OUT);
    app.renew_oauth("librechat-oauth", tokens.refresh()).await.invalid_grant();

    let tokens = app.browser().sign_in("librechat-oauth").await;
    let mut registrations: serde_json::Value = serde_json::from_str(&keys::registrations()).unwrap();
    registrations["issuers"][0]["assertions_not_before"] = json!("never");
    app.rewrite("clients.json", &registrations.to_string());
    sign_out(&app, &[("id_token_hint", tokens.0["id_token"].as_str().unwrap())]).await.page(503);
    app.renew_oauth("librechat-oauth", tokens.refresh()).await.invalid_grant();
}

#[tokio::test]
async fn addresses_after_a_sign_out_are_compared_whole_the_port_of_a_loopback_address_too() {
    let app = App::start().await;
    let registrations = keys::registrations_with("librechat-oauth", |client| {
        client["post_logout_redirect_uris"] = json!(["http://localhost:3080/login"]);
    });
    app.rewrite("clients.json", &registrations);
    for (asked, is_registered) in [("http://localhost:3080/login", true), ("http://localhost:3081/login", false)] {
        let answer = sign_out(&app, &[("client_id", "librechat-oauth"), ("post_logout_redirect_uri", asked)]).await;
        assert_eq!(answer.carried_to(SIGN_OUT_URL).contains_key("return_to"), is_registered, "{asked}");
    }
}

/// RFC 6750 §3.1.
#[tokio::test]
async fn a_request_for_userinfo_that_cannot_be_read_is_challenged_too() {
    let app = App::start().await;
    for answer in [userinfo(&app, "Bearer ").await, app.post("/userinfo", None, "text/plain", "x").await] {
        assert!(answer.status.is_client_error());
        assert_eq!(answer.headers["www-authenticate"], "Bearer error=\"invalid_request\"", "{answer:?}");
    }
}
