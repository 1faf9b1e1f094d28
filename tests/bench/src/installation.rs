//! An installation in miniature: keys, registrations, a table, sessions in it, and an event for every function.

use std::{collections::BTreeMap, sync::Arc};

use aws_config::SdkConfig;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use dynoxide::Database;
use lambda_http::{Context, LambdaEvent};
use latchkey::serve::dynamodb::{Observer, embedded};
use latchkey_token::{
    keys::{Algorithm, thumbprint},
    policy::Policy,
    ports::{Clock, DerivedDocument, DocumentSource, Randomness},
    rotation::Derived,
    routes::Function,
};
use latchkey_token_aws::{CachedDocuments, DocumentSecrets, DynamoDbSessions, SecretText, table};
use latchkey_token_lambda::{
    Service,
    lambda::{self, HttpEvent, Incoming},
    response::Cors,
    system::{SystemClock, SystemRandomness, generate_private_key},
    telemetry::{
        self,
        metrics::{self, Meter},
    },
};
use serde_json::{Value, json};

use crate::sign_in;

/// Where sign-ins come back to, and where the portal is.
pub const CALLBACK: &str = "https://chat.example.org/oauth/openid/callback";
const SIGN_IN_URL: &str = "https://portal.example.org/sign-in";
pub const ISSUER: &str = "https://latchkey.example";
pub const TABLE: &str = "latchkey";
pub const SIGNING_KEYS: &str = "latchkey/signing-keys";
pub const CLIENTS: &str = "latchkey/clients";
pub const VERIFICATION_KEYS: &str = "latchkey/verification-keys";
pub const TICKET_KEYS: &str = "latchkey/ticket-keys";
pub const PUBLIC_KEYS: &str = "latchkey/public-keys";
/// The version of the key ring that a rotation is about to finish.
pub const PENDING: &str = "5a4f1b7c-0000-4000-8000-000000000001";

/// Credentials of the issuer and of every client; the installation lives as long as the run.
pub const SECRET: &str = "bench";

/// What a user's token is exchanged for.
const TOOL: &str = "https://tools.example.org/mcp";

/// The algorithms that are compared, each with a client of its own.
pub const ALGORITHMS: [Algorithm; 4] = [Algorithm::Hs256, Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];

/// Key ring and registrations, as the secrets hold them.
#[derive(Clone)]
pub struct Secrets {
    pub signing_keys: String,
    pub clients: String,
}

impl Secrets {
    /// New keys: for every asymmetric algorithm one that signs and the next, as rotation leaves them.
    pub fn generate() -> Self {
        let mut signing = Vec::new();
        for algorithm in ALGORITHMS.into_iter().filter(|algorithm| !algorithm.is_symmetric()) {
            for sign_from in [0, latchkey_token::keys::NOT_YET] {
                let private_key = generate_private_key(algorithm).unwrap();
                let kid = thumbprint(algorithm, &private_key).unwrap();
                signing.push(json!({
                    "kid": kid.as_str(), "alg": algorithm.name(), "private_key": private_key, "sign_from": sign_from,
                }));
            }
        }
        let random = || {
            let mut bytes = [0; 32];
            SystemRandomness.fill(&mut bytes).unwrap();
            URL_SAFE_NO_PAD.encode(bytes)
        };
        signing.push(json!({"kid": "librechat-hs", "alg": "HS256", "secret": random()}));
        let ring = json!({
            "signing": signing, "tagging": [{"kid": 1, "secret": random()}], "audit": {"secret": random()},
        });
        Self { signing_keys: ring.to_string(), clients: registrations().to_string() }
    }

