//! Samples and what is said of them.

use std::time::Duration;

use serde_json::{Value, json};

/// Measured times of one thing.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<Duration>);

impl Samples {
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    pub fn push(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The sample that `share` of all do not exceed (nearest rank).
    pub fn percentile(&self, share: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() as f64 * share).ceil() as usize;
        sorted[rank.clamp(1, sorted.len()) - 1]
    }

    pub fn p50(&self) -> Duration {
        self.percentile(0.5)
    }

    /// Median and tails in milliseconds.
    pub fn summary(&self) -> Value {
        let millis = |share| self.percentile(share).as_secs_f64() * 1000.0;
        json!({"samples": self.len(), "p50_ms": millis(0.5), "p95_ms": millis(0.95), "p99_ms": millis(0.99)})
    }
}

impl Extend<Duration> for Samples {
    fn extend<I: IntoIterator<Item = Duration>>(&mut self, samples: I) {
        self.0.extend(samples);
    }
}

impl IntoIterator for Samples {
    type Item = Duration;
    type IntoIter = std::vec::IntoIter<Duration>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
