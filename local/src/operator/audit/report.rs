//! What the audit lines add up to.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use latchkey_token::{
    audit::EventKind,
    json::{Map, Value},
    values::Timestamp,
};
use serde_json::json;

use super::line::AuditLine;
#[cfg(test)]
use super::line::Line;
use crate::console::table;

/// Counts, by name.
pub(super) type Counts = BTreeMap<String, u64>;

/// The counts of a report, and what its plots are drawn from.
#[derive(Default)]
pub(super) struct Report {
    pub(super) events: Counts,
    /// By event, then by reason.
    pub(super) reasons: BTreeMap<String, Counts>,
    pub(super) clients: Counts,
    sessions: BTreeSet<String>,
    subjects: BTreeSet<String>,
    /// Renewals with an access token that had expired and was in its grace period.
    in_grace: u64,
    /// When each event was, with its place among the known ones.
    pub(super) moments: Vec<(Timestamp, usize)>,
    /// How long the access token presented had left, at each renewal; negative in the grace period.
    pub(super) seconds_left: Vec<i64>,
    /// JSON, and no audit line.
    pub(super) other_lines: u64,
    /// Not JSON.
    pub(super) skipped_lines: u64,
}

impl Report {
    pub(super) fn count(&mut self, line: &AuditLine) {
        let one_more = |counts: &mut Counts, name: &str| *counts.entry(name.to_owned()).or_default() += 1;
        let event = line.event();
        one_more(&mut self.events, event);
        if let Some(reason) = line.text("reason") {
            one_more(self.reasons.entry(event.to_owned()).or_default(), reason);
        }
        if let Some(client) = line.text("client_id") {
            one_more(&mut self.clients, client);
        }
        self.sessions.extend(line.text("session").map(str::to_owned));
        self.subjects.extend(line.text("subject_hash").map(str::to_owned));
        if event == EventKind::TokenRenewed.name() {
            self.in_grace += u64::from(line.truth("in_grace"));
            self.seconds_left.extend(line.number("seconds_to_expiry"));
        }
        let kind = EventKind::ALL.iter().position(|kind| kind.name() == event);
        self.moments.extend(line.at().zip(kind));
    }

    /// From the first to the last event; `None` if none had a time.
    pub(super) fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let times = || self.moments.iter().map(|(at, _)| *at);
        times().min().zip(times().max())
    }

    /// `{"events":{"token_issued":2,…},…}`; `first` and `last` only if events had a time.
    pub(super) fn json(&self) -> Value {
        let mut object = Map::new();
        for (member, value) in [
            ("events", json!(self.events)),
            ("reasons", json!(self.reasons)),
            ("clients", json!(self.clients)),
            ("sessions", json!(self.sessions.len())),
            ("subjects", json!(self.subjects.len())),
            ("renewed_in_grace", json!(self.in_grace)),
            ("other_lines", json!(self.other_lines)),
            ("skipped_lines", json!(self.skipped_lines)),
        ] {
            object.insert(member.to_owned(), value);
        }
        if let Some((first, last)) = self.span() {
            object.insert("first".to_owned(), json!(first.to_string()));
            object.insert("last".to_owned(), json!(last.to_string()));
        }
        Value::Object(object)
    }

    /// What was counted, in a sentence.
    pub(super) fn summary(&self) -> String {
        let span = match self.span() {
            Some((first, last)) => format!(", {first} to {last}"),
            None => String::new(),
        };
        format!(
            "{} of {} and {}{span}",
            counted(self.events.values().sum::<u64>(), "event"),
            counted(self.sessions.len(), "session"),
            counted(self.subjects.len(), "subject")
        )
    }

    /// What was read and not counted, in a sentence; nothing if there was none.
    pub(super) fn left_out(&self) -> Option<String> {
        let lines = |count: u64, what| (count > 0).then(|| format!("{} {what}", counted(count, "line")));
        let parts: Vec<String> =
            [lines(self.skipped_lines, "without JSON"), lines(self.other_lines, "of JSON without an audit event")]
                .into_iter()
                .flatten()
                .collect();
        (!parts.is_empty()).then(|| format!("Passed over: {}", parts.join(", ")))
    }

    /// Known events first, in their own order, then those that only a later version knows.
    pub(super) fn events_in_order(&self) -> Vec<(&str, u64)> {
        let mut events: Vec<(&str, u64)> = self.events.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        let place = |name: &str| EventKind::ALL.iter().position(|kind| kind.name() == name);
        events.sort_by_key(|(name, _)| place(name).unwrap_or(usize::MAX));
        events
    }

    /// `(event, reason, how often)`, the most frequent first.
    pub(super) fn reasons_by_count(&self) -> Vec<(&str, &str, u64)> {
        let mut rows: Vec<(&str, &str, u64)> = self
            .reasons
            .iter()
            .flat_map(|(event, reasons)| {
                reasons.iter().map(|(reason, count)| (event.as_str(), reason.as_str(), *count))
            })
            .collect();
        rows.sort_by_key(|(_, _, count)| std::cmp::Reverse(*count));
        rows
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", printable(&self.summary()))?;
        if let Some(left_out) = self.left_out() {
            writeln!(f, "{left_out}")?;
        }
        let count = |count: u64| format!("{count:>7}");
        let events = self.events_in_order();
        let events = events.iter().map(|(name, number)| [printable(name), count(*number)]);
        let reasons = self.reasons_by_count();
        let reasons =
            reasons.iter().map(|(event, reason, number)| [printable(event), printable(reason), count(*number)]);
        let clients = self.clients.iter().map(|(client, number)| [printable(client), count(*number)]);
        write!(f, "\n{}", table(["EVENT", "  COUNT"], events))?;
        if !self.reasons.is_empty() {
            write!(f, "\n{}", table(["EVENT", "REASON", "  COUNT"], reasons))?;
        }
        if !self.clients.is_empty() {
            write!(f, "\n{}", table(["CLIENT", "  COUNT"], clients))?;
        }
        Ok(())
    }
}

