//! `POST /token/revoke`, `/sessions`: how sessions end on purpose.

use std::time::Instant;

use aws_sdk_dynamodb::types::AttributeValue;
use lambda_http::http::Request;
use serde_json::{Value, json};

use crate::support::{Answer, App, FORM, JSON, Tokens, basic, form, logs, secret_of};

async fn revoke(app: &App, caller: &str, token: &str) -> Answer {
    app.post("/token/revoke", Some(&basic(caller, &secret_of(caller))), FORM, form(&[("token", token)])).await
}

async fn is_revoked(app: &App) -> bool {
    app.record().await.contains_key("revoked_at")
}

#[tokio::test]
async fn the_current_refresh_token_ends_its_session() {
    let app = App::start().await;
    let tokens = app.issue().await;
    app.operations();
    let answer = revoke(&app, "librechat", tokens.refresh()).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, "{}"));
    assert_eq!(app.operations(), ["GetItem", "UpdateItem"]);
    app.renew(&tokens).await.invalid_grant();
    assert_eq!(app.record().await["revoked_reason"].as_s().unwrap(), "by_client");
    let lines = logs::audit_of(tokens.0["session_id"].as_str().unwrap());
    assert!(lines.iter().any(|line| line["event"] == "session_revoked" && line["reason"] == "by_client"));
}

#[tokio::test]
async fn a_refresh_token_of_any_generation_and_an_unexpired_access_token_end_it_too() {
    for token_of in [
        |first: &Tokens, _: &Tokens| first.refresh().to_owned(),
        |_: &Tokens, second: &Tokens| second.access().to_owned(),
    ] {
        let app = App::start().await;
        let first = app.issue().await;
        let second = app.renew(&first).await.tokens();
        assert_eq!(revoke(&app, "librechat", &token_of(&first, &second)).await.status, 200);
        app.renew(&second).await.invalid_grant();
    }
    let app = App::start().await;
    let first = app.issue().await;
    let second = app.renew(&first).await.tokens();
    let third = app.renew(&second).await.tokens();
    revoke(&app, "librechat", first.refresh()).await;
    app.renew(&third).await.invalid_grant();
}

