//! The key ring of those who only verify: how a key is written into the documents `verification-keys` and `public-keys`,
//! and how they are read (docs/configuration.md, Keys).
//!
//! A key is a public JWK (RFC 7517 §4) with the times of the ring, or an HS256 key as it stands in the ring. So
//! `public-keys` is `verification-keys` without its secrets, and both are read here.

use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use serde_json::value::RawValue;

use super::{
    assertion_keys::public_key,
    audit_key::AuditKey,
    parsed::VerifyingMaterial,
    reader::{read_key_named, read_lifetime, read_tag_key_of},
    ring::{KeyRing, Kid, SigningKey, TagKey},
};
use crate::json::{Document, Faults, Map, Members, Reading, Report, Value, parse};

/// The members of an HS256 key. Whatever else it has is nothing that verifying needs.
const HS256_KEY: [&str; 6] = ["kid", "alg", "secret", "publish_at", "sign_from", "retire_at"];
/// The members of a tag key.
const TAG_KEY: [&str; 4] = ["kid", "secret", "use_from", "retire_at"];

impl KeyRing {
    /// Reads `verification-keys` or `public-keys`, fail-static as the ring itself: faulty keys are quarantined. None of the
    /// others has a private half; one that stands there is a fault, for it must not be where its key is only verified with.
    /// Unknown members are ignored. Refuses what is no JSON object, or has no list `keys`: then nothing can be said of any
    /// key.
    pub fn read_derived(text: &str) -> Result<Reading<Self>, Faults> {
        let (mut document, mut report) = Document::parse(text)?;
        let Some(keys) = document.list("keys", &mut report) else { return Err(report.into_faults()) };
        // The published keys have none.
        let tagging = if document.has("tagging") { document.list("tagging", &mut report) } else { Some(Vec::new()) };
        let audit = document.rest(&mut report).object("audit").and_then(|(_, audit)| AuditKey::read(&audit));
        let mut ring = Self { audit, ..Self::default() };
        (ring.signing, ring.faulty_kids) = report.sorted(keys, true, read_key);
        match tagging {
            Some(keys) => (ring.tagging, ring.faulty_tag_kids) = report.sorted(keys, true, read_tag),
            None => ring.faulty_tag_kids.push(None),
        }
        ring.quarantine_duplicates(&mut report);
        Ok(Reading { value: ring, faults: report.into_faults() })
    }
}

pub(crate) fn only(entry: Value, known: &[&str]) -> Value {
    match entry {
        Value::Object(members) => {
            Value::Object(members.into_iter().filter(|(name, _)| known.contains(&name.as_str())).collect())
        }
        other => other,
    }
}

/// An entry as a value; a member that stands twice is a fault.
pub(crate) fn value_of(path: &str, text: &RawValue, report: &mut Report) -> Option<Value> {
    let value = parse(text.get().as_bytes());
    value.map_err(|_| report.add(format!("{path}: holds a member twice, or is nested too deep"))).ok()
}

fn read_tag(path: String, text: &RawValue, report: &mut Report) -> (Option<TagKey>, Option<u8>) {
    let Some(entry) = value_of(&path, text, report) else { return (None, None) };
    Members::of(path, only(entry, &TAG_KEY), report).map(read_tag_key_of).unwrap_or_default()
}

/// The key, if everything of it could be read, and its id in any case.
fn read_key(path: String, text: &RawValue, report: &mut Report) -> (Option<SigningKey>, Option<String>) {
    let Some(entry) = value_of(&path, text, report) else { return (None, None) };
    let kid = entry.get("kid").and_then(Value::as_str).map(str::to_owned);
    (read_key_of(path, kid.clone(), entry, report), kid)
}

fn read_key_of(path: String, kid: Option<String>, entry: Value, report: &mut Report) -> Option<SigningKey> {
    if entry.get("private_key").is_some_and(|value| !value.is_null()) {
        report.add(format!("{path}.private_key: must not be here"));
        return None;
    }
    if entry.get("secret").is_some() {
        let mut members = Members::of(path, only(entry, &HS256_KEY), report)?;
        let kid = members.required_string("kid").or(kid);
        return Some(SigningKey { signer: None, ..read_key_named(kid, members)? });
    }
    let jwk = public_key(&entry);
    let public = serde_json::from_value::<Jwk>(entry.clone()).ok();
    let mut members = Members::of(path, entry, report)?;
    let kid = match kid {
        Some(kid) => members.named(&kid, "kid", Kid::parse(&kid)),
        None => {
            members.fault("kid", "is missing");
            None
        }
    };
    let lifetime = read_lifetime(&mut members);
    let (algorithm, verifier) = jwk.map_err(|what| members.fault("kty", what)).ok()?;
    let verifier = VerifyingMaterial::new(algorithm.jose(), verifier);
    let mut public = public?;
    public.common.public_key_use = Some(PublicKeyUse::Signature);
    Some(SigningKey { kid: kid?, algorithm, lifetime, signer: None, verifier, public: Some(public) })
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

    fn read(keys: Vec<Value>) -> (KeyRing, Vec<String>) {
        let reading = KeyRing::read_derived(&serde_json::json!({"keys": keys}).to_string()).unwrap();
        (reading.value, reading.faults.lines().to_vec())
    }

    #[test]
    fn a_private_half_where_keys_are_only_verified_with_is_a_fault() {
        for (member, value) in [("private_key", "HIDDEN"), ("d", "HIDDEN")] {
            let mut leaked = public_key("leaked");
            leaked[member] = value.into();
            let (ring, faults) = read(vec![leaked, public_key("sound")]);
            assert!(ring.verifier("leaked", 0).is_err(), "{member}");
            assert!(ring.verifier("sound", 0).unwrap().is_some(), "{member}");
            assert!(faults.len() == 1 && faults[0].starts_with("keys[0]"), "{faults:?}");
            assert!(!format!("{ring:?}{faults:?}").contains("HIDDEN"));
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
        let (ring, faults) = read([faulty.to_vec(), twice.to_vec(), vec![with_more]].concat());
        assert!(ring.verifier("sound", 0).unwrap().is_some());
        assert!(ring.verifier("twice", 0).is_err(), "which of two is meant cannot be told");
        assert_eq!(ring.signing.len(), 1);
        for place in ["keys[0]", "keys[1]", "keys[2]", "keys[4]", r#"signing: kid "twice""#] {
            assert!(faults.iter().any(|fault| fault.starts_with(place)), "{faults:?}");
        }
    }

    #[test]
    fn what_is_no_document_is_no_ring() {
        for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
            assert!(KeyRing::read_derived(text).is_err(), "{text}");
        }
        assert!(KeyRing::read_derived(r#"{"keys":[],"audit":{}}"#).unwrap().faults.is_empty());
    }
}
