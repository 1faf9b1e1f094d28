//! A sign-in: its browser, its portal, its client.

use std::sync::{Arc, OnceLock};

use authorize::SignIns;
use form_urlencoded::Serializer;
use lambda_http::{
    Body,
    http::{Request, Response},
};
use latchkey_token_aws::CachedDocuments;
use latchkey_token_lambda::response::Cors;
use serde_json::{Value, json};

use crate::installation::{CALLBACK, ISSUER, Tokens, http_event, invoke};

/// The example of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// What a client asks for.
pub fn authorization_query(client: &str, scope: &str) -> String {
    let pairs = [
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", CALLBACK),
        ("scope", scope),
        ("state", "QW5kIG9uY2UgbW9yZSB0aGUgc3RhdGU"),
        ("nonce", "QW5kIG9uY2UgbW9yZSB0aGUgbm9uY2U"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// What an address carries.
pub fn carried(address: &str, name: &str) -> String {
    let (_, query) = address.split_once('?').unwrap_or_else(|| panic!("{address}"));
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(own, _)| own == name).unwrap_or_else(|| panic!("{address}")).1.into_owned()
}

/// The body of an exchange.
pub fn exchange_form(code: &str) -> String {
    Serializer::new(String::new()).extend_pairs(exchanged(code)).finish()
}

fn exchanged(code: &str) -> [(&'static str, &str); 4] {
    [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)]
}

/// The begin of a sign-in, in a browser that has no cookie yet.
pub fn begin_event(client: &str, scope: &str) -> Value {
    http_event("GET", "/authorize", &authorization_query(client, scope), None, None)
}

/// The exchange of a code.
pub fn exchange_event(client: &str, code: &str) -> Value {
    let body: Value = exchanged(code).into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
    http_event("POST", "/token/renew", "", Some(client), Some(&body))
}

/// The portal accepts a ticket; the answer that the browser takes back.
pub async fn accept(tokens: &Tokens, ticket: &str) -> String {
    let claims = json!({"email": "alice@example.org", "name": "Alice Example", "preferred_username": "alice"});
    let body = json!({"ticket": ticket, "subject": "alice", "claims": claims});
    let answer = invoke(tokens, &http_event("POST", "/authorize/accept", "", Some("portal"), Some(&body))).await;
    assert_eq!(answer["statusCode"], 200, "{answer}");
    let answer: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    carried(answer["redirect_to"].as_str().unwrap(), "answer")
}

/// A member of the tokens that an exchange gave, in API Gateway's form.
fn token(exchanged: &Value, name: &str) -> String {
    assert_eq!(exchanged["statusCode"], 200, "{exchanged}");
    let tokens: Value = serde_json::from_str(exchanged["body"].as_str().unwrap()).unwrap();
    tokens[name].as_str().unwrap().to_owned()
}

/// The bearer asks who they are.
pub async fn userinfo(tokens: &Tokens, exchanged: &Value) {
    let bearer = format!("Bearer {}", token(exchanged, "access_token"));
    let request = Request::get("/userinfo").header("authorization", bearer).body(Body::Empty).unwrap();
    assert_eq!(introspect::handle(tokens, request).await.status(), 200);
}

/// The browser signs out.
pub async fn sign_out(tokens: &Tokens, exchanged: &Value) {
    let path = format!("/sign-out?id_token_hint={}", token(exchanged, "id_token"));
    let answer = revoke::handle(tokens, Request::get(path).body(Body::Empty).unwrap()).await;
    assert_eq!(answer.status(), 200, "the portal of the benchmarks has no page for it");
}

/// A browser on its way through a sign-in, with the function that it meets.
pub struct Browser {
    sign_ins: SignIns<Arc<CachedDocuments>>,
    /// Set once.
    cookie: OnceLock<String>,
}

impl Browser {
    pub fn new(tokens: &Tokens) -> Self {
        let sign_ins = SignIns {
            clients_register: false,
            cors: Cors::default(),
            documents: Arc::clone(&tokens.documents),
            issuer: ISSUER.into(),
            clock: Arc::clone(&tokens.clock),
            randomness: Arc::clone(&tokens.randomness),
        };
        Self { sign_ins, cookie: OnceLock::new() }
    }

    async fn get(&self, path: &str) -> Response<Body> {
        let cookie = self.cookie.get().map_or("", String::as_str);
        let request = Request::get(path).header("cookie", cookie).body(Body::Empty).unwrap();
        let answer = authorize::handle(&self.sign_ins, request).await;
        assert_eq!(answer.status(), 302, "{path}");
        answer
    }

    /// The ticket that the portal gets.
    pub async fn begin(&self, client: &str, scope: &str) -> String {
        let answer = self.get(&format!("/authorize?{}", authorization_query(client, scope))).await;
        let set = answer.headers()["set-cookie"].to_str().unwrap();
        self.cookie.set(set.split(';').next().unwrap().to_owned()).expect("a new browser");
        carried(answer.headers()["location"].to_str().unwrap(), "ticket")
    }

    /// The code that the client gets.
    pub async fn come_back(&self, answer: &str) -> String {
        let query = Serializer::new(String::new()).append_pair("answer", answer).finish();
        let answer = self.get(&format!("/authorize/return?{query}")).await;
        carried(answer.headers()["location"].to_str().unwrap(), "code")
    }
}
