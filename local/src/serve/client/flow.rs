//! The demo client's side of a sign-in: what a confidential OpenID client keeps, checks and asks (OpenID Connect Core §3.1).

use std::collections::VecDeque;

use aws_lc_rs::digest::{SHA256, digest};
use axum::http::{HeaderMap, Response, StatusCode};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use latchkey_token::{
    failure::Unavailable,
    json::{Map, Value},
    routes::{AUTHORIZE, RENEW, SIGN_OUT, USERINFO},
    values::with_query,
};
use latchkey_token_lambda::{
    Body,
    request::{RequestFault, only},
    response::with_cookie,
};
use serde_json::json;

use crate::{
    secrets::new_secret,
    serve::{
        demo::{CLIENT, DemoCredentials},
        pages::{BackEnd, Sessions, see_other, unavailable},
    },
};

/// How many sign-ins of one browser may be under way at once.
const MOST_BEGUN: usize = 8;
const SCOPE: &str = "openid profile email";

/// The client where it is on.
pub(super) struct Client {
    pub credentials: DemoCredentials,
    /// The server's.
    pub url: String,
    /// Who the client believes: the deployment's `iss`.
    pub issuer: String,
    pub sessions: Sessions<Visit>,
}

/// The client's session with a browser. Has no `Debug`: it holds tokens.
#[derive(Default)]
pub(super) struct Visit {
    begun: VecDeque<Begun>,
    /// The members of the token endpoint's latest answer.
    tokens: Option<Map<String, Value>>,
    /// What the user has not been told yet.
    said: Option<String>,
    /// What came of a sign-in that the playground has begun, until it asks for it.
    for_playground: Option<Value>,
}

/// A sign-in on its way through the portal.
#[derive(Clone)]
struct Begun {
    state: String,
    nonce: String,
    code_verifier: String,
    lands_at: LandingPage,
}

/// Where the browser goes when it is back.
#[derive(Clone, Copy)]
pub(super) enum LandingPage {
    Client,
    Playground,
}

impl LandingPage {
    const fn path(self) -> &'static str {
        match self {
            Self::Client => CLIENT,
            Self::Playground => "/",
        }
    }
}

impl Client {
    fn caller(&self) -> (&str, &str) {
        (&self.credentials.oauth_client_id, &self.credentials.oauth_client_secret)
    }

    fn redirect_uri(&self) -> String {
        format!("{}{CLIENT}", self.url)
    }

