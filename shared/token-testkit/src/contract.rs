//! What every session store must do, whatever it is made of. Each rule is a function of its own, on a session of its
//! own; [`check_all`] runs them one after the other and panics at the first that does not hold.

use latchkey_token::{
    ports::{
        InsertSession, ListSessions, ReadSession, RedeemAssertion, Redemption, RenewSession, RenewalOutcome,
        RevokeSession,
    },
    session::{Renewal, Revocation, Session},
    tokens::SingleUse,
    values::{AssertionKey, ClientId, Generation, Sid, Timestamp},
};

use crate::fixture::{NOW, renewal, secret, session};

/// A complete session store.
pub trait SessionStore:
    InsertSession + RedeemAssertion + RenewSession + ReadSession + RevokeSession + ListSessions
{
}

impl<S> SessionStore for S where
    S: InsertSession + RedeemAssertion + RenewSession + ReadSession + RevokeSession + ListSessions
{
}

/// Runs every rule.
pub async fn check_all(store: &impl SessionStore) {
    what_was_inserted_is_read(store, 1).await;
    an_insert_seen_twice_is_one(store, 2).await;
    an_insert_never_overwrites(store, 3).await;
    a_renewal_is_written_and_returned(store, 4).await;
    a_failed_condition_writes_nothing_and_returns_the_record(store, 5).await;
    expiry_is_in_the_condition(store, 20).await;
    the_window_is_in_the_condition(store, 6).await;
    the_audience_is_in_the_condition(store, 7).await;
    nothing_is_renewed_without_a_record(store, 8).await;
    a_revocation_is_final(store, 9).await;
    a_revocation_creates_nothing(store, 10).await;
    a_chain_of_renewals_holds(store, 11).await;
    of_many_renewals_at_once_one_is_written(store, 12).await;
    an_owners_sessions_are_listed_completely(store, 13).await;
    an_assertion_is_redeemed_once_with_its_session_or_not_at_all(store, 40).await;
}

async fn inserted(store: &impl SessionStore, number: u32) -> Session {
    let session = session(number);
    store.insert(&session).await.expect("inserted");
    session
}

async fn stored(store: &impl SessionStore, session: &Session) -> Session {
    store.read(&session.key).await.expect("read").expect("a record")
}

async fn fails(store: &impl SessionStore, renewal: &Renewal) -> Option<Session> {
    match store.renew(renewal).await.expect("an answer") {
        RenewalOutcome::ConditionFailed(record) => record,
        RenewalOutcome::Committed(_) => panic!("the condition held: {renewal:?}"),
    }
}

async fn commits(store: &impl SessionStore, renewal: &Renewal) -> Session {
    match store.renew(renewal).await.expect("an answer") {
        RenewalOutcome::Committed(session) => session,
        RenewalOutcome::ConditionFailed(record) => panic!("the condition failed: {renewal:?} on {record:?}"),
    }
}

async fn what_was_inserted_is_read(store: &impl SessionStore, number: u32) {
    assert_eq!(store.read(&session(number).key).await.expect("read"), None);
    let session = inserted(store, number).await;
    assert_eq!(stored(store, &session).await, session);
}

async fn an_insert_seen_twice_is_one(store: &impl SessionStore, number: u32) {
    let session = inserted(store, number).await;
    store.insert(&session).await.expect("our own write");
    assert_eq!(stored(store, &session).await, session);
}

async fn an_insert_never_overwrites(store: &impl SessionStore, number: u32) {
    let session = inserted(store, number).await;
    let other = Session { secret_hash: secret(99).hash(), ..session.clone() };
    store.insert(&other).await.expect_err("the id is taken");
    assert_eq!(stored(store, &session).await, session);
}

async fn a_renewal_is_written_and_returned(store: &impl SessionStore, number: u32) {
    let session = inserted(store, number).await;
    let renewal = renewal(&session, NOW.plus(100));
    let committed = commits(store, &renewal).await;
    assert_eq!(committed, session.renewed(&renewal));
    assert_eq!(stored(store, &session).await, committed);
}

