#![doc = include_str!("../README.md")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod functions;
pub mod keys;
pub mod logs;
pub mod sign_in;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex},
};

use aws_sdk_dynamodb::types::AttributeValue;
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use dynoxide::Database;
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use lambda_http::http::{HeaderMap, Request, StatusCode};
use latchkey::serve::{AuditFeed, DataLocation, Options, Server, dynamodb::embedded};
use latchkey_token::{ports::Clock, values::Timestamp};
use latchkey_token_testkit::SettableClock;
use serde_json::Value;
use tempfile::TempDir;

pub const FORM: &str = "application/x-www-form-urlencoded";
pub const JSON: &str = "application/json";
pub const ISSUER: &str = "https://latchkey.example";

/// The claims that no issuer can set, as the contract has them. Written out here: read from the code, they could not
/// show that one is missing there.
#[rustfmt::skip]
pub const RESERVED_CLAIMS: [&str; 22] = [
    "iss", "sub", "aud", "exp", "iat", "nbf", "jti", "sid", "client_id", "scope", "scp", "typ", "nonce", "azp", "at_hash",
    "c_hash", "auth_time", "acr", "amr", "cnf", "act", "may_act",
];

/// A moment on a full second, so that expected times are easy to write.
pub const START: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

type HttpClient = Client<hyper_util::client::legacy::connect::HttpConnector, Full<hyper::body::Bytes>>;

/// A running server and all that belongs to it.
pub struct App {
    server: Option<Server>,
    pub url: String,
    pub clock: Arc<SettableClock>,
    pub database: Database,
    dynamodb: aws_sdk_dynamodb::Client,
    operations: Arc<Mutex<Vec<String>>>,
    files: Arc<TempDir>,
    http: HttpClient,
    secrets: Mutex<Vec<String>>,
    /// What was logged before, this server cannot have logged.
    logged_before: usize,
}

/// One answer, read to its end.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.text)
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_else(|| panic!("no error: {self:?}")).to_owned()
    }

    /// The tokens of a success.
    #[track_caller]
    pub fn tokens(&self) -> Tokens {
        assert_eq!(self.status, 200, "{self:?}");
        Tokens(self.json())
    }

    #[track_caller]
    pub fn refused(&self, status: u16, error: &str) -> &Self {
        assert_eq!((self.status.as_u16(), self.error().as_str()), (status, error), "{self:?}");
        self
    }

    #[track_caller]
    pub fn invalid_grant(&self) -> &Self {
        assert_eq!(self.status, 400, "{self:?}");
        assert_eq!(self.text, INVALID_GRANT, "byte for byte");
        self
    }
}

/// The one body of every refused grant.
pub const INVALID_GRANT: &str =
    r#"{"error":"invalid_grant","error_description":"the token that was presented is not valid"}"#;

/// What issue and renewal answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Tokens(pub Value);

impl Tokens {
    pub fn access(&self) -> &str {
        self.0["access_token"].as_str().unwrap()
    }

    pub fn refresh(&self) -> &str {
        self.0["refresh_token"].as_str().unwrap()
    }

    pub fn claims(&self) -> Value {
        part(self.access(), 1)
    }

    pub fn id_claims(&self) -> Value {
        part(self.0["id_token"].as_str().unwrap(), 1)
    }

    /// With another access token.
    pub fn with_access(&self, access_token: &str) -> Self {
        let mut tokens = self.0.clone();
        tokens["access_token"] = access_token.into();
        Self(tokens)
    }
}

/// A part of a compact JWT as JSON.
pub fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// The secret of a registered party: its id, marked as a test's.
pub fn secret_of(id: &str) -> String {
    format!("test-secret-of-{id}-0123456789")
}

pub fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

pub fn form(pairs: &[(&str, &str)]) -> String {
    let encode = |text: &str| {
        text.bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
                b' ' => "+".to_owned(),
                _ => format!("%{byte:02X}"),
            })
            .collect::<String>()
    };
    pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect::<Vec<_>>().join("&")
}

/// The session of a code, by its own bytes.
pub fn session_of_code(code: &str) -> String {
    session_in(&code[5..])
}

fn session_in(encoded: &str) -> String {
    let bytes = URL_SAFE_NO_PAD.decode(encoded).unwrap();
    URL_SAFE_NO_PAD.encode(&bytes[1..33])
}

impl App {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With environment variables.
    pub async fn with(variables: &[(&str, &str)]) -> Self {
        let files = TempDir::new().unwrap();
        std::fs::write(files.path().join("keys.json"), keys::ring()).unwrap();
        std::fs::write(files.path().join("clients.json"), keys::registrations()).unwrap();
        Self::on(Database::memory().unwrap(), files.into(), Arc::new(SettableClock::at(START)), variables).await
    }

    /// A server with other settings on the same data, at the same time.
    pub async fn with_settings(&self, variables: &[(&str, &str)]) -> Self {
        Self::on(self.database.clone(), Arc::clone(&self.files), Arc::clone(&self.clock), variables).await
    }

