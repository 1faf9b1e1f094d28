//! Answers to browsers: redirects, and plain pages. A page has no script, loads nothing, stands in no frame, and repeats
//! nothing of the request.

use lambda_http::{
    Body, Response,
    http::{HeaderName, HeaderValue, StatusCode, header},
};
use latchkey_token::failure::{Failure, Unavailable};

use super::{
    answers::{refused, with_header},
    errors::{EdgeError, retry_after_seconds},
};

const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What a browser is told where it goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// 400: a sign-in that cannot go on, and nobody who may be told why.
    SignInStops,
    /// 200: the session is over.
    SignedOut,
    /// 200: no session was named, so none is over.
    NobodySignedOut,
    /// 400: a sign-out that cannot be believed.
    SignOutStops,
    /// 503: infrastructure trouble.
    Unavailable,
}

impl Page {
    const fn content(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::SignInStops => (
                StatusCode::BAD_REQUEST,
                "This sign-in cannot go on",
                "The link is not complete, too old, or was opened in another browser than the one that you began in. Go \
                 back to the application and sign in again.",
            ),
            Self::SignedOut => (StatusCode::OK, "You are signed out", "You can close this page."),
            Self::NobodySignedOut => (
                StatusCode::OK,
                "Nobody was signed out",
                "The link does not say whose session is to end. Sign out in the application itself.",
            ),
            Self::SignOutStops => (
                StatusCode::BAD_REQUEST,
                "This sign-out cannot go on",
                "The link is not complete, or not from here. You may still be signed in: sign out in the application \
                 itself.",
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Not available at the moment",
                "Nothing was lost. Load this page again in a moment.",
            ),
        }
    }
}

/// The page for a request that came to nothing: the request's own fault, or the infrastructure's.
pub const fn stopped_by(error: &EdgeError, own_fault: Page) -> Page {
    match error {
        EdgeError::Failed(Failure::Unavailable(_) | Failure::Unrepeatable(_)) => Page::Unavailable,
        EdgeError::Unreadable(_) | EdgeError::Failed(Failure::Refused(_)) => own_fault,
    }
}

/// A plain page.
pub fn page(page: Page) -> Response<Body> {
    let (status, title, text) = page.content();
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <h1>{title}</h1>\n<p>{text}</p>\n</html>\n"
    );
    let mut response = refused(status, "", "").map(|_| Body::Text(html));
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        response = with_header(response, name, HeaderValue::from_static(value));
    }
    match page {
        Page::Unavailable => with_header(response, header::RETRY_AFTER, retry_after_seconds().into()),
        _ => response,
    }
}

/// Sends a browser to `location`, which tells nobody where it came from. `status`: 302, or 303 after a form that is to be sent
/// as a GET.
pub fn redirect(status: StatusCode, location: &str) -> Result<Response<Body>, Unavailable> {
    let location = HeaderValue::from_str(location)
        .map_err(|_| Unavailable::new("address", "a registered address cannot stand in a header"))?;
    let mut response = refused(status, "", "").map(|_| Body::Empty);
    response.headers_mut().remove(header::CONTENT_TYPE);
    let response = with_header(response, header::LOCATION, location);
    Ok(with_header(response, header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")))
}

/// Adds a cookie.
pub fn with_cookie(response: Response<Body>, cookie: &str) -> Response<Body> {
    match HeaderValue::from_str(cookie) {
        Ok(value) => with_header(response, HeaderName::from_static("set-cookie"), value),
        Err(_) => response,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_no_script_and_stand_in_no_frame_and_nobody_keeps_them() {
        for kind in [Page::SignInStops, Page::SignedOut, Page::NobodySignedOut, Page::SignOutStops, Page::Unavailable] {
            let response = page(kind);
            let headers = response.headers();
            let policy = headers["content-security-policy"].to_str().unwrap();
            assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
            assert!(headers["referrer-policy"] == "no-referrer" && headers["cache-control"] == "no-store");
            assert_eq!(headers["content-type"], "text/html; charset=utf-8");
            assert_eq!(headers.contains_key("retry-after"), response.status() == 503);
        }
    }
}