fn counted(number: impl TryInto<u64>, what: &str) -> String {
    match number.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
}

/// A log may hold anything; a terminal obeys control characters.
fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}

/// A report of these lines.
#[cfg(test)]
pub(super) fn of(lines: &[&str]) -> Report {
    let mut report = Report::default();
    for line in lines {
        match Line::read(line) {
            Line::Audit(line) => report.count(&line),
            Line::Other => report.other_lines += 1,
            Line::NotJson => report.skipped_lines += 1,
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_reasons_and_clients_are_counted() {
        let report = of(&[
            r#"{"timestamp":"2026-01-31T09:30:00Z","event":"token_issued","client_id":"a","session":"1","subject_hash":"x"}"#,
            r#"{"timestamp":"2026-01-31T09:31:00Z","event":"token_renewed","client_id":"a","session":"1","in_grace":true,"seconds_to_expiry":-3}"#,
            r#"{"timestamp":"2026-01-31T09:29:00Z","event":"token_issued","client_id":"b","session":"2","subject_hash":"x"}"#,
            r#"{"event":"renewal_rejected","reason":"forged"}"#,
            r#"{"event":"of_a_later_version"}"#,
            r#"{"level":"INFO"}"#,
            "START RequestId",
        ]);
        assert_eq!(
            report.json(),
            json!({
                "events": {"token_issued": 2, "token_renewed": 1, "renewal_rejected": 1, "of_a_later_version": 1},
                "reasons": {"renewal_rejected": {"forged": 1}},
                "clients": {"a": 2, "b": 1},
                "sessions": 2, "subjects": 1, "renewed_in_grace": 1, "other_lines": 1, "skipped_lines": 1,
                "first": "2026-01-31T09:29:00Z", "last": "2026-01-31T09:31:00Z",
            })
        );
        assert_eq!(report.seconds_left, [-3]);
        let text = report.to_string();
        assert!(text.starts_with("5 events of 2 sessions and 1 subject, 2026-01-31T09:29:00Z to"), "{text}");
        assert!(text.contains("Passed over: 1 line without JSON, 1 line of JSON without an audit event\n"), "{text}");
        assert!(text.contains("token_issued              2\n"), "{text}");
        let order: Vec<&str> = report.events_in_order().into_iter().map(|(name, _)| name).collect();
        assert_eq!(order, ["token_issued", "token_renewed", "renewal_rejected", "of_a_later_version"]);
    }

    #[test]
    fn what_a_log_holds_does_not_reach_the_terminal_as_a_command() {
        let text = of(&[r#"{"event":"\u001b[2J","reason":"\u0007","client_id":"a\nb"}"#]).to_string();
        assert!(!text.contains('\u{1b}') && !text.contains('\u{7}') && text.contains("a?b"), "{text}");
    }

    #[test]
    fn nothing_adds_up_to_nothing() {
        assert_eq!(of(&[]).json()["events"], json!({}));
        assert!(of(&[]).to_string().starts_with("0 events of 0 sessions"));
    }
}
