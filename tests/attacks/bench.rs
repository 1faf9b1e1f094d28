//! A server under attack, and the places at which it can be attacked. Every attempt is judged in full: who was let in,
//! the exact answer, the table, and every operation on it.

use std::{borrow::Cow, fmt::Display, sync::Mutex};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use lambda_http::http::{HeaderValue, Method, Request};
use latchkey_token_lambda::response;
use serde_json::json;
use test_support::{
    Answer, App, FORM, ISSUER, JSON, Tokens, basic, form, secret_of,
    sign_in::{CALLBACK, SIGN_IN_URL, SIGN_OUT_URL, SIGNED_OUT, query_of},
};

use crate::{
    exchange,
    forge::Forge,
    ledger::{Fault, Kind, Row},
};

/// Every place a browser may be sent to.
const ADDRESSES: [&str; 6] = [CALLBACK, "http://127.0.0.1", SIGN_IN_URL, SIGN_OUT_URL, SIGNED_OUT, ISSUER];

/// `Retry-After` of a 503: by chance.
const ANY_OF_FIVE: &str = "1 to 5";

/// What kind of answer it is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    Json,
    /// A page for a browser, which stays where it is.
    Page,
    /// To exactly this address.
    Redirect(String),
    /// Back to the client with this error, and with this `state`.
    Back(&'static str, Option<&'static str>),
}

/// The answer that an attempt must get, to the byte.
#[derive(Clone, Debug)]
pub struct Expected {
    status: u16,
    form: Form,
    body: Cow<'static, str>,
    /// Beyond those of every answer of its kind.
    header: Option<(&'static str, &'static str)>,
    /// Operations on the table that the refusal costs: reads, and writes whose condition fails.
    operations: &'static [&'static str],
}

impl Expected {
    pub fn new(status: u16, body: impl Into<Cow<'static, str>>) -> Self {
        Self { status, form: Form::Json, body: body.into(), header: None, operations: &[] }
    }

    /// A page, byte for byte the same whatever was sent.
    pub fn page(page: response::Page) -> Self {
        let response = response::page(page);
        let body = String::from_utf8(response.body().to_vec()).unwrap();
        Self { form: Form::Page, ..Self::new(response.status().as_u16(), body) }
    }

    /// 302, to exactly this address.
    pub fn redirect(address: impl Into<String>) -> Self {
        Self { form: Form::Redirect(address.into()), ..Self::new(302, "") }
    }

    /// 302 to the client's callback with this error, with `state` if it is good, and with our issuer.
    pub fn back(error: &'static str, state: Option<&'static str>) -> Self {
        Self { form: Form::Back(error, state), ..Self::new(302, "") }
    }

