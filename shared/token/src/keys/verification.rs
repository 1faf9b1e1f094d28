//! The key ring of those who only verify: how a key is written into the documents `verification-keys` and `public-keys`,
//! and how they are read (docs/configuration.md, Keys).
//!
//! A key is a public JWK (RFC 7517 §4) with the times of the ring, or an HS256 key as it stands in the ring. So
//! `public-keys` is `verification-keys` without its secrets, and both are read here.

use jsonwebtoken::jwk::{Jwk, PublicKeyUse};

use super::{
    assertion_keys::public_key,
    parsed::VerifyingMaterial,
    reader::{read_signing_key, read_tag_key},
    ring::{KeyRing, Kid, Lifetime, NOT_YET, SigningKey, TagKey},
};
use crate::json::{Map, Members, Report, Value, parse_object};

/// The members of an HS256 key. Whatever else it has is nothing that verifying needs.
const HS256_KEY: [&str; 6] = ["kid", "alg", "secret", "publish_at", "sign_from", "retire_at"];
/// The members of a tag key.
const TAG_KEY: [&str; 4] = ["kid", "secret", "use_from", "retire_at"];

/// A ring that was derived from another one: `verification-keys` or `public-keys`.
#[derive(Debug)]
pub struct DerivedRing {
    /// The sound keys. None has a private half.
    pub ring: KeyRing,
    /// What is wrong with the others, one line each. No value is quoted.
    pub faults: Vec<String>,
}

impl DerivedRing {
    /// Reads the document. A faulty key is left out, and so are all keys of an id that stands twice. A private half is a
    /// fault: it must not be where its key is only verified with. Unknown members are ignored. `None` if the text is no
    /// JSON object, or has no list `keys`: then nothing can be said of any key.
    pub fn read(text: &str) -> Option<Self> {
        let mut document = parse_object(text.as_bytes()).ok()?;
        let Some(Value::Array(keys)) = document.remove("keys") else { return None };
        let mut faults = Vec::new();
        let tagging = match document.remove("tagging") {
            Some(Value::Array(keys)) => keys,
            None | Some(Value::Null) => Vec::new(),
            Some(_) => {
                faults.push("tagging: must be a list".to_owned());
                Vec::new()
            }
        };
        let signing = sound(keys, "keys", &mut faults, read_key);
        let tagging = sound(tagging, "tagging", &mut faults, read_tag);
        Some(Self { ring: KeyRing { signing, tagging }, faults })
    }
}

/// The entries that `read` finds no fault with, and whose id stands once: which of two is meant cannot be told.
fn sound<K>(
    entries: Vec<Value>,
    list: &str,
    faults: &mut Vec<String>,
    read: impl Fn(String, Value, &mut Report) -> Option<K>,
) -> Vec<K> {
    let kids: Vec<Option<Value>> = entries.iter().map(|entry| entry.get("kid").cloned()).collect();
    let mut sound = Vec::new();
    for (index, (entry, kid)) in entries.into_iter().zip(&kids).enumerate() {
        let path = format!("{list}[{index}]");
        if kid.is_some() && kids.iter().filter(|other| *other == kid).count() > 1 {
            faults.push(format!("{path}.kid: stands twice"));
            continue;
        }
        let mut report = Report::default();
        let key = read(path, entry, &mut report);
        match report.finish(()) {
            Ok(()) => sound.extend(key),
            Err(found) => faults.extend_from_slice(found.lines()),
        }
    }
    sound
}

fn only(entry: Value, known: &[&str]) -> Value {
    match entry {
        Value::Object(members) => {
            Value::Object(members.into_iter().filter(|(name, _)| known.contains(&name.as_str())).collect())
        }
        other => other,
    }
}

fn read_tag(path: String, entry: Value, report: &mut Report) -> Option<TagKey> {
    read_tag_key(Members::of(path, only(entry, &TAG_KEY), report)?)
}

