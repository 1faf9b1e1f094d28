//! The demo's portal at `/demo/portal`: an external system that signs its users in, and tells the service who they are.
//!
//! It does what a portal has to do (docs/portal.md), by the calls that any portal makes. It keeps the ticket in its own session
//! and takes it out of the address; it trusts `inspect`, never the address; its forms carry a token of their own; it sends
//! browsers on to addresses of its own list only. It asks nobody for a password: whoever is at this machine may be anyone.

mod desk;
mod html;
mod sign_in;
mod sign_out;

use axum::http::{Method, Request, Response, StatusCode};
use latchkey_token_lambda::{
    Body,
    request::{MAX_BODY_BYTES, RequestFault, browser_parameters, only},
};

use self::{
    desk::Desk,
    html::note,
    sign_in::{Action, act, arrive, show},
};
use super::{
    demo::{DemoCredentials, PORTAL, PORTAL_SIGN_OUT},
    pages::{
        BackEnd, Off, Sessions, Tokens, file, forbidden, is_from_the_page, is_navigation, moved, off_page,
        other_method, protected, see_other,
    },
};

const STYLE: &str = include_str!("portal.css");

/// Has no `form-action`: Chromium holds it against every redirect that follows a form, and these lead to the application.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'";

/// With `no-referrer` a browser says `Origin: null` of the portal's own forms.
const REFERRER_POLICY: &str = "same-origin";

/// The portal of one server.
pub(super) struct Portal {
    desk: Result<Desk, Off>,
}

impl Portal {
    /// Where the demo's pages are on. `url` is the server's.
    pub(super) fn new(on: Result<DemoCredentials, Off>, url: &str) -> Self {
        let sessions = Sessions::new("latchkey-demo-portal", PORTAL);
        Self { desk: on.map(|credentials| Desk { credentials, url: url.to_owned(), sessions }) }
    }

    /// The answer to a request for one of the portal's pages; `None` if the request is for another.
    pub(super) async fn answer(&self, tokens: &Tokens, request: &Request<Body>) -> Option<Response<Body>> {
        let path = request.uri().path();
        let is_get = request.method() == Method::GET;
        let response = match (path, &self.desk) {
            ("/demo/portal.css", Ok(_)) if is_get => file(STYLE, "text/css; charset=utf-8"),
            (PORTAL | PORTAL_SIGN_OUT, Err(off)) => off_page("portal", *off, StatusCode::NOT_FOUND, request.headers()),
            (PORTAL | PORTAL_SIGN_OUT, Ok(desk)) if is_get => match (is_navigation(request.headers()), path) {
                (false, _) => forbidden(),
                (true, _) if moved(&desk.url, request).is_some() => see_other(&moved(&desk.url, request)?),
                (true, PORTAL) => get(desk, tokens, request).await,
                (true, _) => sign_out::ask(desk, request),
            },
            (PORTAL | PORTAL_SIGN_OUT, Ok(desk)) if request.method() == Method::POST => {
                match (is_from_the_page(request.headers()), path) {
                    (false, _) => forbidden(),
                    (true, PORTAL) => post(desk, tokens, request).await,
                    (true, _) => sign_out::end(desk, request),
                }
            }
            (PORTAL | PORTAL_SIGN_OUT, Ok(_)) => other_method("GET, POST"),
            _ => return None,
        };
        Some(protected(response, CONTENT_SECURITY_POLICY, REFERRER_POLICY))
    }
}

async fn get(desk: &Desk, tokens: &Tokens, request: &Request<Body>) -> Response<Body> {
    let parameters = browser_parameters(request, MAX_BODY_BYTES);
    match parameters.and_then(|parameters| only(&parameters, "ticket")) {
        Ok(Some(ticket)) => arrive(desk, request.headers(), ticket),
        Ok(None) => show(desk, &BackEnd::of(tokens, request), request.headers()).await,
        Err(_) => unreadable(),
    }
}

async fn post(desk: &Desk, tokens: &Tokens, request: &Request<Body>) -> Response<Body> {
    match form(request) {
        Ok(Some((form, action))) => act(desk, &BackEnd::of(tokens, request), request.headers(), &form, action).await,
        Ok(None) | Err(_) => unreadable(),
    }
}

fn form(request: &Request<Body>) -> Result<Option<(String, Action)>, RequestFault> {
    let parameters = browser_parameters(request, MAX_BODY_BYTES)?;
    let text = |name| Ok(only(&parameters, name)?.unwrap_or_default());
    let action = match text("action")?.as_str() {
        "sign-in" => Action::SignIn { name: text("name")? },
        "continue" => Action::Continue,
        "cancel" => Action::Cancel,
        _ => return Ok(None),
    };
    Ok(Some((text("form")?, action)))
}

fn unreadable() -> Response<Body> {
    note(StatusCode::BAD_REQUEST, "This cannot be read", "Begin again at the application.", None)
}
