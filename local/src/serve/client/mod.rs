//! The demo's client at `/demo/client`: an application whose users sign in through the service, as LibreChat's do. Its back
//! end holds the client's secret; its page shows what it has got.

mod flow;

use axum::http::{Method, Request, Response, StatusCode};
use latchkey_token_lambda::{
    Body,
    request::{MAX_BODY_BYTES, browser_parameters, only},
    response::{EdgeError, error, ok},
};

use self::flow::{Client, LandingPage};
use super::{
    demo::{CLIENT, DemoCredentials},
    pages::{
        BackEnd, Off, Sessions, Tokens, file, forbidden, is_navigation, is_posted_by_the_page, moved, off_page,
        other_method, protected, see_other, unavailable,
    },
};

const PAGE: &str = include_str!("index.html");
const SCRIPT: &str = include_str!("client.js");

const SIGN_IN: &str = "/demo/client/sign-in";

const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The client of one server.
pub(super) struct ClientPage {
    client: Result<Client, Off>,
}

impl ClientPage {
    /// Where the demo's pages are on. `url` is the server's, `issuer` the deployment's `iss`.
    pub(super) fn new(on: Result<DemoCredentials, Off>, url: &str, issuer: &str) -> Self {
        let sessions = Sessions::new("latchkey-demo-client", CLIENT);
        let client = |credentials| Client { credentials, url: url.to_owned(), issuer: issuer.to_owned(), sessions };
        Self { client: on.map(client) }
    }

    /// The answer to a request for one of the client's routes; `None` if the request is for another.
    pub(super) async fn answer(&self, tokens: &Tokens, request: &Request<Body>) -> Option<Response<Body>> {
        let (path, headers) = (request.uri().path(), request.headers());
        let is_get = request.method() == Method::GET;
        let response = match (path, &self.client) {
            (CLIENT | SIGN_IN, Err(off)) => off_page("client", *off, StatusCode::NOT_FOUND, headers),
            ("/demo/client.js", Ok(_)) if is_get => file(SCRIPT, "text/javascript; charset=utf-8"),
            (CLIENT | SIGN_IN, Ok(client)) if is_get => match (is_navigation(headers), path) {
                (false, _) => forbidden(),
                (true, _) if moved(&client.url, request).is_some() => see_other(&moved(&client.url, request)?),
                (true, CLIENT) => page(client, tokens, request).await,
                (true, _) => sign_in(client, request),
            },
            (CLIENT | SIGN_IN, Ok(_)) => other_method("GET"),
            (_, Ok(client)) if request.method() == Method::POST => {
                let action = path.strip_prefix("/demo/client/")?;
                match is_posted_by_the_page(headers) {
                    true => act(client, &BackEnd::of(tokens, request), request, action).await?,
                    false => forbidden(),
                }
            }
            _ => return None,
        };
        Some(protected(response, CONTENT_SECURITY_POLICY, "no-referrer"))
    }
}

async fn page(client: &Client, tokens: &Tokens, request: &Request<Body>) -> Response<Body> {
    match browser_parameters(request, MAX_BODY_BYTES) {
        Ok(parameters) if parameters.is_empty() => file(PAGE, "text/html; charset=utf-8"),
        Ok(parameters) => client.arrive(&BackEnd::of(tokens, request), request.headers(), &parameters).await,
        Err(fault) => error(&EdgeError::Unreadable(fault), false),
    }
}

fn sign_in(client: &Client, request: &Request<Body>) -> Response<Body> {
    let parameters = browser_parameters(request, MAX_BODY_BYTES).unwrap_or_default();
    let lands_at = match only(&parameters, "then").ok().flatten().as_deref() {
        Some("playground") => LandingPage::Playground,
        _ => LandingPage::Client,
    };
    client.begin(request.headers(), lands_at).unwrap_or_else(unavailable)
}

async fn act(client: &Client, back_end: &BackEnd<'_>, request: &Request<Body>, action: &str) -> Option<Response<Body>> {
    let headers = request.headers();
    Some(ok(&match action {
        "session" => client.shown(headers),
        "hand-over" => client.hand_over(headers),
        "renew" => client.renew(back_end, headers).await,
        "userinfo" => client.userinfo(back_end, headers).await,
        "sign-out" => client.sign_out(headers),
        _ => return None,
    }))
}
