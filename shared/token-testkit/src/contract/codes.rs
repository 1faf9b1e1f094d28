//! Codes: a session that begins with a sign-in, and its exchange, which is its first renewal.

use latchkey_token::{
    registrations::Epochs,
    session::{Authentication, Renewal, Session, SignIn, WriteOutcome},
    tokens::{CodeBinding, CodeVerifier},
    values::{ClientId, Generation, Timestamp},
};

use super::asserting::{SessionStore, commits, fails, of_many_at_once_one_is_written, stored};
use crate::fixture::{NOW, binding, code_session, exchange, renewal, revocation, secret, session};

/// How long a code is good, in seconds.
const CODE_SECONDS: u32 = 60;
const DAY: u32 = 86_400;

pub(super) async fn check_all(store: &impl SessionStore) {
    what_a_sign_in_leaves_is_read(store, 200).await;
    an_exchange_is_written_and_returned(store, 210).await;
    what_does_not_fit_the_code_writes_nothing(store, 220).await;
    the_window_is_not_about_codes(store, 230).await;
    a_code_is_no_refresh_token(store, 240).await;
    nonce_and_resource_are_gone_after_the_next_renewal(store, 250).await;
    an_exchange_knows_its_own_write(store, 260).await;
    a_code_dies_unused_after_a_minute(store, 270).await;
    epochs_and_revocations_reach_codes(store, 280).await;
    of_many_exchanges_at_once_one_is_written(store, 290).await;
}

async fn inserted(store: &impl SessionStore, number: u32) -> Session {
    let session = code_session(number);
    assert_eq!(store.insert(&session).await.expect("an answer"), WriteOutcome::Done(()));
    session
}

fn verifier(letter: &str) -> CodeVerifier {
    CodeVerifier::parse(&letter.repeat(43)).expect("a verifier")
}

fn bringing(record: &Session, binding: CodeBinding) -> Renewal {
    let mut exchange = exchange(record, NOW);
    exchange.presented.binding = Some(binding);
    exchange
}

async fn what_a_sign_in_leaves_is_read(store: &impl SessionStore, number: u32) {
    let whole = code_session(number);
    let SignIn { binding, .. } = whole.sign_in.clone().expect("a sign-in");
    let bare = Session {
        sign_in: Some(SignIn {
            binding: CodeBinding::from_record(*binding.redirect_uri_hash(), None),
            nonce: None,
            resource: Vec::new(),
        }),
        authentication: Authentication::default(),
        ..code_session(number + 1)
    };
    let issued = Session { authentication: whole.authentication.clone(), ..session(number + 2) };
    for session in [whole, bare, issued] {
        store.insert(&session).await.expect("inserted");
        assert_eq!(stored(store, &session).await, session);
    }
}

async fn an_exchange_is_written_and_returned(store: &impl SessionStore, number: u32) {
    let session = inserted(store, number).await;
    assert_eq!(session.deletable_at(), NOW.plus(CODE_SECONDS + DAY).unix_seconds());
    let exchange = exchange(&session, NOW.plus(CODE_SECONDS - 1));
    let exchanged = commits(store, &exchange).await;
    assert_eq!(exchanged, session.renewed(&exchange));
    assert_eq!(stored(store, &session).await, exchanged);
    assert_eq!(exchanged.deletable_at(), session.absolute_expires_at.plus(DAY).unix_seconds());
}

async fn what_does_not_fit_the_code_writes_nothing(store: &impl SessionStore, number: u32) {
    let uri = "https://chat.example.org/callback";
    let challenge = || Some(verifier("v").challenge());
    let bound = inserted(store, number).await;
    let others = [
        CodeBinding::new("https://chat.example.org/callback/", challenge()),
        CodeBinding::new(uri, Some(verifier("w").challenge())),
        CodeBinding::new(uri, None),
    ];
    for other in others {
        assert_eq!(fails(store, &bringing(&bound, other)).await.as_ref(), Some(&bound));
        assert_eq!(stored(store, &bound).await, bound);
    }
    let spoilt: [fn(&mut Renewal); 3] = [
        |exchange| exchange.presented.client_id = ClientId::parse("other").expect("a client id"),
        |exchange| exchange.presented.secret_hash = secret(99).hash(),
        |exchange| exchange.presented.generation = Generation::new(1),
    ];
    for spoil in spoilt {
        let mut exchange = exchange(&bound, NOW);
        spoil(&mut exchange);
        assert_eq!(fails(store, &exchange).await.as_ref(), Some(&bound));
        assert_eq!(stored(store, &bound).await, bound);
    }
    commits(store, &exchange(&bound, NOW)).await;

    let unbound = Session {
        sign_in: Some(SignIn { binding: CodeBinding::new(uri, None), nonce: None, resource: Vec::new() }),
        ..code_session(number + 1)
    };
    store.insert(&unbound).await.expect("inserted");
    assert_eq!(fails(store, &bringing(&unbound, CodeBinding::new(uri, challenge()))).await.as_ref(), Some(&unbound));
    commits(store, &bringing(&unbound, CodeBinding::new(uri, None))).await;

    let issued = session(number + 2);
    store.insert(&issued).await.expect("inserted");
    for brought in [binding(), CodeBinding::new(uri, None)] {
        assert_eq!(fails(store, &bringing(&issued, brought)).await.as_ref(), Some(&issued), "it began without a code");
    }
    assert_eq!(stored(store, &issued).await, issued);
}

