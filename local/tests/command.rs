//! The `latchkey` command as a process: what it prints, what it keeps, and that no secret is among it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, ChildStdout, Command, Output, Stdio},
};

use serde_json::Value;

fn latchkey() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
    // Only what a test sets.
    command.env_clear();
    command
}

fn output(arguments: &[&str]) -> (Output, String, String) {
    let output = latchkey().args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    (output, stdout, stderr)
}

/// A server process; ended when the test is.
struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// Everything printed until it was ready.
    welcome: String,
    address: String,
}

impl Server {
    fn start(data: &Path, variables: &[(&str, &str)]) -> Self {
        let data = data.to_str().unwrap();
        let mut child = latchkey()
            .args(["serve", "--listen", "127.0.0.1:0", "--data", data])
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut welcome = String::new();
        let address = loop {
            let mut line = String::new();
            assert_ne!(stdout.read_line(&mut line).unwrap(), 0, "ended early: {welcome}");
            if let Some(url) = line.strip_prefix("listening on http://") {
                break url.trim().to_owned();
            }
            welcome.push_str(&line);
        };
        Self { child, stdout, welcome, address }
    }

    /// One request over a connection of its own; the answer's status and JSON.
    fn post(&self, path: &str, authorization: &str, body: &str) -> (u16, Value) {
        let mut connection = TcpStream::connect(&self.address).unwrap();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: {authorization}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        connection.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap())
    }

    /// Ctrl-C; everything printed since the server was ready, and whether it ended well.
    fn interrupt(mut self) -> (String, bool) {
        let interrupted = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(interrupted.success());
        let mut printed = String::new();
        self.stdout.read_to_string(&mut printed).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut printed).unwrap();
        (printed, self.child.wait().unwrap().success())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn basic(id: &Value, secret: &Value) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    format!("Basic {}", STANDARD.encode(format!("{}:{}", id.as_str().unwrap(), secret.as_str().unwrap())))
}

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
    let issuer = basic(&demo["issuer_id"], &demo["issuer_secret"]);
    let client = basic(&demo["client_id"], &demo["client_secret"]);
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
    let (wrong, _, said) = output(&["serv"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(said.contains("serve"), "{said}");
}
