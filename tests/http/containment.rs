//! What an operator ends is over: epochs, disabled issuers, narrowed registrations.

use serde_json::{Value, json};

use crate::support::{App, FORM, Tokens, basic, form, keys, secret_of};

/// The registrations with some members changed at the top, at an issuer or at a client.
fn changed(change: impl Fn(&mut Value)) -> String {
    let mut document: Value = serde_json::from_str(&keys::registrations()).unwrap();
    change(&mut document);
    document.to_string()
}

fn party<'a>(document: &'a mut Value, list: &str, member: &str, id: &str) -> &'a mut Value {
    document[list].as_array_mut().unwrap().iter_mut().find(|party| party[member] == id).unwrap()
}

async fn is_active(app: &App, tokens: &Tokens) -> bool {
    let asked = form(&[("token", tokens.access())]);
    let answer = app.post("/token/introspect", Some(&basic("portal", &secret_of("portal"))), FORM, asked).await;
    answer.json()["active"] == true
}

async fn is_let_in(app: &App, tokens: &Tokens) -> bool {
    let bearer = format!("Bearer {}", tokens.access());
    let request = lambda_http::http::Request::get("/demo/me").header("authorization", bearer);
    app.send(request.body(Vec::new()).unwrap()).await.status == 200
}

#[tokio::test]
async fn a_session_from_before_its_epoch_is_over_for_everybody() {
    type Set = fn(&mut Value, i64);
    let sets: [(&str, Set); 3] = [
        ("the deployment's", |document, epoch| document["sessions_not_before"] = epoch.into()),
        ("the client's", |document, epoch| {
            party(document, "clients", "client_id", "librechat")["sessions_not_before"] = epoch.into();
        }),
        ("the issuer's", |document, epoch| {
            party(document, "issuers", "issuer_id", "portal")["sessions_not_before"] = epoch.into();
        }),
    ];
    for (whose, set) in sets {
        let app = App::start().await;
        let tokens = app.issue().await;
        app.rewrite("clients.json", &changed(|document| set(document, app.now())));
        assert!(is_active(&app, &tokens).await && is_let_in(&app, &tokens).await, "{whose}: issued at that very time");
        let renewed = app.renew(&tokens).await.tokens();

        app.rewrite("clients.json", &changed(|document| set(document, app.now() + 1)));
        assert!(!is_active(&app, &renewed).await && !is_let_in(&app, &renewed).await, "{whose}");
        let records = app.records().await;
        app.operations();
        app.renew(&renewed).await.invalid_grant();
        assert_eq!(app.operations(), ["UpdateItem"], "{whose}: one request, as ever");
        // Neither a retry nor an older token makes more of it.
        app.renew(&tokens).await.invalid_grant();
        assert_eq!(app.records().await, records, "{whose}");
        let later = app.issue().await;
        assert!(is_active(&app, &later).await, "{whose}: what is issued afterwards is good");
        app.renew(&later).await.tokens();
    }
}

#[tokio::test]
async fn an_epoch_spares_the_sessions_of_others() {
    let app = App::start().await;
    let tokens = app.issue().await;
    let later = app.now() + 200;
    app.rewrite(
        "clients.json",
        &changed(|document| {
            party(document, "issuers", "issuer_id", "second")["sessions_not_before"] = later.into();
            party(document, "clients", "client_id", "spa")["sessions_not_before"] = later.into();
        }),
    );
    assert!(is_active(&app, &tokens).await && is_let_in(&app, &tokens).await);
    app.renew(&tokens).await.tokens();
}

#[tokio::test]
async fn nothing_is_issued_while_an_epoch_lies_ahead() {
    let app = App::start().await;
    let tokens = app.issue().await;
    let ahead = app.now() + 600;
    app.rewrite(
        "clients.json",
        &changed(|document| {
            party(document, "clients", "client_id", "librechat")["sessions_not_before"] = ahead.into();
        }),
    );
    // It counts as soon as it is read.
    app.renew(&tokens).await.invalid_grant();
    app.operations();
    let answer = app.issue_form(&[("client_id", "librechat"), ("subject", "alice")]).await;
    answer.refused(503, "temporarily_unavailable");
    assert!(answer.headers.contains_key("retry-after") && app.operations().is_empty());
    app.issue_for("spa").await;
    app.clock.advance(300);
    app.issue().await;
}

