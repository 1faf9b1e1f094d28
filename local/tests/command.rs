//! The `latchkey` command as a process: what it prints, what it keeps, and that no secret is among it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::{path::Path, process::Command};

use serde_json::Value;
use support::{Server, basic, latchkey, output};

fn credentials(data: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(data.join("demo-credentials.json")).unwrap()).unwrap()
}

fn renewal(tokens: &Value) -> String {
    format!(
        "refresh_token={}&access_token={}",
        tokens["refresh_token"].as_str().unwrap(),
        tokens["access_token"].as_str().unwrap()
    )
}

#[test]
fn a_session_is_renewed_across_a_restart_and_no_secret_is_logged() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    // A port of its own at each start, but one name for both.
    let debug = [("RUST_LOG", "trace"), ("LATCHKEY_ISSUER", "http://latchkey.example")];

    let server = Server::start(&data, &debug);
    let demo = credentials(&data);
    for secret in ["issuer_secret", "client_secret", "oauth_client_secret"] {
        assert!(server.welcome.contains(demo[secret].as_str().unwrap()), "shown once");
    }
    let credential = |name: &str| demo[name].as_str().unwrap();
    let issuer = basic(credential("issuer_id"), credential("issuer_secret"));
    let client = basic(credential("client_id"), credential("client_secret"));
    let (status, first) = server.post("/token", &issuer, "client_id=librechat&subject=alice");
    assert_eq!((status, first["expires_in"].as_i64()), (200, Some(86_400)), "{first}");
    let (status, second) = server.post("/token/renew", &client, &renewal(&first));
    assert_eq!(status, 200, "{second}");
    let (printed_first, ended_well) = server.interrupt();
    assert!(ended_well, "Ctrl-C ends it cleanly");

    let server = Server::start(&data, &debug);
    assert!(!server.welcome.contains(demo["issuer_secret"].as_str().unwrap()), "never again");
    let (status, third) = server.post("/token/renew", &client, &renewal(&second));
    assert_eq!(status, 200, "{third}");
    assert_eq!(server.post("/token/renew", &client, &renewal(&first)).1["error"], "invalid_grant");
    assert_eq!(server.post("/token/renew", &client, &renewal(&third)).1["error"], "invalid_grant");
    let (printed_second, _) = server.interrupt();

    let printed = printed_first + &printed_second;
    assert!(printed.contains(r#""event":"token_issued""#) && printed.contains(r#""event":"reuse_detected""#));
    assert!(printed.contains(r#""level":"DEBUG""#), "the most talkative level");
    let ring = std::fs::read_to_string(data.join("signing-keys.json")).unwrap();
    let ring: Value = serde_json::from_str(&ring).unwrap();
    let named_secret =
        |(name, value): (&String, &Value)| name.contains("secret").then(|| value.as_str().unwrap().to_owned());
    let mut secrets: Vec<String> = demo.as_object().unwrap().iter().filter_map(named_secret).collect();
    secrets.push(ring["tagging"][0]["secret"].as_str().unwrap().to_owned());
    secrets.push(ring["audit"]["secret"].as_str().unwrap().to_owned());
    secrets.push(ring["signing"][0]["private_key"].as_str().unwrap().lines().nth(3).unwrap().to_owned());
    secrets.extend([issuer, client].map(|header| header.trim_start_matches("Basic ").to_owned()));
    for tokens in [first, second, third] {
        secrets.extend(
            ["access_token", "refresh_token", "id_token"].map(|name| tokens[name].as_str().unwrap().to_owned()),
        );
    }
    for secret in secrets {
        let telling = &secret[secret.len().saturating_sub(32)..];
        assert!(!printed.contains(telling), "a secret of {} bytes was printed", secret.len());
    }
}

#[test]
fn the_lines_to_paste_give_what_they_promise() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&directory.path().join("data"), &[]);
    let lines: Vec<&str> = server.welcome.lines().skip_while(|line| !line.starts_with("  field()")).collect();
    assert!(lines.len() >= 8, "{}", server.welcome);
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no curl on this machine to paste the lines with");
        return;
    }
    let pasted = Command::new("sh").arg("-c").arg(lines.join("\n")).output().unwrap();
    let printed = String::from_utf8(pasted.stdout).unwrap();
    let answers: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [issued, renewed, retried, replayed, ended] = answers.as_slice() else { panic!("{printed}") };
    assert_eq!(issued["expires_in"], 86_400);
    assert_ne!(renewed["refresh_token"], issued["refresh_token"]);
    assert_eq!(retried["refresh_token"], renewed["refresh_token"]);
    assert_eq!(replayed["error"], "invalid_grant");
    assert_eq!(ended["error"], "invalid_grant");
}

