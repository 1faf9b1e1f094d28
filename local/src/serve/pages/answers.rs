//! How the demo's pages answer.

use std::fmt::Write;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use latchkey_token::failure::Unavailable;
use latchkey_token_lambda::{
    Body,
    response::{EdgeError, error, ok, redirect, refused, with_header},
};
use serde_json::json;

use super::visitors::{Off, one};

/// HTML, as it is.
pub(in crate::serve) fn html(status: StatusCode, page: String) -> Response<Body> {
    with_content_type(refused(status, "", "").map(|_| Body::Text(page)), "text/html; charset=utf-8")
}

pub(in crate::serve) fn file(text: &'static str, content_type: &'static str) -> Response<Body> {
    with_content_type(ok(&()).map(|_| Body::from(text)), content_type)
}

fn with_content_type(response: Response<Body>, content_type: &'static str) -> Response<Body> {
    with_header(response, header::CONTENT_TYPE, HeaderValue::from_static(content_type))
}

/// Sends the browser to `location` with a GET.
pub(in crate::serve) fn see_other(location: &str) -> Response<Body> {
    redirect(StatusCode::SEE_OTHER, location).unwrap_or_else(unavailable)
}

pub(in crate::serve) fn unavailable(unavailable: Unavailable) -> Response<Body> {
    error(&EdgeError::Failed(unavailable.into()), false)
}

pub(in crate::serve) fn other_method(methods: &'static str) -> Response<Body> {
    let response = refused(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", "this page does not take this method");
    with_header(response, header::ALLOW, HeaderValue::from_static(methods))
}

/// Text as it stands in HTML, in attributes too.
pub(in crate::serve) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Says that the page called `name` is off, why, and how to get it: for browsers a page, for others JSON.
pub(in crate::serve) fn off_page(name: &str, off: Off, status: StatusCode, headers: &HeaderMap) -> Response<Body> {
    let reason = off.reason();
    let is_browser = one(headers, header::ACCEPT).is_some_and(|accept| accept.contains("text/html"));
    if !is_browser {
        let mut response = ok(&json!({"service": "latchkey", name: "off", "reason": reason}));
        *response.status_mut() = status;
        return response;
    }
    let mut page = String::new();
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<title>Latchkey</title>\n\
         <h1>Latchkey is running</h1>\n<p>The {name} is off: {reason}.</p>\n\
         <p>Metadata: <a href=\"/.well-known/openid-configuration\">/.well-known/openid-configuration</a></p>\n</html>\n"
    );
    html(status, page)
}

/// Nothing from elsewhere, nothing for elsewhere. What the answer says already stays.
pub(in crate::serve) fn protected(
    mut response: Response<Body>,
    content_security_policy: &'static str,
    referrer_policy: &'static str,
) -> Response<Body> {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, content_security_policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, referrer_policy),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text_in_html() {
        assert_eq!(escaped(r#"<a href="x" id='y'>&"#), "&lt;a href=&quot;x&quot; id=&#39;y&#39;&gt;&amp;");
    }
}