    pub fn error(status: u16, error: &str, description: &str) -> Self {
        Self::new(status, format!(r#"{{"error":"{error}","error_description":"{description}"}}"#))
    }

    pub fn invalid_grant() -> Self {
        Self::new(400, test_support::INVALID_GRANT)
    }

    pub fn invalid_request(description: &str) -> Self {
        Self::error(400, "invalid_request", description)
    }

    pub fn too_large() -> Self {
        Self::error(413, "invalid_request", "the body is longer than 16 KiB")
    }

    pub fn wrong_media_type() -> Self {
        let text = "the content type must be application/x-www-form-urlencoded or application/json, in UTF-8";
        Self::error(415, "invalid_request", text)
    }

    pub fn invalid_client() -> Self {
        Self::error(401, "invalid_client", "authentication failed")
    }

    /// 401, to somebody who used the Authorization header.
    pub fn invalid_client_basic() -> Self {
        let header = Some(("www-authenticate", "Basic realm=\"latchkey\", charset=\"UTF-8\""));
        Self { header, ..Self::invalid_client() }
    }

    pub fn invalid_token() -> Self {
        let header = Some(("www-authenticate", "Bearer error=\"invalid_token\""));
        Self { header, ..Self::error(401, "invalid_token", "the access token is missing or not valid") }
    }

    /// Nobody's fault but ours.
    pub fn unavailable() -> Self {
        let text = "the service cannot answer at the moment; nothing was lost, try again";
        Self::error(503, "temporarily_unavailable", text).with_header("retry-after", ANY_OF_FIVE)
    }

    pub fn inactive() -> Self {
        Self::new(200, r#"{"active":false}"#)
    }

    /// What revocation says to everything.
    pub fn nothing() -> Self {
        Self::new(200, "{}")
    }

    pub fn with_header(self, name: &'static str, value: &'static str) -> Self {
        Self { header: Some((name, value)), ..self }
    }

    /// The refusal costs these operations on the table.
    pub fn after(self, operations: &'static [&'static str]) -> Self {
        Self { operations, ..self }
    }

    pub fn matches(&self, answer: &Answer) -> bool {
        let mut names: Vec<&str> =
            answer.headers.keys().map(|name| name.as_str()).filter(|name| *name != "date").collect();
        names.sort_unstable();
        let mut expected = vec!["cache-control", "content-length", "pragma"];
        expected.extend_from_slice(match self.form {
            Form::Json => &["content-type"][..],
            Form::Page => &["content-type", "content-security-policy", "referrer-policy", "x-content-type-options"],
            Form::Redirect(_) | Form::Back(..) => &["location", "referrer-policy"],
        });
        expected.extend(self.header.map(|(name, _)| name));
        expected.sort_unstable();
        let is_any_of_five = |own: &HeaderValue| ["1", "2", "3", "4", "5"].iter().any(|seconds| own == seconds);
        let has = |name: &str, value: &str| {
            answer.headers.get(name).is_some_and(|own| own == value || value == ANY_OF_FIVE && is_any_of_five(own))
        };
        answer.status.as_u16() == self.status
            && answer.text == self.body
            && names == expected
            && has("cache-control", "no-store")
            && has("pragma", "no-cache")
            && match &self.form {
                Form::Json => has("content-type", JSON),
                Form::Page => {
                    has("content-type", "text/html; charset=utf-8")
                        && has("content-security-policy", NO_FRAMES_NO_SCRIPT)
                        && has("referrer-policy", "no-referrer")
                        && has("x-content-type-options", "nosniff")
                }
                Form::Redirect(address) => has("location", address) && has("referrer-policy", "no-referrer"),
                Form::Back(error, state) => is_back(answer, error, *state) && has("referrer-policy", "no-referrer"),
            }
            && self.header.is_none_or(|(name, value)| has(name, value))
    }
}

/// The policy of every page.
const NO_FRAMES_NO_SCRIPT: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The client is told an error, its own state, who says so, and nothing else.
fn is_back(answer: &Answer, error: &str, state: Option<&str>) -> bool {
    let Some(Ok(location)) = answer.headers.get("location").map(|location| location.to_str()) else { return false };
    let Some(query) = location.strip_prefix(CALLBACK).filter(|query| query.starts_with('?')) else { return false };
    // A second `iss` would be lost in a map.
    let has_once = query.split(['?', '&']).filter(|pair| pair.starts_with("iss=")).count() == 1;
    let carried = query_of(location);
    let own = |name: &str| carried.get(name).map(String::as_str);
    has_once
        && (own("error"), own("state"), own("iss")) == (Some(error), state, Some(ISSUER))
        && own("error_description").is_some_and(|text| !text.is_empty())
        && carried.len() == 3 + usize::from(state.is_some())
}

/// Where a token is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Renewal,
    RenewalJson,
    /// As `Authorization: Bearer`, the client in the body.
    RenewalBearer,
    /// The client is not named: the access token would have to tell.
    RenewalUnnamed,
    IntrospectionByIssuer,
    IntrospectionByClient,
    RevocationByIssuer,
    RevocationByClient,
    /// `/demo/me`: the authorizer's code.
    Resource,
    Userinfo,
    /// In the body of a POST.
    UserinfoForm,
    /// `id_token_hint` of `/sign-out`, in the address.
    Hint,
    HintForm,
    /// `subject_token` of an exchange by a client that may exchange everybody's.
    Exchange,
    ExchangeJson,
    /// `assertion` of an exchange in LibreChat's form.
    OnBehalfOf,
}

impl Place {
    /// Where an access token is.
    pub const ALL: [Self; 11] = [
        Self::Renewal,
        Self::RenewalJson,
        Self::RenewalBearer,
        Self::RenewalUnnamed,
        Self::IntrospectionByIssuer,
        Self::IntrospectionByClient,
        Self::RevocationByIssuer,
        Self::RevocationByClient,
        Self::Resource,
        Self::Userinfo,
        Self::UserinfoForm,
    ];

    /// Where an ID token is.
    pub const OF_HINTS: [Self; 2] = [Self::Hint, Self::HintForm];

    /// Where an access token is exchanged.
    pub const OF_SUBJECT_TOKENS: [Self; 3] = [Self::Exchange, Self::ExchangeJson, Self::OnBehalfOf];

