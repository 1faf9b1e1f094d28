#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

use std::sync::Arc;

use latchkey_token::{keys::KeyRing, ports::Clock};
use latchkey_token_aws::{CachedDocuments, CachedVerifyingDocuments, Document, DynamoDbSessions, SecretText, sdk};
use latchkey_token_lambda::{
    Service, prepare,
    settings::{FunctionSettings, Settings, SettingsFaults, VerifyingSettings},
    system::{SystemClock, SystemRandomness},
    telemetry::{self, metrics},
};

/// The service of a function that signs, from the process's environment. Starts logging.
pub async fn service() -> Result<Service<DynamoDbSessions, CachedDocuments>, SettingsFaults> {
    telemetry::init();
    let FunctionSettings { settings, signing_keys, clients } = FunctionSettings::from_env()?;
    let sdk = sdk::config().await;
    let secret = |location: &str| SecretText::at(location, &sdk);
    let store = DynamoDbSessions::new(&sdk, settings.table.clone());
    let (store, documents) = started(store, secret(&signing_keys), secret(&clients), &settings).await;
    Ok(of(store, documents, settings))
}

/// The service of a function that works on sessions and signs nothing, from the process's environment. Starts logging.
pub async fn verifying_service() -> Result<Service<DynamoDbSessions, CachedVerifyingDocuments>, SettingsFaults> {
    telemetry::init();
    let function = VerifyingSettings::from_env()?;
    let (store, documents) = store_and_verifying_documents(&function).await;
    Ok(of(store, documents, function.settings))
}

/// The session table, connected to, and the documents of a function that signs nothing, loaded: as far as that takes no
/// longer than a start may. Both tell the metrics what they do. Logs what the documents allow and is rarely meant.
pub async fn store_and_verifying_documents(
    function: &VerifyingSettings,
) -> (DynamoDbSessions, CachedVerifyingDocuments) {
    let VerifyingSettings { settings, verification_keys, clients } = function;
    let sdk = sdk::config().await;
    let secret = |location: &str| SecretText::at(location, &sdk);
    let store = DynamoDbSessions::new(&sdk, settings.table.clone());
    started(store, secret(verification_keys), secret(clients), settings).await
}

async fn started<K: Document<Read = KeyRing>>(
    store: DynamoDbSessions,
    keys: SecretText,
    clients: SecretText,
    settings: &Settings,
) -> (DynamoDbSessions, CachedDocuments<K>) {
    let store = store.observed(metrics::store_answered);
    let documents = CachedDocuments::of(keys, clients, settings.secrets_ttl_seconds).observed(telemetry::OBSERVER);
    let now = SystemClock.now();
    let load = async {
        if let Some(loaded) = documents.warm_up(now).await {
            settings.log_warnings(&loaded);
        }
    };
    prepare(async { tokio::join!(store.connect(), load) }).await;
    (store, documents)
}

fn of<D>(store: DynamoDbSessions, documents: D, settings: Settings) -> Service<DynamoDbSessions, D> {
    let Settings { policy, cors, .. } = settings;
    let (clock, randomness) = (Arc::new(SystemClock), Arc::new(SystemRandomness));
    Service { store, documents, policy, cors, clock, randomness }
}
