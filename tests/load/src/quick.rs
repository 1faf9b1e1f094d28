//! Chains of renewals at a fixed number of connections, against the local server on a database in a file.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use latchkey::serve::{AuditFeed, DataLocation, Options, Server};
use latchkey_token::keys::Algorithm;
use latchkey_token_lambda::system::SystemClock;
use serde_json::{Value, json};

use crate::{
    deployment::{Deployment, SECRET},
    http::{HttpClient, client, post},
};

#[derive(Args)]
pub struct Arguments {
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

pub async fn run(arguments: Arguments) {
    let algorithm = Algorithm::parse(&arguments.algorithm).expect("an algorithm");
    let directory = tempfile::tempdir().unwrap();
    let server = start(directory.path(), algorithm).await;
    let url = Arc::new(server.url().to_owned());
    let per_chain = arguments.renewals / arguments.connections;

    let mut chains = Vec::new();
    for number in 0..arguments.connections {
        let client = client();
        let body = json!({
            "issuer_id": "portal", "issuer_secret": SECRET, "client_id": "load", "subject": format!("user-{number}"),
            "scope": arguments.scope,
        });
        let issued = tokens(&client, &url, "/token", body).await;
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

async fn start(directory: &Path, algorithm: Algorithm) -> Server {
    let deployment = Deployment::write(directory, algorithm);
    Server::start(Options {
        listen: "127.0.0.1:0".parse().unwrap(),
        data: DataLocation::Directory(directory.join("data")),
        keys: Some(deployment.keys),
        clients: Some(deployment.clients),
        dynamodb_listen: None,
        mcp: None,
        clock: Arc::new(SystemClock),
        environment: Arc::new(|_| None),
        observer: None,
        audit_feed: AuditFeed::default(),
    })
    .await
    .unwrap()
}

async fn chain(client: HttpClient, url: Arc<String>, mut current: Value, renewals: usize) -> Vec<Duration> {
    let mut latencies = Vec::with_capacity(renewals);
    for _ in 0..renewals {
        let body = json!({"refresh_token": current["refresh_token"], "access_token": current["access_token"]});
        let begin = Instant::now();
        current = tokens(&client, &url, "/token/renew", body).await;
        latencies.push(begin.elapsed());
    }
    latencies
}

async fn tokens(client: &HttpClient, url: &str, path: &str, body: Value) -> Value {
    let (status, body) = post(client, url, path, &body).await.unwrap();
    assert_eq!(status, 200, "{}", body["error"]);
    body
}
