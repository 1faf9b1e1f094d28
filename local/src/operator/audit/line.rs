//! One line of a log, and the audit line in it, however it was carried here.

use humantime::parse_rfc3339_weak;
use latchkey_token::{
    json::{Map, Value},
    values::Timestamp,
};

/// Members under which others carry the line that was logged: `aws logs filter-log-events`, Logs Insights, Docker's json-file
/// and Fluent Bit, `journalctl -o json`.
const WRAPPERS: [&str; 4] = ["message", "@message", "log", "MESSAGE"];

/// What a line of a log is.
pub(super) enum Line {
    Audit(AuditLine),
    /// JSON without an audit event: another log line, or a platform's report.
    Other,
    NotJson,
}

/// An audit line as it was written.
pub(super) struct AuditLine(Map<String, Value>);

impl Line {
    /// Reads a line as it was written, with whatever an export puts in front of it (a time, a log stream), or wrapped as
    /// `{"message":"…"}`, also when that is one line of an indented document.
    pub(super) fn read(text: &str) -> Self {
        let text = text.trim();
        let member = || WRAPPERS.iter().any(|name| text.starts_with(&format!("\"{name}\"")));
        let object = match text.find('{') {
            _ if member() => object(&format!("{{{}}}", text.trim_end_matches(','))),
            Some(start) => text.get(start..).and_then(|text| object(text.trim_end_matches(','))),
            None => None,
        };
        match object {
            Some(object) => Self::of_object(object),
            None => Self::NotJson,
        }
    }

    fn of_object(mut object: Map<String, Value>) -> Self {
        if object.get("event").is_some_and(Value::is_string) {
            return Self::Audit(AuditLine(object));
        }
        for wrapper in WRAPPERS {
            let carried = match object.remove(wrapper) {
                Some(Value::Array(bytes)) => text_of(&bytes),
                carried => carried,
            };
            match carried {
                // Once: an audit line is wrapped by one export.
                Some(Value::String(text)) if text.contains("\"event\"") => {
                    let inner = text.find('{').and_then(|start| self::object(text.get(start..)?.trim()));
                    if let Some(inner) = inner.filter(|inner| inner.get("event").is_some_and(Value::is_string)) {
                        return Self::Audit(AuditLine(inner));
                    }
                }
                Some(Value::Object(inner)) if inner.get("event").is_some_and(Value::is_string) => {
                    return Self::Audit(AuditLine(inner));
                }
                _ => {}
            }
        }
        Self::Other
    }
}

/// journald writes what it takes for no text as a list of its bytes.
fn text_of(bytes: &[Value]) -> Option<Value> {
    let byte = |value: &Value| value.as_u64().and_then(|number| u8::try_from(number).ok());
    let bytes: Option<Vec<u8>> = bytes.iter().map(byte).collect();
    Some(Value::String(String::from_utf8_lossy(&bytes?).into_owned()))
}

fn object(text: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(text).ok()
}

impl AuditLine {
    pub(super) fn event(&self) -> &str {
        self.text("event").unwrap_or_default()
    }

    pub(super) fn text(&self, member: &str) -> Option<&str> {
        self.0.get(member)?.as_str()
    }

    pub(super) fn number(&self, member: &str) -> Option<i64> {
        self.0.get(member)?.as_i64()
    }

    pub(super) fn truth(&self, member: &str) -> bool {
        self.0.get(member).and_then(Value::as_bool).unwrap_or_default()
    }

    /// When it was written; `None` without an RFC 3339 `timestamp` in UTC.
    pub(super) fn at(&self) -> Option<Timestamp> {
        let since_epoch =
            parse_rfc3339_weak(self.text("timestamp")?).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        i64::try_from(since_epoch.as_millis()).ok().map(Timestamp::from_unix_millis)
    }

    /// The line as JSON.
    pub(super) fn json(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }

