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

/// How many bytes have been logged.
pub fn length() -> usize {
    CAPTURED.lock().unwrap().len()
}

/// Everything that has been logged.
pub fn text() -> String {
    String::from_utf8(CAPTURED.lock().unwrap().clone()).unwrap()
}

/// The audit lines about one session, oldest first.
pub fn audit_of(session_id: &str) -> Vec<Value> {
    let session = latchkey_token::values::SessionKey::parse(session_id).unwrap().audit_name();
    lines(|line| line["session"] == session.as_str())
}

/// The lines that `wanted` picks.
pub fn lines(wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    text().lines().filter_map(|line| serde_json::from_str(line).ok()).filter(wanted).collect()
}

/// 16 bytes in base64url.
const JTI_LENGTH: usize = 22;

/// Whether `text` is one JSON object of ours a line, with nothing that breaks a line, and no token; how many lines.
pub fn check(text: &str) -> Result<usize, String> {
    let mut lines = 0;
    for line in text.lines() {
        lines += 1;
        let mut parsed: Value = serde_json::from_str(line).map_err(|_| format!("no JSON: {line:.200}"))?;
        if !parsed["timestamp"].is_string() || !parsed["level"].is_string() {
            return Err(format!("not one of our lines: {line:.200}"));
        }
        if line.chars().any(|character| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')) {
            return Err(format!("a character that breaks lines: {line:.200?}"));
        }
        let user_agent = parsed["user_agent"].as_str().unwrap_or_default();
        if user_agent.chars().count() > 256 {
            return Err("a user_agent of more than 256 characters".into());
        }
        // A random id may begin like anything. It is too short to be a token.
        if parsed["jti"].as_str().is_some_and(|jti| jti.len() == JTI_LENGTH) {
            parsed["jti"].take();
        }
        // Nor is the id of a client that has registered itself, which is long and random.
        if parsed["client_id"].as_str().is_some_and(|id| id.starts_with("lkd1_")) {
            parsed["client_id"].take();
        }
        let rest = parsed.to_string();
        // The beginning of every JWT, and of everything else that is sealed or tagged here.
        if let Some(token) = ["eyJ", "lk1_", "lkt1_", "lka1_", "lkc1_"].into_iter().find(|token| rest.contains(token)) {
            return Err(format!("something like a token: {token}"));
        }
    }
    Ok(lines)
}

/// Panics if any of `secrets` has been logged after the first `skipped` bytes.
pub fn assert_none_of(secrets: &[String], skipped: usize) {
    let captured = CAPTURED.lock().unwrap()[skipped..].to_vec();
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
    let planted = ["planted-0123456789".to_owned()];
    let found = std::panic::catch_unwind(|| assert_none_of(&planted, 0));
    assert!(found.is_err());
    assert_none_of(&planted, length());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(member: &str, text: &str) -> Result<usize, String> {
        check(&serde_json::json!({"timestamp": "t", "level": "INFO", member: text}).to_string())
    }

    #[test]
    fn a_token_is_found_wherever_it_stands_and_an_id_that_begins_like_one_is_none() {
        let (id, token) = (format!("eyJ{}", "a".repeat(19)), format!("eyJ{}", "a".repeat(300)));
        assert_eq!(checked("jti", &id), Ok(1));
        for member in ["reason", "user_agent", "session"] {
            assert!(checked(member, &id).is_err(), "{member}");
        }
        assert!(checked("jti", &token).is_err());
        for token in ["lk1_a", "lkt1_a", "lka1_a", "lkc1_a"] {
            assert!(checked("jti", token).is_err() && checked("path", token).is_err());
        }
    }
}