#[test]
fn a_configuration_that_cannot_work_stops_the_start_with_one_message() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    let started = latchkey()
        .args(["serve", "--listen", "127.0.0.1:0", "--data", data])
        .env("LATCHKEY_ACCESS_TOKEN_SECONDS", "forever")
        .env("LATCHKEY_ISSUER", "example")
        .output()
        .unwrap();
    let said = String::from_utf8(started.stderr).unwrap();
    assert_eq!(started.status.code(), Some(1));
    assert!(said.contains("LATCHKEY_ACCESS_TOKEN_SECONDS") && said.contains("LATCHKEY_ISSUER"), "{said}");
    let keys = directory.path().join("keys.json");
    std::fs::write(&keys, "{}").unwrap();
    let keys = keys.to_str().unwrap();
    let (started, _, said) = output(&["serve", "--listen", "127.0.0.1:0", "--data", ":memory:", "--keys", keys]);
    assert_eq!(started.status.code(), Some(1));
    assert!(
        said.contains("keys.json") && said.contains("signing: is missing") && said.contains("tagging: is missing"),
        "{said}"
    );
}

#[test]
fn tokens_are_inspected_without_being_vouched_for() {
    let token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSIsImV4cCI6MX0.AA";
    let (inspected, shown, _) = output(&["token", "inspect", token]);
    assert!(inspected.status.success());
    for part in ["\"RS256\"", "\"alice\"", "1970-01-01T00:00:01Z", "expired", "signature not checked"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let (_, shown, _) = output(&["token", "inspect", "--json", token]);
    let json: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(json["claims"]["sub"], "alice");
    let (inspected, _, said) = output(&["token", "inspect", "nonsense"]);
    assert_eq!(inspected.status.code(), Some(1));
    assert!(said.contains("not a JWT") && !said.contains("nonsense"), "{said}");
}

#[test]
fn help_teaches() {
    let (_, shown, _) = output(&["--help"]);
    assert!(shown.contains("serve") && shown.contains("token"), "{shown}");
    let (_, shown, _) = output(&["serve", "--help"]);
    for part in
        ["--listen", "127.0.0.1:9000", "--data", ".latchkey/", "--keys", "--clients", "--dynamodb-listen", "Examples:"]
    {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    for command in ["sessions list", "sessions revoke", "audit tail", "audit report", "completions", "token inspect"] {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let (_, shown, _) = output(&words);
        assert!(shown.contains("Examples:") && shown.contains(&format!("latchkey {command} ")), "{shown}");
    }
    let (_, shown, _) = output(&["--help"]);
    for part in ["Exit codes:", "0  done", "1  failed", "2  wrong usage"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let (wrong, _, said) = output(&["serv"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(said.contains("serve"), "{said}");
}

#[test]
fn shells_are_told_every_command_and_option() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (completed, script, _) = output(&["completions", shell]);
        assert!(completed.status.success());
        for word in ["sessions", "revoke", "dry-run", "audit", "report", "log-group", "serve", "completions"] {
            assert!(script.contains(word), "{word} for {shell}");
        }
    }
    assert_eq!(output(&["completions", "csh"]).0.status.code(), Some(2));
}
