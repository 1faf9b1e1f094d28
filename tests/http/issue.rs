//! `POST /token`.

use latchkey_token::{keys::AuditKey, values::Subject};
use serde_json::json;

use crate::support::{App, FORM, ISSUER, JSON, RESERVED_CLAIMS, START, basic, form, keys, logs, part, secret_of};

#[tokio::test]
async fn an_access_token_lives_24_hours_by_default() {
    let app = App::start().await;
    let tokens = app.issue().await;
    assert_eq!(tokens.0["expires_in"], 86_400);
    assert_eq!(tokens.0["refresh_token_expires_in"], 604_800);
    assert_eq!(tokens.0["token_type"], "Bearer");
    let claims = tokens.claims();
    assert_eq!(claims["iat"], START.unix_seconds());
    assert_eq!(claims["exp"], START.unix_seconds() + 86_400);
}

#[tokio::test]
async fn the_access_token_holds_exactly_what_the_contract_says() {
    let app = App::start().await;
    let tokens = app.issue().await;
    let header = part(tokens.access(), 0);
    assert_eq!(header, json!({"alg": "RS256", "kid": keys::rs256().kid, "typ": "at+jwt"}));
    let claims = tokens.claims();
    let mut names: Vec<&String> = claims.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, ["aud", "client_id", "exp", "iat", "iss", "jti", "scope", "sid", "sub"]);
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["sub"], "alice");
    assert_eq!(claims["aud"], "librechat");
    assert_eq!(claims["client_id"], "librechat");
    assert_eq!(claims["scope"], "openid profile email");
    assert_eq!(claims["sid"], tokens.0["session_id"]);
    assert_eq!(tokens.0["session_id"].as_str().unwrap().len(), 43);
    assert!(tokens.refresh().starts_with("lk1_"));
}

#[tokio::test]
async fn several_audiences_are_a_list() {
    let app = App::start().await;
    assert_eq!(app.issue_for("wide").await.claims()["aud"], json!(["wide", "https://api.example.org"]));
}

#[tokio::test]
async fn issue_is_one_put() {
    let app = App::start().await;
    app.issue().await;
    assert_eq!(app.operations(), ["PutItem"]);
}