#[tokio::test]
async fn a_disabled_issuer_is_unknown_and_its_sessions_go_on() {
    let app = App::start().await;
    let tokens = app.issue().await;
    app.rewrite(
        "clients.json",
        &changed(|document| {
            party(document, "issuers", "issuer_id", "portal")["disabled"] = true.into();
        }),
    );
    let issued = app.issue_form(&[("client_id", "librechat"), ("subject", "alice")]).await;
    let unknown = app.post("/token", Some(&basic("nobody", "x")), FORM, form(&[("subject", "alice")])).await;
    issued.refused(401, "invalid_client");
    assert_eq!(issued.text, unknown.text);
    let asked = form(&[("token", tokens.access())]);
    let portal = basic("portal", &secret_of("portal"));
    app.post("/token/introspect", Some(&portal), FORM, asked).await.refused(401, "invalid_client");
    assert!(is_let_in(&app, &tokens).await);
    app.renew(&tokens).await.tokens();
}

#[tokio::test]
async fn a_narrowed_registration_reaches_tokens_that_are_out() {
    let app = App::start().await;
    let tokens = app.issue_for("wide").await;
    let introspected = async || {
        let asked = form(&[("token", tokens.access())]);
        app.post("/token/introspect", Some(&basic("portal", &secret_of("portal"))), FORM, asked).await.json()
    };
    assert_eq!(introspected().await["scope"], "openid profile email");
    app.rewrite("clients.json", &keys::registrations_with("wide", |client| client["scopes"] = json!(["email"])));
    assert_eq!(introspected().await["scope"], "email");
    app.rewrite("clients.json", &keys::registrations_with("wide", |client| client["audience"] = json!(["wide"])));
    assert_eq!(introspected().await, json!({"active": false}), "one of its audiences is gone");
    let renewed = app.renew_as("wide", &tokens).await.tokens();
    assert_eq!(renewed.claims()["aud"], "wide");
}

#[tokio::test]
async fn a_client_that_moves_to_another_key_signs_nobody_out() {
    let app = App::start().await;
    let tokens = app.issue_for("hs").await;
    app.rewrite(
        "clients.json",
        &changed(|document| {
            let client = party(document, "clients", "client_id", "hs").as_object_mut().unwrap();
            client.extend([("alg".into(), "RS256".into()), ("profile".into(), "standard".into())]);
            client.remove("kid");
            client.insert("previous_kids".into(), json!(["librechat-hs"]));
        }),
    );
    assert!(!is_active(&app, &tokens).await, "the old key vouches for nobody any more");
    let moved = app.renew_as("hs", &tokens).await.tokens();
    assert!(is_active(&app, &moved).await);
    // Signing out with what is left of before works as well.
    let body = form(&[("token", tokens.access())]);
    let answer = app.post("/token/revoke", Some(&basic("portal", &secret_of("portal"))), FORM, body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(!is_active(&app, &moved).await);
}

#[tokio::test]
async fn a_deployment_that_moves_to_another_domain_signs_nobody_out() {
    let app = App::with(&[("LATCHKEY_PREVIOUS_ISSUERS", "https://before.example, https://even.before.example")]).await;
    let tokens = app.issue().await;
    let of = |issuer: &str| {
        let mut claims = tokens.claims();
        claims["iss"] = issuer.into();
        tokens.with_access(&keys::signed_rs256(&claims))
    };
    app.renew(&of("https://elsewhere.example")).await.invalid_grant();
    let before = of("https://even.before.example");
    assert!(!is_active(&app, &before).await && !is_let_in(&app, &before).await);
    let renewed = app.renew(&before).await.tokens();
    assert!(is_active(&app, &renewed).await && is_let_in(&app, &renewed).await);
}

#[tokio::test]
async fn a_session_from_before_its_epoch_is_in_no_list() {
    let app = App::start().await;
    let before = app.issue().await;
    let of_another_client = app.issue_for("spa").await;
    let epoch = app.now() + 1;
    app.rewrite(
        "clients.json",
        &changed(|document| {
            party(document, "clients", "client_id", "librechat")["sessions_not_before"] = epoch.into();
        }),
    );
    let after = app.issue().await;
    let portal = basic("portal", &secret_of("portal"));
    let ask = async |method: &str, path: &str| {
        let request = lambda_http::http::Request::builder().method(method).uri(path).header("authorization", &portal);
        app.send(request.body(Vec::new()).unwrap()).await.json()
    };
    let listed = ask("GET", "/sessions?subject=alice").await;
    let ids: Vec<&Value> =
        listed["sessions"].as_array().unwrap().iter().map(|session| &session["session_id"]).collect();
    assert!(ids.len() == 2 && ids.contains(&&after.0["session_id"]), "{listed}");
    assert!(ids.contains(&&of_another_client.0["session_id"]));
    let path = format!("/sessions/{}", before.0["session_id"].as_str().unwrap());
    assert_eq!(ask("DELETE", &path).await, json!({"ended": 0}), "it is over already");
}