#[tokio::test]
async fn an_idle_session_is_ended_by_its_tokens_and_leaves_nothing_that_is_not_needed() {
    let app = App::with(&[("LATCHKEY_IDLE_SECONDS", "60")]).await;
    let tokens = app.issue_form(&[("client_id", "librechat"), ("subject", "alice"), ("claims", r#"{"name":"Alice"}"#)]);
    let tokens = tokens.await.tokens();
    let tokens = app.renew(&tokens).await.tokens();
    app.clock.advance(61);
    revoke(&app, "librechat", tokens.refresh()).await;
    let record = app.record().await;
    for gone in ["claims", "sealed_successor", "previous_hash"] {
        assert!(!record.contains_key(gone), "{gone}");
    }
    assert_eq!(record["revocation_id"].as_b().unwrap().as_ref().len(), 16);
    let deletable_at: i64 = record["expires_at"].as_n().unwrap().parse().unwrap();
    assert_eq!(deletable_at, app.now() + 86_400 + 86_400, "a day after the last token can have expired");
    let asked = form(&[("token", tokens.access())]);
    let active = app.post("/token/introspect", Some(&basic("portal", &secret_of("portal"))), FORM, asked).await;
    assert_eq!(active.json()["active"], false);
}

#[tokio::test]
async fn an_issuer_ends_sessions_of_any_of_its_clients_and_a_public_client_its_own() {
    for client in ["librechat", "spa", "librechat-oauth"] {
        let app = App::start().await;
        let tokens = app.issue_for(client).await;
        assert_eq!(revoke(&app, "portal", tokens.refresh()).await.status, 200);
        assert!(is_revoked(&app).await, "{client}");
    }
    let app = App::start().await;
    let tokens = app.issue_for("spa").await;
    let body = json!({"token": tokens.refresh(), "client_id": "spa", "token_type_hint": "refresh_token"}).to_string();
    assert_eq!(app.post("/token/revoke", None, JSON, body).await.status, 200);
    assert!(is_revoked(&app).await);
}

#[tokio::test]
async fn whatever_is_foreign_forged_or_expired_gets_200_and_changes_nothing() {
    let app = App::start().await;
    let first = app.issue().await;
    let second = app.renew(&first).await.tokens();
    app.renew(&second).await.tokens();
    let records = app.records().await;
    let mut forged = second.refresh().to_owned();
    forged.replace_range(60..61, if &forged[60..61] == "A" { "B" } else { "A" });
    for (caller, token) in [
        ("librechat", forged.as_str()),
        ("librechat", "garbage"),
        ("other", second.refresh()),
        ("other", second.access()),
        ("second", second.refresh()),
        ("librechat", second.0["id_token"].as_str().unwrap()),
    ] {
        let answer = revoke(&app, caller, token).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, "{}"), "{caller}");
    }
    app.clock.advance(86_400);
    assert_eq!(revoke(&app, "librechat", second.access()).await.status, 200);
    assert_eq!(app.records().await, records);
}

#[tokio::test]
async fn an_access_token_ends_its_session_for_as_long_as_it_lets_in() {
    let app = App::with(&[("LATCHKEY_CLOCK_SKEW_SECONDS", "30")]).await;
    let tokens = app.issue().await;
    app.clock.advance(86_430);
    revoke(&app, "librechat", tokens.access()).await;
    assert!(!is_revoked(&app).await);
    app.clock.advance_millis(-1);
    revoke(&app, "librechat", tokens.access()).await;
    assert!(is_revoked(&app).await);
}

#[tokio::test]
async fn revocation_twice_is_200_twice() {
    let app = App::start().await;
    let tokens = app.issue().await;
    revoke(&app, "librechat", tokens.refresh()).await;
    let records = app.records().await;
    assert_eq!(revoke(&app, "librechat", tokens.refresh()).await.status, 200);
    assert_eq!(app.records().await, records);
}

#[tokio::test]
async fn who_asks_must_say_who_it_is() {
    let app = App::start().await;
    let tokens = app.issue().await;
    let token = ("token", tokens.refresh());
    let post = async |authorization: Option<&str>, pairs: &[(&str, &str)]| {
        app.post("/token/revoke", authorization, FORM, form(pairs)).await
    };
    let wrong = post(Some(&basic("librechat", "wrong")), &[token]).await;
    wrong.refused(401, "invalid_client");
    assert!(wrong.headers.contains_key("www-authenticate"));
    let missing = post(None, &[token]).await;
    missing.refused(401, "invalid_client");
    assert!(!missing.headers.contains_key("www-authenticate"));
    post(None, &[token, ("client_id", "librechat")]).await.refused(401, "invalid_client");
    let librechat = basic("librechat", &secret_of("librechat"));
    post(Some(&librechat), &[token, ("client_id", "other")]).await.refused(400, "invalid_request");
    post(None, &[token, ("issuer_id", "portal")]).await.refused(400, "invalid_request");
    let assertion_type = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let assertion = [("client_assertion_type", assertion_type), ("client_assertion", "x")];
    for (id, secret, name) in [("client_id", "client_secret", "librechat"), ("issuer_id", "issuer_secret", "portal")] {
        let own = secret_of(name);
        let twice = [&[token, (id, name), (secret, &own)], &assertion[..]].concat();
        post(None, &twice).await.refused(400, "invalid_request");
    }
    post(Some(&librechat), &[]).await.refused(400, "invalid_request");
    assert!(!is_revoked(&app).await);
    app.drop_table().await;
    post(Some(&librechat), &[token]).await.refused(503, "temporarily_unavailable");
}

/// Races of a sign-out with a client that renews as fast as it can: a hundred, or as many as `LATCHKEY_RACES` says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_renewal_succeeds_that_began_after_a_revocation_was_answered() {
    let app = std::sync::Arc::new(App::start().await);
    let races = std::env::var("LATCHKEY_RACES").ok().and_then(|races| races.parse().ok()).unwrap_or(100);
    for _ in 0..races {
        let mut tokens = app.issue_for("spa").await;
        let session = app.session_of(tokens.refresh());
        let renewing = {
            let app = std::sync::Arc::clone(&app);
            tokio::spawn(async move {
                let mut last_success = None;
                loop {
                    let begin = Instant::now();
                    let answer = app.renew_as("spa", &tokens).await;
                    if answer.status != 200 {
                        answer.invalid_grant();
                        return (last_success, tokens);
                    }
                    last_success = Some(begin);
                    tokens = answer.tokens();
                }
            })
        };
        let answer = delete(&app, "portal", &format!("/sessions/{session}")).await;
        let answered = Instant::now();
        assert_eq!(answer.json()["ended"], 1);
        let generation = app.generation_of(&session).await;
        let (last_success, tokens) = renewing.await.unwrap();
        assert!(last_success.is_none_or(|begin| begin < answered));
        assert_eq!(app.generation_of(&session).await, generation);
        app.renew_as("spa", &tokens).await.invalid_grant();
    }
}

