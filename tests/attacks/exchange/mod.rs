//! The exchange for a target: what a tool, or whoever has got hold of its token, tries to make of it.

pub mod deputies;
pub mod requests;
pub mod tokens;

use lambda_http::http::Request;
use serde_json::{Value, json};
use test_support::{FORM, JSON, Tokens, basic, form, keys, secret_of};

use crate::{
    bench::{Bench, post},
    ledger::Row,
};

pub const TOOLS: &str = "https://tools.example.org/mcp";
pub const FILES: &str = "https://files.example.org/mcp";
/// The client that is the target `TOOLS`, and passes on what it is given.
pub const TOOL: &str = "wide";
const CHAT: &str = "librechat";

const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// For the life of a tool's token there is a time of its own.
fn entry(audience: &str, scopes: &[&str]) -> Value {
    json!({"audience": audience, "scopes": scopes, "access_token_seconds": 300})
}

fn with(changes: &[(&str, Value)]) -> String {
    let mut clients = keys::clients();
    for (id, members) in changes {
        let client = clients.iter_mut().find(|client| client["client_id"] == *id).unwrap();
        *client = crate::forge::changed(client, members.clone());
    }
    keys::registrations_of(&clients)
}

/// `librechat` passes its users on to a tool, and that to another one.
fn registrations() -> String {
    with(&[
        (CHAT, json!({"exchange": [entry(TOOLS, &["tools", "read"]), entry(FILES, &["files", "read"])]})),
        ("graceful", json!({"exchange": [entry(TOOLS, &["tools"])]})),
        (TOOL, json!({"audience": [TOOLS], "exchange": [entry(FILES, &["files"])]})),
        ("strict", json!({"audience": [FILES]})),
    ])
}

/// The tool is meant by everybody's tokens.
pub fn registrations_for_everybody() -> String {
    let clients = keys::clients();
    let everybody: Vec<&Value> = clients.iter().map(|client| &client["client_id"]).collect();
    with(&[(TOOL, json!({"audience": everybody, "exchange": [entry(FILES, &["files"])]}))])
}

/// A chat client's session. The authorizer protects the tool.
async fn start(row: Row) -> Bench {
    let bench = Bench::of(row, CHAT, &[("LATCHKEY_AUDIENCE", TOOLS)]).await;
    bench.app.rewrite("clients.json", &registrations());
    bench.settle();
    bench
}

fn own(client: &str) -> String {
    basic(client, &secret_of(client))
}

fn asking<'a>(subject_token: &'a str, target: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("grant_type", TOKEN_EXCHANGE),
        ("subject_token", subject_token),
        ("subject_token_type", ACCESS_TOKEN),
        ("audience", target),
    ]
}

/// By a client that authenticates.
pub fn exchange(client: &str, subject_token: &str, target: &str) -> Request<Vec<u8>> {
    post("/token/renew", Some(&own(client)), FORM, form(&asking(subject_token, target)))
}

/// For `FILES`, with other members than usual.
pub fn exchange_json(client: &str, subject_token: &str, changes: &Value) -> Request<Vec<u8>> {
    let usual = json!({"grant_type": TOKEN_EXCHANGE, "subject_token": subject_token, "subject_token_type": JWT,
        "resource": [FILES]});
    post("/token/renew", Some(&own(client)), JSON, crate::forge::changed(&usual, changes.clone()).to_string())
}

fn behalf<'a>(assertion: &'a str, scope: &'a str) -> [(&'a str, &'a str); 4] {
    [("grant_type", JWT_BEARER), ("assertion", assertion), ("requested_token_use", "on_behalf_of"), ("scope", scope)]
}

/// As LibreChat asks.
pub fn on_behalf_of(client: &str, assertion: &str, scope: &str) -> Request<Vec<u8>> {
    post("/token/renew", Some(&own(client)), FORM, form(&behalf(assertion, scope)))
}

impl Bench {
    /// An honest exchange.
    async fn exchanged(&self, client: &str, subject_token: &str, target: &str) -> Tokens {
        let tokens = self.app.send(exchange(client, subject_token, target)).await.tokens();
        self.row.controlled();
        self.settle();
        tokens
    }

    /// The tool's token, and the one that the tool has got for it.
    async fn chain(&self) -> [Tokens; 2] {
        let tool = self.exchanged(CHAT, self.tokens.access(), TOOLS).await;
        let files = self.exchanged(TOOL, tool.access(), FILES).await;
        [tool, files]
    }
}
