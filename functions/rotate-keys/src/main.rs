//! Composition root: environment → secrets → service → run.

use lambda_http::{Error, LambdaEvent};
use latchkey_token_aws::{SecretsManagerRing, sdk};
use latchkey_token_lambda::{
    lambda,
    settings::RotationSettings,
    system::{SystemClock, SystemKeys, SystemRandomness},
    telemetry::{self, RequestAudit},
};
use rotate_keys::{Machine, RotationEvent, Rotator, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let settings = RotationSettings::from_env()?;
    let signing_keys = settings.signing_keys.clone();
    let versions = SecretsManagerRing::new(
        &sdk::config().await,
        settings.signing_keys,
        settings.public_keys,
        settings.librechat_secret,
    );
    let rotator = Rotator { versions, signing_keys, limits: settings.limits };
    lambda::run_events(async |event: LambdaEvent<RotationEvent>| {
        let audit = RequestAudit::of_invocation("rotate-keys", event.context.request_id);
        let machine = Machine { clock: &SystemClock, randomness: &SystemRandomness, keys: &SystemKeys, audit: &audit };
        handle(&rotator, machine, event.payload).await.map_err(Error::from)
    })
    .await
}
