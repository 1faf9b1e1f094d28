//! Sessions that are issued: inserted, renewed, ended, listed.

use latchkey_token::{
    registrations::Epochs,
    session::{Renewal, Session, WriteOutcome},
    tokens::SingleUse,
    values::{AssertionKey, ClientId, Generation, IssuerId, Sid, Timestamp},
};

use super::asserting::{SessionStore, commits, fails, of_many_at_once_one_is_written, stored};
use crate::fixture::{NOW, renewal, revocation, secret, session};

pub(super) async fn check_all(store: &impl SessionStore) {
    what_was_inserted_is_read(store, 1).await;
    an_insert_seen_twice_is_one(store, 2).await;
    an_insert_never_overwrites(store, 3).await;
    a_renewal_is_written_and_returned(store, 4).await;
    a_failed_condition_writes_nothing_and_returns_the_record(store, 5).await;
    expiry_is_in_the_condition(store, 20).await;
    the_window_is_in_the_condition(store, 6).await;
    a_renewal_knows_its_own_write(store, 7).await;
    epochs_are_in_the_condition(store, 8).await;
    where_an_epoch_cannot_be_read_nothing_of_its_issuer_is_renewed(store, 60).await;
    nothing_is_renewed_without_a_record(store, 18).await;
    a_revocation_is_final(store, 9).await;
    a_revocation_creates_nothing(store, 10).await;
    a_chain_of_renewals_holds(store, 11).await;
    of_many_renewals_at_once_one_is_written(store, 12).await;
    an_owners_sessions_are_listed_completely(store, 13).await;
    pages_hold_what_is_neither_over_nor_revoked_in_order(store, 50).await;
    an_assertion_is_redeemed_once_with_its_session_or_not_at_all(store, 40).await;
}

async fn inserted(store: &impl SessionStore, number: u32) -> Session {
    let session = session(number);
    store.insert(&session).await.expect("inserted");
    session
}

async fn what_was_inserted_is_read(store: &impl SessionStore, number: u32) {
    assert_eq!(store.read(&session(number).key).await.expect("read"), None);
    let session = inserted(store, number).await;
    assert_eq!(stored(store, &session).await, session);
}

async fn an_insert_seen_twice_is_one(store: &impl SessionStore, number: u32) {
    let session = inserted(store, number).await;
    assert_eq!(store.insert(&session).await.expect("an answer"), WriteOutcome::DoneBefore(()));
    assert_eq!(stored(store, &session).await, session);
}

