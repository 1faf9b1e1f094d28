//! What the demo's applications ask of the service: requests as any back end sends them, answered by the same handlers, with
//! the same credentials, without a network between.

use std::sync::Arc;

use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use base64::{Engine, engine::general_purpose::STANDARD};
use latchkey_token::{
    json::Value,
    routes::{Function, Route},
    values::with_query,
};
use latchkey_token_aws::{CachedDocuments, DynamoDbSessions};
use latchkey_token_lambda::{Body, Service, request::Invocation, response::not_found};

/// The service as the local server composes it.
pub(in crate::serve) type Tokens = Service<DynamoDbSessions, Arc<CachedDocuments>>;

/// Calls on behalf of one request of a browser.
pub(in crate::serve) struct BackEnd<'a> {
    tokens: &'a Tokens,
    /// The browser's request: the audit lines of its calls name it.
    invocation: Invocation,
}

/// What the service answered.
pub(in crate::serve) struct Called {
    pub status: StatusCode,
    pub body: Value,
}

impl Called {
    /// The member of this name, if the call succeeded and it is a text.
    pub(in crate::serve) fn text(&self, name: &str) -> Option<&str> {
        self.body.get(name).filter(|_| self.status == StatusCode::OK)?.as_str()
    }

    /// Why it was refused, in words.
    pub(in crate::serve) fn refusal(&self) -> &str {
        let text = |name| self.body.get(name).and_then(Value::as_str);
        text("error_description").or(text("error")).unwrap_or("the service gave no answer")
    }
}

impl<'a> BackEnd<'a> {
    pub(in crate::serve) fn of(tokens: &'a Tokens, request: &Request<Body>) -> Self {
        Self { tokens, invocation: request.extensions().get::<Invocation>().cloned().unwrap_or_default() }
    }

    pub(in crate::serve) fn tokens(&self) -> &'a Tokens {
        self.tokens
    }

    /// With a client's or issuer's id and secret (RFC 6749 §2.3.1).
    pub(in crate::serve) async fn call(&self, route: Route, caller: (&str, &str), form: &[(&str, &str)]) -> Called {
        let credentials = STANDARD.encode(format!("{}:{}", caller.0, caller.1));
        self.send(route, &format!("Basic {credentials}"), form).await
    }

    /// With an access token (RFC 6750 §2.1).
    pub(in crate::serve) async fn call_as_bearer(&self, route: Route, token: &str) -> Called {
        self.send(route, &format!("Bearer {token}"), &[]).await
    }

    async fn send(&self, route: Route, authorization: &str, form: &[(&str, &str)]) -> Called {
        let body = with_query("", form).trim_start_matches('?').to_owned();
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = Method::from_bytes(route.method.name().as_bytes()).unwrap_or_default();
        *request.uri_mut() = route.path.parse().unwrap_or_default();
        let content_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(header::CONTENT_TYPE, content_type);
        if let Ok(authorization) = HeaderValue::from_str(authorization) {
            request.headers_mut().insert(header::AUTHORIZATION, authorization);
        }
        request.extensions_mut().insert(self.invocation.clone());
        let response = match route.function {
            Function::Issue => issue::handle(self.tokens, request).await,
            Function::Renew => renew::handle(self.tokens, request).await,
            Function::Introspect => introspect::handle(self.tokens, request).await,
            Function::Revoke | Function::Sessions | Function::Discovery | Function::Authorize => not_found(),
        };
        let (parts, body) = response.into_parts();
        Called { status: parts.status, body: serde_json::from_slice(&body).unwrap_or_default() }
    }
}
