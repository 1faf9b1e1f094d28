//! `latchkey audit` as a process: on what a server has logged, on exports, and on CloudWatch Logs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    process::Stdio,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use support::{AwsService, Server, basic, latchkey, run};

fn audit(arguments: &[&str], input: &str) -> (i32, String, String) {
    let (done, out, said) = run(latchkey().arg("audit").args(arguments), input);
    (done.status.code().unwrap(), out, said)
}

fn done(arguments: &[&str], input: &str) -> String {
    let (code, out, said) = audit(arguments, input);
    assert_eq!(code, 0, "{arguments:?}: {said}");
    out
}

fn report(arguments: &[&str], input: &str) -> Value {
    serde_json::from_str(&done(&[&["report", "--json"], arguments].concat(), input)).unwrap()
}

fn events(lines: &str) -> Vec<String> {
    let event = |line: &str| serde_json::from_str::<Value>(line).unwrap()["event"].as_str().unwrap().to_owned();
    lines.lines().map(event).collect()
}

const LINES: &str = r#"{"timestamp":"2026-01-31T09:30:00Z","level":"INFO","event":"token_issued","client_id":"librechat","session":"0123456789abcdef"}
START RequestId: 1
2026-01-31T09:31:00.100Z {"timestamp":"2026-01-31T09:31:00Z","event":"token_renewed","client_id":"librechat","session":"0123456789abcdef","seconds_to_expiry":60}
{"message":"{\"timestamp\":\"2026-01-31T09:32:00Z\",\"event\":\"token_issued\",\"client_id\":\"other\"}"}
{"level":"INFO","message":"cold start"}
{"timestamp":"2026-01-31T09:33:00Z","level":"WARN","event":"reuse_detected","reason":"older_generation","session":"0123456789abcdef"}
"#;

#[test]
fn what_a_server_logs_is_told_by_subject_and_session() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let server = Server::start(&data, &[]);
    let kept: Value = serde_json::from_str(&fs::read_to_string(data.join("demo-credentials.json")).unwrap()).unwrap();
    let issuer = basic("portal", kept["issuer_secret"].as_str().unwrap());
    let client = basic("librechat", kept["client_secret"].as_str().unwrap());
    let issue = |subject| server.post("/token", &issuer, &format!("client_id=librechat&subject={subject}")).1;
    let renew = |tokens: &Value| {
        let token = |name: &str| tokens[name].as_str().unwrap().to_owned();
        let body = format!("refresh_token={}&access_token={}", token("refresh_token"), token("access_token"));
        server.post("/token/renew", &client, &body).1
    };
    let first = issue("alice");
    issue("bob");
    let second = renew(&first);
    renew(&second);
    renew(&first);
    let (log, _) = server.interrupt();

    assert_eq!(
        report(&[], &log)["events"],
        json!({"token_issued": 2, "token_renewed": 2, "reuse_detected": 1}),
        "{log}"
    );
    let id = first["session_id"].as_str().unwrap();
    let told = done(&["tail", "--json", "--session", id], &log);
    assert_eq!(events(&told), ["token_issued", "token_renewed", "token_renewed", "reuse_detected"]);
    let name: Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
    assert_eq!(done(&["tail", "--json", "--session", name["session"].as_str().unwrap()], &log), told);
    let keys = data.join("signing-keys.json");
    let keys = keys.to_str().unwrap();
    let told = done(&["tail", "--json", "--subject", "alice", "--keys", keys, "--event", "token_issued"], &log);
    assert_eq!(events(&told), ["token_issued"]);
    let line: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(done(&["name", "alice", "--keys", keys], "").trim(), line["subject_hash"]);
    let named: Value = serde_json::from_str(&done(&["name", "alice", "--keys", keys, "--json"], "")).unwrap();
    assert_eq!(named["subject_hash"], line["subject_hash"]);
    assert_eq!(done(&["tail", "--subject", "carol", "--keys", keys], &log), "");
    let (code, out, said) = audit(&["tail", "--subject", "alice"], &log);
    assert!(code == 2 && out.is_empty() && said.contains("--keys FILE"), "nobody can tell without the key: {said}");
    let shown = done(&["tail", "--event", "reuse_detected"], &log);
    assert!(shown.contains("reuse_detected   client_id=librechat") && shown.contains("reason="), "{shown}");
    assert_eq!(shown.lines().count(), 1);
}

