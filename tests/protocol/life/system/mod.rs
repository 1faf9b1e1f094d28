//! The product: its use cases on a store in memory that loses what it is told to lose.

mod sign_ins;

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use aws_lc_rs::digest::{SHA256, digest};
use latchkey_token::{
    audit::Event,
    documents::Documents,
    failure::{Failure, Unavailable},
    grants::{ClientIdentification, IssueRequest, RenewRequest, TokenSet},
    json::{Map, Value},
    keys::{Algorithm, thumbprint},
    management::{CallerIdentification, ListedPage, PageLimit, SessionFilter, SubjectSessions},
    policy::Policy,
    ports::{
        Audit, Clock, InsertSession, ListSessions, Page, ReadSession, RedeemAssertion, RedemptionFailure, RenewSession,
        RenewalOutcome, RevokeSession,
    },
    registrations::Credentials,
    rotation::{RingDocument, RotationLimits, SigningEntry, TagEntry, plan},
    session::{Renewal, Revocation, Session, WriteOutcome},
    tokens::SingleUse,
    values::{ClientId, Owner, SessionKey, Sid, Subject, Timestamp},
};
use latchkey_token_lambda::system::generate_private_key;
use latchkey_token_testkit::{FixedDocuments, InMemorySessions, SeededRandomness, SettableClock, World, statement};
use serde_json::json;

pub use sign_ins::{NONCE, Place};

use super::reference::{self, BEGIN, BROWSERS, Caller, Client, Fault, Issuer, MAX_ROTATIONS, Settings};

pub const ISSUER: &str = "https://latchkey.example";
const LIMITS: RotationLimits = RotationLimits { secrets_ttl_seconds: 300, jwks_seconds: 300 };

/// Counts its writes, and fails as it is told.
#[derive(Default)]
pub struct Store {
    sessions: InMemorySessions,
    fault: Mutex<Option<Fault>>,
    writes: AtomicUsize,
}

impl Store {
    pub fn fail(&self, fault: Fault) {
        *self.fault.lock().unwrap() = Some(fault).filter(|fault| *fault != Fault::None);
    }

    pub fn writes(&self) -> usize {
        self.writes.load(Ordering::Relaxed)
    }

    /// All of an owner's records.
    pub fn of(&self, owner: &Owner) -> Vec<Session> {
        done(self.sessions.list(owner)).unwrap()
    }

    fn is_to(&self, faults: &[Fault]) -> bool {
        self.fault.lock().unwrap().is_some_and(|fault| faults.contains(&fault))
    }

    fn wrote(&self, has_written: bool) {
        self.writes.fetch_add(usize::from(has_written), Ordering::Relaxed);
    }
}

fn down() -> Unavailable {
    Unavailable::new("session store", "down")
}

impl InsertSession for Store {
    async fn insert(&self, session: &Session) -> Result<WriteOutcome, Unavailable> {
        if self.is_to(&[Fault::Lost]) {
            return Err(down());
        }
        let outcome = self.sessions.insert(session).await?;
        self.wrote(matches!(outcome, WriteOutcome::Done(())));
        if self.is_to(&[Fault::AnswerLost]) {
            return Err(down());
        }
        if self.is_to(&[Fault::SeenTwice]) { self.sessions.insert(session).await } else { Ok(outcome) }
    }
}

impl RedeemAssertion for Store {
    async fn redeem(&self, assertion: &SingleUse, session: &Session) -> Result<WriteOutcome, RedemptionFailure> {
        self.sessions.redeem(assertion, session).await
    }
}

impl RenewSession for Store {
    async fn renew(&self, renewal: &Renewal) -> Result<RenewalOutcome, Unavailable> {
        if self.is_to(&[Fault::Lost]) {
            return Err(down());
        }
        let outcome = self.sessions.renew(renewal).await?;
        self.wrote(matches!(outcome, WriteOutcome::Done(_)));
        if self.is_to(&[Fault::AnswerLost]) {
            Err(down())
        } else if self.is_to(&[Fault::SeenTwice]) {
            let again = self.sessions.renew(renewal).await?;
            self.wrote(matches!(again, WriteOutcome::Done(_)));
            Ok(again)
        } else {
            Ok(outcome)
        }
    }
}

impl ReadSession for Store {
    async fn read(&self, key: &SessionKey) -> Result<Option<Session>, Unavailable> {
        if self.is_to(&[Fault::Lost, Fault::AnswerLost]) {
            return Err(down());
        }
        self.sessions.read(key).await
    }
}

impl ListSessions for Store {
    async fn list(&self, owner: &Owner) -> Result<Vec<Session>, Unavailable> {
        self.sessions.list(owner).await
    }

    async fn page(&self, owner: &Owner, after: &Sid, limit: usize) -> Result<Page<Session>, Unavailable> {
        self.sessions.page(owner, after, limit).await
    }

    async fn keys(
        &self,
        owner: &Owner,
        after: &Sid,
        client: Option<&ClientId>,
    ) -> Result<Page<SessionKey>, Unavailable> {
        self.sessions.keys(owner, after, client).await
    }
}

