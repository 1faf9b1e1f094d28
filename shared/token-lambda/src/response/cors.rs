//! Cross-origin requests: exact origins only, off unless configured.

use lambda_http::{
    Body, Response,
    http::{HeaderMap, HeaderValue, StatusCode, header},
};

use super::answers::with_header;

/// What a page may read beside the few headers that the Fetch Standard allows it: when to come back.
const EXPOSED_HEADERS: &str = "Retry-After";
/// What a page may send. Browsers with an MCP client in them send the last with the request for the metadata.
const ALLOWED_HEADERS: &str = "Authorization, Content-Type, MCP-Protocol-Version";

/// The origins whose pages may read answers. Empty: none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors(Vec<String>);

impl Cors {
    /// Reads a comma-separated list of origins, each exactly `scheme://host` with an optional port; the first that is
    /// none comes back as the error.
    pub fn parse(list: &str) -> Result<Self, String> {
        let origins: Vec<&str> = list.split(',').map(str::trim).filter(|origin| !origin.is_empty()).collect();
        match origins.iter().find(|origin| !is_origin(origin)) {
            Some(bad) => Err((*bad).to_owned()),
            None => Ok(Self(origins.into_iter().map(str::to_owned).collect())),
        }
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

fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| {
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte))
    })
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
    fn off_by_default_and_nothing_but_origins_is_accepted() {
        let off = Cors::parse("").unwrap();
        assert!(off.apply(&from("https://a"), Response::new(Body::Empty)).headers().is_empty());
        for bad in ["*", "https://a/", "https://a/path", "chat.example.org", "https://", "https://a b"] {
            assert!(Cors::parse(bad).is_err(), "{bad}");
        }
    }
}
