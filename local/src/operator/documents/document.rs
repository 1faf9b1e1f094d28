//! A document under edit: what is in it stays unless an edit says otherwise, and only what its parser accepts can be
//! written. An edit that ends something does not wait until what was faulty before is mended.

use std::{collections::BTreeMap, marker::PhantomData};

use latchkey_token::{
    json::{self, Faults, Map, Reading, Value},
    keys::KeyRing,
    registrations::Registrations,
};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::value::RawValue;

/// A kind of document, read by the domain's own parser.
pub(super) trait Format: Sized {
    const LISTS: [&'static str; 2];

    fn read(text: &str) -> Result<Reading<Self>, Faults>;
}

impl Format for Registrations {
    const LISTS: [&'static str; 2] = ["issuers", "clients"];

    fn read(text: &str) -> Result<Reading<Self>, Faults> {
        Self::read(text)
    }
}

impl Format for KeyRing {
    const LISTS: [&'static str; 2] = ["signing", "tagging"];

    fn read(text: &str) -> Result<Reading<Self>, Faults> {
        Self::read(text)
    }
}

/// The members of a document. An entry of a list is an object; what is none, or has a member twice, is kept letter for
/// letter, as the [`Value::String`] of its text.
struct Members<F> {
    read: Map<String, Value>,
    /// The texts of those beside the entries that have a member twice.
    unread: BTreeMap<String, String>,
    format: PhantomData<F>,
}

// Not derived: that would ask for formats that can be cloned.
impl<F> Clone for Members<F> {
    fn clone(&self) -> Self {
        Self { read: self.read.clone(), unread: self.unread.clone(), format: PhantomData }
    }
}

impl<F: Format> Members<F> {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let mut members = Self { read: Map::new(), unread: BTreeMap::new(), format: PhantomData };
        for (name, text) in json::members(text).map_err(|_| "it is not a JSON object")? {
            if members.read.contains_key(&name) || members.unread.contains_key(&name) {
                return Err("a member stands twice at its top");
            }
            let value = match serde_json::from_str::<Vec<&RawValue>>(text.get()) {
                Ok(entries) if F::LISTS.contains(&name.as_str()) => Some(entries.into_iter().map(entry).collect()),
                _ => json::parse(text.get().as_bytes()).ok(),
            };
            match value {
                Some(value) => drop(members.read.insert(name, value)),
                None => drop(members.unread.insert(name, text.get().to_owned())),
            }
        }
        for list in F::LISTS.into_iter().filter(|list| !members.unread.contains_key(*list)) {
            let value = members.read.entry(list).or_insert(Value::Null);
            if value.is_null() {
                *value = Value::Array(Vec::new());
            }
        }
        Ok(members)
    }
}

fn entry(text: &RawValue) -> Value {
    json::parse_object(text.get().as_bytes()).map_or_else(|_| text.get().into(), Value::Object)
}

/// An entry that may be kept letter for letter, as far as it can be read: of a member that stands twice, the last one.
pub(super) fn leniently(entry: &Value) -> Value {
    match entry {
        Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
        entry => entry.clone(),
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Written<'a> {
    Value(&'a Value),
    Verbatim(&'a RawValue),
}

impl<'a> Written<'a> {
    fn entry(entry: &'a Value) -> Self {
        let text = entry.as_str().and_then(|text| serde_json::from_str(text).ok());
        text.map_or(Self::Value(entry), Self::Verbatim)
    }
}

impl<F: Format> Serialize for Members<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in &self.read {
            match value {
                Value::Array(entries) if F::LISTS.contains(&name.as_str()) => {
                    map.serialize_entry(name, &entries.iter().map(Written::entry).collect::<Vec<_>>())?;
                }
                value => map.serialize_entry(name, value)?,
            }
        }
        // An edit that ends something may have put a readable one in its place.
        for (name, text) in self.unread.iter().filter(|(name, _)| !self.read.contains_key(*name)) {
            map.serialize_entry(name, &serde_json::from_str::<&RawValue>(text).map_err(serde::ser::Error::custom)?)?;
        }
        map.end()
    }
}

/// A document and the edits so far. Has no `Debug`: a key ring is all secrets.
pub(super) struct Draft<F> {
    /// As it was read.
    before: Members<F>,
    members: Members<F>,
    faults: Vec<String>,
    /// Whether faults that were there before stay as they are.
    forgives: bool,
}

impl<F: Format> Draft<F> {
    /// An empty text is a document with empty lists, as is one that lacks them.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let members = Members::<F>::parse(if text.trim().is_empty() { "{}" } else { text })?;
        Ok(Self { before: members.clone(), members, faults: Vec::new(), forgives: false })
    }

    /// What is in a list; nothing if it is none, which [`Draft::check`] refuses.
    pub(super) fn list(&self, name: &str) -> &[Value] {
        self.members.read.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// A list to be edited; `None` if it is none, which [`Draft::check`] refuses.
    pub(super) fn list_mut(&mut self, name: &str) -> Option<&mut Vec<Value>> {
        self.members.read.get_mut(name)?.as_array_mut()
    }

    /// The members beside the lists, to be edited.
    pub(super) fn members_mut(&mut self) -> &mut Map<String, Value> {
        &mut self.members.read
    }

    /// What functions would read of the document as it is now; `None` if that is no document.
    pub(super) fn as_functions_read_it(&self) -> Option<F> {
        Some(F::read(&serde_json::to_string(&self.members).ok()?).ok()?.value)
    }

    /// Notes what the parser cannot know; the draft will be refused.
    pub(super) fn fault(&mut self, fault: impl Into<String>) {
        self.faults.push(fault.into());
    }

    /// Leaves faults as they are that were there before: the edit ends something, and that must not wait.
    pub(super) fn forgive(&mut self) {
        self.forgives = true;
    }

    /// The document with its reading, or everything that is wrong with it.
    pub(super) fn check(self) -> Result<Checked<F>, Vec<String>> {
        let is_changed = self.members.read != self.before.read;
        let known = if self.forgives { faults_of(&self.before) } else { Vec::new() };
        let unwritable = |error: serde_json::Error| vec![error.to_string()];
        let text = serde_json::to_string(&self.members).map_err(unwritable)?;
        let indented = serde_json::to_string_pretty(&self.members).map_err(unwritable)?;
        let mut faults = self.faults;
        if !self.forgives {
            let replaced = self.members.unread.keys().filter(|name| self.members.read.contains_key(*name));
            faults.extend(replaced.map(|name| format!("{name}: holds a member twice, or is nested too deep")));
        }
        let reading = F::read(&text).map_err(|more| [&faults, more.lines()].concat())?;
        let lines = reading.faults.lines().iter();
        let (left, new): (Vec<_>, Vec<_>) = lines.cloned().partition(|fault| known.contains(&without_places(fault)));
        faults.extend(new);
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Checked { parsed: reading.value, members: self.members.read, text, indented, is_changed, faults_left: left })
    }
}

fn faults_of<F: Format>(members: &Members<F>) -> Vec<String> {
    let read = F::read(&serde_json::to_string(members).unwrap_or_default());
    let faults = read.map_or_else(|faults| faults, |reading| reading.faults);
    faults.lines().iter().map(|fault| without_places(fault)).collect()
}

/// A fault without the numbers of its entries: those change when one is taken out.
fn without_places(fault: &str) -> String {
    let mut parts = fault.split('[');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |kept, part| {
        let rest = part.trim_start_matches(|character: char| character.is_ascii_digit());
        kept + "[" + rest
    })
}

/// A document that its parser accepts, but for faults that were there before: the only kind that can be written.
pub(super) struct Checked<F> {
    pub(super) parsed: F,
    members: Map<String, Value>,
    text: String,
    indented: String,
    is_changed: bool,
    /// What was faulty before, and is so still.
    pub(super) faults_left: Vec<String>,
}

impl<F> Checked<F> {
    /// The document as a secret holds it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The same, as it stands in a file.
    pub(super) fn indented(&self) -> &str {
        &self.indented
    }

