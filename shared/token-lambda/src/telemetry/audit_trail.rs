//! The audit trail of a request, as log lines and metrics.

use lambda_http::{
    Request,
    http::{HeaderMap, header::USER_AGENT},
};
use latchkey_token::{
    audit::{Event, EventKind, Reason},
    failure::{Failure, Refusal},
    ports::Audit,
};

use super::{logs::AUDIT, metrics};
use crate::{request::Invocation, response::EdgeError};

/// Longest `user_agent` in an audit line, in characters.
const MAX_USER_AGENT: usize = 256;

/// The audit trail of one request.
pub struct RequestAudit {
    function: &'static str,
    caller: Invocation,
    user_agent: Option<String>,
}

impl RequestAudit {
    /// The audit trail of a request to `function`. Its host says who calls: the [`Invocation`] among the request's
    /// extensions; without one, nothing is known of the caller but its user agent.
    pub fn new(function: &'static str, request: &Request) -> Self {
        let caller = request.extensions().get().cloned().unwrap_or_default();
        Self::of_caller(function, caller, request.headers())
    }

    /// The audit trail of an event that only tells of a request.
    pub fn of_caller(function: &'static str, caller: Invocation, headers: &HeaderMap) -> Self {
        let user_agent = headers.get(USER_AGENT).map(|value| one_line(&String::from_utf8_lossy(value.as_bytes())));
        Self { function, caller, user_agent }
    }

    /// The audit trail of an invocation that nobody has requested over HTTP.
    pub fn of_invocation(function: &'static str, request_id: String) -> Self {
        Self { function, caller: Invocation { request_id, ..Invocation::default() }, user_agent: None }
    }

    /// Logs infrastructure trouble; anything else has been said.
    pub fn record_failure(&self, error: &EdgeError) {
        if let EdgeError::Failed(Failure::Unavailable(unavailable) | Failure::Unrepeatable(unavailable)) = error {
            metrics::count("Unavailable", Some(unavailable.what));
            tracing::error!(
                service = "latchkey",
                function = self.function,
                function_request_id = self.caller.request_id,
                api_request_id = self.caller.api_request_id,
                what = unavailable.what,
                detail = unavailable.detail,
                "temporarily unavailable"
            );
        }
    }

    /// Logs what did not come from a use case: bodies that cannot be read, and infrastructure trouble.
    pub fn record_error(&self, error: &EdgeError, rejected: EventKind) {
        match error {
            EdgeError::Unreadable(_) => self.record(&Event::new(rejected).because(Reason::MalformedRequest)),
            EdgeError::Failed(Failure::Refused(Refusal::UnsupportedGrantType { .. })) => {
                self.record(&Event::new(rejected).because(Reason::UnsupportedGrantType));
            }
            // The use case has said why.
            EdgeError::Failed(Failure::Refused(_)) => {}
            EdgeError::Failed(Failure::Unavailable(_) | Failure::Unrepeatable(_)) => self.record_failure(error),
        }
    }
}

/// Control characters and Unicode's line and paragraph separators would break a line somewhere down the road.
fn one_line(text: &str) -> String {
    let breaks = |character: char| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}');
    text.chars().take(MAX_USER_AGENT).map(|character| if breaks(character) { '?' } else { character }).collect()
}

impl Audit for RequestAudit {
    fn record(&self, event: &Event) {
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    target: AUDIT,
                    service = "latchkey",
                    function = self.function,
                    function_request_id = self.caller.request_id,
                    api_request_id = self.caller.api_request_id,
                    event = event.kind.name(),
                    client_id = event.client_id.as_deref().map(one_line),
                    issuer_id = event.issuer_id.as_deref().map(one_line),
                    session = event.session,
                    subject_hash = event.subject_hash,
                    jti = event.jti,
                    generation = event.generation,
                    reason = event.reason.map(Reason::name),
                    seconds_to_expiry = event.seconds_to_expiry,
                    in_grace = event.in_grace,
                    redirect_uris = event.redirect_uris,
                    source_ip = self.caller.source_ip,
                    user_agent = self.user_agent,
                )
            };
        }
        if event.kind.is_alarming() {
            line!(warn)
        } else if !event.kind.is_counted_only() {
            line!(info)
        }
        metrics::count(event.kind.name(), event.reason.map(Reason::name));
    }
}

#[cfg(test)]
mod tests {
    use super::{super::logs::subscriber, *};
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(user_agent: &[u8], event: &Event) -> String {
        logged_at("info", user_agent, event)
    }

    fn logged_at(level: &str, user_agent: &[u8], event: &Event) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let mut request = Request::new(lambda_http::Body::Empty);
        request.headers_mut().insert(USER_AGENT, lambda_http::http::HeaderValue::from_bytes(user_agent).unwrap());
        request.extensions_mut().insert(Invocation {
            request_id: "r-1".into(),
            api_request_id: Some("a-1".into()),
            source_ip: Some("192.0.2.1".into()),
        });
        tracing::subscriber::with_default(subscriber(move || writer.clone(), level), || {
            RequestAudit::new("renew", &request).record(event);
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_event_is_one_flat_json_line_without_what_is_not_known() {
        let event = Event { generation: Some(3), ..Event::new(EventKind::TokenRenewed) };
        let line = logged(b"curl/8", &event);
        assert_eq!(line.matches('\n').count(), 1);
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(json["event"], "token_renewed");
        assert_eq!(json["level"], "INFO");
        assert_eq!(json["generation"], 3);
        assert_eq!(json["function_request_id"], "r-1");
        assert_eq!(json["api_request_id"], "a-1");
        assert_eq!(json["source_ip"], "192.0.2.1");
        assert_eq!(json["user_agent"], "curl/8");
        assert!(json.get("reason").is_none() && json.get("client_id").is_none());
        let timestamp = json["timestamp"].as_str().unwrap();
        assert!(timestamp.ends_with('Z') && timestamp.contains('T'), "{timestamp}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&logged(b"x", &Event::new(EventKind::ReuseDetected))).unwrap()["level"],
            "WARN"
        );
    }

    #[test]
    fn the_audit_trail_does_not_depend_on_the_level() {
        for level in ["trace", "WARN", "error", "FATAL", "off", "no-such-level", "latchkey=debug"] {
            let line = logged_at(level, b"x", &Event::new(EventKind::TokenRenewed));
            assert!(line.contains("token_renewed"), "{level}");
        }
    }

    #[test]
    fn hostile_user_agents_stay_in_their_line() {
        let hostile = format!("a\u{2028}b\u{1b}[31m\u{85}{}", "x".repeat(1_000_000));
        let hostile: Vec<u8> = hostile.bytes().filter(|byte| *byte != 0x1b).collect();
        let line = logged(&hostile, &Event::new(EventKind::TokenRenewed));
        assert_eq!(line.lines().count(), 1);
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        let user_agent = json["user_agent"].as_str().unwrap();
        assert!(user_agent.starts_with("a?b[31m?x"), "{user_agent}");
        assert_eq!(user_agent.chars().count(), MAX_USER_AGENT);
        assert!(!logged(b"tab\there", &Event::new(EventKind::TokenRenewed)).contains('\t'));
    }
}
