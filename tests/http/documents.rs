//! Faulty documents: each entry stands for itself, and what was removed is gone whatever else is wrong (design §6).

use serde_json::{Value, json};

use crate::support::{App, FORM, Tokens, basic, form, keys, secret_of};

/// What a change makes of the registrations.
fn registrations(change: impl Fn(&mut Value)) -> String {
    let mut document: Value = serde_json::from_str(&keys::registrations()).unwrap();
    change(&mut document);
    document.to_string()
}

fn entry<'a>(document: &'a mut Value, list: &str, id: &str) -> &'a mut Value {
    let is_it = |entry: &&mut Value| entry["client_id"] == id || entry["issuer_id"] == id || entry["kid"] == id;
    document[list].as_array_mut().unwrap().iter_mut().find(is_it).unwrap()
}

fn remove(document: &mut Value, list: &str, id: &str) {
    document[list].as_array_mut().unwrap().retain(|entry| entry["client_id"] != id && entry["issuer_id"] != id);
}

async fn introspected(app: &App, tokens: &Tokens) -> crate::support::Answer {
    let asked = form(&[("token", tokens.access())]);
    app.post("/token/introspect", Some(&basic("portal", &secret_of("portal"))), FORM, asked).await
}

async fn is_let_in(app: &App, tokens: &Tokens) -> u16 {
    let bearer = format!("Bearer {}", tokens.access());
    let request = lambda_http::http::Request::get("/demo/me").header("authorization", bearer);
    app.send(request.body(Vec::new()).unwrap()).await.status.as_u16()
}

#[tokio::test]
async fn a_faulty_client_is_answered_503_and_the_others_go_on_without_those_that_were_removed() {
    type Fault = fn(&mut Value);
    let faults: [(&str, Fault); 8] = [
        ("an unknown algorithm", |client| client["alg"] = "RS512".into()),
        ("a key that is gone", |client| client["kid"] = "gone".into()),
        ("a key of another algorithm", |client| client["kid"] = "librechat-hs".into()),
        ("no audience", |client| drop(client.as_object_mut().unwrap().remove("audience"))),
        ("no time", |client| client["access_token_seconds"] = "1h".into()),
        ("a fault within", |client| client["renewal"] = json!({"requires": "nothing"})),
        ("an epoch that is none", |client| client["sessions_not_before"] = "today".into()),
        ("an epoch after the year 9999", |client| client["sessions_not_before"] = 253_402_300_800_i64.into()),
    ];
    for (fault, break_it) in faults {
        let app = App::start().await;
        let (good, bad, removed) =
            (app.issue().await, app.issue_for("wide").await, app.issue_for("librechat-oauth").await);
        let records = app.records().await;
        app.rewrite(
            "clients.json",
            &registrations(|document| {
                break_it(entry(document, "clients", "wide"));
                remove(document, "clients", "librechat-oauth");
            }),
        );
        app.renew_as("wide", &bad).await.refused(503, "temporarily_unavailable");
        introspected(&app, &bad).await.refused(503, "temporarily_unavailable");
        let issued = app.issue_form(&[("client_id", "wide"), ("subject", "alice")]).await;
        issued.refused(503, "temporarily_unavailable");
        assert!(issued.headers.contains_key("retry-after"), "{fault}");
        assert_eq!(app.records().await, records, "{fault}: nothing is written, no session ended");

        app.renew_as("librechat-oauth", &removed).await.refused(401, "invalid_client");
        let renewed = app.renew(&good).await.tokens();
        assert_eq!(introspected(&app, &renewed).await.json()["active"], true, "{fault}");

        app.rewrite("clients.json", &keys::registrations());
        app.renew_as("wide", &bad).await.tokens();
    }
}