    /// Whether the edits have made another document of it.
    pub(super) fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// The entries of a list.
    pub(super) fn list(&self, name: &str) -> &[Value] {
        self.members.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
}

/// The strings of a list member; none if it is missing.
pub(super) fn strings<'a>(object: &'a Value, member: &str) -> Vec<&'a str> {
    object.get(member).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_becomes_a_document_with_empty_lists() {
        for text in ["", " \n", "{}", r#"{"clients":null}"#] {
            let checked = Draft::<Registrations>::parse(text).unwrap().check().ok().unwrap();
            assert_eq!(checked.text(), r#"{"clients":[],"issuers":[]}"#);
        }
    }

    #[test]
    fn an_edit_that_forgives_leaves_old_faults_and_adds_none() {
        let text = r#"{"issuers":[{"issuer_id":"p","news":1}],"clients":[{"client_id":"a","type":"public","audience":["a"]},
            {"client_id":"b","type":"public","audience":["b"],"news":1}]}"#;
        let mut draft = Draft::<Registrations>::parse(text).unwrap();
        draft.list_mut("clients").unwrap().remove(0);
        assert_eq!(draft.check().err().unwrap().len(), 3, "strict by itself");
        let edited = |edit: fn(&mut Vec<Value>)| {
            let mut draft = Draft::<Registrations>::parse(text).unwrap();
            draft.forgive();
            edit(draft.list_mut("clients").unwrap());
            draft.check()
        };
        let checked = edited(|clients| drop(clients.remove(0))).ok().unwrap();
        assert!(checked.is_changed() && checked.faults_left.len() == 3);
        assert!(checked.text().contains("news"));
        let refused = edited(|clients| clients[0]["type"] = "neither".into()).err().unwrap();
        assert_eq!(refused, [r#"clients[0] ("a").type: must be "public" or "confidential""#]);
    }

    #[test]
    fn entries_that_cannot_be_read_stay_letter_for_letter_or_are_refused_with_their_places() {
        let (twice, none) = (r#"{"kid":"x", "kid":"x",  "alg":"ES256"}"#, r#"[ 5]"#);
        let (tag, more) = (r#"{"kid" : 256}"#, r#"{"a":1, "a":2}"#);
        let text = format!(r#"{{"signing":[{twice},{none}],"tagging":[{tag}, "HIDDEN"],"audit":{more}}}"#);
        let refused = Draft::<KeyRing>::parse(&text).unwrap().check().err().unwrap();
        for place in ["signing[0].kid: stands twice", "signing[1]: ", "tagging[0]", "tagging[1]", "audit"] {
            assert!(refused.iter().any(|fault| fault.starts_with(place)), "{place}: {refused:?}");
        }
        let mut draft = Draft::<KeyRing>::parse(&text).unwrap();
        draft.forgive();
        draft.members_mut().insert("critical".into(), serde_json::json!([]));
        let checked = draft.check().ok().unwrap();
        assert!(checked.is_changed());
        for kept in [twice, none, more, r#""HIDDEN""#] {
            assert!(checked.text().contains(kept) && checked.indented().contains(kept), "{kept}");
        }
        assert_eq!(leniently(&checked.list("signing")[0])["kid"], "x");
    }

    #[test]
    fn every_fault_counts_the_editors_and_the_parsers() {
        let mut draft = Draft::<KeyRing>::parse(r#"{"signing":{},"tagging":[{}]}"#).unwrap();
        assert!(draft.list_mut("signing").is_none());
        draft.fault("from the editor");
        let faults = draft.check().err().unwrap();
        assert!(faults.len() >= 3 && faults[0] == "from the editor", "{faults:?}");
        assert!(Draft::<KeyRing>::parse(r#"{"signing":[],"signing":[]}"#).is_err(), "nothing is dropped in silence");
        assert!(Draft::<KeyRing>::parse("[]").is_err());
    }
}
