//! The four steps. Every step may come twice.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use super::{
    derived::{Derived, PublicationFault, TRIES, publish_derived},
    document::{RingDocument, SigningEntry, TagEntry},
    plan::{LIBRECHAT_KID, NewSigningKey, NewTagKey, Plan, RotationLimits, key_changed_by_hand, plan},
};
use crate::{
    audit::{Event, EventKind},
    failure::Unavailable,
    json::{Faults, Map},
    keys::{Algorithm, KeyRing, thumbprint},
    ports::{Audit, Clock, DerivedDocument, GenerateKey, LibreChatSecret, Promotion, Randomness, RingVersions, random},
    values::SharedSecret,
};

/// RFC 7518 §3.2.
const MIN_SECRET_BYTES: usize = 32;

/// Secrets Manager's steps, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make the new version of the ring and stage it as pending.
    Create,
    /// Publish what is derived from the new ring.
    Set,
    /// Sign and verify with every key of the new ring.
    Test,
    /// Make the new version the current one.
    Finish,
}

impl Step {
    /// Reads the step's name, in camel or snake case.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "createSecret" | "create_secret" => Some(Self::Create),
            "setSecret" | "set_secret" => Some(Self::Set),
            "testSecret" | "test_secret" => Some(Self::Test),
            "finishSecret" | "finish_secret" => Some(Self::Finish),
            _ => None,
        }
    }
}

/// Why a step was not taken. It has changed nothing; where somebody else has changed the ring, it has seen to it that what is
/// published is derived from that.
#[derive(Debug, thiserror::Error)]
pub enum RotationFault {
    /// A secret cannot be read or written, or a new key cannot be made. The step may be tried again.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The secret has no version of this id.
    #[error("the secret has no version {0}")]
    UnknownVersion(String),
    /// The version of this id is neither current nor pending.
    #[error("version {0} is not staged as AWSPENDING: start the rotation again")]
    NotPending(String),
    /// The version of this id has no value yet; [`Step::Create`] gives it one.
    #[error("version {0} has no value yet: createSecret comes first")]
    NotCreated(String),
    /// A ring is not one that functions would load.
    #[error("the {version} key ring is not usable: {faults}")]
    UnusableRing {
        /// Which ring: `current`, `pending` or `new`.
        version: &'static str,
        /// All that is wrong with it; no value is quoted.
        faults: String,
    },
    /// What is published is not what is derived from the new ring; [`Step::Set`] publishes that.
    #[error("what is derived from the new ring is not published: setSecret comes first")]
    NotPublished,
    /// The current ring has changed since [`Step::Create`]. Names one key that differs; the new version would undo it.
    #[error(
        "key {0} was changed by hand after createSecret: take AWSPENDING from this version, start another rotation"
    )]
    RingChanged(String),
    /// Another version became the current one while the step compared the new ring with the one before it. The step may be
    /// tried again: it then compares with that version.
    #[error("the key ring was changed by somebody else just now: nothing was changed here, try the step again")]
    RingReplaced,
    /// What is published may not be derived from the ring in force. The step may be tried again.
    #[error(transparent)]
    Publication(#[from] PublicationFault),
    /// The published keys do not verify a signature of the key with this id.
    #[error("key {0} does not verify what it signs under the published keys")]
    KeyFailed(String),
}

/// What a rotation needs.
pub struct Rotation<'a, V> {
    /// The versions of the key ring's secret, and the published keys.
    pub versions: &'a V,
    /// How long the ring and the JWKS are cached.
    pub limits: RotationLimits,
    /// The time; read in each step.
    pub clock: &'a dyn Clock,
    /// What the secrets of a new tag key and of the audit key are drawn from.
    pub randomness: &'a dyn Randomness,
    /// What makes the new signing keys.
    pub keys: &'a dyn GenerateKey,
    /// Where a finished rotation is recorded.
    pub audit: &'a dyn Audit,
    /// Is told what is wrong with a secret of others, which stops no rotation: what it is called, and the fault.
    pub faulty: fn(&'static str, &Faults),
}