async fn a_failed_condition_writes_nothing_and_returns_the_record(store: &impl SessionStore, number: u32) {
    let session = inserted(store, number).await;
    let spoilt: [fn(&mut Renewal); 4] = [
        |renewal| renewal.presented.client_id = ClientId::parse("other").expect("a client id"),
        |renewal| renewal.presented.generation = Generation::new(1),
        |renewal| renewal.presented.secret_hash = secret(99).hash(),
        |renewal| renewal.presented.audience = Some(vec!["librechat".into()]),
    ];
    for spoil in spoilt {
        let mut renewal = renewal(&session, NOW);
        spoil(&mut renewal);
        assert_eq!(fails(store, &renewal).await.as_ref(), Some(&session));
        assert_eq!(stored(store, &session).await, session);
    }
}

async fn expiry_is_in_the_condition(store: &impl SessionStore, number: u32) {
    let just_before = |moment: Timestamp| Timestamp::from_unix_millis(moment.unix_millis() - 1);
    for (offset, expire) in [
        (0, (|session, moment| session.idle_expires_at = moment) as fn(&mut Session, Timestamp)),
        (1, |session, moment| session.absolute_expires_at = moment),
    ] {
        let mut session = session(number + offset);
        let end = NOW.plus(50);
        expire(&mut session, end);
        store.insert(&session).await.expect("inserted");
        assert_eq!(fails(store, &renewal(&session, end)).await.as_ref(), Some(&session));
        commits(store, &renewal(&session, just_before(end))).await;
    }
}

async fn the_window_is_in_the_condition(store: &impl SessionStore, number: u32) {
    let session = inserted(store, number).await;
    let opens_at = session.access_expires_at.minus(600);
    let at = |millis_later: i64| {
        let mut renewal = renewal(&session, Timestamp::from_unix_millis(opens_at.unix_millis() + millis_later));
        renewal.rules.window_seconds = 600;
        renewal
    };
    fails(store, &at(-1)).await.expect("the record");
    commits(store, &at(0)).await;
}

async fn the_audience_is_in_the_condition(store: &impl SessionStore, number: u32) {
    let session = inserted(store, number).await;
    let with = |audience: &[&str]| {
        let mut renewal = renewal(&session, NOW);
        renewal.presented.audience = Some(audience.iter().map(|name| (*name).to_owned()).collect());
        renewal
    };
    for other in [&["api", "librechat"][..], &["librechat", "api", "api"], &["other"]] {
        fails(store, &with(other)).await.expect("the record");
    }
    commits(store, &with(&["librechat", "api"])).await;
}

async fn nothing_is_renewed_without_a_record(store: &impl SessionStore, number: u32) {
    let session = session(number);
    assert_eq!(fails(store, &renewal(&session, NOW)).await, None);
    assert_eq!(store.read(&session.key).await.expect("read"), None, "a renewal creates nothing");
}

async fn a_revocation_is_final(store: &impl SessionStore, number: u32) {
    let session = inserted(store, number).await;
    let revocation = |reason: &str| Revocation { at: NOW.plus(1), reason: reason.into() };
    assert!(store.revoke(&session.key, &revocation("first")).await.expect("an answer"));
    assert!(!store.revoke(&session.key, &revocation("second")).await.expect("an answer"));
    let revoked = Session { revocation: Some(revocation("first")), ..session.clone() };
    assert_eq!(stored(store, &session).await, revoked);
    assert_eq!(fails(store, &renewal(&session, NOW)).await, Some(revoked));
}

async fn a_revocation_creates_nothing(store: &impl SessionStore, number: u32) {
    let session = session(number);
    let revocation = Revocation { at: NOW, reason: "logout".into() };
    assert!(!store.revoke(&session.key, &revocation).await.expect("an answer"));
    assert_eq!(store.read(&session.key).await.expect("read"), None);
}

