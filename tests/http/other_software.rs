//! Requests as other people's software sends them: an id said in two places, parameters that may repeat, a charset without
//! meaning, a Bearer of somebody else's, a browser in between.

use jsonwebtoken::{Algorithm, EncodingKey};
use lambda_http::http::Request;
use serde_json::{Value, json};

use crate::support::{
    Answer, App, FORM, JSON, basic, form, keys, secret_of,
    sign_in::{CALLBACK, SIGN_IN_URL, VERIFIER},
};

const DIFFERENT: &str = "the Authorization header and the body name different callers";

/// Posts as a party that authenticates itself in the header and says more in the body.
async fn post_as(app: &App, party: &str, path: &str, pairs: &[(&str, &str)]) -> Answer {
    app.post(path, Some(&basic(party, &secret_of(party))), FORM, form(pairs)).await
}

#[tokio::test]
async fn an_id_in_the_body_that_is_the_headers_own_is_not_said_twice() {
    let app = App::start().await;
    let browser = app.browser();
    let tokens = app.issue_for("librechat-oauth").await;
    let own = ("client_id", "librechat-oauth");
    let code = browser.code("librechat-oauth").await;
    let ticket = browser.ticket("librechat-oauth", &[]).await;
    let refused_ticket = browser.ticket("librechat-oauth", &[]).await;
    let portal = ("issuer_id", "portal");
    for (party, path, pairs) in [
        ("librechat-oauth", "/token/renew", vec![own, ("refresh_token", tokens.refresh())]),
        (
            "librechat-oauth",
            "/token/renew",
            vec![
                own,
                ("grant_type", "authorization_code"),
                ("code", &code),
                ("redirect_uri", CALLBACK),
                ("code_verifier", VERIFIER),
            ],
        ),
        ("librechat-oauth", "/token/introspect", vec![own, ("token", tokens.access())]),
        ("portal", "/token/introspect", vec![portal, ("token", tokens.access())]),
        ("librechat-oauth", "/token/revoke", vec![own, ("token", "unknown")]),
        ("portal", "/token/revoke", vec![portal, ("token", tokens.access())]),
        ("portal", "/token", vec![portal, own, ("subject", "alice")]),
        ("portal", "/authorize/inspect", vec![portal, ("ticket", &ticket)]),
        ("portal", "/authorize/accept", vec![portal, ("ticket", &ticket), ("subject", "alice")]),
        ("portal", "/authorize/reject", vec![portal, ("ticket", &refused_ticket), ("error", "access_denied")]),
    ] {
        let answer = post_as(&app, party, path, &pairs).await;
        assert_eq!(answer.status, 200, "{path} as {party}: {answer:?}");
        if path == "/token/introspect" {
            assert_eq!(answer.json()["active"], true, "{party}");
        }
    }
    // As the id reads once it is decoded, too; and in JSON.
    let tokens = app.issue_for("librechat-oauth").await;
    let encoded = basic("librechat%2Doauth", &secret_of("librechat-oauth"));
    let body = json!({"client_id": "librechat-oauth", "refresh_token": tokens.refresh()}).to_string();
    let tokens = app.post("/token/renew", Some(&encoded), JSON, body).await.tokens();
    // A public client says its id with an empty password, and once more in the body.
    let public = app.issue_for("spa-oauth").await;
    let pairs = [("client_id", "spa-oauth"), ("refresh_token", public.refresh())];
    app.post("/token/renew", Some(&basic("spa-oauth", "")), FORM, form(&pairs)).await.tokens();
    let ended = app.post("/token/revoke", Some(&basic("spa-oauth", "")), FORM, form(&[("token", "x"), pairs[0]])).await;
    assert_eq!(ended.status, 200, "{ended:?}");
    app.renew_oauth("librechat-oauth", tokens.refresh()).await.tokens();
}

