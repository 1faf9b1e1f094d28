//! Issue and renewal against a store and a key source that misbehave: whatever breaks, nobody is let in, nobody is signed
//! out, and the next try succeeds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    collections::VecDeque,
    ops::{Deref, DerefMut},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use latchkey_token::{
    audit::{Event, EventKind, Reason},
    documents::Documents,
    failure::{Failure, Refusal, Unavailable},
    grants::{ClientIdentification, RenewRequest, TokenSet},
    ports::{
        Audit, DocumentSource, InsertSession, ReadSession, RedeemAssertion, RedemptionFailure, RenewSession,
        RenewalOutcome, RevokeSession,
    },
    registrations::{Credentials, Epochs},
    session::{Backing, Renewal, Revocation, Session, WriteOutcome},
    tokens::SingleUse,
    values::{SessionKey, Timestamp},
};
use latchkey_token_testkit::{
    InMemorySessions,
    fixture::{NOW, revocation},
    statement,
};

/// What goes wrong with the next write.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// The request never arrives.
    Lost,
    /// The write is made; the answer never arrives, and the SDK gives up.
    AnswerLost,
    /// The write is made, its answer is lost, and the SDK's own retry meets it.
    SeenTwice,
    /// As before, but somebody uses the new token in between.
    SeenTwiceAfterUse,
    /// The store refuses although its condition holds.
    Nonsense,
    /// The sessions' ends cannot be written.
    RevokeLost,
}

#[derive(Default)]
struct FaultyStore {
    sessions: InMemorySessions,
    faults: Mutex<VecDeque<Fault>>,
}

fn down() -> Unavailable {
    Unavailable::new("session store", "down")
}

impl FaultyStore {
    fn next(&self, fault: Fault) {
        self.faults.lock().unwrap().push_back(fault);
    }

    fn take(&self) -> Option<Fault> {
        self.faults.lock().unwrap().pop_front()
    }
}

impl InsertSession for FaultyStore {
    async fn insert(&self, session: &Session) -> Result<WriteOutcome, Unavailable> {
        match self.take() {
            None => self.sessions.insert(session).await,
            Some(Fault::Lost) => Err(down()),
            Some(Fault::SeenTwice) => {
                self.sessions.insert(session).await?;
                self.sessions.insert(session).await
            }
            Some(fault) => panic!("{fault:?}"),
        }
    }
}

impl RedeemAssertion for FaultyStore {
    async fn redeem(&self, assertion: &SingleUse, session: &Session) -> Result<WriteOutcome, RedemptionFailure> {
        match self.take() {
            None => self.sessions.redeem(assertion, session).await,
            Some(Fault::Lost) => Err(RedemptionFailure::OutcomeUnknown(down())),
            Some(Fault::SeenTwice) => {
                self.sessions.redeem(assertion, session).await?;
                self.sessions.redeem(assertion, session).await
            }
            Some(fault) => panic!("{fault:?}"),
        }
    }
}

impl RenewSession for FaultyStore {
    async fn renew(&self, renewal: &Renewal) -> Result<RenewalOutcome, Unavailable> {
        match self.take() {
            None => self.sessions.renew(renewal).await,
            Some(Fault::Lost) => Err(down()),
            Some(Fault::AnswerLost) => {
                self.sessions.renew(renewal).await?;
                Err(down())
            }
            Some(Fault::SeenTwice) => {
                self.sessions.renew(renewal).await?;
                self.sessions.renew(renewal).await
            }
            Some(Fault::SeenTwiceAfterUse) => {
                let WriteOutcome::Done(session) = self.sessions.renew(renewal).await? else { panic!("committed") };
                let mut use_of_it = renewal.clone();
                use_of_it.presented.generation = session.generation;
                use_of_it.presented.secret_hash = session.secret_hash;
                use_of_it.now = renewal.now.plus(30);
                use_of_it.access_expires_at = renewal.access_expires_at.plus(30);
                use_of_it.successor.generation = session.generation.next().unwrap();
                use_of_it.successor.secret_hash = latchkey_token_testkit::fixture::secret(77).hash();
                self.sessions.renew(&use_of_it).await?;
                self.sessions.renew(renewal).await
            }
            Some(Fault::Nonsense) => Ok(WriteOutcome::ByAnother(self.sessions.read(&renewal.key).await?)),
            Some(Fault::RevokeLost) => {
                self.next(Fault::RevokeLost);
                self.sessions.renew(renewal).await
            }
        }
    }
}

