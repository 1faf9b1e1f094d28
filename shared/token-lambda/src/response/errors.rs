//! The one table from errors to status, code and text (docs/api.md, Errors).

use lambda_http::{
    Body, Response,
    http::{HeaderValue, StatusCode, header},
};
use latchkey_token::{
    failure::{Failure, Refusal},
    ports::Randomness,
};

use super::answers::{refused, with_header};
use crate::{request::RequestFault, system::SystemRandomness};

/// After infrastructure trouble, clients should wait this many seconds: 1 to 5, so that those that failed together do not all come
/// back together.
pub(super) fn retry_after_seconds() -> u32 {
    let mut byte = [0];
    // Without randomness all wait alike.
    let _ = SystemRandomness.fill(&mut byte);
    u32::from(byte[0] % 5) + 1
}

/// Why a request was not answered with tokens.
#[derive(Debug, Clone)]
pub enum EdgeError {
    /// The request cannot be read: 400, 413 or 415.
    Unreadable(RequestFault),
    /// The use case refused the request (400 or 401), or the infrastructure failed (503).
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
        EdgeError::Failed(Failure::Unavailable(_)) => {
            unavailable("the service cannot answer at the moment; nothing was lost, try again")
        }
        EdgeError::Failed(Failure::Unrepeatable(_)) => unavailable(
            "the service cannot answer at the moment; this assertion may have been used up: try again with a new one",
        ),
    }
}

fn unavailable(text: &str) -> Response<Body> {
    let response = refused(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", text);
    with_header(response, header::RETRY_AFTER, retry_after_seconds().into())
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
        Refusal::InvalidScope { unregistered } if unregistered.is_empty() => {
            bad_request("invalid_scope", "the scope is malformed or not allowed for this client")
        }
        Refusal::InvalidScope { unregistered } => bad_request(
            "invalid_scope",
            &format!("not among this client's registered scopes: {}", unregistered.join(", ")),
        ),
        Refusal::UnauthorizedClient => bad_request("unauthorized_client", "this issuer may not act for that client"),
        Refusal::MayNotExchange => bad_request(
            "unauthorized_client",
            "only a confidential client whose tokens are not of HS256 may exchange tokens",
        ),
        Refusal::InvalidTarget => bad_request("invalid_target", "not a target that is registered for this client"),
        Refusal::UnsupportedGrantType { supported } => bad_request(
            "unsupported_grant_type",
            &format!("grant_type must be left out here or be one of: {}", supported.join(", ")),
        ),
        Refusal::InvalidRedirectUri(text) => bad_request("invalid_redirect_uri", text),
        Refusal::InvalidClientMetadata(text) => bad_request("invalid_client_metadata", text),
        Refusal::WindowClosed { opens_at, retry_after_seconds } => with_header(
            bad_request("invalid_request", &format!("too early: renewal of this session opens at {opens_at}")),
            header::RETRY_AFTER,
            (*retry_after_seconds).into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use latchkey_token::failure::Unavailable;

    #[test]
    fn infrastructure_trouble_holds_no_word_that_makes_a_client_drop_its_tokens() {
        let down = Unavailable::new("session store", "invalid_grant");
        let failures = [Failure::Unavailable(down.clone()), Failure::Unrepeatable(down)];
        let bodies = failures.map(|failure| {
            let response = error(&failure.into(), true);
            assert_eq!(response.status(), 503);
            let seconds: u32 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((1..=5).contains(&seconds), "{seconds}");
            let Body::Text(body) = response.body() else { panic!("no text") };
            body.clone()
        });
        assert!(!bodies[0].contains("new one") && bodies[1].contains("new one"));
        for word in [
            "invalid_grant",
            "invalid_client",
            "invalid_request",
            "unauthorized_client",
            "invalid_scope",
            "access_denied",
        ] {
            assert!(bodies.iter().all(|body| !body.contains(word)), "{word}");
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
