//! Reads an operator's JSON document member by member and names every fault by its path.
//!
//! A fault quotes ids that are well-formed and no other value: key rings hold secrets, and a secret may stand in the wrong
//! place.

use std::{collections::BTreeSet, fmt};

use serde_json::value::RawValue;

use super::strict::{Map, Value, members, parse};

/// What is wrong with a document, one line each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults(Vec<String>);

impl Faults {
    /// One line per fault: the path of the member and what is wrong with it.
    pub fn lines(&self) -> &[String] {
        &self.0
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Nothing is wrong, or all that is.
    pub fn none(self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }

    pub(crate) fn add(&mut self, fault: impl Into<String>) {
        self.0.push(fault.into());
    }
}

impl<T: Into<String>> FromIterator<T> for Faults {
    fn from_iter<I: IntoIterator<Item = T>>(faults: I) -> Self {
        Self(faults.into_iter().map(Into::into).collect())
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for Faults {}

/// What was read of a document that may be faulty in places.
#[derive(Debug)]
pub struct Reading<T> {
    /// All that is sound.
    pub value: T,
    /// What is not, and what was ignored.
    pub faults: Faults,
}

impl<T> Reading<T> {
    /// The value, if nothing at all is wrong with the document.
    pub fn strictly(self) -> Result<T, Faults> {
        self.faults.none().map(|()| self.value)
    }
}

/// Collects the faults of one document.
#[derive(Default)]
pub(crate) struct Report {
    faults: Faults,
    /// How many of them make the entry unusable in which they are. The others are members that nobody knows.
    harmful: usize,
    critical: Critical,
}

/// Unknown members that must not be ignored: the document's member `critical`.
enum Critical {
    Named(Vec<String>),
    /// Which they are cannot be read.
    All,
}

impl Critical {
    fn has(&self, member: &str) -> bool {
        match self {
            Self::Named(names) => names.iter().any(|name| name == member),
            Self::All => true,
        }
    }
}

impl Default for Critical {
    fn default() -> Self {
        Self::Named(Vec::new())
    }
}

impl Report {
    pub(crate) fn add(&mut self, fault: impl Into<String>) {
        self.harmful += 1;
        self.faults.add(fault);
    }

    /// Something that does no harm where it is read, and is to be mended all the same.
    pub(crate) fn note(&mut self, fault: impl Into<String>) {
        self.faults.add(fault);
    }

    /// Whether the member may be ignored.
    fn add_unknown(&mut self, member: &str, path: &str) -> bool {
        let is_critical = self.critical.has(member);
        self.harmful += usize::from(is_critical);
        let critical = if is_critical { ", and critical" } else { "" };
        self.faults.add(format!("{path}: is not a known member{critical}"));
        !is_critical
    }

    /// What `read` reads, and whether it may be used: nothing wrong with it but members that may be ignored.
    pub(crate) fn judged<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> (T, bool) {
        let before = self.harmful;
        let value = read(self);
        (value, self.harmful == before)
    }

    /// Reads the entries of a list, each for itself: those that may be used, and of the others what is known. None may be used
    /// where the document itself may not.
    pub(crate) fn sorted<'t, T, F>(
        &mut self,
        entries: Vec<(String, &'t RawValue)>,
        is_usable: bool,
        read: impl Fn(String, &'t RawValue, &mut Self) -> (Option<T>, F),
    ) -> (Vec<T>, Vec<F>) {
        let (mut sound, mut faulty) = (Vec::new(), Vec::new());
        for (path, text) in entries {
            let ((entry, known), is_sound) = self.judged(|report| read(path, text, report));
            match entry.filter(|_| is_sound && is_usable) {
                Some(entry) => sound.push(entry),
                None => faulty.push(known),
            }
        }
        (sound, faulty)
    }

    pub(crate) fn into_faults(self) -> Faults {
        self.faults
    }
}

/// A document at its top: members of its own, and lists of entries that are read one by one, so that a fault in one of them
/// touches no other.
pub(crate) struct Document<'t> {
    members: Vec<(String, &'t RawValue)>,
}

impl<'t> Document<'t> {
    /// The document, and where its faults go. Text that is no JSON object, or has a member twice at its top, is none.
    pub(crate) fn parse(text: &'t str) -> Result<(Self, Report), Faults> {
        let mut document = Self { members: members(text).map_err(|_| Faults(vec![NO_DOCUMENT.to_owned()]))? };
        let names: BTreeSet<&String> = document.members.iter().map(|(name, _)| name).collect();
        if names.len() < document.members.len() {
            return Err(Faults(vec![NO_DOCUMENT.to_owned()]));
        }
        let mut report = Report::default();
        if let Some(critical) = document.take("critical") {
            report.critical = match serde_json::from_str(critical.get()) {
                Ok(names) => Critical::Named(names),
                Err(_) => {
                    report.add("critical: must be a list of strings");
                    Critical::All
                }
            };
        }
        Ok((document, report))
    }

    /// A member that is there and not `null`.
    fn take(&mut self, member: &str) -> Option<&'t RawValue> {
        let index = self.members.iter().position(|(name, _)| name == member)?;
        Some(self.members.swap_remove(index).1).filter(|value| value.get() != "null")
    }

    /// The text of a member that is there and not `null`, for a reader of its own.
    pub(crate) fn member(&mut self, member: &str) -> Option<&'t RawValue> {
        self.take(member)
    }

    /// Whether there is such a member, and it is not `null`.
    pub(crate) fn has(&self, member: &str) -> bool {
        self.members.iter().any(|(name, value)| name == member && value.get() != "null")
    }

    /// The entries of a list, each with its path; `None`, and a fault, if there is no such list.
    pub(crate) fn list(&mut self, member: &str, report: &mut Report) -> Option<Vec<(String, &'t RawValue)>> {
        let Some(list) = self.take(member) else {
            report.add(format!("{member}: is missing"));
            return None;
        };
        match serde_json::from_str::<Vec<&RawValue>>(list.get()) {
            Ok(items) => {
                let path = |index| format!("{member}[{index}]");
                Some(items.into_iter().enumerate().map(|(index, item)| (path(index), item)).collect())
            }
            Err(_) => {
                report.add(format!("{member}: must be a list"));
                None
            }
        }
    }

    /// The members beside the lists.
    pub(crate) fn rest(self, report: &mut Report) -> Members<'_> {
        Members::of_texts(String::new(), self.members, report)
    }
}

const NO_DOCUMENT: &str = "not a JSON object, or a member stands twice";

/// One object of a document. Members are taken out as they are read; [`Members::end`] reports the rest.
pub(crate) struct Members<'a> {
    path: String,
    members: Map<String, Value>,
    /// Members that stand twice, or hold what does: what they say is not known.
    unreadable: BTreeSet<String>,
    /// Those of them that nobody has asked for.
    unasked: BTreeSet<String>,
    report: &'a mut Report,
}