    /// Sends the browser to the authorization endpoint.
    pub(super) fn begin(&self, headers: &HeaderMap, lands_at: LandingPage) -> Result<Response<Body>, Unavailable> {
        let begun = Begun { state: new_secret()?, nonce: new_secret()?, code_verifier: new_secret()?, lands_at };
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, begun.code_verifier.as_bytes()));
        let parameters = [
            ("response_type", "code"),
            ("client_id", self.caller().0),
            ("redirect_uri", &self.redirect_uri()),
            ("scope", SCOPE),
            ("state", &begun.state),
            ("nonce", &begun.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let address = with_query(&AUTHORIZE.url(&self.issuer), &parameters);
        let begins = |visit: &mut Visit| {
            if visit.begun.len() == MOST_BEGUN {
                visit.begun.pop_front();
            }
            visit.begun.push_back(begun.clone());
        };
        if self.sessions.with(headers, begins).is_some() {
            return Ok(see_other(&address));
        }
        let cookie = self.sessions.renew(headers, begins)?;
        Ok(with_cookie(see_other(&address), &cookie))
    }

    /// The browser is back with a code or an error. Either goes out of the address.
    pub(super) async fn arrive(
        &self,
        back_end: &BackEnd<'_>,
        headers: &HeaderMap,
        parameters: &[(String, String)],
    ) -> Response<Body> {
        let state = only(parameters, "state").ok().flatten().unwrap_or_default();
        let find = |visit: &mut Visit| {
            let position = visit.begun.iter().position(|begun| begun.state == state)?;
            visit.begun.remove(position)
        };
        let begun = self.sessions.with(headers, find).flatten();
        let (outcome, lands_at) = match begun {
            Some(begun) => (self.redeem(back_end, parameters, &begun).await, begun.lands_at),
            None => (Err("This browser has begun no such sign-in here.".to_owned()), LandingPage::Client),
        };
        let (tokens, said) = match outcome {
            Ok(tokens) => (Some(tokens), "You are signed in.".to_owned()),
            Err(said) => (None, said),
        };
        // Whoever has signed in gets a session of a new id: nobody can have planted it.
        let cookie = self.sessions.renew(headers, |visit| match lands_at {
            LandingPage::Client => {
                visit.tokens = tokens.or(visit.tokens.take());
                visit.said = Some(said);
            }
            LandingPage::Playground => visit.for_playground = Some(json!({"tokens": tokens, "said": said})),
        });
        cookie.map_or_else(unavailable, |cookie| with_cookie(see_other(lands_at.path()), &cookie))
    }

    async fn redeem(
        &self,
        back_end: &BackEnd<'_>,
        parameters: &[(String, String)],
        begun: &Begun,
    ) -> Result<Map<String, Value>, String> {
        let unclear = |_: RequestFault| "The answer names a parameter twice.".to_owned();
        // Another server's answer must not be taken for this one's (RFC 9207 §2.4).
        if only(parameters, "iss").map_err(unclear)?.as_deref() != Some(self.issuer.as_str()) {
            return Err("The answer does not come from the issuer that was asked.".to_owned());
        }
        if let Some(error) = only(parameters, "error").map_err(unclear)? {
            return Err(format!("You are not signed in: the portal says {error}."));
        }
        let code = only(parameters, "code").map_err(unclear)?.unwrap_or_default();
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", &self.redirect_uri()),
            ("code_verifier", &begun.code_verifier),
        ];
        let answer = back_end.call(RENEW, self.caller(), &form).await;
        if answer.status != StatusCode::OK {
            return Err(format!("The code was not exchanged: {}. Sign in again.", answer.refusal()));
        }
        let now = back_end.tokens().clock.now().unix_seconds();
        self.check(answer.text("id_token").unwrap_or_default(), &begun.nonce, now)?;
        answer.body.as_object().cloned().ok_or_else(|| "The answer cannot be read.".to_owned())
    }

    /// Whether the ID token is about this very sign-in. It came from the token endpoint itself, which vouches for it in the place
    /// of its signature (OpenID Connect Core §3.1.3.7, 6).
    fn check(&self, id_token: &str, nonce: &str, now: i64) -> Result<(), String> {
        let claims = id_token.split('.').nth(1).and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok());
        let claims: Value = claims.and_then(|claims| serde_json::from_slice(&claims).ok()).unwrap_or_default();
        let says = |name: &str, expected: &str| claims.get(name).and_then(Value::as_str) == Some(expected);
        let fits = says("iss", &self.issuer)
            && says("aud", self.caller().0)
            && says("nonce", nonce)
            && claims.get("exp").and_then(Value::as_i64).is_some_and(|exp| exp > now);
        if fits { Ok(()) } else { Err("The ID token is not one for this sign-in.".to_owned()) }
    }

    /// What the page shows. Says it once.
    pub(super) fn shown(&self, headers: &HeaderMap) -> Value {
        let (tokens, said) =
            self.sessions.with(headers, |visit| (visit.tokens.clone(), visit.said.take())).unwrap_or_default();
        json!({"tokens": tokens, "said": said})
    }

    /// What came of the playground's sign-in. Its tokens are nowhere else: two that renew the same session would each look
    /// like a thief to the service.
    pub(super) fn hand_over(&self, headers: &HeaderMap) -> Value {
        let given = self.sessions.with(headers, |visit| visit.for_playground.take()).flatten();
        given.unwrap_or_else(|| json!({"tokens": null}))
    }

    pub(super) async fn renew(&self, back_end: &BackEnd<'_>, headers: &HeaderMap) -> Value {
        let form = [("grant_type", "refresh_token"), ("refresh_token", &self.token(headers, "refresh_token"))];
        let answer = back_end.call(RENEW, self.caller(), &form).await;
        let Some(renewed) = answer.body.as_object().filter(|_| answer.status == StatusCode::OK) else {
            if answer.status == StatusCode::BAD_REQUEST {
                self.sessions.with(headers, |visit| visit.tokens = None);
            }
            let said = format!("Not renewed: {}.", answer.refusal());
            return self.say(headers, said);
        };
        self.sessions.with(headers, |visit| {
            visit.tokens.get_or_insert_default().extend(renewed.clone());
        });
        self.say(headers, "Renewed: every token is a new one.".to_owned())
    }

    fn say(&self, headers: &HeaderMap, said: String) -> Value {
        self.sessions.with(headers, |visit| visit.said = Some(said));
        self.shown(headers)
    }

    pub(super) async fn userinfo(&self, back_end: &BackEnd<'_>, headers: &HeaderMap) -> Value {
        let answer = back_end.call_as_bearer(USERINFO, &self.token(headers, "access_token")).await;
        match answer.status {
            StatusCode::OK => json!({"userinfo": answer.body}),
            _ => json!({"said": format!("No user information: {}.", answer.refusal())}),
        }
    }

    /// Forgets the tokens, and says where the browser goes to end the session everywhere (OpenID Connect RP-Initiated Logout §2).
    pub(super) fn sign_out(&self, headers: &HeaderMap) -> Value {
        let (hint, back) = (self.token(headers, "id_token"), self.redirect_uri());
        self.sessions.with(headers, |visit| {
            (visit.tokens, visit.said) = (None, Some("You are signed out here.".to_owned()));
        });
        let parameters = [("id_token_hint", hint.as_str()), ("post_logout_redirect_uri", &back)];
        json!({"redirect_to": with_query(&SIGN_OUT.url(&self.issuer), &parameters)})
    }

    /// Empty if there is none, which nobody takes for a token.
    fn token(&self, headers: &HeaderMap, name: &str) -> String {
        let look = |visit: &mut Visit| Some(visit.tokens.as_ref()?.get(name)?.as_str()?.to_owned());
        self.sessions.with(headers, look).flatten().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Client {
        let text = |text: &str| text.to_owned();
        let credentials = DemoCredentials {
            issuer_id: text("portal"),
            issuer_secret: text("s1"),
            client_id: text("librechat"),
            client_secret: text("s2"),
            oauth_client_id: text("librechat-oauth"),
            oauth_client_secret: text("s3"),
        };
        let url = "http://127.0.0.1:9000";
        Client { credentials, url: text(url), issuer: text(url), sessions: Sessions::new("c", "/") }
    }

    #[test]
    fn an_id_token_of_another_sign_in_is_not_taken() {
        let good = json!({"iss": "http://127.0.0.1:9000", "aud": "librechat-oauth", "nonce": "n", "exp": 1001});
        let check = |claims: &Value| {
            let token = format!("h.{}.s", URL_SAFE_NO_PAD.encode(claims.to_string()));
            client().check(&token, "n", 1000).is_ok()
        };
        assert!(check(&good));
        for (name, other) in [
            ("iss", json!("http://127.0.0.1:9001")),
            ("aud", json!("librechat")),
            ("nonce", json!("m")),
            ("nonce", json!(null)),
            ("exp", json!(1000)),
        ] {
            let mut claims = good.clone();
            claims[name] = other;
            assert!(!check(&claims), "{name}");
        }
        assert!(client().check("", "n", 1000).is_err());
    }
}
