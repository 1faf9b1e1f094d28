//! The playground at `/`: a page on which a session is issued, renewed, retried and stolen, with the audit lines beside
//! it.
//!
//! Its requests are the service's own, so it needs the demo secrets. It gets them only where nobody else can: with the
//! demo registrations, on a loopback address, asked for by the page itself. Another site's page is kept out by the Host
//! header (a name that was made to point here), by Origin and Sec-Fetch-Site (a request across sites), and by the lack of
//! any CORS header.

mod feed;

use std::{
    fmt::Write,
    net::{IpAddr, SocketAddr},
};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use latchkey_token_lambda::{
    Body,
    request::Parameters,
    response::{EdgeError, error, ok, refused, with_header},
};
use serde_json::json;
use tokio::sync::watch;

pub use self::feed::AuditFeed;
use super::demo::DemoCredentials;

const PAGE: &str = include_str!("index.html");
const SCRIPT: &str = include_str!("playground.js");
const STYLE: &str = include_str!("playground.css");
const ICON: &str = include_str!("icon.svg");

const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Whoever adds these asks for somebody else, who may be anywhere.
const PROXY_HEADERS: [&str; 5] = ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"];

/// The playground of one server.
pub(super) struct Playground {
    credentials: Result<DemoCredentials, Off>,
    feed: AuditFeed,
    stopped: watch::Receiver<bool>,
}

/// Why there is no playground.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Off {
    OwnRegistrations,
    OpenToOthers(SocketAddr),
}

impl Off {
    fn reason(self) -> String {
        match self {
            Self::OwnRegistrations => {
                "it plays with the demo registrations, and this server was given others with --clients".to_owned()
            }
            Self::OpenToOthers(address) => format!(
                "it hands out the demo secrets, and this server listens on {address}, which is no loopback address"
            ),
        }
    }
}

impl Playground {
    /// On with `demo` credentials at a loopback `address`.
    pub(super) fn new(
        address: SocketAddr,
        demo: Option<&DemoCredentials>,
        feed: AuditFeed,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        let credentials = match demo {
            None => Err(Off::OwnRegistrations),
            Some(_) if !address.ip().is_loopback() => Err(Off::OpenToOthers(address)),
            Some(credentials) => Ok(credentials.clone()),
        };
        Self { credentials, feed, stopped }
    }

    pub(super) fn is_on(&self) -> bool {
        self.credentials.is_ok()
    }

