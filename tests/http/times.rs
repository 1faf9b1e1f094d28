//! Expiry, grace period, renewal window, idle and absolute expiry.

use aws_sdk_dynamodb::types::AttributeValue;

use crate::support::{App, logs};

#[tokio::test]
async fn an_expired_access_token_does_not_renew() {
    let app = App::start().await;
    let tokens = app.issue().await;
    app.clock.advance(86_399);
    let tokens = app.renew(&tokens).await.tokens();
    app.clock.advance(86_400);
    let records = app.records().await;
    app.renew(&tokens).await.invalid_grant();
    assert_eq!(app.records().await, records);
    let audit = logs::audit_of(tokens.0["session_id"].as_str().unwrap());
    let last = audit.last().unwrap();
    assert_eq!(
        (last["event"].as_str(), last["reason"].as_str()),
        (Some("token_expired"), Some("access_token_expired"))
    );
}

#[tokio::test]
async fn within_the_grace_period_it_does() {
    let app = App::start().await;
    let tokens = app.issue_for("graceful").await;
    app.clock.advance(86_400 + 3_599);
    let tokens = app.renew_as("graceful", &tokens).await.tokens();
    app.clock.advance(86_400 + 3_600);
    app.renew_as("graceful", &tokens).await.invalid_grant();
}

#[tokio::test]
async fn the_deployments_grace_period_holds_for_clients_without_their_own() {
    let app = App::with(&[("LATCHKEY_GRACE_SECONDS", "100"), ("LATCHKEY_CLOCK_SKEW_SECONDS", "5")]).await;
    let tokens = app.issue().await;
    app.clock.advance(86_400 + 104);
    let tokens = app.renew(&tokens).await.tokens();
    app.clock.advance(86_400 + 105);
    app.renew(&tokens).await.invalid_grant();
}

#[tokio::test]
async fn a_refused_expired_token_costs_one_consistent_read_and_no_write() {
    let app = App::start().await;
    let tokens = app.issue().await;
    app.clock.advance(86_400);
    app.operations();
    app.renew(&tokens).await.invalid_grant();
    assert_eq!(app.operations(), ["GetItem"]);
}

#[tokio::test]
async fn before_the_window_opens_the_answer_says_when_it_does() {
    let app = App::start().await;
    let tokens = app.issue_for("windowed").await;
    let records = app.records().await;
    app.clock.advance(85_700);
    let early = app.renew_as("windowed", &tokens).await;
    early.refused(400, "invalid_request");
    assert_eq!(early.headers["retry-after"], "100");
    assert!(early.text.contains("opens at 2027-01-16T07:50:00Z"), "{early:?}");
    app.clock.advance_millis(99_999);
    assert_eq!(app.renew_as("windowed", &tokens).await.headers["retry-after"], "1");
    assert_eq!(app.records().await, records);
    app.clock.advance_millis(1);
    let renewed = app.renew_as("windowed", &tokens).await.tokens();
    app.renew_as("windowed", &renewed).await.refused(400, "invalid_request");
    // A lost answer is no renewal: the window does not matter.
    assert_eq!(app.renew_as("windowed", &tokens).await.tokens().refresh(), renewed.refresh());
}

#[tokio::test]
async fn the_window_of_a_shortened_token_opens_by_its_own_expiry() {
    let app = App::with(&[("LATCHKEY_WINDOW_SECONDS", "60")]).await;
    let pairs = [("client_id", "librechat"), ("subject", "alice"), ("expires_in", "300")];
    let tokens = app.issue_form(&pairs).await.tokens();
    app.clock.advance(240);
    let tokens = app.renew(&tokens).await.tokens();
    app.clock.advance(239);
    app.renew(&tokens).await.refused(400, "invalid_request");
    app.clock.advance(1);
    app.renew(&tokens).await.tokens();
}

#[tokio::test]
async fn an_unused_session_ends_although_its_record_still_stands() {
    let app = App::start().await;
    let tokens = app.issue_for("librechat-oauth").await;
    app.clock.advance(604_799);
    let tokens = app.renew_oauth("librechat-oauth", tokens.refresh()).await.tokens();
    app.clock.advance(604_800);
    let records = app.records().await;
    app.renew_oauth("librechat-oauth", tokens.refresh()).await.invalid_grant();
    assert_eq!(app.records().await, records);
    assert_eq!(records.len(), 1, "the record still stands");
}

#[tokio::test]
async fn no_session_outlives_its_absolute_expiry() {
    let app = App::with(&[("LATCHKEY_ABSOLUTE_SECONDS", "1000000"), ("LATCHKEY_IDLE_SECONDS", "600000")]).await;
    let mut tokens = app.issue_for("librechat-oauth").await;
    let end = app.number("absolute_expires_at").await;
    for _ in 0..9 {
        app.clock.advance(100_000);
        tokens = app.renew_oauth("librechat-oauth", tokens.refresh()).await.tokens();
        assert_eq!(app.number("absolute_expires_at").await, end);
        assert!(tokens.claims()["exp"].as_i64().unwrap() * 1000 <= end);
    }
    app.clock.advance(99_999);
    tokens = app.renew_oauth("librechat-oauth", tokens.refresh()).await.tokens();
    assert_eq!(tokens.0["expires_in"], 1);
    app.clock.advance(1);
    app.renew_oauth("librechat-oauth", tokens.refresh()).await.invalid_grant();
}

#[tokio::test]
async fn expiry_is_what_the_record_says() {
    let app = App::start().await;
    let tokens = app.issue().await;
    app.plant("absolute_expires_at", AttributeValue::N(((app.now() + 50) * 1000).to_string())).await;
    let renewed = app.renew(&tokens).await.tokens();
    assert_eq!(
        (renewed.0["expires_in"].as_i64(), renewed.0["refresh_token_expires_in"].as_i64()),
        (Some(50), Some(50))
    );
    app.clock.advance(50);
    app.renew(&renewed).await.invalid_grant();
}

#[tokio::test]
async fn a_client_whose_tokens_outlive_an_idle_session_is_warned_of_at_the_start() {
    // "graceful" has 86400 s and an hour of grace of its own; no other client has more than 86400 s.
    App::with(&[("LATCHKEY_IDLE_SECONDS", "89999")]).await;
    let warnings = logs::lines(|line| line.to_string().contains("longer than the idle time of 89999 s"));
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert_eq!(warning["level"], "WARN");
    assert!(warning.to_string().contains("its access tokens live 86400 s with 3600 s of grace"), "{warning}");
}
