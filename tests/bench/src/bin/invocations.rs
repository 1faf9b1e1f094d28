//! Invokes a warm function a number of times, for valgrind to count the instructions. Clock and randomness are fixed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{path::PathBuf, sync::Arc};

use bench::{
    installation::Secrets,
    warm::{Request, Warm},
};
use clap::Parser;
use latchkey_token::keys::Algorithm;
use latchkey_token_lambda::telemetry;
use latchkey_token_testkit::{SeededRandomness, SettableClock, fixture};

#[derive(Parser)]
struct Arguments {
    /// HS256, RS256, ES256 or EdDSA
    #[arg(long)]
    algorithm: String,
    /// A new session instead of a renewal
    #[arg(long)]
    issue: bool,
    /// The exchange of a code instead of a renewal
    #[arg(long, conflicts_with = "issue")]
    exchange: bool,
    /// The exchange of an access token for a target instead of a renewal
    #[arg(long, conflicts_with_all = ["issue", "exchange"])]
    token_exchange: bool,
    #[arg(long)]
    scope: String,
    /// The signing-keys secret in a file
    #[arg(long)]
    signing_keys: PathBuf,
    #[arg(long)]
    clients: PathBuf,
    #[arg(long)]
    invocations: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments = Arguments::parse();
    tracing::subscriber::set_global_default(telemetry::subscriber(std::io::sink, "info")).unwrap();
    let algorithm = Algorithm::parse(&arguments.algorithm).expect("an algorithm");
    let secrets = Secrets {
        signing_keys: std::fs::read_to_string(&arguments.signing_keys).unwrap(),
        clients: std::fs::read_to_string(&arguments.clients).unwrap(),
    };
    let request = match (arguments.issue, arguments.exchange, arguments.token_exchange) {
        (true, _, _) => Request::Issue,
        (_, true, _) => Request::Exchange,
        (_, _, true) => Request::TokenExchange,
        (false, false, false) => Request::Renewal,
    };
    let clock = Arc::new(SettableClock::at(fixture::NOW));
    let randomness = Arc::new(SeededRandomness::new(1));
    let warm = Warm::new(request, algorithm, &arguments.scope, &secrets, clock, randomness).await;
    for _ in 0..arguments.invocations {
        std::hint::black_box(warm.invoke().await);
    }
}
