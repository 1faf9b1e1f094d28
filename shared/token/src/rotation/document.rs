//! The key ring as text to be copied: private keys verbatim, faulty entries too.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::{
    json::{Faults, Map, Reading, Value},
    keys::{Algorithm, KeyRing, Kid},
};

/// The secret `signing-keys` as text to be copied. Has no `Debug`.
#[derive(Clone, Default)]
pub struct RingDocument {
    /// The signing keys, in the order of the document.
    pub signing: Vec<SigningEntry>,
    /// The tag keys, in the order of the document.
    pub tagging: Vec<TagEntry>,
    /// Entries that functions have quarantined, kept letter for letter: nobody plans with them.
    faulty_signing: Vec<Box<RawValue>>,
    faulty_tagging: Vec<Box<RawValue>>,
    /// The audit key, copied as it is: another one would change all names of the audit trail.
    pub audit: Option<Value>,
    /// Members that a rotation does not know, kept as they are.
    pub other: Map<String, Value>,
}

/// A signing key of the document; asymmetric keys have a `private_key`, HS256 keys a `secret`.
#[derive(Clone, Serialize, Deserialize, PartialEq)]
pub struct SigningEntry {
    /// The key's id; the RFC 7638 thumbprint of a key that a rotation has made.
    pub kid: String,
    /// The name of its algorithm (RFC 7515 §4.1.1).
    pub alg: String,
    /// The private key as PKCS#8 PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<String>,
    /// The secret of an HS256 key: its UTF-8 bytes are the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// From this time the key verifies and, unless it is for HS256, is published; Unix seconds, 0 when left out.
    #[serde(default, deserialize_with = "null_as_zero")]
    pub publish_at: i64,
    /// From this time the key may sign; Unix seconds, 0 when left out, [`NOT_YET`] for the next key.
    #[serde(default, deserialize_with = "null_as_zero")]
    pub sign_from: i64,
    /// From this time the key neither signs nor verifies; Unix seconds. `None`: no time is set.
    #[serde(default)]
    pub retire_at: Option<i64>,
    /// Members that a rotation does not know, kept as they are.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A tag key of the document.
#[derive(Clone, Serialize, Deserialize, PartialEq)]
pub struct TagEntry {
    /// The key's number, 0 to 255: the first byte of every refresh token that it tags.
    pub kid: u8,
    /// 32 bytes as unpadded base64url.
    pub secret: String,
    /// From this time the key may tag new refresh tokens; Unix seconds, 0 when left out.
    #[serde(default, deserialize_with = "null_as_zero")]
    pub use_from: i64,
    /// From this time its refresh tokens are refused; Unix seconds. `None`: no time is set.
    #[serde(default)]
    pub retire_at: Option<i64>,
    /// Members that a rotation does not know, kept as they are.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// `null` is what is left out, as it is for the ring that is read here too.
fn null_as_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl SigningEntry {
    pub(super) fn is_of(&self, algorithm: Algorithm) -> bool {
        self.alg == algorithm.name()
    }
}

impl RingDocument {
    /// A document of these keys alone.
    pub fn of(signing: Vec<SigningEntry>, tagging: Vec<TagEntry>) -> Self {
        Self { signing, tagging, ..Self::default() }
    }

    /// The ring as functions see it, and as text to be copied. Refuses what is no document, and a document of which no entry
    /// can be used.
    pub fn read(text: &str) -> Result<(Reading<KeyRing>, Self), Faults> {
        let reading = KeyRing::read(text)?;
        let no_document = |_| Faults::from_iter(["not the form of a key ring"]);
        let mut members: Map<String, Value> = serde_json::from_str(text).map_err(no_document)?;
        let lists: Lists<'_> = serde_json::from_str(text).map_err(no_document)?;
        for list in ["signing", "tagging"] {
            members.remove(list);
        }
        let audit = members.remove("audit");
        let mut document = Self { audit, other: members, ..Self::default() };
        let ring = &reading.value;
        for entry in lists.signing {
            let read: Option<SigningEntry> = serde_json::from_str(entry.get()).ok();
            let is_sound = |key: &SigningEntry| Kid::parse(&key.kid).is_some_and(|kid| ring.named(&kid).is_some());
            match read.filter(is_sound) {
                Some(key) => document.signing.push(key),
                None => document.faulty_signing.push(entry.to_owned()),
            }
        }
        for entry in lists.tagging {
            let read: Option<TagEntry> = serde_json::from_str(entry.get()).ok();
            match read.filter(|key| ring.has_tag_key(key.kid)) {
                Some(key) => document.tagging.push(key),
                None => document.faulty_tagging.push(entry.to_owned()),
            }
        }
        let has_sound_ones = !document.signing.is_empty() || !document.tagging.is_empty();
        if !has_sound_ones && !document.faulty_texts().is_empty() {
            return Err(reading.faults);
        }
        Ok((reading, document))
    }