impl RevokeSession for Store {
    async fn revoke(&self, key: &SessionKey, revocation: &Revocation) -> Result<WriteOutcome, Unavailable> {
        if self.is_to(&[Fault::EndLost]) {
            return Err(down());
        }
        let has_ended = self.sessions.revoke(key, revocation).await?;
        self.wrote(matches!(has_ended, WriteOutcome::Done(())));
        Ok(has_ended)
    }
}

#[derive(Default)]
struct Trail(Mutex<Vec<&'static str>>);

impl Audit for Trail {
    fn record(&self, event: &Event) {
        self.0.lock().unwrap().push(event.kind.name());
    }
}

pub struct System {
    world: World<Store, FixedDocuments>,
    ring: RingDocument,
    /// How many of the keys made in advance are in the ring, by algorithm.
    used: BTreeMap<&'static str, usize>,
    trail: Trail,
    /// Every session's key, in the order of their issue.
    pub keys: Vec<SessionKey>,
    /// The tokens that have reached anybody, by session and generation.
    pub refresh_tokens: BTreeMap<(usize, u32), String>,
    pub access_tokens: BTreeMap<(usize, u32), String>,
    pub id_tokens: BTreeMap<(usize, u32), String>,
    /// The tickets of all sign-ins, the answers to them, and the codes that have come to their clients, by session.
    pub tickets: Vec<String>,
    pub answers: Vec<String>,
    pub codes: BTreeMap<usize, String>,
    cookies: [Option<String>; BROWSERS],
    restarts: u64,
}

impl System {
    pub fn new(life: &reference::World) -> Self {
        let tagging = vec![TagEntry {
            kid: 1,
            secret: "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk".into(),
            use_from: 0,
            retire_at: None,
            other: Map::new(),
        }];
        let signing = vec![entry(Algorithm::Es256, 0, 0, 0)];
        let ring = RingDocument::of(signing, tagging);
        let begin = Timestamp::from_unix_millis(BEGIN);
        let mut world = World::new(Store::default(), documents(&ring, life), ISSUER, begin);
        world.policy = policy(&life.settings);
        Self {
            world,
            ring,
            used: BTreeMap::from([(Algorithm::Es256.name(), 1)]),
            trail: Trail::default(),
            keys: Vec::new(),
            refresh_tokens: BTreeMap::new(),
            access_tokens: BTreeMap::new(),
            id_tokens: BTreeMap::new(),
            tickets: Vec::new(),
            answers: Vec::new(),
            codes: BTreeMap::new(),
            cookies: [const { None }; BROWSERS],
            restarts: 0,
        }
    }

    pub fn set(&mut self, life: &reference::World) {
        self.world.policy = policy(&life.settings);
        self.world.documents = documents(&self.ring, life);
    }

    /// Nothing is left of the functions but the table, and nothing of the others but what they hold.
    pub fn restarted(self, life: &reference::World) -> Self {
        let store = self.world.store;
        let now = self.world.clock.now();
        let mut world = World::new(store, documents(&self.ring, life), ISSUER, now);
        world.policy = policy(&life.settings);
        // Never the same random numbers again: a function knows its own write by them.
        let restarts = self.restarts + 1;
        world.randomness = SeededRandomness::new(1 + restarts);
        Self { world, restarts, ..self }
    }

    /// What the rotation function makes of the ring, in one go.
    pub fn rotate_keys(&mut self, life: &reference::World) {
        let plan = plan(&self.ring, life.now.div_euclid(1000), LIMITS);
        self.ring = plan.ring;
        for key in plan.new_signing {
            let used = self.used.entry(key.algorithm.name()).or_default();
            self.ring.signing.push(entry(key.algorithm, *used, key.publish_at, key.sign_from));
            *used += 1;
        }
        if let Some(key) = plan.new_tagging {
            use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
            let secret = URL_SAFE_NO_PAD.encode([key.kid; 32]);
            self.ring.tagging.push(TagEntry {
                kid: key.kid,
                secret,
                use_from: key.use_from,
                retire_at: None,
                other: Map::new(),
            });
        }
        self.world.documents = documents(&self.ring, life);
    }

    pub fn events(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.trail.0.lock().unwrap())
    }

    pub fn issue(
        &self,
        issuer: Issuer,
        client: Client,
        subject: &str,
        expires_in: Option<u32>,
    ) -> Result<TokenSet, Failure> {
        let statement = statement(issuer.id(), &secret_of(issuer.id()), client.id(), subject);
        let request = IssueRequest { expires_in, ..statement };
        done(self.world.issue(&self.trail).run(request))
    }

    pub fn renew(
        &self,
        client: Client,
        refresh_token: &str,
        access_token: Option<&String>,
    ) -> Result<TokenSet, Failure> {
        let request = RenewRequest {
            client: own_identification(client),
            refresh_token: refresh_token.into(),
            access_token: access_token.cloned(),
            scope: None,
            resource: Vec::new(),
        };
        done(self.world.renew(&self.trail).run(request))
    }

    pub fn revoke(&self, by: Caller, token: &str) -> Result<(), Failure> {
        done(self.world.revoke(&self.trail).run(&identification(by), token))
    }

    pub fn introspect(&self, by: Caller, token: &str) -> Result<Map<String, Value>, Failure> {
        done(self.world.introspect(&self.trail).run(&identification(by), token))
    }

    pub fn end_one(&self, key: &SessionKey) -> Result<usize, Failure> {
        done(self.sessions().end_one(&identification(Caller::Issuer), key))
    }

    pub fn end_all(&self, subject: &str) -> Result<usize, Failure> {
        let ended = done(self.sessions().end_all(&identification(Caller::Issuer), &filter(subject)))?;
        assert!(!ended.has_more);
        Ok(ended.count)
    }

    pub fn list(&self, subject: &str) -> Result<ListedPage, Failure> {
        done(self.sessions().list(&identification(Caller::Issuer), &filter(subject), PageLimit::MAX, None))
    }

    pub fn record(&self, session: usize) -> Session {
        done(self.world.store.sessions.read(&self.keys[session])).unwrap().unwrap()
    }

    fn sessions(&self) -> SubjectSessions<'_, Store, FixedDocuments> {
        self.world.sessions(&self.trail)
    }

    pub fn store(&self) -> &Store {
        &self.world.store
    }

    pub fn clock(&self) -> &SettableClock {
        &self.world.clock
    }
}

