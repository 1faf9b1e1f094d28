//! The functions as Lambda composes them, on a store and secrets that may fail.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use aws_config::{Region, SdkConfig};
use aws_sdk_dynamodb::config::Credentials;
use dynoxide::Database;
use lambda_http::{Body, Request, Response, http};
use latchkey::serve::dynamodb::embedded;
use latchkey_token::{
    ports::{Clock, DocumentSource, ReadSession},
    session::Session,
    values::SessionKey,
};
use latchkey_token_aws::{CachedDocuments, DocumentSecrets, DynamoDbSessions, SecretText, sdk, table};
use latchkey_token_lambda::response::{Page, page};
use latchkey_token_testkit::SettableClock;
use serde_json::{Value, json};
use test_support::{
    FORM, ISSUER, START, Tokens, basic, form, keys, secret_of,
    sign_in::{CALLBACK, VERIFIER, authorization, query_of},
};
use tokio::{net::TcpListener, sync::OnceCell};

use crate::report::Outcome;

const TABLE: &str = "sessions";

/// One DynamoDB for all cases: each has subjects of its own.
pub struct Store {
    pub address: String,
    /// Past every fault.
    direct: DynamoDbSessions,
}

pub async fn store() -> &'static Store {
    static STORE: OnceCell<Store> = OnceCell::const_new();
    STORE
        .get_or_init(|| async {
            let database = Database::memory().unwrap();
            let sdk = embedded(database.clone(), None).await;
            table::create_if_missing(&sdk, TABLE).await.unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            tokio::spawn(dynoxide::server::serve_on(listener, database));
            Store { address, direct: DynamoDbSessions::new(&sdk, TABLE) }
        })
        .await
}

impl Store {
    /// The record of the session that these tokens belong to.
    pub async fn record(&self, tokens: &Tokens) -> Session {
        self.record_of(tokens.0["session_id"].as_str().unwrap()).await
    }

    pub async fn record_of(&self, session_id: &str) -> Session {
        self.direct.read(&SessionKey::parse(session_id).unwrap()).await.unwrap().unwrap()
    }
}

/// The SDK as the functions set it up, against another endpoint. The region has a name of its own because the SDK keeps
/// one budget of retries for each.
pub async fn sdk_at(url: &str, region: String) -> SdkConfig {
    sdk::loader()
        .region(Region::new(region))
        .credentials_provider(Credentials::new("local", "local", None, None, "test"))
        .endpoint_url(url)
        .load()
        .await
}

/// Keys and registrations that are at hand, so that the store alone can fail.
pub fn authority_at_hand() -> Arc<CachedDocuments> {
    static AUTHORITY: OnceLock<Arc<CachedDocuments>> = OnceLock::new();
    let made = || {
        let secrets = DocumentSecrets {
            signing_keys: SecretText::Inline(keys::ring()),
            clients: SecretText::Inline(keys::registrations()),
        };
        // Never reloaded in the time that tests move through.
        Arc::new(CachedDocuments::new(secrets, 604_800))
    };
    Arc::clone(AUTHORITY.get_or_init(made))
}

/// What a client or a browser sees.
#[derive(Clone)]
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<String>,
    /// The body, or where a redirect leads.
    pub text: String,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:.300}", self.status, self.text)
    }
}

impl Answer {
    pub fn of(response: Response<Body>) -> Self {
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let text = header("location").unwrap_or_else(|| String::from_utf8(response.body().to_vec()).unwrap());
        Self { status: response.status().as_u16(), retry_after: header("retry-after"), text }
    }

    /// The one answer to trouble that is not the client's.
    pub fn is_unavailable(&self) -> bool {
        let body = r#"{"error":"temporarily_unavailable","error_description":"the service cannot answer at the moment; nothing was lost, try again"}"#;
        let seconds = self.retry_after.as_deref().and_then(|seconds| seconds.parse::<u32>().ok());
        let is_503 = self.status == 503 && seconds.is_some_and(|seconds| (1..=5).contains(&seconds));
        is_503 && (self.text == body || self.asks_for_a_new_assertion() || self.is_page_of_a_browser())
    }