#[tokio::test]
async fn sessions_of_a_faulty_client_are_listed_and_ended_like_others() {
    let app = App::start().await;
    let (good, bad) = (app.issue().await, app.issue_for("wide").await);
    app.rewrite("clients.json", &registrations(|document| entry(document, "clients", "wide")["alg"] = "x".into()));
    let portal = basic("portal", &secret_of("portal"));
    let ask = async |method: &str| {
        let request = lambda_http::http::Request::builder().method(method).uri("/sessions?subject=alice");
        app.send(request.header("authorization", &portal).body(Vec::new()).unwrap()).await.json()
    };
    assert_eq!(ask("GET").await["sessions"].as_array().unwrap().len(), 2);
    assert_eq!(ask("DELETE").await, json!({"ended": 2}));
    app.renew(&good).await.invalid_grant();
    app.rewrite("clients.json", &keys::registrations());
    app.renew_as("wide", &bad).await.invalid_grant();
}

#[tokio::test]
async fn unknown_members_are_ignored_unless_the_document_says_that_they_are_critical() {
    let app = App::start().await;
    let (mut good, mut newer) = (app.issue().await, app.issue_for("wide").await);
    let with_news = |critical: Value| {
        registrations(|document| {
            document["of_a_newer_version"] = json!({"at": ["the top"]});
            entry(document, "clients", "wide")["only_by_day"] = true.into();
            entry(document, "issuers", "portal")["of_a_newer_version"] = 1.into();
            document["critical"] = critical.clone();
        })
    };
    app.rewrite("clients.json", &with_news(json!(["audience", "not_there"])));
    good = app.renew(&good).await.tokens();
    newer = app.renew_as("wide", &newer).await.tokens();
    app.issue().await;

    app.rewrite("clients.json", &with_news(json!(["only_by_day"])));
    app.renew_as("wide", &newer).await.refused(503, "temporarily_unavailable");
    good = app.renew(&good).await.tokens();

    for at_the_top in [json!(["of_a_newer_version"]), json!("not a list")] {
        app.rewrite("clients.json", &with_news(at_the_top));
        app.renew(&good).await.refused(503, "temporarily_unavailable");
        app.renew_as("nobody", &good).await.refused(401, "invalid_client");
    }
    app.rewrite("clients.json", &keys::registrations());
    app.renew(&good).await.tokens();
    app.renew_as("wide", &newer).await.tokens();
}

#[tokio::test]
async fn a_faulty_issuer_is_answered_503_and_its_sessions_go_on_unless_its_epoch_says_otherwise() {
    let app = App::start().await;
    let (tokens, other) = (app.issue().await, issued_by_second(&app).await);
    let break_it = |more: Value| {
        registrations(|document| {
            let issuer = entry(document, "issuers", "portal");
            issuer["secret_sha256"] = json!(["not a hash"]);
            for (member, value) in more.as_object().unwrap() {
                issuer[member] = value.clone();
            }
        })
    };
    app.rewrite("clients.json", &break_it(json!({})));
    let issued = async || app.issue_form(&[("client_id", "librechat"), ("subject", "alice")]).await;
    issued().await.refused(503, "temporarily_unavailable");
    let tokens = app.renew(&tokens).await.tokens();
    let other = app.renew_as("other", &other).await.tokens();

    // Whether its sessions are over cannot be read: nobody can tell, and nobody drops tokens.
    app.rewrite("clients.json", &break_it(json!({"sessions_not_before": "today"})));
    app.operations();
    app.renew(&tokens).await.refused(503, "temporarily_unavailable");
    assert_eq!(app.operations(), ["UpdateItem"], "one request, as ever");
    assert_eq!(is_let_in(&app, &tokens).await, 503);
    let other = app.renew_as("other", &other).await.tokens();
    // What is certain is answered: another reason to refuse counts.
    app.renew(&tokens.with_access(other.access())).await.invalid_grant();

    app.rewrite("clients.json", &break_it(json!({"disabled": true})));
    issued().await.refused(401, "invalid_client");
    let tokens = app.renew(&tokens).await.tokens();
    app.rewrite("clients.json", &break_it(json!({"sessions_not_before": app.now() + 1})));
    app.renew(&tokens).await.invalid_grant();
}

