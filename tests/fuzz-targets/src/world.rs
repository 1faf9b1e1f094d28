//! A deployment in memory: the example registrations, keys made at run time, a clock that stands still, and randomness
//! that repeats.

use std::sync::{Arc, OnceLock};

use authorize::SignIns;
use discovery::Discovery;
use latchkey_token::{documents::Documents, policy::Policy};
use latchkey_token_lambda::{Body, Request, Response, Service, response::Cors};
use latchkey_token_testkit::{FixedDocuments, InMemorySessions, SeededRandomness, SettableClock, fixture::NOW};
use serde_json::Value;

use crate::placeholders;

pub(crate) const ISSUER: &str = "https://latchkey.example";

/// The clients of the example registrations, the prefix of their placeholders, and their secrets.
const CLIENTS: [(&str, &str, &str); 4] = [
    ("librechat", "", "example-client-secret"),
    ("librechat-oauth", "oauth_", "example-oauth-client-secret"),
    ("spa", "public_", ""),
    ("spa-oauth", "public_oauth_", ""),
];

pub(crate) struct World {
    pub tokens: Service<InMemorySessions, FixedDocuments>,
    pub discovery: Discovery<FixedDocuments>,
    pub sign_ins: SignIns<FixedDocuments>,
}

/// Tokens that were issued for an input.
pub(crate) struct Issued {
    pub client: &'static str,
    secret: &'static str,
    pub tokens: Value,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::of(documents())
    }

    pub(crate) fn of(documents: FixedDocuments) -> Self {
        let clock = Arc::new(SettableClock::at(NOW));
        let discovery = Discovery {
            clients_register: true,
            keys: documents.clone(),
            issuer: ISSUER.into(),
            max_age_seconds: 300,
            cors: Cors::default(),
            clock: clock.clone(),
        };
        let sign_ins = SignIns {
            clients_register: true,
            cors: Cors::default(),
            documents: documents.clone(),
            issuer: ISSUER.into(),
            clock: clock.clone(),
            randomness: Arc::new(SeededRandomness::new(2)),
        };
        let tokens = Service {
            store: InMemorySessions::default(),
            documents,
            policy: Policy::new(ISSUER),
            cors: Cors::default(),
            clock,
            randomness: Arc::new(SeededRandomness::new(1)),
        };
        Self { tokens, discovery, sign_ins }
    }

    /// `/authorize` and `/authorize/return`.
    pub(crate) async fn browse(&self, request: Request) -> Response<Body> {
        authorize::handle(&self.sign_ins, request).await
    }

    /// A call of the portal.
    pub(crate) async fn portal(&self, path: &str, mut body: Value) -> (u16, Value) {
        body["issuer_id"] = "portal".into();
        body["issuer_secret"] = "example-issuer-secret".into();
        let mut request = request(&body);
        *request.uri_mut() = path.parse().unwrap();
        read(issue::handle(&self.tokens, request).await)
    }

    /// Puts tokens of sessions of `alice` into the placeholders of `text`.
    pub(crate) async fn filled(&self, text: &str) -> (String, Vec<Issued>) {
        let (mut filled, mut all) = (text.to_owned(), Vec::new());
        for (client, prefix, secret) in CLIENTS {
            let names = ["refresh_token", "access_token", "id_token", "session_id"];
            let placeholder = |name: &str| format!("{{{{{prefix}{name}}}}}");
            if !names.iter().any(|name| text.contains(&placeholder(name))) {
                continue;
            }
            let tokens = self.issue(client).await;
            for name in names {
                filled = filled.replace(&placeholder(name), tokens[name].as_str().unwrap());
            }
            all.push(Issued { client, secret, tokens });
        }
        (filled, all)
    }

    async fn issue(&self, client: &str) -> Value {
        let body = serde_json::json!({
            "issuer_id": "portal", "issuer_secret": "example-issuer-secret", "subject": "alice", "client_id": client,
        });
        let (status, tokens) = read(issue::handle(&self.tokens, request(&body)).await);
        assert_eq!(status, 200, "{tokens}");
        tokens
    }

    /// Whether the tokens still renew their session.
    pub(crate) async fn renews(&self, issued: &Issued) -> bool {
        let mut body = serde_json::json!({
            "refresh_token": issued.tokens["refresh_token"], "access_token": issued.tokens["access_token"],
            "client_id": issued.client,
        });
        if !issued.secret.is_empty() {
            body["client_secret"] = issued.secret.into();
        }
        read(renew::handle(&self.tokens, request(&body)).await).0 == 200
    }
}

fn documents() -> FixedDocuments {
    static DOCUMENTS: OnceLock<FixedDocuments> = OnceLock::new();
    DOCUMENTS.get_or_init(|| FixedDocuments::new(parsed_documents().clone())).clone()
}

/// The documents of every world.
pub(crate) fn parsed_documents() -> &'static Documents {
    static DOCUMENTS: OnceLock<Documents> = OnceLock::new();
    DOCUMENTS.get_or_init(|| Documents::parse(&ring(), &example_registrations()).unwrap())
}

/// With EdDSA, which signs in a fraction of RS256's time, and the same thing every time.
pub(crate) fn example_registrations() -> String {
    include_str!("../../../local/examples/clients.json").replace("RS256", "EdDSA")
}

pub(crate) fn ring() -> String {
    placeholders::filled(
        r#"{"signing":[{"kid":"{{EdDSA.kid}}","alg":"EdDSA","private_key":"{{EdDSA}}"}],
            "tagging":[{"kid":1,"secret":"KioqKioqKioqKioqKioqKioqKioqKioqKioqKioqKio"}]}"#,
    )
}

fn request(body: &Value) -> Request {
    let mut request = Request::new(Body::Text(body.to_string()));
    request.headers_mut().insert("content-type", "application/json".parse().unwrap());
    request
}

pub(crate) fn read(response: latchkey_token_lambda::Response<Body>) -> (u16, Value) {
    (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap())
}

/// Runs a handler to its end.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}
