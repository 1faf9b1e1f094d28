//! The server's resident memory over time, from `/proc`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::server::Servers;

const INTERVAL: Duration = Duration::from_millis(200);
/// Of fewer samples nothing can be said.
const FEWEST_SAMPLES: usize = 20;
/// How much more the last quarter of a server's life may hold than the second: a share, and what caches and connections
/// take.
const MOST_GROWTH: f64 = 1.5;
const MOST_GROWTH_MIB: f64 = 64.0;

pub struct Memory {
    stop: Arc<AtomicBool>,
    sampler: JoinHandle<Vec<Sample>>,
}

#[derive(Clone, Copy)]
pub struct Sample {
    pub seconds: f64,
    /// Which server of the soak, from 1 on.
    pub server: usize,
    pub mib: f64,
}

/// One server's memory early in its life and late.
pub struct Life {
    pub server: usize,
    /// Median of the second quarter of its samples: connections and caches are there by then.
    pub early_mib: f64,
    /// Median of the last quarter.
    pub late_mib: f64,
}

impl Life {
    pub fn is_flat(&self) -> bool {
        self.late_mib <= self.early_mib * MOST_GROWTH + MOST_GROWTH_MIB
    }
}

impl Memory {
    pub fn watch(servers: Servers) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let sampler = std::thread::spawn(move || {
            let begin = Instant::now();
            let mut samples = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                if let Some((server, process)) = servers.process()
                    && let Some(mib) = resident(process)
                {
                    samples.push(Sample { seconds: begin.elapsed().as_secs_f64(), server, mib });
                }
                std::thread::sleep(INTERVAL);
            }
            samples
        });
        Self { stop, sampler }
    }

    pub fn finish(self) -> Vec<Sample> {
        self.stop.store(true, Ordering::Relaxed);
        let samples = self.sampler.join().unwrap();
        if samples.is_empty() {
            eprintln!("SKIPPED: there is no /proc here, so nothing is said about memory");
        }
        samples
    }
}

fn resident(process: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?;
    Some(kib.parse::<f64>().ok()? / 1024.0)
}

/// The servers that lived long enough.
pub fn lives(samples: &[Sample]) -> Vec<Life> {
    let last = samples.last().map_or(0, |sample| sample.server);
    let of = |server| samples.iter().filter(move |sample| sample.server == server).map(|sample| sample.mib);
    let long = (1..=last).map(|server| (server, of(server).collect::<Vec<_>>()));
    long.filter(|(_, mib)| mib.len() >= FEWEST_SAMPLES)
        .map(|(server, mib)| {
            let quarter = mib.len() / 4;
            Life {
                server,
                early_mib: median(&mib[quarter..2 * quarter]),
                late_mib: median(&mib[mib.len() - quarter..]),
            }
        })
        .collect()
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