#[tokio::test]
async fn another_id_than_the_headers_own_or_a_second_secret_is_refused_and_changes_nothing() {
    let app = App::start().await;
    let tokens = app.issue_for("librechat-oauth").await;
    let ticket = app.browser().ticket("librechat-oauth", &[]).await;
    let records = app.records().await;
    let secret = secret_of("librechat-oauth");
    let portals = secret_of("portal");
    let refresh = ("refresh_token", tokens.refresh());
    let token = ("token", tokens.refresh());
    let code =
        [("grant_type", "authorization_code"), ("code", "x"), ("redirect_uri", CALLBACK), ("client_id", "librechat")];
    let different = [
        ("librechat-oauth", "/token/renew", vec![refresh, ("client_id", "librechat")]),
        ("librechat-oauth", "/token/renew", vec![refresh, ("client_id", "LibreChat-OAuth")]),
        ("librechat-oauth", "/token/renew", code.to_vec()),
        ("librechat-oauth", "/token/revoke", vec![token, ("client_id", "librechat")]),
        ("portal", "/token/revoke", vec![token, ("issuer_id", "second")]),
        // An issuer that names a client is neither of the two.
        ("portal", "/token/introspect", vec![token, ("client_id", "librechat-oauth")]),
        ("librechat-oauth", "/token/introspect", vec![token, ("issuer_id", "portal")]),
        ("portal", "/token", vec![("subject", "alice"), ("client_id", "librechat"), ("issuer_id", "second")]),
        ("portal", "/authorize/inspect", vec![("ticket", &ticket), ("issuer_id", "second")]),
        ("portal", "/authorize/accept", vec![("ticket", &ticket), ("subject", "alice"), ("issuer_id", "second")]),
        ("portal", "/authorize/reject", vec![("ticket", &ticket), ("error", "access_denied"), ("issuer_id", "second")]),
    ];
    for (party, path, pairs) in different {
        let answer = post_as(&app, party, path, &pairs).await;
        assert!(answer.refused(400, "invalid_request").text.contains(DIFFERENT), "{path} as {party}: {answer:?}");
    }
    for (party, path, pairs) in [
        (
            "librechat-oauth",
            "/token/renew",
            vec![refresh, ("client_id", "librechat-oauth"), ("client_secret", &secret)],
        ),
        ("librechat-oauth", "/token/renew", vec![refresh, ("client_secret", &secret)]),
        ("librechat-oauth", "/token/revoke", vec![token, ("client_id", "librechat-oauth"), ("client_secret", &secret)]),
        ("portal", "/token/introspect", vec![token, ("issuer_id", "portal"), ("issuer_secret", &portals)]),
        ("portal", "/token/introspect", vec![token, ("issuer_id", "portal"), ("client_id", "portal")]),
        ("portal", "/token", vec![("subject", "alice"), ("issuer_id", "portal"), ("issuer_secret", &portals)]),
    ] {
        post_as(&app, party, path, &pairs).await.refused(400, "invalid_request");
    }
    // The same id in the body helps no wrong secret.
    for (id, secret) in [("librechat-oauth", "wrong"), ("librechat-oauth", &*portals)] {
        let pairs = [refresh, ("client_id", id)];
        let answer = app.post("/token/renew", Some(&basic(id, secret)), FORM, form(&pairs)).await;
        assert!(answer.refused(401, "invalid_client").headers.contains_key("www-authenticate"));
    }
    assert_eq!(app.records().await, records);
    app.renew_oauth("librechat-oauth", tokens.refresh()).await.tokens();
}

#[tokio::test]
async fn resource_and_audience_may_repeat_and_no_other_parameter_may() {
    let app = App::start().await;
    let tokens = app.issue_for("librechat-oauth").await;
    let own = basic("librechat-oauth", &secret_of("librechat-oauth"));
    let several = "resource=librechat-oauth&audience=a&resource=librechat-oauth&audience=a";
    let body = format!("{}&{several}", form(&[("refresh_token", tokens.refresh())]));
    let tokens = app.post("/token/renew", Some(&own), FORM, body).await.tokens();
    let issuer = basic("portal", &secret_of("portal"));
    let body = format!("client_id=librechat&subject=alice&{several}");
    app.post("/token", Some(&issuer), FORM, body).await.tokens();
    let authorize = |more: &str| {
        let honest = crate::support::sign_in::authorization("librechat-oauth", &[]);
        Request::get(format!("/authorize?{honest}&{more}")).body(vec![]).unwrap()
    };
    app.send(authorize(several)).await.carried_to(SIGN_IN_URL);
    for twice in ["resources=a&resources=a", "Resource=a&Resource=b", "scope=openid&scope=openid", "aud=a&aud=b"] {
        let body = format!("{}&{twice}", form(&[("refresh_token", tokens.refresh())]));
        let answer = app.post("/token/renew", Some(&own), FORM, body).await;
        assert!(answer.refused(400, "invalid_request").text.contains("a parameter stands twice"), "{twice}");
        let carried = app.send(authorize(twice)).await.carried_to(CALLBACK);
        assert_eq!(carried["error"], "invalid_request", "{twice}");
    }
}

