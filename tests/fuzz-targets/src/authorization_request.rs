//! Authorization requests, as an address and as a form.

use std::collections::{BTreeMap, BTreeSet};

use lambda_http::http::Method;
use latchkey_token::{
    sign_in::MAX_REQUEST_BYTES,
    tickets::{Browser, Ticket, TicketKeys},
    values::Scope,
};
use latchkey_token_lambda::{
    Body, Request, Response,
    request::BrowserCookie,
    response::{Page, page},
};
use latchkey_token_testkit::fixture::NOW;

use crate::{
    Outcome, text,
    world::{ISSUER, World, block_on, parsed_documents},
};

const SIGN_IN_URL: &str = "https://portal.example.org/sign-in";
/// What the example registrations have, per client.
const REDIRECTS: [(&str, &[&str]); 2] = [
    (
        "librechat-oauth",
        &["https://chat.example.org/oauth/openid/callback", "https://chat.example.org/api/admin/oauth/openid/callback"],
    ),
    ("spa-oauth", &["http://127.0.0.1/callback"]),
];

/// Whatever is asked for: a page that is always the same, or an address that begins with one that the client is registered
/// for, or with the portal's. What goes to the portal is a ticket for exactly what was asked for, and bound to the browser
/// that asked. A form says the same as an address; without the cookie it is sent on as one.
///
/// The input is a query string.
pub fn authorization_request(data: &[u8]) -> Outcome {
    let Some(query) = text(data) else { return Outcome::Unused };
    let browser = Browser::from_bytes([7; 32]);
    let cookie = format!("{}={}", BrowserCookie::of(ISSUER).name(), browser.expose());
    let form = answer(&request(Method::POST, "/authorize", query, Some(&cookie)).expect("a form may hold anything"));
    let outcome = judge(query, &form, &browser);
    if let Some(address) = request(Method::GET, &format!("/authorize?{query}"), "", Some(&cookie)) {
        // What stands behind `#` never leaves a browser.
        if address.uri().query() == Some(query) {
            assert_eq!(seen(&answer(&address)), seen(&form), "an address and a form that say the same");
        }
    }
    assert_is_sent_on(query, &form, &cookie);
    outcome
}

fn request(method: Method, uri: &str, form: &str, cookie: Option<&str>) -> Option<Request> {
    let mut request = Request::new(Body::from(form));
    *request.method_mut() = method;
    *request.uri_mut() = uri.parse().ok()?;
    let headers = request.headers_mut();
    headers.insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
    if let Some(cookie) = cookie {
        headers.insert("cookie", cookie.parse().unwrap());
    }
    Some(request)
}

/// In a world of its own, so that the same request gets the same answer.
fn answer(request: &Request) -> Response<Body> {
    block_on(World::new().browse(request.clone()))
}

fn seen(response: &Response<Body>) -> (u16, String, String) {
    let location = response.headers().get("location").map_or("", |location| location.to_str().unwrap());
    (response.status().as_u16(), location.to_owned(), String::from_utf8(response.body().to_vec()).unwrap())
}

fn judge(query: &str, response: &Response<Body>, browser: &Browser) -> Outcome {
    let headers = response.headers();
    assert!(headers["cache-control"] == "no-store" && headers["referrer-policy"] == "no-referrer");
    let (status, location, body) = seen(response);
    if status == 400 {
        assert_eq!((location.as_str(), body), ("", seen(&page(Page::SignInStops)).2), "something of the request");
        return Outcome::Refused;
    }
    assert!(status == 302 && body.is_empty() && location.bytes().all(|byte| byte.is_ascii_graphic()), "{location}");
    let asked = pairs(query);
    assert!(query.len() <= MAX_REQUEST_BYTES);
    let (client, redirect_uri) = (&asked["client_id"], &asked["redirect_uri"]);
    assert_is_registered(client, redirect_uri);
    match location.strip_prefix(SIGN_IN_URL) {
        Some(told) => {
            assert_asks_for_it(query, &pairs(told.strip_prefix('?').unwrap()), browser);
            Outcome::Accepted
        }
        None => {
            let told = location.strip_prefix(redirect_uri.as_str()).expect("the address that was asked for");
            assert!(told.starts_with(['?', '&']), "{location}");
            let told = pairs(&told[1..]);
            assert_eq!(told["iss"], ISSUER);
            assert!(!told["error"].is_empty() && !told.contains_key("code"));
            assert!(told.get("state").is_none_or(|state| Some(state) == asked.get("state")));
            Outcome::Refused
        }
    }
}

