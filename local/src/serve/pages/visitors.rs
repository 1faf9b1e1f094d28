//! Where the demo's pages are on, and who may see them.
//!
//! They work with the demo secrets. So they are there only with the demo registrations and on a loopback address, for a
//! browser on this machine. Another site's page is kept out by the Host header (a name that was made to point here), by
//! Origin and Sec-Fetch-Site (a request across sites), and by the lack of any CORS header.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, Request, Response, StatusCode, header};
use latchkey_token_lambda::{Body, response::refused};

use crate::serve::demo::DemoCredentials;

/// Whoever adds these asks for somebody else, who may be anywhere.
const PROXY_HEADERS: [&str; 5] = ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"];

/// Why there are no demo pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serve) enum Off {
    OwnRegistrations,
    OpenToOthers(SocketAddr),
}

impl Off {
    /// What stands in the way, and what to do about it.
    pub(in crate::serve) fn reason(self) -> String {
        match self {
            Self::OwnRegistrations => {
                "it works with the demo registrations, and this server was given others with --clients; start another \
                 without --clients, with a --data directory of its own"
                    .to_owned()
            }
            Self::OpenToOthers(address) => format!(
                "it works with the demo secrets, and this server listens on {address}, which is no loopback address; \
                 start it with --listen 127.0.0.1:{}",
                address.port()
            ),
        }
    }
}

/// The demo's pages are on with `demo` credentials at a loopback `address`.
pub(in crate::serve) fn on(address: SocketAddr, demo: Option<&DemoCredentials>) -> Result<DemoCredentials, Off> {
    match demo {
        None => Err(Off::OwnRegistrations),
        Some(_) if !address.ip().is_loopback() => Err(Off::OpenToOthers(address)),
        Some(credentials) => Ok(credentials.clone()),
    }
}

/// The Host header names this machine, and nobody asks through a proxy.
pub(in crate::serve) fn is_on_this_machine(headers: &HeaderMap) -> bool {
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
pub(in crate::serve) fn is_from_the_page(headers: &HeaderMap) -> bool {
    let host = one(headers, header::HOST).unwrap_or_default();
    is_on_this_machine(headers)
        && says(headers, "origin", &format!("http://{host}"))
        && says(headers, "sec-fetch-site", "same-origin")
}

/// The same, and a POST, of which a browser always names the origin.
pub(in crate::serve) fn is_posted_by_the_page(headers: &HeaderMap) -> bool {
    is_from_the_page(headers) && headers.contains_key(header::ORIGIN)
}

/// The browser shows the answer to the user, in a window of its own. Any site may send its visitors here in this way; none
/// may load the answer as a part of a page.
pub(in crate::serve) fn is_navigation(headers: &HeaderMap) -> bool {
    is_on_this_machine(headers)
        && says(headers, "sec-fetch-mode", "navigate")
        && says(headers, "sec-fetch-dest", "document")
}

/// The request's address at `url`, if it came under another of this machine's names: cookies and registered addresses are
/// those of one name.
pub(in crate::serve) fn moved(url: &str, request: &Request<Body>) -> Option<String> {
    let host = one(request.headers(), header::HOST).unwrap_or_default();
    let path = request.uri().path_and_query()?;
    (url.strip_prefix("http://") != Some(host)).then(|| format!("{url}{path}"))
}

/// The header says so, if it is there: not every browser sends it.
fn says(headers: &HeaderMap, name: &'static str, expected: &str) -> bool {
    let name = HeaderName::from_static(name);
    !headers.contains_key(&name) || one(headers, name) == Some(expected)
}

/// A header that stands there once.
pub(in crate::serve) fn one(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())?.to_str().ok()
}

pub(in crate::serve) fn forbidden() -> Response<Body> {
    refused(
        StatusCode::FORBIDDEN,
        "access_denied",
        "this is for a browser on this machine: open it at http://127.0.0.1 or http://localhost with the server's port",
    )
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

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

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn they_are_on_only_with_demo_registrations_on_a_loopback_address() {
        let demo = credentials();
        let off = |address: &str, demo| on(address.parse().unwrap(), demo).err();
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

    #[test]
    fn a_link_from_anywhere_is_followed_and_no_page_is_embedded() {
        let host = ("host", "127.0.0.1:9000");
        let site = ("sec-fetch-site", "cross-site");
        let [window, frame] = ["document", "iframe"].map(|dest| ("sec-fetch-dest", dest));
        assert!(is_navigation(&headers(&[host, site, ("sec-fetch-mode", "navigate"), window])));
        assert!(is_navigation(&headers(&[host])), "a browser that does not say");
        assert!(!is_navigation(&headers(&[host, site, ("sec-fetch-mode", "navigate"), frame])));
        assert!(!is_navigation(&headers(&[host, site, ("sec-fetch-mode", "no-cors")])));
        assert!(!is_navigation(&headers(&[("host", "latchkey.example")])));
    }
}
