//! Composition root: environment → clients → service → run.

use std::sync::Arc;

use authorizer::{Authorizer, LiveSessions, handle};
use lambda_http::{Error, LambdaEvent};
use latchkey_token_aws::{Cached, DocumentSecrets, DynamoDbSessions, SecretText, sdk};
use latchkey_token_lambda::{
    lambda, prepare,
    settings::AuthorizerSettings,
    system::SystemClock,
    telemetry::{self, metrics},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let AuthorizerSettings { function, audience, cache_seconds } = AuthorizerSettings::from_env()?;
    let sdk = sdk::config().await;
    let secret = |location: &str| SecretText::at(location, &sdk);
    let secrets = DocumentSecrets { signing_keys: secret(&function.signing_keys), clients: secret(&function.clients) };
    let authorizer = Authorizer {
        store: DynamoDbSessions::new(&sdk, function.settings.table).observed(metrics::store_answered),
        documents: Cached::new(secrets, function.settings.secrets_ttl_seconds).observed(metrics::documents_served),
        policy: function.settings.policy,
        audience,
        live: LiveSessions::new(cache_seconds),
        clock: Arc::new(SystemClock),
    };
    prepare(async { tokio::join!(authorizer.store.connect(), authorizer.documents.warm_up(authorizer.clock.now())) })
        .await;
    lambda::run_events(async |event: LambdaEvent<_>| {
        handle(&authorizer, event.payload, event.context.request_id).await.map_err(Error::from)
    })
    .await
}