impl<'a> Members<'a> {
    /// The object that an entry's text holds.
    pub(crate) fn of_entry(path: String, text: &RawValue, report: &'a mut Report) -> Option<Self> {
        match members(text.get()) {
            Ok(texts) => Some(Self::of_texts(path, texts, report)),
            Err(_) => {
                report.add(format!("{path}: must be an object"));
                None
            }
        }
    }

    fn of_texts(path: String, texts: Vec<(String, &RawValue)>, report: &'a mut Report) -> Self {
        let (mut members, mut unreadable) = (Map::new(), BTreeSet::new());
        for (name, text) in texts {
            match parse(text.get().as_bytes()) {
                Ok(value) if !members.contains_key(&name) && !unreadable.contains(&name) => {
                    members.insert(name, value);
                }
                _ => {
                    members.remove(&name);
                    unreadable.insert(name);
                }
            }
        }
        let mut own = Self { path, members, unasked: unreadable.clone(), unreadable, report };
        for name in own.unreadable.clone() {
            own.fault(&name, "stands twice, holds a member that does, or is nested too deep");
        }
        own
    }

    pub(crate) fn of(path: String, value: Value, report: &'a mut Report) -> Option<Self> {
        match value {
            Value::Object(members) => {
                Some(Self { path, members, unreadable: BTreeSet::new(), unasked: BTreeSet::new(), report })
            }
            _ => {
                report.add(format!("{path}: must be an object"));
                None
            }
        }
    }