    /// Only the keys that a new deployment has: of RS256.
    pub fn of_a_new_deployment(&self) -> Self {
        let mut ring: Value = serde_json::from_str(&self.signing_keys).unwrap();
        ring["signing"].as_array_mut().unwrap().retain(|key| key["alg"] == "RS256");
        let mut clients: Value = serde_json::from_str(&self.clients).unwrap();
        clients["clients"].as_array_mut().unwrap().retain(|client| client["alg"] == "RS256");
        clients["issuers"][0]["clients"] = json!([client_of(Algorithm::Rs256)]);
        Self { signing_keys: ring.to_string(), clients: clients.to_string() }
    }
}

/// The client whose access tokens are signed with `algorithm`.
pub fn client_of(algorithm: Algorithm) -> String {
    format!("librechat-{}", algorithm.name().to_lowercase())
}

fn registrations() -> Value {
    let clients: Vec<_> = ALGORITHMS
        .into_iter()
        .map(|algorithm| {
            json!({
                "client_id": client_of(algorithm), "type": "confidential", "secret_sha256": [sha256_of_secret()],
                "alg": algorithm.name(), "kid": algorithm.is_symmetric().then_some("librechat-hs"),
                "audience": ["librechat"], "scopes": ["openid", "profile", "email"],
                "claims": ["email", "name", "preferred_username"], "redirect_uris": [CALLBACK],
                "exchange": if algorithm.is_symmetric() { json!([]) } else { json!([{"audience": TOOL, "scopes": ["tools"]}]) },
            })
        })
        .collect();
    json!({
        "issuers": [{
            "issuer_id": "portal", "secret_sha256": [sha256_of_secret()],
            "clients": ALGORITHMS.into_iter().map(client_of).collect::<Vec<_>>(), "sign_in_url": SIGN_IN_URL,
        }],
        "clients": clients,
    })
}

fn sha256_of_secret() -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, SECRET.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The functions that work on sessions, in this process.
pub type Tokens = Service<DynamoDbSessions, Arc<CachedDocuments>>;

/// Makes them from their parts.
pub async fn tokens(
    sdk: &SdkConfig,
    secrets: &Secrets,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
) -> Tokens {
    let secrets = DocumentSecrets {
        signing_keys: SecretText::Inline(secrets.signing_keys.clone()),
        clients: SecretText::Inline(secrets.clients.clone()),
    };
    Service {
        store: DynamoDbSessions::new(sdk, TABLE).observed(metrics::store_answered),
        documents: Arc::new(CachedDocuments::new(secrets, 300).observed(telemetry::OBSERVER)),
        policy: Policy::new(ISSUER),
        cors: Cors::default(),
        clock,
        randomness,
    }
}

/// Tokens of one session, as a client keeps them.
#[derive(Clone, Debug)]
pub struct Session {
    pub client: String,
    pub access_token: String,
    pub refresh_token: String,
}

impl Session {
    /// From an answer of issue or renew in API Gateway's form.
    pub fn from_answer(client: &str, answer: &Value) -> Self {
        assert_eq!(answer["statusCode"], 200, "{answer}");
        let tokens: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
        Self { client: client.to_owned(), access_token: text("access_token"), refresh_token: text("refresh_token") }
    }
}

/// Keys, registrations and a table in memory.
pub struct Installation {
    pub secrets: Secrets,
    pub database: Database,
    pub tokens: Tokens,
}

impl Installation {
    pub async fn new(secrets: Secrets) -> Self {
        Self::observed(secrets, Arc::new(SystemClock), Arc::new(SystemRandomness), None).await
    }

    /// `observer` is told of every request to the table.
    pub async fn observed(
        secrets: Secrets,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
        observer: Option<Observer>,
    ) -> Self {
        let database = Database::memory().unwrap();
        let sdk = embedded(database.clone(), observer).await;
        table::create_if_missing(&sdk, TABLE).await.unwrap();
        let tokens = tokens(&sdk, &secrets, clock, randomness).await;
        Self { secrets, database, tokens }
    }