#[test]
fn a_ring_without_a_usable_audit_key_names_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let ring = directory.path().join("keys.json");
    for (document, code) in [
        (r#"{"signing":[],"tagging":[]}"#.to_owned(), 1),
        (r#"{"audit":{"secret":"HIDDEN"}}"#.to_owned(), 1),
        (format!(r#"{{"signing":"of a later form","audit":{{"secret":"{}"}}}}"#, "A".repeat(43)), 0),
    ] {
        fs::write(&ring, &document).unwrap();
        let (done, out, said) = audit(&["name", "alice", "--keys", ring.to_str().unwrap()], "");
        assert_eq!((done, out.is_empty()), (code, code == 1), "{document}: {said}");
        assert!(!said.contains("HIDDEN") && (code == 0 || said.contains("no usable audit key")), "{said}");
    }
    assert_eq!(audit(&["name", "alice"], "").0, 2);
}

#[test]
fn what_containers_journals_and_archives_make_of_a_log_is_read_all_the_same() {
    let logged: Vec<&str> = LINES.lines().filter(|line| line.starts_with(r#"{"timestamp""#)).collect();
    let wrapped =
        |wrap: &dyn Fn(&str) -> Value| -> String { logged.iter().map(|line| format!("{}\n", wrap(line))).collect() };
    let expected = json!({"token_issued": 1, "reuse_detected": 1});
    for (what, log) in [
        (
            "docker",
            wrapped(&|line| json!({"log": format!("{line}\n"), "stream": "stdout", "time": "2026-01-31T09:30:00Z"})),
        ),
        ("journald", wrapped(&|line| json!({"__REALTIME_TIMESTAMP": "1769851800251000", "MESSAGE": line}))),
        ("journald's bytes", wrapped(&|line| json!({"MESSAGE": line.as_bytes(), "PRIORITY": "6"}))),
        ("kubernetes", logged.iter().map(|line| format!("2026-01-31T09:30:00.25Z stdout F {line}\n")).collect()),
    ] {
        assert_eq!(report(&[], &log)["events"], expected, "{what}");
    }

    let directory = tempfile::tempdir().unwrap();
    let packed = directory.path().join("server.log.1.gz");
    // Two members, as a rotated file that was appended to has them.
    let members = logged.iter().map(|line| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(format!("{line}\n").as_bytes()).unwrap();
        encoder.finish().unwrap()
    });
    let packed_bytes = members.collect::<Vec<_>>().concat();
    fs::write(&packed, &packed_bytes).unwrap();
    let path = packed.to_str().unwrap();
    assert_eq!(report(&[path], "")["events"], expected);
    assert_eq!(events(&done(&["tail", "--json", path], "")), ["token_issued", "reuse_detected"]);
    let (code, _, said) = audit(&["tail", "--follow", path], "");
    assert!(code == 1 && said.contains("gzip"), "{said}");
    fs::write(&packed, &packed_bytes[..packed_bytes.len() / 2]).unwrap();
    assert_eq!(audit(&["report", path], "").0, 1, "cut off");
}

#[test]
fn a_report_that_finds_no_audit_line_fails_and_says_what_it_would_have_read() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("log");
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(LINES.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    for (bytes, expected) in [
        (&b"START RequestId: 1\n{\"level\":\"INFO\"}\n"[..], "1 line without JSON, 1 line of JSON"),
        (b"", "It is empty"),
        (b"\x28\xb5\x2f\xfd\x04", "zstd"),
        (b"\xfd7zXZ\0", "xz"),
        (b"BZh91AY", "bzip2"),
        (b"PK\x03\x04", "zip"),
        (&utf16, "UTF-16"),
    ] {
        fs::write(&file, bytes).unwrap();
        let page = directory.path().join("page.html");
        let (code, out, said) =
            audit(&["report", file.to_str().unwrap(), "--json", "--html", page.to_str().unwrap()], "");
        assert!(code == 1 && out.is_empty() && said.contains(expected), "{expected}: {code} {said}");
        assert!(!page.exists(), "{expected}");
    }
    let (code, _, said) = audit(&["report"], "nothing\n");
    assert!(code == 1 && said.contains("journalctl -o json"), "{said}");
    // Audit lines are there and none is wanted: that is a result.
    assert_eq!(report(&["--client", "nobody"], LINES)["events"], json!({}));
}

#[test]
fn counts_are_told_and_what_was_passed_over() {
    let counted = report(&[], LINES);
    assert_eq!(counted["events"], json!({"token_issued": 2, "token_renewed": 1, "reuse_detected": 1}));
    assert_eq!(counted["reasons"], json!({"reuse_detected": {"older_generation": 1}}));
    assert_eq!((&counted["skipped_lines"], &counted["other_lines"]), (&json!(1), &json!(1)));
    assert_eq!((&counted["first"], &counted["last"]), (&json!("2026-01-31T09:30:00Z"), &json!("2026-01-31T09:33:00Z")));
    assert_eq!(report(&["--client", "other"], LINES)["events"], json!({"token_issued": 1}));
    assert_eq!(
        report(&["--since", "2026-01-31T09:31:00Z", "--until", "2026-01-31T09:33:00Z"], LINES)["events"],
        json!({"token_issued": 1, "token_renewed": 1})
    );
    assert_eq!(report(&["--since", "1h"], LINES)["events"], json!({}), "of another year");
    let text = done(&["report", "-"], LINES);
    assert!(text.contains("token_issued          2\n") && text.contains("1 line without JSON"), "{text}");
}

#[test]
fn a_report_is_also_a_page() {
    let directory = tempfile::tempdir().unwrap();
    let (log, page) = (directory.path().join("server.log"), directory.path().join("report.html"));
    fs::write(&log, LINES).unwrap();
    let (code, out, said) = audit(&["report", log.to_str().unwrap(), "--html", page.to_str().unwrap(), "--json"], "");
    assert!(code == 0 && said.contains("report.html"), "{said}");
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), report(&[], LINES), "the same counts");
    let page = fs::read_to_string(page).unwrap();
    assert!(page.matches("<svg").count() == 3 && page.contains("older_generation"), "{page}");
    let nowhere = directory.path().join("missing/report.html");
    let (code, _, said) = audit(&["report", log.to_str().unwrap(), "--html", nowhere.to_str().unwrap()], "");
    assert!(code == 1 && said.contains("is its directory there"), "{said}");
}

#[test]
fn a_file_that_grows_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("server.log");
    let mut log = File::create(&path).unwrap();
    log.write_all(LINES.as_bytes()).unwrap();
    let mut tail = latchkey()
        .args(["audit", "tail", "--follow", "--event", "token_retried,reuse_detected", path.to_str().unwrap()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut shown = BufReader::new(tail.stdout.take().unwrap()).lines();
    assert!(shown.next().unwrap().unwrap().contains("reuse_detected"));
    // Half a line is none yet.
    log.write_all(br#"{"event":"token_re"#).unwrap();
    log.flush().unwrap();
    log.write_all(b"tried\"}\n").unwrap();
    assert!(shown.next().unwrap().unwrap().contains("token_retried"));
    tail.kill().unwrap();
    tail.wait().unwrap();
}

#[test]
fn who_has_read_enough_may_leave() {
    let mut tail = latchkey()
        .args(["audit", "tail"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(tail.stdout.take());
    let _ = tail.stdin.take().unwrap().write_all(LINES.as_bytes());
    let ended = tail.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), b"".as_slice()));
}

#[test]
fn errors_say_what_to_do() {
    let (code, _, said) = audit(&["tail", "nowhere.log"], "");
    assert!(code == 1 && said.contains("nowhere.log") && said.contains("--log-group"), "{said}");
    let (code, _, said) = audit(&["report", "--event", "token_isued"], "");
    assert!(code == 2 && said.contains("token_issued"), "{said}");
    let (code, _, said) = audit(&["tail", "--since", "yesterday"], "");
    assert!(code == 2 && said.contains("90min"), "{said}");
    assert_eq!(audit(&["tail", "--session", "short"], "").0, 2);
    assert_eq!(audit(&["tail", "a.log", "--log-group", "b"], "").0, 2);
}

/// CloudWatch Logs with two log groups.
struct CloudWatchLogs {
    service: AwsService,
    /// Every request, with its operation.
    requests: Arc<Mutex<Vec<(String, Value)>>>,
}

impl CloudWatchLogs {
    fn start() -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let service = AwsService::start(move |operation, request| {
            seen.lock().unwrap().push((operation.to_owned(), request.clone()));
            Self::answer(operation, &request)
        });
        Self { service, requests }
    }

    fn answer(operation: &str, request: &Value) -> (&'static str, Value) {
        let event = |id: &str, at: &str, seconds: i64, event: &str| {
            let message = json!({"timestamp": at, "event": event}).to_string();
            json!({"eventId": id, "timestamp": seconds * 1000, "message": format!("{message}\n")})
        };
        match (operation, request["logGroupName"].as_str()) {
            ("DescribeLogGroups", _) if request["logGroupNamePrefix"] == "/aws/lambda/latchkey-" => (
                "200 OK",
                json!({"logGroups": [{"logGroupName": "/aws/lambda/latchkey-issue"}, {"logGroupName": "/aws/lambda/latchkey-renew"}]}),
            ),
            ("DescribeLogGroups", _) => ("200 OK", json!({"logGroups": []})),
            ("FilterLogEvents", Some("/aws/lambda/latchkey-issue")) => {
                let started = json!({"eventId": "s", "timestamp": 1_769_851_800_000_i64, "message": "INIT_START"});
                let issued = event("i", "2026-01-31T09:30:00Z", 1_769_851_800, "token_issued");
                ("200 OK", json!({"events": [started, issued]}))
            }
            ("FilterLogEvents", Some("/aws/lambda/latchkey-renew")) if request.get("nextToken").is_none() => {
                let renewed = event("r1", "2026-01-31T09:29:00Z", 1_769_851_740, "token_renewed");
                ("200 OK", json!({"events": [renewed], "nextToken": "more"}))
            }
            ("FilterLogEvents", Some("/aws/lambda/latchkey-renew")) => {
                ("200 OK", json!({"events": [event("r2", "2026-01-31T09:31:00Z", 1_769_851_860, "token_retried")]}))
            }
            _ => ("400 Bad Request", json!({"__type": "ResourceNotFoundException", "message": "no such log group"})),
        }
    }

    fn audit(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = self.service.command("CLOUDWATCH_LOGS");
        command.arg("audit").args(arguments);
        let (done, out, said) = run(&mut command, "");
        (done.status.code().unwrap(), out, said)
    }
}

#[test]
fn log_groups_of_cloudwatch_are_read_in_the_order_of_time() {
    let stub = CloudWatchLogs::start();
    let since = ["--since", "2026-01-31T00:00:00Z"];
    let (code, out, said) =
        stub.audit(&[&["tail", "--json", "--log-group", "/aws/lambda/latchkey-*"], &since[..]].concat());
    assert_eq!(code, 0, "{said}");
    assert_eq!(events(&out), ["token_renewed", "token_issued", "token_retried"]);
    let (_, out, _) = stub.audit(
        &[&["report", "--json", "--log-group", "/aws/lambda/latchkey-issue", "--event", "token_issued"], &since[..]]
            .concat(),
    );
    let counted: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&counted["events"], &counted["skipped_lines"]), (&json!({"token_issued": 1}), &json!(1)));
    let (operation, request) = stub.requests.lock().unwrap().last().unwrap().clone();
    assert_eq!(operation, "FilterLogEvents");
    assert_eq!(request["filterPattern"], r#"{ (($.event = "token_issued")) }"#, "what is not wanted does not travel");
    assert_eq!(request["startTime"], 1_769_817_600_000_i64);

    let (code, _, said) = stub.audit(&["tail", "--log-group", "/aws/lambda/other"]);
    assert!(code == 1 && said.contains("log group /aws/lambda/other") && said.contains("AWS_REGION"), "{said}");
    let (code, _, said) = stub.audit(&["tail", "--log-group", "/aws/lambda/other-*"]);
    assert!(code == 1 && said.contains("no log group has a name that begins so"), "{said}");
}
