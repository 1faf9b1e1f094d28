//! What the rules ask of a store, and what they expect of its answers.

use latchkey_token::{
    ports::{InsertSession, ListSessions, ReadSession, RedeemAssertion, RenewSession, RevokeSession},
    session::{Renewal, Session, WriteOutcome},
};

use crate::fixture::secret;

/// A complete session store.
pub trait SessionStore:
    InsertSession + RedeemAssertion + RenewSession + ReadSession + RevokeSession + ListSessions
{
}

impl<S> SessionStore for S where
    S: InsertSession + RedeemAssertion + RenewSession + ReadSession + RevokeSession + ListSessions
{
}

pub(super) async fn stored(store: &impl SessionStore, session: &Session) -> Session {
    store.read(&session.key).await.expect("read").expect("a record")
}

pub(super) async fn fails(store: &impl SessionStore, renewal: &Renewal) -> Option<Session> {
    match store.renew(renewal).await.expect("an answer") {
        WriteOutcome::ByAnother(record) => record,
        outcome => panic!("the condition held: {renewal:?}: {outcome:?}"),
    }
}

pub(super) async fn commits(store: &impl SessionStore, renewal: &Renewal) -> Session {
    match store.renew(renewal).await.expect("an answer") {
        WriteOutcome::Done(session) => session,
        outcome => panic!("the condition failed: {renewal:?}: {outcome:?}"),
    }
}

pub(super) async fn of_many_at_once_one_is_written(store: &impl SessionStore, renewal: &Renewal) {
    let renewals: Vec<Renewal> = (0..16)
        .map(|writer| {
            let mut renewal = renewal.clone();
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
            committed += usize::from(outcome.expect("an answer").is_done());
        }
        if pending.is_empty() { std::task::Poll::Ready(committed) } else { std::task::Poll::Pending }
    });
    assert_eq!(outcomes.await, 1);
    let record = store.read(&renewal.key).await.expect("read").expect("a record");
    assert_eq!(record.generation, renewal.successor.generation);
}