async fn send(app: &App, method: &str, caller: &str, path: &str) -> Answer {
    let request =
        Request::builder().method(method).uri(path).header("authorization", basic(caller, &secret_of(caller)));
    app.send(request.body(vec![]).unwrap()).await
}

async fn delete(app: &App, caller: &str, path: &str) -> Answer {
    send(app, "DELETE", caller, path).await
}

fn ids(answer: &Answer) -> Vec<Value> {
    answer.json()["sessions"].as_array().unwrap().iter().map(|session| session["session_id"].clone()).collect()
}

#[tokio::test]
async fn an_issuer_sees_its_subjects_live_sessions_and_no_others() {
    let app = App::start().await;
    let first = app.issue().await;
    app.clock.advance(1);
    let second = app.issue_for("spa").await;
    app.issue_form(&[("client_id", "librechat"), ("subject", "bob")]).await.tokens();
    let all = send(&app, "GET", "portal", "/sessions?subject=alice").await;
    assert_eq!(ids(&all), [first.0["session_id"].clone(), second.0["session_id"].clone()]);
    assert_eq!(all.headers["cache-control"], "no-store");
    let session = &all.json()["sessions"][0];
    assert_eq!(
        (&session["subject"], &session["client_id"], &session["generation"]),
        (&json!("alice"), &json!("librechat"), &json!(0))
    );
    let one = send(&app, "GET", "portal", "/sessions?subject=alice&client_id=spa").await;
    assert_eq!(ids(&one), [second.0["session_id"].clone()]);
    assert!(ids(&send(&app, "GET", "second", "/sessions?subject=alice").await).is_empty());
    send(&app, "GET", "second", "/sessions?subject=alice&client_id=spa").await.refused(400, "unauthorized_client");
    let recorded = logs::lines(|line| {
        line["event"] == "client_rejected"
            && line["issuer_id"] == "second"
            && line["reason"] == "issuer_may_not_act_for_client"
    });
    assert!(!recorded.is_empty());
    send(&app, "GET", "librechat", "/sessions?subject=alice").await.refused(401, "invalid_client");
    send(&app, "GET", "portal", "/sessions").await.refused(400, "invalid_request");
    send(&app, "GET", "portal", "/sessions?subject=alice&subject=bob").await.refused(400, "invalid_request");
    send(&app, "GET", "portal", "/sessions?subject=alice&issuer_secret=x").await.refused(400, "invalid_request");
    for text in ["lk1_", "secret_hash", "sealed"] {
        assert!(!all.text.contains(text));
    }
}

#[tokio::test]
async fn all_sessions_of_a_subject_end_at_once_and_anothers_do_not() {
    let app = App::start().await;
    let one = app.issue().await;
    let two = app.issue().await;
    let bob = app.issue_form(&[("client_id", "librechat"), ("subject", "bob")]).await.tokens();
    assert_eq!(delete(&app, "portal", "/sessions?subject=alice").await.json(), json!({"ended": 2}));
    assert_eq!(delete(&app, "portal", "/sessions?subject=alice").await.json(), json!({"ended": 0}));
    app.renew(&one).await.invalid_grant();
    app.renew(&two).await.invalid_grant();
    app.renew(&bob).await.tokens();
    assert!(ids(&send(&app, "GET", "portal", "/sessions?subject=alice").await).is_empty());
}