    /// Another server on the same data, whose clock is `millis` ahead.
    pub async fn twin(&self, millis: i64) -> Self {
        let clock = SettableClock::at(self.clock.now());
        clock.advance_millis(millis);
        Self::on(self.database.clone(), Arc::clone(&self.files), Arc::new(clock), &[]).await
    }

    async fn on(
        database: Database,
        files: Arc<TempDir>,
        clock: Arc<SettableClock>,
        variables: &[(&str, &str)],
    ) -> Self {
        logs::capture();
        let logged_before = logs::length();
        let mut environment: HashMap<String, String> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        environment.entry("LATCHKEY_ISSUER".into()).or_insert(ISSUER.into());
        let operations = Arc::new(Mutex::new(Vec::new()));
        let observed = Arc::clone(&operations);
        let server = Server::start(Options {
            listen: "127.0.0.1:0".parse().unwrap(),
            data: DataLocation::Database(database.clone()),
            keys: Some(files.path().join("keys.json")),
            clients: Some(files.path().join("clients.json")),
            dynamodb_listen: None,
            mcp: None,
            clock: clock.clone(),
            environment: Arc::new(move |name| environment.get(name).cloned()),
            observer: Some(Arc::new(move |operation| observed.lock().unwrap().push(operation.to_owned()))),
            audit_feed: AuditFeed::default(),
        })
        .await
        .unwrap();
        operations.lock().unwrap().clear();
        let sdk = embedded(database.clone(), None).await;
        let secrets = ["portal", "second", "librechat", "librechat-oauth", "other"].map(secret_of).to_vec();
        Self {
            url: server.url().to_owned(),
            server: Some(server),
            clock,
            database,
            dynamodb: aws_sdk_dynamodb::Client::new(&sdk),
            operations,
            files,
            http: Client::builder(TokioExecutor::new()).build_http(),
            secrets: Mutex::new([secrets, keys::secrets(), vec![sign_in::VERIFIER.to_owned()]].concat()),
            logged_before,
        }
    }

    /// Replaces a document and waits until the cache time is over.
    pub fn rewrite(&self, document: &str, text: &str) {
        std::fs::write(self.files.path().join(document), text).unwrap();
        self.clock.advance(300);
    }

    /// Sends a request as it is; remembers the tokens of the answer.
    pub async fn send(&self, request: Request<Vec<u8>>) -> Answer {
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.to_string();
        parts.uri = format!("{}{path}", self.url).parse().unwrap();
        let response = self.http.request(Request::from_parts(parts, Full::from(body))).await.unwrap();
        let (parts, body) = response.into_parts();
        self.remember_addresses(&parts.headers);
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        if let Ok(json) = serde_json::from_str::<Value>(&text) {
            for name in ["access_token", "refresh_token", "id_token"] {
                self.secrets.lock().unwrap().extend(json[name].as_str().map(str::to_owned));
            }
            if let Some(address) = json["redirect_to"].as_str() {
                self.remember(sign_in::query_of(address));
            }
        }
        Answer { status: parts.status, headers: parts.headers, text }
    }

    /// Tickets, answers and codes are secrets, and so is a browser's cookie.
    fn remember_addresses(&self, headers: &HeaderMap) {
        if let Some(location) = headers.get("location") {
            self.remember(sign_in::query_of(location.to_str().unwrap()));
        }
        let cookie = headers.get("set-cookie").and_then(|set| set.to_str().unwrap().split(['=', ';']).nth(1));
        self.secrets.lock().unwrap().extend(cookie.map(str::to_owned));
    }

    fn remember(&self, carried: BTreeMap<String, String>) {
        let secret = |(name, value)| ["ticket", "answer", "code"].contains(&String::as_str(&name)).then_some(value);
        self.secrets.lock().unwrap().extend(carried.into_iter().filter_map(secret));
    }