    /// The faulty entries, letter for letter.
    pub(super) fn faulty_texts(&self) -> Vec<&str> {
        self.faulty_signing.iter().chain(&self.faulty_tagging).map(|entry| entry.get()).collect()
    }

    /// The same without faulty signing keys of this id.
    pub(super) fn faulty_texts_but(&self, kid: &str) -> Vec<&str> {
        let signing = self.faulty_signing.iter().filter(|entry| !is_named(entry, kid));
        signing.chain(&self.faulty_tagging).map(|entry| entry.get()).collect()
    }

    /// Whether a tag key has this number, faulty ones included.
    pub(super) fn has_tag_kid(&self, kid: u8) -> bool {
        let kid_of = |entry: &RawValue| {
            let entry: Value = serde_json::from_str(entry.get()).ok()?;
            entry.get("kid").and_then(Value::as_u64)
        };
        self.tagging.iter().any(|key| key.kid == kid)
            || self.faulty_tagging.iter().any(|entry| kid_of(entry) == Some(kid.into()))
    }

    /// Takes out faulty signing keys of this id: a sound one comes in their place.
    pub(super) fn drop_faulty_signing(&mut self, kid: &str) {
        self.faulty_signing.retain(|entry| !is_named(entry, kid));
    }
}

fn is_named(entry: &RawValue, kid: &str) -> bool {
    serde_json::from_str::<Value>(entry.get()).is_ok_and(|entry| entry.get("kid") == Some(&kid.into()))
}

#[derive(Deserialize)]
struct Lists<'t> {
    #[serde(borrow)]
    signing: Vec<&'t RawValue>,
    #[serde(borrow)]
    tagging: Vec<&'t RawValue>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Entry<'a, T> {
    Sound(&'a T),
    Faulty(&'a RawValue),
}

impl Serialize for RingDocument {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        fn all<'a, T>(sound: &'a [T], faulty: &'a [Box<RawValue>]) -> Vec<Entry<'a, T>> {
            let faulty = faulty.iter().map(|entry| Entry::Faulty(entry));
            sound.iter().map(Entry::Sound).chain(faulty).collect()
        }
        #[derive(Serialize)]
        struct Form<'a> {
            signing: Vec<Entry<'a, SigningEntry>>,
            tagging: Vec<Entry<'a, TagEntry>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            audit: Option<&'a Value>,
            #[serde(flatten)]
            other: &'a Map<String, Value>,
        }
        let form = Form {
            signing: all(&self.signing, &self.faulty_signing),
            tagging: all(&self.tagging, &self.faulty_tagging),
            audit: self.audit.as_ref(),
            other: &self.other,
        };
        form.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{es256_pem, one_es256_pem, pem_entry};

    #[test]
    fn faulty_entries_and_unknown_members_are_copied_letter_for_letter() {
        let faulty = r#"{"kid":"weak",  "alg":"HS256","secret":"short","secret":"twice"}"#;
        let nameless = r#"{"kid" :256}"#;
        let newer = pem_entry("new", "ES256", &es256_pem(), r#""not_yet_invented":{"a":[1]}"#);
        let text = format!(
            r#"{{"signing":[{faulty},{},{newer}],"tagging":[{nameless}],"critical":["what"],"more":{{"b":2}}}}"#,
            pem_entry("old", "ES256", one_es256_pem(), "")
        );
        let (reading, document) = RingDocument::read(&text).unwrap();
        assert!(!reading.faults.is_empty());
        assert_eq!(document.signing.len(), 2);
        let written = serde_json::to_string(&document).unwrap();
        for kept in [faulty, nameless, r#""not_yet_invented":{"a":[1]}"#, r#""critical":["what"]"#, r#""more":{"b":2}"#]
        {
            assert!(written.contains(kept), "{kept}");
        }
        let (again, _) = RingDocument::read(&written).unwrap();
        assert_eq!(format!("{:?}", again.value), format!("{:?}", reading.value));
    }

    #[test]
    fn a_document_of_which_nothing_can_be_used_is_refused() {
        let text = format!(
            r#"{{"signing":[{}],"tagging":[],"critical":["newer"],"newer":1}}"#,
            pem_entry("old", "ES256", one_es256_pem(), "")
        );
        assert!(RingDocument::read(&text).is_err());
        assert!(RingDocument::read(r#"{"signing":[],"tagging":[]}"#).is_ok(), "an empty ring is a ring");
    }
}
