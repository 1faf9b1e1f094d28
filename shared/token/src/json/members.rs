//! Reads an operator's JSON document member by member and names every fault by its path.
//!
//! A fault never quotes a value: key rings hold secrets, and a secret may stand in the wrong place.

use std::fmt;

use super::strict::{Map, Value, parse_object};

/// Everything that is wrong with a document, one line each. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(Vec<String>);

impl Faults {
    /// One line per fault: the path of the member and what is wrong with it.
    pub fn lines(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for Faults {}

/// Collects the faults of one document.
#[derive(Default)]
pub(crate) struct Report(Vec<String>);

impl Report {
    pub(crate) fn add(&mut self, fault: impl Into<String>) {
        self.0.push(fault.into());
    }

    pub(crate) fn finish<T>(self, value: T) -> Result<T, Faults> {
        if self.0.is_empty() { Ok(value) } else { Err(Faults(self.0)) }
    }
}

/// One object of a document. Members are taken out as they are read; [`Members::end`] reports the rest.
pub(crate) struct Members<'a> {
    path: String,
    members: Map<String, Value>,
    report: &'a mut Report,
}

impl<'a> Members<'a> {
    pub(crate) fn of_document(text: &str, report: &'a mut Report) -> Option<Self> {
        match parse_object(text.as_bytes()) {
            Ok(members) => Some(Self { path: String::new(), members, report }),
            Err(_) => {
                report.add("not a JSON object, or a member stands twice");
                None
            }
        }
    }

    pub(crate) fn of(path: String, value: Value, report: &'a mut Report) -> Option<Self> {
        match value {
            Value::Object(members) => Some(Self { path, members, report }),
            _ => {
                report.add(format!("{path}: must be an object"));
                None
            }
        }
    }

    /// Makes later faults name the object by its id as well as by its place.
    pub(crate) fn name(&mut self, id: &str) {
        self.path = format!("{} ({id:?})", self.path);
    }

    pub(crate) fn fault(&mut self, member: &str, what: impl fmt::Display) {
        let path = self.member_path(member);
        self.report.add(format!("{path}: {what}"));
    }

    fn member_path(&self, member: &str) -> String {
        if self.path.is_empty() { member.to_owned() } else { format!("{}.{member}", self.path) }
    }

    fn must_be_there(&mut self, member: &str) {
        if self.members.get(member).is_none_or(Value::is_null) {
            self.fault(member, "is missing");
        }
    }

    /// A member that is there and not `null`.
    fn take(&mut self, member: &str) -> Option<Value> {
        self.members.remove(member).filter(|value| !value.is_null())
    }

    fn optional<T>(&mut self, member: &str, what: &str, read: impl FnOnce(Value) -> Option<T>) -> Option<T> {
        let value = self.take(member)?;
        let read = read(value);
        if read.is_none() {
            self.fault(member, format_args!("must be {what}"));
        }
        read
    }

    pub(crate) fn string(&mut self, member: &str) -> Option<String> {
        self.optional(member, "a string", |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        })
    }

    pub(crate) fn required_string(&mut self, member: &str) -> Option<String> {
        self.must_be_there(member);
        self.string(member)
    }

    pub(crate) fn truth(&mut self, member: &str) -> Option<bool> {
        self.optional(member, "true or false", |value| value.as_bool())
    }

    pub(crate) fn integer(&mut self, member: &str, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let what = format!("a whole number from {} to {}", range.start(), range.end());
        self.optional(member, &what, |value| value.as_i64().filter(|number| range.contains(number)))
    }

    pub(crate) fn strings(&mut self, member: &str) -> Vec<String> {
        let read = self.optional(member, "a list of strings", |value| match value {
            Value::Array(items) => items.into_iter().map(|item| item.as_str().map(str::to_owned)).collect(),
            _ => None,
        });
        read.unwrap_or_default()
    }

    /// The objects of a list, each with its path.
    pub(crate) fn list(&mut self, member: &str) -> Vec<(String, Value)> {
        self.must_be_there(member);
        let items = self.optional(member, "a list", |value| match value {
            Value::Array(items) => Some(items),
            _ => None,
        });
        let path = self.member_path(member);
        items
            .unwrap_or_default()
            .into_iter()
            .enumerate()
            .map(|(index, item)| (format!("{path}[{index}]"), item))
            .collect()
    }

    pub(crate) fn object(&mut self, member: &str) -> Option<(String, Value)> {
        let value = self.take(member)?;
        Some((self.member_path(member), value))
    }

    /// Reports every member that nobody has read: a misspelt setting must not pass for the default.
    pub(crate) fn end(mut self) {
        for member in std::mem::take(&mut self.members).keys() {
            self.fault(member, "is not a known member");
        }
    }
}
