//! Every sample event, through the same code that the Lambda runtime calls.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use dynoxide::Database;
use lambda_http::{Context, LambdaEvent};
use latchkey::serve::dynamodb::embedded;
use latchkey_token::routes::{self, Found, Function};
use latchkey_token_aws::{CachedDocuments, DocumentSecrets, DynamoDbSessions, SecretText, table};
use latchkey_token_lambda::lambda::HttpEvent;
use latchkey_token_testkit::SettableClock;
use serde_json::Value;

use crate::support::{START, functions::Functions, keys};

struct Deployment(Functions);

impl Deployment {
    async fn start() -> Self {
        let sdk = embedded(Database::memory().unwrap(), None).await;
        table::create_if_missing(&sdk, "sessions").await.unwrap();
        let clients = concat!(env!("CARGO_MANIFEST_DIR"), "/../../local/examples/clients.json");
        let secrets = DocumentSecrets {
            signing_keys: SecretText::Inline(keys::ring()),
            clients: SecretText::at(&format!("file:{clients}"), &sdk),
        };
        let documents = Arc::new(CachedDocuments::new(secrets, 300));
        Self(Functions::new(DynamoDbSessions::new(&sdk, "sessions"), documents, &Arc::new(SettableClock::at(START))))
    }

    /// The answer in API Gateway's form.
    async fn answer(&self, event: &str) -> Value {
        let path = serde_json::from_str::<Value>(event).unwrap()["rawPath"].as_str().unwrap().to_owned();
        let event = HttpEvent::parse(event).unwrap();
        let answer = self.0.answer(function_of(&path), LambdaEvent::new(event, Context::default())).await;
        let may_be_kept = path.starts_with("/.well-known/") && answer["statusCode"] == 200;
        let cache_control = if may_be_kept { "public, max-age=300" } else { "no-store" };
        assert_eq!(answer["headers"]["cache-control"], cache_control);
        assert_eq!(answer["isBase64Encoded"], false);
        answer
    }

    /// Status and body; a browser's redirect or page has no members.
    async fn invoke(&self, event: &str) -> (u64, Value) {
        let answer = self.answer(event).await;
        let (headers, body) = (&answer["headers"], answer["body"].as_str());
        let body = match headers["content-type"].as_str() {
            Some("application/json") => serde_json::from_str(body.unwrap()).unwrap(),
            Some(page) => {
                assert_eq!((page, &headers["referrer-policy"]), ("text/html; charset=utf-8", &"no-referrer".into()));
                Value::Null
            }
            None => {
                assert!(headers["location"].is_string() && headers["referrer-policy"] == "no-referrer", "{headers}");
                Value::Null
            }
        };
        (answer["statusCode"].as_u64().unwrap(), body)
    }