    /// For people: when, what, and whatever else is known. Has no control characters, whatever the log holds.
    pub(super) fn shown(&self) -> String {
        const FIRST: [&str; 2] = ["timestamp", "event"];
        const UNTOLD: [&str; 3] = ["level", "target", "service"];
        let mut text = format!("{}  {:<16}", self.text("timestamp").unwrap_or("-"), self.event());
        for (name, value) in &self.0 {
            if FIRST.contains(&name.as_str()) || UNTOLD.contains(&name.as_str()) {
                continue;
            }
            match value {
                Value::String(value) if !value.contains(char::is_whitespace) => {
                    text.push_str(&format!(" {name}={value}"))
                }
                value => text.push_str(&format!(" {name}={value}")),
            }
        }
        text.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGGED: &str =
        r#"{"timestamp":"2026-01-31T09:30:00.250Z","level":"INFO","event":"token_renewed","generation":3}"#;

    fn event(text: &str) -> Option<String> {
        match Line::read(text) {
            Line::Audit(line) => Some(line.event().to_owned()),
            Line::Other | Line::NotJson => None,
        }
    }

    #[test]
    fn an_audit_line_is_found_as_written_and_as_exports_carry_it() {
        let quoted = Value::String(LOGGED.to_owned()).to_string();
        for text in [
            LOGGED.to_owned(),
            format!("  {LOGGED}\r"),
            format!("2026-01-31T09:30:00.251Z {LOGGED}"),
            format!("2026-01-31T09:30:00.251000+00:00 2026/01/31/[$LATEST]0123abcd {LOGGED}"),
            format!("2026-01-31T09:30:00.251Z\t{LOGGED}"),
            format!(r#"{{"timestamp":1769851800251,"message":{quoted},"ingestionTime":1769851800300}}"#),
            format!(r#"{{"@timestamp":"2026-01-31 09:30:00.251","@message":{quoted}}},"#),
            format!(r#"{{"message":{LOGGED}}}"#),
            format!(r#"            "message": {quoted},"#),
            // Docker's json-file, with the line's end in it, and Fluent Bit.
            format!(
                r#"{{"log":{},"stream":"stdout","time":"2026-01-31T09:30:00.251Z"}}"#,
                quoted.replace(r#"}""#, r#"}\n""#)
            ),
            format!(r#"{{"@timestamp":1.7,"log":{quoted},"kubernetes":{{"pod_name":"latchkey-0"}}}}"#),
            // journalctl -o json, -o json-pretty, and what journald takes for no text.
            format!(r#"{{"__REALTIME_TIMESTAMP":"1769851800251000","MESSAGE":{quoted},"PRIORITY":"6"}}"#),
            format!(r#"	"MESSAGE" : {quoted},"#),
            format!(r#"{{"PRIORITY":"6","MESSAGE":{:?}}}"#, LOGGED.as_bytes()),
            // Kubernetes' own files, docker compose.
            format!("2026-01-31T09:30:00.251000000Z stdout F {LOGGED}"),
            format!("latchkey-1  | {LOGGED}"),
        ] {
            assert_eq!(event(&text).as_deref(), Some("token_renewed"), "{text}");
        }
    }

    #[test]
    fn other_json_and_what_is_none_are_told_apart() {
        let is_other = |text: &str| matches!(Line::read(text), Line::Other);
        assert!(is_other(r#"{"type":"platform.report"}"#));
        assert!(is_other(r#"{"event":3}"#));
        assert!(is_other(r#"{"message":"the \"event\" of the year {"}"#));
        for text in ["", "START RequestId: 1", "{", "[1]", r#"{"event":"token_issued""#, "\u{fffd}"] {
            assert!(matches!(Line::read(text), Line::NotJson), "{text}");
        }
    }

    #[test]
    fn times_are_read_and_what_is_shown_stays_in_its_line() {
        let Line::Audit(line) = Line::read(LOGGED) else { panic!("no audit line") };
        assert_eq!(line.at(), Some(Timestamp::from_unix_millis(1_769_851_800_250)));
        assert_eq!(line.shown(), "2026-01-31T09:30:00.250Z  token_renewed    generation=3");
        let hostile = r#"{"event":"token_issued","client_id":"\u001b[2Ja","user_agent":"b c\n"}"#;
        let Line::Audit(line) = Line::read(hostile) else { panic!("no audit line") };
        assert_eq!(line.at(), None);
        assert_eq!(line.shown(), r#"-  token_issued     client_id=?[2Ja user_agent="b c\n""#);
    }
}
