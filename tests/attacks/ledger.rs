//! What was tried, and what came of it.

use std::{
    collections::BTreeMap,
    fmt::Display,
    path::{Path, PathBuf},
    sync::Mutex,
};

use libtest_mimic::Failed;
use serde_json::{Value, json};

/// A fault beyond these many is counted and not quoted.
const QUOTED: usize = 8;

static ROWS: Mutex<BTreeMap<&'static str, Counts>> = Mutex::new(BTreeMap::new());
static VECTORS: Mutex<BTreeMap<String, Vectors>> = Mutex::new(BTreeMap::new());

#[derive(Clone, Default)]
struct Counts {
    /// What the row's tables hold.
    planned: u64,
    attempts: u64,
    /// Honest requests, which must succeed: what is refused to everybody proves nothing.
    controls: u64,
    let_in: u64,
    wrong_answers: u64,
    state_changes: u64,
    faults: Vec<String>,
}

/// The outcome of one set of signature vectors.
#[derive(Clone, Copy, Default)]
pub struct Vectors {
    pub valid_accepted: u64,
    pub invalid_refused: u64,
    pub acceptable: u64,
}

/// A refused request that was none, in one of three ways.
#[derive(Clone, Copy)]
pub enum Fault {
    LetIn,
    WrongAnswer,
    StateChange,
}

/// What a row forges, where forgeries are of any kind of token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    AccessTokens,
    /// ID tokens, as `id_token_hint`.
    Hints,
    /// Access tokens that are to be exchanged for a target.
    SubjectTokens,
}

/// A row of the threat table while it is being worked through.
#[derive(Clone, Copy)]
pub struct Row(&'static str, Kind);

impl Row {
    pub fn open(rule: &'static str, kind: Kind) -> Self {
        ROWS.lock().unwrap().entry(rule).or_default();
        Self(rule, kind)
    }

    pub fn kind(self) -> Kind {
        self.1
    }

    fn count(self, change: impl FnOnce(&mut Counts)) {
        change(ROWS.lock().unwrap().entry(self.0).or_default());
    }

    /// So many attempts will be made.
    pub fn plan(self, attempts: usize) {
        self.count(|counts| counts.planned += attempts as u64);
    }

    pub fn attempted(self) {
        self.count(|counts| counts.attempts += 1);
    }

    pub fn controlled(self) {
        self.count(|counts| counts.controls += 1);
    }

    pub fn fault(self, fault: Fault, what: impl Display) {
        self.count(|counts| {
            match fault {
                Fault::LetIn => counts.let_in += 1,
                Fault::WrongAnswer => counts.wrong_answers += 1,
                Fault::StateChange => counts.state_changes += 1,
            }
            if counts.faults.len() < QUOTED {
                counts.faults.push(what.to_string());
            }
        });
    }

    /// Whether the row held.
    pub fn close(self) -> Result<(), Failed> {
        let counts = ROWS.lock().unwrap()[self.0].clone();
        let faults = counts.let_in + counts.wrong_answers + counts.state_changes;
        if faults > 0 {
            return Err(format!("{faults} faults:\n{}", counts.faults.join("\n")).into());
        }
        if counts.attempts != counts.planned || counts.attempts == 0 {
            return Err(format!("{} attempts of {}", counts.attempts, counts.planned).into());
        }
        Ok(())
    }
}

/// Notes the outcome of a set of signature vectors.
pub fn vectors(algorithm: impl Into<String>, vectors: Vectors) {
    VECTORS.lock().unwrap().insert(algorithm.into(), vectors);
}

/// Everything that was counted.
pub struct Report {
    pub summary: Value,
    pub is_clean: bool,
}

impl Report {
    /// Of the whole run; `outbound` is how many connections the server opened to where an attacker wanted it to.
    pub fn of_run(outbound: u64) -> Self {
        let rows = ROWS.lock().unwrap();
        let sum = |count: fn(&Counts) -> u64| rows.values().map(count).sum::<u64>();
        let vectors = VECTORS.lock().unwrap();
        let vectors_of = |vectors: &Vectors| {
            json!({"valid_accepted": vectors.valid_accepted, "invalid_refused": vectors.invalid_refused,
                "acceptable": vectors.acceptable})
        };
        let attempts = sum(|row| row.attempts);
        let faults = sum(|row| row.let_in + row.wrong_answers + row.state_changes) + outbound;
        let summary = json!({
            "attempts": attempts,
            "planned": sum(|row| row.planned),
            "let_in": sum(|row| row.let_in),
            "wrong_answers": sum(|row| row.wrong_answers),
            "state_changes_by_refused_requests": sum(|row| row.state_changes),
            "outbound_connections": outbound,
            "honest_controls": sum(|row| row.controls),
            "rows": rows.iter().map(|(rule, row)| (*rule, row.attempts)).collect::<BTreeMap<_, _>>(),
            "signature_vectors": vectors.iter().map(|(name, set)| (name, vectors_of(set))).collect::<BTreeMap<_, _>>(),
        });
        let is_clean = faults == 0 && attempts > 0 && attempts == sum(|row| row.planned);
        Self { summary, is_clean }
    }

    /// Writes it to `target/attacks/report.json`.
    pub fn write(&self) -> PathBuf {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("attacks");
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("report.json");
        std::fs::write(&path, format!("{:#}\n", self.summary)).unwrap();
        path
    }
}
