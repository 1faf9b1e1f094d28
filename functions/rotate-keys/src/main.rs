//! Composition root: environment → secrets → service → run.

use lambda_http::{Error, LambdaEvent};
use latchkey_token_aws::{RingSecrets, SecretsManagerRing, sdk};
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
    let RotationSettings { signing_keys, verification_keys, ticket_keys, public_keys, librechat_secret, limits } =
        RotationSettings::from_env()?;
    let secrets = RingSecrets {
        signing_keys: signing_keys.clone(),
        verification_keys,
        ticket_keys,
        public_keys,
        librechat_secret,
    };
    let rotator = Rotator { versions: SecretsManagerRing::new(&sdk::config().await, secrets), signing_keys, limits };
    lambda::run_events(async |event: LambdaEvent<RotationEvent>| {
        let audit = RequestAudit::of_invocation("rotate-keys", event.context.request_id);
        let machine = Machine {
            clock: &SystemClock,
            randomness: &SystemRandomness,
            keys: &SystemKeys,
            audit: &audit,
            faulty: telemetry::OBSERVER.faulty,
        };
        handle(&rotator, machine, event.payload).await.map_err(Error::from)
    })
    .await
}