    /// Whether a member says nothing that can be understood, though it stands there. Asked before it is taken.
    pub(crate) fn is_unreadable(&self, member: &str) -> bool {
        self.unreadable.contains(member)
    }

    /// Makes later faults name the object by its id as well as by its place.
    pub(crate) fn name(&mut self, id: &str) {
        self.path = format!("{} ({id:?})", self.path);
    }

    /// The parsed id, by which later faults name the object; or a fault, which does not quote it.
    pub(crate) fn named<T>(&mut self, id: &str, member: &str, parsed: Option<T>) -> Option<T> {
        match parsed {
            Some(_) => self.name(id),
            None => self.fault(member, "must be 1 to 255 printable ASCII characters"),
        }
        parsed
    }

    pub(crate) fn fault(&mut self, member: &str, what: impl fmt::Display) {
        let path = self.member_path(member);
        self.report.add(format!("{path}: {what}"));
    }

    fn member_path(&self, member: &str) -> String {
        if self.path.is_empty() { member.to_owned() } else { format!("{}.{member}", self.path) }
    }

    fn must_be_there(&mut self, member: &str) {
        if self.members.get(member).is_none_or(Value::is_null) && !self.unreadable.contains(member) {
            self.fault(member, "is missing");
        }
    }

    /// A member that is there and not `null`.
    fn take(&mut self, member: &str) -> Option<Value> {
        self.unasked.remove(member);
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

    pub(crate) fn object(&mut self, member: &str) -> Option<(String, Value)> {
        let value = self.take(member)?;
        Some((self.member_path(member), value))
    }

    /// The items of a list, each with its path: `member[0]` and so on.
    pub(crate) fn objects(&mut self, member: &str) -> Vec<(String, Value)> {
        let list = self.optional(member, "a list of objects", |value| match value {
            Value::Array(items) if items.iter().all(Value::is_object) => Some(items),
            _ => None,
        });
        let path = self.member_path(member);
        let items = list.unwrap_or_default().into_iter().enumerate();
        items.map(|(index, item)| (format!("{path}[{index}]"), item)).collect()
    }

    /// Whether there is such a member, readable or not, that is not `null`. Asked before it is taken.
    pub(crate) fn is_there(&self, member: &str) -> bool {
        self.unreadable.contains(member) || self.members.get(member).is_some_and(|value| !value.is_null())
    }

    /// A member as it stands there, not taken.
    pub(crate) fn peek(&self, member: &str) -> Option<&Value> {
        self.members.get(member)
    }

    /// What `read` reads, and whether nothing was wrong with it.
    pub(crate) fn judged<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> (T, bool) {
        let before = self.report.harmful;
        let value = read(self);
        (value, self.report.harmful == before)
    }

    /// An object in this one.
    pub(crate) fn inner(&mut self, path: String, value: Value) -> Option<Members<'_>> {
        Members::of(path, value, self.report)
    }

    /// Reports every member that nobody has read: a misspelt setting must not pass for the default. Whether all of them may
    /// be ignored.
    pub(crate) fn end(mut self) -> bool {
        let mut may_be_ignored = !self.unasked.iter().any(|member| self.report.critical.has(member));
        for member in std::mem::take(&mut self.members).keys() {
            let path = self.member_path(member);
            may_be_ignored &= self.report.add_unknown(member, &path);
        }
        may_be_ignored
    }
}
