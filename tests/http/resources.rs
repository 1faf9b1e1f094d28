//! Resources (RFC 8707): access tokens for some of a client's audiences.

use aws_sdk_dynamodb::types::AttributeValue;
use lambda_http::http::Request;
use serde_json::{Value, json};

use crate::support::{
    Answer, App, FORM, JSON, Tokens, basic, form, keys, logs, secret_of,
    sign_in::{Browser, CALLBACK, SIGN_IN_URL, VERIFIER, authorization},
};

const CLIENT: &str = "librechat-oauth";
const TOOLS: &str = "https://tools.example.org/mcp";
const API: &str = "https://api.example.org";

/// The client that signs in has two audiences beside itself; the client `strict` is the API.
async fn app(variables: &[(&str, &str)]) -> App {
    let app = App::with(variables).await;
    let clients: Vec<Value> = keys::clients()
        .into_iter()
        .map(|mut client| {
            match client["client_id"].as_str().unwrap() {
                CLIENT => client["audience"] = json!([CLIENT, TOOLS, API]),
                "strict" => client["audience"] = json!([API]),
                _ => {}
            }
            client
        })
        .collect();
    app.rewrite("clients.json", &keys::registrations_of(&clients));
    app
}

fn naming(resources: &[&str]) -> String {
    form(&resources.iter().map(|one| ("resource", *one)).collect::<Vec<_>>())
}

async fn code(app: &App, browser: &Browser<'_>, resources: &[&str]) -> String {
    let address = format!("/authorize?{}&{}", authorization(CLIENT, &[]), naming(resources));
    let ticket = browser.get(&address).await.carried_to(SIGN_IN_URL)["ticket"].clone();
    let accepted = app.portal("accept", &[("ticket", &ticket), ("subject", "alice")]).await.json();
    browser.get(accepted["redirect_to"].as_str().unwrap()).await.carried_to(CALLBACK)["code"].clone()
}

async fn send(app: &App, pairs: &[(&str, &str)], resources: &[&str]) -> Answer {
    let body = format!("{}&{}", form(pairs), naming(resources));
    app.post("/token/renew", Some(&basic(CLIENT, &secret_of(CLIENT))), FORM, body).await
}

fn exchanging(code: &str) -> [(&str, &str); 4] {
    [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)]
}

async fn renew(app: &App, tokens: &Tokens, resources: &[&str]) -> Answer {
    send(app, &[("refresh_token", tokens.refresh())], resources).await
}

#[tokio::test]
async fn a_sign_in_for_a_resource_costs_no_request_more_and_the_record_keeps_it_until_the_next_renewal() {
    let app = app(&[]).await;
    let browser = app.browser();
    app.operations();
    let code = code(&app, &browser, &[API, TOOLS, API]).await;
    assert_eq!(app.operations(), ["PutItem"]);
    let listed = |list: &[&str]| AttributeValue::L(list.iter().map(|one| AttributeValue::S((*one).into())).collect());
    let record = app.record().await;
    assert_eq!(record["resource"], listed(&[TOOLS, API]), "each once, in the order of the registration");
    assert_eq!(record["audience"], listed(&[CLIENT, TOOLS, API]));
    app.operations();
    let first = app.exchange(CLIENT, &code).await.tokens();
    assert_eq!(app.operations(), ["UpdateItem"]);
    assert_eq!(first.claims()["aud"], json!([TOOLS, API]));
    assert_eq!(first.id_claims()["aud"], CLIENT);
    assert!(app.record().await.contains_key("resource"), "an own write seen twice needs it");
    app.operations();
    let second = app.renew_oauth(CLIENT, first.refresh()).await.tokens();
    assert_eq!(app.operations(), ["UpdateItem"]);
    assert_eq!(second.claims()["aud"], json!([CLIENT, TOOLS, API]), "the session keeps all");
    let record = app.record().await;
    assert!(!record.contains_key("resource") && !record.contains_key("nonce"));
    let third = renew(&app, &second, &[TOOLS]).await.tokens();
    assert_eq!(third.claims()["aud"], TOOLS, "one is a string");
    assert!(!app.record().await.contains_key("resource"), "a renewal's is its own answer's alone");
    assert_eq!(app.renew_oauth(CLIENT, third.refresh()).await.tokens().claims()["aud"], second.claims()["aud"]);
}

