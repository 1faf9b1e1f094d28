//! The functions that sign nothing, with what is derived from the key ring in the place of the ring, as they are deployed.

use std::sync::Arc;

use authorizer::{Authorizer, LiveSessions};
use lambda_http::{Body, Request, Response, http};
use latchkey::serve::dynamodb::embedded;
use latchkey_token::{keys::KeyRing, policy::Policy, ports::DerivedDocument, rotation::Derived};
use latchkey_token_aws::{CachedVerifyingDocuments, DynamoDbSessions, SecretText};
use latchkey_token_lambda::{Service, response::Cors, system::SystemRandomness};
use serde_json::{Value, json};

use crate::support::{App, FORM, ISSUER, Tokens, basic, form, keys, secret_of};

/// On the table of a server that signs.
struct Verifying {
    service: Service<DynamoDbSessions, Arc<CachedVerifyingDocuments>>,
    authorizer: Authorizer<DynamoDbSessions, Arc<CachedVerifyingDocuments>>,
}

impl Verifying {
    async fn beside(app: &App) -> Self {
        let ring = keys::ring();
        let derived = Derived::of(&KeyRing::parse(&ring).unwrap(), &ring).unwrap();
        Self::with(app, derived.text(DerivedDocument::VerificationKeys)).await
    }

    async fn with(app: &App, verification_keys: String) -> Self {
        let store = DynamoDbSessions::new(&embedded(app.database.clone(), None).await, "latchkey");
        let clients = SecretText::Inline(keys::registrations());
        let documents = CachedVerifyingDocuments::of(SecretText::Inline(verification_keys), clients, 300);
        let documents = Arc::new(documents);
        Self {
            authorizer: Authorizer {
                store: store.clone(),
                documents: Arc::clone(&documents),
                policy: Policy::new(ISSUER),
                audience: "librechat".into(),
                live: LiveSessions::new(0),
                clock: app.clock.clone(),
            },
            service: Service {
                store,
                documents,
                policy: Policy::new(ISSUER),
                cors: Cors::default(),
                clock: app.clock.clone(),
                randomness: Arc::new(SystemRandomness),
            },
        }
    }

    async fn introspect(&self, token: &str) -> Value {
        body(introspect::handle(&self.service, post(&[("token", token)])).await)
    }

    async fn lets_in(&self, token: &str) -> bool {
        let event = json!({"version": "2.0", "type": "REQUEST", "routeArn": "arn", "identitySource": [], "routeKey": "GET /",
            "rawPath": "/", "rawQueryString": "", "headers": {"authorization": format!("Bearer {token}")},
            "requestContext": {"http": {"method": "GET"}}});
        let event = serde_json::from_value(event).unwrap();
        authorizer::handle(&self.authorizer, event, "r".into()).await.unwrap().is_authorized
    }
}

fn post(pairs: &[(&str, &str)]) -> Request {
    let portal = basic("portal", &secret_of("portal"));
    let request = http::Request::post("/").header("content-type", FORM).header("authorization", portal);
    request.body(Body::Text(form(pairs))).unwrap()
}

fn body(response: Response<Body>) -> Value {
    let Body::Text(text) = response.body() else { panic!("no text") };
    serde_json::from_str(text).unwrap()
}

async fn issue(app: &App) -> [Tokens; 2] {
    // One whose tokens are verified with a public key, and one whose are with LibreChat's secret.
    [app.issue().await, app.issue_for("hs").await]
}

#[tokio::test]
async fn tokens_of_public_and_shared_keys_are_verified_without_the_key_ring() {
    let app = App::start().await;
    let verifying = Verifying::beside(&app).await;
    for tokens in issue(&app).await {
        let said = verifying.introspect(tokens.access()).await;
        assert_eq!((&said["active"], &said["sid"]), (&json!(true), &tokens.0["session_id"]));
        assert_eq!(verifying.introspect(tokens.refresh()).await["active"], true, "and the tags of refresh tokens");
        let answer = revoke::handle(&verifying.service, post(&[("token", tokens.refresh())])).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(verifying.introspect(tokens.access()).await, json!({"active": false}));
    }
    let tokens = app.issue().await;
    assert!(verifying.lets_in(tokens.access()).await);
    let portal = basic("portal", &secret_of("portal"));
    let request = http::Request::delete("/sessions?subject=alice").header("authorization", portal);
    let ended = body(sessions::handle(&verifying.service, request.body(Body::Empty).unwrap()).await);
    assert_eq!(ended, json!({"ended": 1}));
    assert!(!verifying.lets_in(tokens.access()).await);
}

#[tokio::test]
async fn nothing_is_signed_without_a_private_key() {
    let app = App::start().await;
    let verifying = Verifying::beside(&app).await;
    for client in ["librechat", "hs"] {
        let claims = r#"{"id":"65a1b2c3d4e5f60718293a4b"}"#;
        let mut pairs = vec![("client_id", client), ("subject", "alice")];
        if client == "hs" {
            pairs.push(("claims", claims));
        }
        let before = app.records().await;
        let answer = issue::handle(&verifying.service, post(&pairs)).await;
        assert_eq!(answer.status(), 503, "{client}");
        assert_eq!(app.records().await, before, "{client}: nothing is written either");
    }
}

#[tokio::test]
async fn before_the_first_rotation_who_only_verifies_answers_503() {
    let app = App::start().await;
    let tokens = app.issue().await;
    // Secrets Manager has no value yet; a key ring in its place is none either.
    for nothing in [String::new(), keys::ring()] {
        let verifying = Verifying::with(&app, nothing).await;
        let answer = introspect::handle(&verifying.service, post(&[("token", tokens.access())])).await;
        assert_eq!(answer.status(), 503);
        let answer = revoke::handle(&verifying.service, post(&[("token", tokens.access())])).await;
        assert_eq!(answer.status(), 503);
    }
    assert_eq!(app.renew(&tokens).await.status, 200, "and ends nothing");
}
