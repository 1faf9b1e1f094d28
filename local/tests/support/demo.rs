//! A demo server with a data directory, and its issuer and client.

use std::fs;

use serde_json::Value;

use super::{Server, basic};

/// A server as `latchkey serve` starts it in an empty directory; ended when the test is.
pub struct Demo {
    pub directory: tempfile::TempDir,
    pub server: Server,
    credentials: Value,
}

impl Demo {
    pub fn start() -> Self {
        Self::start_in(&[], &[])
    }

    /// With more flags, and environment variables.
    pub fn start_in(flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let server = Server::start_with(&[&["--data", data.to_str().unwrap()], flags].concat(), variables);
        let kept = fs::read_to_string(data.join("demo-credentials.json")).unwrap();
        Self { directory, server, credentials: serde_json::from_str(&kept).unwrap() }
    }

    pub fn data(&self) -> String {
        self.directory.path().join("data").to_str().unwrap().to_owned()
    }

    /// One of the demo credentials, by its name in their file.
    pub fn secret(&self, name: &str) -> &str {
        self.credentials[name].as_str().unwrap()
    }

    /// The status and answer of an issue by `portal`.
    pub fn asked_to_issue(&self, client: &str, subject: &str) -> (u16, Value) {
        let portal = basic("portal", self.secret("issuer_secret"));
        self.server.post("/token", &portal, &format!("client_id={client}&subject={subject}"))
    }

    pub fn issue(&self, client: &str, subject: &str) -> Value {
        let (status, tokens) = self.asked_to_issue(client, subject);
        assert_eq!(status, 200, "{tokens}");
        tokens
    }

    /// The status of a renewal by `librechat`, with its first secret.
    pub fn renew(&self, tokens: &Value) -> u16 {
        let token = |name: &str| tokens[name].as_str().unwrap().to_owned();
        let body = format!("refresh_token={}&access_token={}", token("refresh_token"), token("access_token"));
        self.server.post("/token/renew", &basic("librechat", self.secret("client_secret")), &body).0
    }
}
