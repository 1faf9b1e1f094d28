//! The playground at `/`: a page on which a session is issued, renewed, retried and stolen, with the audit lines beside
//! it.
//!
//! Its requests are the service's own, so it needs the demo secrets. It gets them only where the demo's pages are on, asked
//! for by the page itself.

mod feed;

use axum::http::{Method, Request, Response, StatusCode};
use latchkey_token_lambda::{
    Body,
    request::Parameters,
    response::{EdgeError, error, ok},
};
use serde_json::json;
use tokio::sync::watch;

pub use self::feed::AuditFeed;
use super::{
    demo::DemoCredentials,
    pages::{Off, file, forbidden, is_from_the_page, is_on_this_machine, is_posted_by_the_page, off_page, protected},
};

const PAGE: &str = include_str!("index.html");
const SCRIPT: &str = include_str!("playground.js");
const PARTS: &str = include_str!("parts.js");
const STYLE: &str = include_str!("playground.css");
const ICON: &str = include_str!("icon.svg");

const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The playground of one server.
pub(super) struct Playground {
    credentials: Result<DemoCredentials, Off>,
    feed: AuditFeed,
    stopped: watch::Receiver<bool>,
}

impl Playground {
    /// Where the demo's pages are on: it hands their secrets to its page.
    pub(super) fn new(on: Result<DemoCredentials, Off>, feed: AuditFeed, stopped: watch::Receiver<bool>) -> Self {
        Self { credentials: on, feed, stopped }
    }

    pub(super) fn is_on(&self) -> bool {
        self.credentials.is_ok()
    }

    /// The answer to a request for one of the playground's routes; `None` if the request is for another.
    pub(super) async fn answer(&self, request: &Request<Body>) -> Option<Response<Body>> {
        let get = request.method() == Method::GET || request.method() == Method::HEAD;
        let headers = request.headers();
        let response = match (request.uri().path(), &self.credentials) {
            ("/", Err(off)) if get => off_page("playground", *off, StatusCode::OK, headers),
            ("/", Ok(_)) if get => match is_on_this_machine(headers) {
                true => file(PAGE, "text/html; charset=utf-8"),
                false => forbidden(),
            },
            ("/demo/playground.js", Ok(_)) if get => file(SCRIPT, "text/javascript; charset=utf-8"),
            ("/demo/parts.js", Ok(_)) if get => file(PARTS, "text/javascript; charset=utf-8"),
            ("/demo/playground.css", Ok(_)) if get => file(STYLE, "text/css; charset=utf-8"),
            ("/demo/playground.svg", Ok(_)) if get => file(ICON, "image/svg+xml"),
            ("/demo/credentials", Ok(credentials)) if request.method() == Method::POST => {
                match is_posted_by_the_page(headers) {
                    true => ok(credentials),
                    false => forbidden(),
                }
            }
            ("/demo/events", Ok(_)) if request.method() == Method::GET => match is_from_the_page(headers) {
                true => self.events(request).await,
                false => forbidden(),
            },
            _ => return None,
        };
        Some(protected(response, CONTENT_SECURITY_POLICY, "no-referrer"))
    }

    /// Audit lines after the number `after`: at once if there are some, else when there are, or none after a while.
    async fn events(&self, request: &Request<Body>) -> Response<Body> {
        let after = Parameters::of_query(request.uri(), &["after"]).and_then(|mut query| query.text("after"));
        let after = match after {
            Ok(after) => after.and_then(|after| after.parse().ok()).unwrap_or_default(),
            Err(fault) => return error(&EdgeError::Unreadable(fault), false),
        };
        let mut stopped = self.stopped.clone();
        let (events, next) = tokio::select! {
            found = self.feed.after(after) => found,
            _ = stopped.wait_for(|stopped| *stopped) => (Vec::new(), after),
        };
        ok(&json!({"events": events, "next": next}))
    }
}
