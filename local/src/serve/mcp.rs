//! The demo's protected resource at `/demo/mcp` (RFC 9728): its document, its challenge, and a gateway to the MCP server that
//! `--mcp` names. It lets in what the authorizer would let in there, and tells the server behind it who asks. It knows nothing of
//! MCP itself.

#![expect(clippy::disallowed_types, reason = "the one address that it calls is the command line's, and no caller's")]

use std::{fmt, sync::Arc};

use authorizer::{Authorizer, Bearer};
use axum::{
    body::Body as HttpBody,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header},
};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use latchkey_token::values::Seconds;
use latchkey_token_aws::{CachedDocuments, DynamoDbSessions};
use latchkey_token_lambda::{
    Body,
    request::credentials::Authorization,
    response::{EdgeError, cacheable, error, invalid_token, method_not_allowed, refused, with_header},
    telemetry::RequestAudit,
};
use serde_json::json;

use super::{
    connections::into_http_body,
    demo::{MCP, MCP_SCOPE},
};

/// Where the document is: in front of the resource's path (RFC 9728 §3.1).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";
const DOCUMENT_SECONDS: Seconds = 300;
/// A tool's arguments may be long. API Gateway passes on ten times as much.
pub(super) const MAX_MCP_BODY_BYTES: usize = 1024 * 1024;

/// What the server behind is told of the bearer; an API behind API Gateway gets the same by parameter mapping (docs/mcp.md).
const SUBJECT: HeaderName = HeaderName::from_static("x-latchkey-sub");
const CLIENT: HeaderName = HeaderName::from_static("x-latchkey-client-id");
const GRANTED: HeaderName = HeaderName::from_static("x-latchkey-scope");
const SESSION: HeaderName = HeaderName::from_static("x-latchkey-sid");

/// What a name begins with that nobody else may use.
const OURS: &str = "x-latchkey-";

/// For the next hop alone (RFC 9110 §7.6.1), or made anew for it.
const NOT_PASSED_ON: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::HOST,
    header::CONTENT_LENGTH,
    // It was for this resource. A server that does not have it cannot send it further.
    header::AUTHORIZATION,
];

/// The address of `--mcp`.
#[derive(Clone, Debug)]
pub struct McpServer(Uri);

impl McpServer {
    /// Reads `http://HOST[:PORT]/PATH`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} must be an address such as http://127.0.0.1:3000/mcp");
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let is_http = uri.scheme_str() == Some("http") && uri.authority().is_some() && uri.query().is_none();
        is_http.then_some(Self(uri)).ok_or_else(wrong)
    }
}

impl fmt::Display for McpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The resource of one server.
pub(super) struct McpGateway {
    authorizer: Authorizer<DynamoDbSessions, Arc<CachedDocuments>>,
    /// Where the document is, as clients see it.
    document_url: String,
    document: String,
    behind: Option<McpServer>,
    http: Client<HttpConnector, HttpBody>,
}

