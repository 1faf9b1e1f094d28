//! `GET /.well-known/…`.

use jsonwebtoken::{DecodingKey, jwk::JwkSet};
use lambda_http::http::Request;
use serde_json::{Value, json};

use crate::support::{Answer, App, ISSUER, keys, part};

async fn get(app: &App, path: &str) -> Answer {
    app.send(Request::get(path).body(vec![]).unwrap()).await
}

const DOCUMENTS: [&str; 3] =
    ["/.well-known/jwks.json", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"];

#[tokio::test]
async fn every_token_verifies_under_the_published_keys_and_no_secret_is_among_them() {
    let app = App::start().await;
    let answer = get(&app, "/.well-known/jwks.json").await;
    let set: JwkSet = serde_json::from_str(&answer.text).unwrap();
    assert_eq!(set.keys.len(), 4, "RS256, PS256, ES256, EdDSA and no HS256");
    for name in ["\"d\"", "\"k\"", "\"p\"", "librechat-hs"] {
        assert!(!answer.text.contains(name), "{name}");
    }
    for jwk in answer.json()["keys"].as_array().unwrap() {
        assert_eq!(jwk["use"], "sig");
        assert!(jwk["kid"].is_string() && jwk["alg"].is_string() && jwk["kty"].is_string());
    }
    for client in ["librechat", "ps", "spa", "ed"] {
        let tokens = app.issue_for(client).await;
        for token in [tokens.access(), tokens.0["id_token"].as_str().unwrap()] {
            let header = part(token, 0);
            let key = DecodingKey::from_jwk(set.find(header["kid"].as_str().unwrap()).unwrap()).unwrap();
            let (input, signature) = token.rsplit_once('.').unwrap();
            let algorithm = header["alg"].as_str().unwrap().parse().unwrap();
            assert!(jsonwebtoken::crypto::verify(signature, input.as_bytes(), &key, algorithm).unwrap(), "{client}");
        }
    }
}

#[tokio::test]
async fn metadata_announces_what_there_is() {
    let app = App::start().await;
    let openid = get(&app, "/.well-known/openid-configuration").await.json();
    assert_eq!(openid["issuer"], app.issue().await.claims()["iss"], "byte-identical");
    let methods = ["client_secret_basic", "client_secret_post", "private_key_jwt"];
    let methods_and_none = ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"];
    let algorithms = ["RS256", "PS256", "ES256", "EdDSA"];
    assert_eq!(
        openid,
        json!({
            "issuer": ISSUER,
            "authorization_endpoint": format!("{ISSUER}/authorize"),
            "userinfo_endpoint": format!("{ISSUER}/userinfo"),
            "end_session_endpoint": format!("{ISSUER}/sign-out"),
            "token_endpoint": format!("{ISSUER}/token/renew"),
            "revocation_endpoint": format!("{ISSUER}/token/revoke"),
            "revocation_endpoint_auth_methods_supported": methods_and_none,
            "introspection_endpoint": format!("{ISSUER}/token/introspect"),
            "introspection_endpoint_auth_methods_supported": methods,
            "jwks_uri": format!("{ISSUER}/.well-known/jwks.json"),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
            "request_parameter_supported": false,
            "request_uri_parameter_supported": false,
            "prompt_values_supported": ["none", "login", "consent", "select_account"],
            "claims_supported": ["iss", "sub", "aud", "iat", "exp", "sid", "nonce", "auth_time", "acr", "amr"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "PS256", "ES256", "EdDSA"],
            "grant_types_supported": ["authorization_code", "refresh_token",
                "urn:ietf:params:oauth:grant-type:token-exchange", "urn:ietf:params:oauth:grant-type:jwt-bearer"],
            "token_endpoint_auth_methods_supported": methods_and_none,
            "token_endpoint_auth_signing_alg_values_supported": algorithms,
            "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
            "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        })
    );
    let oauth = get(&app, "/.well-known/oauth-authorization-server").await.json();
    for endpoint in ["authorization_endpoint", "token_endpoint", "revocation_endpoint", "userinfo_endpoint"] {
        assert_eq!(oauth[endpoint], openid[endpoint]);
    }
    assert_eq!((&oauth["issuer"], &oauth["token_endpoint"]), (&openid["issuer"], &openid["token_endpoint"]));
}

#[tokio::test]
async fn documents_may_be_kept_and_are_asked_for_by_their_tag() {
    let app = App::with(&[("LATCHKEY_JWKS_SECONDS", "120")]).await;
    for path in DOCUMENTS {
        let answer = get(&app, path).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(answer.headers["cache-control"], "public, max-age=120");
        let tag = answer.headers["etag"].clone();
        for known in [tag.to_str().unwrap().to_owned(), format!("\"x\", W/{}", tag.to_str().unwrap()), "*".to_owned()] {
            let again = app.send(Request::get(path).header("if-none-match", known).body(vec![]).unwrap()).await;
            assert_eq!((again.status.as_u16(), again.text.as_str()), (304, ""));
            assert_eq!(again.headers["etag"], tag);
        }
        let other = app.send(Request::get(path).header("if-none-match", "\"x\"").body(vec![]).unwrap()).await;
        assert_eq!(other.status, 200);
        assert_eq!(app.send(Request::post(path).body(vec![]).unwrap()).await.status, 405);
    }
    assert_eq!(get(&app, "/.well-known/other").await.status, 404);
}

#[tokio::test]
async fn a_key_is_published_before_it_signs_and_until_it_retires() {
    let app = App::start().await;
    let kids = async || {
        let json: Value = get(&app, "/.well-known/jwks.json").await.json();
        json["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let new = latchkey_token_lambda::system::generate_private_key(latchkey_token::keys::Algorithm::Rs256).unwrap();
    let now = app.now();
    let entry = json!({"kid": "new-key", "alg": "RS256", "private_key": new, "publish_at": now + 400, "sign_from": now + 1000,
        "retire_at": now + 2000});
    app.rewrite("keys.json", &keys::ring_with(json!([{"kid": 1, "secret": keys::tag_secret()}]), vec![entry]));
    assert!(!kids().await.contains(&"new-key".to_owned()));
    app.clock.advance(100);
    assert!(kids().await.contains(&"new-key".to_owned()));
    assert_ne!(part(app.issue().await.access(), 0)["kid"], "new-key");
    app.clock.advance(600);
    assert_eq!(part(app.issue().await.access(), 0)["kid"], "new-key");
    app.clock.advance(1000);
    assert!(!kids().await.contains(&"new-key".to_owned()));
}

#[tokio::test]
async fn without_keys_the_documents_are_503_and_not_kept() {
    let app = App::start().await;
    app.rewrite("keys.json", "garbage");
    app.clock.advance(86_400);
    for path in DOCUMENTS {
        let answer = get(&app, path).await;
        answer.refused(503, "temporarily_unavailable");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
}