impl ReadSession for FaultyStore {
    async fn read(&self, key: &SessionKey) -> Result<Option<Session>, Unavailable> {
        match self.take() {
            Some(Fault::Lost) => Err(down()),
            Some(fault) => panic!("{fault:?}"),
            None => self.sessions.read(key).await,
        }
    }
}

impl RevokeSession for FaultyStore {
    async fn revoke(&self, key: &SessionKey, revocation: &Revocation) -> Result<WriteOutcome, Unavailable> {
        match self.take() {
            Some(Fault::RevokeLost) => Err(down()),
            Some(fault) => panic!("{fault:?}"),
            None => self.sessions.revoke(key, revocation).await,
        }
    }
}

#[derive(Default)]
struct Trail(Mutex<Vec<Event>>);

impl Audit for Trail {
    fn record(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

struct Source {
    cached: Result<Arc<Documents>, Unavailable>,
    /// What a reload finds, if it is newer.
    newer: Option<Arc<Documents>>,
    reloads: AtomicUsize,
}

impl Source {
    fn of(cached: Result<Arc<Documents>, Unavailable>) -> Self {
        Self { cached, newer: None, reloads: AtomicUsize::new(0) }
    }
}

impl DocumentSource for Source {
    async fn current(&self, _: Timestamp) -> Result<Arc<Documents>, Unavailable> {
        self.cached.clone()
    }

    async fn reloaded(&self, _: Timestamp) -> Result<Arc<Documents>, Unavailable> {
        self.reloads.fetch_add(1, Ordering::Relaxed);
        self.newer.clone().map_or_else(|| self.cached.clone(), Ok)
    }
}

/// The use cases and what they leave in the audit trail.
struct World {
    world: latchkey_token_testkit::World<FaultyStore, Source>,
    trail: Trail,
}

impl Deref for World {
    type Target = latchkey_token_testkit::World<FaultyStore, Source>;

    fn deref(&self) -> &Self::Target {
        &self.world
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.world
    }
}

const SECRET: &str = "test-secret";

const TAG_KEY: &str = r#"{"kid":1,"secret":"CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk"}"#;

fn documents(tag_keys: &str) -> Arc<Documents> {
    documents_with(tag_keys, "standard")
}

/// Two public clients: `spa` needs the refresh token alone, `desk`, of this profile, the access token as well; and a
/// confidential one.
fn documents_with(tag_keys: &str, profile: &str) -> Arc<Documents> {
    // SHA-256 of the secret above, and an HS256 key: the fastest there is, since signing is not the subject here.
    let hash = "9caf06bb4436cdbfa20af9121a626bc1093c4f54b31c0fa937957856135345b6";
    let keys = format!(
        r#"{{"signing":[{{"kid":"hs","alg":"HS256","secret":"a test secret of at least 32 bytes"}}],"tagging":[{tag_keys}]}}"#
    );
    let clients = format!(
        r#"{{"issuers":[{{"issuer_id":"portal","secret_sha256":["{hash}"],"clients":["spa","desk"]}}],
            "clients":[{{"client_id":"spa","type":"public","audience":["spa"],"alg":"HS256","kid":"hs",
                "renewal":{{"requires":"refresh_token"}}}},
                {{"client_id":"desk","type":"public","audience":["desk"],"alg":"HS256","kid":"hs",
                "scopes":["profile","email"],"profile":"{profile}"}},
                {{"client_id":"server","type":"confidential","secret_sha256":["{hash}"],"audience":["server"],
                "alg":"HS256","kid":"hs"}}]}}"#
    );
    Arc::new(Documents::parse(&keys, &clients).unwrap())
}

impl World {
    fn new() -> Self {
        let documents = Source::of(Ok(documents(TAG_KEY)));
        let world =
            latchkey_token_testkit::World::new(FaultyStore::default(), documents, "https://latchkey.example", NOW);
        Self { world, trail: Trail::default() }
    }

    async fn issue(&self) -> Result<TokenSet, Failure> {
        self.issue_for("spa").await
    }