#[tokio::test]
async fn the_epoch_of_an_issuer_without_an_id_may_be_that_of_any_issuer_that_no_entry_names() {
    let app = App::start().await;
    let (tokens, other) = (app.issue().await, issued_by_second(&app).await);
    let nameless = |epoch: Value| {
        registrations(|document| {
            let issuer = entry(document, "issuers", "portal");
            issuer["issuer_id"] = 5.into();
            issuer["sessions_not_before"] = epoch.clone();
        })
    };
    app.rewrite("clients.json", &nameless(json!(0)));
    let tokens = app.renew(&tokens).await.tokens();
    app.rewrite("clients.json", &nameless(json!(app.now() + 1)));
    app.renew(&tokens).await.refused(503, "temporarily_unavailable");
    assert_eq!(is_let_in(&app, &tokens).await, 503);
    app.renew_as("other", &other).await.tokens();
    app.rewrite(
        "clients.json",
        &registrations(|document| {
            let issuers = document["issuers"].as_array_mut().unwrap();
            issuers.retain(|issuer| issuer["issuer_id"] != "portal");
            issuers.push("no object".into());
        }),
    );
    app.renew(&tokens).await.refused(503, "temporarily_unavailable");
    app.rewrite("clients.json", &keys::registrations());
    app.renew(&tokens).await.tokens();
}

#[tokio::test]
async fn an_assertion_is_refused_as_unknown_only_if_no_faulty_issuer_may_have_made_it() {
    let app = App::start().await;
    let assertion = |document: String| {
        app.rewrite("clients.json", &document);
        let claims = json!({"iss": "old-portal", "user_id": "alice", "iat": app.now()});
        let key = jsonwebtoken::EncodingKey::from_secret(b"another secret of 32+ bytes, which no issuer has");
        let header = json!({"alg": "HS256", "typ": "JWT"});
        keys::signed(&header, &claims, jsonwebtoken::Algorithm::HS256, &key)
    };
    let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    for (iss, status, error) in [
        (json!("someone-else"), 400, "invalid_grant"),
        (json!("old-portal"), 503, "temporarily_unavailable"),
        (json!(5), 503, "temporarily_unavailable"),
    ] {
        let faulty = registrations(|document| {
            let issuer = entry(document, "issuers", "legacy");
            issuer["assertion_iss"] = iss.clone();
            issuer["hs256_secret"] = "short".into();
        });
        let body = form(&[("grant_type", grant), ("assertion", &assertion(faulty))]);
        app.post("/token", None, FORM, body).await.refused(status, error);
    }
}