#[tokio::test]
async fn one_session_ends_by_its_id_and_only_for_its_issuer() {
    let app = App::start().await;
    let tokens = app.issue().await;
    let path = format!("/sessions/{}", tokens.0["session_id"].as_str().unwrap());
    assert_eq!(delete(&app, "second", &path).await.json(), json!({"ended": 0}));
    let unknown = format!("/sessions/{}", "A".repeat(43));
    assert_eq!(delete(&app, "portal", &unknown).await.json(), json!({"ended": 0}));
    delete(&app, "portal", "/sessions/nonsense").await.refused(400, "invalid_request");
    assert_eq!(delete(&app, "portal", &path).await.json(), json!({"ended": 1}));
    app.renew(&tokens).await.invalid_grant();
    assert_eq!(send(&app, "GET", "portal", &path).await.status, 405);
}

#[tokio::test]
async fn an_idle_session_is_listed_and_ended() {
    let app = App::with(&[("LATCHKEY_IDLE_SECONDS", "60")]).await;
    let first = app.issue().await;
    app.issue_for("spa").await;
    app.clock.advance(30);
    let live = app.issue().await;
    app.clock.advance(30);
    let listed = send(&app, "GET", "portal", "/sessions?subject=alice").await.json();
    let standing = |id: &Value| {
        let sessions = listed["sessions"].as_array().unwrap();
        sessions.iter().find(|session| session["session_id"] == *id).unwrap()["state"].clone()
    };
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 3);
    assert_eq!((standing(&first.0["session_id"]), standing(&live.0["session_id"])), ("idle".into(), "live".into()));
    // Its access token lets in for a day; so it has to be possible to end it.
    let introspected = async || {
        let asked = form(&[("token", first.access())]);
        app.post("/token/introspect", Some(&basic("portal", &secret_of("portal"))), FORM, asked).await.json()
    };
    assert_eq!(introspected().await["active"], true);
    let path = format!("/sessions/{}", first.0["session_id"].as_str().unwrap());
    assert_eq!(delete(&app, "portal", &path).await.json(), json!({"ended": 1}));
    assert_eq!(introspected().await["active"], false);
    assert_eq!(delete(&app, "portal", &path).await.json(), json!({"ended": 0}));
    assert_eq!(delete(&app, "portal", "/sessions?subject=alice").await.json(), json!({"ended": 2}));
    assert!(ids(&send(&app, "GET", "portal", "/sessions?subject=alice").await).is_empty());
}