fn read_key(path: String, entry: Value, report: &mut Report) -> Option<SigningKey> {
    if entry.get("private_key").is_some_and(|value| !value.is_null()) {
        report.add(format!("{path}.private_key: must not be here"));
        return None;
    }
    if entry.get("secret").is_some() {
        let key = read_signing_key(Members::of(path, only(entry, &HS256_KEY), report)?)?;
        return Some(SigningKey { signer: None, ..key });
    }
    let jwk = public_key(&entry);
    let public = serde_json::from_value::<Jwk>(entry.clone()).ok();
    let mut members = Members::of(path, entry, report)?;
    let kid = members.required_string("kid").and_then(|kid| {
        members.name(&kid);
        Kid::parse(&kid)
    });
    let lifetime = Lifetime {
        publish_at: members.integer("publish_at", 0..=NOT_YET).unwrap_or(0),
        sign_from: members.integer("sign_from", 0..=NOT_YET).unwrap_or(0),
        retire_at: members.integer("retire_at", 0..=NOT_YET),
    };
    let (algorithm, _, verifier) = jwk.map_err(|what| members.fault("kty", what)).ok()?;
    let verifier = VerifyingMaterial::new(algorithm.jose(), verifier);
    let mut public = public?;
    public.common.public_key_use = Some(PublicKeyUse::Signature);
    let Some(kid) = kid else {
        members.fault("kid", "must be 1 to 255 printable ASCII characters");
        return None;
    };
    Some(SigningKey { kid, algorithm, lifetime, signer: None, verifier, public: Some(public) })
}

impl SigningKey {
    /// The key as it stands in a derived document: its public half with its times, or, for HS256, what `entry` of the
    /// ring says of it.
    pub(crate) fn for_verification(&self, entry: &Value) -> Value {
        let Some(public) = &self.public else { return only(entry.clone(), &HS256_KEY) };
        // A JWK is an object of texts.
        let mut members = match serde_json::to_value(public) {
            Ok(Value::Object(members)) => members,
            _ => Map::new(),
        };
        members.insert("publish_at".into(), self.lifetime.publish_at.into());
        members.insert("sign_from".into(), self.lifetime.sign_from.into());
        members.insert("retire_at".into(), self.lifetime.retire_at.into());
        Value::Object(members)
    }
}

impl TagKey {
    /// The key as it stands in a derived document, from its `entry` of the ring.
    pub(crate) fn for_verification(entry: &Value) -> Value {
        only(entry.clone(), &TAG_KEY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{one_es256_pem, pem_entry};

    fn public_key(kid: &str) -> Value {
        let entry = pem_entry(kid, "ES256", one_es256_pem(), "");
        let ring = KeyRing::parse(&format!(r#"{{"signing":[{entry}],"tagging":[]}}"#)).unwrap();
        ring.signing[0].for_verification(&Value::Null)
    }

    fn read(keys: Vec<Value>) -> DerivedRing {
        DerivedRing::read(&serde_json::json!({"keys": keys}).to_string()).unwrap()
    }

    #[test]
    fn a_private_half_where_keys_are_only_verified_with_is_a_fault() {
        for (member, value) in [("private_key", "HIDDEN"), ("d", "HIDDEN")] {
            let mut leaked = public_key("leaked");
            leaked[member] = value.into();
            let read = read(vec![leaked, public_key("sound")]);
            assert!(read.ring.verifier("leaked", 0).is_none(), "{member}");
            assert!(read.ring.verifier("sound", 0).is_some(), "{member}");
            assert!(read.faults.len() == 1 && read.faults[0].starts_with("keys[0]"), "{:?}", read.faults);
            assert!(!format!("{read:?}").contains("HIDDEN"));
        }
    }

    #[test]
    fn a_faulty_key_takes_no_other_down_and_unknown_members_are_ignored() {
        let mut with_more = public_key("sound");
        with_more["of a later version"] = true.into();
        let faulty = [
            serde_json::json!({"kid": "later", "alg": "ES512"}),
            serde_json::json!("no object"),
            serde_json::json!({"kid": "hs", "alg": "HS256", "secret": "short"}),
        ];
        let twice = [public_key("twice"), serde_json::json!({"kid": "twice"})];
        let read = read([faulty.to_vec(), twice.to_vec(), vec![with_more]].concat());
        assert!(read.ring.verifier("sound", 0).is_some());
        assert!(read.ring.verifier("twice", 0).is_none(), "which of two is meant cannot be told");
        assert_eq!(read.ring.signing.len(), 1);
        for index in 0..5 {
            assert!(read.faults.iter().any(|fault| fault.starts_with(&format!("keys[{index}]"))), "{:?}", read.faults);
        }
    }

    #[test]
    fn what_is_no_document_is_no_ring() {
        for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
            assert!(DerivedRing::read(text).is_none(), "{text}");
        }
        assert!(DerivedRing::read(r#"{"keys":[],"audit":{}}"#).unwrap().faults.is_empty());
    }
}