    async fn issue_for(&self, client: &str) -> Result<TokenSet, Failure> {
        self.world.issue(&self.trail).run(statement("portal", SECRET, client, "alice")).await
    }

    async fn renew(&self, refresh_token: &str) -> Result<TokenSet, Failure> {
        let client = ClientIdentification::Named(vec!["spa".into()]);
        let refresh_token = refresh_token.into();
        self.answer(RenewRequest { client, refresh_token, access_token: None, scope: None, resource: Vec::new() }).await
    }

    /// As `desk`, with an access token.
    async fn renew_with(
        &self,
        tokens: &TokenSet,
        access_token: &str,
        scope: Option<&str>,
    ) -> Result<TokenSet, Failure> {
        let request = RenewRequest {
            client: ClientIdentification::Named(vec!["desk".into()]),
            refresh_token: tokens.refresh_token.clone(),
            access_token: Some(access_token.into()),
            scope: scope.map(str::to_owned),
            resource: Vec::new(),
        };
        self.answer(request).await
    }

    async fn answer(&self, request: RenewRequest) -> Result<TokenSet, Failure> {
        self.world.renew(&self.trail).run(request).await
    }

    async fn lets_in(&self, tokens: &TokenSet, audience: &str, known: Option<Backing>) -> bool {
        let admit = self.world.admit(audience, &self.trail);
        admit.run(&tokens.access_token, |_| known).await.unwrap().is_some()
    }

    async fn record(&self, tokens: &TokenSet) -> Session {
        self.store.sessions.read(&tokens.session).await.unwrap().unwrap()
    }

    fn last_event(&self) -> Event {
        self.trail.0.lock().unwrap().last().cloned().unwrap()
    }

    fn events(&self) -> Vec<EventKind> {
        self.trail.0.lock().unwrap().iter().map(|event| event.kind).collect()
    }
}

fn is_unavailable(result: &Result<TokenSet, Failure>) -> bool {
    matches!(result, Err(Failure::Unavailable(_)))
}

fn is_invalid_grant(result: &Result<TokenSet, Failure>) -> bool {
    matches!(result, Err(Failure::Refused(Refusal::InvalidGrant)))
}

fn ok(result: Result<TokenSet, Failure>) -> TokenSet {
    result.unwrap_or_else(|failure| panic!("{failure:?}"))
}

#[tokio::test]
async fn an_insert_that_is_seen_twice_succeeds() {
    let world = World::new();
    world.store.next(Fault::SeenTwice);
    let tokens = ok(world.issue().await);
    ok(world.renew(&tokens.refresh_token).await);
}

#[tokio::test]
async fn a_lost_request_leaves_everything_as_it_was() {
    let world = World::new();
    world.store.next(Fault::Lost);
    assert!(is_unavailable(&world.issue().await));
    let tokens = ok(world.issue().await);
    let before = world.record(&tokens).await;
    world.store.next(Fault::Lost);
    assert!(is_unavailable(&world.renew(&tokens.refresh_token).await));
    assert_eq!(world.record(&tokens).await, before);
    ok(world.renew(&tokens.refresh_token).await);
}

#[tokio::test]
async fn after_a_lost_answer_a_retry_gets_the_successor_that_was_written() {
    let world = World::new();
    let tokens = ok(world.issue().await);
    world.store.next(Fault::AnswerLost);
    assert!(is_unavailable(&world.renew(&tokens.refresh_token).await));
    let record = world.record(&tokens).await;
    assert_eq!(record.generation.number(), 1);
    let retried = ok(world.renew(&tokens.refresh_token).await);
    assert_eq!(world.record(&tokens).await, record, "a retry writes nothing");
    let next = ok(world.renew(&retried.refresh_token).await);
    assert_eq!(world.record(&next).await.generation.number(), 2);
    assert_eq!(
        world.events(),
        [EventKind::TokenIssued, EventKind::TokenRetried, EventKind::TokenRenewed],
        "every committed transition that was answered"
    );
}

