//! Which audit lines the operator wants to see.

use clap::{Args, builder::PossibleValuesParser};
use latchkey_token::{
    audit::EventKind,
    values::{Subject, Timestamp},
};

use super::{super::documents::AuditKeyLocation, line::AuditLine};
use crate::console::{Failure, Moment, NamedSession, moment, named_session, subject};

/// All that are given must hold; of several values of one, any.
#[derive(Args)]
#[command(next_help_heading = "Which lines (all of them by default)")]
pub(super) struct Selection {
    /// Of this user, as the external system names it; the audit trail has only a name made with the audit key
    #[arg(long, value_parser = subject)]
    subject: Option<Subject>,
    /// Of this session: its id (43 characters) or its name in the audit trail ("session", 16 hex digits)
    #[arg(long, value_name = "SESSION", value_parser = named_session, allow_hyphen_values = true)]
    session: Option<NamedSession>,
    /// Of this event; may be given several times, or several with commas
    #[arg(long, value_delimiter = ',', value_parser = PossibleValuesParser::new(EventKind::ALL.map(EventKind::name)))]
    event: Vec<String>,
    /// Of this client; may be given several times
    #[arg(long, value_name = "CLIENT_ID")]
    client: Vec<String>,
    /// Not older than this: a time such as 2026-01-31T09:30:00Z, or so long ago, such as 90min, 12h or 7d
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Moment>,
    /// Older than this; the same notation
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Moment>,
    #[command(flatten)]
    audit_key: AuditKeyLocation,
}

/// A selection in the words of the audit trail.
pub(super) struct Wanted<'a> {
    selection: &'a Selection,
    subject: Option<String>,
    session: Option<String>,
}

impl Selection {
    /// Finds out the user's name in the audit trail.
    pub(super) fn wanted(&self) -> Result<Wanted<'_>, Failure> {
        let subject = match (&self.subject, self.audit_key.key()?) {
            (None, _) => None,
            (Some(subject), Some(key)) => Some(key.name(subject)),
            (Some(_), None) => {
                return Err(Failure::Usage(
                    "the audit trail names users by the audit key: say where the key ring is, with --keys FILE or \
                     --keys-secret ID"
                        .into(),
                ));
            }
        };
        Ok(Wanted { selection: self, subject, session: self.session.as_ref().map(NamedSession::audit_name) })
    }
}

impl Wanted<'_> {
    pub(super) fn since(&self, now: Timestamp) -> Option<Timestamp> {
        self.selection.since.map(|since| since.before(now))
    }

    pub(super) fn until(&self, now: Timestamp) -> Option<Timestamp> {
        self.selection.until.map(|until| until.before(now))
    }

    /// A line without a time is in no span of time.
    pub(super) fn admits(&self, line: &AuditLine, now: Timestamp) -> bool {
        let any = |wanted: &[String], member| {
            wanted.is_empty() || line.text(member).is_some_and(|value| wanted.iter().any(|wanted| wanted == value))
        };
        let at = line.at();
        any(&self.selection.event, "event")
            && any(&self.selection.client, "client_id")
            && any(self.session.as_slice(), "session")
            && any(self.subject.as_slice(), "subject_hash")
            && self.since(now).is_none_or(|since| at.is_some_and(|at| at >= since))
            && self.until(now).is_none_or(|until| at.is_some_and(|at| at < until))
    }

    /// The same for CloudWatch Logs, as far as it can be said exactly: what need not travel.
    pub(super) fn filter_pattern(&self) -> Option<String> {
        let plain = |text: &&String| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        let any = |wanted: &[String], member: &str| {
            let exact = !wanted.is_empty() && wanted.iter().all(|wanted| plain(&wanted));
            let alternatives: Vec<String> =
                wanted.iter().map(|wanted| format!("($.{member} = \"{wanted}\")")).collect();
            exact.then(|| format!("({})", alternatives.join(" || ")))
        };
        let terms: Vec<String> = [
            any(&self.selection.event, "event"),
            any(&self.selection.client, "client_id"),
            any(self.session.as_slice(), "session"),
            any(self.subject.as_slice(), "subject_hash"),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!terms.is_empty()).then(|| format!("{{ {} }}", terms.join(" && ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    use crate::operator::audit::line::Line;
    use clap::Parser;
    use latchkey_token::{keys::AuditKey, values::SessionKey};

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        selection: Selection,
    }

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    fn selection(arguments: &[&str]) -> Selection {
        Command::try_parse_from([&["test"], arguments].concat()).map_err(|error| error.to_string()).unwrap().selection
    }

    fn admits(arguments: &[&str], line: &str) -> bool {
        let Line::Audit(line) = Line::read(line) else { panic!("{line}") };
        selection(arguments).wanted().unwrap().admits(&line, NOW)
    }

    fn filter_pattern(arguments: &[&str]) -> Option<String> {
        selection(arguments).wanted().unwrap().filter_pattern()
    }

    #[test]
    fn subjects_and_sessions_are_found_by_the_audit_trails_names() {
        let ring = format!(r#"{{"signing":[],"tagging":[],"audit":{{"secret":"{}"}}}}"#, "A".repeat(43));
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(ring.as_bytes()).unwrap();
        let keys = file.path().to_str().unwrap();
        let name = AuditKey::of_document(&ring).unwrap().name(&Subject::parse("alice").unwrap());
        let line = format!(r#"{{"event":"token_issued","subject_hash":"{name}"}}"#);
        assert!(admits(&["--subject", "alice", "--keys", keys], &line));
        assert!(!admits(&["--subject", "bob", "--keys", keys], &line));
        assert!(selection(&["--subject", "alice"]).wanted().is_err(), "without the key nobody can tell");
        let id = "AQEBAQEBAQEBAQEBAQEBAQICAgICAgICAgICAgICAgI";
        let name = SessionKey::parse(id).unwrap().audit_name();
        let line = format!(r#"{{"event":"token_issued","session":"{name}"}}"#);
        for session in [id, &name] {
            assert!(admits(&["--session", session], &line));
            assert!(!admits(&["--session", session], r#"{"event":"token_issued","session":"0000000000000000"}"#));
        }
    }

    #[test]
    fn everything_that_is_asked_for_must_hold() {
        let line = r#"{"event":"token_renewed","client_id":"librechat","timestamp":"2027-01-15T07:59:59.5Z"}"#;
        assert!(admits(&[], line));
        assert!(admits(&["--event", "token_issued,token_renewed", "--client", "librechat"], line));
        assert!(!admits(&["--event", "token_renewed", "--client", "other"], line));
        assert!(admits(&["--since", "1h", "--until", "2027-01-15T08:00:00Z"], line));
        assert!(!admits(&["--since", "200ms"], line));
        assert!(!admits(&["--until", "2027-01-15T07:59:59Z"], line));
        assert!(!admits(&["--since", "1h"], r#"{"event":"token_renewed"}"#), "no time, no span");
    }

    #[test]
    fn cloudwatch_is_asked_for_what_can_be_said_exactly() {
        assert_eq!(filter_pattern(&["--since", "1h"]), None);
        let name = "0123456789abcdef";
        assert_eq!(
            filter_pattern(&["--event", "token_issued", "--event", "token_renewed", "--session", name]).unwrap(),
            r#"{ (($.event = "token_issued") || ($.event = "token_renewed")) && (($.session = "0123456789abcdef")) }"#
        );
        assert_eq!(filter_pattern(&["--client", r#"a" || "b"#]), None, "nothing is smuggled in");
    }
}
