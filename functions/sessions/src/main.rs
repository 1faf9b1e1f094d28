//! Composition root: environment → clients → service → run.

use std::sync::Arc;

use latchkey_token_aws::{Cached, DocumentSecrets, DynamoDbSessions, SecretText, sdk};
use latchkey_token_lambda::{
    Service, lambda, prepare,
    settings::FunctionSettings,
    system::{SystemClock, SystemRandomness},
    telemetry::{self, metrics},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let FunctionSettings { settings, signing_keys, clients } = FunctionSettings::from_env()?;
    let sdk = sdk::config().await;
    let secret = |location: &str| SecretText::at(location, &sdk);
    let secrets = DocumentSecrets { signing_keys: secret(&signing_keys), clients: secret(&clients) };
    let service = Service {
        store: DynamoDbSessions::new(&sdk, settings.table).observed(metrics::store_answered),
        documents: Cached::new(secrets, settings.secrets_ttl_seconds).observed(metrics::documents_served),
        policy: settings.policy,
        cors: settings.cors,
        clock: Arc::new(SystemClock),
        randomness: Arc::new(SystemRandomness),
    };
    prepare(async { tokio::join!(service.store.connect(), service.documents.warm_up(service.clock.now())) }).await;
    lambda::run(|request| sessions::handle(&service, request)).await
}