/// Pairs of a query string that stand there once; of others nothing is said here.
fn pairs(query: &str) -> BTreeMap<String, String> {
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

fn assert_is_registered(client: &str, redirect_uri: &str) {
    let (_, registered) = REDIRECTS.iter().find(|(own, _)| *own == client).expect("a client whose users sign in");
    let is_loopback = |own: &str| {
        let port = own
            .strip_prefix("http://127.0.0.1")
            .and_then(|path| redirect_uri.strip_prefix("http://127.0.0.1:")?.strip_suffix(path));
        port.is_some_and(|port| port.parse::<u16>().is_ok_and(|number| number.to_string() == port && number > 0))
    };
    assert!(registered.iter().any(|own| *own == redirect_uri || is_loopback(own)), "{redirect_uri}");
}

/// The ticket opens to what was asked for, and the portal is told the same.
fn assert_asks_for_it(query: &str, told: &BTreeMap<String, String>, browser: &Browser) {
    let asked = pairs(query);
    let documents = parsed_documents();
    let keys = TicketKeys::of(&documents.keys);
    let ticket = Ticket::open(&told["ticket"], &keys, ISSUER, NOW).unwrap().expect("a ticket of our own");
    let of = |name: &str| asked.get(name).filter(|value| !value.is_empty()).map(String::as_str);
    assert_eq!(
        (Some(ticket.client_id.as_str()), Some(ticket.redirect_uri.as_str())),
        (of("client_id"), of("redirect_uri"))
    );
    assert_eq!((ticket.state.as_deref(), ticket.nonce.as_deref()), (of("state"), of("nonce")));
    assert_eq!((ticket.prompt.as_deref(), ticket.login_hint.as_deref()), (of("prompt"), of("login_hint")));
    assert_eq!(ticket.acr_values.as_deref(), of("acr_values"));
    assert_eq!(ticket.code_challenge.map(|challenge| challenge.text()).as_deref(), of("code_challenge"));
    assert!(ticket.code_challenge.is_some(), "these clients sign in with PKCE");
    assert_eq!(ticket.max_age.is_some(), of("max_age").is_some());
    assert!(ticket.browser == browser.hash() && ticket.begun_at == NOW && ticket.issuer_id.as_str() == "portal");
    let client = documents.registrations.client(ticket.client_id.as_str()).unwrap().unwrap();
    let asked_scope = of("scope").map_or_else(
        || client.scope.clone(),
        |scope| {
            let names: Vec<&str> =
                scope.split(' ').filter(|name| client.scope.to_string().split(' ').any(|own| own == *name)).collect();
            Scope::parse(&names.join(" ")).unwrap_or_else(|| client.scope.clone())
        },
    );
    assert!(
        !ticket.scope.is_empty() && ticket.scope.intersection(&asked_scope) == ticket.scope,
        "more than was asked for"
    );
    assert!(ticket.scope.intersection(&client.scope) == ticket.scope, "more than is registered");
    let resources: BTreeSet<String> = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, value)| name == "resource" && !value.is_empty())
        .map(|(_, value)| value.into_owned())
        .collect();
    assert!(ticket.resource.iter().all(|one| client.audience.contains(one)), "more than is registered");
    assert_eq!(ticket.resource.iter().cloned().collect::<BTreeSet<_>>(), resources);
    assert_eq!(ticket.resource.len(), resources.len(), "each once");
    for name in ["prompt", "login_hint", "max_age", "ui_locales", "acr_values", "client_id"] {
        assert_eq!(told.get(name).map(String::as_str), of(name), "{name}");
    }
    assert!(
        told.len() <= 7
            && of("request").is_none()
            && of("request_uri").is_none()
            && of("response_type") == Some("code")
    );
}

/// A form without the cookie becomes an address of our own, which says the same.
fn assert_is_sent_on(query: &str, form: &Response<Body>, cookie: &str) {
    let sent_on = answer(&request(Method::POST, "/authorize", query, None).unwrap());
    let (status, location, _) = seen(&sent_on);
    assert!(!sent_on.headers().contains_key("set-cookie"), "it would break the browser's other sign-ins");
    if status == 400 {
        assert_eq!(form.status(), 400);
        return;
    }
    let path = location.strip_prefix(ISSUER).filter(|path| *path == "/authorize" || path.starts_with("/authorize?"));
    let path = path.unwrap_or_else(|| panic!("{status} {location}"));
    assert_eq!(status, 303);
    let again = answer(&request(Method::GET, path, "", Some(cookie)).unwrap());
    // Written anew it may be longer than a request may be.
    if path.len() <= MAX_REQUEST_BYTES {
        assert_eq!(seen(&again), seen(form), "{path}");
    }
}
