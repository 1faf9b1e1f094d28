//! How many faults there were, and what became of them.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::proxy::Fault;

static INJECTED: Mutex<BTreeMap<Fault, u64>> = Mutex::new(BTreeMap::new());
static CASES: AtomicU64 = AtomicU64::new(0);
static SERVED: AtomicU64 = AtomicU64::new(0);
static UNAVAILABLE: AtomicU64 = AtomicU64::new(0);
static WRONG: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicU64 = AtomicU64::new(0);

pub fn injected(fault: Fault, times: u64) {
    CASES.fetch_add(1, Ordering::SeqCst);
    *INJECTED.lock().unwrap().entry(fault).or_default() += times;
}

/// What the client got while the fault lasted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The ordinary answer, by the SDK's retry or from a cache.
    Served,
    /// 503 with Retry-After.
    Unavailable,
    /// Anything else.
    Wrong,
}

pub fn answered(outcome: Outcome) -> Outcome {
    let count = match outcome {
        Outcome::Served => &SERVED,
        Outcome::Unavailable => &UNAVAILABLE,
        Outcome::Wrong => &WRONG,
    };
    count.fetch_add(1, Ordering::SeqCst);
    outcome
}

/// A session is over because of a fault.
pub fn ended() {
    ENDED.fetch_add(1, Ordering::SeqCst);
}

/// One paragraph for the end of the run.
pub fn text() -> String {
    let injected = INJECTED.lock().unwrap();
    let kinds: Vec<String> = injected.iter().map(|(fault, times)| format!("{fault:?} {times}")).collect();
    let count = |count: &AtomicU64| count.load(Ordering::SeqCst);
    format!(
        "{} faults injected in {} cases ({}): {} answers as ever, {} times 503, {} other answers, {} sessions ended",
        injected.values().sum::<u64>(),
        count(&CASES),
        kinds.join(", "),
        count(&SERVED),
        count(&UNAVAILABLE),
        count(&WRONG),
        count(&ENDED)
    )
}
