//! Answers: the tokens of a success, and the one table from errors to status, code and text (docs/api.md, Errors).

use aws_lc_rs::digest::{SHA256, digest};
use lambda_http::{
    Body, Response,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
};
use latchkey_token::{
    failure::{Failure, Refusal},
    grants::TokenSet,
    values::Seconds,
};
use serde::Serialize;

use crate::request::RequestFault;

/// After infrastructure trouble, clients should wait this many seconds.
const RETRY_AFTER_SECONDS: u32 = 2;

/// Why a request was not answered with tokens.
#[derive(Debug, Clone)]
pub enum EdgeError {
    Unreadable(RequestFault),
    Failed(Failure),
}

impl From<RequestFault> for EdgeError {
    fn from(fault: RequestFault) -> Self {
        Self::Unreadable(fault)
    }
}

impl From<Failure> for EdgeError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Members without a value are left out, never `null`: LibreChat's libraries refuse `null`.
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

/// What the outside is told about an error. `tried_to_authenticate` says whether the caller used the Authorization
/// header to authenticate: only then may an answer carry `WWW-Authenticate`, which hides the error code from
/// some client libraries.
pub fn error(error: &EdgeError, tried_to_authenticate: bool) -> Response<Body> {
    match error {
        EdgeError::Unreadable(RequestFault::TooLarge) => {
            refused(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request", "the body is longer than 16 KiB")
        }
        EdgeError::Unreadable(RequestFault::UnsupportedMediaType) => refused(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "invalid_request",
            "the content type must be application/x-www-form-urlencoded or application/json, in UTF-8",
        ),
        EdgeError::Unreadable(RequestFault::Invalid(text))
        | EdgeError::Failed(Failure::Refused(Refusal::InvalidRequest(text))) => {
            refused(StatusCode::BAD_REQUEST, "invalid_request", text)
        }
        EdgeError::Failed(Failure::Refused(refusal)) => refusal_response(refusal, tried_to_authenticate),
        EdgeError::Failed(Failure::Unavailable(_)) => with_header(
            refused(
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                "the service cannot answer at the moment; nothing was lost, try again",
            ),
            header::RETRY_AFTER,
            RETRY_AFTER_SECONDS.into(),
        ),
    }
}

fn refusal_response(refusal: &Refusal, tried_to_authenticate: bool) -> Response<Body> {
    let bad_request = |code, text| refused(StatusCode::BAD_REQUEST, code, text);
    match refusal {
        Refusal::InvalidRequest(text) => bad_request("invalid_request", text),
        Refusal::InvalidClient => {
            let response = refused(StatusCode::UNAUTHORIZED, "invalid_client", "authentication failed");
            match tried_to_authenticate {
                true => {
                    let scheme = HeaderValue::from_static("Basic realm=\"latchkey\", charset=\"UTF-8\"");
                    with_header(response, header::WWW_AUTHENTICATE, scheme)
                }
                false => response,
            }
        }
        Refusal::InvalidGrant => bad_request("invalid_grant", "the token that was presented is not valid"),
        Refusal::InvalidScope => bad_request("invalid_scope", "the scope is malformed or not allowed for this client"),
        Refusal::UnauthorizedClient => bad_request("unauthorized_client", "this issuer may not act for that client"),
        Refusal::UnsupportedGrantType => {
            bad_request("unsupported_grant_type", "this endpoint does not know that grant_type")
        }
        Refusal::WindowClosed { opens_at, retry_after_seconds } => with_header(
            bad_request("invalid_request", &format!("too early: renewal of this session opens at {opens_at}")),
            header::RETRY_AFTER,
            (*retry_after_seconds).into(),
        ),
    }
}

/// An answer without members: `{}`.
#[derive(Serialize)]
pub struct Nothing {}

/// 200 with whatever a use case has to say.
pub fn ok(body: &impl Serialize) -> Response<Body> {
    json(StatusCode::OK, body)
}

/// 401 of a resource that is protected by access tokens (RFC 6750 §3.1).
pub fn invalid_token() -> Response<Body> {
    let response = refused(StatusCode::UNAUTHORIZED, "invalid_token", "the access token is missing or not valid");
    with_header(response, header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\""))
}

/// An error that belongs to no use case: a route that is not there, a method that it does not take.
pub fn refused(status: StatusCode, code: &str, text: &str) -> Response<Body> {
    json(status, &ErrorAnswer { error: code, error_description: &printable(text) })
}

/// 404, for a route that is not there.
pub fn not_found() -> Response<Body> {
    refused(StatusCode::NOT_FOUND, "invalid_request", "there is no such route")
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
    use latchkey_token::failure::Unavailable;

    #[test]
    fn descriptions_hold_only_what_rfc_6749_allows() {
        assert_eq!(printable("claim \"é\" \\ \n"), "claim '?' ' ?");
    }

    #[test]
    fn infrastructure_trouble_holds_no_word_that_makes_a_client_drop_its_tokens() {
        let failure = Failure::Unavailable(Unavailable::new("session store", "invalid_grant"));
        let response = error(&failure.into(), true);
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "2");
        let Body::Text(body) = response.body() else { panic!("no text") };
        for word in [
            "invalid_grant",
            "invalid_client",
            "invalid_request",
            "unauthorized_client",
            "invalid_scope",
            "access_denied",
        ] {
            assert!(!body.contains(word), "{word}");
        }
    }

    #[test]
    fn www_authenticate_comes_only_with_the_header() {
        let failed = |tried| error(&Failure::Refused(Refusal::InvalidClient).into(), tried);
        assert!(failed(true).headers()["www-authenticate"].to_str().unwrap().starts_with("Basic "));
        assert!(!failed(false).headers().contains_key("www-authenticate"));
        assert!(
            !error(&Failure::Refused(Refusal::InvalidGrant).into(), true).headers().contains_key("www-authenticate")
        );
    }
}
