//! The regression guard: instructions and requests of one invocation, held against `baseline.json`.

use std::{
    collections::BTreeMap,
    fmt::Write,
    path::{Path, PathBuf},
    process::Command,
};

use serde::{Deserialize, Serialize};

use crate::{
    counts::{self, Counts},
    installation::Secrets,
};

/// A count may rise by this share of itself before somebody has to say that it should.
const TOLERANCE: f64 = 0.05;
/// The counts of a run with this many invocations are taken from those of one with twice as many: what is left are the
/// invocations, without the start.
const INVOCATIONS: u64 = 20;
/// What is taken from the processor, because not every x86-64 with AVX2 has it and the cryptography would use it: RDRAND;
/// ADX, SHA, AVX-512, VAES, VPCLMULQDQ. Otherwise the counts would depend on the machine.
const CAPABILITIES: &str = "~0x4000000000000000:~0x00000600e02b0000";

/// What one invocation takes. Instructions depend on the compiler and the processor's architecture, requests on neither.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    pub architecture: String,
    pub compiler: String,
    pub instructions: BTreeMap<String, u64>,
    pub requests: BTreeMap<String, Counts>,
}

/// The kinds of invocations whose instructions are counted: name and arguments of `invocations`.
const CASES: [(&str, &[&str]); 9] = [
    ("renewal, HS256", &["--algorithm", "HS256", "--scope", "profile email"]),
    ("renewal, RS256", &["--algorithm", "RS256", "--scope", "profile email"]),
    ("renewal, ES256", &["--algorithm", "ES256", "--scope", "profile email"]),
    ("renewal, EdDSA", &["--algorithm", "EdDSA", "--scope", "profile email"]),
    ("renewal with ID token, RS256", &["--algorithm", "RS256", "--scope", "openid profile email"]),
    ("issue, RS256", &["--algorithm", "RS256", "--scope", "profile email", "--issue"]),
    ("exchange, RS256", &["--algorithm", "RS256", "--scope", "profile email", "--exchange"]),
    ("exchange with ID token, RS256", &["--algorithm", "RS256", "--scope", "openid profile email", "--exchange"]),
    ("exchange for a target, RS256", &["--algorithm", "RS256", "--scope", "profile email", "--token-exchange"]),
];

/// What there is to count, on this machine, now. No instructions without valgrind.
pub async fn measure(invocations: &Path, compiler: &str) -> Baseline {
    let secrets = Secrets::generate();
    let instructions = if has_valgrind() {
        instructions(invocations, &secrets)
    } else {
        eprintln!("bench: INSTRUCTIONS NOT COUNTED: there is no valgrind on this machine");
        BTreeMap::new()
    };
    Baseline {
        architecture: std::env::consts::ARCH.to_owned(),
        compiler: compiler.to_owned(),
        instructions,
        requests: counts::count(&secrets).await,
    }
}

fn has_valgrind() -> bool {
    Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Instructions of one invocation of each kind.
fn instructions(invocations: &Path, secrets: &Secrets) -> BTreeMap<String, u64> {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("signing-keys.json");
    let clients = folder.path().join("clients.json");
    std::fs::write(&keys, &secrets.signing_keys).unwrap();
    std::fs::write(&clients, &secrets.clients).unwrap();
    let count = |arguments: &[&str], number: u64| {
        let mut command = Command::new("valgrind");
        command
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(invocations)
            .args(arguments)
            .arg("--signing-keys")
            .arg(&keys)
            .arg("--clients")
            .arg(&clients)
            .args(["--invocations", &number.to_string()])
            .env("OPENSSL_ia32cap", CAPABILITIES);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        collected(&said).unwrap_or_else(|| panic!("no count in:\n{said}"))
    };
    let per_invocation = |arguments: &[&str]| {
        let (few, many) = (count(arguments, INVOCATIONS), count(arguments, 2 * INVOCATIONS));
        many.saturating_sub(few) / INVOCATIONS
    };
    CASES.iter().map(|(name, arguments)| ((*name).to_owned(), per_invocation(arguments))).collect()
}

/// Callgrind's last word: `==1== Collected : 123`.
fn collected(said: &str) -> Option<u64> {
    said.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
}

/// Where the baseline is kept.
pub fn baseline_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline.json")
}

