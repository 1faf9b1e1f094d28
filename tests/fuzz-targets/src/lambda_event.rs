//! API Gateway's events, from the bytes that Lambda hands over to the answer in API Gateway's form.

use lambda_http::{Context, LambdaEvent, aws_lambda_events::apigw::ApiGatewayV2httpRequest};
use latchkey_token::routes::{self, Function, Route};
use latchkey_token_lambda::{
    lambda,
    response::{Page, page},
};
use serde_json::Value;

use crate::{
    Outcome, text,
    world::{Issued, World, block_on},
};

/// Routes that answer browsers.
const OF_BROWSERS: [Route; 3] = [routes::AUTHORIZE, routes::RETURN_SIGN_IN, routes::SIGN_OUT];
/// Every place a browser may be sent to.
const ADDRESSES: [&str; 6] = [
    "https://portal.example.org/sign-in",
    "https://portal.example.org/sign-out",
    "https://chat.example.org/oauth/openid/callback",
    "https://chat.example.org/api/admin/oauth/openid/callback",
    "http://127.0.0.1",
    "https://latchkey.example/authorize",
];

/// What is said to an event that holds no request.
const UNREADABLE: &str = r#"{"error":"invalid_request","error_description":"the body is not the base64 it is said to be, or the URL is none"}"#;

const CODES: [&str; 10] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "invalid_scope",
    "invalid_target",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_token",
    "insufficient_scope",
    "temporarily_unavailable",
];

/// Every event that can be read at all is answered, by the functions together as by each alone: in API Gateway's form,
/// not to be cached, tokens or a well-formed error; browsers are answered with a page that is always the same, or sent to an
/// address of a registration; the same event gets the same answer; a refusal quotes no token and no secret, and costs
/// nobody a session.
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
    let function = match routes::ALL.iter().find(|route| route.ends(&path)) {
        Some(route) => route.function,
        None if path.contains("/sessions") => Function::Sessions,
        None => Function::Discovery,
    };
    let answer = match function {
        Function::Issue => answer!(issue::handle, tokens),
        Function::Renew => answer!(renew::handle, tokens),
        Function::Revoke => answer!(revoke::handle, tokens),
        Function::Introspect => answer!(introspect::handle, tokens),
        Function::Sessions => answer!(sessions::handle, tokens),
        Function::Discovery => answer!(discovery::handle, &world.discovery),
        Function::Authorize => answer!(authorize::handle, &world.sign_ins),
    };
    Some((path, answer.unwrap()))
}

/// Returns the status.
fn assert_well_formed(path: &str, answer: &Value, issued: &[Issued]) -> u64 {
    let status = answer["statusCode"].as_u64().unwrap();
    assert!([200, 302, 303, 304, 400, 401, 403, 404, 413, 415].contains(&status), "{status}");
    assert_eq!(answer["isBase64Encoded"], false);
    let header = |name: &str| answer["headers"][name].as_str();
    let may_be_kept = path.contains("/.well-known/") && status < 400;
    assert_eq!(header("cache-control"), Some(if may_be_kept { "public, max-age=300" } else { "no-store" }));
    if status == 304 {
        return status;
    }
    // Which route it is for nobody asks where the event's URL is none.
    let is_unreadable = answer["body"].as_str() == Some(UNREADABLE);
    if OF_BROWSERS.iter().any(|route| route.ends(path)) && !is_unreadable {
        assert_is_for_browsers(status, answer);
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
    let code = members["error"].as_str().unwrap();
    assert_eq!(status == 401, ["invalid_client", "invalid_token"].contains(&code));
    assert_eq!(status == 403, code == "insufficient_scope");
    let is_userinfos = || header("www-authenticate") == Some("Bearer error=\"invalid_request\"");
    assert!([401, 403].contains(&status) || header("www-authenticate").is_none() || is_userinfos());
    // A claim's name is repeated to the issuer that has sent it, whatever it is.
    assert!(description.starts_with("claim '") || !body.contains("-secret"), "a secret is quoted");
    let names = ["refresh_token", "access_token", "id_token"];
    for token in issued.iter().flat_map(|issued| names.map(|name| &issued.tokens[name])) {
        assert!(!body.contains(token.as_str().unwrap()), "a token is quoted");
    }
    status
}

/// A page that is always the same, or a way to a place that a registration names.
fn assert_is_for_browsers(status: u64, answer: &Value) {
    let header = |name: &str| answer["headers"][name].as_str();
    assert_eq!(header("referrer-policy"), Some("no-referrer"));
    let body = answer["body"].as_str().unwrap_or_default();
    let Some(location) = header("location") else {
        let pages = [Page::SignInStops, Page::SignedOut, Page::NobodySignedOut, Page::SignOutStops];
        let is_known = |kind: Page| {
            let page = page(kind);
            page.status().as_u16() == u16::try_from(status).unwrap() && page.body().as_ref() == body.as_bytes()
        };
        assert!(pages.into_iter().any(is_known), "{status}: something of the request: {body}");
        return;
    };
    assert!([302, 303].contains(&status) && body.is_empty());
    let leads = ADDRESSES.iter().find_map(|address| location.strip_prefix(address));
    let leads = leads.unwrap_or_else(|| panic!("elsewhere: {location}"));
    assert!(leads.is_empty() || leads.starts_with(['?', '&', ':', '/']), "elsewhere: {location}");
}
