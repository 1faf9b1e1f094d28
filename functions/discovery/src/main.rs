//! Composition root: environment → secret → service → run.

use std::sync::Arc;

use discovery::Discovery;
use latchkey_token::{ports::Clock, routes::Function};
use latchkey_token_aws::{CachedPublicKeys, SecretText, sdk};
use latchkey_token_lambda::{lambda, prepare, settings::DiscoverySettings, system::SystemClock, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let (settings, public_keys) = DiscoverySettings::from_env()?;
    let sdk = sdk::config().await;
    let secret = SecretText::at(&public_keys, &sdk);
    let keys = CachedPublicKeys::new(secret, settings.secrets_ttl_seconds).observed(telemetry::OBSERVER);
    prepare(keys.warm_up(SystemClock.now())).await;
    let discovery = Discovery::new(keys, settings, Arc::new(SystemClock));
    lambda::run(Function::Discovery, |request| discovery::handle(&discovery, request)).await
}