impl<V: RingVersions> Rotation<'_, V> {
    /// Takes one step of the rotation that `version` (Secrets Manager's ClientRequestToken) names.
    pub async fn run(&self, step: Step, version: &str) -> Result<(), RotationFault> {
        let stages = self.versions.stages(version).await?;
        let stages = stages.ok_or_else(|| RotationFault::UnknownVersion(version.to_owned()))?;
        if stages.is_current {
            // This rotation has been finished before; perhaps it ended before it had seen to what is published.
            return if step == Step::Finish { Ok(publish_derived(self.versions).await?) } else { Ok(()) };
        }
        if !stages.is_pending {
            return Err(RotationFault::NotPending(version.to_owned()));
        }
        match step {
            Step::Create => self.create(version).await,
            Step::Set => self.set(version).await,
            Step::Test => self.test(version).await,
            Step::Finish => self.finish(version).await,
        }
    }

    async fn create(&self, version: &str) -> Result<(), RotationFault> {
        if let Some(pending) = self.versions.value(version).await? {
            read("pending", &pending)?;
            return Ok(());
        }
        let current = self.versions.current().await?;
        let (_, ring) = read("current", &current.ring)?;
        let now = self.clock.now().unix_seconds();
        let mut ring = self.carry_out(plan(&ring, now, self.limits))?;
        if let Some(secret) = self.versions.librechat_secret().await?
            && let Err(fault) = import_librechat_secret(&mut ring, secret)
        {
            (self.faulty)(LIBRECHAT_SECRET, &Faults::from_iter([fault]));
        }
        let text = serde_json::to_string(&ring).map_err(|_| Unavailable::new("key ring", "cannot be written"))?;
        // Never stage a ring that functions would not load, or of which they would load less than of the current one.
        let faults = |text| RingDocument::read(text).map(|(reading, _)| reading.faults);
        match (faults(&text), faults(&current.ring)) {
            (Ok(new), Ok(old)) if new.lines().len() <= old.lines().len() => {}
            (Ok(faults) | Err(faults), _) => {
                return Err(RotationFault::UnusableRing { version: "new", faults: faults.to_string() });
            }
        }
        self.versions.stage_pending(version, &text).await?;
        Ok(())
    }

    fn carry_out(&self, plan: Plan) -> Result<RingDocument, Unavailable> {
        let mut ring = plan.ring;
        for NewSigningKey { algorithm, publish_at, sign_from } in plan.new_signing {
            let private_key = self.keys.generate(algorithm)?;
            let kid = thumbprint(algorithm, &private_key)
                .ok_or_else(|| Unavailable::new("cryptography", "a new key has no thumbprint"))?;
            ring.signing.push(SigningEntry {
                kid: kid.as_str().to_owned(),
                alg: algorithm.name().to_owned(),
                private_key: Some(private_key),
                secret: None,
                publish_at,
                sign_from,
                retire_at: None,
                other: Map::new(),
            });
        }
        if let Some(NewTagKey { kid, use_from }) = plan.new_tagging {
            let secret = URL_SAFE_NO_PAD.encode(random::<32>(self.randomness)?);
            ring.tagging.push(TagEntry { kid, secret, use_from, retire_at: None, other: Map::new() });
        }
        if ring.audit.is_none() {
            ring.audit = Some(json!({"secret": URL_SAFE_NO_PAD.encode(random::<32>(self.randomness)?)}));
        }
        Ok(ring)
    }

    async fn pending(&self, version: &str) -> Result<Pending, RotationFault> {
        let pending = self.versions.value(version).await?;
        let pending = pending.ok_or_else(|| RotationFault::NotCreated(version.to_owned()))?;
        let (ring, document) = read("pending", &pending)?;
        let derived = Derived::of(&ring, &pending).ok_or_else(|| RotationFault::UnusableRing {
            version: "pending",
            faults: "not a JSON object".to_owned(),
        })?;
        Ok(Pending { ring, document, derived })
    }

    /// Publishes what is derived from the new ring, before that is in force: whoever verifies must know a key before it
    /// signs. The new ring lacks only keys that have retired, so nothing good is taken away.
    async fn set(&self, version: &str) -> Result<(), RotationFault> {
        let pending = self.pending(version).await?;
        for _ in 0..TRIES {
            let compared = self.unchanged(&pending).await?;
            pending.derived.publish(self.versions).await?;
            if self.versions.current().await?.version == compared {
                return Ok(());
            }
        }
        publish_derived(self.versions).await?;
        Err(RotationFault::RingReplaced)
    }

    /// Every key signs, and whoever has only what is published can verify it.
    async fn test(&self, version: &str) -> Result<(), RotationFault> {
        let pending = self.pending(version).await?;
        self.check_published(&pending).await?;
        let now = self.clock.now().unix_seconds();
        for document in [DerivedDocument::VerificationKeys, DerivedDocument::PublicKeys] {
            let published = self.versions.published(document).await?.ok_or(RotationFault::NotPublished)?;
            let published = KeyRing::read_derived(&published).map_err(|_| RotationFault::NotPublished)?.value;
            if let Some(kid) = pending.ring.key_that_fails_under(&published, now) {
                return Err(RotationFault::KeyFailed(kid.as_str().to_owned()));
            }
        }
        Ok(())
    }

    async fn finish(&self, version: &str) -> Result<(), RotationFault> {
        let pending = self.pending(version).await?;
        let compared = self.unchanged(&pending).await?;
        self.check_published(&pending).await?;
        match self.versions.make_current(version, &compared).await? {
            Promotion::Promoted => {
                self.audit.record(&Event::new(EventKind::KeysRotated));
                // A command that came too late to change the ring may have published what it wanted to make of it.
                Ok(publish_derived(self.versions).await?)
            }
            Promotion::RingChanged => Err(RotationFault::RingReplaced),
        }
    }

    /// The version in force, if the new ring was made from it or from one with the same keys.
    async fn unchanged(&self, pending: &Pending) -> Result<String, RotationFault> {
        let current = self.versions.current().await?;
        let (_, ring) = read("current", &current.ring)?;
        let Some(kid) = key_changed_by_hand(&ring, &pending.document, self.clock.now().unix_seconds()) else {
            return Ok(current.version);
        };
        // The new ring will never be in force: what is derived from it must not stay published.
        publish_derived(self.versions).await?;
        Err(RotationFault::RingChanged(kid))
    }

    async fn check_published(&self, pending: &Pending) -> Result<(), RotationFault> {
        if pending.derived.is_published(self.versions).await? { Ok(()) } else { Err(RotationFault::NotPublished) }
    }
}

