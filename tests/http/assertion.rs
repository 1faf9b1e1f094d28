//! Issue by assertion (RFC 7523 §2.1) and clients that authenticate with one (§2.2).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use crate::support::{Answer, App, FORM, ISSUER, JSON, START, Tokens, basic, form, keys, logs, secret_of};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const CLIENT_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const OTHER_SECRET: &str = "test-hs256-secret-of-nobody-0123456789abcdef";

fn es256(claims: &Value) -> String {
    let header = json!({"alg": "ES256", "typ": "JWT", "kid": keys::signing_issuer().kid});
    keys::signed(&header, claims, Algorithm::ES256, &keys::encoding_key(keys::signing_issuer(), Algorithm::ES256))
}

fn hs256(secret: &str, claims: &Value) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    keys::signed(&json!({"alg": "HS256", "typ": "JWT"}), claims, Algorithm::HS256, &key)
}

/// What the issuer `signing` says of alice, with some members changed and those that are `null` left out.
fn claims(changes: Value) -> Value {
    let now = START.unix_seconds();
    let claims = json!({
        "iss": "https://portal.example", "aud": ISSUER, "sub": "alice", "iat": now, "exp": now + 300,
        "email": "alice@example.org", "department": "sales",
    });
    changed(claims, changes)
}

fn changed(mut claims: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

async fn post(app: &App, assertion: &str, more: &[(&str, &str)]) -> Answer {
    let mut pairs = vec![("grant_type", GRANT), ("assertion", assertion)];
    if !more.iter().any(|(name, _)| *name == "client_id") {
        pairs.push(("client_id", "librechat"));
    }
    pairs.extend(more);
    app.post("/token", None, FORM, form(&pairs)).await
}

#[tokio::test]
async fn an_assertion_becomes_an_expiring_token_and_a_refresh_token() {
    let app = App::start().await;
    let tokens = post(&app, &es256(&claims(json!({}))), &[]).await.tokens();
    assert_eq!(app.operations(), ["PutItem"]);
    assert_eq!(tokens.0["expires_in"], 86_400);
    let said = tokens.claims();
    assert_eq!((&said["sub"], &said["aud"]), (&json!("alice"), &json!("librechat")));
    let renewed = app.renew(&tokens).await.tokens();
    assert_eq!(renewed.claims()["sub"], "alice");
    let issued = &logs::audit_of(tokens.0["session_id"].as_str().unwrap())[0];
    assert_eq!((&issued["event"], &issued["issuer_id"]), (&json!("token_issued"), &json!("signing")));
}

#[tokio::test]
async fn json_and_the_narrowing_members_work_as_ever() {
    let app = App::start().await;
    let body = json!({
        "grant_type": GRANT, "assertion": es256(&claims(json!({}))), "client_id": "librechat", "scope": "openid",
        "expires_in": 60, "nonce": "n-1",
    });
    let tokens = app.post("/token", None, JSON, body.to_string()).await.tokens();
    assert_eq!((&tokens.0["scope"], &tokens.0["expires_in"]), (&json!("openid"), &json!(60)));
    assert_eq!(tokens.id_claims()["nonce"], "n-1");
}

#[tokio::test]
async fn custom_claims_come_from_the_assertion_and_only_those_that_are_registered() {
    let app = App::start().await;
    let tokens = post(&app, &es256(&claims(json!({"nonce": "theirs", "name": null}))), &[]).await.tokens();
    let said = tokens.claims();
    assert_eq!(said["email"], "alice@example.org");
    assert!(said.get("department").is_none() && said.get("nonce").is_none() && said.get("name").is_none());

    let with_id = es256(&claims(json!({"id": "65a1b2c3d4e5f60718293a4b", "jti": "x"})));
    let librechat = post(&app, &with_id, &[("client_id", "hs")]).await.tokens();
    assert_eq!(librechat.claims()["id"], "65a1b2c3d4e5f60718293a4b");
    let without = post(&app, &es256(&claims(json!({}))), &[("client_id", "hs")]).await;
    assert!(without.refused(400, "invalid_request").text.contains("claims.id"));
}

#[tokio::test]
async fn nothing_beside_the_assertion_says_who_issues_or_about_whom() {
    let app = App::start().await;
    let assertion = es256(&claims(json!({})));
    for more in [
        [("subject", "mallory")],
        [("claims", r#"{"email":"mallory@example.org"}"#)],
        [("issuer_id", "portal")],
        [("issuer_secret", "x")],
        [("client_assertion", "x")],
    ] {
        post(&app, &assertion, &more).await.refused(400, "invalid_request");
    }
    let pairs = [("grant_type", GRANT), ("assertion", assertion.as_str()), ("client_secret", "x")];
    app.post("/token", None, FORM, form(&pairs)).await.refused(400, "invalid_request");
    let basic = basic("portal", &secret_of("portal"));
    app.post("/token", Some(&basic), FORM, form(&pairs)).await.refused(400, "invalid_request");
    app.post("/token", Some(&basic), FORM, form(&pairs[..1])).await.refused(400, "invalid_request");
    app.post("/token", None, FORM, form(&[("assertion", &assertion)])).await.refused(400, "invalid_request");
    assert_eq!(app.operations(), [""; 0]);
}

/// The same, good for so long that registrations can change meanwhile.
fn lasting(changes: Value) -> Value {
    claims(changed(json!({"exp": START.unix_seconds() + 3_000}), changes))
}

/// Puts registrations in force in which the issuer `signing` is changed, and may act for `keyed` and `spa` too.
fn with_signing(app: &App, change: impl Fn(&mut Value)) {
    let mut registrations: Value = serde_json::from_str(&keys::registrations()).unwrap();
    let signing = registrations["issuers"].as_array_mut().unwrap().iter_mut().find(|one| one["issuer_id"] == "signing");
    let signing = signing.unwrap();
    signing["clients"] = json!(["librechat", "hs", "keyed", "spa"]);
    change(signing);
    app.rewrite("clients.json", &registrations.to_string());
}

#[tokio::test]
async fn credentials_beside_an_assertion_are_checked_and_right_ones_accepted() {
    let app = App::start().await;
    let secret = secret_of("librechat");
    with_signing(&app, |signing| signing["secret_sha256"] = json!([keys::sha256(&secret_of("signing"))]));
    let assertion = es256(&lasting(json!({})));
    let own = secret_of("signing");
    for more in [
        &[("client_id", "librechat"), ("client_secret", secret.as_str())][..],
        &[("issuer_id", "signing"), ("issuer_secret", own.as_str())],
    ] {
        post(&app, &assertion, more).await.tokens();
    }
    let pairs = [("grant_type", GRANT), ("assertion", assertion.as_str()), ("client_id", "librechat")];
    for header in [basic("librechat", &secret), basic("signing", &own)] {
        app.post("/token", Some(&header), FORM, form(&pairs)).await.tokens();
    }
    // A client that authenticates itself has said which one it is.
    let unnamed = app.post("/token", Some(&basic("librechat", &secret)), FORM, form(&pairs[..2])).await.tokens();
    assert_eq!(unnamed.claims()["client_id"], "librechat");
    let by_key = client_assertion(json!({"exp": START.unix_seconds() + 3_000}));
    let by_key = [("client_assertion_type", CLIENT_ASSERTION), ("client_assertion", by_key.as_str())];
    for more in [&by_key[..], &[by_key[0], by_key[1], ("client_id", "keyed")]] {
        let tokens = app.post("/token", None, FORM, form(&[&pairs[..2], more].concat())).await.tokens();
        assert_eq!(tokens.claims()["client_id"], "keyed");
    }
    let public = app.post("/token", Some(&basic("spa", "")), FORM, form(&pairs[..2])).await.tokens();
    assert_eq!(public.claims()["client_id"], "spa");
}

#[tokio::test]
async fn wrong_credentials_beside_an_assertion_are_refused_and_so_are_those_of_others() {
    let app = App::start().await;
    with_signing(&app, |_| {});
    let assertion = es256(&lasting(json!({"jti": "kept"})));
    let (portal, librechat, oauth) = (secret_of("portal"), secret_of("librechat"), secret_of("librechat-oauth"));
    let by_key = client_assertion(json!({"exp": START.unix_seconds() + 3_000}));
    for more in [
        &[("client_secret", "wrong")][..],
        &[("client_id", "hs"), ("client_secret", librechat.as_str())],
        &[("issuer_id", "signing"), ("issuer_secret", "wrong")],
        &[("issuer_id", "portal"), ("issuer_secret", portal.as_str())],
        &[("client_assertion_type", CLIENT_ASSERTION), ("client_assertion", "x")],
        &[("client_assertion_type", CLIENT_ASSERTION), ("client_assertion", by_key.as_str())],
    ] {
        let mut pairs = vec![("grant_type", GRANT), ("assertion", assertion.as_str())];
        if !more.iter().any(|(name, _)| *name == "client_id") {
            pairs.push(("client_id", "librechat"));
        }
        pairs.extend(more);
        let answer = app.post("/token", None, FORM, form(&pairs)).await;
        assert!(!answer.refused(401, "invalid_client").headers.contains_key("www-authenticate"));
    }
    let pairs = [("grant_type", GRANT), ("assertion", assertion.as_str()), ("client_id", "librechat")];
    for header in [
        basic("librechat", "wrong"),
        basic("librechat", ""),
        basic("librechat-oauth", &oauth),
        basic("portal", &portal),
        "Digest x".to_owned(),
    ] {
        let answer = app.post("/token", Some(&header), FORM, form(&pairs)).await;
        assert!(answer.refused(401, "invalid_client").headers.contains_key("www-authenticate"), "{header}");
    }
    app.post("/token", Some("Bearer x"), FORM, form(&pairs)).await.refused(401, "invalid_client");
    assert_eq!(app.operations(), [""; 0], "the assertion is not used up");
    post(&app, &assertion, &[]).await.tokens();
}

#[tokio::test]
async fn the_client_that_an_assertion_names_is_the_only_one_that_gets_tokens() {
    let app = App::start().await;
    let bound = |claim: &str, client: &str| es256(&claims(json!({claim: client})));
    let pairs = |assertion: &str| form(&[("grant_type", GRANT), ("assertion", assertion)]);
    for claim in ["azp", "client_id"] {
        post(&app, &bound(claim, "librechat"), &[]).await.tokens();
        let unnamed = app.post("/token", None, FORM, pairs(&bound(claim, "librechat"))).await.tokens();
        assert_eq!(unnamed.claims()["client_id"], "librechat");
        post(&app, &bound(claim, "hs"), &[]).await.invalid_grant();
        let secret = secret_of("librechat");
        post(&app, &bound(claim, "hs"), &[("client_secret", &secret)]).await.invalid_grant();
        let named = app.post("/token", Some(&basic("librechat", &secret)), FORM, pairs(&bound(claim, "hs"))).await;
        named.invalid_grant();
        // A client that is none of the issuer's, and one that nobody knows.
        for other in ["spa", "frontend-of-the-portal"] {
            post(&app, &bound(claim, other), &[]).await.invalid_grant();
            app.post("/token", None, FORM, pairs(&bound(claim, other))).await.refused(400, "unauthorized_client");
        }
    }
    post(&app, &es256(&claims(json!({"azp": "librechat", "client_id": "hs"}))), &[]).await.invalid_grant();
    post(&app, &es256(&claims(json!({"azp": ["librechat"]}))), &[]).await.invalid_grant();
    let said = logs::lines(|line| line["reason"] == "assertion_client" && line["issuer_id"] == "signing");
    assert!(!said.is_empty());
}

#[tokio::test]
async fn assertion_clients_narrow_the_issuers_clients_for_assertions_alone() {
    let app = App::start().await;
    with_signing(&app, |signing| {
        signing["assertion_clients"] = json!(["librechat"]);
        signing["secret_sha256"] = json!([keys::sha256(&secret_of("signing"))]);
    });
    let assertion = es256(&lasting(json!({})));
    let pairs = [("grant_type", GRANT), ("assertion", assertion.as_str())];
    let unnamed = app.post("/token", None, FORM, form(&pairs)).await.tokens();
    assert_eq!(unnamed.claims()["client_id"], "librechat", "the only one is left");
    for other in ["keyed", "spa", "hs"] {
        post(&app, &assertion, &[("client_id", other)]).await.refused(400, "unauthorized_client");
    }
    app.operations();
    let stated = [("subject", "alice"), ("client_id", "spa")];
    app.post("/token", Some(&basic("signing", &secret_of("signing"))), FORM, form(&stated)).await.tokens();
    with_signing(&app, |signing| signing["assertion_clients"] = json!([]));
    post(&app, &assertion, &[]).await.refused(400, "unauthorized_client");
}

#[tokio::test]
async fn times_and_headers_of_others_are_read_as_the_rfcs_have_them() {
    let app = App::start().await;
    let now = START.unix_seconds();
    let fraction = now as f64 + 0.5;
    for times in [
        json!({"iat": fraction, "exp": fraction + 60.0}),
        json!({"iat": 1.7e9}),
        json!({"nbf": fraction - 1.0, "exp": fraction + 1.0}),
        json!({"iat": 0.25}),
    ] {
        post(&app, &es256(&claims(times.clone())), &[]).await.tokens();
    }
    post(&app, &es256(&claims(json!({"exp": fraction}))), &[]).await.invalid_grant();
    post(&app, &es256(&claims(json!({"exp": now as f64 + 604_801.5}))), &[]).await.invalid_grant();

    let key = keys::encoding_key(keys::signing_issuer(), Algorithm::ES256);
    let headed = |more: Value| {
        let header = changed(json!({"alg": "ES256", "kid": keys::signing_issuer().kid}), more);
        keys::signed(&header, &claims(json!({})), Algorithm::ES256, &key)
    };
    for more in [
        json!({"typ": "application/jwt"}),
        json!({"cty": "json", "typ": "JWT"}),
        json!({"acme_tenant": "blue", "ver": 2, "nested": {"a": [1]}}),
        json!({"iss": "https://portal.example", "sub": "alice"}),
    ] {
        post(&app, &headed(more.clone()), &[]).await.tokens();
    }
    for more in [
        json!({"crit": ["acme_tenant"], "acme_tenant": 1}),
        json!({"b64": true}),
        json!({"jku": "https://portal.example/keys"}),
        json!({"jwk": {"kty": "oct", "k": "AA"}}),
        json!({"x5u": "https://portal.example/cert"}),
        json!({"x5c": []}),
        json!({"sub": "mallory"}),
    ] {
        post(&app, &headed(more.clone()), &[]).await.invalid_grant();
    }
}

#[tokio::test]
async fn a_key_set_as_it_was_exported_and_secrets_that_are_bytes_are_used_as_they_are() {
    let app = App::start().await;
    let signing = keys::signing_issuer();
    let mut without_alg = keys::jwk(signing, Algorithm::ES256);
    without_alg.as_object_mut().unwrap().remove("alg");
    let rsa = keys::jwk(keys::keyed_client(), Algorithm::RS256);
    let mut encryption = rsa.clone();
    (encryption["use"], encryption["kid"]) = (json!("enc"), json!("enc"));
    with_signing(&app, |issuer| issuer["jwks"] = json!({"keys": [encryption, without_alg, rsa]}));
    post(&app, &es256(&lasting(json!({}))), &[]).await.tokens();
    let by_rsa = |kid: &str, alg: Algorithm| {
        let header = json!({"alg": format!("{alg:?}"), "kid": kid});
        keys::signed(&header, &lasting(json!({})), alg, &keys::encoding_key(keys::keyed_client(), alg))
    };
    let kid = &keys::keyed_client().kid;
    post(&app, &by_rsa(kid, Algorithm::RS256), &[]).await.tokens();
    post(&app, &by_rsa("enc", Algorithm::RS256), &[]).await.invalid_grant();
    post(&app, &by_rsa(kid, Algorithm::PS256), &[]).await.invalid_grant();

    let bytes: Vec<u8> = (120..=255).collect();
    for (member, alg, least) in [
        ("hs256_secret_base64", Algorithm::HS256, 32),
        ("hs384_secret_base64", Algorithm::HS384, 48),
        ("hs512_secret_base64", Algorithm::HS512, 64),
    ] {
        let secret = &bytes[..least];
        with_signing(&app, |issuer| {
            issuer.as_object_mut().unwrap().remove("jwks");
            issuer[member] = base64::engine::general_purpose::STANDARD.encode(secret).into();
        });
        let by = |alg: Algorithm, secret: &[u8]| {
            let header = json!({"alg": format!("{alg:?}")});
            keys::signed(&header, &lasting(json!({})), alg, &EncodingKey::from_secret(secret))
        };
        post(&app, &by(alg, secret), &[]).await.tokens();
        let text = base64::engine::general_purpose::STANDARD.encode(secret);
        post(&app, &by(alg, text.as_bytes()), &[]).await.invalid_grant();
        for other in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            if other != alg {
                post(&app, &by(other, secret), &[]).await.invalid_grant();
            }
        }
    }
}

#[tokio::test]
async fn an_issuer_issues_by_assertion_for_its_own_clients_only() {
    let app = App::start().await;
    let assertion = es256(&claims(json!({})));
    for client in ["spa", "other", "nobody"] {
        post(&app, &assertion, &[("client_id", client)]).await.refused(400, "unauthorized_client");
    }
    let pairs = [("grant_type", GRANT), ("assertion", assertion.as_str())];
    let unnamed = app.post("/token", None, FORM, form(&pairs)).await;
    assert!(unnamed.refused(400, "invalid_request").text.contains("client_id is missing"));
    post(&app, &assertion, &[("scope", "admin")]).await.refused(400, "invalid_scope");
    assert_eq!(app.operations(), [""; 0]);
    // By its secret it issues nothing: it has none.
    let pairs = [("issuer_id", "signing"), ("issuer_secret", ""), ("subject", "a"), ("client_id", "librechat")];
    app.post("/token", None, FORM, form(&pairs)).await.refused(401, "invalid_client");
}

#[tokio::test]
async fn whatever_is_wrong_with_an_assertion_the_answer_is_the_same_and_nothing_is_written() {
    let app = App::start().await;
    let now = START.unix_seconds();
    let good = claims(json!({}));
    let signing = keys::signing_issuer();
    let key = keys::encoding_key(signing, Algorithm::ES256);
    let with_header = |header: Value| keys::signed(&header, &good, Algorithm::ES256, &key);
    let header = json!({"alg": "ES256", "typ": "JWT", "kid": signing.kid});
    let unsigned = {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", part(json!({"alg": "none"})), part(good.clone()))
    };
    let of_our_own_key =
        keys::signed(&header, &good, Algorithm::ES256, &keys::encoding_key(keys::es256(), Algorithm::ES256));
    let public_key_as_secret = hs256(&signing.kid, &good);
    let ours = app.issue().await;
    app.operations();
    let before = app.records().await;
    for (assertion, reason) in [
        ("x".to_owned(), "assertion_malformed"),
        (unsigned, "assertion_malformed"),
        (ours.access().to_owned(), "assertion_unknown_issuer"),
        (ours.refresh().to_owned(), "assertion_malformed"),
        (es256(&claims(json!({"iss": "https://portal.example/"}))), "assertion_unknown_issuer"),
        (es256(&claims(json!({"iss": ISSUER}))), "assertion_unknown_issuer"),
        (es256(&claims(json!({"aud": "https://elsewhere.example"}))), "assertion_audience"),
        (es256(&claims(json!({"aud": [ISSUER, "https://elsewhere.example"]}))), "assertion_audience"),
        (es256(&claims(json!({"aud": null}))), "assertion_audience"),
        (es256(&claims(json!({"exp": now}))), "assertion_expired"),
        (es256(&claims(json!({"exp": null}))), "assertion_endless"),
        (es256(&claims(json!({"exp": now + 604_801}))), "assertion_endless"),
        (es256(&claims(json!({"iat": now + 61}))), "assertion_from_the_future"),
        (es256(&claims(json!({"sub": null}))), "assertion_subject"),
        (es256(&claims(json!({"sub": "a\nb"}))), "assertion_subject"),
        (es256(&claims(json!({"sub": "alice "}))), "assertion_subject"),
        (es256(&claims(json!({"sub": "ali\u{200b}ce"}))), "assertion_subject"),
        (of_our_own_key, "assertion_signature"),
        (public_key_as_secret, "assertion_algorithm"),
        (with_header(json!({"alg": "ES256", "kid": "another"})), "assertion_unknown_kid"),
        (with_header(json!({"alg": "RS256", "kid": signing.kid})), "assertion_algorithm"),
        (with_header(json!({"alg": "ES256", "jku": "http://127.0.0.1:1/"})), "assertion_header"),
        (with_header(json!({"alg": "ES256", "typ": "at+jwt"})), "assertion_header"),
        // The issuer `legacy` signs with HS256, and not for the other.
        (hs256(keys::LEGACY_SECRET, &good), "assertion_algorithm"),
        (hs256(OTHER_SECRET, &json!({"iss": "old-portal", "user_id": 7, "iat": now})), "assertion_signature"),
        (hs256(keys::LEGACY_SECRET, &json!({"iss": "old-portal", "user_id": 7})), "assertion_claims"),
        (
            hs256(keys::LEGACY_SECRET, &json!({"iss": "old-portal", "user_id": 7, "iat": now - 31_536_000})),
            "assertion_too_old",
        ),
        (
            hs256(keys::LEGACY_SECRET, &json!({"iss": "old-portal", "user_id": 7, "iat": now, "aud": "x"})),
            "assertion_audience",
        ),
        (
            hs256(keys::LEGACY_SECRET, &json!({"iss": "old-portal", "user_id": 7, "iat": now, "exp": now - 1})),
            "assertion_expired",
        ),
    ] {
        post(&app, &assertion, &[("scope", "openid")]).await.invalid_grant();
        let said = logs::lines(|line| line["event"] == "client_rejected" && line["reason"] == reason);
        assert!(!said.is_empty(), "{reason}");
    }
    assert_eq!(app.operations(), [""; 0], "not even a request to the store");
    assert_eq!(app.records().await, before);
}

#[tokio::test]
async fn an_assertion_with_a_jti_is_used_once() {
    let app = App::start().await;
    let once = es256(&claims(json!({"jti": "j-1"})));
    let tokens = post(&app, &once, &[]).await.tokens();
    assert_eq!(app.operations(), ["TransactWriteItems"]);
    let before = app.records().await;
    for _ in 0..2 {
        post(&app, &once, &[]).await.invalid_grant();
    }
    // The same jti in another assertion of the same issuer, too.
    post(&app, &es256(&claims(json!({"jti": "j-1", "sub": "bob"}))), &[]).await.invalid_grant();
    assert_eq!(app.records().await, before, "a refusal writes nothing");
    post(&app, &es256(&claims(json!({"jti": "j-2"}))), &[]).await.tokens();
    let elsewhere = json!({"iss": "old-portal", "user_id": "alice", "iat": START.unix_seconds(), "jti": "j-1"});
    post(&app, &hs256(keys::LEGACY_SECRET, &elsewhere), &[]).await.tokens();
    app.renew(&tokens).await.tokens();
    let replays = logs::lines(|line| line["reason"] == "assertion_replayed" && line["issuer_id"] == "signing");
    assert!(replays.len() >= 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_uses_at_once_one_succeeds() {
    let app = std::sync::Arc::new(App::start().await);
    let once = es256(&claims(json!({"jti": "race"})));
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let (app, once) = (std::sync::Arc::clone(&app), once.clone());
            tokio::spawn(async move { post(&app, &once, &[]).await })
        })
        .collect();
    let mut succeeded = 0;
    for task in tasks {
        let answer = task.await.unwrap();
        match answer.status.as_u16() {
            200 => succeeded += 1,
            // A transaction that met another one may have to come again; it has written nothing.
            503 => {}
            _ => drop(answer.invalid_grant()),
        }
    }
    assert_eq!(succeeded, 1);
    assert_eq!(app.records().await.len(), 2, "one session, and the assertion's use");
}

#[tokio::test]
async fn without_a_jti_it_may_come_again_while_it_lives() {
    let app = App::start().await;
    let assertion = es256(&claims(json!({})));
    let first = post(&app, &assertion, &[]).await.tokens();
    let second = post(&app, &assertion, &[]).await.tokens();
    assert_ne!(first.0["session_id"], second.0["session_id"]);
    app.clock.advance(300);
    post(&app, &assertion, &[]).await.invalid_grant();
}

#[tokio::test]
async fn a_legacy_token_that_never_expires_is_changed_for_one_that_does() {
    let app = App::start().await;
    let now = START.unix_seconds();
    let legacy = hs256(keys::LEGACY_SECRET, &json!({"iss": "old-portal", "user_id": 4711, "iat": now - 31_535_999}));
    let tokens = post(&app, &legacy, &[]).await.tokens();
    assert_eq!(tokens.claims()["sub"], "4711");
    assert_eq!(tokens.claims()["exp"], now + 86_400);
    app.clock.advance(1);
    post(&app, &legacy, &[]).await.invalid_grant();
}

#[tokio::test]
async fn trouble_with_the_table_costs_nobody_the_assertion() {
    let app = App::start().await;
    let once = es256(&claims(json!({"jti": "lost"})));
    app.drop_table().await;
    let answer = post(&app, &once, &[]).await;
    assert_eq!((answer.status.as_u16(), answer.headers.contains_key("retry-after")), (503, true));
    let sdk = latchkey::serve::dynamodb::embedded(app.database.clone(), None).await;
    latchkey_token_aws::table::create_if_missing(&sdk, "latchkey").await.unwrap();
    post(&app, &once, &[]).await.tokens();
    post(&app, &once, &[]).await.invalid_grant();
}

fn client_assertion(changes: Value) -> String {
    let now = START.unix_seconds();
    let claims = json!({"iss": "keyed", "sub": "keyed", "aud": ISSUER, "jti": "c-1", "iat": now, "exp": now + 60});
    let pair = keys::keyed_client();
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": pair.kid});
    keys::signed(&header, &changed(claims, changes), Algorithm::RS256, &keys::encoding_key(pair, Algorithm::RS256))
}

async fn by_assertion(app: &App, path: &str, assertion: &str, more: &[(&str, &str)]) -> Answer {
    let mut pairs = vec![("client_assertion_type", CLIENT_ASSERTION), ("client_assertion", assertion)];
    pairs.extend(more);
    app.post(path, None, FORM, form(&pairs)).await
}

#[tokio::test]
async fn a_confidential_client_authenticates_by_an_assertion_of_its_own_wherever_it_may_by_a_secret() {
    let app = App::start().await;
    let tokens = app.issue_for("keyed").await;
    let renew = async |tokens: &Tokens, more: &[(&str, &str)]| {
        let members = [&[("grant_type", "refresh_token"), ("refresh_token", tokens.refresh())], more].concat();
        by_assertion(&app, "/token/renew", &client_assertion(json!({})), &members).await
    };
    app.operations();
    let second = renew(&tokens, &[]).await.tokens();
    assert_eq!(app.operations(), ["UpdateItem"]);
    let third = renew(&second, &[("client_id", "keyed")]).await.tokens();
    let token = [("token", third.access())];
    let said = by_assertion(&app, "/token/introspect", &client_assertion(json!({})), &token).await;
    assert_eq!(said.json()["active"], true);
    let typed = keys::signed(
        &json!({"alg": "RS256", "typ": "client-authentication+jwt"}),
        &json!({"iss": "keyed", "sub": "keyed", "aud": [ISSUER], "exp": START.unix_seconds() + 3600}),
        Algorithm::RS256,
        &keys::encoding_key(keys::keyed_client(), Algorithm::RS256),
    );
    assert_eq!(by_assertion(&app, "/token/revoke", &typed, &token).await.status, 200);
    renew(&third, &[]).await.invalid_grant();
}

#[tokio::test]
async fn a_clients_assertion_that_is_not_good_is_a_client_that_is_not_known() {
    let app = App::start().await;
    let tokens = app.issue_for("keyed").await;
    let now = START.unix_seconds();
    app.operations();
    let before = app.records().await;
    let by_another_key = {
        let claims = json!({"iss": "keyed", "sub": "keyed", "aud": ISSUER, "exp": now + 60});
        keys::signed(
            &json!({"alg": "RS256"}),
            &claims,
            Algorithm::RS256,
            &keys::encoding_key(keys::rs256(), Algorithm::RS256),
        )
    };
    for assertion in [
        "x".to_owned(),
        client_assertion(json!({"iss": "librechat"})),
        client_assertion(json!({"sub": "librechat"})),
        client_assertion(json!({"iss": "librechat", "sub": "librechat"})),
        client_assertion(json!({"iss": "spa", "sub": "spa"})),
        client_assertion(json!({"aud": "https://elsewhere.example"})),
        client_assertion(json!({"aud": format!("{ISSUER}/token/renew")})),
        client_assertion(json!({"aud": [ISSUER, "https://elsewhere.example"]})),
        client_assertion(json!({"aud": null})),
        client_assertion(json!({"exp": now})),
        client_assertion(json!({"exp": null})),
        client_assertion(json!({"exp": now + 3601})),
        client_assertion(json!({"iat": now + 61})),
        by_another_key,
        tokens.access().to_owned(),
    ] {
        for (path, member) in
            [("/token/renew", "refresh_token"), ("/token/revoke", "token"), ("/token/introspect", "token")]
        {
            let answer = by_assertion(&app, path, &assertion, &[(member, tokens.refresh())]).await;
            assert!(!answer.refused(401, "invalid_client").headers.contains_key("www-authenticate"));
        }
    }
    let renew = |more: &'static [(&'static str, &'static str)]| {
        let refresh_token = tokens.refresh().to_owned();
        let app = &app;
        async move {
            let members = [&[("refresh_token", refresh_token.as_str())], more].concat();
            by_assertion(app, "/token/renew", &client_assertion(json!({})), &members).await
        }
    };
    renew(&[("client_id", "librechat")]).await.refused(401, "invalid_client");
    renew(&[("client_id", "keyed"), ("client_secret", "x")]).await.refused(400, "invalid_request");
    let pairs = [("refresh_token", tokens.refresh()), ("client_assertion", "x"), ("client_assertion_type", "other")];
    app.post("/token/renew", None, FORM, form(&pairs)).await.refused(400, "invalid_request");
    app.post("/token/renew", None, FORM, form(&pairs[..2])).await.refused(400, "invalid_request");
    let basic = basic("librechat", &secret_of("librechat"));
    app.post("/token/renew", Some(&basic), FORM, form(&pairs)).await.refused(400, "invalid_request");
    assert_eq!(app.operations(), [""; 0]);
    assert_eq!(app.records().await, before);
    by_assertion(&app, "/token/renew", &client_assertion(json!({})), &[("refresh_token", tokens.refresh())])
        .await
        .tokens();
}