#[tokio::test]
async fn the_sdks_own_retry_meeting_its_own_write_is_a_renewal_even_in_strict_mode() {
    for retry_seconds in [60, 0] {
        let mut world = World::new();
        world.policy.retry_public_seconds = retry_seconds;
        let tokens = ok(world.issue().await);
        world.store.next(Fault::SeenTwice);
        let renewed = ok(world.renew(&tokens.refresh_token).await);
        assert_eq!(world.record(&tokens).await.generation.number(), 1);
        assert!(world.record(&tokens).await.revocation.is_none());
        ok(world.renew(&renewed.refresh_token).await);
        assert_eq!(world.events()[1], EventKind::TokenRenewed);
    }
}

#[tokio::test]
async fn an_own_write_is_known_even_one_generation_later() {
    let world = World::new();
    let tokens = ok(world.issue().await);
    world.store.next(Fault::SeenTwiceAfterUse);
    let renewed = ok(world.renew(&tokens.refresh_token).await);
    assert_eq!(renewed.expires_in, 86_400, "not the other's access token");
    let record = world.record(&tokens).await;
    assert_eq!((record.generation.number(), &record.revocation), (2, &None), "no false reuse");
    // What we answer is generation 1, whose successor is somebody else's secret: its retry is an alarm, not theft.
    assert!(is_invalid_grant(&world.renew(&renewed.refresh_token).await));
    assert!(world.record(&tokens).await.revocation.is_none());
}

#[tokio::test]
async fn theft_is_recorded_even_if_the_session_cannot_be_ended_and_the_answer_is_not_a_refusal() {
    let world = World::new();
    let first = ok(world.issue().await);
    let second = ok(world.renew(&first.refresh_token).await);
    let third = ok(world.renew(&second.refresh_token).await);
    world.store.next(Fault::RevokeLost);
    assert!(is_unavailable(&world.renew(&first.refresh_token).await));
    assert_eq!(world.events().last(), Some(&EventKind::ReuseDetected));
    assert!(world.record(&third).await.revocation.is_none());
    assert!(is_invalid_grant(&world.renew(&first.refresh_token).await));
    assert!(world.record(&third).await.revocation.is_some());
    assert!(is_invalid_grant(&world.renew(&third.refresh_token).await));
}

#[tokio::test]
async fn a_store_that_contradicts_itself_is_infrastructure_trouble() {
    let world = World::new();
    let tokens = ok(world.issue().await);
    world.store.next(Fault::Nonsense);
    assert!(is_unavailable(&world.renew(&tokens.refresh_token).await));
    ok(world.renew(&tokens.refresh_token).await);
}

#[tokio::test]
async fn without_keys_nothing_is_judged() {
    let mut world = World::new();
    let tokens = ok(world.issue().await);
    world.documents.cached = Err(Unavailable::new("secret", "down"));
    assert!(is_unavailable(&world.issue().await));
    assert!(is_unavailable(&world.renew(&tokens.refresh_token).await));
    assert!(is_unavailable(&world.renew("garbage").await));
}

#[tokio::test]
async fn clocks_thirty_seconds_apart_make_no_false_reuse() {
    for offset in [-30_000, 30_000] {
        let world = World::new();
        let tokens = ok(world.issue().await);
        let renewed = ok(world.renew(&tokens.refresh_token).await);
        // The lost answer is retried at another function, whose clock is off.
        world.clock.advance_millis(offset);
        let retried = ok(world.renew(&tokens.refresh_token).await);
        assert_eq!(retried.refresh_token, renewed.refresh_token);
    }
}

#[tokio::test]
async fn an_access_token_of_another_session_or_client_renews_nothing() {
    let world = World::new();
    let (own, same_clients, anothers) =
        (ok(world.issue_for("desk").await), ok(world.issue_for("desk").await), ok(world.issue().await));
    for (access_token, reason) in [
        (&same_clients.access_token, "access_token_of_another_session"),
        (&anothers.access_token, "access_token_of_another_client"),
    ] {
        assert!(is_invalid_grant(&world.renew_with(&own, access_token, None).await));
        assert_eq!(world.last_event().reason.map(Reason::name), Some(reason));
        assert_eq!(world.record(&own).await.generation.number(), 0);
    }
    ok(world.renew_with(&own, &own.access_token, None).await);
}