#[tokio::test]
async fn a_charset_without_meaning_is_accepted_for_ascii_and_for_nothing_else() {
    let app = App::start().await;
    let issuer = basic("portal", &secret_of("portal"));
    let issue = async |charset: &str, subject: &str| {
        let body = format!("client_id=librechat&subject={subject}");
        app.post("/token", Some(&issuer), &format!("{FORM};charset={charset}"), body).await
    };
    for charset in ["ISO-8859-1", "utf8", "latin1", "\"windows-1252\"", "US-ASCII"] {
        issue(charset, "alice").await.tokens();
        // Which letter was meant?
        for subject in ["J%FCrgen", "J%C3%BCrgen", "Jürgen"] {
            issue(charset, subject).await.refused(415, "invalid_request");
        }
    }
    assert_eq!(issue("UTF-8", "J%C3%BCrgen").await.tokens().claims()["sub"], "Jürgen");
    // ASCII means something else there.
    for charset in ["utf-16", "utf-7", "cp037", "iso-2022-jp", ""] {
        issue(charset, "alice").await.refused(415, "invalid_request");
    }
    let browser = Request::post("/authorize").header("content-type", format!("{FORM}; charset=ISO-8859-1"));
    let body = crate::support::sign_in::authorization("librechat-oauth", &[]);
    let answer = app.send(browser.body(body.into()).unwrap()).await;
    assert_eq!(answer.status, 303, "to its GET form: {answer:?}");
}

#[tokio::test]
async fn a_bearer_of_somebody_elses_does_not_cost_a_session() {
    let app = App::start().await;
    let tokens = app.issue_for("librechat-oauth").await;
    let public = app.issue_for("spa-oauth").await;
    let other_session = app.issue_for("librechat-oauth").await;
    let records = app.records().await;
    let claims = json!({"iss": "https://elsewhere.example", "sub": "x", "exp": 1_900_000_000});
    let header = |more: &Value| {
        let mut header = json!({"alg": "HS256", "typ": "JWT"});
        header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        header
    };
    let key = EncodingKey::from_secret(b"some other service's secret, of no worth here");
    let elsewhere = |more: Value| keys::signed(&header(&more), &claims, Algorithm::HS256, &key);
    let foreign = [
        "opaque".to_owned(),
        "gho_16C7e42F292c6912E7710c838347Ae178B4a".to_owned(),
        elsewhere(json!({})),
        elsewhere(json!({"kid": "of-elsewhere", "typ": "at+jwt"})),
        elsewhere(json!({"kid": "of-elsewhere", "x5t": "abc"})),
        tokens.0["id_token"].as_str().unwrap().to_owned(),
        tokens.refresh().to_owned(),
    ];
    let secret = secret_of("librechat-oauth");
    let renew = async |bearer: &str, refresh_token: &str| {
        let own = [("client_id", "librechat-oauth"), ("client_secret", &*secret), ("refresh_token", refresh_token)];
        app.post("/token/renew", Some(&format!("Bearer {bearer}")), FORM, form(&own)).await
    };
    for bearer in &foreign {
        let answer = renew(bearer, tokens.refresh()).await;
        assert!(answer.refused(400, "invalid_request").text.contains("leave it out"), "{bearer:.20}: {answer:?}");
        // Nor does the answer tell what the refresh token is worth.
        assert_eq!(renew(bearer, "lk1_forged").await.text, answer.text);
        let pairs = [("client_id", "spa-oauth"), ("refresh_token", public.refresh()), ("access_token", bearer)];
        app.post("/token/renew", None, FORM, form(&pairs)).await.refused(400, "invalid_request");
    }
    // What claims to be one of ours is judged as one.
    renew(other_session.access(), tokens.refresh()).await.invalid_grant();
    let (signed, _) = tokens.access().rsplit_once('.').unwrap();
    renew(&format!("{signed}.{}", "A".repeat(86)), tokens.refresh()).await.invalid_grant();
    // A client that renews with its access token has sent the wrong one.
    assert_eq!(app.records().await, records, "nothing was written");
    let strict = app.issue().await;
    app.renew(&strict.with_access(&foreign[2])).await.invalid_grant();
    app.renew_oauth("librechat-oauth", tokens.refresh()).await.tokens();
    app.renew_oauth("spa-oauth", public.refresh()).await.tokens();
}

