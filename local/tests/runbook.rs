//! Every command of the documents' incidents is run here as it is written there, and must end what it is said to end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use serde_json::Value;
use support::{demo::Demo, latchkey, output, run};

/// A document and the headings whose commands are meant; none: all.
const DOCUMENTS: [(&str, &[&str]); 3] = [
    ("operations.md", &[]),
    ("privacy.md", &["## Erase a person"]),
    ("deployment.md", &["## A signing key has leaked", "## Restore from a backup"]),
];

/// An installation with a session of alice, and what the documents' variables stand for.
struct Incident {
    demo: Demo,
    tokens: Value,
}

impl Incident {
    fn new() -> Self {
        let demo = Demo::start_in(&[], &[("LATCHKEY_SECRETS_TTL_SECONDS", "0")]);
        let tokens = demo.issue("librechat", "alice");
        Self { demo, tokens }
    }

    fn issue(&self) -> (u16, Value) {
        self.demo.asked_to_issue("librechat", "alice")
    }

    /// The status of a renewal with the session's tokens and the client's first secret.
    fn renewal(&self) -> u16 {
        self.demo.renew(&self.tokens)
    }

    fn kid(&self) -> String {
        let keys: Value =
            serde_json::from_str(&fs::read_to_string(format!("{}/signing-keys.json", self.demo.data())).unwrap())
                .unwrap();
        keys["signing"][0]["kid"].as_str().unwrap().to_owned()
    }

    /// The name that an audit line has for the session.
    fn log_name(&self) -> String {
        let said = output(&["sessions", "list", "--data", &self.demo.data(), "--subject", "alice", "--json"]).1;
        let listed: Value = serde_json::from_str(&said).unwrap();
        listed["sessions"][0]["session"].as_str().unwrap().to_owned()
    }

