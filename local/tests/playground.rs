//! The playground over HTTP: where it is on, who gets the demo secrets, and what it says when it is off.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::Value;
use support::{Server, basic, output};

struct Answer {
    status: u16,
    head: String,
    body: String,
}

/// One request over a connection of its own, with exactly these headers.
fn send(server: &Server, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut connection = TcpStream::connect(server.address()).unwrap();
    let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    connection.write_all(format!("{request}\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_lowercase(),
        body: body.to_owned(),
    }
}

fn demo() -> Server {
    Server::start_with(&["--data", ":memory:"], &[])
}

#[test]
fn the_page_is_whole_and_lets_nothing_in_from_elsewhere() {
    let server = demo();
    let host = ("Host", server.address());
    let page = send(&server, "GET", "/", &[host]);
    assert_eq!(page.status, 200);
    assert!(page.head.contains("content-type: text/html") && page.body.contains("<h1>Latchkey playground</h1>"));
    for part in [
        "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'",
        "frame-ancestors 'none'",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cache-control: no-store",
    ] {
        assert!(page.head.contains(part), "{part} in {}", page.head);
    }
    let files = page.body.split(['"', '\'']).filter(|part| part.starts_with("/demo/") && part.contains('.'));
    let mut count = 0;
    for file in files {
        count += 1;
        let answer = send(&server, "GET", file, &[host]);
        assert!(answer.status == 200 && !answer.body.is_empty(), "{file}");
        assert!(answer.head.contains("x-content-type-options: nosniff"), "{file}");
        for elsewhere in ["https://", "//cdn", "@import"] {
            assert!(!answer.body.contains(elsewhere), "{elsewhere} in {file}");
        }
    }
    assert!(count >= 3, "{count}");
    let head = send(&server, "HEAD", "/", &[host]);
    assert!(head.status == 200 && head.body.is_empty());
    assert_eq!(send(&server, "POST", "/", &[host]).status, 404);
    assert!(server.welcome.contains("in a browser"), "{}", server.welcome);
}

#[test]
fn the_demo_secrets_go_to_the_page_and_to_nobody_else() {
    let server = demo();
    let host = ("Host", server.address());
    let own = format!("http://{}", server.address());
    let given =
        send(&server, "POST", "/demo/credentials", &[host, ("Origin", &own), ("Sec-Fetch-Site", "same-origin")]);
    assert_eq!(given.status, 200);
    let given: Value = serde_json::from_str(&given.body).unwrap();
    let secret = given["issuer_secret"].as_str().unwrap();
    let (status, _) = server.post("/token", &basic("portal", secret), "client_id=librechat&subject=alice");
    assert_eq!(status, 200, "they are the ones in force");

    for (why, headers) in [
        ("no origin", vec![host]),
        ("another site", vec![host, ("Origin", "http://latchkey.example")]),
        ("another port", vec![host, ("Origin", "http://127.0.0.1:1")]),
        ("across sites", vec![host, ("Origin", &own), ("Sec-Fetch-Site", "cross-site")]),
        ("a name made to point here", vec![("Host", "latchkey.example"), ("Origin", "http://latchkey.example")]),
        ("no host", vec![("Host", ""), ("Origin", &own)]),
        ("a proxy", vec![host, ("Origin", &own), ("X-Forwarded-For", "192.0.2.1")]),
    ] {
        let refused = send(&server, "POST", "/demo/credentials", &headers);
        assert_eq!(refused.status, 403, "{why}");
        assert!(!refused.body.contains(secret) && !refused.head.contains("access-control"), "{why}");
    }
    for path in ["/", "/demo/events"] {
        assert_eq!(send(&server, "GET", path, &[("Host", "latchkey.example")]).status, 403, "{path}");
    }
    for path in ["/", "/demo/playground.js", "/demo/events?after=0"] {
        assert!(!send(&server, "GET", path, &[host]).body.contains(secret), "{path}");
    }
    assert_eq!(
        send(&server, "GET", "/demo/credentials", &[host, ("Origin", &own)]).status,
        404,
        "never by an address alone"
    );
}

#[test]
fn cors_for_the_tokens_opens_no_playground() {
    let origin = "https://chat.example.org";
    let server = Server::start_with(&["--data", ":memory:"], &[("LATCHKEY_CORS_ORIGINS", origin)]);
    let headers = [("Host", server.address()), ("Origin", origin)];
    for (method, path) in [("POST", "/demo/credentials"), ("GET", "/demo/events")] {
        let answer = send(&server, method, path, &headers);
        assert!(answer.status == 403 && !answer.head.contains("access-control"), "{path}: {}", answer.head);
    }
}

#[test]
fn audit_lines_are_handed_on_as_they_are_written() {
    let server = demo();
    let host = ("Host", server.address());
    let refused = server.post("/token/renew", &basic("librechat", "wrong"), "refresh_token=x").0;
    assert_eq!(refused, 401);
    let told = send(&server, "GET", "/demo/events?after=0", &[host]);
    let told: Value = serde_json::from_str(&told.body).unwrap();
    assert_eq!((&told["events"][0]["event"], &told["next"]), (&"client_rejected".into(), &1.into()));
    assert_eq!(send(&server, "GET", "/demo/events?after=0&after=1", &[host]).status, 400);
    let (printed, _) = server.interrupt();
    assert!(printed.contains("client_rejected"), "and written to standard output as ever");
}

#[test]
fn who_waits_for_audit_lines_does_not_keep_the_server_from_stopping() {
    let server = demo();
    let mut waiting = TcpStream::connect(server.address()).unwrap();
    write!(waiting, "GET /demo/events HTTP/1.1\r\nHost: {}\r\n\r\n", server.address()).unwrap();
    let (_, ended_well) = server.interrupt();
    assert!(ended_well);
    let mut answer = String::new();
    let _ = waiting.read_to_string(&mut answer);
    assert!(answer.is_empty() || answer.ends_with(r#"{"events":[],"next":0}"#), "{answer}");
}

#[test]
fn with_other_registrations_it_is_off_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let clients = directory.path().join("clients.json");
    let clients = clients.to_str().unwrap();
    assert!(output(&["issuer", "add", "portal", "--file", clients]).0.status.success());
    let server = Server::start_with(&["--data", ":memory:", "--clients", clients], &[]);
    let host = ("Host", server.address());
    let told = send(&server, "GET", "/", &[host, ("Accept", "*/*")]);
    let told: Value = serde_json::from_str(&told.body).unwrap();
    assert_eq!(told["playground"], "off");
    assert!(told["reason"].as_str().unwrap().contains("--clients"), "{told}");
    let page = send(&server, "GET", "/", &[host, ("Accept", "text/html,*/*")]);
    assert!(page.head.contains("text/html") && page.body.contains("The playground is off: "), "{}", page.body);
    let own = format!("http://{}", server.address());
    for (method, path) in [("POST", "/demo/credentials"), ("GET", "/demo/events"), ("GET", "/demo/playground.js")] {
        assert_eq!(send(&server, method, path, &[host, ("Origin", &own)]).status, 404, "{path}");
    }
    assert!(!server.welcome.contains("in a browser"), "{}", server.welcome);
}
