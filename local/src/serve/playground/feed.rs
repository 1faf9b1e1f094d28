//! The server's latest audit lines, for the page.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use latchkey_token::json::Value;
use tokio::sync::watch;
use tracing_subscriber::fmt::MakeWriter;

/// How many lines are kept.
const KEPT: usize = 200;
/// How long someone who waits for the next line is kept waiting.
const PATIENCE: Duration = Duration::from_secs(20);

/// Takes log lines as they are written, and keeps the last audit lines among them. Clones share them.
#[derive(Clone, Default)]
pub struct AuditFeed(Arc<Shared>);

#[derive(Default)]
struct Shared {
    kept: Mutex<Kept>,
    /// The number of the newest line; lines count from 1.
    newest: watch::Sender<u64>,
}

#[derive(Default)]
struct Kept {
    lines: VecDeque<Value>,
    newest: u64,
}

impl AuditFeed {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let Ok(line) = serde_json::from_slice::<Value>(line) else { return };
        if line.get("target").and_then(Value::as_str) != Some("audit") {
            return;
        }
        let mut kept = self.kept();
        if kept.lines.len() == KEPT {
            kept.lines.pop_front();
        }
        kept.lines.push_back(line);
        kept.newest += 1;
        self.0.newest.send_replace(kept.newest);
    }

    /// The lines after number `after` that are still kept, and the number of the newest. Waits a while for one. A
    /// number that is yet to come is of another server: all lines.
    pub(super) async fn after(&self, after: u64) -> (Vec<Value>, u64) {
        let mut newest = self.0.newest.subscribe();
        let after = if after > *newest.borrow() { 0 } else { after };
        let _ = tokio::time::timeout(PATIENCE, newest.wait_for(|newest| *newest > after)).await;
        let kept = self.kept();
        let new = usize::try_from(kept.newest - after).unwrap_or(KEPT).min(kept.lines.len());
        (kept.lines.iter().skip(kept.lines.len() - new).cloned().collect(), kept.newest)
    }
}

/// One write is one line, as the subscriber does it.
impl Write for AuditFeed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for AuditFeed {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use latchkey_token::{
        audit::{Event, EventKind},
        ports::Audit,
    };
    use latchkey_token_lambda::telemetry::{self, RequestAudit};

    fn log(feed: &AuditFeed, events: usize) {
        tracing::subscriber::with_default(telemetry::subscriber(feed.clone(), "info"), || {
            for _ in 0..events {
                RequestAudit::of_invocation("issue", "r".into()).record(&Event::new(EventKind::TokenIssued));
                tracing::info!("not an audit line");
            }
        });
    }

    #[tokio::test]
    async fn audit_lines_are_kept_and_no_others() {
        let feed = AuditFeed::default();
        log(&feed, 3);
        let (lines, newest) = feed.after(0).await;
        assert_eq!((lines.len(), newest), (3, 3));
        assert!(lines.iter().all(|line| line["event"] == "token_issued"));
        let (lines, newest) = feed.after(2).await;
        assert_eq!((lines.len(), newest), (1, 3));
        assert_eq!(feed.after(99).await.0.len(), 3, "numbers of another server");
    }

    #[tokio::test]
    async fn who_waits_is_told_at_once() {
        let feed = AuditFeed::default();
        let waiting = tokio::spawn({
            let feed = feed.clone();
            async move { feed.after(0).await }
        });
        tokio::task::yield_now().await;
        log(&feed, 1);
        assert_eq!(waiting.await.unwrap().1, 1);
    }

    #[tokio::test]
    async fn only_the_latest_are_kept() {
        let feed = AuditFeed::default();
        log(&feed, KEPT + 5);
        let (lines, newest) = feed.after(0).await;
        assert_eq!((lines.len(), newest), (KEPT, 205));
    }
}
