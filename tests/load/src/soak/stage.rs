//! A part of the soak with one kind of load.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use super::{chain::Chain, server::Servers};

/// Latencies from a microsecond to ten minutes, to three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3).unwrap()
}

#[derive(Clone, Copy)]
pub enum Mode {
    /// So many clients, each of which renews as soon as it has its answer. Latency counts from the first try.
    Closed { connections: usize },
    /// So many renewals a second, whether or not earlier ones have been answered. Latency counts from the moment at
    /// which the renewal was due, so that a server that stands still is seen by all who wait for it.
    Open { per_second: u32 },
}

pub struct Stage {
    pub mode: Mode,
    pub renewals: u64,
    /// Whether the server is killed half-way and started again.
    pub crash: bool,
}

pub struct Measured {
    pub stage: Stage,
    pub seconds: f64,
    /// In microseconds.
    pub latencies: Histogram<u64>,
}

impl Measured {
    pub fn name(&self) -> String {
        let crash = if self.stage.crash { ", with a crash" } else { "" };
        match self.stage.mode {
            Mode::Closed { connections } => format!("closed loop, {connections} connections{crash}"),
            Mode::Open { per_second } => format!("open loop, {per_second} a second{crash}"),
        }
    }

    /// Milliseconds.
    pub fn percentile(&self, percentile: f64) -> f64 {
        self.latencies.value_at_percentile(percentile) as f64 / 1000.0
    }

    pub fn line(&self) -> String {
        format!(
            "{}: {} renewals in {:.1} s ({:.0}/s), ms: p50 {:.2}, p90 {:.2}, p99 {:.2}, p99.9 {:.2}, most {:.2}",
            self.name(),
            self.stage.renewals,
            self.seconds,
            self.stage.renewals as f64 / self.seconds,
            self.percentile(50.0),
            self.percentile(90.0),
            self.percentile(99.0),
            self.percentile(99.9),
            self.latencies.max() as f64 / 1000.0,
        )
    }
}

/// What the clients of a stage share.
#[derive(Default)]
struct Progress {
    begun: AtomicU64,
    done: AtomicU64,
}

pub async fn run(stage: Stage, chains: Vec<Chain>, servers: &Servers) -> (Vec<Chain>, Measured) {
    let progress = Arc::new(Progress::default());
    let begin = Instant::now();
    let count = chains.len() as u64;
    let mut tasks = Vec::new();
    let mut idle = Vec::new();
    for (chain, number) in chains.into_iter().zip(0_u64..) {
        let progress = Arc::clone(&progress);
        match stage.mode {
            Mode::Closed { connections } if number < connections as u64 => {
                tasks.push(tokio::spawn(closed(chain, stage.renewals, progress)));
            }
            Mode::Closed { .. } => idle.push(chain),
            Mode::Open { per_second } => {
                let turns = (number..stage.renewals).step_by(count as usize);
                let due = turns.map(move |turn| begin + Duration::from_secs_f64(turn as f64 / f64::from(per_second)));
                tasks.push(tokio::spawn(open(chain, due.collect(), progress)));
            }
        }
    }
    if stage.crash {
        while progress.done.load(Ordering::Relaxed) < stage.renewals / 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        servers.crash();
        servers.start();
    }
    let mut latencies = histogram();
    let mut chains = Vec::new();
    for task in tasks {
        let (chain, own) = task.await.unwrap();
        latencies.add(own).unwrap();
        chains.push(chain);
    }
    assert_eq!(latencies.len(), stage.renewals);
    chains.extend(idle);
    (chains, Measured { stage, seconds: begin.elapsed().as_secs_f64(), latencies })
}

async fn closed(mut chain: Chain, renewals: u64, progress: Arc<Progress>) -> (Chain, Histogram<u64>) {
    let mut latencies = histogram();
    while progress.begun.fetch_add(1, Ordering::Relaxed) < renewals {
        let begin = Instant::now();
        chain.renew().await;
        record(&mut latencies, begin);
        progress.done.fetch_add(1, Ordering::Relaxed);
    }
    (chain, latencies)
}

async fn open(mut chain: Chain, due: Vec<Instant>, progress: Arc<Progress>) -> (Chain, Histogram<u64>) {
    let mut latencies = histogram();
    for due in due {
        tokio::time::sleep_until(due.into()).await;
        chain.renew().await;
        record(&mut latencies, due);
        progress.done.fetch_add(1, Ordering::Relaxed);
    }
    (chain, latencies)
}

fn record(latencies: &mut Histogram<u64>, since: Instant) {
    latencies.saturating_record(u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX));
}
