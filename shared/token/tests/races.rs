//! A rotation, an operator and a repair at once, on secrets that each of their requests may find changed: whatever the order of
//! their requests, what is derived has every key of the ring in force and none that was taken out, and in the end no other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{Mutex, OnceLock},
    task::{Context, Poll, Waker},
};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use latchkey_token::{
    audit::Event,
    failure::Unavailable,
    json::Value,
    keys::{Algorithm, KeyRing, NOT_YET, thumbprint},
    ports::{
        Audit, CurrentRing, DerivedDocument, GenerateKey, LibreChatSecret, Promotion, RingVersions, VersionStages,
    },
    rotation::{Derived, Rotation, RotationLimits, Step, publish_derived},
    values::Timestamp,
};
use latchkey_token_testkit::{SeededRandomness, SettableClock};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
const SCHEDULES: u64 = 200;

#[derive(Clone, Default)]
struct Held {
    values: BTreeMap<String, String>,
    current: String,
    pending: Option<String>,
    published: BTreeMap<&'static str, String>,
}

impl Held {
    fn ring(&self) -> &str {
        &self.values[&self.current]
    }

    fn derived(&self) -> Derived {
        Derived::of(&KeyRing::parse(self.ring()).unwrap(), self.ring()).unwrap()
    }
}

fn kids(keys: &Value) -> Vec<Value> {
    keys.as_array().unwrap().iter().map(|key| key["kid"].clone()).collect()
}

/// Each request takes a turn: others may come before it.
#[derive(Default)]
struct Secrets(Mutex<Held>);

impl Secrets {
    fn holding(ring: &str) -> Self {
        Self(Mutex::new(Held {
            values: [("first".to_owned(), ring.to_owned())].into(),
            current: "first".to_owned(),
            pending: Some("rotated".to_owned()),
            published: BTreeMap::new(),
        }))
    }

    async fn turn<T>(&self, request: impl FnOnce(&mut Held) -> T) -> T {
        let mut has_waited = false;
        std::future::poll_fn(
            |_| if std::mem::replace(&mut has_waited, true) { Poll::Ready(()) } else { Poll::Pending },
        )
        .await;
        request(&mut self.0.lock().unwrap())
    }

    /// What the operator's command does: compare and swap.
    async fn swap(&self, read: &str, ring: &str) -> bool {
        self.turn(|held| {
            if held.current != read {
                return false;
            }
            held.current = format!("edit-{}", held.values.len());
            held.values.insert(held.current.clone(), ring.to_owned());
            true
        })
        .await
    }
}

impl RingVersions for Secrets {
    async fn stages(&self, version: &str) -> Result<Option<VersionStages>, Unavailable> {
        let stages = |held: &mut Held| VersionStages {
            is_current: held.current == version,
            is_pending: held.pending.as_deref() == Some(version),
        };
        Ok(Some(self.turn(stages).await))
    }

    async fn current(&self) -> Result<CurrentRing, Unavailable> {
        let current = |held: &mut Held| CurrentRing { version: held.current.clone(), ring: held.ring().to_owned() };
        Ok(self.turn(current).await)
    }

    async fn value(&self, version: &str) -> Result<Option<String>, Unavailable> {
        Ok(self.turn(|held| held.values.get(version).cloned()).await)
    }

    async fn stage_pending(&self, version: &str, ring: &str) -> Result<(), Unavailable> {
        self.turn(|held| held.values.insert(version.to_owned(), ring.to_owned())).await;
        Ok(())
    }

    async fn make_current(&self, version: &str, replaced: &str) -> Result<Promotion, Unavailable> {
        let promote = |held: &mut Held| {
            if held.current != replaced {
                return Promotion::RingChanged;
            }
            held.current = version.to_owned();
            held.pending = None;
            Promotion::Promoted
        };
        Ok(self.turn(promote).await)
    }

    async fn published(&self, document: DerivedDocument) -> Result<Option<String>, Unavailable> {
        Ok(self.turn(|held| held.published.get(document.name()).cloned()).await)
    }

    async fn publish(&self, document: DerivedDocument, text: &str) -> Result<(), Unavailable> {
        // As on Secrets Manager: two requests.
        if self.published(document).await?.as_deref() != Some(text) {
            self.turn(|held| held.published.insert(document.name(), text.to_owned())).await;
        }
        Ok(())
    }

