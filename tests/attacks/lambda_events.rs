//! Events as API Gateway hands them to a function, and as it never should. They go through the code that the Lambda
//! runtime calls.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use lambda_http::{Context, LambdaEvent};
use latchkey::serve::dynamodb::embedded;
use latchkey_token::routes::{self, Function};
use latchkey_token_aws::{CachedDocuments, DocumentSecrets, DynamoDbSessions, SecretText};
use latchkey_token_lambda::lambda::HttpEvent;
use serde_json::{Value, json};
use test_support::{FORM, JSON, form, functions::Functions, keys};

use crate::{
    bench::Bench,
    ledger::{Fault, Row},
};

/// On the table of `bench`.
async fn functions_on(bench: &Bench) -> Functions {
    let sdk = embedded(bench.app.database.clone(), None).await;
    let secrets = DocumentSecrets {
        signing_keys: SecretText::Inline(keys::ring()),
        clients: SecretText::Inline(keys::registrations()),
    };
    Functions::new(
        DynamoDbSessions::new(&sdk, "latchkey"),
        Arc::new(CachedDocuments::new(secrets, 300)),
        &bench.app.clock,
    )
}

/// Status and body. What no other function is there for, `renew` has to answer.
async fn invoke(functions: &Functions, event: &Value) -> (u64, String) {
    let parsed = HttpEvent::parse(&event.to_string()).unwrap();
    let path = event["rawPath"].as_str().unwrap_or_default();
    let route = routes::ALL
        .iter()
        .find(|route| path == route.path || path.starts_with(&format!("{}/", route.path)) && route.path == "/sessions");
    let function = route.map_or(Function::Renew, |route| route.function);
    let answer = functions.answer(function, LambdaEvent::new(parsed, Context::default())).await;
    (answer["statusCode"].as_u64().unwrap(), answer["body"].as_str().unwrap_or_default().to_owned())
}

fn event(path: &str, headers: Value, body: Value, is_base64: Value) -> Value {
    json!({
        "version": "2.0", "routeKey": format!("POST {path}"), "rawPath": path, "rawQueryString": "", "headers": headers, "body": body,
        "isBase64Encoded": is_base64,
        "requestContext": {
            "accountId": "0", "apiId": "a", "domainName": "x", "requestId": "r", "stage": "$default", "time": "x", "timeEpoch": 0,
            "http": {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "x"},
        },
    })
}

