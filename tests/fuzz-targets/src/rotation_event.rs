//! Secrets Manager's rotation events, in any order and number.

use std::{
    collections::BTreeMap,
    sync::{Mutex, OnceLock},
};

use latchkey_token::{
    audit::Event,
    failure::Unavailable,
    keys::{Algorithm, KeyRing},
    ports::{
        Audit, CurrentRing, DerivedDocument, GenerateKey, LibreChatSecret, Promotion, RingVersions, VersionStages,
    },
    rotation::{RingDocument, RotationFault, RotationLimits},
    values::Timestamp,
};
use latchkey_token_lambda::system::generate_private_key;
use latchkey_token_testkit::{SeededRandomness, SettableClock};
use rotate_keys::{Machine, RotationEvent, Rotator, StepFault, handle};

use crate::{Outcome, text, world::block_on};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
const SECRET: &str = "latchkey/signing-keys";
/// More lines than a rotation has steps, and more would only be slow.
const MOST_LINES: usize = 24;

/// One line of the input is an event, `start VERSION` (what RotateSecret does before it calls the function) or `advance
/// SECONDS`. A step that fails has changed nothing and says nothing of any key; one that succeeds and comes again
/// changes nothing more; at every moment the ring in force is one that functions load, it signs from its first rotation
/// on, and verifiers know every key that signs.
pub fn rotation_event(data: &[u8]) -> Outcome {
    let Some(text) = text(data) else { return Outcome::Unused };
    let world = World::default();
    let mut outcome = Outcome::Unused;
    for line in text.lines().take(MOST_LINES) {
        if let Some(version) = line.strip_prefix("start ") {
            world.start(version);
        } else if let Some(seconds) = line.strip_prefix("advance ") {
            world.clock.advance(seconds.parse().unwrap_or(1).min(31_536_000));
        } else if let Ok(event) = serde_json::from_str::<RotationEvent>(line) {
            let is_taken = world.step(event);
            if is_taken || outcome == Outcome::Unused {
                outcome = if is_taken { Outcome::Accepted } else { Outcome::Refused };
            }
        }
        world.assert_in_order();
    }
    outcome
}

#[derive(Clone, PartialEq)]
struct Secrets {
    values: BTreeMap<String, String>,
    current: String,
    pending: Option<String>,
    published: BTreeMap<&'static str, String>,
}

struct World {
    rotator: Rotator<Versions>,
    clock: SettableClock,
    randomness: SeededRandomness,
    keys: MadeBefore,
}

struct Versions(Mutex<Secrets>);

impl Default for World {
    fn default() -> Self {
        let empty = r#"{"signing":[],"tagging":[]}"#.to_owned();
        let secrets = Secrets {
            values: BTreeMap::from([("0".to_owned(), empty)]),
            current: "0".to_owned(),
            pending: None,
            published: BTreeMap::new(),
        };
        let limits = RotationLimits { secrets_ttl_seconds: 300, jwks_seconds: 300 };
        Self {
            rotator: Rotator { versions: Versions(Mutex::new(secrets)), signing_keys: SECRET.to_owned(), limits },
            clock: SettableClock::at(NOW),
            randomness: SeededRandomness::new(1),
            keys: MadeBefore::default(),
        }
    }
}

impl World {
    fn secrets(&self) -> Secrets {
        self.rotator.versions.0.lock().unwrap().clone()
    }

    fn start(&self, version: &str) {
        let mut secrets = self.rotator.versions.0.lock().unwrap();
        // Secrets Manager leaves a version in force alone.
        if secrets.current != version {
            secrets.pending = Some(version.to_owned());
        }
    }

    /// Whether the step was taken.
    fn step(&self, event: RotationEvent) -> bool {
        let before = self.secrets();
        let run = |event: RotationEvent| {
            let machine = Machine {
                clock: &self.clock,
                randomness: &self.randomness,
                keys: &self.keys,
                audit: &Nobody,
                faulty: |_, _| (),
            };
            block_on(handle(&self.rotator, machine, event))
        };
        match run(event.clone()) {
            Ok(()) => {
                let after = self.secrets();
                run(event).expect("what was done is done");
                assert!(self.secrets() == after, "the same step again has changed something");
                true
            }
            Err(fault) => {
                assert!(self.secrets() == before, "a step that failed has changed something: {fault}");
                self.assert_says_nothing_secret(&fault);
                false
            }
        }
    }