#[tokio::test]
async fn an_access_token_renews_from_a_minute_before_its_time_until_its_grace_period_is_over() {
    let mut world = World::new();
    world.policy.grace_seconds = 3_600;
    let grace_ends = NOW.plus(86_400 + 3_600).unix_seconds();
    for (now, may_renew, left) in [
        (NOW.minus(61), false, 86_461),
        (NOW.minus(60), true, 86_460),
        (NOW.plus(100), true, 86_300),
        (Timestamp::from_unix_seconds(grace_ends - 1), true, -3_599),
        (Timestamp::from_unix_seconds(grace_ends), false, -3_600),
    ] {
        world.clock.set(NOW);
        let tokens = ok(world.issue_for("desk").await);
        world.clock.set(now);
        let answer = world.renew_with(&tokens, &tokens.access_token, None).await;
        assert_eq!(answer.is_ok(), may_renew, "{left} s before it expires");
        let event = world.last_event();
        assert_eq!((event.seconds_to_expiry, event.in_grace), (Some(left), Some(may_renew && left <= 0)));
        let (kind, reason) = match (may_renew, left <= 0) {
            (true, _) => (EventKind::TokenRenewed, None),
            (false, true) => (EventKind::TokenExpired, Some("access_token_expired")),
            (false, false) => (EventKind::RenewalRejected, Some("access_token_from_the_future")),
        };
        assert_eq!((event.kind, event.reason.map(Reason::name)), (kind, reason));
    }
}

#[tokio::test]
async fn a_scope_narrows_one_answer_and_spaces_do_not_matter() {
    let world = World::new();
    let first = ok(world.issue_for("desk").await);
    assert_eq!(first.scope.to_string(), "profile email");
    let narrowed = ok(world.renew_with(&first, &first.access_token, Some("  email ")).await);
    assert_eq!(narrowed.scope.to_string(), "email");
    let malformed = world.renew_with(&narrowed, &narrowed.access_token, Some("\"email\"")).await;
    assert!(matches!(malformed, Err(Failure::Refused(Refusal::InvalidScope { .. }))));
    assert_eq!(world.last_event().reason.map(Reason::name), Some("scope_malformed"));
    assert_eq!(world.last_event().client_id.as_deref(), Some("desk"));
    let whole = ok(world.renew_with(&narrowed, &narrowed.access_token, None).await);
    assert_eq!(whole.scope.to_string(), "profile email");
}

#[tokio::test]
async fn a_malformed_scope_is_answered_after_the_client_and_before_the_tokens() {
    let world = World::new();
    let tokens = ok(world.issue_for("desk").await);
    let ask = async |client, refresh_token: &str, access_token: Option<&str>| {
        let (refresh_token, access_token) = (refresh_token.to_owned(), access_token.map(str::to_owned));
        let scope = Some("\"".into());
        let answer =
            world.answer(RenewRequest { client, refresh_token, access_token, scope, resource: Vec::new() }).await;
        let Err(Failure::Refused(refusal)) = answer else { panic!("a refusal") };
        (refusal, world.last_event().reason.map(Reason::name))
    };
    let desk = || ClientIdentification::Named(vec!["desk".into()]);
    let known: [(_, &str, Option<&str>); 4] = [
        (desk(), &tokens.refresh_token, Some(&tokens.access_token)),
        (desk(), "forged", Some("forged")),
        (desk(), &tokens.refresh_token, None),
        // The access token has to tell which client it is, and the form of the request is cheaper to judge.
        (ClientIdentification::FromAccessToken, &tokens.refresh_token, Some("forged")),
    ];
    for (client, refresh_token, access_token) in known {
        let answer = ask(client, refresh_token, access_token).await;
        assert_eq!(answer, (Refusal::InvalidScope { unregistered: Vec::new() }, Some("scope_malformed")));
    }
    let credentials = |id: &str| vec![Credentials { id: id.into(), secret: "wrong".into() }];
    for (client, reason) in [
        (ClientIdentification::Named(vec!["nobody".into()]), "client_unknown"),
        (ClientIdentification::Named(vec!["server".into()]), "client_not_authenticated"),
        (ClientIdentification::Authenticated(credentials("server")), "client_unauthenticated"),
    ] {
        assert_eq!(ask(client, "forged", None).await, (Refusal::InvalidClient, Some(reason)));
    }
}

