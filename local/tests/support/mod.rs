//! The command as a process, and a server of it that is ended when the test is.

#![allow(dead_code, reason = "each test uses a part of it")]

pub mod browser;
pub mod demo;
pub mod files;
pub mod records;
pub mod secrets_manager;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, ChildStdout, Command, Output, Stdio},
};

use serde_json::Value;

pub fn latchkey() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
    // Only what a test sets.
    command.env_clear();
    command
}

pub fn output(arguments: &[&str]) -> (Output, String, String) {
    run(latchkey().args(arguments), "")
}

/// Runs `command` with `input` as its standard input; what it has written to standard output and standard error.
pub fn run(command: &mut Command, input: &str) -> (Output, String, String) {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    // A command that does not read may have closed it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    (output, stdout, stderr)
}

/// A server process; ended when the test is.
pub struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// Everything printed until it was ready.
    pub welcome: String,
    address: String,
}

impl Server {
    pub fn start(data: &Path, variables: &[(&str, &str)]) -> Self {
        Self::start_with(&["--data", data.to_str().unwrap()], variables)
    }

    pub fn start_with(flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = latchkey()
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(flags)
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
    pub fn post(&self, path: &str, authorization: &str, body: &str) -> (u16, Value) {
        let authorization = match authorization {
            "" => String::new(),
            credentials => format!("Authorization: {credentials}\r\n"),
        };
        let mut connection = TcpStream::connect(&self.address).unwrap();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\n{authorization}Connection: close\r\n\
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

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where the embedded DynamoDB is, if it is open to others.
    pub fn dynamodb(&self) -> String {
        let line = self.welcome.lines().find(|line| line.contains("DynamoDB, for other programs")).unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    }

    /// Ctrl-C; everything printed since the server was ready, and whether it ended well.
    pub fn interrupt(mut self) -> (String, bool) {
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

pub fn basic(id: &str, secret: &str) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

/// A service of AWS on this machine, over its JSON protocol: as much of it as a test needs.
pub struct AwsService {
    url: String,
}

impl AwsService {
    /// In the place of a status line: the connection is closed without an answer.
    pub const LOST: &str = "";

    /// Answers each request with what `answer` makes of the operation and its input: status line and output.
    pub fn start(answer: impl Fn(&str, Value) -> (&'static str, Value) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let (operation, input) = Self::read(&connection);
                let (status, output) = answer(&operation, input);
                if status == Self::LOST {
                    continue;
                }
                let output = output.to_string();
                let head = "Content-Type: application/x-amz-json-1.1\r\nConnection: close";
                write!(connection, "HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {}\r\n\r\n{output}", output.len())
                    .unwrap();
            }
        });
        Self { url }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    fn read(connection: &TcpStream) -> (String, Value) {
        let mut reader = BufReader::new(connection);
        let (mut target, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("x-amz-target") => target = value.to_owned(),
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().unwrap(),
                Some(_) => {}
                None if line.trim_end().is_empty() => break,
                None => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        (target.rsplit('.').next().unwrap().to_owned(), serde_json::from_slice(&body).unwrap())
    }

    /// The command with this service in the place of the one that `endpoint` names, such as `SECRETS_MANAGER`.
    pub fn command(&self, endpoint: &str) -> Command {
        let mut command = latchkey();
        command.env(format!("AWS_ENDPOINT_URL_{endpoint}"), &self.url).envs([
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ]);
        command
    }
}