    pub async fn post(
        &self,
        path: &str,
        authorization: Option<&str>,
        content_type: &str,
        body: impl Into<Vec<u8>>,
    ) -> Answer {
        let mut request = Request::post(path).header("content-type", content_type);
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    /// Issue by the issuer `portal`.
    pub async fn issue_form(&self, pairs: &[(&str, &str)]) -> Answer {
        self.post("/token", Some(&basic("portal", &secret_of("portal"))), FORM, form(pairs)).await
    }

    pub async fn issue_for(&self, client: &str) -> Tokens {
        let mut pairs = vec![("client_id", client), ("subject", "alice")];
        if client.starts_with("hs") {
            pairs.push(("claims", r#"{"id":"65a1b2c3d4e5f60718293a4b","username":"alice"}"#));
        }
        self.issue_form(&pairs).await.tokens()
    }

    /// Issue for `librechat`, the confidential client that renews with its access token.
    pub async fn issue(&self) -> Tokens {
        self.issue_for("librechat").await
    }

    /// Renewal with authentication for confidential clients (all but those called `spa…`), refresh token and access
    /// token.
    pub async fn renew_as(&self, client: &str, tokens: &Tokens) -> Answer {
        let mut pairs = vec![("refresh_token", tokens.refresh()), ("access_token", tokens.access())];
        if client.starts_with("spa") {
            pairs.push(("client_id", client));
            return self.post("/token/renew", None, FORM, form(&pairs)).await;
        }
        self.post("/token/renew", Some(&basic(client, &secret_of(client))), FORM, form(&pairs)).await
    }

    pub async fn renew(&self, tokens: &Tokens) -> Answer {
        self.renew_as("librechat", tokens).await
    }

    /// Renewal with the refresh token alone, as an unmodified LibreChat sends it.
    pub async fn renew_oauth(&self, client: &str, refresh_token: &str) -> Answer {
        let secret = secret_of(client);
        let mut pairs = vec![("grant_type", "refresh_token"), ("refresh_token", refresh_token), ("client_id", client)];
        if !client.starts_with("spa") {
            pairs.push(("client_secret", &secret));
        }
        self.post("/token/renew", None, FORM, form(&pairs)).await
    }

    /// The names of the DynamoDB operations since the last call.
    pub fn operations(&self) -> Vec<String> {
        std::mem::take(&mut *self.operations.lock().unwrap())
    }

    /// The whole table as one text, read from the engine itself: no operation is counted.
    pub fn snapshot(&self) -> String {
        let request = serde_json::from_value(serde_json::json!({"TableName": "latchkey"})).unwrap();
        serde_json::to_value(self.database.scan(request).unwrap()).unwrap().to_string()
    }

    /// Every record, as text: to see that nothing has changed.
    pub async fn records(&self) -> BTreeMap<String, String> {
        let items = self.dynamodb.scan().table_name("latchkey").send().await.unwrap().items.unwrap_or_default();
        let text = |item: &HashMap<String, AttributeValue>| {
            let sorted: BTreeMap<_, _> = item.iter().collect();
            (format!("{:?}", item["sid"]), format!("{sorted:?}"))
        };
        items.iter().map(text).collect()
    }

    /// The one record.
    pub async fn record(&self) -> HashMap<String, AttributeValue> {
        let mut items = self.dynamodb.scan().table_name("latchkey").send().await.unwrap().items.unwrap_or_default();
        assert_eq!(items.len(), 1);
        items.remove(0)
    }

    pub async fn number(&self, attribute: &str) -> i64 {
        self.record().await[attribute].as_n().unwrap().parse().unwrap()
    }

    /// The session of a refresh token, by its own bytes.
    pub fn session_of(&self, refresh_token: &str) -> String {
        session_in(&refresh_token[4..])
    }

    /// The generation that the record of a session has reached.
    pub async fn generation_of(&self, session_id: &str) -> String {
        let key = URL_SAFE_NO_PAD.decode(session_id).unwrap();
        let binary = |bytes: &[u8]| AttributeValue::B(aws_sdk_dynamodb::primitives::Blob::new(bytes));
        let item = self
            .dynamodb
            .get_item()
            .table_name("latchkey")
            .key("owner", binary(&key[..16]))
            .key("sid", binary(&key[16..]));
        item.consistent_read(true).send().await.unwrap().item.unwrap()["generation"].as_n().unwrap().clone()
    }

    /// Changes an attribute of the one record behind the server's back.
    pub async fn plant(&self, attribute: &str, value: AttributeValue) {
        let mut item = self.record().await;
        item.insert(attribute.to_owned(), value);
        self.dynamodb.put_item().table_name("latchkey").set_item(Some(item)).send().await.unwrap();
    }

    pub async fn drop_table(&self) {
        self.dynamodb.delete_table().table_name("latchkey").send().await.unwrap_err();
        let request = serde_json::from_value(serde_json::json!({"TableName": "latchkey"})).unwrap();
        self.database.delete_table(request).unwrap();
    }

    /// The path of a document that the server reads.
    pub fn document(&self, name: &str) -> std::path::PathBuf {
        self.files.path().join(name)
    }

    pub fn clock_millis(&self) -> i64 {
        self.clock.now().unix_millis()
    }

    pub fn now(&self) -> i64 {
        self.clock.now().unix_seconds()
    }

    /// Stops the server and starts another one on the same data.
    pub async fn restart(mut self) -> Self {
        self.server.take().unwrap().stop().await;
        let secrets = std::mem::take(&mut *self.secrets.lock().unwrap());
        let mut next = Self::on(self.database.clone(), Arc::clone(&self.files), Arc::clone(&self.clock), &[]).await;
        next.secrets.lock().unwrap().extend(secrets);
        next.logged_before = self.logged_before;
        next
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let secrets = self.secrets.lock().unwrap();
        logs::assert_none_of(&secrets, self.logged_before);
    }
}