    /// A sign-in up to its code: what stands for the names in braces.
    async fn sign_in(&self) -> [(&'static str, String); 4] {
        let begun = self.answer(&read("authorize.json")).await;
        let ticket = parameter(&begun["headers"]["location"], "ticket");
        let cookie = begun["cookies"][0].as_str().unwrap().strip_prefix("__Host-latchkey-sign-in=").unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let accept = read("issue-accept-sign-in.json").replace("{{ticket}}", &ticket);
        let (_, accepted) = self.invoke(&accept).await;
        assert_eq!(accepted["ignored_claims"], serde_json::json!(["shoe_size"]));
        let answer = parameter(&accepted["redirect_to"], "answer");
        let back = read("authorize-return.json").replace("{{answer}}", &answer).replace("{{cookie}}", &cookie);
        let code = parameter(&self.answer(&back).await["headers"]["location"], "code");
        [("ticket", ticket), ("cookie", cookie), ("answer", answer), ("code", code)]
    }

    async fn issue(&self, client: &str) -> Value {
        let event = read("issue-form.json").replace("client_id=librechat", &format!("client_id={client}"));
        let (status, tokens) = self.invoke(&event).await;
        assert_eq!(status, 200);
        tokens
    }
}

/// Whatever the method.
fn function_of(path: &str) -> Function {
    let route = ["GET", "POST", "DELETE"].iter().find_map(|method| match routes::find(method, path) {
        Found::Route(route) => Some(route),
        Found::OtherMethods(_) | Found::Nothing => None,
    });
    route.unwrap_or_else(|| panic!("no function for {path}")).function
}

/// Of an address; tickets, answers and codes stand in it as they are.
fn parameter(address: &Value, name: &str) -> String {
    let mut pairs = address.as_str().unwrap().split(['?', '&']).filter_map(|pair| pair.split_once('='));
    pairs.find(|(own, _)| *own == name).unwrap().1.to_owned()
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../events"))
}

fn read(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

/// What each event must be answered with: the status, and the error if there is one.
fn expected() -> BTreeMap<&'static str, (u64, Option<&'static str>)> {
    BTreeMap::from([
        ("authorize", (302, None)),
        ("authorize-again", (302, None)),
        ("authorize-form", (302, None)),
        ("authorize-form-without-cookie", (303, None)),
        ("authorize-register", (201, None)),
        ("authorize-register-elsewhere", (400, Some("invalid_redirect_uri"))),
        ("authorize-register-secret", (201, None)),
        ("authorize-return", (302, None)),
        ("authorize-return-another-browser", (400, None)),
        ("authorize-return-forged", (400, None)),
        ("authorize-unknown-client", (400, None)),
        ("authorize-without-challenge", (302, None)),
        ("discovery-jwks", (200, None)),
        ("discovery-oauth-authorization-server", (200, None)),
        ("discovery-oauth-authorization-server-of-path", (404, Some("invalid_request"))),
        ("discovery-openid-configuration", (200, None)),
        ("discovery-openid-configuration-of-path", (404, Some("invalid_request"))),
        ("introspect-access-token", (200, None)),
        ("introspect-refresh-token", (200, None)),
        ("introspect-unauthenticated", (401, Some("invalid_client"))),
        ("introspect-userinfo", (200, None)),
        ("introspect-userinfo-post", (200, None)),
        ("introspect-userinfo-unauthenticated", (401, Some("invalid_token"))),
        ("issue", (200, None)),
        ("issue-accept-sign-in", (200, None)),
        ("issue-accept-sign-in-forged", (400, Some("invalid_request"))),
        ("issue-accept-sign-in-form", (200, None)),
        ("issue-accept-sign-in-unauthenticated", (401, Some("invalid_client"))),
        ("issue-assertion-forged", (400, Some("invalid_grant"))),
        ("issue-base64", (200, None)),
        ("issue-base64-lie", (400, Some("invalid_request"))),
        ("issue-basic", (200, None)),
        ("issue-duplicate", (400, Some("invalid_request"))),
        ("issue-form", (200, None)),
        ("issue-inspect-sign-in", (200, None)),
        ("issue-malformed", (400, Some("invalid_request"))),
        ("issue-multipart", (415, Some("invalid_request"))),
        ("issue-oversized", (413, Some("invalid_request"))),
        ("issue-query", (400, Some("invalid_request"))),
        ("issue-reject-sign-in", (200, None)),
        ("issue-wrong-secret", (401, Some("invalid_client"))),
        ("renew-code", (200, None)),
        ("renew-code-forged", (400, Some("invalid_grant"))),
        ("renew-code-wrong-verifier", (400, Some("invalid_grant"))),
        ("renew-confidential", (200, None)),
        ("renew-confidential-json", (200, None)),
        ("renew-forged", (400, Some("invalid_grant"))),
        ("renew-malformed", (400, Some("invalid_request"))),
        ("renew-no-body", (400, Some("invalid_request"))),
        ("renew-oauth", (200, None)),
        ("renew-on-behalf-of", (200, None)),
        ("renew-oversized", (413, Some("invalid_request"))),
        ("renew-public", (200, None)),
        ("renew-public-base64", (200, None)),
        ("renew-token-exchange", (200, None)),
        ("renew-token-exchange-other-target", (400, Some("invalid_target"))),
        ("renew-without-access-token", (400, Some("invalid_request"))),
        ("renew-wrong-grant", (400, Some("unsupported_grant_type"))),
        ("revoke-access-token", (200, None)),
        ("revoke-refresh-token", (200, None)),
        ("revoke-sign-out", (302, None)),
        ("revoke-sign-out-forged", (400, None)),
        ("revoke-sign-out-form", (302, None)),
        ("revoke-sign-out-without-hint", (302, None)),
        ("revoke-unauthenticated", (401, Some("invalid_client"))),
        ("revoke-unknown-token", (200, None)),
        ("sessions-end-all", (200, None)),
        ("sessions-end-one", (200, None)),
        ("sessions-list", (200, None)),
        ("sessions-list-page", (200, None)),
        ("sessions-malformed", (400, Some("invalid_request"))),
    ])
}

#[tokio::test]
async fn every_sample_event_is_answered_as_it_should_be() {
    let mut left = expected();
    let functions = Deployment::start().await;
    for entry in fs::read_dir(folder()).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = file
            .strip_suffix(".json")
            .filter(|name| !name.starts_with("rotate-keys") && !name.starts_with("authorizer"))
        else {
            continue;
        };
        let (status, error) = left.remove(name).unwrap_or_else(|| panic!("nothing is expected of {file}"));
        let mut event = read(&file);
        for (client, prefix) in
            [("librechat", ""), ("librechat-oauth", "oauth_"), ("spa", "public_"), ("spa-oauth", "public_oauth_")]
        {
            let tokens = functions.issue(client).await;
            for token in ["refresh_token", "access_token", "id_token", "session_id"] {
                event = event.replace(&format!("{{{{{prefix}{token}}}}}"), tokens[token].as_str().unwrap());
            }
        }
        for (placeholder, value) in functions.sign_in().await {
            event = event.replace(&format!("{{{{{placeholder}}}}}"), &value);
        }
        if name == "renew-public-base64" {
            event = with_encoded_token(&event, &functions.issue("spa-oauth").await);
        }
        let answer = functions.invoke(&event).await;
        assert_eq!(answer.0, status, "{file}: {answer:?}");
        assert_eq!(answer.1["error"].as_str(), error, "{file}: {answer:?}");
    }
    assert!(left.is_empty(), "no such event: {left:?}");
}

