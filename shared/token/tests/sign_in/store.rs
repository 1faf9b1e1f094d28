//! Sessions in memory that count what is asked of them, lose what they are told to lose, and take turns.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
};

use latchkey_token::{
    failure::Unavailable,
    ports::{InsertSession, ListSessions, Page, ReadSession, RenewSession, RenewalOutcome, RevokeSession},
    session::{Renewal, Revocation, Session, WriteOutcome},
    values::{ClientId, Owner, SessionKey, Sid},
};
use latchkey_token_testkit::InMemorySessions;

/// What goes wrong with the next write.
#[derive(Clone, Copy)]
pub enum Fault {
    /// The request never arrives.
    Lost,
    /// The write is made; its answer never arrives.
    AnswerLost,
    /// The write is made, its answer is lost, and the SDK's own retry meets it.
    SeenTwice,
}

#[derive(Default)]
pub struct Watched {
    sessions: InMemorySessions,
    fault: Mutex<Option<Fault>>,
    writes: AtomicUsize,
    requests: AtomicUsize,
    takes_turns: AtomicBool,
}

impl Watched {
    /// The next write goes wrong.
    pub fn next(&self, fault: Fault) {
        *self.fault.lock().unwrap() = Some(fault);
    }

    /// How many requests have changed a record.
    pub fn writes(&self) -> usize {
        self.writes.load(Ordering::Relaxed)
    }

    /// How many requests there were.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// From now on others may come between any two requests.
    pub fn take_turns(&self) {
        self.takes_turns.store(true, Ordering::Relaxed);
    }

    async fn turn(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut has_waited = !self.takes_turns.load(Ordering::Relaxed);
        std::future::poll_fn(
            |_| if std::mem::replace(&mut has_waited, true) { Poll::Ready(()) } else { Poll::Pending },
        )
        .await;
    }

    async fn write<W, O, F: Future<Output = Result<WriteOutcome<W, O>, Unavailable>>>(
        &self,
        write: impl Fn() -> F,
    ) -> Result<WriteOutcome<W, O>, Unavailable> {
        self.turn().await;
        let fault = self.fault.lock().unwrap().take();
        let down = || Err(Unavailable::new("session store", "down"));
        if matches!(fault, Some(Fault::Lost)) {
            return down();
        }
        let outcome = write().await?;
        self.writes.fetch_add(usize::from(matches!(outcome, WriteOutcome::Done(_))), Ordering::Relaxed);
        match fault {
            Some(Fault::AnswerLost) => down(),
            Some(Fault::SeenTwice) => write().await,
            _ => Ok(outcome),
        }
    }
}

impl InsertSession for Watched {
    async fn insert(&self, session: &Session) -> Result<WriteOutcome, Unavailable> {
        self.write(|| self.sessions.insert(session)).await
    }
}

impl RenewSession for Watched {
    async fn renew(&self, renewal: &Renewal) -> Result<RenewalOutcome, Unavailable> {
        self.write(|| self.sessions.renew(renewal)).await
    }
}

impl RevokeSession for Watched {
    async fn revoke(&self, key: &SessionKey, revocation: &Revocation) -> Result<WriteOutcome, Unavailable> {
        self.write(|| self.sessions.revoke(key, revocation)).await
    }
}

impl ReadSession for Watched {
    async fn read(&self, key: &SessionKey) -> Result<Option<Session>, Unavailable> {
        self.turn().await;
        self.sessions.read(key).await
    }
}

/// The tests' own look at the records: nothing of it is counted.
impl ListSessions for Watched {
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