    /// What Secrets Manager holds.
    pub async fn secret_values(&self) -> BTreeMap<String, String> {
        let documents = self.tokens.documents.current(self.tokens.clock.now()).await.unwrap();
        let derived = Derived::of(&documents.keys, &self.secrets.signing_keys).unwrap();
        BTreeMap::from([
            (SIGNING_KEYS.to_owned(), self.secrets.signing_keys.clone()),
            (CLIENTS.to_owned(), self.secrets.clients.clone()),
            (VERIFICATION_KEYS.to_owned(), derived.text(DerivedDocument::VerificationKeys)),
            (TICKET_KEYS.to_owned(), derived.text(DerivedDocument::TicketKeys)),
            (PUBLIC_KEYS.to_owned(), derived.text(DerivedDocument::PublicKeys)),
        ])
    }

    /// Settings of every function.
    pub fn environment() -> Vec<(String, String)> {
        let settings = [
            ("LATCHKEY_ISSUER", ISSUER),
            ("LATCHKEY_TABLE", TABLE),
            ("LATCHKEY_SIGNING_KEYS", SIGNING_KEYS),
            ("LATCHKEY_CLIENTS", CLIENTS),
            ("LATCHKEY_VERIFICATION_KEYS", VERIFICATION_KEYS),
            ("LATCHKEY_TICKET_KEYS", TICKET_KEYS),
            ("LATCHKEY_PUBLIC_KEYS", PUBLIC_KEYS),
            ("LATCHKEY_AUDIENCE", "librechat"),
        ];
        settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    pub async fn issue(&self, client: &str, subject: &str, scope: &str) -> Session {
        Session::from_answer(client, &self.invoke(&issue_event(client, subject, scope)).await)
    }

    /// One event through the handler of issue or renew, as the Lambda runtime calls it.
    pub async fn invoke(&self, event: &Value) -> Value {
        invoke(&self.tokens, event).await
    }
}

/// One event through the handler of issue or renew, as Lambda's host calls it: from bytes to bytes, metrics included, the
/// Runtime API's HTTP and the writing of log lines left out.
pub async fn invoke_bytes(tokens: &Tokens, meter: &Meter, event: &[u8]) -> Vec<u8> {
    let Ok(Incoming::Expected(payload)) = serde_json::from_slice(event) else { panic!("no request") };
    let is_renewal = matches!(&payload, HttpEvent::V2(payload) if payload.raw_path.as_deref() == Some("/token/renew"));
    let context = Context::default();
    let event = LambdaEvent::new(payload, context.clone());
    if is_renewal {
        let answer = Box::pin(lambda::answer(Function::Renew, event, |request| renew::handle(tokens, request)));
        serde_json::to_vec(&meter.measure(&context, answer).await.0.unwrap()).unwrap()
    } else {
        let answer = Box::pin(lambda::answer(Function::Issue, event, |request| issue::handle(tokens, request)));
        serde_json::to_vec(&meter.measure(&context, answer).await.0.unwrap()).unwrap()
    }
}

pub async fn invoke(tokens: &Tokens, event: &Value) -> Value {
    serde_json::from_slice(&invoke_bytes(tokens, &Meter::default(), as_sent(event).as_bytes()).await).unwrap()
}

/// The event's text in API Gateway's order: functions tell events apart by its first two members.
pub fn as_sent(event: &Value) -> String {
    let Value::Object(mut members) = event.clone() else { return event.to_string() };
    let mut first = |name: &str| members.remove(name).unwrap_or_default();
    let (version, key) = (first("version"), first("routeKey"));
    let rest = Value::Object(members).to_string();
    format!("{{\"version\":{version},\"routeKey\":{key},{}", rest.trim_start_matches('{'))
}

/// An event of an HTTP API, payload 2.0.
pub(crate) fn http_event(method: &str, path: &str, query: &str, basic: Option<&str>, body: Option<&Value>) -> Value {
    let mut event = json!({
        "version": "2.0", "routeKey": format!("{method} {path}"), "rawPath": path, "rawQueryString": query,
        "headers": {
            "accept": "*/*", "content-type": "application/json", "host": "api.example.org", "user-agent": "bench/1",
            "x-amzn-trace-id": "Root=1-00000000-000000000000000000000000", "x-forwarded-for": "192.0.2.10",
            "x-forwarded-port": "443", "x-forwarded-proto": "https",
        },
        "requestContext": {
            "accountId": "123456789012", "apiId": "api", "domainName": "api.example.org", "domainPrefix": "api",
            "http": {
                "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.10",
                "userAgent": "bench/1",
            },
            "requestId": "example-request", "routeKey": format!("{method} {path}"), "stage": "$default",
            "time": "23/Nov/2026:20:00:00 +0000", "timeEpoch": 1_795_464_000_000_u64,
        },
        "isBase64Encoded": false,
    });
    if let Some(user) = basic {
        let credentials = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{SECRET}"));
        event["headers"]["authorization"] = format!("Basic {credentials}").into();
    }
    if let Some(body) = body {
        event["body"] = body.to_string().into();
    }
    event
}

/// A new session with claims as an installation of LibreChat has them.
pub fn issue_event(client: &str, subject: &str, scope: &str) -> Value {
    let claims = json!({
        "email": format!("{subject}@example.org"), "name": "Alice Example", "preferred_username": subject,
    });
    let body = json!({"client_id": client, "subject": subject, "scope": scope, "claims": claims});
    http_event("POST", "/token", "", Some("portal"), Some(&body))
}

/// The renewal of a session.
pub fn renew_event(session: &Session) -> Value {
    let body = json!({"refresh_token": session.refresh_token, "access_token": session.access_token});
    http_event("POST", "/token/renew", "", Some(&session.client), Some(&body))
}

/// The exchange of a session's access token for a target.
pub fn token_exchange_event(session: &Session) -> Value {
    let body = json!({
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": session.access_token,
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token", "resource": TOOL,
    });
    http_event("POST", "/token/renew", "", Some(&session.client), Some(&body))
}

/// An event for every function but issue and renew, which `session` makes it a success of.
pub fn other_event(function: &str, session: &Session) -> Value {
    match function {
        "revoke" => {
            let body = json!({"token": session.refresh_token});
            http_event("POST", "/token/revoke", "", Some(&session.client), Some(&body))
        }
        "introspect" => {
            let body = json!({"token": session.access_token});
            http_event("POST", "/token/introspect", "", Some("portal"), Some(&body))
        }
        "sessions" => http_event("GET", "/sessions", "subject=alice", Some("portal"), None),
        "discovery" => http_event("GET", "/.well-known/jwks.json", "", None, None),
        "authorize" => sign_in::begin_event(&session.client, "openid profile email"),
        "authorizer" => {
            let bearer = format!("Bearer {}", session.access_token);
            let mut event = http_event("GET", "/agents", "", None, None);
            event["type"] = "REQUEST".into();
            event["routeArn"] = "arn:aws:execute-api:eu-central-1:123456789012:api/$default/GET/agents".into();
            event["identitySource"] = json!([bearer.clone()]);
            event["headers"]["authorization"] = bearer.into();
            event
        }
        "rotate-keys" => json!({"Step": "testSecret", "SecretId": SIGNING_KEYS, "ClientRequestToken": PENDING}),
        _ => panic!("no event for {function}"),
    }
}

/// Whether `answer` is the success that the event asks for.
pub fn accept(function: &str, answer: &Value) {
    let is_success = match function {
        "rotate-keys" => answer.is_null(),
        "authorizer" => answer["isAuthorized"] == true,
        "introspect" => answer["body"].as_str().is_some_and(|body| body.contains(r#""active":true"#)),
        "hello" | "hello-aws" => answer["body"] == "hello",
        "authorize" => answer["statusCode"] == 302,
        _ => answer["statusCode"] == 200,
    };
    assert!(is_success, "{function}: {answer}");
}
