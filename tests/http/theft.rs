//! Retries after a lost answer, and reuse that gives a thief away.

use aws_sdk_dynamodb::types::AttributeValue;

use crate::support::{App, FORM, form, keys, logs};

fn events(session_id: &serde_json::Value) -> Vec<String> {
    let lines = logs::audit_of(session_id.as_str().unwrap());
    lines.iter().map(|line| line["event"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_retry_gets_the_identical_successor_and_writes_nothing() {
    let app = App::start().await;
    let first = app.issue().await;
    let lost = app.renew(&first).await.tokens();
    let records = app.records().await;
    app.operations();
    app.clock.advance(60);
    let again = app.renew(&first).await.tokens();
    assert_eq!(app.operations(), ["UpdateItem"], "one request, whose condition fails");
    assert_eq!(app.records().await, records);
    assert_eq!(again.refresh(), lost.refresh());
    assert_eq!(again.claims(), lost.claims(), "identical claims within 60 s");
    assert_eq!(again.0["expires_in"], 86_340);
    app.renew(&again).await.tokens();
    assert_eq!(events(&first.0["session_id"]), ["token_issued", "token_renewed", "token_retried", "token_renewed"]);
}

#[tokio::test]
async fn a_late_retry_of_a_confidential_client_gets_a_fresh_access_token() {
    let app = App::start().await;
    let first = app.issue().await;
    let lost = app.renew(&first).await.tokens();
    app.clock.advance(40_000);
    let again = app.renew(&first).await.tokens();
    assert_eq!(again.refresh(), lost.refresh());
    assert_eq!(again.0["expires_in"], 86_400);
    assert_eq!(again.claims()["iat"], app.now());
    assert_ne!(again.claims()["jti"], lost.claims()["jti"]);
    app.clock.advance(46_400);
    // A device asleep for a day: its access token has expired since, but had not when the answer was lost.
    let after_a_day = app.renew(&first).await.tokens();
    assert_eq!(after_a_day.refresh(), lost.refresh());
}

#[tokio::test]
async fn a_retry_is_judged_by_the_access_tokens_times_at_the_renewal() {
    let app = App::with(&[("LATCHKEY_ACCESS_TOKEN_SECONDS", "600")]).await;
    let first = app.issue().await;
    app.clock.advance(599);
    let lost = app.renew(&first).await.tokens();
    app.clock.advance(5_000);
    app.operations();
    let again = app.renew(&first).await.tokens();
    assert_eq!(app.operations(), ["GetItem"], "expired by now, so it is read, not written");
    assert_eq!(again.refresh(), lost.refresh());
    // A token that had expired even then cannot have renewed anything.
    let mut claims = first.claims();
    claims["iat"] = (claims["iat"].as_i64().unwrap() - 1_000).into();
    claims["exp"] = (claims["exp"].as_i64().unwrap() - 1_000).into();
    app.renew(&first.with_access(&keys::signed_rs256(&claims))).await.invalid_grant();
    app.renew(&again).await.tokens();
}

#[tokio::test]
async fn after_its_retry_time_the_predecessor_of_a_public_client_ends_the_session() {
    let app = App::start().await;
    let first = app.issue_for("spa").await;
    let second = app.renew_as("spa", &first).await.tokens();
    app.clock.advance(60);
    assert_eq!(app.renew_as("spa", &first).await.tokens().refresh(), second.refresh());
    app.clock.advance_millis(1);
    app.renew_as("spa", &first).await.invalid_grant();
    app.renew_as("spa", &second).await.invalid_grant();
    let lines = logs::audit_of(first.0["session_id"].as_str().unwrap());
    let reuse = lines.iter().find(|line| line["event"] == "reuse_detected").unwrap();
    assert_eq!(reuse["reason"], "predecessor_after_retry_time");
    assert_eq!(reuse["level"], "WARN");
    assert!(app.number("revoked_at").await > 0);
}

#[tokio::test]
async fn once_the_successor_has_been_used_the_old_token_ends_the_session() {
    let app = App::start().await;
    let first = app.issue().await;
    let second = app.renew(&first).await.tokens();
    let third = app.renew(&second).await.tokens();
    app.operations();
    app.renew(&first).await.invalid_grant();
    assert_eq!(app.operations(), ["UpdateItem", "UpdateItem"], "the failed condition, and the end of the session");
    app.renew(&third).await.invalid_grant();
    assert_eq!(app.record().await["revoked_reason"].as_s().unwrap(), "predecessor_after_successor_used");
    let records = app.records().await;
    app.renew(&second).await.invalid_grant();
    assert_eq!(app.records().await, records, "revoked is final");
}

#[tokio::test]
async fn generations_further_back_end_the_session_too() {
    let app = App::start().await;
    let first = app.issue().await;
    let mut tokens = first.clone();
    for _ in 0..5 {
        tokens = app.renew(&tokens).await.tokens();
    }
    app.renew(&first).await.invalid_grant();
    app.renew(&tokens).await.invalid_grant();
    assert_eq!(app.record().await["revoked_reason"].as_s().unwrap(), "older_generation");
}

#[tokio::test]
async fn an_expired_access_token_does_not_hide_theft() {
    let app = App::start().await;
    let first = app.issue().await;
    let second = app.renew(&first).await.tokens();
    let third = app.renew(&second).await.tokens();
    app.clock.advance(86_400);
    app.operations();
    app.renew(&first).await.invalid_grant();
    assert_eq!(app.operations(), ["GetItem", "UpdateItem"]);
    assert!(events(&third.0["session_id"]).contains(&"reuse_detected".to_owned()));
}

#[tokio::test]
async fn strict_single_use_where_it_is_asked_for() {
    let app = App::start().await;
    let first = app.issue_for("strict").await;
    let second = app.renew_as("strict", &first).await.tokens();
    app.renew_as("strict", &first).await.invalid_grant();
    app.renew_as("strict", &second).await.invalid_grant();
}

#[tokio::test]
async fn a_retry_gets_the_same_text_even_after_the_tag_key_has_changed() {
    let app = App::start().await;
    let first = app.issue().await;
    let lost = app.renew(&first).await.tokens();
    let tagging = serde_json::json!([{"kid": 1, "secret": keys::tag_secret()}, {"kid": 2, "secret": "CgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo", "use_from": 1}]);
    app.rewrite("keys.json", &keys::ring_with(tagging, vec![]));
    let again = app.renew(&first).await.tokens();
    assert_eq!(again.refresh(), lost.refresh());
    let next = app.renew(&again).await.tokens();
    assert_eq!(app.number("tag_kid").await, 2);
    app.renew(&next).await.tokens();
}

#[tokio::test]
async fn a_record_behind_the_token_is_an_alarm_and_no_theft() {
    let app = App::start().await;
    let first = app.issue().await;
    let second = app.renew(&first).await.tokens();
    let third = app.renew(&second).await.tokens();
    app.plant("generation", AttributeValue::N("1".into())).await;
    let records = app.records().await;
    app.renew(&third).await.invalid_grant();
    assert_eq!(app.records().await, records);
    let lines = logs::audit_of(first.0["session_id"].as_str().unwrap());
    let last = lines.last().unwrap();
    assert_eq!((last["event"].as_str(), last["level"].as_str()), (Some("state_mismatch"), Some("WARN")));
}

#[tokio::test]
async fn a_seal_that_does_not_open_is_an_alarm_and_no_theft() {
    let app = App::start().await;
    let first = app.issue().await;
    app.renew(&first).await.tokens();
    app.plant("sealed_successor", AttributeValue::B(aws_sdk_dynamodb::primitives::Blob::new([1; 60]))).await;
    let records = app.records().await;
    app.renew(&first).await.invalid_grant();
    assert_eq!(app.records().await, records);
    assert_eq!(events(&first.0["session_id"]).last().unwrap(), "state_mismatch");
}

#[tokio::test]
async fn a_seal_of_another_successor_than_the_records_is_an_alarm_too() {
    let app = App::start().await;
    let first = app.issue().await;
    app.renew(&first).await.tokens();
    app.plant("secret_hash", AttributeValue::B(aws_sdk_dynamodb::primitives::Blob::new([1; 32]))).await;
    app.renew(&first).await.invalid_grant();
    assert_eq!(events(&first.0["session_id"]).last().unwrap(), "state_mismatch");
    assert!(!app.record().await.contains_key("revoked_at"));
}

#[tokio::test]
async fn a_stolen_refresh_token_alone_is_worth_nothing_to_a_thief() {
    let app = App::start().await;
    let tokens = app.issue().await;
    let records = app.records().await;
    let refresh_token = ("refresh_token", tokens.refresh());
    let without_secret = form(&[refresh_token, ("client_id", "librechat"), ("access_token", tokens.access())]);
    app.post("/token/renew", None, FORM, without_secret).await.refused(401, "invalid_client");
    let without_anything = form(&[refresh_token]);
    app.post("/token/renew", None, FORM, without_anything).await.refused(400, "invalid_request");
    assert_eq!(app.records().await, records);
}

#[tokio::test]
async fn a_retry_with_the_access_token_of_a_later_retry_is_still_one() {
    let app = App::start().await;
    let first = app.issue().await;
    let lost = app.renew(&first).await.tokens();
    app.clock.advance(40_000);
    let fresh = app.renew(&first).await.tokens();
    // One process kept the old refresh token, another passed the newest access token on.
    let mixed = app.renew(&first.with_access(fresh.access())).await.tokens();
    assert_eq!(mixed.refresh(), lost.refresh());
}