impl McpGateway {
    /// `authorizer` lets in tokens for the resource, which is its audience.
    pub(super) fn new(
        authorizer: Authorizer<DynamoDbSessions, Arc<CachedDocuments>>,
        behind: Option<McpServer>,
    ) -> Self {
        let resource = &authorizer.audience;
        let document = json!({
            "resource": resource, "authorization_servers": [authorizer.policy.issuer], "scopes_supported": [MCP_SCOPE],
            "bearer_methods_supported": ["header"],
        });
        let origin = resource.len() - path_of(resource).len();
        let (origin, path) = resource.split_at_checked(origin).unwrap_or((resource, ""));
        Self {
            document_url: format!("{origin}{WELL_KNOWN}{path}"),
            document: document.to_string(),
            authorizer,
            behind,
            http: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    /// Whether a request for `path` is for the resource itself.
    pub(super) fn is_at(path: &str) -> bool {
        path == MCP
    }

    /// The answer to a request for the document; `None` if the request is for something else.
    pub(super) fn document(&self, request: &Request<Body>) -> Option<Response<Body>> {
        if request.uri().path() != path_of(&self.document_url) {
            return None;
        }
        Some(match *request.method() {
            Method::GET => cacheable(request.headers(), self.document.clone(), DOCUMENT_SECONDS),
            _ => method_not_allowed(&["GET"]),
        })
    }

    /// The answer of the server behind to a request that may pass, as it comes; to others, why they may not.
    pub(super) async fn answer(&self, request: Request<Body>) -> Response<HttpBody> {
        match self.admit(&request).await {
            Ok(bearer) => self.pass_on(request, &bearer).await,
            Err(refusal) => refusal.map(into_http_body),
        }
    }

    async fn admit(&self, request: &Request<Body>) -> Result<Bearer, Response<Body>> {
        let audit = RequestAudit::new("demo", request);
        let token = match Authorization::read(request.headers()) {
            Ok(Authorization::Bearer(token)) => token,
            // Without an error: it has not tried (RFC 6750 §3.1).
            Ok(Authorization::Absent) => return Err(self.challenge(invalid_token(), None)),
            Ok(Authorization::Basic(_) | Authorization::Other) | Err(_) => {
                return Err(self.challenge(invalid_token(), Some("invalid_token")));
            }
        };
        match authorizer::check(&self.authorizer, &token, &audit).await {
            Ok(Some(bearer)) if bearer.scope.split(' ').any(|scope| scope == MCP_SCOPE) => Ok(bearer),
            Ok(Some(_)) => {
                let code = "insufficient_scope";
                let text = format!("the access token has no scope {MCP_SCOPE}");
                Err(self.challenge(refused(StatusCode::FORBIDDEN, code, &text), Some(code)))
            }
            Ok(None) => Err(self.challenge(invalid_token(), Some("invalid_token"))),
            Err(unavailable) => Err(error(&EdgeError::Failed(unavailable.into()), false)),
        }
    }

    /// Says where a client finds out how to get a token (RFC 9728 §5.1), and which.
    fn challenge(&self, response: Response<Body>, error: Option<&str>) -> Response<Body> {
        let error = error.map(|code| format!("error=\"{code}\", ")).unwrap_or_default();
        let text = format!("Bearer {error}scope=\"{MCP_SCOPE}\", resource_metadata=\"{}\"", self.document_url);
        match HeaderValue::from_str(&text) {
            Ok(text) => with_header(response, header::WWW_AUTHENTICATE, text),
            Err(_) => response,
        }
    }

    async fn pass_on(&self, request: Request<Body>, bearer: &Bearer) -> Response<HttpBody> {
        let Some(McpServer(address)) = &self.behind else {
            let text = "there is no MCP server behind this: start latchkey serve with --mcp and its address";
            return refused(StatusCode::NOT_FOUND, "invalid_request", text).map(into_http_body);
        };
        let (parts, body) = request.into_parts();
        if body.len() > MAX_MCP_BODY_BYTES {
            let text = "the body is longer than 1 MiB";
            return refused(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request", text).map(into_http_body);
        }
        let mut forwarded = Request::new(into_http_body(body));
        *forwarded.method_mut() = parts.method;
        *forwarded.uri_mut() = address.clone();
        *forwarded.headers_mut() = passed_on(parts.headers);
        for (name, value) in
            [(SUBJECT, &bearer.sub), (CLIENT, &bearer.client_id), (GRANTED, &bearer.scope), (SESSION, &bearer.sid)]
        {
            // Whatever the client has sent under this name is gone.
            match HeaderValue::from_str(value) {
                Ok(value) => forwarded.headers_mut().insert(name, value),
                Err(_) => forwarded.headers_mut().remove(name),
            };
        }
        match self.http.request(forwarded).await {
            Ok(answer) => passed_back(answer),
            Err(fault) => {
                tracing::warn!(%fault, server = %address, "the MCP server does not answer");
                let text = "the MCP server behind this does not answer";
                refused(StatusCode::BAD_GATEWAY, "temporarily_unavailable", text).map(into_http_body)
            }
        }
    }
}

fn passed_on(mut headers: HeaderMap) -> HeaderMap {
    for name in NOT_PASSED_ON {
        headers.remove(name);
    }
    // Servers that make variables of headers cannot tell `_` from `-`.
    let is_ours = |name: &HeaderName| name.as_str().replace('_', "-").starts_with(OURS);
    let said: Vec<HeaderName> = headers.keys().filter(|name| is_ours(name)).cloned().collect();
    for name in said {
        headers.remove(name);
    }
    headers
}

/// Streams it: an MCP server may take its time, and send events.
fn passed_back(answer: Response<Incoming>) -> Response<HttpBody> {
    let (mut parts, body) = answer.into_parts();
    parts.headers = passed_on(parts.headers);
    Response::from_parts(parts, HttpBody::new(body))
}

/// From the first slash after the authority on.
fn path_of(url: &str) -> &str {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    after_scheme.find('/').and_then(|at| after_scheme.get(at..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_says_who_they_are_under_our_names_however_they_are_spelled() {
        let names = ["x-latchkey-sub", "X_LATCHKEY_SUB", "x-latchkey_scope", "x-latchkey-new", "x-latch", "accept"];
        let headers = names.map(|name| (name.parse::<HeaderName>().unwrap(), "mallory".parse().unwrap()));
        let left = passed_on(headers.into_iter().collect());
        let mut left: Vec<&str> = left.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "x-latch"]);
    }

    #[test]
    fn only_an_address_of_plain_http_is_taken() {
        for text in ["http://127.0.0.1:3000/mcp", "http://localhost/", "http://[::1]:8080/a/b"] {
            assert_eq!(McpServer::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "/mcp", "127.0.0.1:3000", "https://127.0.0.1/mcp", "http://127.0.0.1/mcp?a=b", "http:///mcp"] {
            assert!(McpServer::parse(text).unwrap_err().contains("http://127.0.0.1:3000/mcp"), "{text}");
        }
    }

    #[test]
    fn the_path_begins_after_the_authority() {
        for (url, path) in [
            ("https://id.example.org/prod/demo/mcp", "/prod/demo/mcp"),
            ("http://127.0.0.1:9000/demo/mcp", "/demo/mcp"),
            ("http://127.0.0.1:9000", ""),
        ] {
            assert_eq!(path_of(url), path);
        }
    }
}
