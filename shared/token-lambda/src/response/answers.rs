//! Answers: the tokens of a success, and what every answer has in common.

use aws_lc_rs::digest::{SHA256, digest};
use lambda_http::{
    Body, Response,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
};
use latchkey_token::{
    grants::{Exchanged, TokenSet},
    values::Seconds,
};
use serde::Serialize;

/// Parameters without a value are left out, never `null`: LibreChat's libraries refuse `null`.
#[derive(Serialize)]
struct TokenAnswer<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: i64,
    refresh_token: &'a str,
    refresh_token_expires_in: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<&'a str>,
    session_id: String,
}

#[derive(Serialize)]
struct ErrorAnswer<'a> {
    error: &'a str,
    error_description: &'a str,
}

/// 200 with the tokens of an issue or renewal.
pub fn tokens(tokens: &TokenSet) -> Response<Body> {
    json(
        StatusCode::OK,
        &TokenAnswer {
            access_token: &tokens.access_token,
            token_type: "Bearer",
            expires_in: tokens.expires_in,
            refresh_token: &tokens.refresh_token,
            refresh_token_expires_in: tokens.refresh_token_expires_in,
            scope: tokens.scope.to_string(),
            id_token: tokens.id_token.as_deref(),
            session_id: tokens.session.to_string(),
        },
    )
}

#[derive(Serialize)]
struct ExchangeAnswer<'a> {
    access_token: &'a str,
    issued_token_type: &'static str,
    token_type: &'static str,
    expires_in: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
}

/// 200 with the token of an exchange (RFC 8693 §2.2.1).
pub fn exchanged(token: &Exchanged) -> Response<Body> {
    json(
        StatusCode::OK,
        &ExchangeAnswer {
            access_token: &token.access_token,
            issued_token_type: token.issued.name(),
            token_type: "Bearer",
            expires_in: token.expires_in,
            scope: token.scope.to_string(),
        },
    )
}

/// An answer without members: `{}`.
#[derive(Serialize)]
pub struct Nothing {}

/// 200 with whatever a use case has to say.
pub fn ok(body: &impl Serialize) -> Response<Body> {
    json(StatusCode::OK, body)
}

/// 201 with what has been made.
pub fn created(body: &impl Serialize) -> Response<Body> {
    json(StatusCode::CREATED, body)
}

/// 401 of a resource that is protected by access tokens (RFC 6750 §3.1).
pub fn invalid_token() -> Response<Body> {
    let response = refused(StatusCode::UNAUTHORIZED, "invalid_token", "the access token is missing or not valid");
    with_header(response, header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\""))
}

/// What a request to a resource that cannot be read is told besides (RFC 6750 §3.1).
pub fn with_bearer_challenge(response: Response<Body>) -> Response<Body> {
    with_header(response, header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_request\""))
}

/// 403 of a resource that the access token is not for (RFC 6750 §3.1).
pub fn insufficient_scope(scope: &'static str) -> Response<Body> {
    let text = format!("the access token has no scope {scope}");
    let response = refused(StatusCode::FORBIDDEN, "insufficient_scope", &text);
    let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
    match HeaderValue::from_str(&challenge) {
        Ok(challenge) => with_header(response, header::WWW_AUTHENTICATE, challenge),
        Err(_) => response,
    }
}

/// An error that belongs to no use case: a route that is not there, a method that it does not take.
pub fn refused(status: StatusCode, code: &str, text: &str) -> Response<Body> {
    json(status, &ErrorAnswer { error: code, error_description: &printable(text) })
}

/// 404, for a route that is not there.
pub fn not_found() -> Response<Body> {
    refused(StatusCode::NOT_FOUND, "invalid_request", "there is no such route")
}

/// 405, for a route that takes these methods only.
pub fn method_not_allowed(methods: &[&str]) -> Response<Body> {
    let response = refused(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", "this route does not take this method");
    match HeaderValue::from_str(&methods.join(", ")) {
        Ok(methods) => with_header(response, header::ALLOW, methods),
        Err(_) => response,
    }
}

/// 200 with public JSON that may be kept for a while, or 304 if the caller has it already (RFC 9110 §13.1.2).
pub fn cacheable(request: &HeaderMap, body: String, max_age_seconds: Seconds) -> Response<Body> {
    let entity_tag = entity_tag(&body);
    let is_known = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == "*" || tag == entity_tag)
    });
    let mut response = match is_known {
        true => Response::new(Body::Empty),
        false => Response::new(Body::Text(body)),
    };
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        response = with_header(response, header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    for (name, value) in
        [(header::CACHE_CONTROL, format!("public, max-age={max_age_seconds}")), (header::ETAG, entity_tag)]
    {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response = with_header(response, name, value);
        }
    }
    response
}

fn entity_tag(body: &str) -> String {
    let hash = digest(&SHA256, body.as_bytes());
    let hex: String = hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

/// RFC 6749 §5.2 allows printable ASCII without `"` and `\` in a description.
fn printable(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '"' | '\\' => '\'',
            ' '..='~' => character,
            _ => '?',
        })
        .collect()
}

/// A JSON answer that nobody may keep.
fn json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    let mut response = Response::new(Body::Text(serde_json::to_string(body).unwrap_or_default()));
    *response.status_mut() = status;
    let response = with_header(response, header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let response = with_header(response, header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    with_header(response, header::PRAGMA, HeaderValue::from_static("no-cache"))
}

/// Sets one header.
pub fn with_header(mut response: Response<Body>, name: HeaderName, value: HeaderValue) -> Response<Body> {
    response.headers_mut().insert(name, value);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_hold_only_what_rfc_6749_allows() {
        assert_eq!(printable("claim \"é\" \\ \n"), "claim '?' ' ?");
    }
}
