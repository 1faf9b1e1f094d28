//! A document under edit: what is in it stays unless an edit says otherwise, and only what its parser accepts can be
//! written. An edit that ends something does not wait until what was faulty before is mended.

use std::marker::PhantomData;

use latchkey_token::{
    json::{self, Faults, Map, Reading, Value},
    keys::KeyRing,
    registrations::Registrations,
};

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

/// A document and the edits so far. Has no `Debug`: a key ring is all secrets.
pub(super) struct Draft<F> {
    /// As it was read.
    before: Map<String, Value>,
    members: Map<String, Value>,
    faults: Vec<String>,
    /// Whether faults that were there before stay as they are.
    forgives: bool,
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
        Ok(Self { before: members.clone(), members, faults: Vec::new(), forgives: false, format: PhantomData })
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

    /// Leaves faults as they are that were there before: the edit ends something, and that must not wait.
    pub(super) fn forgive(&mut self) {
        self.forgives = true;
    }

    /// The document with its reading, or everything that is wrong with it.
    pub(super) fn check(self) -> Result<Checked<F>, Vec<String>> {
        let is_changed = self.members != self.before;
        let document = Value::Object(self.members);
        let known = if self.forgives { faults_of::<F>(&self.before) } else { Vec::new() };
        let mut faults = self.faults;
        let reading = F::read(&document.to_string()).map_err(|more| [&faults, more.lines()].concat())?;
        let lines = reading.faults.lines().iter();
        let (left, new): (Vec<_>, Vec<_>) = lines.cloned().partition(|fault| known.contains(&without_places(fault)));
        faults.extend(new);
        if faults.is_empty() {
            Ok(Checked { parsed: reading.value, document, is_changed, faults_left: left })
        } else {
            Err(faults)
        }
    }
}

fn faults_of<F: Format>(members: &Map<String, Value>) -> Vec<String> {
    let read = F::read(&Value::Object(members.clone()).to_string());
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
    document: Value,
    is_changed: bool,
    /// What was faulty before, and is so still.
    pub(super) faults_left: Vec<String>,
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
        assert!(checked.document().to_string().contains("news"));
        let refused = edited(|clients| clients[0]["type"] = "neither".into()).err().unwrap();
        assert_eq!(refused, [r#"clients[0] ("a").type: must be "public" or "confidential""#]);
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
