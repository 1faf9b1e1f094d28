//! What is derived from the key ring for those who may not read it: pure functions of the ring, so that every writer
//! writes the same. And how writers agree: whoever has written reads the ring again, and derives again if it has changed.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::value::RawValue;

use crate::{
    failure::Unavailable,
    json::{self, Map, Value, members, readable_members},
    keys::{KeyRing, Kid, TagKey, registration_secret, ticket_secret},
    ports::{DerivedDocument, RingVersions},
};

/// How often a writer that finds the ring changed derives again.
pub(super) const TRIES: u32 = 5;

/// The documents that are derived from one ring. Has no `Debug`: two of them hold secrets.
#[derive(Clone, PartialEq)]
pub struct Derived {
    verification_keys: Map<String, Value>,
    ticket_keys: Map<String, Value>,
    public_keys: Map<String, Value>,
}

impl Derived {
    /// Derives from `ring`, which was read from `text`. A key of the text that is not in the ring, because it is faulty, is
    /// passed on by its id alone, or as an empty entry without one: whoever reads that finds it faulty as well, and does not
    /// take the key for unknown. `None` if the text is no JSON object, of which no ring is read.
    pub fn of(ring: &KeyRing, text: &str) -> Option<Self> {
        let document = members(text).ok()?;
        let member = |wanted: &str| document.iter().find(|(name, _)| name == wanted).map(|(_, text)| text.get());
        let entries = |list: &str| {
            let entries = member(list).and_then(|list| serde_json::from_str::<Vec<&RawValue>>(list).ok());
            entries.unwrap_or_default().into_iter().map(Entry::read)
        };
        let keys: Vec<Value> = entries("signing").map(|entry| verification_key(ring, &entry)).collect();
        let public: Vec<Value> = keys.iter().filter(|key| key.get("kty").is_some()).cloned().collect();
        let tagging: Vec<Value> = entries("tagging").map(|entry| tag_key(ring, &entry)).collect();
        let tickets: Vec<Value> = tagging.iter().map(ticket_key).collect();
        let mut verification_keys = object([("keys", keys.into()), ("tagging", tagging.into())]);
        let audit = member("audit").and_then(|audit| json::parse(audit.as_bytes()).ok());
        if let Some(audit) = audit.filter(|audit| !audit.is_null()) {
            verification_keys.insert("audit".into(), audit);
        }
        Some(Self {
            verification_keys,
            ticket_keys: object([("keys", tickets.into())]),
            public_keys: object([("keys", public.into())]),
        })
    }

    /// What is to be published before the ring `before` is replaced by `after`: the keys of both, so that nothing signs that
    /// cannot be verified, and nothing is taken away from a ring in force. `None` if `after` brings nothing new.
    pub fn ahead(before: Option<&str>, after: &str) -> Option<Self> {
        let derived = |text: &str| Self::of(&KeyRing::read(text).ok()?.value, text);
        let after = derived(after)?;
        let Some(before) = before.and_then(derived) else { return Some(after) };
        let joined = after.joined_with(&before);
        joined.has_more_than(&before).then_some(joined)
    }

    /// Whether something stands here that does not stand in `other`, wherever in its list. Another order is nothing new.
    fn has_more_than(&self, other: &Self) -> bool {
        let is_there = |other: &Map<String, Value>, name: &String, value: &Value| match (value, other.get(name)) {
            (Value::Array(keys), Some(Value::Array(others))) => keys.iter().all(|key| others.contains(key)),
            (value, there) => there == Some(value),
        };
        DerivedDocument::ALL.into_iter().any(|document| {
            let (own, other) = (self.members(document), other.members(document));
            own.iter().any(|(name, value)| !is_there(other, name, value))
        })
    }

    fn joined_with(mut self, before: &Self) -> Self {
        join(&mut self.verification_keys, &before.verification_keys);
        join(&mut self.ticket_keys, &before.ticket_keys);
        join(&mut self.public_keys, &before.public_keys);
        self
    }

    /// A document as text.
    pub fn text(&self, document: DerivedDocument) -> String {
        Value::Object(self.members(document).clone()).to_string()
    }

    fn members(&self, document: DerivedDocument) -> &Map<String, Value> {
        match document {
            DerivedDocument::VerificationKeys => &self.verification_keys,
            DerivedDocument::TicketKeys => &self.ticket_keys,
            DerivedDocument::PublicKeys => &self.public_keys,
        }
    }

