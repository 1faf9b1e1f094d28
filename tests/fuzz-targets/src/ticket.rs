//! Tickets, answers and codes, where the portal, the browser and the client bring them.

use latchkey_token_lambda::{Body, Request, request::BrowserCookie};
use serde_json::json;

use crate::{
    Outcome, text,
    world::{ISSUER, World, block_on, read},
};

const REDIRECT_URI: &str = "https://chat.example.org/oauth/openid/callback";
/// The example of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A whole sign-in: what its browser, its portal and its client hold.
struct SignIn {
    cookie: String,
    ticket: String,
    answer: String,
    code: String,
}

/// Nothing opens as a ticket, an answer or a code but the very text that this deployment made as one, in its own place.
///
/// `{{ticket}}`, `{{answer}}` and `{{code}}` stand for those of a sign-in that is under way.
pub fn ticket(data: &[u8]) -> Outcome {
    let Some(text) = text(data) else { return Outcome::Unused };
    block_on(async {
        let world = World::new();
        let sign_in = begin(&world).await;
        let mut presented = text.to_owned();
        for (placeholder, value) in
            [("{{ticket}}", &sign_in.ticket), ("{{answer}}", &sign_in.answer), ("{{code}}", &sign_in.code)]
        {
            presented = presented.replace(placeholder, value);
        }
        let is_accepted = [
            is_taken_by_the_portals_calls(&world, &sign_in, &presented).await,
            is_taken_at_the_end(&world, &sign_in, &presented).await,
            is_exchanged(&world, &sign_in, &presented).await,
        ];
        // The answer's code is still good, whatever else was presented; a code that was is used up.
        let (status, _) = exchange(&world, &sign_in.code).await;
        assert_eq!(status == 200, presented != sign_in.code, "what is refused costs nobody a sign-in");
        if is_accepted.contains(&true) { Outcome::Accepted } else { Outcome::Refused }
    })
}

async fn begin(world: &World) -> SignIn {
    let parameters = [
        ("response_type", "code"),
        ("client_id", "librechat-oauth"),
        ("redirect_uri", REDIRECT_URI),
        ("scope", "openid"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    let begun = world.browse(get(&format!("/authorize?{query}"), None)).await;
    let set = begun.headers()["set-cookie"].to_str().unwrap();
    let cookie = set.split(';').next().unwrap().to_owned();
    assert!(cookie.starts_with(BrowserCookie::of(ISSUER).name()));
    let ticket = carried(&begun.headers()["location"], "ticket");
    let (_, accepted) = world.portal("/authorize/accept", json!({"ticket": ticket, "subject": "alice"})).await;
    let address = accepted["redirect_to"].as_str().unwrap();
    let answer = carried(&address.parse().unwrap(), "answer");
    let end = world.browse(get(address.strip_prefix(ISSUER).unwrap(), Some(&cookie))).await;
    let code = carried(&end.headers()["location"], "code");
    SignIn { cookie, ticket, answer, code }
}

fn get(path: &str, cookie: Option<&str>) -> Request {
    let mut request = Request::new(Body::Empty);
    *request.uri_mut() = path.parse().unwrap();
    if let Some(cookie) = cookie {
        request.headers_mut().insert("cookie", cookie.parse().unwrap());
    }
    request
}

fn carried(location: &lambda_http::http::HeaderValue, name: &str) -> String {
    let (_, query) = location.to_str().unwrap().split_once('?').unwrap();
    form_urlencoded::parse(query.as_bytes()).find(|(own, _)| own == name).unwrap().1.into_owned()
}

async fn is_taken_by_the_portals_calls(world: &World, sign_in: &SignIn, text: &str) -> bool {
    let is_own = text == sign_in.ticket;
    for (path, member) in [
        ("/authorize/inspect", ("unknown", "x")),
        ("/authorize/reject", ("error", "access_denied")),
        ("/authorize/accept", ("subject", "mallory")),
    ] {
        let mut body = json!({"ticket": text});
        body[member.0] = member.1.into();
        let (status, answer) = world.portal(path, body).await;
        assert_eq!(status == 200, is_own, "{path}: {answer}");
        assert!(is_own || answer["error"] == "invalid_request", "{path}: {answer}");
    }
    is_own
}

/// In the browser that began it; in another one, and in none, nothing is taken.
async fn is_taken_at_the_end(world: &World, sign_in: &SignIn, text: &str) -> bool {
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("answer", text).finish();
    let Ok(uri) = format!("/authorize/return?{query}").parse::<lambda_http::http::Uri>() else { return false };
    let another = format!("{}={}", BrowserCookie::of(ISSUER).name(), "A".repeat(43));
    for cookie in [None, Some(another.as_str())] {
        let end = world.browse(get(&uri.to_string(), cookie)).await;
        assert!(end.status() == 400 && !end.headers().contains_key("location"));
    }
    let end = world.browse(get(&uri.to_string(), Some(&sign_in.cookie))).await;
    let is_own = text == sign_in.answer;
    assert_eq!(end.status() == 302, is_own);
    if is_own {
        assert_eq!(carried(&end.headers()["location"], "code"), sign_in.code, "the same again");
    }
    is_own
}

async fn is_exchanged(world: &World, sign_in: &SignIn, text: &str) -> bool {
    let (status, answer) = exchange(world, text).await;
    let is_own = text == sign_in.code;
    assert_eq!(status == 200, is_own, "{answer}");
    let is_body = text.len() < 15_000;
    assert!(is_own || !is_body || ["invalid_grant", "invalid_request"].map(Some).contains(&answer["error"].as_str()));
    is_own
}

async fn exchange(world: &World, code: &str) -> (u16, serde_json::Value) {
    let body = json!({
        "grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT_URI, "code_verifier": VERIFIER,
        "client_id": "librechat-oauth", "client_secret": "example-oauth-client-secret",
    });
    let mut request = Request::new(Body::Text(body.to_string()));
    request.headers_mut().insert("content-type", "application/json".parse().unwrap());
    read(renew::handle(&world.tokens, request).await)
}
