//! API Gateway's events, from the bytes that Lambda hands over to the answer in API Gateway's form.

use lambda_http::{Context, LambdaEvent, aws_lambda_events::apigw::ApiGatewayV2httpRequest};
use latchkey_token_lambda::lambda;
use serde_json::Value;

use crate::{
    Outcome, text,
    world::{Issued, World, block_on},
};

const CODES: [&str; 8] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "invalid_scope",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_token",
    "temporarily_unavailable",
];

/// Every event that can be read at all is answered, by the functions together as by each alone: in API Gateway's form,
/// not to be cached, tokens or a well-formed error; the same event gets the same answer; a refusal quotes no token and
/// no secret, and costs nobody a session.
///
/// Placeholders as in `events/` stand for tokens of sessions that exist.
pub fn lambda_event(data: &[u8]) -> Outcome {
    let Some(text) = text(data) else { return Outcome::Unused };
    block_on(async {
        let world = World::new();
        let (event, issued) = world.filled(text).await;
        let Some((path, answer)) = invoke(&world, &event).await else { return Outcome::Unused };
        let again = World::new();
        let (event, _) = again.filled(text).await;
        assert_eq!(invoke(&again, &event).await.unwrap().1, answer, "the same event, and another answer");

        let status = assert_well_formed(&path, &answer, &issued);
        if status < 400 {
            return Outcome::Accepted;
        }
        for issued in &issued {
            assert!(world.renews(issued).await, "a refused request has cost {} a session", issued.client);
        }
        Outcome::Refused
    })
}

async fn invoke(world: &World, event: &str) -> Option<(String, Value)> {
    let event: ApiGatewayV2httpRequest = serde_json::from_str(event).ok()?;
    let path = event.raw_path.clone().unwrap_or_default();
    let event = LambdaEvent::new(event, Context::default());
    let tokens = &world.tokens;
    macro_rules! answer {
        ($handler:path, $service:expr) => {
            serde_json::to_value(lambda::answer(event, |request| $handler($service, request)).await.unwrap())
        };
    }
    let answer = match path.as_str() {
        path if path.ends_with("/token") => answer!(issue::handle, tokens),
        path if path.ends_with("/token/renew") => answer!(renew::handle, tokens),
        path if path.ends_with("/token/revoke") => answer!(revoke::handle, tokens),
        path if path.ends_with("/token/introspect") => answer!(introspect::handle, tokens),
        path if path.contains("/sessions") => answer!(sessions::handle, tokens),
        _ => answer!(discovery::handle, &world.discovery),
    };
    Some((path, answer.unwrap()))
}

/// Returns the status.
fn assert_well_formed(path: &str, answer: &Value, issued: &[Issued]) -> u64 {
    let status = answer["statusCode"].as_u64().unwrap();
    assert!([200, 304, 400, 401, 404, 413, 415].contains(&status), "{status}");
    assert_eq!(answer["isBase64Encoded"], false);
    let header = |name: &str| answer["headers"][name].as_str();
    let may_be_kept = path.contains("/.well-known/") && status < 400;
    assert_eq!(header("cache-control"), Some(if may_be_kept { "public, max-age=300" } else { "no-store" }));
    if status == 304 {
        return status;
    }
    assert_eq!(header("content-type"), Some("application/json"));
    let body = answer["body"].as_str().unwrap();
    let members: Value = serde_json::from_str(body).unwrap();
    assert!(members.is_object());
    assert!(!body.contains("null"), "members without a value are left out");
    if status == 200 {
        assert!(members.get("error").is_none());
        return status;
    }
    assert_eq!(members.as_object().unwrap().len(), 2, "{body}");
    assert!(CODES.contains(&members["error"].as_str().unwrap()), "{body}");
    let description = members["error_description"].as_str().unwrap();
    // RFC 6749 §5.2.
    assert!(description.bytes().all(|byte| (0x20..=0x7e).contains(&byte) && byte != b'"' && byte != b'\\'), "{body}");
    assert_eq!(status == 401, members["error"] == "invalid_client");
    assert!(status == 401 || header("www-authenticate").is_none());
    // A claim's name is repeated to the issuer that has sent it, whatever it is.
    assert!(description.starts_with("claim '") || !body.contains("-secret"), "a secret is quoted");
    for token in issued.iter().flat_map(|issued| [&issued.tokens["refresh_token"], &issued.tokens["access_token"]]) {
        assert!(!body.contains(token.as_str().unwrap()), "a token is quoted");
    }
    status
}