#[tokio::test]
async fn a_page_may_read_when_to_come_back_and_send_what_mcp_clients_send() {
    let origin = "https://chat.example.org";
    let app = App::with(&[("LATCHKEY_CORS_ORIGINS", origin)]).await;
    let ask = async |origin: &str, method: &str, path: &str| {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,mcp-protocol-version");
        app.send(request.body(vec![]).unwrap()).await
    };
    for path in ["/token/renew", "/userinfo", "/.well-known/openid-configuration"] {
        let answer = ask(origin, "OPTIONS", path).await;
        assert_eq!(answer.status, 204, "{path}");
        let allowed = answer.headers["access-control-allow-headers"].to_str().unwrap().to_ascii_lowercase();
        assert!(allowed.split(", ").any(|name| name == "mcp-protocol-version"), "{path}: {allowed}");
        let answer = ask(origin, "GET", path).await;
        let answer = if answer.status == 405 { ask(origin, "POST", path).await } else { answer };
        assert_eq!(answer.headers["access-control-expose-headers"], "Retry-After", "{path}: {answer:?}");
        assert!(!ask("https://evil.example", "GET", path).await.headers.contains_key("access-control-expose-headers"));
    }
    app.drop_table().await;
    let secret = secret_of("portal");
    let request = Request::post("/token")
        .header("origin", origin)
        .header("content-type", FORM)
        .header("authorization", basic("portal", &secret));
    let answer = app.send(request.body(form(&[("client_id", "spa"), ("subject", "alice")]).into()).unwrap()).await;
    answer.refused(503, "temporarily_unavailable");
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(answer.headers["access-control-expose-headers"], "Retry-After");
}

#[tokio::test]
async fn an_unknown_grant_and_an_unregistered_scope_are_answered_with_what_would_do() {
    let app = App::start().await;
    let said = |answer: &Answer| answer.json()["error_description"].as_str().unwrap().to_owned();
    let issue =
        async |more: (&str, &str)| app.issue_form(&[("client_id", "librechat"), ("subject", "alice"), more]).await;
    let answer = issue(("grant_type", "client_credentials")).await;
    answer.refused(400, "unsupported_grant_type");
    assert!(
        said(&answer).contains("left out") && said(&answer).contains("urn:ietf:params:oauth:grant-type:jwt-bearer")
    );
    let pairs = [("grant_type", "password"), ("refresh_token", "x")];
    let answer = post_as(&app, "librechat", "/token/renew", &pairs).await;
    answer.refused(400, "unsupported_grant_type");
    assert!(said(&answer).contains("authorization_code") && said(&answer).contains("refresh_token"), "{answer:?}");
    assert!(!answer.text.contains("password"));

    let answer = issue(("scope", "openid agents email offline_access")).await;
    answer.refused(400, "invalid_scope");
    assert_eq!(said(&answer), "not among this client's registered scopes: agents, offline_access");
    let long = "x".repeat(65);
    for (scope, told, untold) in [
        (format!("openid admin {long}"), Some("admin"), &*long),
        (format!("openid {long}"), None, &*long),
        ("admin <script>alert(\"1\")</script>".into(), Some("admin"), "alert"),
        ("openid\u{202e}nimda".into(), None, "nimda"),
    ] {
        let answer = issue(("scope", &scope)).await;
        answer.refused(400, "invalid_scope");
        assert!(told.is_none_or(|told| said(&answer).contains(told)) && !answer.text.contains(untold), "{answer:?}");
    }
    assert!(app.records().await.is_empty());
}

/// Every access token says its scope, so that its verifier never has to read an absent one as something; LibreChat reads
/// none of it.
#[tokio::test]
async fn a_token_for_librechat_without_scope_says_that_it_has_none_and_renews() {
    let app = App::start().await;
    app.rewrite("clients.json", &keys::registrations_with("hs", |client| client["scopes"] = json!([])));
    let tokens = app.issue_for("hs").await;
    assert_eq!(tokens.claims()["scope"], "");
    assert!(tokens.0.get("scope").is_none(), "members without a value are left out of answers");
    app.renew_as("hs", &tokens).await.tokens();
}
