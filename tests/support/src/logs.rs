//! Everything that is logged in this process, at the most talkative level there is.

use std::{
    io,
    sync::{Mutex, Once},
};

use latchkey_token_lambda::telemetry;
use serde_json::Value;

static CAPTURED: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Captured;

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        CAPTURED.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts capturing, once for the whole process.
pub fn capture() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::subscriber::set_global_default(telemetry::subscriber(|| Captured, "trace")).unwrap();
    });
}

/// The audit lines about one session, oldest first.
pub fn audit_of(session_id: &str) -> Vec<Value> {
    let session = latchkey_token::identity::SessionKey::parse(session_id).unwrap().audit_name();
    lines(|line| line["session"] == session.as_str())
}

/// The lines that `wanted` picks.
pub fn lines(wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    let captured = CAPTURED.lock().unwrap().clone();
    let text = String::from_utf8(captured).unwrap();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(wanted).collect()
}

/// Panics if any of `secrets` has been logged.
pub fn assert_none_of(secrets: &[String]) {
    let captured = CAPTURED.lock().unwrap().clone();
    let text = String::from_utf8_lossy(&captured);
    for secret in secrets {
        // The signature of a token is enough to recognise it, and its beginning is not secret.
        let telling = &secret[secret.len().saturating_sub(40)..];
        assert!(!text.contains(telling), "a secret of {} bytes has been logged", secret.len());
    }
}

#[test]
fn the_search_finds_a_logged_secret() {
    capture();
    tracing::info!(planted = "planted-0123456789");
    let found = std::panic::catch_unwind(|| assert_none_of(&["planted-0123456789".to_owned()]));
    assert!(found.is_err());
}
