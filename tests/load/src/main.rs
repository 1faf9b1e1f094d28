//! Chains of renewals at a fixed number of connections, against the local server on a database in a file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Parser;
use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use latchkey::serve::{AuditFeed, DataLocation, Options, Server};
use latchkey_token::keys::{Algorithm, thumbprint};
use latchkey_token_lambda::system::{SystemClock, generate_private_key};
use serde_json::{Value, json};

/// Measure renewals per second and their latency at the local server.
#[derive(Parser)]
struct Arguments {
    /// Chains of renewals, each on a connection of its own
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Renewals in all
    #[arg(long, default_value_t = 20_000)]
    renewals: usize,
    /// RS256, PS256, ES256 or EdDSA
    #[arg(long, default_value = "RS256")]
    algorithm: String,
    /// Scopes of the sessions; with openid an ID token is signed as well
    #[arg(long, default_value = "openid profile email")]
    scope: String,
}

type HttpClient = Client<HttpConnector, Full<Bytes>>;

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let algorithm = Algorithm::parse(&arguments.algorithm).expect("an algorithm");
    let directory = tempfile::tempdir().unwrap();
    let server = start(directory.path(), algorithm).await;
    let url = Arc::new(server.url().to_owned());
    let per_chain = arguments.renewals / arguments.connections;

    let mut chains = Vec::new();
    for number in 0..arguments.connections {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let user = format!("user-{number}");
        let body = json!({
            "issuer_id": "portal", "issuer_secret": "load", "subject": user, "scope": arguments.scope,
        });
        let issued = post(&client, &url, "/token", body).await;
        chains.push((client, issued));
    }
    let begin = Instant::now();
    let tasks: Vec<_> = chains
        .into_iter()
        .map(|(client, tokens)| tokio::spawn(chain(client, Arc::clone(&url), tokens, per_chain)))
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.unwrap());
    }
    let elapsed = begin.elapsed();
    server.stop().await;

    latencies.sort_unstable();
    let percentile = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    println!(
        "{algorithm}, {} connections, {} renewals in {:.2} s: {:.0} renewals/s, p50 {:.2} ms, p99 {:.2} ms",
        arguments.connections,
        latencies.len(),
        elapsed.as_secs_f64(),
        latencies.len() as f64 / elapsed.as_secs_f64(),
        percentile(0.5),
        percentile(0.99),
    );
}

async fn start(directory: &std::path::Path, algorithm: Algorithm) -> Server {
    let pem = generate_private_key(algorithm).unwrap();
    let kid = thumbprint(algorithm, &pem).unwrap();
    let ring = json!({
        "signing": [{"kid": kid.as_str(), "alg": algorithm.name(), "private_key": pem}],
        "tagging": [{"kid": 1, "secret": "A".repeat(43)}],
    });
    // SHA-256 of "load".
    let hash = "0cf67fc72b3c86c7a454f6d86b43ed245a8e491d0e5288d4da8c7ff43a7bcdb0";
    let registry = json!({
        "issuers": [{"issuer_id": "portal", "secret_sha256": [hash], "clients": ["load"]}],
        "clients": [{"client_id": "load", "type": "public", "alg": algorithm.name(), "audience": ["load"],
            "scopes": ["openid", "profile", "email"]}],
    });
    let file = |name: &str, content: Value| {
        let path = directory.join(name);
        std::fs::write(&path, content.to_string()).unwrap();
        Some(path)
    };
    Server::start(Options {
        listen: "127.0.0.1:0".parse().unwrap(),
        data: DataLocation::Directory(directory.join("data")),
        keys: file("keys.json", ring),
        clients: file("clients.json", registry),
        dynamodb_listen: None,
        clock: Arc::new(SystemClock),
        environment: Arc::new(|_| None),
        observer: None,
        audit_feed: AuditFeed::default(),
    })
    .await
    .unwrap()
}

async fn chain(client: HttpClient, url: Arc<String>, mut tokens: Value, renewals: usize) -> Vec<Duration> {
    let mut latencies = Vec::with_capacity(renewals);
    for _ in 0..renewals {
        let body = json!({"refresh_token": tokens["refresh_token"], "access_token": tokens["access_token"]});
        let begin = Instant::now();
        tokens = post(&client, &url, "/token/renew", body).await;
        latencies.push(begin.elapsed());
    }
    latencies
}

async fn post(client: &HttpClient, url: &str, path: &str, body: Value) -> Value {
    let request = Request::post(format!("{url}{path}"))
        .header("content-type", "application/json")
        .body(Full::from(body.to_string()))
        .unwrap();
    let answer = client.request(request).await.unwrap();
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap()
}