/// The same request by way of a REST API.
fn of_rest_api(event: &str) -> Value {
    let event: Value = serde_json::from_str(event).unwrap();
    let mut headers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, value) in event["headers"].as_object().unwrap() {
        headers.insert(name, vec![value.as_str().unwrap()]);
    }
    for cookie in event["cookies"].as_array().into_iter().flatten() {
        headers.entry("cookie").or_default().push(cookie.as_str().unwrap());
    }
    let mut query: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(event["rawQueryString"].as_str().unwrap().as_bytes()) {
        query.entry(name.into_owned()).or_default().push(value.into_owned());
    }
    serde_json::json!({
        "resource": "/{proxy+}", "path": event["rawPath"], "httpMethod": event["requestContext"]["http"]["method"],
        "headers": null, "multiValueHeaders": headers, "multiValueQueryStringParameters": query, "body": event["body"],
        "isBase64Encoded": event["isBase64Encoded"],
        "requestContext": {"httpMethod": event["requestContext"]["http"]["method"], "stage": "prod", "requestId": "r", "identity": {"sourceIp": "192.0.2.1"}},
    })
}

#[tokio::test]
async fn a_rest_api_is_answered_as_an_http_api_is() {
    let functions = Deployment::start().await;
    for entry in fs::read_dir(folder()).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let is_of_http = file.ends_with(".json") && !file.starts_with("rotate-keys") && !file.starts_with("authorizer");
        // Tokens, tickets and the like stay placeholders here: what is refused says enough.
        if !is_of_http {
            continue;
        }
        let event = read(&file);
        let path = serde_json::from_str::<Value>(&event).unwrap()["rawPath"].as_str().unwrap().to_owned();
        let answer = async |event: &str| {
            let event = LambdaEvent::new(HttpEvent::parse(event).unwrap(), Context::default());
            functions.0.answer(function_of(&path), event).await
        };
        let (http, rest) = (answer(&event).await, answer(&of_rest_api(&event).to_string()).await);
        assert_eq!(http["statusCode"], rest["statusCode"], "{file}");
        if http["statusCode"].as_u64().unwrap() >= 300 {
            assert_eq!(http["body"].as_str().unwrap_or_default(), rest["body"], "{file}");
        }
        let names = |headers: &Value| headers.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let mut in_both = names(&http["headers"]);
        in_both
            .extend(http["cookies"].as_array().filter(|cookies| !cookies.is_empty()).map(|_| "set-cookie".to_owned()));
        in_both.sort();
        assert_eq!(in_both, names(&rest["multiValueHeaders"]), "{file}");
    }
}

#[tokio::test]
async fn a_query_string_that_is_no_url_is_answered_and_not_a_crash() {
    let functions = Deployment::start().await;
    let event = read("issue-query.json").replace("subject=alice", "a=<b> c");
    assert!(event.contains("a=<b> c"));
    let (status, body) = functions.invoke(&event).await;
    assert_eq!((status, body["error"].as_str()), (400, Some("invalid_request")));
}