    /// The answer to a request for one of the playground's routes; `None` if the request is for another.
    pub(super) async fn answer(&self, request: &Request<Body>) -> Option<Response<Body>> {
        let get = request.method() == Method::GET || request.method() == Method::HEAD;
        let headers = request.headers();
        let response = match (request.uri().path(), &self.credentials) {
            ("/", Err(off)) if get => off_page(*off, headers),
            ("/", Ok(_)) if get => match is_on_this_machine(headers) {
                true => file(PAGE, "text/html; charset=utf-8"),
                false => forbidden(),
            },
            ("/demo/playground.js", Ok(_)) if get => file(SCRIPT, "text/javascript; charset=utf-8"),
            ("/demo/playground.css", Ok(_)) if get => file(STYLE, "text/css; charset=utf-8"),
            ("/demo/playground.svg", Ok(_)) if get => file(ICON, "image/svg+xml"),
            ("/demo/credentials", Ok(credentials)) if request.method() == Method::POST => {
                // A browser names the origin of every POST.
                match is_from_the_page(headers) && headers.contains_key(header::ORIGIN) {
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
        Some(protected(response))
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

/// The Host header names this machine, and nobody asks through a proxy.
fn is_on_this_machine(headers: &HeaderMap) -> bool {
    let is_loopback = |host: &str| {
        let name = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
            Some((address, _port)) => address,
            None => host.rsplit_once(':').map_or(host, |(name, _port)| name),
        };
        name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    };
    one(headers, header::HOST).is_some_and(is_loopback) && !PROXY_HEADERS.iter().any(|name| headers.contains_key(*name))
}

/// The page that this server has served asks, as far as a browser can tell.
fn is_from_the_page(headers: &HeaderMap) -> bool {
    let says = |name: &str, expected: &str| {
        let name = HeaderName::try_from(name);
        name.is_ok_and(|name| !headers.contains_key(&name) || one(headers, name) == Some(expected))
    };
    let host = one(headers, header::HOST).unwrap_or_default();
    is_on_this_machine(headers) && says("origin", &format!("http://{host}")) && says("sec-fetch-site", "same-origin")
}

/// A header that stands there once.
fn one(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())?.to_str().ok()
}

fn forbidden() -> Response<Body> {
    refused(
        StatusCode::FORBIDDEN,
        "access_denied",
        "the playground is for a browser on this machine: open it at http://127.0.0.1 or http://localhost with the server's port",
    )
}

/// For browsers a page, for others JSON.
fn off_page(off: Off, headers: &HeaderMap) -> Response<Body> {
    let reason = off.reason();
    let is_browser = one(headers, header::ACCEPT).is_some_and(|accept| accept.contains("text/html"));
    if !is_browser {
        return ok(&json!({"service": "latchkey", "playground": "off", "reason": reason}));
    }
    let mut page = String::new();
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>Latchkey</title>\n<h1>Latchkey is running</h1>\n<p>The playground is off: {reason}.</p>\n\
         <p>Metadata: <a href=\"/.well-known/openid-configuration\">/.well-known/openid-configuration</a></p>\n</html>\n"
    );
    with_content_type(ok(&()).map(|_| Body::from(page)), "text/html; charset=utf-8")
}

fn file(text: &'static str, content_type: &'static str) -> Response<Body> {
    with_content_type(ok(&()).map(|_| Body::from(text)), content_type)
}

fn with_content_type(response: Response<Body>, content_type: &'static str) -> Response<Body> {
    with_header(response, header::CONTENT_TYPE, HeaderValue::from_static(content_type))
}

/// Nothing from elsewhere, nothing for elsewhere.
fn protected(mut response: Response<Body>) -> Response<Body> {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        response = with_header(response, name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> DemoCredentials {
        let text = |text: &str| text.to_owned();
        DemoCredentials {
            issuer_id: text("portal"),
            issuer_secret: text("s1"),
            client_id: text("librechat"),
            client_secret: text("s2"),
            oauth_client_id: text("librechat-oauth"),
            oauth_client_secret: text("s3"),
        }
    }

    fn off(address: &str, demo: Option<&DemoCredentials>) -> Option<Off> {
        let (_, stopped) = watch::channel(false);
        Playground::new(address.parse().unwrap(), demo, AuditFeed::default(), stopped).credentials.err()
    }

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn it_is_on_only_with_demo_registrations_on_a_loopback_address() {
        let demo = credentials();
        for loopback in ["127.0.0.1:9000", "127.1.2.3:1", "[::1]:9000"] {
            assert_eq!(off(loopback, Some(&demo)), None);
            assert_eq!(off(loopback, None), Some(Off::OwnRegistrations));
        }
        for open in ["0.0.0.0:9000", "[::]:9000", "192.0.2.1:9000"] {
            assert_eq!(off(open, Some(&demo)), Some(Off::OpenToOthers(open.parse().unwrap())));
        }
    }

    #[test]
    fn only_this_machines_own_names_are_answered() {
        for host in ["127.0.0.1:9000", "localhost:9000", "LOCALHOST", "[::1]:9000", "[::1]", "127.0.0.1"] {
            assert!(is_on_this_machine(&headers(&[("host", host)])), "{host}");
        }
        for host in [
            "latchkey.example",
            "127.0.0.1.example:9000",
            "localhost.example",
            "192.0.2.1:9000",
            "0.0.0.0:9000",
            "[::]:9000",
            "[::1",
            "",
        ] {
            assert!(!is_on_this_machine(&headers(&[("host", host)])), "{host}");
        }
        assert!(!is_on_this_machine(&headers(&[])));
        assert!(!is_on_this_machine(&headers(&[("host", "localhost"), ("x-forwarded-for", "192.0.2.1")])));
        let mut twice = headers(&[("host", "localhost")]);
        twice.append("host", HeaderValue::from_static("latchkey.example"));
        assert!(!is_on_this_machine(&twice));
    }

    #[test]
    fn another_sites_page_is_told_apart() {
        let host = ("host", "127.0.0.1:9000");
        for own in [
            vec![host],
            vec![host, ("origin", "http://127.0.0.1:9000")],
            vec![host, ("origin", "http://127.0.0.1:9000"), ("sec-fetch-site", "same-origin")],
        ] {
            assert!(is_from_the_page(&headers(&own)), "{own:?}");
        }
        for others in [
            ("origin", "http://latchkey.example"),
            ("origin", "http://127.0.0.1:9001"),
            ("origin", "https://127.0.0.1:9000"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "none"),
        ] {
            assert!(!is_from_the_page(&headers(&[host, others])), "{others:?}");
        }
    }
}
