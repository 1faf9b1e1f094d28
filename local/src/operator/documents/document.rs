//! A document under edit: what is in it stays unless an edit says otherwise, and only what its parser accepts can be
//! written.

use std::marker::PhantomData;

use latchkey_token::{
    json::{self, Faults, Map, Value},
    keys::{AuditKey, KeyRing},
    registrations::Registrations,
};

/// A kind of document, read by the domain's own parser.
pub(super) trait Format: Sized {
    const LISTS: [&'static str; 2];

    fn read(text: &str) -> Result<Self, Faults>;
}

impl Format for Registrations {
    const LISTS: [&'static str; 2] = ["issuers", "clients"];

    fn read(text: &str) -> Result<Self, Faults> {
        Self::parse(text)
    }
}

impl Format for KeyRing {
    const LISTS: [&'static str; 2] = ["signing", "tagging"];

    fn read(text: &str) -> Result<Self, Faults> {
        let ring = Self::parse(text)?;
        AuditKey::check(text)?;
        Ok(ring)
    }
}

/// A document and the edits so far. Has no `Debug`: a key ring is all secrets.
pub(super) struct Draft<F> {
    /// As it was read.
    before: Map<String, Value>,
    members: Map<String, Value>,
    faults: Vec<String>,
    format: PhantomData<F>,
}

impl<F: Format> Draft<F> {
    /// An empty text is a document with empty lists, as is one that lacks them.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = if text.trim().is_empty() { "{}" } else { text };
        let mut members = json::parse_object(text.as_bytes())
            .map_err(|_| "it is not a JSON object, or a member stands twice in it".to_owned())?;
        for list in F::LISTS {
            let value = members.entry(list).or_insert(Value::Null);
            if value.is_null() {
                *value = Value::Array(Vec::new());
            }
        }
        Ok(Self { before: members.clone(), members, faults: Vec::new(), format: PhantomData })
    }

    /// What is in a list; nothing if it is none, which [`Draft::check`] refuses.
    pub(super) fn list(&self, name: &str) -> &[Value] {
        self.members.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// A list to be edited; `None` if it is none, which [`Draft::check`] refuses.
    pub(super) fn list_mut(&mut self, name: &str) -> Option<&mut Vec<Value>> {
        self.members.get_mut(name)?.as_array_mut()
    }

    /// The members beside the lists, to be edited.
    pub(super) fn members_mut(&mut self) -> &mut Map<String, Value> {
        &mut self.members
    }

    /// Notes what the parser cannot know; the draft will be refused.
    pub(super) fn fault(&mut self, fault: impl Into<String>) {
        self.faults.push(fault.into());
    }

    /// The document with its reading, or everything that is wrong with it.
    pub(super) fn check(self) -> Result<Checked<F>, Vec<String>> {
        let is_changed = self.members != self.before;
        let document = Value::Object(self.members);
        let mut faults = self.faults;
        match F::read(&document.to_string()) {
            Ok(parsed) if faults.is_empty() => Ok(Checked { parsed, document, is_changed }),
            Ok(_) => Err(faults),
            Err(more) => {
                faults.extend_from_slice(more.lines());
                Err(faults)
            }
        }
    }
}

/// A document that its parser accepts: the only kind that can be written.
pub(super) struct Checked<F> {
    pub(super) parsed: F,
    document: Value,
    is_changed: bool,
}

impl<F> Checked<F> {
    pub(super) fn document(&self) -> &Value {
        &self.document
    }

    /// Whether the edits have made another document of it.
    pub(super) fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// The entries of a list.
    pub(super) fn list(&self, name: &str) -> &[Value] {
        self.document.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
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
            assert_eq!(checked.document().to_string(), r#"{"clients":[],"issuers":[]}"#);
        }
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
