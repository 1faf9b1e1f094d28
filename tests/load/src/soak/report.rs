//! What the soak found: for people, as JSON, and as pictures.

use std::{collections::BTreeMap, fmt, fs, path::Path};

use latchkey_token::keys::Algorithm;
use serde_json::{Value, json};

use super::{
    Accounts,
    memory::{Sample, lives},
    plot,
    stage::{Measured, Mode},
};

const PERCENTILES: [f64; 6] = [50.0, 75.0, 90.0, 99.0, 99.9, 99.99];

pub struct Report {
    pub algorithm: Algorithm,
    pub seconds: f64,
    pub stages: Vec<Measured>,
    pub memory: Vec<Sample>,
    pub accounts: Accounts,
    /// Audit lines by event.
    pub audit: BTreeMap<String, u64>,
}

impl Report {
    /// Nothing lost, nothing doubled, memory flat.
    pub fn assert_sound(&self) {
        let Accounts { successors, generations, at_odds, .. } = self.accounts;
        assert_eq!(at_odds, 0, "sessions at odds with their clients");
        assert_eq!(generations, successors, "a commit without a successor, or the reverse");
        for refusal in ["reuse_detected", "state_mismatch", "renewal_rejected", "session_revoked", "token_expired"] {
            assert_eq!(self.audit.get(refusal), None, "{refusal}");
        }
        let renewed = self.audit.get("token_renewed").copied().unwrap_or_default();
        assert!(renewed <= generations, "{renewed} renewals in the audit trail, {generations} in the table");
        for life in lives(&self.memory) {
            assert!(life.is_flat(), "server {}: {:.0} MiB, then {:.0}", life.server, life.early_mib, life.late_mib);
        }
    }

    /// Writes `report.json`, and `latency` and `memory` as SVG and PNG.
    pub fn write(&self, folder: &Path) {
        fs::write(folder.join("report.json"), format!("{:#}\n", self.json())).unwrap();
        plot::latencies(folder, &self.stages);
        plot::memory(folder, &self.memory);
    }

    fn json(&self) -> Value {
        let stages = self.stages.iter().map(|measured| {
            let percentiles = PERCENTILES.map(|percentile| (percentile.to_string(), measured.percentile(percentile)));
            json!({
                "mode": match measured.stage.mode { Mode::Closed { .. } => "closed", Mode::Open { .. } => "open" },
                "connections": match measured.stage.mode {
                    Mode::Closed { connections } => Some(connections),
                    Mode::Open { .. } => None,
                },
                "per_second": match measured.stage.mode {
                    Mode::Closed { .. } => None,
                    Mode::Open { per_second } => Some(per_second),
                },
                "with_a_crash": measured.stage.crash,
                "renewals": measured.stage.renewals,
                "seconds": measured.seconds,
                "latency_ms": {
                    "mean": measured.latencies.mean() / 1000.0,
                    "percentiles": BTreeMap::from(percentiles),
                    "most": measured.latencies.max() as f64 / 1000.0,
                },
                "histogram_us": measured.latencies.iter_recorded()
                    .map(|step| [step.value_iterated_to(), step.count_at_value()]).collect::<Vec<_>>(),
            })
        });
        json!({
            "algorithm": self.algorithm.name(),
            "seconds": self.seconds,
            "stages": stages.collect::<Vec<_>>(),
            "accounts": {
                "sessions": self.accounts.sessions,
                "successors": self.accounts.successors,
                "generations": self.accounts.generations,
                "at_odds": self.accounts.at_odds,
                "resent": self.accounts.resent,
            },
            "audit": self.audit,
            "memory": {
                "lives": lives(&self.memory).iter()
                    .map(|life| json!({"server": life.server, "early_mib": life.early_mib, "late_mib": life.late_mib}))
                    .collect::<Vec<_>>(),
                "samples": self.memory.iter()
                    .map(|sample| json!([sample.seconds, sample.server, sample.mib])).collect::<Vec<_>>(),
            },
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Accounts { sessions, successors, generations, at_odds, resent } = self.accounts;
        writeln!(
            f,
            "{}: {sessions} sessions, {successors} renewals seen by their clients, {generations} generations in the table, \
             {at_odds} sessions at odds; {resent} requests sent again; {:.0} s",
            self.algorithm, self.seconds
        )?;
        let events: Vec<String> = self.audit.iter().map(|(event, count)| format!("{event} {count}")).collect();
        writeln!(f, "audit lines: {}", events.join(", "))?;
        let lives: Vec<String> = lives(&self.memory)
            .iter()
            .map(|life| format!("server {}: {:.1} then {:.1}", life.server, life.early_mib, life.late_mib))
            .collect();
        write!(f, "memory in MiB: {}", lives.join(", "))
    }
}