#[tokio::test]
async fn the_record_is_the_contracts() {
    let app = App::start().await;
    app.issue_form(&[("client_id", "wide"), ("subject", "alice"), ("claims", r#"{"groups":["a",1]}"#)]).await.tokens();
    let record = app.record().await;
    let mut names: Vec<&String> = record.keys().collect();
    names.sort();
    assert_eq!(
        names,
        [
            "absolute_expires_at",
            "access_expires_at",
            "access_token_seconds",
            "audience",
            "claims",
            "client_id",
            "expires_at",
            "generation",
            "idle_expires_at",
            "issued_at",
            "issuer_id",
            "owner",
            "rotated_at",
            "scope",
            "secret_hash",
            "sid",
            "subject",
            "tag_kid",
        ]
    );
    let start = START.unix_millis();
    for (name, expected) in [
        ("issued_at", start),
        ("rotated_at", start),
        ("access_expires_at", start + 86_400_000),
        ("idle_expires_at", start + 604_800_000),
        ("absolute_expires_at", start + 2_592_000_000),
        ("expires_at", (start + 2_592_000_000) / 1000 + 86_400),
        ("generation", 0),
        ("tag_kid", 1),
        ("access_token_seconds", 86_400),
    ] {
        assert_eq!(record[name].as_n().unwrap(), &expected.to_string(), "{name}");
    }
    for (name, bytes) in [("owner", 16), ("sid", 16), ("secret_hash", 32)] {
        assert_eq!(record[name].as_b().unwrap().as_ref().len(), bytes, "{name}");
    }
    assert!(record["claims"].is_m() && record["audience"].is_l() && record["scope"].is_s());
}

#[tokio::test]
async fn a_subject_has_nothing_that_an_operator_would_not_see() {
    let app = App::start().await;
    for subject in [" alice", "alice\u{a0}", "ali\u{200b}ce", "alice\u{200e}", "\u{202e}ecila", "\u{feff}alice"] {
        let answer = app.issue_form(&[("client_id", "librechat"), ("subject", subject)]).await;
        answer.refused(400, "invalid_request");
    }
    assert!(app.records().await.is_empty());
    for subject in ["Ada Lovelace", "山田\u{3000}太郎", "אליס"] {
        let tokens = app.issue_form(&[("client_id", "librechat"), ("subject", subject)]).await.tokens();
        assert_eq!(tokens.claims()["sub"], subject);
    }
}

#[tokio::test]
async fn form_and_json_say_the_same() {
    let app = App::start().await;
    let body = json!({
        "issuer_id": "portal", "issuer_secret": secret_of("portal"), "client_id": "librechat", "subject": "alice",
        "scope": "email openid", "claims": {"email": "alice@example.org"}, "expires_in": 600, "nonce": "n-1", "extra": 1,
    });
    let by_json = app.post("/token", None, JSON, body.to_string()).await.tokens();
    let secret = secret_of("portal");
    let pairs = [
        ("issuer_id", "portal"),
        ("issuer_secret", &secret),
        ("client_id", "librechat"),
        ("subject", "alice"),
        ("scope", "email openid"),
        ("claims", r#"{"email":"alice@example.org"}"#),
        ("expires_in", "600"),
        ("nonce", "n-1"),
        ("extra", "1"),
    ];
    let by_form = app.post("/token", None, FORM, form(&pairs)).await.tokens();
    for tokens in [by_json, by_form] {
        let claims = tokens.claims();
        assert_eq!(claims["scope"], "email openid");
        assert_eq!(tokens.0["scope"], "email openid");
        assert_eq!(claims["email"], "alice@example.org");
        assert_eq!(tokens.0["expires_in"], 600);
        assert_eq!(tokens.id_claims()["nonce"], "n-1");
    }
}

#[tokio::test]
async fn expires_in_shortens_and_never_lengthens() {
    let app = App::start().await;
    let issue = async |seconds| {
        app.issue_form(&[("client_id", "short"), ("subject", "alice"), ("expires_in", seconds)]).await.tokens().0["expires_in"]
            .clone()
    };
    assert_eq!(issue("60").await, 60);
    assert_eq!(issue("300").await, 300);
    assert_eq!(issue("301").await, 300);
    assert_eq!(issue("99999999999999999999").await, 300);
}

#[tokio::test]
async fn a_token_never_outlives_its_session() {
    let app = App::with(&[("LATCHKEY_ABSOLUTE_SECONDS", "1000")]).await;
    let tokens = app.issue().await;
    assert_eq!(tokens.0["expires_in"], 1000);
    assert_eq!(tokens.0["refresh_token_expires_in"], 1000);
}

#[tokio::test]
async fn scope_is_all_that_is_registered_or_what_is_asked_for() {
    let app = App::start().await;
    let issue =
        async |scope: &str| app.issue_form(&[("client_id", "librechat"), ("subject", "alice"), ("scope", scope)]).await;
    let narrow = issue("email").await.tokens();
    assert_eq!(narrow.0["scope"], "email");
    assert!(narrow.0.get("id_token").is_none(), "no openid, no ID token");
    issue("email admin").await.refused(400, "invalid_scope");
    issue("email  openid").await.refused(400, "invalid_scope");
    issue("e\"mail").await.refused(400, "invalid_scope");
    assert_eq!(issue("").await.tokens().0["scope"], "openid profile email", "empty is left out");
    let scopeless = app.issue_for("scopeless").await;
    assert!(scopeless.0.get("scope").is_none(), "no value, no member");
    assert_eq!(scopeless.claims()["scope"], "");
}

#[tokio::test]
async fn the_id_token_is_openids() {
    let app = App::start().await;
    let answer = app
        .issue_form(&[
            ("client_id", "wide"),
            ("subject", "alice"),
            ("claims", r#"{"email":"alice@example.org","name":"Alice"}"#),
            ("nonce", "n-0S6_WzA2Mj"),
        ])
        .await;
    let tokens = answer.tokens();
    let header = part(tokens.0["id_token"].as_str().unwrap(), 0);
    assert_eq!(header, json!({"alg": "ES256", "kid": keys::es256().kid, "typ": "JWT"}));
    let now = START.unix_seconds();
    assert_eq!(
        tokens.id_claims(),
        json!({
            "iss": ISSUER, "sub": "alice", "aud": "wide", "iat": now, "exp": now + 86_400, "nonce": "n-0S6_WzA2Mj",
            "sid": tokens.0["session_id"], "email": "alice@example.org", "name": "Alice",
        })
    );
}

#[tokio::test]
async fn every_algorithm_signs_and_the_librechat_profile_is_hs256() {
    let app = App::start().await;
    for (client, alg, typ, id_alg) in [
        ("librechat", "RS256", "at+jwt", "RS256"),
        ("ps", "PS256", "at+jwt", "PS256"),
        ("spa", "ES256", "at+jwt", "ES256"),
        ("ed", "EdDSA", "at+jwt", "EdDSA"),
        ("hs", "HS256", "JWT", "RS256"),
    ] {
        let tokens = app.issue_for(client).await;
        let header = part(tokens.access(), 0);
        assert_eq!((header["alg"].as_str(), header["typ"].as_str()), (Some(alg), Some(typ)), "{client}");
        assert_eq!(part(tokens.0["id_token"].as_str().unwrap(), 0)["alg"], id_alg, "{client}");
        let renewed = app.renew_as(client, &tokens).await.tokens();
        assert_eq!(part(renewed.access(), 0)["alg"], alg);
    }
    let claims = app.issue_for("hs").await.claims();
    assert_eq!(claims["id"], "65a1b2c3d4e5f60718293a4b");
    assert_eq!(claims["username"], "alice");
    assert!(claims["exp"].is_u64());
}

#[tokio::test]
async fn the_librechat_profile_needs_the_users_id() {
    let app = App::start().await;
    for claims in [
        "{}",
        r#"{"id":5}"#,
        r#"{"id":""}"#,
        r#"{"id":"42"}"#,
        r#"{"id":"alice@example.org"}"#,
        r#"{"id":"65a1b2c3d4e5f60718293a4"}"#,
        r#"{"id":"65a1b2c3d4e5f60718293a4b0"}"#,
        r#"{"id":"65a1b2c3d4e5f60718293a4g"}"#,
        r#"{"id":"65a1b2c3-d4e5-f607-1829-3a"}"#,
        r#"{"id":["65a1b2c3d4e5f60718293a4b"]}"#,
    ] {
        let answer = app.issue_form(&[("client_id", "hs"), ("subject", "alice"), ("claims", claims)]).await;
        answer.refused(400, "invalid_request");
        assert!(answer.text.contains("claims.id"), "{answer:?}");
    }
}

#[tokio::test]
async fn custom_claims_are_those_registered_and_never_reserved_ones() {
    let app = App::start().await;
    let issue = async |claims: &str| {
        app.issue_form(&[("client_id", "librechat"), ("subject", "alice"), ("claims", claims)]).await
    };
    let tokens = issue(r#"{"groups":["a",{"b":1.5}],"name":"Ünï"}"#).await.tokens();
    assert_eq!(tokens.claims()["groups"], json!(["a", {"b": 1.5}]));
    assert_eq!(tokens.claims()["name"], "Ünï");
    for reserved in RESERVED_CLAIMS.into_iter().chain(["admin"]) {
        issue(&json!({reserved: 1}).to_string()).await.refused(400, "invalid_request");
    }
    issue(&json!({"name": "x".repeat(2100)}).to_string()).await.refused(400, "invalid_request");
    issue(r#"{"name":1e300}"#).await.refused(400, "invalid_request");
    issue(r#"{"name":"a","name":"b"}"#).await.refused(400, "invalid_request");
    issue("[]").await.refused(400, "invalid_request");
}

#[tokio::test]
async fn the_issuer_may_say_who_it_is_in_the_header_or_in_the_body() {
    let app = App::start().await;
    let body = form(&[("client_id", "librechat"), ("subject", "alice")]);
    let encoded = basic("portal", &secret_of("portal").replace('-', "%2D"));
    app.post("/token", Some(&encoded), FORM, body.clone()).await.tokens();
    app.post("/token", Some(&encoded.replace("Basic", "bAsIc")), FORM, body).await.tokens();
}

#[tokio::test]
async fn the_only_client_of_an_issuer_need_not_be_named() {
    let app = App::start().await;
    let second = basic("second", &secret_of("second"));
    let tokens = app.post("/token", Some(&second), FORM, form(&[("subject", "alice")])).await.tokens();
    assert_eq!(tokens.claims()["client_id"], "other");
    let answer = app.issue_form(&[("subject", "alice")]).await;
    answer.refused(400, "invalid_request");
    assert!(answer.text.contains("client_id"));
}

#[tokio::test]
async fn an_issue_leaves_an_audit_line() {
    let app = App::start().await;
    let tokens = app.issue().await;
    let lines = logs::audit_of(tokens.0["session_id"].as_str().unwrap());
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(line["event"], "token_issued");
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["client_id"], "librechat");
    assert_eq!(line["issuer_id"], "portal");
    assert_eq!(line["jti"], tokens.claims()["jti"]);
    assert_eq!(line["generation"], 0);
    assert_eq!(line["seconds_to_expiry"], 86_400);
    assert_eq!(line["source_ip"], "127.0.0.1");
    let key = AuditKey::of_document(&keys::ring()).unwrap();
    assert_eq!(line["subject_hash"], key.name(&Subject::parse("alice").unwrap()), "a name that needs the audit key");
    let mut names: Vec<&String> = line.as_object().unwrap().keys().collect();
    names.sort();
    let expected = [
        "client_id",
        "event",
        "function",
        "function_request_id",
        "generation",
        "issuer_id",
        "jti",
        "level",
        "seconds_to_expiry",
        "service",
        "session",
        "source_ip",
        "subject_hash",
        "target",
        "timestamp",
    ];
    assert_eq!(names, expected, "this and nothing else");
}

#[tokio::test]
async fn answers_are_json_that_nobody_keeps() {
    let app = App::start().await;
    let good = app.issue_form(&[("client_id", "librechat"), ("subject", "alice")]).await;
    let bad = app.issue_form(&[("client_id", "librechat")]).await;
    for answer in [good, bad] {
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.headers["pragma"], "no-cache");
        assert!(!answer.text.contains("null"), "{answer:?}");
    }
}

#[tokio::test]
async fn without_a_usable_audit_key_a_subject_is_left_out_and_nothing_else_changes() {
    let app = App::start().await;
    let mut ring: serde_json::Value = serde_json::from_str(&keys::ring()).unwrap();
    for audit in [serde_json::Value::Null, json!({"secret": "short"}), json!("no object")] {
        ring["audit"] = audit;
        app.rewrite("keys.json", &ring.to_string());
        let tokens = app.issue().await;
        let lines = logs::audit_of(tokens.0["session_id"].as_str().unwrap());
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        assert!(line["event"] == "token_issued" && line.get("subject_hash").is_none(), "{line}");
    }
}