    /// The same, where it is a browser that has asked.
    pub fn is_page_of_a_browser(&self) -> bool {
        self.status == 503 && self.text.as_bytes() == page(Page::Unavailable).body().as_ref()
    }

    /// A 503 after which the same request cannot be repeated.
    pub fn asks_for_a_new_assertion(&self) -> bool {
        let body = r#"{"error":"temporarily_unavailable","error_description":"the service cannot answer at the moment; this assertion may have been used up: try again with a new one"}"#;
        self.status == 503 && self.text == body
    }

    /// How the client fared, `is_ordinary` being whether it got what it gets when nothing fails.
    pub fn outcome(&self, is_ordinary: bool) -> Outcome {
        match is_ordinary {
            true => Outcome::Served,
            false if self.is_unavailable() => Outcome::Unavailable,
            false => Outcome::Wrong,
        }
    }

    pub fn tokens(&self) -> Option<Tokens> {
        (self.status == 200).then(|| Tokens(serde_json::from_str(&self.text).unwrap()))
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

pub struct Functions {
    pub clock: Arc<SettableClock>,
    functions: test_support::functions::Functions,
}

/// A sign-in that the portal has the say of.
pub struct Begun {
    pub cookie: String,
    pub ticket: String,
}

impl Begun {
    /// What `/authorize` answered to a browser without a cookie.
    pub fn of(response: &Response<Body>) -> Self {
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        let cookie = header("set-cookie").split(';').next().unwrap().to_owned();
        Self { cookie, ticket: query_of(&header("location"))["ticket"].clone() }
    }
}

/// How a browser asks for a sign-in of `client`.
pub fn begin(client: &str) -> Request {
    get(&format!("/authorize?{}", authorization(client, &[])), None)
}

/// How it comes back from the portal.
pub fn come_back(redirect_to: &str, cookie: &str) -> Request {
    get(redirect_to.strip_prefix(ISSUER).unwrap(), Some(cookie))
}

fn get(path: &str, cookie: Option<&str>) -> Request {
    let request = http::Request::get(path);
    let request = match cookie {
        Some(cookie) => request.header("cookie", cookie),
        None => request,
    };
    request.body(Body::Empty).unwrap()
}

impl Functions {
    pub fn new(sdk: &SdkConfig, documents: Arc<CachedDocuments>) -> Self {
        let clock = Arc::new(SettableClock::at(START));
        let store = DynamoDbSessions::new(sdk, TABLE);
        Self { functions: test_support::functions::Functions::new(store, documents, &clock), clock }
    }

    /// Loads the secrets, as the first request of a function does.
    pub async fn is_warm(&self) -> bool {
        self.functions.tokens.documents.current(self.clock.now()).await.is_ok()
    }

    pub async fn issue(&self, client: &str, subject: &str, more: &[(&str, &str)]) -> Answer {
        let pairs = [&[("client_id", client), ("subject", subject)], more].concat();
        Answer::of(issue::handle(&self.functions.tokens, post("portal", &pairs)).await)
    }

    /// By the issuer `signing`, about `subject`, in a new assertion for one use.
    pub async fn issue_by_assertion(&self, subject: &str) -> Answer {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let now = self.clock.now().unix_seconds();
        let claims = json!({"iss": "https://portal.example", "aud": ISSUER, "sub": subject, "iat": now, "exp": now + 60,
            "jti": COUNT.fetch_add(1, Ordering::SeqCst).to_string()});
        let (pair, algorithm) = (keys::signing_issuer(), jsonwebtoken::Algorithm::ES256);
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": pair.kid});
        let assertion = keys::signed(&header, &claims, algorithm, &keys::encoding_key(pair, algorithm));
        let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        let pairs = [("grant_type", grant), ("assertion", &assertion), ("client_id", "librechat")];
        let request = http::Request::post("/").header("content-type", FORM).body(Body::Text(form(&pairs))).unwrap();
        Answer::of(issue::handle(&self.functions.tokens, request).await)
    }

    pub async fn renew(&self, client: &str, tokens: &Tokens) -> Answer {
        let pairs = [("refresh_token", tokens.refresh()), ("access_token", tokens.access())];
        Answer::of(renew::handle(&self.functions.tokens, post(client, &pairs)).await)
    }

    /// With the refresh token alone.
    pub async fn renew_oauth(&self, client: &str, refresh_token: &str) -> Answer {
        Answer::of(renew::handle(&self.functions.tokens, post(client, &[("refresh_token", refresh_token)])).await)
    }

    pub async fn revoke(&self, token: &str) -> Answer {
        Answer::of(revoke::handle(&self.functions.tokens, post("portal", &[("token", token)])).await)
    }

    pub async fn introspect(&self, token: &str) -> Answer {
        Answer::of(introspect::handle(&self.functions.tokens, post("portal", &[("token", token)])).await)
    }

    /// The begin of a sign-in at `librechat-oauth`, which no store has a part in.
    pub async fn begin(&self) -> Begun {
        Begun::of(&authorize::handle(&self.functions.sign_ins, begin("librechat-oauth")).await)
    }

    pub async fn accept(&self, ticket: &str, subject: &str) -> Answer {
        let mut request = post("portal", &[("ticket", ticket), ("subject", subject)]);
        *request.uri_mut() = "/authorize/accept".parse().unwrap();
        Answer::of(issue::handle(&self.functions.tokens, request).await)
    }

    /// The code that an acceptance brings to the client.
    pub async fn code(&self, accepted: &Answer, cookie: &str) -> String {
        let accepted = accepted.json();
        let request = come_back(accepted["redirect_to"].as_str().unwrap(), cookie);
        let answer = Answer::of(authorize::handle(&self.functions.sign_ins, request).await);
        query_of(&answer.text)["code"].clone()
    }

    pub async fn exchange(&self, code: &str) -> Answer {
        let pairs = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        Answer::of(renew::handle(&self.functions.tokens, post("librechat-oauth", &pairs)).await)
    }

    pub async fn userinfo(&self, access_token: &str) -> Answer {
        let request = http::Request::get("/userinfo").header("authorization", format!("Bearer {access_token}"));
        Answer::of(introspect::handle(&self.functions.tokens, request.body(Body::Empty).unwrap()).await)
    }

    pub async fn sign_out(&self, id_token: &str) -> Answer {
        let request = get(&format!("/sign-out?id_token_hint={id_token}"), None);
        Answer::of(revoke::handle(&self.functions.tokens, request).await)
    }

    pub async fn sessions(&self, method: &str, path_and_query: &str) -> Answer {
        let request = http::Request::builder()
            .method(method)
            .uri(path_and_query)
            .header("authorization", basic("portal", &secret_of("portal")));
        Answer::of(sessions::handle(&self.functions.tokens, request.body(Body::Empty).unwrap()).await)
    }

    /// The authorizer's answer; its failure is API Gateway's own 500, which is no denial.
    pub async fn authorize(&self, token: &str) -> Option<bool> {
        let event = json!({"version": "2.0", "type": "REQUEST", "routeArn": "arn", "identitySource": [], "routeKey": "GET /", "rawPath": "/",
            "rawQueryString": "", "headers": {"authorization": format!("Bearer {token}")}, "requestContext": {"http": {"method": "GET"}}});
        let event = serde_json::from_value(event).unwrap();
        let answer = authorizer::handle(&self.functions.authorizer, event, "r".into()).await.ok()?;
        Some(answer.is_authorized)
    }
}

/// The answer to a request that nothing stands in the way of. On a machine with more to do than it can, that may take a
/// few tries: the SDK's time-outs are real.
pub async fn answered(ask: impl AsyncFn() -> Answer) -> Answer {
    reached(ask, || false).await
}

/// The first answer that is not a 503, or that was given after `is_reached`.
pub async fn reached(ask: impl AsyncFn() -> Answer, is_reached: impl Fn() -> bool) -> Answer {
    for _ in 0..15 {
        let answer = ask().await;
        if !answer.is_unavailable() || is_reached() {
            return answer;
        }
    }
    ask().await
}

fn post(party: &str, pairs: &[(&str, &str)]) -> Request {
    http::Request::post("/")
        .header("content-type", FORM)
        .header("authorization", basic(party, &secret_of(party)))
        .body(Body::Text(form(pairs)))
        .unwrap()
}
