//! Sign-in: from `/authorize` through the portal to the client's tokens.

use std::sync::Arc;

use lambda_http::http::Request;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{
    App, FORM, ISSUER, JSON, basic, form, keys, logs, secret_of,
    sign_in::{CALLBACK, CHALLENGE, SIGN_IN_URL, VERIFIER, authorization},
};

#[tokio::test]
async fn a_user_signs_in_with_one_write_at_accept_one_at_the_exchange_and_no_read() {
    let app = App::start().await;
    let browser = app.browser();
    app.operations();
    let ticket = browser.ticket("librechat-oauth", &[]).await;
    assert!(app.operations().is_empty());
    let accepted = app
        .portal(
            "accept",
            &[
                ("ticket", &ticket),
                ("subject", "alice"),
                ("claims", r#"{"email":"alice@example.org","shoe_size":43,"sub":"mallory"}"#),
                ("auth_time", "1799999990"),
                ("acr", "urn:example:gold"),
                ("amr", "pwd otp"),
            ],
        )
        .await;
    assert_eq!(app.operations(), ["PutItem"]);
    assert_eq!(accepted.json()["ignored_claims"], json!(["shoe_size", "sub"]));
    let back = accepted.json()["redirect_to"].as_str().unwrap().to_owned();
    assert!(back.starts_with(&format!("{ISSUER}/authorize/return?answer=lka1_")), "{back}");
    let carried = browser.get(&back).await.carried_to(CALLBACK);
    assert!(app.operations().is_empty());
    assert_eq!((carried["state"].as_str(), carried["iss"].as_str()), ("the-clients-state", ISSUER));
    assert!(carried["code"].starts_with("lkc1_") && carried.len() == 3, "{carried:?}");
    let answer = app.exchange("librechat-oauth", &carried["code"]).await;
    assert_eq!(app.operations(), ["UpdateItem"]);
    let tokens = answer.tokens();
    let id = tokens.id_claims();
    assert_eq!((&id["sub"], &id["aud"], &id["iss"]), (&json!("alice"), &json!("librechat-oauth"), &json!(ISSUER)));
    assert_eq!((&id["nonce"], &id["auth_time"]), (&json!("the-clients-nonce"), &json!(1_799_999_990)));
    assert_eq!((&id["acr"], &id["amr"]), (&json!("urn:example:gold"), &json!(["pwd", "otp"])));
    assert_eq!((&id["email"], &id["sid"]), (&json!("alice@example.org"), &tokens.0["session_id"]));
    assert_eq!((&tokens.0["scope"], &tokens.0["expires_in"]), (&json!("openid email"), &json!(86_400)));
    assert_eq!(tokens.0["refresh_token_expires_in"], 604_800);

    let renewed = app.renew_oauth("librechat-oauth", tokens.refresh()).await.tokens();
    let id = renewed.id_claims();
    assert!(id.get("nonce").is_none(), "in the first ID token only");
    assert_eq!((&id["auth_time"], &id["amr"]), (&json!(1_799_999_990), &json!(["pwd", "otp"])));
    let events: Vec<_> = logs::audit_of(tokens.0["session_id"].as_str().unwrap())
        .iter()
        .map(|line| line["event"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(events, ["sign_in_accepted", "token_issued", "token_renewed"]);
}

#[tokio::test]
async fn the_record_of_a_code_is_kept_for_a_day_and_the_exchange_gives_it_its_true_times() {
    let app = App::start().await;
    let code = app.browser().code("librechat-oauth").await;
    let record = app.record().await;
    assert_eq!(app.number("idle_expires_at").await, app.clock_millis() + 60_000);
    assert_eq!(app.number("expires_at").await, app.now() + 60 + 86_400);
    assert_eq!(record["redirect_uri_hash"].as_b().unwrap().as_ref().len(), 32);
    assert_eq!(record["code_challenge"].as_b().unwrap().as_ref().len(), 32);
    assert_eq!(record["nonce"].as_s().unwrap(), "the-clients-nonce");
    let tokens = app.exchange("librechat-oauth", &code).await.tokens();
    assert_eq!(app.number("generation").await, 1);
    assert_eq!(app.number("idle_expires_at").await, app.clock_millis() + 604_800_000);
    assert_eq!(app.number("expires_at").await, app.now() + 2_592_000 + 86_400);
    assert!(app.record().await.contains_key("nonce"));
    app.renew_oauth("librechat-oauth", tokens.refresh()).await.tokens();
    let record = app.record().await;
    assert!(!record.contains_key("nonce") && record.contains_key("redirect_uri_hash"));
}

#[tokio::test]
async fn what_the_portal_is_told_and_may_ask_for() {
    let app = App::start().await;
    let asked = [
        ("prompt", "login"),
        ("login_hint", "alice@example.org"),
        ("max_age", "600"),
        ("ui_locales", "de"),
        ("acr_values", "gold silver"),
        ("audience", "https://ignored.example"),
        ("access_type", "offline"),
        ("scope", "openid offline_access agents email"),
    ];
    let carried = app.browser().begin("librechat-oauth", &asked).await.carried_to(SIGN_IN_URL);
    assert_eq!(carried["client_id"], "librechat-oauth");
    for (name, value) in &asked[..5] {
        assert_eq!(carried[*name], *value);
    }
    assert_eq!(carried.len(), 7, "and nothing else: {carried:?}");
    app.clock.advance(100);
    let inspected = app.portal("inspect", &[("ticket", &carried["ticket"])]).await.json();
    assert_eq!(
        inspected,
        json!({
            "client_id": "librechat-oauth", "scope": "openid email", "redirect_uri": CALLBACK, "prompt": "login",
            "login_hint": "alice@example.org", "max_age": 600, "acr_values": "gold silver", "registered": false,
            "expires_in": 500,
        })
    );
}

#[tokio::test]
async fn a_portal_may_speak_json_and_narrow_what_was_asked_for() {
    let app = App::start().await;
    let ticket = app.browser().ticket("librechat-oauth", &[]).await;
    let authorization = basic("portal", &secret_of("portal"));
    let body = json!({
        "ticket": ticket, "subject": "alice", "scope": "openid admin", "expires_in": 300, "amr": ["pwd"],
        "auth_time": 1_799_999_000, "claims": {"name": "Alice"},
    });
    let answer = app.post("/authorize/accept", Some(&authorization), JSON, body.to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.json().get("ignored_claims").is_none());
    assert_eq!(app.record().await["scope"].as_s().unwrap(), "openid");
    assert_eq!(app.number("access_token_seconds").await, 300);
    for (name, value) in [
        ("subject", json!("")),
        ("subject", json!(7)),
        ("amr", json!("pwd")),
        ("amr", json!(["p w"])),
        ("amr", json!([1])),
        ("auth_time", json!("1799999000")),
        ("auth_time", json!(1.5)),
        ("auth_time", json!(-1)),
        ("auth_time", json!(1_800_000_100)),
        ("acr", json!("a\nb")),
        ("claims", json!("x")),
        ("ticket", json!("lkt1_AAAA")),
    ] {
        let mut body = body.clone();
        body[name] = value;
        let answer = app.post("/authorize/accept", Some(&authorization), JSON, body.to_string()).await;
        answer.refused(400, "invalid_request");
    }
    let narrowed_to_nothing = [("ticket", ticket.as_str()), ("subject", "alice"), ("scope", "admin")];
    app.portal("accept", &narrowed_to_nothing).await.refused(400, "invalid_scope");
    assert_eq!(app.records().await.len(), 1);
}

#[tokio::test]
async fn a_rejected_sign_in_is_told_to_the_client_and_writes_nothing() {
    let app = App::start().await;
    let browser = app.browser();
    for error in [
        "access_denied",
        "login_required",
        "interaction_required",
        "consent_required",
        "account_selection_required",
        "temporarily_unavailable",
    ] {
        let ticket = browser.ticket("librechat-oauth", &[]).await;
        let told = [("ticket", ticket.as_str()), ("error", error), ("error_description", "the user says no")];
        let back = app.portal("reject", &told).await.json()["redirect_to"].as_str().unwrap().to_owned();
        let carried = browser.get(&back).await.carried_to(CALLBACK);
        assert_eq!((carried["error"].as_str(), carried["state"].as_str()), (error, "the-clients-state"));
        assert_eq!((carried["error_description"].as_str(), carried["iss"].as_str()), ("the user says no", ISSUER));
    }
    let ticket = browser.ticket("librechat-oauth", &[("state", "")]).await;
    for bad in [
        [("error", "server_error"), ("error_description", "x")],
        [("error", ""), ("error_description", "x")],
        [("error", "access_denied"), ("error_description", "a\"b")],
        [("error", "access_denied"), ("error_description", "é")],
    ] {
        let told = [&[("ticket", ticket.as_str())][..], &bad].concat();
        app.portal("reject", &told).await.refused(400, "invalid_request");
    }
    let back = app.portal("reject", &[("ticket", &ticket), ("error", "access_denied")]).await.json();
    let carried = browser.get(back["redirect_to"].as_str().unwrap()).await.carried_to(CALLBACK);
    assert!(!carried.contains_key("state") && !carried.contains_key("error_description"), "{carried:?}");
    assert!(app.records().await.is_empty());
}

/// Before the client is known and may be told something, nobody is sent anywhere.
#[tokio::test]
async fn who_is_no_client_or_wants_the_browser_elsewhere_gets_a_page() {
    let app = App::start().await;
    let browser = app.browser();
    for changes in [
        [("client_id", "nobody")],
        [("client_id", "")],
        [("client_id", "librechat")],
        [("redirect_uri", "")],
        [("redirect_uri", "https://chat.example.org/oauth/openid/callback/")],
        [("redirect_uri", "https://chat.example.org/oauth/openid/Callback")],
        [("redirect_uri", "https://chat.example.org/oauth/openid/callback?x=1")],
        [("redirect_uri", "https://chat.example.org/oauth/openid/callback#x")],
        [("redirect_uri", "https://chat.example.org:8443/oauth/openid/callback")],
        [("redirect_uri", "https://user@chat.example.org/oauth/openid/callback")],
        [("redirect_uri", "https://chat.example.org/oauth/openid/%63allback")],
        [("redirect_uri", "https://chat.example.org/x/../oauth/openid/callback")],
        [("redirect_uri", "https://CHAT.example.org/oauth/openid/callback")],
        [("redirect_uri", "http://chat.example.org/oauth/openid/callback")],
        [("redirect_uri", "javascript:alert(1)")],
        [("redirect_uri", "http://127.0.0.1.evil.example/callback")],
        [("redirect_uri", "http://127.0.0.1:80@evil.example/callback")],
        [("redirect_uri", "http://127.0.0.2/callback")],
        [("redirect_uri", "http://127.0.0.1:7777/other")],
    ] {
        let answer = browser.begin("librechat-oauth", &changes).await;
        answer.page(400);
        assert!(!answer.text.contains("evil") && !answer.text.contains("nobody"), "{answer:?}");
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.headers["referrer-policy"], "no-referrer");
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    }
    let twice =
        format!("/authorize?{}&{}", authorization("librechat-oauth", &[]), "redirect_uri=https%3A%2F%2Fevil.example");
    browser.get(&twice).await.page(400);
    browser.get(&format!("/authorize?{}&client_id=spa", authorization("librechat-oauth", &[]))).await.page(400);
    browser.get("/authorize?client_id=%zz").await.page(400);
    browser.get("/authorize").await.page(400);
    let long = format!("/authorize?{}&x={}", authorization("librechat-oauth", &[]), "x".repeat(4096));
    browser.get(&long).await.page(400);
}

#[tokio::test]
async fn a_loopback_redirect_may_have_any_port() {
    let app = App::start().await;
    let browser = app.browser();
    let asked = "http://127.0.0.1:51004/callback";
    let back = browser.accepted("spa-oauth", &[("redirect_uri", asked)]).await;
    let code = browser.get(&back).await.carried_to(asked)["code"].clone();
    app.exchange_with("spa-oauth", &code, "http://127.0.0.1/callback", Some(VERIFIER)).await.invalid_grant();
    app.exchange_with("spa-oauth", &code, asked, Some(VERIFIER)).await.tokens();
}

/// Once the client is known, it is told.
#[tokio::test]
async fn every_other_fault_goes_back_to_the_client_with_its_state_and_our_issuer() {
    let app = App::start().await;
    let browser = app.browser();
    let long = "x".repeat(256);
    for (changes, error) in [
        (vec![("response_type", "")], "invalid_request"),
        (vec![("response_type", "token")], "unsupported_response_type"),
        (vec![("response_type", "code id_token")], "unsupported_response_type"),
        (vec![("response_type", "none")], "unsupported_response_type"),
        (vec![("response_mode", "fragment")], "invalid_request"),
        (vec![("response_mode", "form_post")], "invalid_request"),
        (vec![("request", "eyJhbGciOiJub25lIn0.e30.")], "request_not_supported"),
        (vec![("request_uri", "https://127.0.0.1/request")], "request_uri_not_supported"),
        (vec![("registration", "{}")], "registration_not_supported"),
        (vec![("code_challenge", "")], "invalid_request"),
        (vec![("code_challenge", ""), ("code_challenge_method", "")], "invalid_request"),
        (vec![("code_challenge_method", "")], "invalid_request"),
        (vec![("code_challenge_method", "plain")], "invalid_request"),
        (vec![("code_challenge", &CHALLENGE[1..])], "invalid_request"),
        (vec![("scope", "admin offline_access")], "invalid_scope"),
        (vec![("scope", "openid \"email\"")], "invalid_scope"),
        (vec![("prompt", "none login")], "invalid_request"),
        (vec![("max_age", "-1")], "invalid_request"),
        (vec![("max_age", "1e3")], "invalid_request"),
        (vec![("nonce", &long)], "invalid_request"),
        (vec![("login_hint", "a\nb")], "invalid_request"),
    ] {
        let carried = browser.begin("librechat-oauth", &changes).await.carried_to(CALLBACK);
        assert_eq!(carried["error"], error, "{changes:?}");
        assert_eq!((carried["state"].as_str(), carried["iss"].as_str()), ("the-clients-state", ISSUER));
        assert!(!carried["error_description"].is_empty() && carried.len() == 4, "{carried:?}");
    }
    for twice in ["scope=openid", "nonce=x", "unknown=1&unknown=1"] {
        let address = format!("/authorize?{}&{twice}", authorization("librechat-oauth", &[]));
        assert_eq!(browser.get(&address).await.carried_to(CALLBACK)["error"], "invalid_request", "{twice}");
    }
    let long = "s".repeat(1025);
    for changes in [[("state", long.as_str())], [("state", "a\u{1}b")]] {
        let carried = browser.begin("librechat-oauth", &changes).await.carried_to(CALLBACK);
        assert!(carried["error"] == "invalid_request" && !carried.contains_key("state"), "{carried:?}");
    }
    let whole = "s".repeat(1024);
    browser.begin("librechat-oauth", &[("state", &whole)]).await.carried_to(SIGN_IN_URL);
}

#[tokio::test]
async fn only_a_confidential_client_that_is_registered_so_may_do_without_pkce() {
    let app = App::start().await;
    let browser = app.browser();
    let without = [("code_challenge", ""), ("code_challenge_method", "")];
    let code = browser.get(&browser.accepted("actions", &without).await).await.carried_to(CALLBACK)["code"].clone();
    app.exchange_with("actions", &code, CALLBACK, Some(VERIFIER)).await.invalid_grant();
    app.exchange_with("actions", &code, CALLBACK, None).await.tokens();
    let code = browser.code("actions").await;
    app.exchange_with("actions", &code, CALLBACK, None).await.invalid_grant();
    app.exchange_with("actions", &code, CALLBACK, Some(VERIFIER)).await.tokens();
}

#[tokio::test]
async fn a_scope_without_openid_is_plain_oauth_and_none_at_all_means_everything() {
    let app = App::start().await;
    let browser = app.browser();
    for (scope, granted) in [("email", "email"), ("", "openid profile email")] {
        let back = browser.accepted("librechat-oauth", &[("scope", scope)]).await;
        let code = browser.get(&back).await.carried_to(CALLBACK)["code"].clone();
        let tokens = app.exchange("librechat-oauth", &code).await.tokens();
        assert_eq!(tokens.0["scope"], granted);
        assert_eq!(tokens.0.get("id_token").is_some(), granted.contains("openid"));
    }
}

/// Login CSRF: a ticket that was begun in a thief's browser is worth nothing in the victim's.
#[tokio::test]
async fn invariant_27_an_answer_opens_only_in_the_browser_that_asked() {
    let app = App::start().await;
    let (thief, victim) = (app.browser(), app.browser());
    let back = thief.accepted("librechat-oauth", &[]).await;
    victim.get(&back).await.page(400);
    victim.begin("librechat-oauth", &[]).await.carried_to(SIGN_IN_URL);
    victim.get(&back).await.page(400);
    for planted in ["latchkey-sign-in=x", "__Host-latchkey-sign-in=", "__Host-latchkey-sign-in=AAAA"] {
        let browser = app.browser();
        browser.plant(planted);
        browser.get(&back).await.page(400);
    }
    let carried = thief.get(&back).await.carried_to(CALLBACK);
    assert_eq!(thief.get(&back).await.carried_to(CALLBACK), carried, "the same again, and good once");
    app.clock.advance(60);
    thief.get(&back).await.page(400);
    for bad in ["", "lka1_AAAA", "x"] {
        thief.get(&format!("/authorize/return?answer={bad}")).await.page(400);
    }
    thief.get("/authorize/return").await.page(400);
}

#[tokio::test]
async fn the_cookie_is_the_hosts_own_and_shared_by_tabs_and_one_of_another_form_is_replaced() {
    let app = App::start().await;
    let browser = app.browser();
    let first = browser.begin("librechat-oauth", &[]).await;
    let set = first.headers["set-cookie"].to_str().unwrap();
    assert!(set.starts_with("__Host-latchkey-sign-in="), "{set}");
    for attribute in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"] {
        assert!(set.contains(attribute), "{set}");
    }
    let ticket = first.carried_to(SIGN_IN_URL)["ticket"].clone();
    let second = browser.begin("librechat-oauth", &[("state", "second-tab")]).await;
    assert!(!second.headers.contains_key("set-cookie"), "kept");
    let accept = async |ticket: &str| {
        let answer = app.portal("accept", &[("ticket", ticket), ("subject", "alice")]).await;
        answer.json()["redirect_to"].as_str().unwrap().to_owned()
    };
    let back = accept(&second.carried_to(SIGN_IN_URL)["ticket"]).await;
    assert_eq!(browser.get(&back).await.carried_to(CALLBACK)["state"], "second-tab");
    let back = accept(&ticket).await;
    assert_eq!(browser.get(&back).await.carried_to(CALLBACK)["state"], "the-clients-state");
    let planted = app.browser();
    planted.plant("__Host-latchkey-sign-in=planted-by-a-sibling-domain");
    assert!(planted.begin("librechat-oauth", &[]).await.headers.contains_key("set-cookie"));
    planted.sign_in("librechat-oauth").await;
}

/// Cookies of other sites below the same domain come along, and may hold any bytes.
#[tokio::test]
async fn a_foreign_cookie_keeps_nobody_from_signing_in() {
    let app = App::start().await;
    let browser = app.browser();
    let back = browser.accepted("librechat-oauth", &[]).await;
    let both = [b"name=J\xc3\xbcrgen; x=\xff\xfe; ".as_slice(), browser.cookie_text().as_bytes()].concat();
    let address = back.strip_prefix(ISSUER).unwrap();
    let cookies = lambda_http::http::HeaderValue::from_bytes(&both).unwrap();
    let request = Request::get(address).header("cookie", cookies).body(vec![]).unwrap();
    app.send(request).await.carried_to(CALLBACK);
}

/// What is 4 KiB long is so whether or not its characters need encoding.
#[tokio::test]
async fn a_form_and_the_address_that_it_becomes_may_be_as_long() {
    let app = App::start().await;
    let hint = "\"".repeat(1_500);
    let address =
        app.browser().post_form("/authorize", authorization("librechat-oauth", &[("login_hint", &hint)])).await;
    assert_eq!(app.browser().get(&address.location()).await.carried_to(SIGN_IN_URL)["login_hint"], hint);
    // Encoded, it would not fit into API Gateway's headers.
    let growing = "\u{e9}".repeat(1_700);
    app.browser()
        .post_form("/authorize", authorization("librechat-oauth", &[("login_hint", &growing)]))
        .await
        .page(400);
    let long = "x".repeat(4_000);
    app.browser().post_form("/authorize", authorization("librechat-oauth", &[("login_hint", &long)])).await.page(400);
}

/// A faulty entry costs what needs it. The client is known, so it is told.
#[tokio::test]
async fn while_the_portals_entry_is_faulty_the_client_is_told_to_try_again() {
    let app = App::start().await;
    let mut registrations: serde_json::Value = serde_json::from_str(&keys::registrations()).unwrap();
    registrations["issuers"][0]["assertions_not_before"] = json!("never");
    app.rewrite("clients.json", &registrations.to_string());
    let carried = app.browser().begin("librechat-oauth", &[]).await.carried_to(CALLBACK);
    assert_eq!(
        (carried["error"].as_str(), carried["state"].as_str()),
        ("temporarily_unavailable", "the-clients-state")
    );
}

#[tokio::test]
async fn a_form_without_the_cookie_is_sent_on_as_an_address() {
    let app = App::start().await;
    let browser = app.browser();
    let body = authorization("librechat-oauth", &[("login_hint", "a b&c")]);
    let answer = browser.post_form("/authorize", body.clone()).await;
    assert_eq!(answer.status, 303);
    assert!(!answer.headers.contains_key("set-cookie"), "it would break the browser's other tabs");
    let address = answer.location();
    assert!(address.starts_with(&format!("{ISSUER}/authorize?")), "{address}");
    assert_eq!(browser.get(&address).await.carried_to(SIGN_IN_URL)["login_hint"], "a b&c");
    let again = browser.post_form("/authorize", body.clone()).await;
    assert_eq!(again.carried_to(SIGN_IN_URL)["login_hint"], "a b&c");
    browser.post_form("/authorize?x=1", body.clone()).await.page(400);
    let json = Request::post("/authorize").header("content-type", JSON).body(b"{}".to_vec()).unwrap();
    app.send(json).await.page(400);
}

#[tokio::test]
async fn invariant_25_a_code_yields_tokens_once_to_its_client_redirect_and_verifier() {
    let app = App::start().await;
    let code = app.browser().code("librechat-oauth").await;
    let before = app.records().await;
    let other = "a".repeat(43);
    app.exchange("actions", &code).await.invalid_grant();
    app.exchange_with("librechat-oauth", &code, "https://chat.example.org/", Some(VERIFIER)).await.invalid_grant();
    for verifier in [None, Some(other.as_str()), Some("short"), Some(CHALLENGE)] {
        app.exchange_with("librechat-oauth", &code, CALLBACK, verifier).await.invalid_grant();
    }
    app.renew_oauth("librechat-oauth", &code).await.invalid_grant();
    app.renew_oauth("librechat-oauth", &code.replacen("lkc1_", "lk1_", 1)).await.invalid_grant();
    let mut altered = code.clone();
    altered.replace_range(60..61, if &code[60..61] == "A" { "B" } else { "A" });
    for forged in [altered.as_str(), "lkc1_", "x"] {
        app.exchange("librechat-oauth", forged).await.invalid_grant();
    }
    assert_eq!(app.records().await, before);
    let tokens = app.exchange("librechat-oauth", &code).await.tokens();
    let after = app.records().await;
    for verifier in [None, Some(other.as_str())] {
        app.exchange_with("librechat-oauth", &code, CALLBACK, verifier).await.invalid_grant();
    }
    assert_eq!(app.records().await, after, "used or not: a thief without the verifier changes nothing");
    app.exchange("librechat-oauth", &tokens.refresh().replacen("lk1_", "lkc1_", 1)).await.invalid_grant();
    app.exchange("librechat-oauth", tokens.refresh()).await.invalid_grant();
    app.renew_oauth("librechat-oauth", tokens.refresh()).await.tokens();
}

#[tokio::test]
async fn invariant_26_a_code_used_twice_ends_the_session_whoever_was_first() {
    for renewals in 0..3 {
        let app = App::start().await;
        let code = app.browser().code("librechat-oauth").await;
        let mut tokens = app.exchange("librechat-oauth", &code).await.tokens();
        for _ in 0..renewals {
            tokens = app.renew_oauth("librechat-oauth", tokens.refresh()).await.tokens();
        }
        app.exchange("librechat-oauth", &code).await.invalid_grant();
        app.renew_oauth("librechat-oauth", tokens.refresh()).await.invalid_grant();
        assert!(app.record().await.contains_key("revoked_at"));
        let lines = logs::audit_of(tokens.0["session_id"].as_str().unwrap());
        assert!(lines.iter().any(|line| line["event"] == "reuse_detected"), "{renewals}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_exchanges_at_once_give_tokens_once() {
    let app = Arc::new(App::start().await);
    let code = app.browser().code("librechat-oauth").await;
    let exchange = |code: String| {
        let app = Arc::clone(&app);
        async move { app.exchange("librechat-oauth", &code).await }
    };
    let answers = (0..16).map(|_| exchange(code.clone())).collect::<JoinSet<_>>().join_all().await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!((won.len(), lost.len()), (1, 15));
    for answer in lost {
        answer.invalid_grant();
    }
    app.renew_oauth("librechat-oauth", won[0].tokens().refresh()).await.invalid_grant();
}

#[tokio::test]
async fn invariant_30_a_second_accept_makes_another_code_and_each_dies_unused_after_a_minute() {
    let app = App::start().await;
    let browser = app.browser();
    let ticket = browser.ticket("librechat-oauth", &[]).await;
    let accept = async || {
        let answer = app.portal("accept", &[("ticket", &ticket), ("subject", "alice")]).await;
        let back = answer.json()["redirect_to"].as_str().unwrap().to_owned();
        browser.get(&back).await.carried_to(CALLBACK)["code"].clone()
    };
    let (lost, found) = (accept().await, accept().await);
    assert_ne!(lost, found);
    app.exchange("librechat-oauth", &found).await.tokens();
    let before = app.records().await;
    app.clock.advance(60);
    app.exchange("librechat-oauth", &lost).await.invalid_grant();
    assert_eq!(app.records().await, before);
    let sessions = basic("portal", &secret_of("portal"));
    let listed = Request::get("/sessions?subject=alice").header("authorization", sessions).body(vec![]).unwrap();
    assert_eq!(app.send(listed).await.json()["sessions"].as_array().unwrap().len(), 1, "never idle");
}

#[tokio::test]
async fn an_unused_code_is_listed_as_live_and_ending_ends_it() {
    let app = App::start().await;
    let code = app.browser().code("librechat-oauth").await;
    let authorization = basic("portal", &secret_of("portal"));
    let sessions = |method: &str| {
        let request = Request::builder().method(method).uri("/sessions?subject=alice");
        request.header("authorization", authorization.clone()).body(vec![]).unwrap()
    };
    let listed = app.send(sessions("GET")).await.json();
    assert_eq!(listed["sessions"][0]["state"], "live", "{listed}");
    assert_eq!(app.send(sessions("DELETE")).await.json()["ended"], 1);
    app.exchange("librechat-oauth", &code).await.invalid_grant();
}

#[tokio::test]
async fn a_ticket_is_good_for_ten_minutes_and_for_its_issuer_only() {
    let app = App::start().await;
    let ticket = app.browser().ticket("librechat-oauth", &[]).await;
    let second = basic("second", &secret_of("second"));
    let pairs = [("ticket", ticket.as_str()), ("subject", "alice"), ("error", "access_denied")];
    for call in ["accept", "reject", "inspect"] {
        let path = format!("/authorize/{call}");
        app.post(&path, Some(&second), FORM, form(&pairs)).await.refused(400, "unauthorized_client");
        app.post(&path, None, FORM, form(&pairs)).await.refused(401, "invalid_client");
        let wrong = basic("portal", "wrong");
        app.post(&path, Some(&wrong), FORM, form(&pairs)).await.refused(401, "invalid_client");
        let altered = ticket.replace(&ticket[100..101], if &ticket[100..101] == "x" { "y" } else { "x" });
        let mut forged = pairs;
        forged[0].1 = &altered;
        app.portal(call, &forged).await.refused(400, "invalid_request");
        app.portal(call, &pairs[1..]).await.refused(400, "invalid_request");
    }
    assert!(app.records().await.is_empty());
    app.clock.advance(599);
    app.portal("inspect", &pairs).await.json();
    app.clock.advance(1);
    for call in ["accept", "reject", "inspect"] {
        let answer = app.portal(call, &pairs).await;
        answer.refused(400, "invalid_request");
        assert!(answer.text.contains("expired"), "{answer:?}");
    }
    assert!(app.records().await.is_empty());
}

#[tokio::test]
async fn max_age_and_prompt_login_want_an_auth_time_that_is_late_enough() {
    let app = App::start().await;
    let browser = app.browser();
    let begun = app.now();
    let at = |seconds: i64| (begun + seconds).to_string();
    for (asked, least) in [([("max_age", "60")], -60), ([("prompt", "login")], 0), ([("max_age", "0")], 0)] {
        let ticket = browser.ticket("librechat-oauth", &asked).await;
        let accept = async |auth_time: &str| {
            app.portal("accept", &[("ticket", &ticket), ("subject", "alice"), ("auth_time", auth_time)]).await
        };
        accept("").await.refused(400, "invalid_request");
        accept(&at(least - 1)).await.refused(400, "invalid_request");
        assert_eq!(accept(&at(least)).await.status, 200, "{asked:?}");
    }
}

#[tokio::test]
async fn what_was_registered_when_a_sign_in_began_is_asked_for_again_at_each_step() {
    let app = App::start().await;
    let browser = app.browser();
    let back = browser.accepted("librechat-oauth", &[]).await;
    let ticket = browser.ticket("librechat-oauth", &[]).await;
    let moved = keys::registrations_with("librechat-oauth", |client| {
        client["redirect_uris"] = json!(["https://chat.example.org/moved"]);
    });
    // The answer is a minute old at most, and the cache five: so the document is read again by a second server.
    std::fs::write(app.document("clients.json"), moved).unwrap();
    let twin = app.twin(0).await;
    let cookie = browser.cookie_text();
    let elsewhere = twin.browser();
    elsewhere.plant(&cookie);
    elsewhere.get(&back).await.page(400);
    twin.portal("accept", &[("ticket", &ticket), ("subject", "alice")]).await.refused(400, "invalid_request");
}

#[tokio::test]
async fn a_client_whose_portal_is_disabled_or_missing_is_told_so() {
    for change in [json!({"disabled": true}), json!({"sign_in_url": null})] {
        let app = App::start().await;
        let mut registrations: serde_json::Value = serde_json::from_str(&keys::registrations()).unwrap();
        for (name, value) in change.as_object().unwrap() {
            registrations["issuers"][0][name] = value.clone();
        }
        app.rewrite("clients.json", &registrations.to_string());
        let carried = app.browser().begin("librechat-oauth", &[]).await.carried_to(CALLBACK);
        assert_eq!(carried["error"], "unauthorized_client");
    }
}

#[tokio::test]
async fn a_code_from_before_its_epoch_is_over_and_nothing_is_accepted_while_one_lies_ahead() {
    let app = App::start().await;
    let browser = app.browser();
    let ticket = browser.ticket("librechat-oauth", &[]).await;
    let code = browser.code("librechat-oauth").await;
    let ahead = keys::registrations_with("librechat-oauth", |client| {
        client["sessions_not_before"] = (app.now() + 400).into();
    });
    std::fs::write(app.document("clients.json"), ahead).unwrap();
    let twin = app.twin(0).await;
    let answer = twin.portal("accept", &[("ticket", &ticket), ("subject", "alice")]).await;
    answer.refused(503, "temporarily_unavailable");
    twin.exchange("librechat-oauth", &code).await.invalid_grant();
}

#[tokio::test]
async fn the_table_being_down_is_503_keeps_the_code_and_shows_browsers_a_page() {
    let app = App::start().await;
    let browser = app.browser();
    let ticket = browser.ticket("librechat-oauth", &[]).await;
    let tokens = browser.sign_in("librechat-oauth").await;
    let code = browser.code("librechat-oauth").await;
    app.drop_table().await;
    app.portal("accept", &[("ticket", &ticket), ("subject", "a")]).await.refused(503, "temporarily_unavailable");
    app.exchange("librechat-oauth", &code).await.refused(503, "temporarily_unavailable");
    let hint = tokens.0["id_token"].as_str().unwrap();
    let answer = browser.get(&format!("/sign-out?id_token_hint={hint}")).await;
    answer.page(503);
    assert!(answer.headers.contains_key("retry-after"));
    browser.begin("librechat-oauth", &[]).await.carried_to(SIGN_IN_URL);
}