    fn is_in_header(self) -> bool {
        matches!(self, Self::RenewalBearer | Self::Resource | Self::Userinfo)
    }

    /// What a token that is not one of ours gets here.
    pub fn refusal(self) -> Expected {
        match self {
            Self::Renewal | Self::RenewalJson | Self::RenewalBearer | Self::RenewalUnnamed => Expected::invalid_grant(),
            Self::Exchange | Self::ExchangeJson | Self::OnBehalfOf => Expected::invalid_grant(),
            Self::IntrospectionByIssuer | Self::IntrospectionByClient => Expected::inactive(),
            Self::RevocationByIssuer | Self::RevocationByClient => Expected::nothing(),
            Self::Resource | Self::Userinfo | Self::UserinfoForm => Expected::invalid_token(),
            Self::Hint | Self::HintForm => Expected::page(response::Page::SignOutStops),
        }
    }
}

/// One request and what it must get.
pub struct Attempt {
    pub what: String,
    pub request: Request<Vec<u8>>,
    pub expected: Expected,
}

impl Attempt {
    pub fn new(what: impl Display, request: Request<Vec<u8>>, expected: Expected) -> Self {
        Self { what: what.to_string(), request, expected }
    }
}

/// A server with a session of `client` that an attacker is after.
pub struct Bench {
    pub row: Row,
    pub app: App,
    pub client: &'static str,
    pub tokens: Tokens,
    snapshot: Mutex<String>,
}

impl Bench {
    pub async fn start(row: Row) -> Self {
        Self::of(row, "librechat", &[]).await
    }

    /// The authorizer lets in `client`'s audience; no memory of live sessions, so that each token is judged.
    pub async fn of(row: Row, client: &'static str, variables: &[(&str, &str)]) -> Self {
        let own = [("LATCHKEY_AUDIENCE", client), ("LATCHKEY_AUTHORIZER_CACHE_SECONDS", "0")];
        let app = App::with(&[&own, variables].concat()).await;
        if row.kind() == Kind::SubjectTokens {
            app.rewrite("clients.json", &exchange::registrations_for_everybody());
        }
        let tokens = app.issue_for(client).await;
        let bench = Self { row, client, tokens, snapshot: Mutex::default(), app };
        bench.settle();
        bench
    }

    /// The table as it stands is what refused requests must leave.
    pub fn settle(&self) {
        self.app.operations();
        *self.snapshot.lock().unwrap() = self.app.snapshot();
    }

    /// The genuine token that is forged in this row.
    pub fn genuine(&self) -> &str {
        match self.row.kind() {
            Kind::AccessTokens | Kind::SubjectTokens => self.tokens.access(),
            Kind::Hints => self.tokens.0["id_token"].as_str().unwrap(),
        }
    }

    pub fn forge(&self) -> Forge {
        Forge::of(self.row.kind(), self.client, self.genuine())
    }

    fn is_public(&self) -> bool {
        self.client.starts_with("spa")
    }

    /// `Authorization` of the client, or of the issuer.
    pub fn basic(&self, party: &str) -> String {
        basic(party, &secret_of(party))
    }