    async fn librechat_secret(&self) -> Result<Option<LibreChatSecret>, Unavailable> {
        Ok(None)
    }
}

/// The third of three keys that are made once.
struct Made;

impl GenerateKey for Made {
    fn generate(&self, algorithm: Algorithm) -> Result<String, Unavailable> {
        assert_eq!(algorithm, Algorithm::Rs256);
        Ok(pem(2))
    }
}

fn pem(number: usize) -> String {
    static KEYS: [OnceLock<String>; 3] = [const { OnceLock::new() }; 3];
    let made = || {
        let key = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
        let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&key).unwrap();
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()))
    };
    KEYS[number].get_or_init(made).clone()
}

struct Nobody;

impl Audit for Nobody {
    fn record(&self, _: &Event) {}
}

/// A key that signs, next ones, and a tag key.
fn ring_of(keys: &[usize]) -> String {
    let kid = |number| thumbprint(Algorithm::Rs256, &pem(number)).unwrap();
    let key = |number, sign_from: i64| {
        serde_json::json!({"kid": kid(number).as_str(), "alg": "RS256", "private_key": pem(number), "publish_at": 0,
            "sign_from": sign_from, "retire_at": null})
    };
    let signing: Vec<Value> = keys.iter().map(|number| key(*number, if *number == 0 { 0 } else { NOT_YET })).collect();
    serde_json::json!({"signing": signing,
        "tagging": [{"kid": 1, "secret": "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk", "use_from": 0, "retire_at": null}]})
    .to_string()
}

/// What an operator wants of the ring.
type Change = fn(&mut Value);

const CHANGES: [Change; 3] = [
    // A key is taken out.
    |ring| drop(ring["signing"].as_array_mut().unwrap().remove(0)),
    // A key is added.
    |ring| {
        ring["signing"].as_array_mut().unwrap().push(serde_json::json!({
            "kid": "added", "alg": "HS256", "secret": "an example secret of 32+ bytes, not real"}));
    },
    // The tag key is replaced.
    |ring| {
        ring["tagging"] =
            serde_json::json!([{"kid": 9, "secret": "CgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo", "use_from": 0}]);
    },
];

/// A command: ahead, swap, afterwards; anew on a conflict. Afterwards too if it fails in between. Whether it was made.
async fn command(secrets: &Secrets, change: impl Fn(&mut Value) -> bool) -> bool {
    let mut is_made = false;
    for _ in 0..5 {
        let read = secrets.current().await.unwrap();
        let mut ring: Value = serde_json::from_str(&read.ring).unwrap();
        if !change(&mut ring) {
            break;
        }
        let text = ring.to_string();
        if let Some(ahead) = Derived::ahead(Some(&read.ring), &text) {
            ahead.publish(secrets).await.unwrap();
        }
        is_made = secrets.swap(&read.version, &text).await;
        if is_made {
            break;
        }
    }
    publish_derived(secrets).await.unwrap();
    is_made
}

/// Takes the first key of [`ring_of`] out and puts another one in its place; refused if it is gone.
fn replaced_by(kid: &str) -> impl Fn(&mut Value) -> bool {
    let revoked = Value::from(thumbprint(Algorithm::Rs256, &pem(0)).unwrap().as_str());
    let added = serde_json::json!({"kid": kid, "alg": "HS256", "secret": kid.repeat(32)});
    move |ring| {
        let keys = ring["signing"].as_array_mut().unwrap();
        let count = keys.len();
        keys.retain(|key| key["kid"] != revoked);
        let is_there = keys.len() < count;
        keys.push(added.clone());
        is_there
    }
}

/// A rotation's steps, until one is refused.
async fn rotation(secrets: &Secrets) -> bool {
    let (clock, randomness) = (SettableClock::at(NOW), SeededRandomness::new(1));
    let limits = RotationLimits { secrets_ttl_seconds: 300, jwks_seconds: 300 };
    let rotation = Rotation {
        versions: secrets,
        limits,
        clock: &clock,
        randomness: &randomness,
        keys: &Made,
        audit: &Nobody,
        faulty: |_, faults| panic!("{faults}"),
    };
    for step in [Step::Create, Step::Set, Step::Test, Step::Finish] {
        if rotation.run(step, "rotated").await.is_err() {
            return false;
        }
    }
    true
}

