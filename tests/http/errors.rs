//! Every error row of the contract that these two routes can give, with its exact body.

use lambda_http::http::Request;

use crate::support::{Answer, App, FORM, INVALID_GRANT, JSON, basic, form, keys, secret_of};

#[track_caller]
fn exactly(answer: &Answer, status: u16, error: &str, description: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.text, format!(r#"{{"error":"{error}","error_description":"{description}"}}"#));
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers["pragma"], "no-cache");
}

const GOOD: [(&str, &str); 2] = [("client_id", "librechat"), ("subject", "alice")];

#[tokio::test]
async fn malformed_requests() {
    let app = App::start().await;
    let portal = basic("portal", &secret_of("portal"));
    let issue = async |content_type, body: &str| app.post("/token", Some(&portal), content_type, body).await;
    exactly(&issue(FORM, "client_id=librechat").await, 400, "invalid_request", "subject is missing");
    exactly(&issue(FORM, "subject=a&subject=b").await, 400, "invalid_request", "a parameter stands twice");
    exactly(
        &issue(JSON, "{").await,
        400,
        "invalid_request",
        "the body is not a JSON object, holds a member twice, or is nested deeper than 16",
    );
    exactly(&issue(JSON, r#"{"subject":5}"#).await, 400, "invalid_request", "subject must be a string");
    exactly(
        &issue(FORM, "subject=a%00b").await,
        400,
        "invalid_request",
        "subject must be 1 to 255 bytes without control, zero-width or bidirectional characters, and without white space \
         at its ends",
    );
    exactly(
        &issue(FORM, "subject=a&expires_in=0").await,
        400,
        "invalid_request",
        "expires_in must be a whole number of seconds, at least 1",
    );
    exactly(
        &issue(FORM, "subject=a&claims=5").await,
        400,
        "invalid_request",
        "claims must be a JSON object, no member of it twice",
    );
    exactly(
        &issue(FORM, &form(&[GOOD[0], GOOD[1], ("claims", r#"{"admin":true}"#)])).await,
        400,
        "invalid_request",
        "claim 'admin' is not allowed for this client",
    );
    exactly(
        &issue(FORM, "subject=a").await,
        400,
        "invalid_request",
        "client_id is missing: this issuer may act for several clients",
    );
    exactly(
        &issue("text/plain", "x").await,
        415,
        "invalid_request",
        "the content type must be application/x-www-form-urlencoded or application/json, in UTF-8",
    );
    exactly(
        &issue(FORM, &format!("subject={}", "x".repeat(16_384))).await,
        413,
        "invalid_request",
        "the body is longer than 16 KiB",
    );
    exactly(
        &issue(FORM, "grant_type=refresh_token&subject=a").await,
        400,
        "unsupported_grant_type",
        "grant_type must be left out here or be one of: urn:ietf:params:oauth:grant-type:jwt-bearer",
    );
    exactly(
        &app.post("/token?subject=alice", Some(&portal), FORM, "client_id=librechat").await,
        400,
        "invalid_request",
        "parameters belong in the body, not in the query string",
    );
    assert!(app.records().await.is_empty());
}

#[tokio::test]
async fn unknown_or_unauthenticated_issuers() {
    let app = App::start().await;
    let body = form(&GOOD);
    let authentication_failed = "authentication failed";
    for authorization in [
        basic("portal", "wrong"),
        basic("portal", ""),
        basic("nobody", &secret_of("portal")),
        basic("second", &secret_of("portal")),
        basic("librechat", &secret_of("librechat")),
        "Basic ???".to_owned(),
        "Basic".to_owned(),
        "Digest x".to_owned(),
    ] {
        let answer = app.post("/token", Some(&authorization), FORM, body.clone()).await;
        exactly(&answer, 401, "invalid_client", authentication_failed);
        assert!(answer.headers["www-authenticate"].to_str().unwrap().starts_with("Basic "), "{authorization}");
    }
    let secret = secret_of("portal");
    for credentials in [
        vec![],
        vec![("issuer_id", "portal"), ("issuer_secret", "wrong")],
        vec![("issuer_id", "portal")],
        vec![("issuer_secret", secret.as_str())],
        vec![("issuer_id", "nobody"), ("issuer_secret", &secret)],
    ] {
        let answer = app.post("/token", None, FORM, form(&[&GOOD[..], &credentials].concat())).await;
        exactly(&answer, 401, "invalid_client", authentication_failed);
        assert!(!answer.headers.contains_key("www-authenticate"), "only if the header was used");
    }
    let twice = form(&[&GOOD[..], &[("issuer_id", "portal"), ("issuer_secret", secret.as_str())]].concat());
    app.post("/token", Some(&basic("portal", &secret)), FORM, twice).await.refused(400, "invalid_request");
    assert!(app.records().await.is_empty());
}

#[tokio::test]
async fn a_secret_in_the_wrong_place_is_not_logged() {
    let app = App::start().await;
    let (portal, librechat) = (secret_of("portal"), secret_of("librechat"));
    let tokens = app.issue().await;
    // The end of every test searches the log for these.
    app.post("/token", Some(&basic(&portal, "portal")), FORM, form(&GOOD)).await.refused(401, "invalid_client");
    app.issue_form(&[("client_id", tokens.refresh()), GOOD[1]]).await.refused(400, "unauthorized_client");
    for id in [librechat.as_str(), tokens.access()] {
        let body = form(&[("refresh_token", tokens.refresh()), ("client_id", id), ("client_secret", "librechat")]);
        app.post("/token/renew", None, FORM, body).await.refused(401, "invalid_client");
        let body = form(&[("refresh_token", tokens.refresh()), ("client_id", id)]);
        app.post("/token/renew", None, FORM, body).await.refused(401, "invalid_client");
    }
}

#[tokio::test]
async fn issuers_act_for_their_own_clients_only() {
    let app = App::start().await;
    for foreign in ["other", "nobody", "librechat\0"] {
        let answer = app.issue_form(&[("client_id", foreign), ("subject", "alice")]).await;
        exactly(&answer, 400, "unauthorized_client", "this issuer may not act for that client");
    }
    let scope = app.issue_form(&[GOOD[0], GOOD[1], ("scope", "admin")]).await;
    exactly(&scope, 400, "invalid_scope", "not among this client's registered scopes: admin");
    assert!(app.records().await.is_empty());
}

#[tokio::test]
async fn malformed_renewals() {
    let app = App::start().await;
    let tokens = app.issue().await;
    let records = app.records().await;
    let client = basic("librechat", &secret_of("librechat"));
    let renew = async |pairs: &[(&str, &str)]| app.post("/token/renew", Some(&client), FORM, form(pairs)).await;
    let refresh = ("refresh_token", tokens.refresh());
    let access = ("access_token", tokens.access());
    exactly(&renew(&[access]).await, 400, "invalid_request", "refresh_token is missing");
    exactly(&renew(&[access, ("refresh_token", "")]).await, 400, "invalid_request", "refresh_token is missing");
    exactly(
        &renew(&[refresh]).await,
        400,
        "invalid_request",
        "access_token is missing: this client renews with the access token of the same session",
    );
    exactly(
        &renew(&[refresh, access, ("grant_type", "password")]).await,
        400,
        "unsupported_grant_type",
        "grant_type must be left out here or be one of: authorization_code, refresh_token, \
         urn:ietf:params:oauth:grant-type:token-exchange, urn:ietf:params:oauth:grant-type:jwt-bearer",
    );
    exactly(
        &renew(&[refresh, access, ("client_id", "librechat-oauth")]).await,
        400,
        "invalid_request",
        "the Authorization header and the body name different callers",
    );
    let bearer = format!("Bearer {}", tokens.access());
    exactly(
        &app.post("/token/renew", Some(&bearer), FORM, form(&[refresh, access])).await,
        400,
        "invalid_request",
        "the access token is both in the Authorization header and in the body: use one",
    );
    exactly(
        &app.post("/token/renew", None, FORM, form(&[refresh])).await,
        400,
        "invalid_request",
        "the client is not named: authenticate, or send client_id or the access token",
    );
    exactly(
        &app.post("/token/renew", None, FORM, form(&[refresh, access, ("client_secret", "x")])).await,
        400,
        "invalid_request",
        "client_secret is there, client_id is missing",
    );
    let request = Request::post("/token/renew")
        .header("content-type", FORM)
        .header("authorization", &client)
        .header("authorization", &bearer);
    app.send(request.body(form(&[refresh]).into_bytes()).unwrap()).await.refused(400, "invalid_request");
    let in_query = format!("/token/renew?refresh_token={}", tokens.refresh());
    app.post(&in_query, Some(&client), FORM, form(&[access])).await.refused(400, "invalid_request");
    assert_eq!(app.records().await, records);
    app.renew(&tokens).await.tokens();
}

#[tokio::test]
async fn unknown_or_unauthenticated_clients() {
    let app = App::start().await;
    let tokens = app.issue().await;
    let records = app.records().await;
    let body = [("refresh_token", tokens.refresh()), ("access_token", tokens.access())];
    for authorization in [
        basic("librechat", "wrong"),
        basic("librechat", ""),
        basic("nobody", "x"),
        basic("spa", "x"),
        basic("portal", &secret_of("portal")),
        "Basic ???".to_owned(),
        "Digest x".to_owned(),
    ] {
        let answer = app.post("/token/renew", Some(&authorization), FORM, form(&body)).await;
        exactly(&answer, 401, "invalid_client", "authentication failed");
        assert!(answer.headers.contains_key("www-authenticate"));
    }
    for credentials in [
        vec![("client_id", "librechat")],
        vec![("client_id", "librechat"), ("client_secret", "wrong")],
        vec![("client_id", "nobody")],
        vec![("client_id", "spa"), ("client_secret", "x")],
        vec![],
    ] {
        let answer = app.post("/token/renew", None, FORM, form(&[&body[..], &credentials].concat())).await;
        exactly(&answer, 401, "invalid_client", "authentication failed");
        assert!(!answer.headers.contains_key("www-authenticate"));
    }
    assert_eq!(app.records().await, records);
}

#[tokio::test]
async fn every_refused_grant_has_the_same_bytes_and_headers() {
    let app = App::start().await;
    let mut answers: Vec<(&str, Answer)> = Vec::new();
    let used = app.issue().await;
    let next = app.renew(&used).await.tokens();
    app.renew(&next).await.tokens();
    answers.push(("reused", app.renew(&used).await));
    answers.push(("revoked", app.renew(&next).await));

    let tokens = app.issue().await;
    let other_session = app.issue().await;
    answers.push((
        "unparseable",
        app.renew(&crate::support::Tokens(serde_json::json!({"refresh_token": "x", "access_token": tokens.access()})))
            .await,
    ));
    let mut forged = tokens.clone();
    let text = tokens.refresh().to_owned();
    let middle = if text.as_bytes()[50] == b'A' { "B" } else { "A" };
    forged.0["refresh_token"] = format!("{}{middle}{}", &text[..50], &text[51..]).into();
    answers.push(("forged", app.renew(&forged).await));
    answers.push(("another session's access token", app.renew(&tokens.with_access(other_session.access())).await));
    answers.push((
        "bad signature",
        app.renew(&tokens.with_access(&format!("{}AAAA", &tokens.access()[..tokens.access().len() - 4]))).await,
    ));
    answers.push(("another client's", app.renew_oauth("librechat-oauth", tokens.refresh()).await));
    app.clock.advance(86_400);
    answers.push(("access token expired past grace", app.renew(&tokens).await));
    let oauth = app.issue_for("librechat-oauth").await;
    app.clock.advance(604_800);
    answers.push(("expired", app.renew_oauth("librechat-oauth", oauth.refresh()).await));
    for (name, answer) in &answers {
        assert_eq!(answer.status, 400, "{name}: {answer:?}");
        assert_eq!(answer.text, INVALID_GRANT, "{name}");
        let names: Vec<_> = answer.headers.keys().filter(|name| name.as_str() != "date").collect();
        assert_eq!(names, ["content-type", "cache-control", "pragma", "content-length"], "{name}");
    }
    assert_eq!(answers.len(), 9);
}

#[tokio::test]
async fn infrastructure_trouble_is_503_and_loses_nothing() {
    let app = App::start().await;
    let tokens = app.issue().await;
    app.rewrite("keys.json", "garbage");
    app.clock.advance(86_100);
    let no_keys = app.renew(&tokens).await;
    app.rewrite("keys.json", &keys::ring());
    let back = app.issue().await;
    app.drop_table().await;
    for answer in [no_keys, app.renew(&back).await, app.issue_form(&GOOD).await] {
        exactly(
            &answer,
            503,
            "temporarily_unavailable",
            "the service cannot answer at the moment; nothing was lost, try again",
        );
        let seconds: u32 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=5).contains(&seconds), "not all at once");
    }
}

#[tokio::test]
async fn without_a_signer_nothing_is_written() {
    let app = App::start().await;
    let tokens = app.issue().await;
    let records = app.records().await;
    app.rewrite("keys.json", &keys::ring().replace(r#""alg":"RS256""#, r#""sign_from":4000000000,"alg":"RS256""#));
    app.renew(&tokens).await.refused(503, "temporarily_unavailable");
    app.issue_form(&GOOD).await.refused(503, "temporarily_unavailable");
    assert_eq!(app.records().await, records);
    app.rewrite("keys.json", &keys::ring());
    app.renew(&tokens).await.tokens();
}

#[tokio::test]
async fn routes_and_methods_that_are_not_there() {
    let app = App::start().await;
    for method in ["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"] {
        for path in ["/token", "/token/renew"] {
            let answer = app.send(Request::builder().method(method).uri(path).body(vec![]).unwrap()).await;
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.headers["allow"], "POST");
            assert_eq!(answer.headers["cache-control"], "no-store");
        }
    }
    for path in ["/", "/token/", "/Token", "/token/renew/", "/tokens", "//token", "/token/../token"] {
        assert_eq!(app.post(path, None, FORM, "").await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn cross_origin_requests_are_off_unless_configured() {
    let origin = "https://chat.example.org";
    let ask = async |app: &App, method: &str| {
        let request = Request::builder()
            .method(method)
            .uri("/token/renew")
            .header("origin", origin)
            .header("access-control-request-method", "POST");
        app.send(request.body(vec![]).unwrap()).await
    };
    let off = App::start().await;
    assert!(!ask(&off, "POST").await.headers.contains_key("access-control-allow-origin"));
    assert_eq!(ask(&off, "OPTIONS").await.status, 405);
    let on = App::with(&[("LATCHKEY_CORS_ORIGINS", origin)]).await;
    assert_eq!(ask(&on, "POST").await.headers["access-control-allow-origin"], origin);
    assert_eq!(ask(&on, "OPTIONS").await.status, 204);
}
