//! A browser that signs in, and the portal that it meets.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use lambda_http::http::Request;

use crate::{Answer, App, FORM, Tokens, basic, form, secret_of};

/// Where `librechat-oauth` and the other clients that sign in want the browser to come back to.
pub const CALLBACK: &str = "https://chat.example.org/oauth/openid/callback";
/// Where they want it after a sign-out.
pub const SIGNED_OUT: &str = "https://chat.example.org/signed-out";
/// The portal's own pages.
pub const SIGN_IN_URL: &str = "https://portal.example.org/sign-in";
pub const SIGN_OUT_URL: &str = "https://portal.example.org/sign-out";

/// The example of RFC 7636, appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A browser: it keeps its cookie and follows no redirect.
pub struct Browser<'a> {
    app: &'a App,
    cookie: Mutex<Option<String>>,
}

/// The parameters that an address carries.
pub fn query_of(address: &str) -> BTreeMap<String, String> {
    let uri: lambda_http::http::Uri = address.parse().unwrap();
    let query = uri.query().unwrap_or_default().to_owned();
    let decode = |text: &str| {
        let plus = text.replace('+', " ");
        let mut bytes = Vec::new();
        let mut rest = plus.bytes();
        while let Some(byte) = rest.next() {
            match byte {
                b'%' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
                }
                byte => bytes.push(byte),
            }
        }
        String::from_utf8(bytes).unwrap()
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(name, value)| (decode(name), decode(value))).collect()
}

impl Answer {
    /// Where a redirect leads.
    #[track_caller]
    pub fn location(&self) -> String {
        assert!(self.status == 302 || self.status == 303, "{self:?}");
        self.headers["location"].to_str().unwrap().to_owned()
    }

    /// What a redirect to `address` carries.
    #[track_caller]
    pub fn carried_to(&self, address: &str) -> BTreeMap<String, String> {
        let location = self.location();
        assert!(location == address || location.starts_with(&format!("{address}?")), "{location}");
        query_of(&location)
    }

    /// A plain page that leads nowhere and repeats nothing of what was sent.
    #[track_caller]
    pub fn page(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.headers["content-type"], "text/html; charset=utf-8");
        assert!(!self.headers.contains_key("location") && !self.headers.contains_key("set-cookie"));
        self
    }
}

/// What an honest client sends to `/authorize`, with changes: an empty value leaves a parameter out.
pub fn authorization(client: &str, changes: &[(&str, &str)]) -> String {
    let mut parameters = vec![
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", CALLBACK),
        ("scope", "openid email"),
        ("state", "the-clients-state"),
        ("nonce", "the-clients-nonce"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in changes {
        parameters.retain(|(own, _)| own != name);
        if !value.is_empty() {
            parameters.push((name, value));
        }
    }
    form(&parameters)
}

impl App {
    pub fn browser(&self) -> Browser<'_> {
        Browser { app: self, cookie: Mutex::new(None) }
    }

    /// A call of the issuer `portal` about a ticket.
    pub async fn portal(&self, call: &str, pairs: &[(&str, &str)]) -> Answer {
        let path = format!("/authorize/{call}");
        self.post(&path, Some(&basic("portal", &secret_of("portal"))), FORM, form(pairs)).await
    }

    /// The exchange of a code, by an honest client.
    pub async fn exchange(&self, client: &str, code: &str) -> Answer {
        self.exchange_with(client, code, CALLBACK, Some(VERIFIER)).await
    }

    pub async fn exchange_with(&self, client: &str, code: &str, redirect: &str, verifier: Option<&str>) -> Answer {
        let secret = secret_of(client);
        let mut pairs = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect),
            ("client_id", client),
        ];
        pairs.extend(verifier.map(|verifier| ("code_verifier", verifier)));
        if !client.starts_with("spa") {
            pairs.push(("client_secret", &secret));
        }
        self.post("/token/renew", None, FORM, form(&pairs)).await
    }
}

impl Browser<'_> {
    /// The cookie that it has.
    pub fn cookie_text(&self) -> String {
        self.cookie().unwrap()
    }

    fn cookie(&self) -> Option<String> {
        self.cookie.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The browser has this cookie from now on.
    pub fn plant(&self, cookie: &str) {
        *self.cookie.lock().unwrap() = Some(cookie.to_owned());
    }

    async fn send(&self, request: lambda_http::http::request::Builder, body: String) -> Answer {
        let request = match self.cookie() {
            Some(cookie) => request.header("cookie", cookie),
            None => request,
        };
        let answer = self.app.send(request.body(body.into_bytes()).unwrap()).await;
        if let Some(set) = answer.headers.get("set-cookie") {
            self.plant(set.to_str().unwrap().split(';').next().unwrap());
        }
        answer
    }

    /// Goes to an address below the issuer, or to a whole one of the server.
    pub async fn get(&self, address: &str) -> Answer {
        let path = address.strip_prefix(crate::ISSUER).unwrap_or(address);
        self.send(Request::get(path), String::new()).await
    }

    pub async fn post_form(&self, path: &str, body: String) -> Answer {
        self.send(Request::post(path).header("content-type", FORM), body).await
    }

    /// Goes to `/authorize` for `client`.
    pub async fn begin(&self, client: &str, changes: &[(&str, &str)]) -> Answer {
        self.get(&format!("/authorize?{}", authorization(client, changes))).await
    }

    /// The ticket that the portal gets.
    pub async fn ticket(&self, client: &str, changes: &[(&str, &str)]) -> String {
        self.begin(client, changes).await.carried_to(SIGN_IN_URL)["ticket"].clone()
    }

    /// The address that brings the portal's acceptance back.
    pub async fn accepted(&self, client: &str, changes: &[(&str, &str)]) -> String {
        let ticket = self.ticket(client, changes).await;
        let answer = self.app.portal("accept", &[("ticket", &ticket), ("subject", "alice")]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["redirect_to"].as_str().unwrap().to_owned()
    }

    /// A code for `client`, at the end of a whole sign-in.
    pub async fn code(&self, client: &str) -> String {
        let back = self.accepted(client, &[]).await;
        self.get(&back).await.carried_to(CALLBACK)["code"].clone()
    }

    /// The tokens of a whole sign-in.
    pub async fn sign_in(&self, client: &str) -> Tokens {
        let code = self.code(client).await;
        self.app.exchange(client, &code).await.tokens()
    }
}
