//! Secrets Manager's rotation of the key ring, one step per invocation.

use latchkey_token::{
    json::Faults,
    ports::{Audit, Clock, GenerateKey, Randomness, RingVersions},
    rotation::{Rotation, RotationFault, RotationLimits, Step},
};
use latchkey_token_lambda::lambda::{Arrived, Event};
use serde::Deserialize;

/// What Secrets Manager sends.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RotationEvent {
    pub step: String,
    pub secret_id: String,
    pub client_request_token: String,
}

impl Event for RotationEvent {
    const EXPECTED: &'static str = "a step of Secrets Manager's rotation";

    fn read(arrived: &Arrived<'_>) -> Option<Self> {
        arrived.parse()
    }
}

/// Why a step failed. Secrets Manager shows the text to the operator; nothing has been changed.
#[derive(Debug, thiserror::Error)]
pub enum StepFault {
    #[error("unknown step {0:?}: expected createSecret, setSecret, testSecret or finishSecret")]
    UnknownStep(String),
    #[error("this function rotates {expected}, not {requested}")]
    UnknownSecret { expected: String, requested: String },
    #[error(transparent)]
    Rotation(#[from] RotationFault),
}

/// Everything that a step needs besides the event.
pub struct Rotator<V> {
    pub versions: V,
    /// ARN or name of the one secret that is rotated here.
    pub signing_keys: String,
    pub limits: RotationLimits,
}

/// The machine that a step runs on.
pub struct Machine<'a> {
    pub clock: &'a dyn Clock,
    pub randomness: &'a dyn Randomness,
    pub keys: &'a dyn GenerateKey,
    pub audit: &'a dyn Audit,
    /// Is told of faults in a secret of others, which stops no rotation.
    pub faulty: fn(&'static str, &Faults),
}

/// Takes one step.
pub async fn handle<V: RingVersions>(
    rotator: &Rotator<V>,
    machine: Machine<'_>,
    event: RotationEvent,
) -> Result<(), StepFault> {
    let step = Step::parse(&event.step).ok_or(StepFault::UnknownStep(event.step))?;
    if !names_the_same_secret(&rotator.signing_keys, &event.secret_id) {
        let expected = rotator.signing_keys.clone();
        return Err(StepFault::UnknownSecret { expected, requested: event.secret_id });
    }
    let Machine { clock, randomness, keys, audit, faulty } = machine;
    let rotation =
        Rotation { versions: &rotator.versions, limits: rotator.limits, clock, randomness, keys, audit, faulty };
    Ok(rotation.run(step, &event.client_request_token).await?)
}

/// Secrets Manager names a secret by its ARN, which ends in the name, a hyphen and six characters.
fn names_the_same_secret(configured: &str, requested: &str) -> bool {
    let name = requested.rsplit(":secret:").next().and_then(|resource| resource.rsplit_once('-')).map(|(name, _)| name);
    configured == requested || name == Some(configured)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_by_its_arn_or_its_name_and_no_other_is() {
        let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:latchkey/signing-keys-AbCdEf";
        assert!(names_the_same_secret(arn, arn));
        assert!(names_the_same_secret("latchkey/signing-keys", arn));
        assert!(!names_the_same_secret("signing-keys", arn));
        assert!(!names_the_same_secret("latchkey/clients", arn));
    }
}