async fn the_window_is_not_about_codes(store: &impl SessionStore, number: u32) {
    let session = inserted(store, number).await;
    let mut exchange = exchange(&session, NOW);
    exchange.rules.window_seconds = 10;
    assert!(session.access_expires_at > NOW.plus(10));
    let exchanged = commits(store, &exchange).await;
    let mut renewal = renewal(&exchanged, NOW);
    renewal.rules.window_seconds = 10;
    assert_eq!(fails(store, &renewal).await, Some(exchanged), "it is about the tokens that come of them");
}

async fn a_code_is_no_refresh_token(store: &impl SessionStore, number: u32) {
    let session = inserted(store, number).await;
    assert_eq!(fails(store, &renewal(&session, NOW)).await.as_ref(), Some(&session));
    assert_eq!(stored(store, &session).await, session);
}

async fn nonce_and_resource_are_gone_after_the_next_renewal(store: &impl SessionStore, number: u32) {
    let session = inserted(store, number).await;
    let first = |session: &Session| {
        let SignIn { nonce, resource, .. } = session.sign_in.clone().expect("a sign-in");
        (nonce, resource)
    };
    let exchanged = commits(store, &exchange(&session, NOW)).await;
    assert_eq!(first(&exchanged), first(&session), "an own write seen twice needs them");
    let renewal = renewal(&exchanged, NOW.plus(1));
    let renewed = commits(store, &renewal).await;
    assert_eq!((first(&renewed), &renewed), ((None, Vec::new()), &exchanged.renewed(&renewal)));
    assert_eq!(stored(store, &session).await, renewed);
    let binding = |session: &Session| session.sign_in.as_ref().map(|sign_in| sign_in.binding.clone());
    assert_eq!(binding(&renewed), binding(&session), "a second use is known by it");
}

async fn an_exchange_knows_its_own_write(store: &impl SessionStore, number: u32) {
    let session = inserted(store, number).await;
    let exchange = exchange(&session, NOW);
    let exchanged = commits(store, &exchange).await;
    assert_eq!(store.renew(&exchange).await.expect("an answer"), WriteOutcome::DoneBefore(exchanged.clone()));
    let mut of_another = exchange.clone();
    of_another.successor.secret_hash = secret(99).hash();
    assert_eq!(fails(store, &of_another).await, Some(exchanged.clone()));
    let renewed = commits(store, &renewal(&exchanged, NOW)).await;
    assert_eq!(store.renew(&exchange).await.expect("an answer"), WriteOutcome::DoneBefore(renewed), "one later");
}

async fn a_code_dies_unused_after_a_minute(store: &impl SessionStore, number: u32) {
    let session = inserted(store, number).await;
    let end = NOW.plus(CODE_SECONDS);
    assert_eq!(fails(store, &exchange(&session, end)).await.as_ref(), Some(&session));
    assert_eq!(stored(store, &session).await, session);
    commits(store, &exchange(&session, Timestamp::from_unix_millis(end.unix_millis() - 1))).await;
}

async fn epochs_and_revocations_reach_codes(store: &impl SessionStore, number: u32) {
    let session = inserted(store, number).await;
    let mut late = exchange(&session, NOW);
    late.rules.epochs = Epochs::new(Some(session.issued_at.plus(1)), []);
    assert_eq!(fails(store, &late).await.as_ref(), Some(&session));
    let revocation = revocation(1);
    assert_eq!(store.revoke(&session.key, &revocation).await.expect("an answer"), WriteOutcome::Done(()));
    let ended = session.ended(&revocation);
    assert_eq!(stored(store, &session).await, ended);
    assert_eq!(fails(store, &exchange(&session, NOW)).await, Some(ended));
}

async fn of_many_exchanges_at_once_one_is_written(store: &impl SessionStore, number: u32) {
    let session = inserted(store, number).await;
    of_many_at_once_one_is_written(store, &exchange(&session, NOW)).await;
}