#[tokio::test]
async fn the_exchange_may_name_its_own_resources_in_a_form_or_in_json() {
    let app = app(&[]).await;
    let browser = app.browser();
    let exchanged = send(&app, &exchanging(&code(&app, &browser, &[TOOLS]).await), &[API]).await.tokens();
    assert_eq!(exchanged.claims()["aud"], API);
    for (resource, expected) in
        [(json!(API), json!(API)), (json!([API, CLIENT]), json!([CLIENT, API])), (json!([]), json!(TOOLS))]
    {
        let code = code(&app, &browser, &[TOOLS]).await;
        let mut body: Value = exchanging(&code).into_iter().collect();
        body["resource"] = resource;
        let own = basic(CLIENT, &secret_of(CLIENT));
        let tokens = app.post("/token/renew", Some(&own), JSON, body.to_string()).await.tokens();
        assert_eq!(tokens.claims()["aud"], expected);
        let body = json!({"refresh_token": tokens.refresh(), "resource": [TOOLS]});
        let tokens = app.post("/token/renew", Some(&own), JSON, body.to_string()).await.tokens();
        assert_eq!(tokens.claims()["aud"], TOOLS);
        let body = json!({"refresh_token": tokens.refresh(), "resource": [TOOLS, 1]});
        app.post("/token/renew", Some(&own), JSON, body.to_string()).await.refused(400, "invalid_request");
        renew(&app, &tokens, &[]).await.tokens();
    }
}

#[tokio::test]
async fn a_client_that_renews_with_its_access_token_may_show_a_narrowed_one() {
    let app = App::start().await;
    let first = app.issue_for("wide").await;
    assert_eq!(first.claims()["aud"], json!(["wide", API]));
    let wide = basic("wide", &secret_of("wide"));
    let renew = async |tokens: &Tokens, resource: &str| {
        let pairs = [("refresh_token", tokens.refresh()), ("access_token", tokens.access()), ("resource", resource)];
        app.post("/token/renew", Some(&wide), FORM, form(&pairs)).await
    };
    let narrowed = renew(&first, API).await.tokens();
    assert_eq!(narrowed.claims()["aud"], API);
    let other = renew(&narrowed, "wide").await.tokens();
    assert_eq!(other.claims()["aud"], "wide");
    renew(&other, "https://api.example.org/").await.refused(400, "invalid_target");
    assert_eq!(app.renew_as("wide", &other).await.tokens().claims()["aud"], json!(["wide", API]));
}

/// `spa` is named by its access token alone: only then is it known which resources are its own.
#[tokio::test]
async fn a_client_that_its_access_token_names_has_its_resources_judged_as_well() {
    let app = App::start().await;
    let tokens = app.issue_for("spa").await;
    let renew = async |resource: &str| {
        let pairs = [("refresh_token", tokens.refresh()), ("access_token", tokens.access()), ("resource", resource)];
        app.post("/token/renew", None, FORM, form(&pairs)).await
    };
    renew("wide").await.refused(400, "invalid_target");
    assert_eq!(renew("spa").await.tokens().claims()["aud"], "spa");
}

#[tokio::test]
async fn a_retry_is_identical_for_the_same_resources_and_another_token_for_others() {
    let app = app(&[]).await;
    let tokens = app.browser().sign_in(CLIENT).await;
    let first = renew(&app, &tokens, &[API]).await.tokens();
    app.clock.advance(60);
    let records = app.records().await;
    let again = renew(&app, &tokens, &[API]).await.tokens();
    assert_eq!((again.claims(), again.refresh()), (first.claims(), first.refresh()));
    let other = renew(&app, &tokens, &[TOOLS]).await.tokens();
    assert_eq!((&other.claims()["aud"], other.refresh()), (&json!(TOOLS), first.refresh()));
    assert_ne!(other.claims()["jti"], first.claims()["jti"]);
    let all = renew(&app, &tokens, &[]).await.tokens();
    assert_ne!(all.claims()["jti"], other.claims()["jti"]);
    for name in ["iat", "exp", "sid", "sub", "scope"] {
        assert_eq!(other.claims()[name], first.claims()[name], "{name}");
    }
    assert_eq!(app.records().await, records);
}

#[tokio::test]
async fn a_resource_that_is_not_registered_is_invalid_target_everywhere_and_uses_up_nothing() {
    let app = app(&[]).await;
    let browser = app.browser();
    let text = "not a target that is registered for this client";
    for other in ["https://tools.example.org", "https://api.example.org/", "HTTPS://api.example.org", "wide", " "] {
        let address = format!("/authorize?{}&{}", authorization(CLIENT, &[]), naming(&[TOOLS, other]));
        let carried = browser.get(&address).await.carried_to(CALLBACK);
        assert_eq!((carried["error"].as_str(), carried["state"].as_str()), ("invalid_target", "the-clients-state"));
        let code = code(&app, &browser, &[]).await;
        let records = app.records().await;
        app.operations();
        let answer = send(&app, &exchanging(&code), &[other]).await;
        assert_eq!(answer.refused(400, "invalid_target").json()["error_description"], text);
        let tokens = {
            assert!(app.operations().is_empty());
            assert_eq!(app.records().await, records);
            app.exchange(CLIENT, &code).await.tokens()
        };
        app.operations();
        renew(&app, &tokens, &[other, TOOLS]).await.refused(400, "invalid_target");
        assert!(app.operations().is_empty());
        app.renew_oauth(CLIENT, tokens.refresh()).await.tokens();
    }
}