    /// Runs a line of the documents: on this installation instead of a stack's.
    fn run(&self, line: &str) -> String {
        let data = self.demo.data();
        let (clients, keys) = (format!("{data}/clients.json"), format!("{data}/signing-keys.json"));
        let local = [
            (r#"--clients-secret "$CLIENTS""#, format!("--clients {clients}")),
            (r#"--keys-secret "$SIGNING_KEYS""#, format!("--keys {keys}")),
            (r#"--secret-id "$CLIENTS""#, format!("--file {clients}")),
            (r#"--secret-id "$SIGNING_KEYS""#, format!("--file {keys}")),
            (r#"--table "$TABLE""#, format!("--data {data}")),
            (r#""$KID""#, self.kid()),
            ("0123456789abcdef", self.log_name()),
        ];
        let mut words = line.split(" #").next().unwrap().trim().to_owned();
        if let Some(command) = words.strip_prefix("keys ") {
            words = format!("latchkey keys {command} --file {keys}");
        }
        for (remote, here) in local {
            words = words.replace(remote, &here);
        }
        if let Some(arguments) = words.strip_prefix("latchkey ") {
            let (done, out, said) = run(latchkey().args(arguments.split_whitespace()), "");
            assert!(done.status.success(), "{line}: {said}");
            return out;
        }
        let done = Command::new("sh")
            .args(["-ec", &words])
            .env("API", format!("http://{}", self.demo.server.address()))
            .env("PORTAL", format!("portal:{}", self.demo.secret("issuer_secret")))
            .env("SESSION_ID", self.tokens["session_id"].as_str().unwrap())
            .env("LEAKED", self.tokens["refresh_token"].as_str().unwrap())
            .output()
            .unwrap();
        assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }
}

/// Whether the session goes on after the line, and what else must be so.
type Outcome = (u16, fn(&Incident, &str));

const GOES_ON: u16 = 200;
const IS_OVER: u16 = 400;

fn nothing_more(_: &Incident, _: &str) {}

/// What each line of the documents comes to.
fn outcomes() -> Vec<(&'static str, Outcome)> {
    fn is_issued_again(incident: &Incident, _: &str) {
        assert_eq!(incident.issue().0, 200);
    }
    fn waits_for_its_epoch(incident: &Incident, _: &str) {
        assert_eq!(incident.issue().0, 503, "until then nothing is issued");
    }
    vec![
        (
            r#"curl -u "$PORTAL" "$API/sessions?subject=alice""#,
            (GOES_ON, |incident, printed| {
                assert!(printed.contains(incident.tokens["session_id"].as_str().unwrap()), "{printed}");
            }),
        ),
        (r#"curl -u "$PORTAL" -X DELETE "$API/sessions?subject=alice""#, (IS_OVER, is_issued_again)),
        (r#"curl -u "$PORTAL" -X DELETE "$API/sessions/$SESSION_ID""#, (IS_OVER, is_issued_again)),
        (r#"latchkey sessions revoke --client librechat --secret-id "$CLIENTS""#, (IS_OVER, waits_for_its_epoch)),
        // This session's client has not registered itself.
        (r#"latchkey sessions revoke --client lkd1 --secret-id "$CLIENTS""#, (GOES_ON, is_issued_again)),
        (
            r#"latchkey sessions revoke --issuer portal --before 2026-01-31T09:30:00Z --secret-id "$CLIENTS""#,
            (GOES_ON, is_issued_again),
        ),
        (r#"latchkey sessions revoke --all --secret-id "$CLIENTS""#, (IS_OVER, waits_for_its_epoch)),
        (
            r#"latchkey sessions revoke --table "$TABLE" --clients-secret "$CLIENTS" --subject alice --session 0123456789abcdef"#,
            (IS_OVER, is_issued_again),
        ),
        (r#"latchkey client rotate-secret librechat --secret-id "$CLIENTS""#, (GOES_ON, nothing_more)),
        (r#"latchkey client rotate-secret librechat --secret-id "$CLIENTS" --finish"#, (GOES_ON, nothing_more)),
        (
            r#"latchkey audit name alice --keys-secret "$SIGNING_KEYS""#,
            (GOES_ON, |_, printed| {
                let name = printed.trim();
                assert!(name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
            }),
        ),
        (
            r#"printf '%s=' "$SESSION_ID" | tr -- '-_' '+/' | base64 -d | tail -c 16 | sha256sum | cut -c 1-16"#,
            (GOES_ON, |incident, printed| {
                assert_eq!(printed.trim(), incident.log_name());
            }),
        ),
        (r#"curl -u "$PORTAL" -d "token=$LEAKED" "$API/token/revoke""#, (IS_OVER, is_issued_again)),
        (r#"latchkey keys show --secret-id "$SIGNING_KEYS""#, (GOES_ON, nothing_more)),
        (
            r#"curl "$API/.well-known/jwks.json""#,
            (GOES_ON, |incident, printed| assert!(printed.contains(&incident.kid()))),
        ),
        (r#"latchkey issuer rotate-secret portal --secret-id "$CLIENTS""#, (GOES_ON, is_issued_again)),
        (
            r#"latchkey issuer disable portal --secret-id "$CLIENTS""#,
            (GOES_ON, |incident, _| assert_eq!(incident.issue().0, 401)),
        ),
        (r#"latchkey issuer enable portal --secret-id "$CLIENTS""#, (GOES_ON, is_issued_again)),
        (r#"latchkey client list --secret-id "$CLIENTS""#, (GOES_ON, nothing_more)),
        (
            r#"latchkey subjects erase alice --table "$TABLE" --clients-secret "$CLIENTS" --dry-run"#,
            (GOES_ON, nothing_more),
        ),
        (
            r#"latchkey subjects erase alice --table "$TABLE" --clients-secret "$CLIENTS" --client app-of-last-year"#,
            (IS_OVER, is_issued_again),
        ),
        (r#"keys revoke "$KID" --clients-secret "$CLIENTS" --dry-run"#, (GOES_ON, nothing_more)),
        // Its client renews with the access token, which the key has signed.
        (r#"keys revoke "$KID" --clients-secret "$CLIENTS""#, (IS_OVER, is_issued_again)),
        ("keys replace-tag", (IS_OVER, is_issued_again)),
    ]
}

#[test]
fn every_command_of_the_incidents_does_what_it_is_said_to_do() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no curl on this machine to run the documents' commands with");
        return;
    }
    for (line, (renewal, check)) in outcomes() {
        let incident = Incident::new();
        if line.contains("issuer enable") {
            incident.run(&line.replace("enable", "disable"));
        }
        if line.contains("--finish") {
            incident.run(line.strip_suffix(" --finish").unwrap());
        }
        let printed = incident.run(line);
        check(&incident, &printed);
        // The newest secret alone is left, and it was printed to somebody else.
        let renewal = if line.contains("--finish") { 401 } else { renewal };
        assert_eq!(incident.renewal(), renewal, "{line}");
    }
}

#[test]
fn every_command_of_the_incidents_is_run_here() {
    let documented: BTreeSet<String> = DOCUMENTS.iter().flat_map(|(name, headings)| commands(name, headings)).collect();
    let run: BTreeSet<String> = outcomes().into_iter().map(|(line, _)| line.to_owned()).collect();
    let missing: Vec<&String> = documented.difference(&run).collect();
    let gone: Vec<&String> = run.difference(&documented).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "documented and not run: {missing:#?}\nrun and not documented: {gone:#?}"
    );
}

/// The commands of a document, in its blocks and in its lines, without remarks. What needs AWS itself is left out.
fn commands(name: &str, headings: &[&str]) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    let text = fs::read_to_string(path).unwrap();
    let (mut is_meant, mut is_block, mut found) = (headings.is_empty(), false, Vec::new());
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with("## ") {
            is_meant = headings.is_empty() || headings.contains(&line);
        }
        if line.starts_with("```") {
            is_block = line == "```sh";
            continue;
        }
        let inline = line.split('`').skip(1).step_by(2);
        let candidates: Vec<&str> = if is_block { vec![line] } else { inline.collect() };
        let command = |candidate: &str| candidate.split(" #").next().unwrap().trim().to_owned();
        let is_whole = |candidate: &String| {
            let is_command = ["curl ", "printf "].iter().any(|start| candidate.starts_with(start))
                || candidate.starts_with("latchkey ") && candidate.contains(" --")
                || candidate.starts_with("keys ") && is_block;
            is_command && is_meant
        };
        found.extend(candidates.into_iter().map(command).filter(is_whole));
    }
    found
}
