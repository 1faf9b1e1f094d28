//! Composition root.

use std::sync::Arc;

use authorizer::{Authorizer, LiveSessions, handle};
use lambda_http::{Error, LambdaEvent};
use latchkey_token_function::store_and_verifying_documents;
use latchkey_token_lambda::{lambda, settings::AuthorizerSettings, system::SystemClock, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let AuthorizerSettings { function, audience, cache_seconds } = AuthorizerSettings::from_env()?;
    let (store, documents) = store_and_verifying_documents(&function).await;
    let policy = function.settings.policy;
    let live = LiveSessions::new(cache_seconds);
    let authorizer = Authorizer { store, documents, policy, audience, live, clock: Arc::new(SystemClock) };
    lambda::run_events(async |event: LambdaEvent<_>| {
        handle(&authorizer, event.payload, event.context.request_id).await.map_err(Error::from)
    })
    .await
}