    fn assert_says_nothing_secret(&self, fault: &StepFault) {
        let said = fault.to_string();
        for ring in self.secrets().values.values() {
            let (_, ring) = RingDocument::read(ring).unwrap();
            let private = ring.signing.iter().filter_map(|key| key.private_key.as_deref());
            let lines = private.flat_map(str::lines).filter(|line| line.len() >= 32);
            let audit = ring.audit.iter().filter_map(|audit| audit["secret"].as_str());
            for secret in lines.chain(ring.tagging.iter().map(|key| key.secret.as_str())).chain(audit) {
                assert!(!said.contains(secret), "a fault says a key");
            }
        }
        assert!(!matches!(fault, StepFault::Rotation(RotationFault::UnusableRing { .. })), "{said}");
    }

    fn assert_in_order(&self) {
        let secrets = self.secrets();
        let ring = KeyRing::parse(&secrets.values[&secrets.current]).expect("the ring in force");
        if secrets.current == "0" {
            return;
        }
        let now = latchkey_token::ports::Clock::now(&self.clock).unix_seconds();
        let signer = ring.signer(Algorithm::Rs256, None, now).expect("a key that signs");
        assert!(ring.tagger(now).is_some());
        for document in [DerivedDocument::VerificationKeys, DerivedDocument::PublicKeys] {
            let published = KeyRing::read_derived(&secrets.published[document.name()]).unwrap();
            assert!(published.faults.is_empty(), "{:?}", published.faults);
            assert!(
                published.value.public_keys(now).kids().any(|kid| kid == signer.kid().as_str()),
                "signs unpublished"
            );
            assert!(published.value.signer(Algorithm::Rs256, None, now).is_none(), "a private half is published");
        }
    }
}

impl RingVersions for Versions {
    async fn stages(&self, version: &str) -> Result<Option<VersionStages>, Unavailable> {
        let secrets = self.0.lock().unwrap();
        let stages = VersionStages {
            is_current: secrets.current == version,
            is_pending: secrets.pending.as_deref() == Some(version),
        };
        let is_known = stages.is_pending || secrets.values.contains_key(version);
        Ok(is_known.then_some(stages))
    }

    async fn current(&self) -> Result<CurrentRing, Unavailable> {
        let secrets = self.0.lock().unwrap();
        Ok(CurrentRing { version: secrets.current.clone(), ring: secrets.values[&secrets.current].clone() })
    }

    async fn value(&self, version: &str) -> Result<Option<String>, Unavailable> {
        Ok(self.0.lock().unwrap().values.get(version).cloned())
    }

    async fn stage_pending(&self, version: &str, ring: &str) -> Result<(), Unavailable> {
        let mut secrets = self.0.lock().unwrap();
        assert!(!secrets.values.contains_key(version), "a version is written once");
        secrets.values.insert(version.to_owned(), ring.to_owned());
        Ok(())
    }

    async fn make_current(&self, version: &str, replaced: &str) -> Result<Promotion, Unavailable> {
        let mut secrets = self.0.lock().unwrap();
        assert_eq!(secrets.current, replaced, "nobody else is at work");
        secrets.current = version.to_owned();
        secrets.pending = None;
        Ok(Promotion::Promoted)
    }

    async fn published(&self, document: DerivedDocument) -> Result<Option<String>, Unavailable> {
        Ok(self.0.lock().unwrap().published.get(document.name()).cloned())
    }

    async fn publish(&self, document: DerivedDocument, text: &str) -> Result<(), Unavailable> {
        self.0.lock().unwrap().published.insert(document.name(), text.to_owned());
        Ok(())
    }

    async fn librechat_secret(&self) -> Result<Option<LibreChatSecret>, Unavailable> {
        Ok(None)
    }
}

struct Nobody;

impl Audit for Nobody {
    fn record(&self, _: &Event) {}
}

/// RSA keys take long to make: a few are kept and used in every run; a run that needs more is told that there is no
/// randomness.
#[derive(Default)]
struct MadeBefore(Mutex<usize>);

impl GenerateKey for MadeBefore {
    fn generate(&self, algorithm: Algorithm) -> Result<String, Unavailable> {
        static KEYS: [OnceLock<String>; 6] = [const { OnceLock::new() }; 6];
        assert_eq!(algorithm, Algorithm::Rs256, "an empty ring needs no other");
        let mut used = self.0.lock().unwrap();
        let key = KEYS.get(*used).ok_or_else(|| Unavailable::new("cryptography", "out of keys"))?;
        *used += 1;
        Ok(key.get_or_init(|| generate_private_key(algorithm).unwrap()).clone())
    }
}