async fn a_chain_of_renewals_holds(store: &impl SessionStore, number: u32) {
    let mut session = inserted(store, number).await;
    for step in 1..=10 {
        let next = commits(store, &renewal(&session, NOW.plus(step))).await;
        assert_eq!(next.generation, Generation::new(step));
        assert_eq!(next.absolute_expires_at, session.absolute_expires_at);
        fails(store, &renewal(&session, NOW.plus(step))).await.expect("the record");
        session = next;
    }
}

async fn an_owners_sessions_are_listed_completely(store: &impl SessionStore, number: u32) {
    let first = inserted(store, number).await;
    let mut second = first.clone();
    second.key.sid = session(number + 1_000).key.sid;
    store.insert(&second).await.expect("inserted");
    store.revoke(&second.key, &Revocation { at: NOW, reason: "logout".into() }).await.expect("an answer");
    inserted(store, number + 1).await;
    let mut listed = store.list(&first.key.owner).await.expect("a list");
    listed.sort_by_key(|session| session.key);
    let mut expected = vec![first.key, second.key];
    expected.sort();
    assert_eq!(listed.iter().map(|session| session.key).collect::<Vec<_>>(), expected, "revoked ones too");
}

async fn of_many_renewals_at_once_one_is_written(store: &impl SessionStore, number: u32) {
    let session = inserted(store, number).await;
    let renewals: Vec<Renewal> = (0..16)
        .map(|writer| {
            let mut renewal = renewal(&session, NOW);
            renewal.successor.secret_hash = secret(1_000 + writer).hash();
            renewal
        })
        .collect();
    let mut pending: Vec<_> = renewals.iter().map(|renewal| Box::pin(store.renew(renewal))).collect();
    let mut committed = 0;
    let outcomes = std::future::poll_fn(|context| {
        let mut done = Vec::new();
        pending.retain_mut(|write| match write.as_mut().poll(context) {
            std::task::Poll::Ready(outcome) => {
                done.push(outcome);
                false
            }
            std::task::Poll::Pending => true,
        });
        for outcome in done {
            committed += usize::from(matches!(outcome.expect("an answer"), RenewalOutcome::Committed(_)));
        }
        if pending.is_empty() { std::task::Poll::Ready(committed) } else { std::task::Poll::Pending }
    });
    assert_eq!(outcomes.await, 1);
    assert_eq!(stored(store, &session).await.generation, Generation::new(1));
}

async fn an_assertion_is_redeemed_once_with_its_session_or_not_at_all(store: &impl SessionStore, number: u32) {
    let session = session(number);
    let assertion = SingleUse { key: AssertionKey::of(&session.issuer_id, "once"), until: NOW.plus(600) };
    let redeem = async |session: &Session| store.redeem(&assertion, session).await.expect("an answer");
    assert_eq!(redeem(&session).await, Redemption::Redeemed);
    assert_eq!(stored(store, &session).await, session);
    assert_eq!(redeem(&session).await, Redemption::Redeemed, "our own write seen twice");

    let second = fixture_of_the_same_owner(&session);
    assert_eq!(redeem(&second).await, Redemption::AlreadyUsed);
    assert_eq!(store.read(&second.key).await.expect("read"), None, "nothing was written");
    let other = SingleUse { key: AssertionKey::of(&session.issuer_id, "another"), ..assertion };
    assert_eq!(store.redeem(&other, &second).await.expect("an answer"), Redemption::Redeemed);

    // The records of used assertions are nobody's sessions.
    let listed = store.list(&session.key.owner).await.expect("a list");
    assert_eq!(listed.len(), 2);
}

fn fixture_of_the_same_owner(session: &Session) -> Session {
    let mut second = session.clone();
    second.key.sid = Sid::new(session.absolute_expires_at, session.access_token_seconds, [9; 7]);
    second.secret_hash = secret(77).hash();
    second
}
