//! Clients and keys against each other: nobody renews what is another's.

use serde_json::json;

use crate::support::{App, FORM, form, keys, part};

#[tokio::test]
async fn another_clients_refresh_token_fails_before_any_request_to_the_store() {
    let app = App::start().await;
    let tokens = app.issue_for("librechat-oauth").await;
    let records = app.records().await;
    app.operations();
    app.renew_oauth("spa-oauth", tokens.refresh()).await.invalid_grant();
    assert!(app.operations().is_empty());
    assert_eq!(app.records().await, records);
    app.renew_oauth("librechat-oauth", tokens.refresh()).await.tokens();
}

#[tokio::test]
async fn tokens_of_two_sessions_do_not_mix() {
    let app = App::start().await;
    let one = app.issue().await;
    let two = app.issue().await;
    let records = app.records().await;
    app.operations();
    app.renew(&one.with_access(two.access())).await.invalid_grant();
    app.renew(&two.with_access(one.access())).await.invalid_grant();
    assert!(app.operations().is_empty());
    assert_eq!(app.records().await, records);
    app.renew(&one).await.tokens();
    app.renew(&two).await.tokens();
}

#[tokio::test]
async fn an_access_token_of_another_client_or_subject_does_not_renew() {
    let app = App::start().await;
    let tokens = app.issue().await;
    let records = app.records().await;
    for (name, value) in [("client_id", "wide"), ("sub", "mallory"), ("iss", "https://evil.example")] {
        let mut claims = tokens.claims();
        claims[name] = value.into();
        app.renew(&tokens.with_access(&keys::signed_rs256(&claims))).await.invalid_grant();
    }
    assert_eq!(app.records().await, records);
}

#[tokio::test]
async fn libre_chats_secret_vouches_for_no_other_client() {
    let app = App::start().await;
    let tokens = app.issue().await;
    let records = app.records().await;
    let key = jsonwebtoken::EncodingKey::from_secret(keys::JWT_SECRET.as_bytes());
    let header = json!({"alg": "HS256", "kid": "librechat-hs", "typ": "JWT"});
    let forged = keys::signed(&header, &tokens.claims(), jsonwebtoken::Algorithm::HS256, &key);
    app.renew(&tokens.with_access(&forged)).await.invalid_grant();
    let hs = app.issue_for("hs").await;
    app.renew_as("hs", &hs.with_access(&keys::signed_rs256(&hs.claims()))).await.invalid_grant();
    assert_eq!(app.records().await.len(), records.len() + 1);
    app.renew_as("hs", &hs).await.tokens();
}

#[tokio::test]
async fn an_id_token_is_no_access_token() {
    let app = App::start().await;
    let tokens = app.issue().await;
    app.renew(&tokens.with_access(tokens.0["id_token"].as_str().unwrap())).await.invalid_grant();
}

#[tokio::test]
async fn old_and_new_keys_verify_while_one_signs() {
    let app = App::start().await;
    let tokens = app.issue().await;
    let new = latchkey_token_lambda::system::generate_private_key(latchkey_token::keys::Algorithm::Rs256).unwrap();
    let entry = json!({"kid": "new-key", "alg": "RS256", "private_key": new, "sign_from": 1_800_000_000});
    app.rewrite("keys.json", &keys::ring_with(json!([{"kid": 1, "secret": keys::tag_secret()}]), vec![entry]));
    let renewed = app.renew(&tokens).await.tokens();
    assert_eq!(part(renewed.access(), 0)["kid"], "new-key");
    app.renew(&renewed).await.tokens();
}

#[tokio::test]
async fn an_unknown_key_id_is_looked_up_once_a_minute() {
    let app = App::start().await;
    let tokens = app.issue().await;
    // A new tag key has come into use elsewhere, before this server's cache time is over.
    let tagging = json!([{"kid": 1, "secret": keys::tag_secret()}, {"kid": 7, "secret": "CgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo"}]);
    let ring = latchkey_token::keys::KeyRing::parse(&keys::ring_with(tagging.clone(), vec![])).unwrap();
    let client = latchkey_token::values::ClientId::parse("librechat").unwrap();
    let now = app.now();
    let token = latchkey_token::tokens::UnverifiedRefreshToken::parse(tokens.refresh()).unwrap();
    let token = token.verify(&ring, &client, now).unwrap().unwrap();
    let mut retagged = tokens.clone();
    retagged.0["refresh_token"] = token.expose(ring.tag_key(7, now).unwrap().unwrap(), &client).into();
    app.renew(&retagged).await.invalid_grant();
    app.clock.advance(59);
    let write = |text: &str| {
        app.rewrite("keys.json", text);
        app.clock.advance_millis(-300_000);
    };
    write(&keys::ring_with(tagging, vec![]));
    app.renew(&retagged).await.invalid_grant();
    app.clock.advance(1);
    app.renew(&retagged).await.tokens();
}

#[tokio::test]
async fn a_public_client_named_by_its_access_token_must_be_public() {
    let app = App::start().await;
    let tokens = app.issue().await;
    let body = form(&[("refresh_token", tokens.refresh()), ("access_token", tokens.access())]);
    let answer = app.post("/token/renew", None, FORM, body).await;
    answer.refused(401, "invalid_client");
    let bearer = format!("Bearer {}", tokens.access());
    let answer = app.post("/token/renew", Some(&bearer), FORM, form(&[("refresh_token", tokens.refresh())])).await;
    answer.refused(401, "invalid_client");
}