#[tokio::test]
async fn a_confidential_client_that_is_only_named_is_refused() {
    let world = World::new();
    let client = ClientIdentification::Named(vec!["server".into()]);
    let refresh_token = ok(world.issue().await).refresh_token;
    let refused = world
        .answer(RenewRequest { client, refresh_token, access_token: None, scope: None, resource: Vec::new() })
        .await;
    assert!(matches!(refused, Err(Failure::Refused(Refusal::InvalidClient))));
    let event = world.last_event();
    assert_eq!(
        (event.kind, event.reason.map(Reason::name)),
        (EventKind::ClientRejected, Some("client_not_authenticated"))
    );
}

#[tokio::test]
async fn the_audit_line_of_a_renewal_names_the_new_token_and_what_librechat_will_miss() {
    let mut world = World::new();
    let first = ok(world.issue_for("desk").await);
    let second = ok(world.renew_with(&first, &first.access_token, None).await);
    let event = world.last_event();
    assert_eq!((event.kind, event.generation, event.reason), (EventKind::TokenRenewed, Some(1), None));
    let jti = event.jti.unwrap();
    ok(world.renew_with(&first, &first.access_token, None).await);
    let event = world.last_event();
    assert_eq!((event.kind, event.generation), (EventKind::TokenRetried, Some(1)));
    assert_eq!(event.jti, Some(jti), "identical claims");

    // The client becomes one of LibreChat's after the session was issued without a user id.
    world.documents = Source::of(Ok(documents_with(TAG_KEY, "librechat")));
    ok(world.renew_with(&second, &second.access_token, None).await);
    assert_eq!(world.last_event().reason.map(Reason::name), Some("claim_id_missing"));
}

#[tokio::test]
async fn the_authorizer_lets_in_a_live_unexpired_token_for_its_audience() {
    let mut world = World::new();
    world.policy.grace_seconds = 3_600;
    let tokens = ok(world.issue_for("desk").await);
    assert!(world.lets_in(&tokens, "desk", None).await);
    assert!(!world.lets_in(&tokens, "spa", None).await);
    assert_eq!(world.last_event().reason.map(Reason::name), Some("access_token_audience_mismatch"));
    let known = world.record(&tokens).await.backing();
    assert!(known.is_some());
    assert!(world.store.revoke(&tokens.session, &revocation(1)).await.unwrap().is_done());
    assert!(!world.lets_in(&tokens, "desk", None).await);
    assert_eq!(world.last_event().reason.map(Reason::name), Some("session_not_live"));
    assert!(world.lets_in(&tokens, "desk", known.clone()).await, "found live a moment ago");
    world.clock.advance(86_400);
    assert!(!world.lets_in(&tokens, "desk", known).await);
    assert_eq!(world.last_event().reason.map(Reason::name), Some("access_token_expired"));
}

#[tokio::test]
async fn only_a_key_that_is_not_known_is_looked_up() {
    let mut world = World::new();
    let reloads = |world: &World| world.documents.reloads.load(Ordering::Relaxed);
    let tokens = ok(world.issue_for("desk").await);
    let tokens = ok(world.renew_with(&tokens, &tokens.access_token, None).await);
    assert_eq!(reloads(&world), 0);

    // The refresh token comes from a function whose ring is newer.
    let newer = documents(&format!(
        r#"{TAG_KEY},{{"kid":2,"secret":"CgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo","use_from":1}}"#
    ));
    world.documents = Source::of(Ok(Arc::clone(&newer)));
    let tokens = ok(world.renew_with(&tokens, &tokens.access_token, None).await);
    world.documents = Source { newer: Some(newer), ..Source::of(Ok(documents(TAG_KEY))) };
    ok(world.renew_with(&tokens, &tokens.access_token, None).await);
    assert_eq!(reloads(&world), 1);
}

#[tokio::test]
async fn a_retried_token_is_never_handed_out_expired() {
    let mut world = World::new();
    world.policy.access_token_seconds = 20;
    let tokens = ok(world.issue().await);
    let renewed = ok(world.renew(&tokens.refresh_token).await);
    world.clock.advance(19);
    assert_eq!(ok(world.renew(&tokens.refresh_token).await).expires_in, 1, "identical claims");
    world.clock.advance(1);
    let fresh = ok(world.renew(&tokens.refresh_token).await);
    assert_eq!(fresh.expires_in, 20);
    assert_eq!(fresh.refresh_token, renewed.refresh_token);
}