    /// The request that brings `token` to a place; `None` where a token like this cannot be sent, or nobody may ask.
    pub fn bring(&self, place: Place, token: &str) -> Option<Request<Vec<u8>>> {
        // Spaces around a token belong to the header, not to the token.
        let is_sendable = !token.is_empty()
            && token.trim_matches(' ') == token
            && token.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        if place.is_in_header() && !is_sendable {
            return None;
        }
        let secret = secret_of(self.client);
        let refresh = ("refresh_token", self.tokens.refresh());
        let access = ("access_token", token);
        let mut client = vec![("client_id", self.client)];
        if !self.is_public() {
            client.push(("client_secret", &secret));
        }
        let bearer = format!("Bearer {token}");
        let own = self.basic(self.client);
        let issuer = self.basic("portal");
        Some(match place {
            Place::Renewal if self.is_public() => {
                post("/token/renew", None, FORM, form(&[&client[..], &[refresh, access]].concat()))
            }
            Place::Renewal => post("/token/renew", Some(&own), FORM, form(&[refresh, access])),
            Place::RenewalJson => {
                let mut body = json!({"refresh_token": refresh.1, "access_token": token});
                client.iter().for_each(|(name, value)| body[*name] = (*value).into());
                post("/token/renew", None, JSON, body.to_string())
            }
            Place::RenewalBearer => {
                post("/token/renew", Some(&bearer), FORM, form(&[&client[..], &[refresh]].concat()))
            }
            Place::RenewalUnnamed => post("/token/renew", None, FORM, form(&[refresh, access])),
            Place::IntrospectionByIssuer => post("/token/introspect", Some(&issuer), FORM, form(&[("token", token)])),
            Place::IntrospectionByClient if self.is_public() => return None,
            Place::IntrospectionByClient => post("/token/introspect", Some(&own), FORM, form(&[("token", token)])),
            Place::RevocationByIssuer => post("/token/revoke", Some(&issuer), FORM, form(&[("token", token)])),
            Place::RevocationByClient => {
                post("/token/revoke", None, FORM, form(&[&client[..], &[("token", token)]].concat()))
            }
            Place::Resource => get("/demo/me", Some(&bearer)),
            Place::Userinfo => get("/userinfo", Some(&bearer)),
            Place::UserinfoForm => post("/userinfo", None, FORM, form(&[("access_token", token)])),
            Place::Hint => {
                let query = form(&[("id_token_hint", token), ("post_logout_redirect_uri", SIGNED_OUT)]);
                // Clients of HTTP send no longer address.
                return (query.len() < 60_000).then(|| get(&format!("/sign-out?{query}"), None));
            }
            Place::HintForm => post("/sign-out", None, FORM, form(&[("id_token_hint", token)])),
            Place::Exchange => exchange::exchange(exchange::TOOL, token, exchange::FILES),
            Place::ExchangeJson => exchange::exchange_json(exchange::TOOL, token, &json!({})),
            Place::OnBehalfOf => exchange::on_behalf_of(exchange::TOOL, token, "files"),
        })
    }

    /// `token` at every place, refused everywhere as what is no token of ours.
    pub fn everywhere(&self, what: impl Display, token: &str) -> Vec<Attempt> {
        self.at(&Place::ALL, what, token)
    }

    /// For a row about access tokens at these places; a hint has its own.
    pub fn at(&self, places: &[Place], what: impl Display, token: &str) -> Vec<Attempt> {
        assert_ne!(token, self.genuine(), "{what}: this is the genuine token");
        let places = match self.row.kind() {
            Kind::AccessTokens => places,
            Kind::Hints => &Place::OF_HINTS,
            Kind::SubjectTokens => &Place::OF_SUBJECT_TOKENS,
        };
        let attempt = |place: &Place| {
            let request = self.bring(*place, token)?;
            let is_too_large = request.body().len() > 16 * 1024 && !Place::OF_HINTS.contains(place);
            let expected = match place {
                Place::UserinfoForm if is_too_large => {
                    Expected::too_large().with_header("www-authenticate", "Bearer error=\"invalid_request\"")
                }
                _ if is_too_large => Expected::too_large(),
                place => place.refusal(),
            };
            Some(Attempt::new(format_args!("{what} at {place:?}"), request, expected))
        };
        places.iter().filter_map(attempt).collect()
    }

    /// Forged tokens, at every place. Before and after, the genuine one is let in.
    pub async fn refuse_tokens(&self, tokens: Vec<(String, String)>) {
        let attempts = tokens.iter().flat_map(|(what, token)| self.everywhere(what, token)).collect();
        self.genuine_is_let_in().await;
        self.refuse(attempts).await;
        self.genuine_is_let_in().await;
    }

    pub async fn refuse(&self, attempts: Vec<Attempt>) {
        self.row.plan(attempts.len());
        for Attempt { what, request, expected } in attempts {
            let path = request.uri().path().to_owned();
            let answer = self.app.send(request).await;
            self.judge(&what, &path, &answer, &expected);
            self.row.attempted();
        }
    }

    fn judge(&self, what: &str, path: &str, answer: &Answer, expected: &Expected) {
        let after = self.app.snapshot();
        let before = std::mem::replace(&mut *self.snapshot.lock().unwrap(), after.clone());
        let has_changed = before != after;
        if is_let_in(path, answer) || has_changed && path != "/token/renew" {
            self.row.fault(Fault::LetIn, format_args!("{what}: {answer:?}"));
        }
        if !expected.matches(answer) {
            self.row.fault(Fault::WrongAnswer, format_args!("{what}: {answer:?} for {expected:?}"));
        }
        let operations = self.app.operations();
        if has_changed || operations != expected.operations {
            self.row.fault(Fault::StateChange, format_args!("{what}: {operations:?}, changed: {has_changed}"));
        }
    }

