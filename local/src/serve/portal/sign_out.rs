//! A sign-out at the portal: it ends its own session with the browser, and sends the browser to an address of its own list.

use axum::http::{Request, Response, StatusCode};
use latchkey_token::values::WebUrl;
use latchkey_token_lambda::{
    Body,
    request::{MAX_BODY_BYTES, browser_parameters, only},
    response::with_cookie,
};

use super::{desk::Desk, html::note};
use crate::serve::{
    demo::{CLIENT, LIBRECHAT_LOGIN},
    pages::see_other,
};

/// The browser comes from the service, which has ended its session, or by a link.
pub(super) fn answer(desk: &Desk, request: &Request<Body>) -> Response<Body> {
    let headers = request.headers();
    let parameters = browser_parameters(request, MAX_BODY_BYTES).unwrap_or_default();
    let return_to = only(&parameters, "return_to").ok().flatten();
    let return_to = return_to.filter(|address| is_on_the_list(&desk.url, address));
    let is_signed_in = desk.sessions.with(headers, |visit| visit.user.is_some()).unwrap_or_default();
    if !is_signed_in {
        // It may be a link that somebody else has sent: it leads nowhere unasked.
        let way_on = return_to.as_deref().map(|address| (address, "Go on"));
        let text = "Nobody is signed in at the portal in this browser, so there is nothing to end.";
        return note(StatusCode::OK, "You are not signed in", text, way_on);
    }
    desk.sessions.take(headers);
    let response = match return_to {
        Some(address) => see_other(&address),
        None => note(StatusCode::OK, "You are signed out", "You can close this page.", None),
    };
    with_cookie(response, &desk.sessions.gone())
}

/// The demo's applications, with the `state` that the service may have added.
fn is_on_the_list(url: &str, return_to: &str) -> bool {
    let plain = match return_to.rsplit_once("state=") {
        Some((before, state)) if !state.contains(['&', '#']) => before.strip_suffix(['?', '&']).unwrap_or(return_to),
        _ => return_to,
    };
    let client = format!("{url}{CLIENT}");
    plain == client || WebUrl::parse(LIBRECHAT_LOGIN).is_some_and(|login| login.admits(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_sent_to_the_demos_applications_only() {
        let url = "http://127.0.0.1:9000";
        for fine in [
            "http://127.0.0.1:9000/demo/client",
            "http://127.0.0.1:9000/demo/client?state=a%26b",
            "http://localhost:3080/login",
            "http://localhost:3081/login?state=",
        ] {
            assert!(is_on_the_list(url, fine), "{fine}");
        }
        for astray in [
            "http://127.0.0.1:9000/demo/client/",
            "http://127.0.0.1:9000/demo/client?x=1",
            "http://127.0.0.1:9000/demo/client?state=1&x=2",
            "http://127.0.0.1:9000/demo/client?state=1#x",
            "http://127.0.0.1:9000@latchkey.example/demo/client",
            "http://latchkey.example/?state=http://127.0.0.1:9000/demo/client",
            "http://127.0.0.1:9000/demo/clientstate=1",
            "http://localhost:3080/login/",
            "//latchkey.example",
            "javascript:alert(1)",
            "",
        ] {
            assert!(!is_on_the_list(url, astray), "{astray}");
        }
    }
}