async fn an_insert_never_overwrites(store: &impl SessionStore, number: u32) {
    let session = inserted(store, number).await;
    let other = Session { secret_hash: secret(99).hash(), ..session.clone() };
    assert_eq!(store.insert(&other).await.expect("an answer"), WriteOutcome::ByAnother(()));
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
    let spoilt: [fn(&mut Renewal); 3] = [
        |renewal| renewal.presented.client_id = ClientId::parse("other").expect("a client id"),
        |renewal| renewal.presented.generation = Generation::new(1),
        |renewal| renewal.presented.secret_hash = secret(99).hash(),
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

async fn a_renewal_knows_its_own_write(store: &impl SessionStore, number: u32) {
    let session = inserted(store, number).await;
    let renewal = renewal(&session, NOW);
    let committed = commits(store, &renewal).await;
    assert_eq!(store.renew(&renewal).await.expect("an answer"), WriteOutcome::DoneBefore(committed.clone()));
    let mut of_another = renewal;
    of_another.successor.secret_hash = secret(99).hash();
    assert_eq!(fails(store, &of_another).await, Some(committed));
}

async fn epochs_are_in_the_condition(store: &impl SessionStore, number: u32) {
    let session = inserted(store, number).await;
    let (own, other) = (session.issuer_id.clone(), IssuerId::parse("other").expect("an issuer id"));
    let just_after = Timestamp::from_unix_millis(session.issued_at.unix_millis() + 1);
    let with = |floor: Option<Timestamp>, issuers: &[(&IssuerId, Timestamp)]| {
        let mut renewal = renewal(&session, NOW);
        let issuers = issuers.iter().map(|(issuer, epoch)| ((*issuer).clone(), *epoch));
        renewal.rules.epochs = Epochs::new(floor, issuers);
        renewal
    };
    for ended in [
        with(Some(just_after), &[]),
        with(None, &[(&own, just_after)]),
        with(Some(session.issued_at), &[(&other, just_after), (&own, just_after)]),
    ] {
        assert_eq!(fails(store, &ended).await.as_ref(), Some(&session));
    }
    commits(store, &with(Some(session.issued_at), &[(&other, just_after), (&own, session.issued_at)])).await;
}

async fn where_an_epoch_cannot_be_read_nothing_of_its_issuer_is_renewed(store: &impl SessionStore, number: u32) {
    let session = inserted(store, number).await;
    let without_knowing = |issuer: IssuerId| {
        let mut renewal = renewal(&session, NOW);
        let dated = Epochs::new(None, [(session.issuer_id.clone(), session.issued_at)]);
        renewal.rules.epochs = dated.without_knowing([issuer]).expect("few issuers");
        renewal
    };
    let other = IssuerId::parse("other").expect("an issuer id");
    assert_eq!(fails(store, &without_knowing(session.issuer_id.clone())).await.as_ref(), Some(&session));
    let knowing_only = |known: Vec<IssuerId>| {
        let mut renewal = without_knowing(other.clone());
        renewal.rules.epochs = renewal.rules.epochs.knowing_only(known).expect("few issuers");
        renewal
    };
    for known in [vec![], vec![other.clone()]] {
        assert_eq!(fails(store, &knowing_only(known)).await.as_ref(), Some(&session));
    }
    commits(store, &knowing_only(vec![other.clone(), session.issuer_id.clone()])).await;
    let session = inserted(store, number + 1).await;
    let mut renewal = renewal(&session, NOW);
    renewal.rules.epochs = Epochs::NONE.without_knowing([other]).expect("few issuers");
    commits(store, &renewal).await;
}

async fn nothing_is_renewed_without_a_record(store: &impl SessionStore, number: u32) {
    let session = session(number);
    assert_eq!(fails(store, &renewal(&session, NOW)).await, None);
    assert_eq!(store.read(&session.key).await.expect("read"), None, "a renewal creates nothing");
}

async fn a_revocation_is_final(store: &impl SessionStore, number: u32) {
    let session = inserted(store, number).await;
    commits(store, &renewal(&session, NOW)).await;
    let renewed = stored(store, &session).await;
    let (first, second) = (revocation(1), revocation(2));
    let revoke = async |revocation| store.revoke(&session.key, revocation).await.expect("an answer");
    assert_eq!(revoke(&first).await, WriteOutcome::Done(()));
    assert_eq!(revoke(&second).await, WriteOutcome::ByAnother(()));
    assert_eq!(revoke(&first).await, WriteOutcome::DoneBefore(()), "its own write, seen twice");
    let ended = renewed.ended(&first);
    assert_eq!(stored(store, &session).await, ended, "neither claims nor seal are left");
    assert_eq!(fails(store, &renewal(&renewed, NOW)).await, Some(ended));
}

async fn a_revocation_creates_nothing(store: &impl SessionStore, number: u32) {
    let session = session(number);
    let outcome = store.revoke(&session.key, &revocation(1)).await.expect("an answer");
    assert_eq!(outcome, WriteOutcome::ByAnother(()));
    assert_eq!(store.read(&session.key).await.expect("read"), None);
}

async fn a_chain_of_renewals_holds(store: &impl SessionStore, number: u32) {
    let mut session = inserted(store, number).await;
    for step in 1..=10 {
        let next = commits(store, &renewal(&session, NOW.plus(step))).await;
        assert_eq!(next.generation, Generation::new(step));
        assert_eq!(next.absolute_expires_at, session.absolute_expires_at);
        // With a successor of its own: the same one would be this renewal seen twice.
        let mut late = renewal(&session, NOW.plus(step));
        late.successor.secret_hash = secret(99).hash();
        fails(store, &late).await.expect("the record");
        session = next;
    }
}

async fn an_owners_sessions_are_listed_completely(store: &impl SessionStore, number: u32) {
    let first = inserted(store, number).await;
    let mut second = first.clone();
    second.key.sid = session(number + 1_000).key.sid;
    store.insert(&second).await.expect("inserted");
    store.revoke(&second.key, &revocation(1)).await.expect("an answer");
    inserted(store, number + 1).await;
    let mut listed = store.list(&first.key.owner).await.expect("a list");
    listed.sort_by_key(|session| session.key);
    let mut expected = vec![first.key, second.key];
    expected.sort();
    assert_eq!(listed.iter().map(|session| session.key).collect::<Vec<_>>(), expected, "revoked ones too");
}

async fn pages_hold_what_is_neither_over_nor_revoked_in_order(store: &impl SessionStore, number: u32) {
    let first = session(number);
    let other = ClientId::parse("other").expect("an id");
    let (mut keys, mut others) = (Vec::new(), Vec::new());
    for index in 0..230_u8 {
        let mut session = first.clone();
        // Whoever has registered itself shares its owner with others.
        if index % 3 == 0 {
            session.client_id = other.clone();
        }
        // Every tenth is over at NOW, every seventh has been revoked.
        let absolute_expires_at = if index % 10 == 0 { NOW } else { NOW.plus(1_000 - u32::from(index)) };
        session.key.sid = Sid::new(absolute_expires_at, 86_400, [index; 7]);
        session.absolute_expires_at = absolute_expires_at;
        store.insert(&session).await.expect("inserted");
        if index % 7 == 0 {
            store.revoke(&session.key, &revocation(1)).await.expect("an answer");
        } else if index % 10 != 0 {
            keys.push(session.key);
            others.extend((index % 3 == 0).then_some(session.key));
        }
    }
    keys.sort();
    others.sort();
    let owner = &first.key.owner;
    let mut found = Vec::new();
    let mut after;
    for (client, expected) in [(None, &keys), (Some(&other), &others)] {
        found.clear();
        after = Some(Sid::last_over_at(NOW));
        while let Some(sid) = after {
            let page = store.keys(owner, &sid, client).await.expect("a page");
            found.extend(page.items);
            after = page.next;
        }
        assert_eq!(&found, expected, "{client:?}");
    }
    for limit in [1, 50, 1_000] {
        found.clear();
        after = Some(Sid::last_over_at(NOW));
        while let Some(sid) = after {
            let page = store.page(owner, &sid, limit).await.expect("a page");
            assert!(page.items.len() <= limit);
            found.extend(page.items.iter().map(|session| session.key));
            after = page.next;
        }
        assert_eq!(found, keys, "{limit}");
    }
    let second = store.page(owner, &keys[0].sid, 1).await.expect("a page");
    assert_eq!(second.items[0].key, keys[1], "what comes after a sid");
}

async fn of_many_renewals_at_once_one_is_written(store: &impl SessionStore, number: u32) {
    let session = inserted(store, number).await;
    of_many_at_once_one_is_written(store, &renewal(&session, NOW)).await;
}

async fn an_assertion_is_redeemed_once_with_its_session_or_not_at_all(store: &impl SessionStore, number: u32) {
    let session = session(number);
    let assertion = SingleUse { key: AssertionKey::of(&session.issuer_id, "once"), until: NOW.plus(600) };
    let redeem = async |session: &Session| store.redeem(&assertion, session).await.expect("an answer");
    assert_eq!(redeem(&session).await, WriteOutcome::Done(()));
    assert_eq!(stored(store, &session).await, session);
    assert_eq!(redeem(&session).await, WriteOutcome::DoneBefore(()), "its own write, seen twice");

    let second = fixture_of_the_same_owner(&session);
    assert_eq!(redeem(&second).await, WriteOutcome::ByAnother(()));
    assert_eq!(store.read(&second.key).await.expect("read"), None, "nothing was written");
    let other = SingleUse { key: AssertionKey::of(&session.issuer_id, "another"), ..assertion };
    assert_eq!(store.redeem(&other, &second).await.expect("an answer"), WriteOutcome::Done(()));

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
