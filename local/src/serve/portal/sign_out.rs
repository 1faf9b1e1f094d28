//! A sign-out at the portal: it ends its own session with the browser, and sends the browser to an address of its own list.

use axum::http::{Request, Response, StatusCode};
use latchkey_token::values::WebUrl;
use latchkey_token_lambda::{
    Body,
    request::{MAX_BODY_BYTES, browser_parameters, only},
    response::with_cookie,
};

use super::{
    desk::{Desk, Visit},
    html::{note, sign_out_form},
};
use crate::{
    secrets::new_secret,
    serve::{
        demo::{CLIENT, LIBRECHAT_LOGIN},
        pages::{see_other, unavailable},
    },
};

/// The browser comes from the service, which has ended its session, or by anybody's link: the user is asked.
pub(super) fn ask(desk: &Desk, request: &Request<Body>) -> Response<Body> {
    let (_, return_to) = parameters(desk, request);
    let form = match new_secret() {
        Ok(form) => form,
        Err(trouble) => return unavailable(trouble),
    };
    let signed_in = desk.sessions.with(request.headers(), |visit| {
        visit.sign_out_form = Some(form.clone());
        visit.user.clone()
    });
    match signed_in.flatten() {
        Some(user) => sign_out_form(&form, &user.subject, return_to.as_deref()),
        None => {
            let way_on = return_to.as_deref().map(|address| (address, "Go on"));
            let text = "Nobody is signed in at the portal in this browser, so there is nothing to end.";
            note(StatusCode::OK, "You are not signed in", text, way_on)
        }
    }
}

/// The user has said so: the form comes with the token that it was shown with.
pub(super) fn end(desk: &Desk, request: &Request<Body>) -> Response<Body> {
    let headers = request.headers();
    let (form, return_to) = parameters(desk, request);
    let is_meant = |visit: &mut Visit| form.is_some() && visit.sign_out_form == form;
    if !desk.sessions.with(headers, is_meant).unwrap_or_default() {
        return ask(desk, request);
    }
    desk.sessions.take(headers);
    let response = match return_to {
        Some(address) => see_other(&address),
        None => note(StatusCode::OK, "You are signed out", "You can close this page.", None),
    };
    with_cookie(response, &desk.sessions.gone())
}

/// The form's token, and where the browser may go afterwards.
fn parameters(desk: &Desk, request: &Request<Body>) -> (Option<String>, Option<String>) {
    let parameters = browser_parameters(request, MAX_BODY_BYTES).unwrap_or_default();
    let text = |name| only(&parameters, name).ok().flatten();
    (text("form"), text("return_to").filter(|address| is_on_the_list(&desk.url, address)))
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