/// Lets the tasks take turns in an order that the seed decides.
fn run(mut tasks: Vec<Pin<Box<dyn Future<Output = bool> + '_>>>, seed: u64) -> Vec<bool> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut done = vec![None; tasks.len()];
    while done.iter().any(Option::is_none) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let waiting: Vec<usize> = (0..tasks.len()).filter(|task| done[*task].is_none()).collect();
        let task = waiting[usize::try_from(state % waiting.len() as u64).unwrap()];
        // One task is at an advantage for a while, so that whole operations pass between two requests of another.
        for _ in 0..=(state >> 32) % 6 {
            if let Poll::Ready(outcome) = tasks[task].as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                done[task] = Some(outcome);
                break;
            }
        }
    }
    done.into_iter().flatten().collect()
}

#[test]
fn whoever_writes_last_what_is_derived_fits_the_ring_in_force() {
    let first = ring_of(&[0, 1]);
    // Parsed keys are kept while a ring holds them.
    let kept = KeyRing::parse(&ring_of(&[0, 1, 2])).unwrap();
    let first_kid = Value::from(thumbprint(Algorithm::Rs256, &pem(0)).unwrap().as_str());
    let mut rotated = 0;
    for seed in 0..SCHEDULES {
        let secrets = Secrets::holding(&first);
        let change = CHANGES[usize::try_from(seed % 3).unwrap()];
        let changed = |ring: &mut Value| {
            change(ring);
            true
        };
        let mut tasks: Vec<Pin<Box<dyn Future<Output = bool>>>> =
            vec![Box::pin(rotation(&secrets)), Box::pin(command(&secrets, changed))];
        if seed % 2 == 0 {
            tasks.push(Box::pin(async { publish_derived(&secrets).await.is_ok() }));
        }
        let outcomes = run(tasks, seed);
        assert!(outcomes[1], "seed {seed}: the command is made");
        rotated += usize::from(outcomes[0]);
        let held = secrets.0.lock().unwrap().clone();
        for document in DerivedDocument::ALL {
            let published: Value = serde_json::from_str(&held.published[document.name()]).unwrap();
            let kids = kids(&published["keys"]);
            let (of_ring, derived) = (held.ring(), held.derived());
            let wanted: Value = serde_json::from_str(&derived.text(document)).unwrap();
            for kid in self::kids(&wanted["keys"]) {
                assert!(kids.contains(&kid), "seed {seed}: {document:?} lacks a key of the ring in force");
            }
            let is_revoked = !of_ring.contains(first_kid.as_str().unwrap());
            assert!(
                !is_revoked || !kids.contains(&first_kid),
                "seed {seed}: {document:?} has a key that was taken out"
            );
        }
        // A step that was refused is tried again, and by then nobody else is at work.
        run(vec![Box::pin(rotation(&secrets))], seed);
        let held = secrets.0.lock().unwrap().clone();
        for document in DerivedDocument::ALL {
            assert!(held.published[document.name()] == held.derived().text(document), "seed {seed}: {document:?}");
        }
    }
    drop(kept);
    assert!(rotated > 0 && rotated < usize::try_from(SCHEDULES).unwrap(), "both orders were tried: {rotated}");
}

#[test]
fn what_a_failed_command_has_written_ahead_is_taken_back() {
    let first = ring_of(&[0, 1]);
    let kept = KeyRing::parse(&first).unwrap();
    for seed in 0..SCHEDULES {
        let secrets = Secrets::holding(&first);
        // Two operators revoke the same key: one of them is told that it is gone.
        let outcomes = run(
            vec![
                Box::pin(command(&secrets, replaced_by("m"))),
                Box::pin(command(&secrets, replaced_by("n"))),
                Box::pin(async { publish_derived(&secrets).await.is_ok() }),
            ],
            seed,
        );
        assert_ne!(outcomes[0], outcomes[1], "seed {seed}: one of them is made");
        let held = secrets.0.lock().unwrap().clone();
        for document in DerivedDocument::ALL {
            assert!(held.published[document.name()] == held.derived().text(document), "seed {seed}: {document:?}");
        }
    }
    drop(kept);
}