/// Holds `now` against `baseline`: a table, and whether all is well.
pub fn compare(baseline: &Baseline, now: &Baseline) -> (String, bool) {
    let mut table = String::new();
    let mut is_well = true;
    let mut line = |what: &str, before: f64, after: f64| {
        let change = if before > 0.0 {
            (after / before - 1.0) * 100.0
        } else if after > 0.0 {
            f64::INFINITY
        } else {
            0.0
        };
        let rose = after > before * (1.0 + TOLERANCE);
        let verdict = if rose { "  ROSE" } else { "" };
        writeln!(table, "{what:<44} {before:>12} {after:>12} {change:>+8.1} %{verdict}").unwrap();
        is_well &= !rose;
    };
    if now.instructions.is_empty() {
        // Said already.
    } else if baseline.architecture == now.architecture {
        for (name, after) in &now.instructions {
            let before = baseline.instructions.get(name).copied().unwrap_or_default();
            line(&format!("instructions, {name}"), before as f64, *after as f64);
        }
    } else {
        eprintln!("bench: INSTRUCTIONS NOT COMPARED: the baseline is of {}", baseline.architecture);
    }
    let nothing = Counts { operations: BTreeMap::new(), write_units: 0.0, read_units: 0.0, item_bytes: 0 };
    for (name, after) in &now.requests {
        let before = baseline.requests.get(name).unwrap_or(&nothing);
        for (operation, times) in &after.operations {
            let allowed = before.operations.get(operation).copied().unwrap_or_default();
            line(&format!("{name}: {operation}"), allowed as f64, *times as f64);
        }
        line(&format!("{name}: write units"), before.write_units, after.write_units);
        line(&format!("{name}: read units"), before.read_units, after.read_units);
        line(&format!("{name}: bytes of the record"), before.item_bytes as f64, after.item_bytes as f64);
    }
    (table, is_well)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline(instructions: u64, updates: u64, write_units: f64) -> Baseline {
        let counts = Counts {
            operations: BTreeMap::from([("UpdateItem".to_owned(), updates)]),
            write_units,
            read_units: 0.0,
            item_bytes: 0,
        };
        Baseline {
            architecture: "x86_64".into(),
            compiler: "rustc".into(),
            instructions: BTreeMap::from([("renewal".to_owned(), instructions)]),
            requests: BTreeMap::from([("renewal".to_owned(), counts)]),
        }
    }

    #[test]
    fn a_count_may_rise_by_five_percent_and_no_more() {
        let before = baseline(1000, 1, 1.0);
        assert!(compare(&before, &baseline(1050, 1, 1.0)).1);
        assert!(compare(&before, &baseline(900, 1, 1.0)).1);
        assert!(!compare(&before, &baseline(1051, 1, 1.0)).1);
        assert!(!compare(&before, &baseline(1000, 2, 1.0)).1);
        assert!(!compare(&before, &baseline(1000, 1, 2.0)).1);
    }

    #[test]
    fn what_the_baseline_does_not_know_has_risen() {
        let mut before = baseline(1000, 1, 1.0);
        before.instructions.clear();
        assert!(!compare(&before, &baseline(1000, 1, 1.0)).1);
        let mut after = baseline(1000, 1, 1.0);
        after.requests.get_mut("renewal").unwrap().operations.insert("GetItem".into(), 1);
        assert!(!compare(&baseline(1000, 1, 1.0), &after).1);
    }

    #[test]
    fn instructions_of_another_architecture_are_not_compared_but_requests_are() {
        let mut after = baseline(9999, 1, 1.0);
        after.architecture = "aarch64".into();
        assert!(compare(&baseline(1000, 1, 1.0), &after).1);
        after.requests.get_mut("renewal").unwrap().write_units = 2.0;
        assert!(!compare(&baseline(1000, 1, 1.0), &after).1);
    }

    #[test]
    fn callgrinds_count_is_found() {
        assert_eq!(collected("==7== Events    : Ir\n==7== Collected : 1234567\n"), Some(1_234_567));
        assert_eq!(collected("==7== error"), None);
    }
}