/// The new ring and what is derived from it.
struct Pending {
    ring: KeyRing,
    document: RingDocument,
    derived: Derived,
}

/// The ring as the functions see it, and as text to be copied.
fn read(version: &'static str, text: &str) -> Result<(KeyRing, RingDocument), RotationFault> {
    let unusable = |faults: Faults| RotationFault::UnusableRing { version, faults: faults.to_string() };
    let (reading, document) = RingDocument::read(text).map_err(unusable)?;
    Ok((reading.value, document))
}

/// What LibreChat's own secret is called, for the operator.
const LIBRECHAT_SECRET: &str = "librechat-secret";

/// Copies LibreChat's secret into the ring, or replaces the one there. If it is of no use, the one there stays: the other keys
/// must not wait until somebody has mended it.
fn import_librechat_secret(ring: &mut RingDocument, secret: LibreChatSecret) -> Result<(), String> {
    let fault = |what: String| format!("the key {LIBRECHAT_KID} stays as it is: JWT_SECRET {what}");
    let secret = match secret {
        LibreChatSecret::Text(text) => {
            SharedSecret::read(&text).map_err(|what| fault(format!("is refused: {what}")))?
        }
        LibreChatSecret::Unreadable(why) => return Err(fault(format!("cannot be read: {why}"))),
    };
    let secret = secret.into_text();
    if secret.len() < MIN_SECRET_BYTES {
        return Err(fault(format!("is shorter than the {MIN_SECRET_BYTES} bytes that HS256 needs")));
    }
    ring.drop_faulty_signing(LIBRECHAT_KID);
    match ring.signing.iter_mut().find(|key| key.kid == LIBRECHAT_KID) {
        Some(key) => key.secret = Some(secret),
        None => ring.signing.push(SigningEntry {
            kid: LIBRECHAT_KID.to_owned(),
            alg: Algorithm::Hs256.name().to_owned(),
            private_key: None,
            secret: Some(secret),
            publish_at: 0,
            sign_from: 0,
            retire_at: None,
            other: Map::new(),
        }),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        keys::PublicKeys,
        ports::{CurrentRing, VersionStages},
        testing::{NOW, es256_pem, hs256_entry, rsa_pem},
        values::{Subject, Timestamp},
    };
    use std::{
        collections::BTreeMap,
        future::Future,
        pin::pin,
        sync::Mutex,
        task::{Context, Poll, Waker},
    };

    /// Runs a future that never waits.
    fn now_or_never<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("waits"),
        }
    }

    #[derive(Default)]
    struct Secrets {
        values: BTreeMap<String, String>,
        current: String,
        pending: Option<String>,
        published: BTreeMap<&'static str, String>,
        librechat: Option<Result<String, String>>,
        writes: usize,
        /// What somebody else puts in force just before the rotation does.
        overtaken_by: Option<String>,
        /// The rings that somebody else puts in force, each as soon as a document has been published.
        changed_while_publishing: Vec<String>,
    }

    impl Secrets {
        fn put_in_force(&mut self, ring: String) {
            self.current = format!("by-hand-{}", self.values.len());
            self.values.insert(self.current.clone(), ring);
        }
    }

    struct FakeVersions(Mutex<Secrets>);

    impl RingVersions for FakeVersions {
        async fn stages(&self, version: &str) -> Result<Option<VersionStages>, Unavailable> {
            let secrets = self.0.lock().unwrap();
            let stages = VersionStages {
                is_current: secrets.current == version,
                is_pending: secrets.pending.as_deref() == Some(version),
            };
            let is_known = secrets.values.contains_key(version) || stages.is_pending;
            Ok(is_known.then_some(stages))
        }

        async fn current(&self) -> Result<CurrentRing, Unavailable> {
            let secrets = self.0.lock().unwrap();
            let ring = secrets.values.get(&secrets.current).cloned();
            let ring = ring.ok_or_else(|| Unavailable::new("secret", "no current"))?;
            Ok(CurrentRing { version: secrets.current.clone(), ring })
        }

        async fn value(&self, version: &str) -> Result<Option<String>, Unavailable> {
            Ok(self.0.lock().unwrap().values.get(version).cloned())
        }

        async fn stage_pending(&self, version: &str, ring: &str) -> Result<(), Unavailable> {
            let mut secrets = self.0.lock().unwrap();
            secrets.writes += 1;
            secrets.values.insert(version.to_owned(), ring.to_owned());
            secrets.pending = Some(version.to_owned());
            Ok(())
        }

        async fn make_current(&self, version: &str, replaced: &str) -> Result<Promotion, Unavailable> {
            let mut secrets = self.0.lock().unwrap();
            if let Some(ring) = secrets.overtaken_by.take() {
                secrets.put_in_force(ring);
            }
            if secrets.current != replaced {
                return Ok(Promotion::RingChanged);
            }
            secrets.writes += 1;
            secrets.current = version.to_owned();
            secrets.pending = None;
            Ok(Promotion::Promoted)
        }

        async fn published(&self, document: DerivedDocument) -> Result<Option<String>, Unavailable> {
            Ok(self.0.lock().unwrap().published.get(document.name()).cloned())
        }

        async fn publish(&self, document: DerivedDocument, text: &str) -> Result<(), Unavailable> {
            let mut secrets = self.0.lock().unwrap();
            let before = secrets.published.insert(document.name(), text.to_owned());
            secrets.writes += usize::from(before.as_deref() != Some(text));
            if let Some(ring) = secrets.changed_while_publishing.pop() {
                secrets.put_in_force(ring);
            }
            Ok(())
        }

        async fn librechat_secret(&self) -> Result<Option<LibreChatSecret>, Unavailable> {
            let secret = self.0.lock().unwrap().librechat.clone();
            Ok(secret.map(|secret| secret.map_or_else(LibreChatSecret::Unreadable, LibreChatSecret::Text)))
        }
    }

    struct World {
        versions: FakeVersions,
        clock: Mutex<Timestamp>,
        events: Mutex<Vec<EventKind>>,
    }

    impl Clock for World {
        fn now(&self) -> Timestamp {
            *self.clock.lock().unwrap()
        }
    }

    impl Randomness for World {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), Unavailable> {
            let [.., low] = self.clock.lock().unwrap().unix_seconds().to_be_bytes();
            bytes.fill(low);
            Ok(())
        }
    }

    impl GenerateKey for World {
        fn generate(&self, algorithm: Algorithm) -> Result<String, Unavailable> {
            Ok(if algorithm == Algorithm::Es256 { es256_pem() } else { rsa_pem(2048) })
        }
    }

    impl Audit for World {
        fn record(&self, event: &Event) {
            self.events.lock().unwrap().push(event.kind);
        }
    }

    thread_local! {
        /// What has been told of secrets of others; each test has a thread of its own.
        static FAULTS: std::cell::RefCell<Vec<String>> = const { std::cell::RefCell::new(Vec::new()) };
    }

    const EMPTY: &str = r#"{"signing":[],"tagging":[]}"#;
    const STEPS: [Step; 4] = [Step::Create, Step::Set, Step::Test, Step::Finish];

    impl World {
        fn new(ring: &str) -> Self {
            let secrets = Secrets {
                values: BTreeMap::from([("v0".to_owned(), ring.to_owned())]),
                current: "v0".to_owned(),
                ..Secrets::default()
            };
            Self { versions: FakeVersions(Mutex::new(secrets)), clock: Mutex::new(NOW), events: Mutex::default() }
        }

        /// What RotateSecret does before it calls the function.
        fn start(&self, version: &str) {
            self.versions.0.lock().unwrap().pending = Some(version.to_owned());
        }

        fn step(&self, step: Step, version: &str) -> Result<(), RotationFault> {
            let rotation = Rotation {
                versions: &self.versions,
                limits: RotationLimits { secrets_ttl_seconds: 300, jwks_seconds: 300 },
                clock: self,
                randomness: self,
                keys: self,
                audit: self,
                faulty: |document, faults| FAULTS.with_borrow_mut(|all| all.push(format!("{document}: {faults}"))),
            };
            now_or_never(rotation.run(step, version))
        }

        fn rotate(&self, version: &str) {
            self.start(version);
            for step in STEPS {
                self.step(step, version).unwrap();
            }
        }

        fn ring(&self) -> KeyRing {
            KeyRing::parse(&self.text()).unwrap()
        }

        fn text(&self) -> String {
            now_or_never(self.versions.current()).unwrap().ring
        }

        fn published(&self, document: DerivedDocument) -> String {
            self.versions.0.lock().unwrap().published[document.name()].clone()
        }

        /// What discovery answers.
        fn jwks(&self, now: Timestamp) -> PublicKeys {
            let published = KeyRing::read_derived(&self.published(DerivedDocument::PublicKeys)).unwrap();
            published.value.public_keys(now.unix_seconds())
        }

        /// Whether what is published is derived from the ring in force.
        fn is_in_agreement(&self) -> bool {
            let derived = Derived::of(&self.ring(), &self.text()).unwrap();
            now_or_never(derived.is_published(&self.versions)).unwrap()
        }

        fn writes(&self) -> usize {
            self.versions.0.lock().unwrap().writes
        }
    }

    #[test]
    fn the_first_rotation_makes_a_ring_that_signs_at_once() {
        let world = World::new(EMPTY);
        world.rotate("v1");
        let now = NOW.unix_seconds();
        assert!(world.ring().signer(Algorithm::Rs256, None, now).is_some());
        assert!(world.ring().tagger(now).is_some());
        assert_eq!(*world.events.lock().unwrap(), [EventKind::KeysRotated]);
        assert_eq!(world.jwks(NOW).kids().count(), 2, "the signer and the next");
        for document in [DerivedDocument::VerificationKeys, DerivedDocument::PublicKeys] {
            let published = world.published(document);
            assert!(!published.contains("\"d\"") && !published.contains("PRIVATE"), "no private half");
        }
        let ring = KeyRing::read_derived(&world.published(DerivedDocument::VerificationKeys)).unwrap().value;
        assert!(ring.signer(Algorithm::Rs256, None, now).is_none(), "whoever verifies cannot sign");
        let tagger = world.ring().tagger(now).unwrap().kid();
        assert!(ring.tag_key(tagger, now).unwrap().is_some());
    }

    #[test]
    fn librechats_secret_comes_in_the_place_of_a_faulty_one() {
        let faulty = r#"{"signing":[{"kid":"librechat-hs","alg":"HS256","secret":"short"},{"kid":"odd"}],"tagging":[{"kid":1,"secret":"CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk"}]}"#;
        let world = World::new(faulty);
        world.versions.0.lock().unwrap().librechat = Some(Ok("a test secret of at least 32 bytes".into()));
        world.rotate("v1");
        let ring = KeyRing::read(&world.text()).unwrap().value;
        assert!(ring.verifier("librechat-hs", NOW.unix_seconds()).unwrap().is_some());
        assert!(world.text().contains(r#"{"kid":"odd"}"#), "what is faulty otherwise is kept");
    }

    #[test]
    fn the_first_rotation_makes_the_audit_key_and_no_later_one_touches_it() {
        let audit = |world: &World| RingDocument::read(&world.text()).unwrap().1.audit;
        let subject = Subject::parse("alice").unwrap();
        let world = World::new(EMPTY);
        world.rotate("v1");
        let (made, name) = (audit(&world), world.ring().audit_name(&subject));
        assert!(made.is_some() && name.is_some());
        *world.clock.lock().unwrap() = NOW.plus(86_400);
        world.rotate("v2");
        assert_eq!((audit(&world), world.ring().audit_name(&subject)), (made, name));

        let faulty = r#"{"signing":[],"tagging":[],"audit":{"secret":"short","note":1}}"#;
        let world = World::new(faulty);
        world.rotate("v1");
        assert_eq!(audit(&world), Some(json!({"secret": "short", "note": 1})), "an operator mends it");
    }

    #[test]
    fn old_tokens_verify_and_the_next_key_signs_after_its_time() {
        let world = World::new(EMPTY);
        world.rotate("v1");
        let old = world.ring().signer(Algorithm::Rs256, None, NOW.unix_seconds()).unwrap().kid().clone();
        *world.clock.lock().unwrap() = NOW.plus(86_400);
        world.rotate("v2");
        let (ring, now) = (world.ring(), NOW.plus(86_400).unix_seconds());
        let signer = |now| ring.signer(Algorithm::Rs256, None, now).unwrap().kid().clone();
        assert_eq!(signer(now + 599), old);
        assert_ne!(signer(now + 600), old);
        assert!(ring.verifier(old.as_str(), now + 600 + 86_400 + 1_209_599).unwrap().is_some());
        assert!(ring.verifier(old.as_str(), now + 600 + 86_400 + 1_209_600).unwrap().is_none());
    }

    #[test]
    fn every_step_may_come_twice() {
        let world = World::new(EMPTY);
        world.start("v1");
        for step in STEPS {
            world.step(step, "v1").unwrap();
            let after = world.versions.0.lock().unwrap().values.clone();
            world.step(step, "v1").unwrap();
            assert_eq!(world.versions.0.lock().unwrap().values, after, "{step:?}");
        }
        assert_eq!(world.events.lock().unwrap().len(), 1);
    }

    #[test]
    fn steps_out_of_order_or_of_unknown_versions_change_nothing() {
        let world = World::new(EMPTY);
        assert!(matches!(world.step(Step::Create, "v9"), Err(RotationFault::UnknownVersion(_))));
        world.start("v1");
        assert!(matches!(world.step(Step::Set, "v1"), Err(RotationFault::NotCreated(_))));
        assert!(matches!(world.step(Step::Finish, "v1"), Err(RotationFault::NotCreated(_))));
        assert_eq!(world.writes(), 0);
        world.step(Step::Create, "v1").unwrap();
        assert!(matches!(world.step(Step::Test, "v1"), Err(RotationFault::NotPublished)));
        assert!(matches!(world.step(Step::Finish, "v1"), Err(RotationFault::NotPublished)));
        world.start("v2");
        assert!(matches!(world.step(Step::Finish, "v1"), Err(RotationFault::NotPending(_))));
        assert_eq!(world.writes(), 1);
        assert!(world.events.lock().unwrap().is_empty());
    }

    #[test]
    fn a_later_rotation_is_not_finished_on_an_earlier_ones_public_keys() {
        let world = World::new(EMPTY);
        world.rotate("v1");
        *world.clock.lock().unwrap() = NOW.plus(1);
        world.start("v2");
        world.step(Step::Create, "v2").unwrap();
        assert!(matches!(world.step(Step::Finish, "v2"), Err(RotationFault::NotPublished)));
        assert!(matches!(world.step(Step::Test, "v2"), Err(RotationFault::NotPublished)));
        assert_eq!(world.versions.0.lock().unwrap().current, "v1");
        world.step(Step::Set, "v2").unwrap();
        world.step(Step::Finish, "v2").unwrap();
    }

    #[test]
    fn a_rotation_that_stood_still_undoes_nothing_that_was_done_by_hand() {
        let by_hand: [fn(&mut RingDocument) -> String; 10] = [
            |ring| {
                ring.signing[0].retire_at = Some(NOW.unix_seconds() + 60);
                ring.signing[0].kid.clone()
            },
            |ring| {
                ring.signing[1].sign_from = NOW.unix_seconds() + 60;
                ring.signing[1].kid.clone()
            },
            |ring| {
                ring.tagging[0].retire_at = Some(NOW.unix_seconds() + 60);
                ring.tagging[0].kid.to_string()
            },
            |ring| {
                ring.other.insert("critical".to_owned(), json!(["audit"]));
                "critical".to_owned()
            },
            |ring| {
                let added = ring.signing[2].clone();
                let secret = Some("another example secret of 32+ bytes".to_owned());
                ring.signing.push(SigningEntry { kid: "added".to_owned(), secret, ..added });
                "added".to_owned()
            },
            |ring| {
                ring.signing[2].secret = Some("another example secret of 32+ bytes".to_owned());
                "hs".to_owned()
            },
            |ring| ring.signing.remove(0).kid,
            |ring| ring.signing.remove(1).kid,
            |ring| {
                ring.tagging[0].secret = URL_SAFE_NO_PAD.encode([9; 32]);
                ring.tagging[0].kid.to_string()
            },
            |ring| {
                ring.audit = Some(json!({"secret": URL_SAFE_NO_PAD.encode([9; 32])}));
                "audit".to_owned()
            },
        ];
        for change in by_hand {
            let world = World::new(
                &EMPTY.replace(r#""signing":[]"#, &format!(r#""signing":[{}]"#, hs256_entry("hs", &"x".repeat(32)))),
            );
            world.rotate("v1");
            *world.clock.lock().unwrap() = NOW.plus(1);
            world.start("v2");
            world.step(Step::Create, "v2").unwrap();
            world.step(Step::Set, "v2").unwrap();
            let (_, mut ring) = RingDocument::read(&world.text()).unwrap();
            ring.signing.sort_by_key(|key| key.kid == "hs");
            let changed = change(&mut ring);
            world.versions.0.lock().unwrap().values.insert("v1".to_owned(), serde_json::to_string(&ring).unwrap());
            // The document was changed in its place, and nobody has derived from it.
            for step in [Step::Set, Step::Finish] {
                let taken = world.step(step, "v2");
                assert!(
                    matches!(&taken, Err(RotationFault::RingChanged(kid)) if *kid == changed),
                    "{changed}: {taken:?}"
                );
                assert!(world.is_in_agreement(), "what was never in force is not left published");
            }
            *world.clock.lock().unwrap() = NOW.plus(2);
            world.rotate("v3");
        }
    }

    #[test]
    fn a_ring_that_is_changed_while_it_is_compared_is_compared_again() {
        for added in [None, Some(hs256_entry("added", &"x".repeat(32)))] {
            let world = World::new(EMPTY);
            world.rotate("v1");
            *world.clock.lock().unwrap() = NOW.plus(1);
            world.start("v2");
            for step in [Step::Create, Step::Set, Step::Test] {
                world.step(step, "v2").unwrap();
            }
            let key = added.as_ref().map(|added| format!("{added},")).unwrap_or_default();
            let changed = world.text().replacen(r#""signing":["#, &format!(r#""signing": [{key}"#), 1);
            world.versions.0.lock().unwrap().overtaken_by = Some(changed.clone());
            let writes = world.writes();
            assert!(matches!(world.step(Step::Finish, "v2"), Err(RotationFault::RingReplaced)));
            assert_eq!((world.text(), world.writes()), (changed, writes), "what was done by hand is in force");
            assert_eq!(world.events.lock().unwrap().len(), 1, "the first rotation alone");

            let again = world.step(Step::Finish, "v2");
            match added {
                None => again.unwrap(),
                Some(_) => {
                    assert!(matches!(&again, Err(RotationFault::RingChanged(kid)) if kid == "added"), "{again:?}");
                }
            }
        }
    }

    #[test]
    fn a_key_taken_out_while_another_ring_is_published_is_in_no_document_afterwards() {
        for step in [Step::Set, Step::Finish] {
            let world = World::new(EMPTY);
            world.rotate("v1");
            *world.clock.lock().unwrap() = NOW.plus(1);
            world.start("v2");
            world.step(Step::Create, "v2").unwrap();
            if step == Step::Finish {
                world.step(Step::Set, "v2").unwrap();
            }
            let (_, mut ring) = RingDocument::read(&world.text()).unwrap();
            let revoked = ring.signing.remove(0).kid;
            let changed = serde_json::to_string(&ring).unwrap();
            match step {
                Step::Finish => world.versions.0.lock().unwrap().put_in_force(changed),
                _ => world.versions.0.lock().unwrap().changed_while_publishing = vec![changed],
            }
            let taken = world.step(step, "v2");
            assert!(matches!(&taken, Err(RotationFault::RingChanged(kid)) if *kid == revoked), "{taken:?}");
            assert!(world.is_in_agreement(), "{step:?}");
            for document in DerivedDocument::ALL {
                assert!(!world.published(document).contains(&revoked), "{step:?}: {document:?}");
            }
        }
    }

    #[test]
    fn a_ring_whose_keys_stay_is_compared_again_and_one_that_always_changes_is_given_up() {
        for (count, is_taken) in [(1, true), (30, false)] {
            let world = World::new(EMPTY);
            world.rotate("v1");
            *world.clock.lock().unwrap() = NOW.plus(1);
            world.start("v2");
            world.step(Step::Create, "v2").unwrap();
            // Another version each time, with the same keys.
            let rings = vec![world.text(); count];
            world.versions.0.lock().unwrap().changed_while_publishing = rings;
            assert_eq!(world.step(Step::Set, "v2").is_ok(), is_taken, "{count}");
        }
    }

    #[test]
    fn what_a_command_published_too_late_is_replaced_when_the_rotation_is_finished() {
        let world = World::new(EMPTY);
        world.start("v1");
        for step in [Step::Create, Step::Set, Step::Test, Step::Finish] {
            world.step(step, "v1").unwrap();
        }
        let late = Derived::of(&KeyRing::parse(EMPTY).unwrap(), EMPTY).unwrap();
        now_or_never(late.publish(&world.versions)).unwrap();
        assert!(!world.is_in_agreement());
        world.step(Step::Finish, "v1").unwrap();
        assert!(world.is_in_agreement());
    }

    #[test]
    fn a_retired_key_leaves_the_published_set_at_its_time() {
        let world = World::new(EMPTY);
        world.rotate("v1");
        let old = world.ring().signer(Algorithm::Rs256, None, NOW.unix_seconds()).unwrap().kid().clone();
        *world.clock.lock().unwrap() = NOW.plus(86_400);
        world.rotate("v2");
        let retire_at = NOW.plus(86_400 + 600 + 86_400 + 1_209_600);
        let is_published = |now| world.jwks(now).kids().any(|kid| kid == old.as_str());
        assert!(is_published(retire_at.minus(1)));
        assert!(!is_published(retire_at), "without another rotation");
        assert!(!world.jwks(NOW).to_json().contains("retire_at"), "the times are nobody else's");
    }

    #[test]
    fn a_rotation_after_one_that_got_stuck_succeeds() {
        let world = World::new(EMPTY);
        world.start("stuck");
        world.step(Step::Create, "stuck").unwrap();
        world.step(Step::Set, "stuck").unwrap();
        world.rotate("v2");
        assert_eq!(world.versions.0.lock().unwrap().current, "v2");
        assert!(world.ring().signer(Algorithm::Rs256, None, NOW.unix_seconds()).is_some());
    }

    #[test]
    fn a_ring_that_does_not_parse_is_left_alone() {
        let world = World::new("garbage");
        world.start("v1");
        assert!(matches!(world.step(Step::Create, "v1"), Err(RotationFault::UnusableRing { version: "current", .. })));
        assert_eq!(world.writes(), 0);
    }

    /// The secret of the key `librechat-hs` in force.
    fn librechat_key(world: &World) -> Option<String> {
        let (_, ring) = RingDocument::read(&world.text()).unwrap();
        ring.signing.into_iter().find(|key| key.kid == "librechat-hs").and_then(|key| key.secret)
    }

    fn rotate_with(world: &World, version: &str, secret: Result<&str, &str>) -> Vec<String> {
        world.versions.0.lock().unwrap().librechat = Some(secret.map(str::to_owned).map_err(str::to_owned));
        *world.clock.lock().unwrap() = world.now().plus(1);
        FAULTS.take();
        world.rotate(version);
        FAULTS.take()
    }

    #[test]
    fn libre_chats_secret_is_copied_and_follows_its_source() {
        const SECRET: &str = "an example secret of 32+ bytes, kept elsewhere";
        let world = World::new(EMPTY);
        let object = format!(r#"{{"JWT_SECRET":"{SECRET} as a member"}}"#);
        for (version, written, secret) in [
            ("v1", SECRET.to_owned(), SECRET.to_owned()),
            (
                "v2",
                "another example secret of 32+ bytes\n".to_owned(),
                "another example secret of 32+ bytes".to_owned(),
            ),
            ("v3", format!("\u{feff}{SECRET}\r\n"), SECRET.to_owned()),
            ("v4", object, format!("{SECRET} as a member")),
        ] {
            assert!(rotate_with(&world, version, Ok(&written)).is_empty());
            assert_eq!(librechat_key(&world).as_ref(), Some(&secret));
            assert!(!world.published(DerivedDocument::PublicKeys).contains("librechat-hs"));
            assert!(world.published(DerivedDocument::VerificationKeys).contains(&secret));
        }
    }

    #[test]
    fn a_secret_of_librechats_that_is_of_no_use_is_named_and_keeps_no_other_key_waiting() {
        const SECRET: &str = "an example secret of 32+ bytes, kept elsewhere";
        let world = World::new(EMPTY);
        assert!(rotate_with(&world, "first", Ok(SECRET)).is_empty());
        for (version, secret, named) in [
            ("v2", Ok("\"an example secret of 32+ bytes in quotes\"\n"), "quotation marks"),
            ("v3", Err("Access to KMS is not allowed"), "cannot be read: Access to KMS is not allowed"),
        ] {
            let before = world.text();
            let faults = rotate_with(&world, version, secret);
            assert!(faults.len() == 1 && faults[0].starts_with("librechat-secret: "), "{faults:?}");
            assert!(faults[0].contains(named) && faults[0].contains("stays as it is"), "{faults:?}");
            assert_eq!(librechat_key(&world).as_deref(), Some(SECRET));
            assert_ne!(world.text(), before, "the other keys are rotated");
        }
    }

    #[test]
    fn what_cannot_be_libre_chats_secret_is_named_and_not_quoted() {
        for (secret, named) in [
            ("too short", "shorter than the 32 bytes"),
            ("'an example secret of 32+ bytes in quotes'", "quotation marks"),
            ("JWT_SECRET=an example secret of 32+ bytes", "NAME=VALUE"),
            ("an example secret of 32+ bytes\n\n", "more than one line"),
            (r#"{"JWT_SECRET":"an example secret of 32+ bytes","OTHER":"x"}"#, "JSON object"),
            (r#"{"JWT_SECRET":7}"#, "JSON object"),
            ("changeme-changeme-changeme-changeme", "well-known"),
        ] {
            let mut ring = RingDocument::default();
            let fault = import_librechat_secret(&mut ring, LibreChatSecret::Text(secret.to_owned())).unwrap_err();
            assert!(fault.contains(named) && !fault.contains(secret), "{fault}");
            assert!(ring.signing.is_empty());
        }
    }
}