#[tokio::test]
async fn a_session_past_its_absolute_expiry_is_neither_listed_nor_ended() {
    let app = App::with(&[("LATCHKEY_ABSOLUTE_SECONDS", "60")]).await;
    let tokens = app.issue().await;
    app.clock.advance(60);
    assert!(ids(&send(&app, "GET", "portal", "/sessions?subject=alice").await).is_empty());
    let path = format!("/sessions/{}", tokens.0["session_id"].as_str().unwrap());
    for path in [path.as_str(), "/sessions?subject=alice"] {
        assert_eq!(delete(&app, "portal", path).await.json(), json!({"ended": 0}));
    }
    assert!(!is_revoked(&app).await);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_left_out_of_lists_and_ended_like_any_other() {
    let app = App::start().await;
    app.issue().await;
    app.plant("scope", AttributeValue::N("1".into())).await;
    let readable = app.issue().await;
    let listed = send(&app, "GET", "portal", "/sessions?subject=alice").await;
    assert_eq!(ids(&listed), [readable.0["session_id"].clone()]);
    assert_eq!(delete(&app, "portal", "/sessions?subject=alice").await.json(), json!({"ended": 2}));
    assert!(app.records().await.values().all(|record| record.contains("revoked_at")));
    assert_eq!(delete(&app, "portal", "/sessions?subject=alice").await.json(), json!({"ended": 0}));
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_ended_by_its_id_if_it_says_whose_it_is() {
    let app = App::start().await;
    let tokens = app.issue().await;
    let path = format!("/sessions/{}", tokens.0["session_id"].as_str().unwrap());
    app.plant("scope", AttributeValue::N("1".into())).await;
    assert_eq!(delete(&app, "second", &path).await.json(), json!({"ended": 0}), "another issuer's");
    assert!(!is_revoked(&app).await);
    // The key was made of another subject: the record's word is not believed.
    app.plant("subject", AttributeValue::S("bob".into())).await;
    delete(&app, "portal", &path).await.refused(503, "temporarily_unavailable");
    assert!(!is_revoked(&app).await);
    app.plant("subject", AttributeValue::S("alice".into())).await;
    assert_eq!(delete(&app, "portal", &path).await.json(), json!({"ended": 1}));
    assert!(is_revoked(&app).await);
    assert_eq!(delete(&app, "portal", &path).await.json(), json!({"ended": 0}), "once");
    let lines = logs::audit_of(tokens.0["session_id"].as_str().unwrap());
    let ended = lines.last().unwrap();
    assert_eq!((&ended["event"], &ended["client_id"]), (&"session_revoked".into(), &"librechat".into()));
    assert_eq!(ended["subject_hash"], lines[0]["subject_hash"]);
}

#[tokio::test]
async fn ending_all_asks_for_keys_alone() {
    let app = App::start().await;
    for _ in 0..3 {
        app.issue().await;
    }
    app.operations();
    delete(&app, "portal", "/sessions?subject=alice&client_id=librechat").await;
    assert_eq!(app.operations(), ["Query", "UpdateItem", "UpdateItem", "UpdateItem"]);
}

#[tokio::test]
async fn a_list_is_paged_by_client_and_then_by_session() {
    let app = App::start().await;
    for client in ["spa", "librechat", "librechat", "spa", "librechat"] {
        app.issue_for(client).await;
        app.clock.advance(1);
    }
    let whole = send(&app, "GET", "portal", "/sessions?subject=alice").await;
    assert_eq!((ids(&whole).len(), whole.json().get("next")), (5, None));
    for limit in 1..=6 {
        let (mut all, mut pages, mut next) = (Vec::new(), 0, String::new());
        loop {
            let page = send(&app, "GET", "portal", &format!("/sessions?subject=alice&limit={limit}{next}")).await;
            let own = ids(&page);
            assert!(!own.is_empty() && own.len() <= limit, "{limit}: {page:?}");
            pages += 1;
            all.extend(own);
            let Some(id) = page.json().get("next").cloned() else { break };
            assert_eq!(Some(&id), all.last());
            next = format!("&next={}", id.as_str().unwrap());
        }
        assert_eq!((all, pages), (ids(&whole), 5_usize.div_ceil(limit)), "{limit}");
    }
    let clients = |answer: &Answer| -> Vec<String> {
        let json = answer.json();
        let sessions = json["sessions"].as_array().unwrap();
        sessions.iter().map(|session| session["client_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(clients(&whole), ["librechat", "librechat", "librechat", "spa", "spa"]);
    // A page goes on behind a session that has been ended meanwhile.
    let first = send(&app, "GET", "portal", "/sessions?subject=alice&limit=2").await.json()["next"].clone();
    let first = first.as_str().unwrap().to_owned();
    delete(&app, "portal", &format!("/sessions/{first}")).await;
    let rest = send(&app, "GET", "portal", &format!("/sessions?subject=alice&next={first}")).await;
    assert_eq!(ids(&rest), ids(&whole)[2..]);
}

#[tokio::test]
async fn a_next_that_no_answer_to_the_query_can_have_is_refused() {
    let app = App::start().await;
    let own = app.issue().await.0["session_id"].as_str().unwrap().to_owned();
    let bobs = app.issue_form(&[("client_id", "librechat"), ("subject", "bob")]).await.tokens();
    let bobs = bobs.0["session_id"].as_str().unwrap();
    for query in [format!("next={bobs}"), format!("client_id=spa&next={own}"), "next=x".into()] {
        let answer = send(&app, "GET", "portal", &format!("/sessions?subject=alice&{query}")).await;
        answer.refused(400, "invalid_request");
    }
    send(&app, "GET", "portal", &format!("/sessions?subject=alice&next={own}")).await.json();
    for limit in ["0", "1001", "x", "-1"] {
        send(&app, "GET", "portal", &format!("/sessions?subject=alice&limit={limit}"))
            .await
            .refused(400, "invalid_request");
    }
    delete(&app, "portal", "/sessions?subject=alice&limit=1").await.refused(400, "invalid_request");
}