    /// Publishes all documents. Those that are published already are not written again.
    pub async fn publish<V: RingVersions>(&self, versions: &V) -> Result<(), Unavailable> {
        for document in DerivedDocument::ALL {
            versions.publish(document, &self.text(document)).await?;
        }
        Ok(())
    }

    /// Whether exactly these documents are published.
    pub async fn is_published<V: RingVersions>(&self, versions: &V) -> Result<bool, Unavailable> {
        for document in DerivedDocument::ALL {
            let published = versions.published(document).await?;
            let published = published.and_then(|text| json::parse_object(text.as_bytes()).ok());
            if published.as_ref() != Some(self.members(document)) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Why what is published may not be of the ring in force.
#[derive(Debug, thiserror::Error)]
pub enum PublicationFault {
    /// A secret cannot be read or written.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// No function would load the ring in force.
    #[error("the current key ring is not usable: {0}")]
    UnusableRing(String),
    /// Others have changed the ring after every try.
    #[error("the key ring was changed by others, {TRIES} times in a row, while what is derived from it was written")]
    RingChanged,
}

/// Publishes what is derived from the ring in force, and again if that has changed meanwhile. Who has changed the ring, or
/// published what is derived from another one, does this afterwards: then the last one to publish has published what is
/// derived from the ring in force, whatever the order in which several have written.
pub async fn publish_derived<V: RingVersions>(versions: &V) -> Result<(), PublicationFault> {
    let mut current = versions.current().await?;
    for _ in 0..TRIES {
        let unusable = |faults: String| PublicationFault::UnusableRing(faults);
        let ring = KeyRing::read(&current.ring).map_err(|faults| unusable(faults.to_string()))?;
        let derived =
            Derived::of(&ring.value, &current.ring).ok_or_else(|| unusable("not a JSON object".to_owned()))?;
        derived.publish(versions).await?;
        let version = std::mem::replace(&mut current, versions.current().await?).version;
        if version == current.version {
            return Ok(());
        }
    }
    Err(PublicationFault::RingChanged)
}

fn object<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// An entry of one of the ring's lists, read as the ring reads it: of an object that has a member twice nothing is copied.
struct Entry {
    members: Value,
    is_whole: bool,
}

impl Entry {
    fn read(text: &RawValue) -> Self {
        let (members, is_whole) = readable_members(text.get()).unwrap_or_default();
        Self { members: Value::Object(members), is_whole }
    }

    fn kid(&self) -> Option<&Value> {
        self.members.get("kid")
    }

    /// What `derive` makes of the entry. Its id alone, if the entry or the `key` that the ring has under its id is not
    /// sound.
    fn derived<K>(&self, key: Option<K>, kid: impl Into<Value>, derive: impl FnOnce(K, &Value) -> Value) -> Value {
        match key {
            Some(key) if self.is_whole => derive(key, &self.members),
            _ => by_id(kid),
        }
    }
}

fn verification_key(ring: &KeyRing, entry: &Entry) -> Value {
    let Some(kid) = entry.kid().and_then(Value::as_str) else { return Value::Object(Map::new()) };
    let key = Kid::parse(kid).and_then(|kid| ring.named(&kid));
    entry.derived(key, kid, |key, members| key.for_verification(members))
}

fn tag_key(ring: &KeyRing, entry: &Entry) -> Value {
    let kid = entry.kid().and_then(Value::as_u64).and_then(|kid| u8::try_from(kid).ok());
    let Some(kid) = kid else { return Value::Object(Map::new()) };
    entry.derived(ring.has_tag_key(kid).then_some(()), kid, |(), members| TagKey::for_verification(members))
}

fn by_id(kid: impl Into<Value>) -> Value {
    Value::Object(object([("kid", kid.into())]))
}

/// The keys for tickets and for registered clients of a tag key: 32 bytes each, as unpadded base64url.
fn ticket_key(tag_key: &Value) -> Value {
    let Value::Object(mut key) = tag_key.clone() else { return Value::Null };
    let secret = key.remove("secret").and_then(|secret| URL_SAFE_NO_PAD.decode(secret.as_str()?).ok());
    if let Some(secret) = secret {
        for (name, derived) in
            [("ticket_key", ticket_secret(&secret)), ("registration_key", registration_secret(&secret))]
        {
            key.extend(derived.map(|derived| (name.to_owned(), URL_SAFE_NO_PAD.encode(derived).into())));
        }
    }
    Value::Object(key)
}

/// Adds to each list of `after` the keys whose id stands only `before`.
fn join(after: &mut Map<String, Value>, before: &Map<String, Value>) {
    for (name, value) in before {
        let Value::Array(keys) = value else { continue };
        let Value::Array(own) = after.entry(name.clone()).or_insert_with(|| Value::Array(Vec::new())) else { continue };
        let missing: Vec<Value> =
            keys.iter().filter(|key| own.iter().all(|other| other.get("kid") != key.get("kid"))).cloned().collect();
        own.extend(missing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        keys::Algorithm,
        testing::{hs256_entry, one_es256_pem, pem_entry},
    };

    const TAG_KEY: &str =
        r#"{"kid":1,"secret":"CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk","use_from":5,"retire_at":900}"#;

    fn ring(signing: &[String], more: &str) -> String {
        format!(r#"{{"signing":[{}],"tagging":[{TAG_KEY}]{more}}}"#, signing.join(","))
    }

    fn derived(text: &str) -> Derived {
        Derived::of(&KeyRing::parse(text).unwrap(), text).unwrap()
    }

    fn document(derived: &Derived, document: DerivedDocument) -> Value {
        serde_json::from_str(&derived.text(document)).unwrap()
    }

    fn es256(kid: &str) -> String {
        pem_entry(kid, "ES256", one_es256_pem(), r#""publish_at":10,"sign_from":20,"retire_at":100"#)
    }

    #[test]
    fn who_verifies_gets_public_halves_hs256_secrets_and_tag_keys_and_nothing_that_signs() {
        let secret = "an example secret of 32+ bytes, not real";
        let derived = derived(&ring(&[es256("es"), hs256_entry("hs", secret)], ""));
        let text = derived.text(DerivedDocument::VerificationKeys);
        assert!(!text.contains("PRIVATE KEY") && !text.contains("private_key"));
        let read = KeyRing::read_derived(&text).unwrap();
        assert!(read.faults.is_empty(), "{:?}", read.faults);
        assert!(read.value.verifier("es", 50).unwrap().is_some() && read.value.verifier("hs", 50).unwrap().is_some());
        assert!(
            read.value.verifier("es", 9).unwrap().is_none() && read.value.verifier("es", 100).unwrap().is_none(),
            "the times are there"
        );
        assert_eq!(read.value.tagger(5).unwrap().kid(), 1);
        assert!(read.value.tag_key(1, 900).unwrap().is_none());
        assert!(read.value.signer(Algorithm::Es256, None, 50).is_none());
        assert!(read.value.signer(Algorithm::Hs256, Kid::parse("hs").as_ref(), 50).is_none());
        let public = derived.text(DerivedDocument::PublicKeys);
        assert!(!public.contains("\"hs\"") && !public.contains(secret) && !public.contains("tagging"));
        let kids = |now| {
            let published = KeyRing::read_derived(&public).unwrap().value.public_keys(now);
            published.kids().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!((kids(9), kids(10), kids(100)), (vec![], vec!["es".to_owned()], vec![]));
    }

    #[test]
    fn the_audit_key_is_copied_and_no_other_member() {
        let ring = KeyRing::parse(&ring(&[], "")).unwrap();
        let text = r#"{"signing":[],"tagging":[],"audit":{"secret":"AA"},"other":{"secret":"BB"}}"#;
        let derived = Derived::of(&ring, text).unwrap();
        assert_eq!(document(&derived, DerivedDocument::VerificationKeys)["audit"]["secret"], "AA");
        for kind in DerivedDocument::ALL {
            assert!(!derived.text(kind).contains("BB"));
        }
    }

    #[test]
    fn each_tag_key_gives_a_ticket_key_and_a_registration_key_with_its_times() {
        let derived = derived(&ring(&[], ""));
        let keys = document(&derived, DerivedDocument::TicketKeys)["keys"].clone();
        assert_eq!((&keys[0]["kid"], &keys[0]["use_from"], &keys[0]["retire_at"]), (&1.into(), &5.into(), &900.into()));
        // HKDF-SHA256 of thirty-two bytes of 9 without a salt, computed by another implementation.
        assert_eq!(keys[0]["ticket_key"], "MzUdWwjUeY4F-OCcGhUHZCtyMeuZLrkrSXkWZ-QzMe0");
        assert_eq!(keys[0]["registration_key"], "M8HhU8QLMhDnKSek2Cq9aL3_oulXBqOLlgWGyGBOaI8");
        assert!(keys[0].get("secret").is_none(), "the tag key itself is not there");
    }

    #[test]
    fn a_faulty_key_of_the_ring_is_passed_on_by_its_id_and_takes_no_other_down() {
        let sound = KeyRing::parse(&ring(&[es256("es")], "")).unwrap();
        let text = ring(&[es256("es"), r#"{"kid":"later","alg":"ES512","private_key":"p"}"#.to_owned()], "")
            .replace(r#""tagging":["#, r#""tagging":[{"kid":2,"secret":"short"},"#);
        let derived = Derived::of(&sound, &text).unwrap();
        for kind in DerivedDocument::ALL {
            assert!(!derived.text(kind).contains("short") && !derived.text(kind).contains("private_key"));
        }
        let read = KeyRing::read_derived(&derived.text(DerivedDocument::VerificationKeys)).unwrap();
        assert!(read.value.verifier("es", 50).unwrap().is_some() && read.value.tag_key(1, 50).unwrap().is_some());
        assert!(read.faults.lines().iter().any(|fault| fault.contains("later")), "{:?}", read.faults);
        assert!(read.faults.lines().iter().any(|fault| fault.contains("tagging")), "{:?}", read.faults);
    }

    #[test]
    fn an_entry_with_a_member_twice_is_not_copied_under_the_id_of_a_sound_one() {
        let (sound, faulty) = ("s".repeat(32), "an example secret of 32+ bytes, not real");
        let twice = hs256_entry("hs", faulty).replace(r#""kid":"hs""#, r#""kid":"other","kid":"hs""#);
        let text = ring(&[hs256_entry("hs", &sound), twice], "").replace(
            r#""tagging":["#,
            r#""tagging":[{"kid":2,"kid":1,"secret":"CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg"},"#,
        );
        let read = KeyRing::read(&text).unwrap().value;
        let derived = Derived::of(&read, &text).unwrap();
        for kind in DerivedDocument::ALL {
            assert!(!derived.text(kind).contains(faulty) && !derived.text(kind).contains("CAgI"), "{kind:?}");
        }
        let read = KeyRing::read_derived(&derived.text(DerivedDocument::VerificationKeys)).unwrap().value;
        assert!(read.verifier("hs", 50).unwrap().is_some() && read.tag_key(1, 50).unwrap().is_some());
        assert!(read.verifier("other", 50).is_err() && read.tag_key(2, 50).is_err(), "they may be the faulty ones");
    }

    #[test]
    fn a_faulty_audit_key_is_not_copied_as_a_sound_one() {
        let secret = "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg";
        let text = ring(&[], &format!(r#","audit":{{"secret":"x","secret":"{secret}"}}"#));
        let derived = Derived::of(&KeyRing::read(&text).unwrap().value, &text).unwrap();
        assert!(!derived.text(DerivedDocument::VerificationKeys).contains(secret));
    }

    #[test]
    fn what_is_taken_away_waits_wherever_it_stands_in_its_list() {
        let keys = ["a", "b", "c"].map(|kid| hs256_entry(kid, &kid.repeat(32)));
        let before = ring(&keys, "");
        for index in 0..keys.len() {
            let mut left = keys.to_vec();
            left.remove(index);
            assert!(Derived::ahead(Some(&before), &ring(&left, "")).is_none(), "{index}");
            left.reverse();
            assert!(Derived::ahead(Some(&before), &ring(&left, "")).is_none(), "{index}, in another order");
        }
    }

    #[test]
    fn what_is_joined_has_the_keys_of_both_rings_and_the_later_times() {
        let before = derived(&ring(&[es256("gone")], ""));
        let other = crate::testing::es256_pem();
        let after = derived(&ring(&[pem_entry("new", "ES256", &other, "")], "").replace("900", "800"));
        let joined = after.clone().joined_with(&before);
        let read = KeyRing::read_derived(&joined.text(DerivedDocument::VerificationKeys)).unwrap().value;
        assert!(read.verifier("gone", 50).unwrap().is_some() && read.verifier("new", 50).unwrap().is_some());
        assert!(read.tag_key(1, 799).unwrap().is_some() && read.tag_key(1, 800).unwrap().is_none());
        let [before, after] =
            [ring(&[es256("gone")], ""), ring(&[es256("gone"), hs256_entry("new", &"n".repeat(32))], "")];
        assert!(Derived::ahead(Some(&before), &after).is_some());
        assert!(Derived::ahead(Some(&before), &ring(&[], "")).is_none(), "what is only taken away waits");
        let audit = r#","audit":{"secret":"AA"}"#;
        assert!(Derived::ahead(Some(&ring(&[], "")), &ring(&[], audit)).is_some());
        assert!(Derived::ahead(Some(&ring(&[], audit)), &ring(&[], "")).is_none());
        assert!(Derived::ahead(None, &after).is_some());
    }
}
