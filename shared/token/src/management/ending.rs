//! Ending all sessions of an owner by their keys alone, page by page, some at a time.

use std::{future::poll_fn, pin::Pin, task::Poll};

use super::revoke::write_end;
use crate::{
    audit::Reason,
    failure::Failure,
    ports::{Clock, ListSessions, Randomness, RevokeSession},
    values::{ClientId, Owner, SessionKey, Sid, Timestamp},
};

/// So many sessions are ended at the same time.
const AT_ONCE: usize = 16;

/// How many sessions have been ended, and whether that was all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// How many were still going.
    pub count: usize,
    /// Time was up before all were ended: the same again ends the rest.
    pub has_more: bool,
}

/// Ends sessions without reading them: a record that cannot be read is ended like any other.
pub struct EndSessions<'a, S> {
    /// Where sessions are listed and ended.
    pub store: &'a S,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Where new random bytes come from.
    pub randomness: &'a dyn Randomness,
    /// Why they end.
    pub reason: Reason,
    /// No write begins at this time or later. `None`: all are ended, however long it takes.
    pub until: Option<Timestamp>,
}

impl<S: ListSessions + RevokeSession> EndSessions<'_, S> {
    /// Ends the sessions of `owner`, and tells of each that was still going. After a failure no write begins; those that
    /// have begun are waited for and told of. A session that is issued meanwhile may escape.
    /// With a client only those are ended whose records say that they are its: many have one owner that have registered
    /// themselves.
    pub async fn of(
        &self,
        owner: &Owner,
        client: Option<&ClientId>,
        told: &(dyn Fn(&SessionKey) + Sync),
    ) -> Result<Ended, Failure> {
        let now = self.clock.now();
        let mut after = Sid::last_over_at(now);
        let mut count = 0;
        loop {
            if self.is_late() {
                return Ok(Ended { count, has_more: true });
            }
            let page = self.store.keys(owner, &after, client).await?;
            let ended = self.end(page.items, now, told).await?;
            count += ended.count;
            if ended.has_more {
                return Ok(Ended { count, has_more: true });
            }
            match page.next {
                Some(next) => after = next,
                None => return Ok(Ended { count, has_more: false }),
            }
        }
    }

    async fn end(
        &self,
        keys: Vec<SessionKey>,
        now: Timestamp,
        told: &(dyn Fn(&SessionKey) + Sync),
    ) -> Result<Ended, Failure> {
        let mut keys = keys.into_iter().peekable();
        let mut running: Vec<Pin<Box<_>>> = Vec::with_capacity(AT_ONCE);
        let mut count = 0;
        let mut failed = None;
        poll_fn(|context| {
            loop {
                while running.len() < AT_ONCE && failed.is_none() && !self.is_late() {
                    let Some(key) = keys.next() else { break };
                    running.push(Box::pin(self.end_one(key, now)));
                }
                let before = running.len();
                running.retain_mut(|write| match write.as_mut().poll(context) {
                    Poll::Pending => true,
                    Poll::Ready(Ok(None)) => false,
                    Poll::Ready(Ok(Some(key))) => {
                        told(&key);
                        count += 1;
                        false
                    }
                    Poll::Ready(Err(failure)) => {
                        failed.get_or_insert(failure);
                        false
                    }
                });
                match running.len() {
                    0 if before == 0 => return Poll::Ready(()),
                    same if same == before => return Poll::Pending,
                    // There is room for the next ones.
                    _ => {}
                }
            }
        })
        .await;
        match failed {
            Some(failure) => Err(failure),
            None => Ok(Ended { count, has_more: keys.peek().is_some() }),
        }
    }

    /// The key, if its session was still going.
    async fn end_one(&self, key: SessionKey, now: Timestamp) -> Result<Option<SessionKey>, Failure> {
        let has_ended = write_end(self.store, self.randomness, &key, self.reason, now).await?;
        Ok(has_ended.then_some(key))
    }

    fn is_late(&self) -> bool {
        self.until.is_some_and(|until| self.clock.now() >= until)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering::SeqCst},
    };

    use super::*;
    use crate::{
        failure::Unavailable,
        ports::Page,
        session::{Revocation, Session, WriteOutcome},
        testing::{NOW, session},
    };

    /// Every write takes a tenth of a second, and as many as are begun are made at the same time.
    struct Store {
        going: Mutex<Vec<SessionKey>>,
        millis: AtomicI64,
        running: AtomicUsize,
        most: AtomicUsize,
        /// Which write is to fail.
        fails: Option<usize>,
        begun: AtomicUsize,
    }

    impl Store {
        fn of(count: u32, fails: Option<usize>) -> Self {
            let record = session(0);
            let key = |number: u32| {
                let [a, b, c, d] = number.to_be_bytes();
                let sid = Sid::new(record.absolute_expires_at, record.access_token_seconds, [0, 0, 0, a, b, c, d]);
                SessionKey { owner: record.key.owner, sid }
            };
            Self {
                going: Mutex::new((0..count).map(key).collect()),
                millis: AtomicI64::new(0),
                running: AtomicUsize::new(0),
                most: AtomicUsize::new(0),
                begun: AtomicUsize::new(0),
                fails,
            }
        }

        /// Ends them all; what was answered, and how many were told of.
        async fn ended(&self, seconds: Option<u32>) -> (Result<Ended, Failure>, usize) {
            let ending = EndSessions {
                store: self,
                clock: self,
                randomness: self,
                reason: Reason::ByIssuer,
                until: seconds.map(|seconds| self.now().plus(seconds)),
            };
            let told = AtomicUsize::new(0);
            let tell = |_: &SessionKey| {
                told.fetch_add(1, SeqCst);
            };
            let answer = ending.of(&session(0).key.owner, None, &tell).await;
            (answer, told.into_inner())
        }
    }

    impl Clock for Store {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix_millis(NOW.unix_millis() + self.millis.load(SeqCst))
        }
    }

    impl Randomness for Store {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), Unavailable> {
            bytes.fill(1);
            Ok(())
        }
    }

    impl ListSessions for Store {
        async fn list(&self, _: &Owner) -> Result<Vec<Session>, Unavailable> {
            panic!("keys alone");
        }

        async fn page(&self, _: &Owner, _: &Sid, _: usize) -> Result<Page<Session>, Unavailable> {
            panic!("keys alone");
        }

        async fn keys(&self, _: &Owner, after: &Sid, _: Option<&ClientId>) -> Result<Page<SessionKey>, Unavailable> {
            let going = self.going.lock().unwrap();
            let mut keys = going.iter().filter(|key| key.sid > *after).copied();
            let items: Vec<SessionKey> = keys.by_ref().take(100).collect();
            let next = keys.next().and_then(|_| items.last()).map(|key| key.sid);
            Ok(Page { items, next })
        }
    }

    impl RevokeSession for Store {
        async fn revoke(&self, key: &SessionKey, _: &Revocation) -> Result<WriteOutcome, Unavailable> {
            let number = self.begun.fetch_add(1, SeqCst);
            self.most.fetch_max(self.running.fetch_add(1, SeqCst) + 1, SeqCst);
            tokio::task::yield_now().await;
            if self.running.fetch_sub(1, SeqCst) == 1 {
                self.millis.fetch_add(100, SeqCst);
            }
            if self.fails == Some(number) {
                return Err(Unavailable::new("session store", "down"));
            }
            self.going.lock().unwrap().retain(|going| going != key);
            Ok(WriteOutcome::Done(()))
        }
    }

    #[tokio::test]
    async fn all_are_ended_page_by_page_and_sixteen_at_a_time() {
        let store = Store::of(250, None);
        let (ended, told) = store.ended(None).await;
        assert_eq!((ended.unwrap(), told), (Ended { count: 250, has_more: false }, 250));
        assert_eq!((store.most.load(SeqCst), store.going.lock().unwrap().len()), (AT_ONCE, 0));
    }

    #[tokio::test]
    async fn when_time_is_up_the_rest_is_left_and_a_repeat_ends_it() {
        let store = Store::of(2_000, None);
        let (first, told) = store.ended(Some(5)).await;
        let first = first.unwrap();
        assert!(first.has_more && first.count == told && (600..=50 * AT_ONCE).contains(&told), "{first:?}");
        assert_eq!(store.going.lock().unwrap().len(), 2_000 - told, "what was ended was told of");
        let (mut left, mut rounds) = (2_000 - told, 0);
        while left > 0 {
            let ended = store.ended(Some(5)).await.0.unwrap();
            left -= ended.count;
            rounds += 1;
            assert!(rounds < 5 && ended.has_more == (left > 0), "{ended:?}, {left}");
        }
    }

    #[tokio::test]
    async fn after_a_failure_nothing_begins_and_what_has_begun_is_told_of() {
        let store = Store::of(100, Some(20));
        let (ended, told) = store.ended(None).await;
        assert!(matches!(ended, Err(Failure::Unavailable(_))));
        assert_eq!(told, 100 - store.going.lock().unwrap().len());
        assert_eq!((told, store.begun.load(SeqCst)), (31, 32));
    }
}
