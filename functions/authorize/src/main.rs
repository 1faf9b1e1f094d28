//! Composition root: environment → secrets → service → run.

use std::sync::Arc;

use authorize::SignIns;
use latchkey_token::{ports::Clock, routes::Function};
use latchkey_token_aws::{CachedSignInDocuments, SecretText, sdk};
use latchkey_token_lambda::{
    lambda, prepare,
    settings::SignInSettings,
    system::{SystemClock, SystemRandomness},
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let SignInSettings { issuer, ticket_keys, clients, secrets_ttl_seconds, cors, dynamic_clients } =
        SignInSettings::from_env()?;
    let sdk = sdk::config().await;
    let secret = |location: &str| SecretText::at(location, &sdk);
    let documents = CachedSignInDocuments::new(secret(&ticket_keys), secret(&clients), secrets_ttl_seconds);
    let documents = documents.observed(telemetry::OBSERVER);
    prepare(documents.warm_up(SystemClock.now())).await;
    let (clock, randomness) = (Arc::new(SystemClock), Arc::new(SystemRandomness));
    let sign_ins = SignIns { documents, issuer, clock, randomness, cors, clients_register: dynamic_clients };
    lambda::run(Function::Authorize, |request| authorize::handle(&sign_ins, request)).await
}