#[tokio::test]
async fn a_critical_member_that_cannot_be_read_is_not_ignored() {
    let app = App::start().await;
    let tokens = app.issue().await;
    let doubled = |critical: &str| {
        keys::registrations().replacen('{', &format!(r#"{{"critical":["{critical}"],"news":{{"a":1,"a":2}},"#), 1)
    };
    app.rewrite("clients.json", &doubled("other"));
    let tokens = app.renew(&tokens).await.tokens();
    app.rewrite("clients.json", &doubled("news"));
    app.renew(&tokens).await.refused(503, "temporarily_unavailable");
}

#[tokio::test]
async fn a_client_that_is_not_registered_does_not_count_among_an_issuers() {
    let app = App::start().await;
    app.rewrite(
        "clients.json",
        &registrations(|document| entry(document, "issuers", "portal")["clients"] = json!(["gone", "librechat"])),
    );
    app.issue_form(&[("subject", "alice")]).await.tokens();
}

#[tokio::test]
async fn reuse_ends_a_session_whose_epoch_cannot_be_read() {
    let app = App::start().await;
    let first = app.issue().await;
    let second = app.renew(&first).await.tokens();
    let third = app.renew(&second).await.tokens();
    let unreadable = registrations(|document| entry(document, "issuers", "portal")["sessions_not_before"] = "x".into());
    app.rewrite("clients.json", &unreadable);
    app.renew(&first).await.invalid_grant();
    app.rewrite("clients.json", &keys::registrations());
    app.renew(&third).await.invalid_grant();
}

#[tokio::test]
async fn an_id_that_stands_twice_and_a_member_that_does_cost_their_entries_alone() {
    let app = App::start().await;
    let (good, twice) = (app.issue().await, app.issue_for("wide").await);
    let doubled = registrations(|document| {
        let copy = entry(document, "clients", "wide").clone();
        document["clients"].as_array_mut().unwrap().push(copy);
    });
    app.rewrite("clients.json", &doubled);
    app.renew_as("wide", &twice).await.refused(503, "temporarily_unavailable");
    let good = app.renew(&good).await.tokens();

    let text = keys::registrations();
    let member_twice = text.replacen(r#""audience":["wide","#, r#""audience":["x"],"audience":["wide","#, 1);
    assert_ne!(member_twice, text);
    app.rewrite("clients.json", &member_twice);
    app.renew_as("wide", &twice).await.refused(503, "temporarily_unavailable");
    let good = app.renew(&good).await.tokens();

    // At the top it is no document: the last good one stays in force.
    let no_document = registrations(|document| remove(document, "clients", "wide"));
    app.rewrite("clients.json", &no_document.replacen('{', r#"{"clients":[],"#, 1));
    app.renew(&good).await.tokens();
    app.rewrite("clients.json", &no_document);
    app.renew_as("wide", &twice).await.refused(401, "invalid_client");
}

#[tokio::test]
async fn an_entry_without_an_id_may_be_anybodys() {
    let app = App::start().await;
    let (good, nameless) = (app.issue().await, app.issue_for("wide").await);
    app.rewrite("clients.json", &registrations(|document| entry(document, "clients", "wide")["client_id"] = 5.into()));
    app.renew_as("wide", &nameless).await.refused(503, "temporarily_unavailable");
    app.renew(&good).await.tokens();
}

#[tokio::test]
async fn a_faulty_key_costs_its_own_tokens_alone_and_a_removed_one_is_gone() {
    let app = App::start().await;
    // RS256, ES256 and EdDSA.
    let (good, faulty, removed) = (app.issue().await, app.issue_for("wide").await, app.issue_for("ed").await);
    let mut ring: Value = serde_json::from_str(&keys::ring()).unwrap();
    let signing = ring["signing"].as_array_mut().unwrap();
    signing.retain(|key| key["alg"] != "EdDSA");
    signing.iter_mut().find(|key| key["alg"] == "ES256").unwrap()["private_key"] = "damaged".into();
    ring["of_a_newer_version"] = true.into();
    app.rewrite("keys.json", &ring.to_string());
    app.renew_as("wide", &faulty).await.refused(503, "temporarily_unavailable");
    introspected(&app, &faulty).await.refused(503, "temporarily_unavailable");
    app.renew_as("ed", &removed).await.invalid_grant();
    app.renew(&good).await.tokens();
    app.rewrite("keys.json", &keys::ring());
    app.renew_as("wide", &faulty).await.tokens();
}

#[tokio::test]
async fn a_faulty_tag_key_costs_its_own_refresh_tokens_alone() {
    let app = App::start().await;
    let tokens = app.issue().await;
    let second = json!({"kid": 2, "secret": "CgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo", "use_from": 1});
    let both = |first: Value| keys::ring_with(json!([first, second]), vec![]);
    app.rewrite("keys.json", &both(json!({"kid": 1, "secret": "short"})));
    app.renew(&tokens).await.refused(503, "temporarily_unavailable");
    let later = app.issue().await;
    app.renew(&later).await.tokens();
    app.rewrite("keys.json", &both(json!({"kid": 1, "secret": keys::tag_secret()})));
    app.renew(&tokens).await.tokens();
}

/// A session of `other`, which only `second` may issue.
async fn issued_by_second(app: &App) -> Tokens {
    let body = form(&[("client_id", "other"), ("subject", "bob")]);
    app.post("/token", Some(&basic("second", &secret_of("second"))), FORM, body).await.tokens()
}