fn error(error: &str, description: &str) -> String {
    format!(r#"{{"error":"{error}","error_description":"{description}"}}"#)
}

pub async fn hostile(row: Row) {
    let bench = Bench::start(row).await;
    let functions = functions_on(&bench).await;
    let (own, portal) = (bench.basic("librechat"), bench.basic("portal"));
    let honest = form(&[("refresh_token", bench.tokens.refresh()), ("access_token", bench.tokens.access())]);
    let encoded = STANDARD.encode(&honest);
    let headers = json!({"content-type": FORM, "authorization": own});
    let renew = |body: Value, is_base64: bool| event("/token/renew", headers.clone(), body, is_base64.into());
    let lie = error("invalid_request", "the body is not the base64 it is said to be, or the URL is none");
    let missing = error("invalid_request", "refresh_token is missing");
    let not_a_form = error("invalid_request", "not a form of percent-encoded UTF-8");
    let not_json =
        error("invalid_request", "the body is not a JSON object, holds a member twice, or is nested deeper than 16");
    let too_large = error("invalid_request", "the body is longer than 16 KiB");
    let media_type = error(
        "invalid_request",
        "the content type must be application/x-www-form-urlencoded or application/json, in UTF-8",
    );
    let query = error("invalid_request", "parameters belong in the body, not in the query string");
    let unauthenticated = error("invalid_client", "authentication failed");
    let mut attempts: Vec<(String, Value, u64, String)> = vec![
        ("said to be base64, and is not".into(), renew(honest.clone().into(), true), 400, lie.clone()),
        ("base64, and not said to be".into(), renew(encoded.clone().into(), false), 400, missing.clone()),
        ("base64 twice".into(), renew(STANDARD.encode(&encoded).into(), true), 400, missing.clone()),
        ("base64 with a space".into(), renew(format!(" {encoded}").into(), true), 400, lie.clone()),
        ("base64 with a line end".into(), renew(format!("{encoded}\n").into(), true), 400, lie.clone()),
        ("base64 without padding".into(), renew("YT1".into(), true), 400, lie.clone()),
        ("base64url".into(), renew("-_-_".into(), true), 400, lie.clone()),
        ("base64 with spare bits".into(), renew("YR==".into(), true), 400, lie.clone()),
        ("base64 of nothing".into(), renew("".into(), true), 400, missing.clone()),
        ("no body".into(), renew(Value::Null, false), 400, missing.clone()),
        ("no body, said to be base64".into(), renew(Value::Null, true), 400, missing.clone()),
        (
            "base64 of bytes that are no text".into(),
            renew(STANDARD.encode([0xff; 64]).into(), true),
            400,
            not_a_form.clone(),
        ),
        (
            "base64 of a large body".into(),
            renew(STANDARD.encode(vec![b'x'; 16 * 1024 + 1]).into(), true),
            413,
            too_large.clone(),
        ),
        ("a large body".into(), renew("x".repeat(16 * 1024 + 1).into(), false), 413, too_large.clone()),
        ("six megabytes".into(), renew("x".repeat(6_000_000).into(), false), 413, too_large.clone()),
    ];
    for (what, content_type, body, status, text) in [
        ("a form as JSON", JSON, honest.clone(), 400, &not_json),
        ("JSON as a form", FORM, json!({"refresh_token": bench.tokens.refresh()}).to_string(), 400, &missing),
        ("multipart", "multipart/form-data; boundary=x", honest.clone(), 415, &media_type),
        ("two types, joined as API Gateway joins them", &format!("{FORM},{JSON}"), honest.clone(), 415, &media_type),
    ] {
        let headers = json!({"content-type": content_type, "authorization": own});
        attempts.push((what.into(), event("/token/renew", headers, body.into(), false.into()), status, text.clone()));
    }
    // Repeated headers reach a function joined by commas.
    for authorization in [
        format!("{own},{portal}"),
        format!("{own}, Bearer x"),
        format!("Bearer {},{own}", bench.tokens.access()),
        String::new(),
        " ".into(),
    ] {
        let headers = json!({"content-type": FORM, "authorization": authorization});
        for path in ["/token", "/token/renew", "/token/revoke", "/token/introspect"] {
            let body = format!("{honest}&token={}&subject=alice", bench.tokens.refresh());
            // A second Bearer token is one that is malformed; the refresh token beside it names nobody.
            let (status, text) = match (path, authorization.starts_with("Bearer")) {
                ("/token/renew", true) => (
                    400,
                    error(
                        "invalid_request",
                        "the access token is both in the Authorization header and in the body: use one",
                    ),
                ),
                _ => (401, unauthenticated.clone()),
            };
            attempts.push((
                format!("{path}: joined credentials"),
                event(path, headers.clone(), body.into(), false.into()),
                status,
                text,
            ));
        }
    }
    for raw_query in ["a=b", "access_token=x", "a=<b> c", "%", "a=%zz", "\u{e9}", "a=b#c", "refresh_token=lk1_x"] {
        let mut event = renew(honest.clone().into(), false);
        event["rawQueryString"] = raw_query.into();
        let is_url = format!("/token/renew?{raw_query}").parse::<lambda_http::http::Uri>().is_ok();
        attempts.push((format!("query {raw_query:?}"), event, 400, if is_url { query.clone() } else { lie.clone() }));
    }
    // What API Gateway says about the caller is no credential.
    let mut trusted = event("/token/renew", json!({"content-type": FORM}), honest.clone().into(), false.into());
    trusted["requestContext"]["authorizer"] = json!({"jwt": {"claims": {"client_id": "librechat"}, "scopes": ["admin"]}, "lambda": {"client_id": "librechat"}});
    trusted["requestContext"]["authentication"] = json!({"clientCert": {"clientCertPem": "x", "subjectDN": "CN=librechat", "issuerDN": "CN=x", "serialNumber": "1",
        "validity": {"notBefore": "x", "notAfter": "x"}}});
    trusted["pathParameters"] = json!({"client_id": "librechat"});
    trusted["stageVariables"] = json!({"client_id": "librechat", "LATCHKEY_ISSUER": "https://evil.example"});
    trusted["cookies"] = json!(["client_id=librechat", "client_secret=x"]);
    trusted["queryStringParameters"] = json!({"client_id": "librechat", "client_secret": "x"});
    attempts.push(("credentials in every other place".into(), trusted, 401, unauthenticated));

    row.plan(attempts.len());
    for (what, event, status, text) in attempts {
        let before = bench.app.snapshot();
        let answer = invoke(&functions, &event).await;
        row.attempted();
        if answer.0 == 200 {
            row.fault(Fault::LetIn, format_args!("{what}: {answer:?}"));
        }
        if answer != (status, text.clone()) {
            row.fault(Fault::WrongAnswer, format_args!("{what}: {answer:?} for {status} {text}"));
        }
        if before != bench.app.snapshot() {
            row.fault(Fault::StateChange, &what);
        }
    }
    // The honest event is served, in both forms, and however often Lambda delivers it: one renewal and its retries.
    let mut successors = std::collections::BTreeSet::new();
    for event in [renew(honest.clone().into(), false), renew(encoded.into(), true), renew(honest.into(), false)] {
        let (status, text) = invoke(&functions, &event).await;
        assert_eq!(status, 200, "{text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        successors.insert(answer["refresh_token"].as_str().unwrap().to_owned());
        row.controlled();
    }
    assert_eq!(successors.len(), 1);
}

/// The authorizer's events: whatever is not one good token in one header is a denial, never a failure.
pub async fn authorizer_events(row: Row) {
    let bench = Bench::start(row).await;
    let functions = functions_on(&bench).await;
    let access = bench.tokens.access();
    let asked = async |headers: Value| {
        let event = json!({"version": "2.0", "type": "REQUEST", "routeArn": "arn", "routeKey": "GET /", "rawPath": "/", "rawQueryString": format!("access_token={access}"),
            "identitySource": [format!("Bearer {access}")], "cookies": [format!("access_token={access}")], "headers": headers,
            "queryStringParameters": {"access_token": access}, "requestContext": {"http": {"method": "GET"}}});
        functions.authorize(event, "r").await
    };
    let nobody = json!({"sub": "", "client_id": "", "scope": "", "sid": ""});
    let headers = [
        json!({}),
        json!({"authorization": ""}),
        json!({"authorization": access}),
        json!({"authorization": "Bearer"}),
        json!({"authorization": "Bearer "}),
        json!({"authorization": format!("Basic {access}")}),
        json!({"authorization": format!("DPoP {access}")}),
        json!({"authorization": format!("Bearer: {access}")}),
        json!({"authorization": format!("Bearer\t{access}")}),
        json!({"authorization": format!("Bearer {access},Bearer {access}")}),
        json!({"authorization": format!("Bearer {access}, x")}),
        json!({"authorization": format!("Bearer \"{access}\"")}),
        json!({"authorization": format!("Bearer Bearer {access}")}),
        json!({"authorization": format!("Bearer {}", bench.tokens.refresh())}),
        json!({"authorization": format!("Bearer {}", bench.tokens.0["id_token"].as_str().unwrap())}),
        json!({"x-authorization": format!("Bearer {access}")}),
        json!({"cookie": format!("authorization=Bearer {access}")}),
        json!({"x-access-token": access}),
        json!({"proxy-authorization": format!("Bearer {access}")}),
        json!({"authorization": format!("Bearer {}.", access)}),
        json!({"authorization": "Bearer null"}),
        json!({"authorization": "Bearer undefined"}),
    ];
    row.plan(headers.len());
    for headers in headers {
        let before = bench.app.snapshot();
        let answer = asked(headers.clone()).await;
        row.attempted();
        if answer["isAuthorized"] != false {
            row.fault(Fault::LetIn, format_args!("{headers}"));
        }
        if answer["context"] != nobody {
            row.fault(Fault::WrongAnswer, format_args!("{headers}: {answer}"));
        }
        if before != bench.app.snapshot() {
            row.fault(Fault::StateChange, &headers);
        }
    }
    assert_eq!(asked(json!({"authorization": format!("Bearer {access}")})).await["isAuthorized"], true);
    row.controlled();
}