#[tokio::test]
async fn a_host_or_path_that_makes_no_url_is_answered_and_not_a_crash() {
    let functions = Deployment::start().await;
    let with = |from: &str, to: &str| {
        let event = read("issue-form.json");
        assert!(event.contains(from));
        event.replace(from, to)
    };
    for event in [
        with("api.example.org", "{api"),
        with("api.example.org", "api:99999"),
        with(r#""x-forwarded-proto": "https""#, r#""x-forwarded-proto": "1""#),
    ] {
        assert_eq!(functions.invoke(&event).await.0, 200, "the host is nobody's concern");
    }
    let long = format!(r#""rawQueryString": "{}""#, "a".repeat(70_000));
    let (status, body) = functions.invoke(&with(r#""rawQueryString": """#, &long)).await;
    assert_eq!((status, body["error"].as_str()), (400, Some("invalid_request")));
}

/// Whatever routes lead to the function.
#[tokio::test]
async fn no_method_but_delete_ends_a_session() {
    let functions = Deployment::start().await;
    let tokens = functions.issue("librechat").await;
    let event = read("sessions-end-one.json").replace(&"A".repeat(43), tokens["session_id"].as_str().unwrap());
    for (method, status) in [("GET", 405), ("POST", 405), ("DELETE", 200)] {
        let (answered, body) = functions.invoke(&event.replace("DELETE", method)).await;
        assert_eq!(answered, status, "{method}: {body}");
        assert_eq!(body["ended"], if method == "DELETE" { 1.into() } else { Value::Null });
    }
    let (status, body) = functions.invoke(&read("sessions-list.json").replace("GET", "POST")).await;
    assert_eq!((status, body["error"].as_str()), (405, Some("invalid_request")));
}

#[tokio::test]
async fn the_authorizers_events_are_answered_in_api_gateways_simple_form() {
    let functions = Deployment::start().await;
    let tokens = functions.issue("librechat").await;
    let answered = async |name: &str| {
        let event = read(name).replace("{{access_token}}", tokens["access_token"].as_str().unwrap());
        functions.0.authorize(serde_json::from_str(&event).unwrap(), "r").await
    };
    let allowed = answered("authorizer-allow.json").await;
    assert_eq!(allowed["isAuthorized"], true);
    let context = serde_json::json!({
        "sub": "alice", "client_id": "librechat", "scope": "openid email", "sid": tokens["session_id"],
    });
    assert_eq!(allowed["context"], context);
    assert_eq!(answered("authorizer-deny.json").await["isAuthorized"], false);
}

/// Secrets Manager's steps, against a Secrets Manager that does not answer.
#[tokio::test]
async fn every_rotation_event_is_understood_or_refused_by_name() {
    use latchkey_token_lambda::{
        system::{SystemClock, SystemKeys, SystemRandomness},
        telemetry::RequestAudit,
    };
    use rotate_keys::{Machine, RotationEvent, Rotator, StepFault};
    let sdk = latchkey_token_aws::sdk::loader()
        .region(aws_config::Region::new("local"))
        .credentials_provider(aws_sdk_dynamodb::config::Credentials::new("local", "local", None, None, "test"))
        .endpoint_url("http://127.0.0.1:1")
        .load()
        .await;
    let signing_keys = "latchkey/signing-keys".to_owned();
    let secrets = latchkey_token_aws::RingSecrets {
        signing_keys: signing_keys.clone(),
        verification_keys: "verification-keys".into(),
        ticket_keys: "ticket-keys".into(),
        public_keys: "public-keys".into(),
        librechat_secret: None,
    };
    let ring = latchkey_token_aws::SecretsManagerRing::new(&sdk, secrets);
    let limits = latchkey_token::rotation::RotationLimits { secrets_ttl_seconds: 300, jwks_seconds: 300 };
    let rotator = Rotator { versions: ring, signing_keys, limits };
    let mut count = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        if !file.starts_with("rotate-keys") {
            continue;
        }
        count += 1;
        let event: RotationEvent = serde_json::from_str(&read(&file)).unwrap();
        let audit = RequestAudit::of_invocation("rotate-keys", "r".into());
        let machine = Machine {
            clock: &SystemClock,
            randomness: &SystemRandomness,
            keys: &SystemKeys,
            audit: &audit,
            faulty: |_, _| (),
        };
        let fault = rotate_keys::handle(&rotator, machine, event).await.unwrap_err();
        match file.as_str() {
            "rotate-keys-unknown-step.json" => assert!(matches!(fault, StepFault::UnknownStep(_)), "{fault}"),
            "rotate-keys-unknown-secret.json" => assert!(matches!(fault, StepFault::UnknownSecret { .. }), "{fault}"),
            _ => assert!(fault.to_string().contains("no connection"), "{file}: {fault}"),
        }
    }
    assert_eq!(count, 6);
}

/// The placeholder is inside of base64 here.
fn with_encoded_token(event: &str, tokens: &Value) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let mut event: Value = serde_json::from_str(event).unwrap();
    let body = String::from_utf8(STANDARD.decode(event["body"].as_str().unwrap()).unwrap()).unwrap();
    let body = body.replace("{{public_oauth_refresh_token}}", tokens["refresh_token"].as_str().unwrap());
    event["body"] = STANDARD.encode(body).into();
    event.to_string()
}