mod properties {
    use super::*;
    use latchkey_token::{
        json,
        keys::KeyRing,
        registrations::Registrations,
        session::{Decision, Presented, RenewalRules, Write, decide},
        tokens::{REFRESH_TOKEN_LENGTH, UnverifiedAccessToken, UnverifiedRefreshToken},
        values::Scope,
    };
    use latchkey_token_testkit::fixture::{renewal, secret, session};
    use proptest::prelude::*;

    /// What can be done to a session.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// Present the token of this many generations ago.
        Present(u32),
        Wait(u32),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (0u32..4).prop_map(Step::Present),
            1 => (0u32..120).prop_map(Step::Wait),
        ];
        proptest::collection::vec(step, 1..60)
    }

    proptest! {
        #[test]
        fn a_session_only_ever_moves_forward(steps in steps(), retry_seconds in 0u32..100) {
            let rules = RenewalRules { retry_seconds, window_seconds: 0, epochs: Epochs::NONE };
            let mut record = session(1);
            let mut now = NOW;
            for step in steps {
                match step {
                    Step::Wait(seconds) => now = now.plus(seconds),
                    Step::Present(ago) => {
                        let Some(generation) = record.generation.number().checked_sub(ago) else { continue };
                        let presented = Presented {
                            generation: latchkey_token::values::Generation::new(generation),
                            secret_hash: secret(generation).hash(),
                            ..renewal(&record, now).presented
                        };
                        let elapsed = now.millis_since(record.rotated_at);
                        match decide(Some(&record), &presented, now, &rules) {
                            Decision::Renewed(Write::Due) => {
                                prop_assert!(ago == 0 && record.revocation.is_none());
                                let next = record.renewed(&renewal(&record, now));
                                prop_assert_eq!(next.generation.number(), record.generation.number() + 1);
                                prop_assert_eq!(next.absolute_expires_at, record.absolute_expires_at);
                                prop_assert_eq!((&next.scope, &next.subject, &next.audience), (&record.scope, &record.subject, &record.audience));
                                record = next;
                            }
                            Decision::Retried => {
                                prop_assert!(ago == 1 && retry_seconds > 0 && elapsed <= i64::from(retry_seconds) * 1000);
                            }
                            Decision::Reused(_) => {
                                prop_assert!(ago >= 2 || retry_seconds == 0 || elapsed > i64::from(retry_seconds) * 1000);
                                record = record.ended(&revocation(1));
                            }
                            Decision::Refused(reason) => {
                                prop_assert_eq!(reason, Reason::SessionRevoked);
                                prop_assert!(record.revocation.is_some());
                            }
                            Decision::Renewed(Write::Done) => prop_assert!(false, "nobody has written on our behalf"),
                            Decision::TooEarly { .. } => prop_assert!(false, "there is no window"),
                            Decision::Undecided => prop_assert!(false, "there is no epoch"),
                        }
                    }
                }
            }
        }

        #[test]
        fn no_parser_panics_and_none_accepts_noise(text in any::<String>(), bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(UnverifiedRefreshToken::parse(&text).is_err() || text.len() == REFRESH_TOKEN_LENGTH);
            prop_assert!(UnverifiedAccessToken::parse(&text).is_err());
            prop_assert!(KeyRing::parse(&text).is_err());
            prop_assert!(Registrations::parse(&text).is_err());
            let _ = Scope::parse(&text);
            let _ = SessionKey::parse(&text);
            if let Ok(value) = json::parse(&bytes) {
                prop_assert_eq!(serde_json_round_trip(&value), value);
            }
        }

        #[test]
        fn scopes_read_back_as_written(names in proptest::collection::vec("[!#-\\[\\]-~]{1,8}", 0..6)) {
            let scope = Scope::from_names(names.iter().map(String::as_str)).unwrap();
            prop_assert_eq!(Scope::parse(&scope.to_string()).unwrap(), scope);
        }
    }

    fn serde_json_round_trip(value: &json::Value) -> json::Value {
        json::parse(value.to_string().as_bytes()).unwrap()
    }
}