/// Nothing here waits for anything.
fn done<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("a store in memory has nothing to wait for"),
    }
}

fn filter(subject: &str) -> SessionFilter {
    SessionFilter { subject: Subject::parse(subject).unwrap(), client_id: None }
}

fn own_identification(client: Client) -> ClientIdentification {
    match client {
        Client::Desk => ClientIdentification::Authenticated(credentials("desk")),
        Client::Spa => ClientIdentification::Named(vec!["spa".into()]),
    }
}

fn identification(caller: Caller) -> CallerIdentification {
    match caller {
        Caller::Issuer => CallerIdentification::Issuer(credentials("portal")),
        Caller::Client(Client::Desk) => CallerIdentification::Client(credentials("desk")),
        Caller::Client(Client::Spa) => CallerIdentification::Named(vec!["spa".into()]),
    }
}

fn secret_of(id: &str) -> String {
    format!("the secret of {id} in this test")
}

fn credentials(id: &str) -> Vec<Credentials> {
    vec![Credentials { id: id.into(), secret: secret_of(id) }]
}

fn policy(settings: &Settings) -> Policy {
    Policy {
        access_token_seconds: settings.access,
        grace_seconds: settings.grace,
        window_seconds: settings.window,
        idle_seconds: settings.idle,
        absolute_seconds: settings.absolute,
        retry_public_seconds: settings.retry_spa,
        ..Policy::new(ISSUER)
    }
}

fn documents(ring: &RingDocument, life: &reference::World) -> FixedDocuments {
    let reference::World { settings, epochs, .. } = life;
    let hash = |id: &str| -> String {
        digest(&SHA256, secret_of(id).as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let clients = json!({
        "sessions_not_before": epochs.everybody,
        "issuers": [
            {"issuer_id": "portal", "secret_sha256": [hash("portal")], "clients": ["desk", "spa"],
             "sign_in_url": sign_ins::sign_in_url(), "sessions_not_before": epochs.portal},
            {"issuer_id": "office", "secret_sha256": [hash("office")], "clients": ["desk", "spa"],
             "sessions_not_before": epochs.office},
        ],
        "clients": [
            {"client_id": "desk", "type": "confidential", "secret_sha256": [hash("desk")], "alg": "ES256",
             "audience": ["desk", "api"], "scopes": ["openid", "profile", "email"],
             "redirect_uris": [sign_ins::callback(Client::Desk)], "sessions_not_before": epochs.desk,
             "renewal": {"retry_seconds": settings.retry_desk}},
            {"client_id": "spa", "type": "public", "alg": "ES256", "audience": ["spa"], "scopes": ["openid", "profile"],
             "redirect_uris": [sign_ins::callback(Client::Spa)], "sessions_not_before": epochs.spa, "renewal": {"requires": "refresh_token"}},
        ],
    });
    let ring = serde_json::to_string(ring).unwrap();
    FixedDocuments::new(Documents::parse(&ring, &clients.to_string()).unwrap())
}

/// The `number`th key of its algorithm, made once for all lives.
fn entry(algorithm: Algorithm, number: usize, publish_at: i64, sign_from: i64) -> SigningEntry {
    static MADE: OnceLock<BTreeMap<&'static str, Vec<(String, String)>>> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let make = |algorithm: Algorithm| {
            let keys = (0..MAX_ROTATIONS + 2).map(|_| {
                let pem = generate_private_key(algorithm).unwrap();
                (thumbprint(algorithm, &pem).unwrap().as_str().to_owned(), pem)
            });
            (algorithm.name(), keys.collect())
        };
        BTreeMap::from([make(Algorithm::Es256), make(Algorithm::Rs256)])
    });
    let (kid, pem) = made[algorithm.name()][number].clone();
    let (alg, private_key) = (algorithm.name().to_owned(), Some(pem));
    SigningEntry { kid, alg, private_key, secret: None, publish_at, sign_from, retire_at: None, other: Map::new() }
}