    /// What is refused to everybody proves nothing: the session's own tokens must be good where the forged ones are not.
    pub async fn genuine_is_let_in(&self) {
        match self.row.kind() {
            Kind::AccessTokens => {}
            Kind::Hints => return self.genuine_hint_is_believed().await,
            Kind::SubjectTokens => return self.genuine_is_exchanged().await,
        }
        let access = self.tokens.access();
        for place in [
            Place::Resource,
            Place::Userinfo,
            Place::UserinfoForm,
            Place::IntrospectionByIssuer,
            Place::IntrospectionByClient,
        ] {
            let Some(request) = self.bring(place, access) else { continue };
            let path = request.uri().path().to_owned();
            let answer = self.app.send(request).await;
            assert!(is_let_in(&path, &answer), "control at {place:?}: {answer:?}");
            self.row.controlled();
        }
        let scratch = self.app.issue_for(self.client).await;
        self.app.renew_as(self.client, &scratch).await.tokens();
        self.row.controlled();
        self.settle();
    }

    async fn genuine_hint_is_believed(&self) {
        for place in Place::OF_HINTS {
            let scratch = self.app.issue_for(self.client).await;
            let hint = scratch.0["id_token"].as_str().unwrap();
            let answer = self.app.send(self.bring(place, hint).unwrap()).await;
            assert_eq!(answer.location(), SIGN_OUT_URL, "control at {place:?}: {answer:?}");
            self.app.renew_as(self.client, &scratch).await.invalid_grant();
            self.row.controlled();
        }
        self.settle();
    }

    async fn genuine_is_exchanged(&self) {
        for place in Place::OF_SUBJECT_TOKENS {
            let answer = self.app.send(self.bring(place, self.genuine()).unwrap()).await;
            // Whoever knows LibreChat's secret could have made it.
            assert_eq!(is_let_in("/token/renew", &answer), self.client != "hs", "control at {place:?}: {answer:?}");
            self.row.controlled();
        }
        self.settle();
    }

    /// The session under attack still renews: nothing has ended it.
    pub async fn session_has_survived(&self) {
        self.app.renew_as(self.client, &self.tokens).await.tokens();
        self.row.controlled();
        self.settle();
    }
}

fn is_let_in(path: &str, answer: &Answer) -> bool {
    match path {
        "/token/introspect" => answer.text.contains(r#""active":true"#),
        "/demo/me" | "/userinfo" => answer.status == 200,
        "/sessions" => answer.text.contains("session_id"),
        _ => answer.text.contains("_token\":\"") || has_code(answer) || leads_elsewhere(answer),
    }
}

/// A code on its way.
fn has_code(answer: &Answer) -> bool {
    let location = answer.headers.get("location").and_then(|location| location.to_str().ok()).unwrap_or_default();
    location.contains("lkc1_") || answer.text.contains("lka1_")
}

/// To where no registration sends a browser.
fn leads_elsewhere(answer: &Answer) -> bool {
    let Some(location) = answer.headers.get("location") else { return false };
    let is_below = |address: &&str| {
        let rest = location.to_str().ok().and_then(|location| location.strip_prefix(*address));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['?', '/', ':']))
    };
    !ADDRESSES.iter().any(is_below)
}

pub fn post(path: &str, authorization: Option<&str>, content_type: &str, body: impl Into<Vec<u8>>) -> Request<Vec<u8>> {
    let mut request = Request::post(path).header("content-type", content_type);
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    request.body(body.into()).unwrap()
}

pub fn get(path: &str, authorization: Option<&str>) -> Request<Vec<u8>> {
    let headers = authorization.map(|value| ("authorization", value));
    request(Method::GET, path, headers.as_slice(), vec![])
}

pub fn request(method: Method, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Request<Vec<u8>> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).unwrap()
}

/// The 85 bytes of a refresh token.
pub fn bytes_of(refresh_token: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(&refresh_token[4..]).unwrap()
}

pub fn refresh_token_of(bytes: &[u8]) -> String {
    format!("lk1_{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// One request over a connection of its own, byte for byte; the status lines of all that came back.
pub async fn raw(app: &App, bytes: &[u8]) -> Vec<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut connection = tokio::net::TcpStream::connect(app.url.strip_prefix("http://").unwrap()).await.unwrap();
    let _ = connection.write_all(bytes).await;
    let _ = connection.shutdown().await;
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    text.split("HTTP/1.1 ").skip(1).map(|rest| rest.lines().next().unwrap_or_default().to_owned()).collect()
}
