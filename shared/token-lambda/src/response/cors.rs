//! Cross-origin requests: exact origins only, off unless configured.

use std::{fmt, net::Ipv6Addr};

use lambda_http::{
    Body, Response,
    http::{HeaderMap, HeaderValue, StatusCode, header},
};

use super::answers::with_header;

/// What a page may read beside the few headers that the Fetch Standard allows it: when to come back.
const EXPOSED_HEADERS: &str = "Retry-After";
/// What a page may send. Browsers with an MCP client in them send the last with the request for the metadata.
const ALLOWED_HEADERS: &str = "Authorization, Content-Type, MCP-Protocol-Version";

/// The origins whose pages may read answers, each as browsers send it (RFC 6454 §6.2). Empty: none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors(Vec<String>);

/// As in the setting, comma-separated.
impl fmt::Display for Cors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

impl Cors {
    /// Reads a comma-separated list of origins, each `scheme://host` with an optional port; the first that is none comes back in
    /// the error. They are kept as browsers send them: in lower case, without the scheme's own port.
    pub fn parse(list: &str) -> Result<Self, String> {
        let texts = list.split(',').map(str::trim).filter(|text| !text.is_empty());
        let fault =
            |text: &str, why: &str| format!("{text:?} is not an origin such as https://chat.example.org: {why}");
        let read = |text: &str| origin(text).map_err(|why| fault(text, why));
        Ok(Self(texts.map(read).collect::<Result<_, _>>()?))
    }

    fn allowed(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let origin = request.get(header::ORIGIN)?;
        self.0.iter().any(|own| own.as_bytes() == origin.as_bytes()).then(|| origin.clone())
    }

    /// Lets the page at an allowed origin read `response`.
    pub fn apply(&self, request: &HeaderMap, response: Response<Body>) -> Response<Body> {
        if self.0.is_empty() {
            return response;
        }
        let response = with_header(response, header::VARY, HeaderValue::from_static("Origin"));
        match self.allowed(request) {
            Some(origin) => {
                let response = with_header(response, header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                let exposed = HeaderValue::from_static(EXPOSED_HEADERS);
                with_header(response, header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed)
            }
            None => response,
        }
    }

    /// Answers a preflight request from an allowed origin; `None` for every other request.
    pub fn preflight(&self, request: &HeaderMap) -> Option<Response<Body>> {
        self.allowed(request)?;
        request.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = StatusCode::NO_CONTENT;
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, DELETE"),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS),
            (header::ACCESS_CONTROL_MAX_AGE, "600"),
            (header::CACHE_CONTROL, "no-store"),
            (header::PRAGMA, "no-cache"),
        ] {
            response = with_header(response, name, HeaderValue::from_static(value));
        }
        Some(self.apply(request, response))
    }
}

/// An origin as browsers send it.
fn origin(text: &str) -> Result<String, &'static str> {
    let text = text.to_lowercase();
    let (scheme, own_port, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => ("https", 443, rest),
        (None, Some(rest)) => ("http", 80, rest),
        (None, None) => return Err("it begins with https:// or http://, and each origin is listed"),
    };
    if rest.contains(['/', '?', '#', '@', '\\']) {
        return Err("it has no path, not even a slash, no query and no user");
    }
    if !rest.is_ascii() {
        return Err("browsers send names that are not ASCII as xn--…");
    }
    // The colons of an IPv6 address stand before its bracket.
    let end_of_address = rest.rfind(']').map_or(0, |bracket| bracket + 1);
    let (address, after) = rest.split_at_checked(end_of_address).unwrap_or_default();
    let (name, port) = match after.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (after, None),
    };
    let host = host(address, name).ok_or("its host is none, or not in the one form that browsers send")?;
    let port = match port {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse::<u16>().ok().filter(|port| *port > 0).map(Some)
        }
        Some(_) => None,
        None => Some(None),
    };
    match port.ok_or("a port is a number from 1 to 65535")? {
        Some(port) if port != own_port => Ok(format!("{scheme}://{host}:{port}")),
        _ => Ok(format!("{scheme}://{host}")),
    }
}

/// An IPv6 address in brackets, or a name or an IPv4 address: one of the two.
fn host(address: &str, name: &str) -> Option<String> {
    if !address.is_empty() {
        let address: Ipv6Addr = address.strip_prefix('[')?.strip_suffix(']')?.parse().ok()?;
        return name.is_empty().then(|| format!("[{address}]"));
    }
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    // A browser reads a host that ends with a number as an address, in forms like 127.1 too.
    let ends_with_a_number =
        name.rsplit('.').next().is_some_and(|last| last.starts_with(|first: char| first.is_ascii_digit()));
    let is_host = name.split('.').all(is_label) && (!ends_with_a_number || name.parse::<std::net::Ipv4Addr>().is_ok());
    is_host.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(origin: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, origin.parse().unwrap());
        headers.insert(header::ACCESS_CONTROL_REQUEST_METHOD, "POST".parse().unwrap());
        headers
    }

    #[test]
    fn only_listed_origins_are_answered_and_exactly() {
        let cors = Cors::parse("https://chat.example.org, http://localhost:3080").unwrap();
        let allowed = |origin: &str| {
            let response = cors.apply(&from(origin), Response::new(Body::Empty));
            response.headers().get("access-control-allow-origin").cloned()
        };
        assert_eq!(allowed("https://chat.example.org").unwrap(), "https://chat.example.org");
        assert_eq!(allowed("https://chat.example.org.evil.example"), None);
        assert_eq!(allowed("http://chat.example.org"), None);
        assert_eq!(allowed("null"), None);
        assert!(cors.preflight(&from("http://localhost:3080")).is_some());
        assert!(cors.preflight(&from("http://localhost")).is_none());
    }

    #[test]
    fn an_origin_is_kept_as_browsers_send_it() {
        for (written, sent) in [
            ("https://Chat.Example.org", "https://chat.example.org"),
            ("https://chat.example.org:443", "https://chat.example.org"),
            ("http://localhost:80", "http://localhost"),
            ("http://localhost:443", "http://localhost:443"),
            ("HTTP://[0:0::1]:03080", "http://[::1]:3080"),
        ] {
            let cors = Cors::parse(written).unwrap();
            assert_eq!(cors.to_string(), sent);
            assert!(cors.preflight(&from(sent)).is_some(), "{written}");
        }
    }

    #[test]
    fn off_by_default_and_nothing_but_origins_is_accepted() {
        let off = Cors::parse("").unwrap();
        assert!(off.apply(&from("https://a"), Response::new(Body::Empty)).headers().is_empty());
        for bad in [
            "*",
            "null",
            "https://a:99999",
            "https://a:0",
            "https://a:",
            "https://a:1:2",
            "https://[::1",
            "https://127.1",
            "https://[::1]a",
            "https://user@a",
            "https://a/",
            "https://a/path",
            "chat.example.org",
            "https://",
            "https://a b",
        ] {
            assert!(Cors::parse(bad).is_err(), "{bad}");
        }
    }
}
