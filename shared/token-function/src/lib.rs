#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

use std::sync::Arc;

use latchkey_token::ports::Clock;
use latchkey_token_aws::{CachedDocuments, DocumentSecrets, DynamoDbSessions, SecretText, sdk};
use latchkey_token_lambda::{
    Service, prepare,
    settings::{FunctionSettings, Settings, SettingsFaults},
    system::{SystemClock, SystemRandomness},
    telemetry::{self, metrics},
};

/// The service of a function that works on sessions, from the process's environment. Starts logging.
pub async fn service() -> Result<Service<DynamoDbSessions, CachedDocuments>, SettingsFaults> {
    telemetry::init();
    let function = FunctionSettings::from_env()?;
    let (store, documents) = store_and_documents(&function).await;
    let Settings { policy, cors, .. } = function.settings;
    let (clock, randomness) = (Arc::new(SystemClock), Arc::new(SystemRandomness));
    Ok(Service { store, documents, policy, cors, clock, randomness })
}

/// The session table, connected to, and the documents, loaded: as far as that takes no longer than a start may. Both tell
/// the metrics what they do. Logs what the documents allow and is rarely meant.
pub async fn store_and_documents(function: &FunctionSettings) -> (DynamoDbSessions, CachedDocuments) {
    let FunctionSettings { settings, signing_keys, clients } = function;
    let sdk = sdk::config().await;
    let secret = |location: &str| SecretText::at(location, &sdk);
    let secrets = DocumentSecrets { signing_keys: secret(signing_keys), clients: secret(clients) };
    let store = DynamoDbSessions::new(&sdk, settings.table.clone()).observed(metrics::store_answered);
    let documents = CachedDocuments::new(secrets, settings.secrets_ttl_seconds).observed(telemetry::OBSERVER);
    let now = SystemClock.now();
    let load = async {
        if let Some(loaded) = documents.warm_up(now).await {
            settings.log_warnings(&loaded);
        }
    };
    prepare(async { tokio::join!(store.connect(), load) }).await;
    (store, documents)
}