async fn me(app: &App, tokens: &Tokens) -> u16 {
    let request = Request::get("/demo/me").header("authorization", format!("Bearer {}", tokens.access()));
    app.send(request.body(vec![]).unwrap()).await.status.as_u16()
}

async fn is_shown(app: &App, caller: &str, tokens: &Tokens) -> bool {
    let body = form(&[("token", tokens.access())]);
    let said = app.post("/token/introspect", Some(&basic(caller, &secret_of(caller))), FORM, body).await.json();
    if said["active"] == true {
        let claims = tokens.claims();
        let listed = if claims["aud"].is_array() { claims["aud"].clone() } else { json!([claims["aud"]]) };
        assert_eq!(said["aud"], listed);
    }
    said["active"] == true
}

#[tokio::test]
async fn a_narrowed_token_lets_in_at_its_resource_alone() {
    // What the authorizer remembers of the session says nothing about the token.
    for cache in ["0", "30"] {
        let app = app(&[("LATCHKEY_AUDIENCE", API), ("LATCHKEY_AUTHORIZER_CACHE_SECONDS", cache)]).await;
        let all = app.browser().sign_in(CLIENT).await;
        let for_api = renew(&app, &all, &[API]).await.tokens();
        let for_tools = renew(&app, &for_api, &[TOOLS]).await.tokens();
        let for_both = renew(&app, &for_tools, &[TOOLS, API]).await.tokens();
        for (tokens, is_for_api) in [(&all, true), (&for_api, true), (&for_tools, false), (&for_both, true)] {
            let aud = &tokens.claims()["aud"];
            assert_eq!(me(&app, tokens).await, if is_for_api { 200 } else { 401 }, "{aud}");
            assert_eq!(is_shown(&app, "strict", tokens).await, is_for_api, "the API asks about its own: {aud}");
            assert!(is_shown(&app, CLIENT, tokens).await && is_shown(&app, "portal", tokens).await);
            assert!(!is_shown(&app, "graceful", tokens).await);
            // Userinfo is for the scope `openid`, whatever the audience.
            let request = Request::get("/userinfo").header("authorization", format!("Bearer {}", tokens.access()));
            assert_eq!(app.send(request.body(vec![]).unwrap()).await.status, 200);
        }
        let revoked = form(&[("token", for_both.refresh())]);
        app.post("/token/revoke", Some(&basic(CLIENT, &secret_of(CLIENT))), FORM, revoked).await;
        app.clock.advance(30);
        assert_eq!(me(&app, &for_api).await, 401, "it ends with its session");
        assert!(!is_shown(&app, "strict", &for_api).await);
    }
}

#[tokio::test]
async fn a_resource_that_is_taken_out_of_the_registration_takes_its_tokens_along() {
    let app = app(&[("LATCHKEY_AUDIENCE", API)]).await;
    let all = app.browser().sign_in(CLIENT).await;
    let for_api = renew(&app, &all, &[API]).await.tokens();
    let for_client = renew(&app, &for_api, &[CLIENT]).await.tokens();
    assert_eq!(me(&app, &for_api).await, 200);
    app.rewrite("clients.json", &keys::registrations());
    assert_eq!(me(&app, &for_api).await, 401);
    assert!(!is_shown(&app, CLIENT, &for_api).await && is_shown(&app, CLIENT, &for_client).await);
    renew(&app, &for_client, &[API]).await.refused(400, "invalid_target");
    assert_eq!(renew(&app, &for_client, &[CLIENT]).await.tokens().claims()["aud"], CLIENT);
}

#[tokio::test]
async fn the_audit_trail_says_that_a_resource_was_not_allowed() {
    let app = app(&[]).await;
    let tokens = app.browser().sign_in(CLIENT).await;
    renew(&app, &tokens, &["https://evil.example"]).await.refused(400, "invalid_target");
    let refused = logs::lines(|line| line["reason"] == "resource_not_allowed" && line["event"] == "renewal_rejected");
    assert!(refused.iter().any(|line| line["client_id"] == CLIENT));
    assert!(refused.iter().all(|line| !line.to_string().contains("evil")), "what was asked for is nobody's word");
}
