//! The key ring.

use latchkey_token::{
    json::{Faults, Value},
    keys::{Algorithm, KeyRing, PublicKeys},
    ports::DerivedDocument,
    rotation::{Derived, RingDocument},
    tickets::TicketKeys,
    values::Subject,
};

use crate::{Outcome, placeholders, text};

/// Moments at which keys are asked for, in Unix seconds.
const MOMENTS: [i64; 4] = [0, 1_700_000_000, 1_800_000_000, i64::MAX];

/// A ring that is taken is taken again when it is written, with the same keys; it publishes nothing private, and what
/// is derived from it verifies what it signs. A ring that is refused is refused with reasons, and they quote no secret.
pub fn key_ring(data: &[u8]) -> Outcome {
    let Some(text) = text(data) else { return Outcome::Unused };
    let text = placeholders::filled(text);
    assert_read_as_derived_says_no_secret(&text);
    match KeyRing::parse(&text) {
        Ok(ring) => {
            let (_, document) = RingDocument::read(&text).expect("the form that rotation copies");
            let written = serde_json::to_string(&document).unwrap();
            assert_same(&ring, &KeyRing::parse(&written).unwrap());
            for now in MOMENTS {
                assert_publishes_well(&ring, now);
            }
            assert_derives_well(&ring, &text);
            for (_, secret) in strings(&serde_json::from_str(&text).unwrap()).into_iter().filter(is_secret) {
                assert!(!format!("{ring:?}").contains(&secret), "a secret in Debug");
            }
            Outcome::Accepted
        }
        Err(faults) => {
            assert_eq!(KeyRing::parse(&text).unwrap_err(), faults);
            assert_quote_no_secret(&faults, &text);
            assert_goes_on_with_what_is_sound(&text, &faults);
            Outcome::Refused
        }
    }
}

/// What is refused where it is written is read all the same, unless it is no document at all; and what a rotation copies of
/// it reads the same again.
fn assert_goes_on_with_what_is_sound(text: &str, faults: &Faults) {
    match KeyRing::read(text) {
        Ok(reading) => {
            assert_eq!(reading.faults, *faults);
            MOMENTS.iter().for_each(|now| assert_publishes_well(&reading.value, *now));
            // A document without lists, or with nothing in them that can be used, is not rotated.
            let Ok((_, document)) = RingDocument::read(text) else { return };
            let written = serde_json::to_string(&document).unwrap();
            let again = KeyRing::read(&written).expect("a document still");
            assert_same(&reading.value, &again.value);
        }
        Err(no_document) => assert_eq!(no_document, *faults),
    }
}

/// The same text in the place of `verification-keys`: whatever is in it, nothing in it signs, and no fault quotes a secret.
fn assert_read_as_derived_says_no_secret(text: &str) {
    let Ok(read) = KeyRing::read_derived(text) else { return };
    // A number that fits nowhere costs its entry only; as a value there is no such document.
    let Ok(document) = serde_json::from_str::<Value>(text) else { return };
    let everything = document.to_string();
    let said = format!("{:?} {:?}", read.value, read.faults);
    for (_, secret) in strings(&document).into_iter().filter(is_secret) {
        // The same text may stand elsewhere as a name, which is quoted.
        assert!(everything.matches(secret.as_str()).count() > 1 || !said.contains(&secret), "a secret is quoted");
    }
    for now in MOMENTS {
        assert!(Algorithm::ALL.iter().all(|algorithm| read.value.signer(*algorithm, None, now).is_none()));
    }
}

fn assert_same(ring: &KeyRing, again: &KeyRing) {
    assert_eq!(format!("{ring:?}"), format!("{again:?}"));
    let subject = Subject::parse("4711").unwrap();
    assert_eq!(ring.audit_name(&subject), again.audit_name(&subject));
    for now in MOMENTS {
        assert_eq!(ring.public_keys(now), again.public_keys(now));
        assert_eq!(ring.tagger(now).map(|key| key.kid()), again.tagger(now).map(|key| key.kid()));
    }
}

fn assert_publishes_well(ring: &KeyRing, now: i64) {
    let public = ring.public_keys(now);
    let json = public.to_json();
    let keys: Value = serde_json::from_str(&json).unwrap();
    for key in keys["keys"].as_array().unwrap() {
        for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            assert!(key.get(private).is_none(), "a private member is published");
        }
        assert_eq!(key["use"], "sig");
        assert!(
            matches!(ring.verifier(key["kid"].as_str().unwrap(), now), Ok(Some(_))),
            "published, and does not verify"
        );
    }
    assert_eq!(PublicKeys::parse(&json), Some(public.clone()));
}

/// Who has what is derived from a ring verifies all that it signs, and signs nothing; who seals sign-ins, seals them with the
/// key of the tag key in use.
fn assert_derives_well(ring: &KeyRing, text: &str) {
    let derived = Derived::of(ring, text).expect("a ring is a JSON object");
    for document in [DerivedDocument::VerificationKeys, DerivedDocument::PublicKeys] {
        let read = KeyRing::read_derived(&derived.text(document)).expect("what is written is read");
        assert!(read.faults.is_empty(), "{:?}", read.faults);
        for now in MOMENTS {
            assert_eq!(ring.key_that_fails_under(&read.value, now), None);
            assert_eq!(read.value.public_keys(now), ring.public_keys(now));
            assert!(Algorithm::ALL.iter().all(|algorithm| read.value.signer(*algorithm, None, now).is_none()));
        }
    }
    let sealing = TicketKeys::read(&derived.text(DerivedDocument::TicketKeys)).expect("what is written is read");
    assert!(sealing.faults.is_empty(), "{:?}", sealing.faults);
    assert_eq!(format!("{:?}", sealing.value), format!("{:?}", TicketKeys::of(ring)));
    for now in MOMENTS {
        assert_eq!(sealing.value.in_use(now).is_ok(), ring.tagger(now).is_some());
    }
    let verifying = KeyRing::read_derived(&derived.text(DerivedDocument::VerificationKeys)).unwrap().value;
    for now in MOMENTS {
        assert_eq!(ring.tagger(now).map(|key| key.kid()), verifying.tagger(now).map(|key| key.kid()));
    }
}

/// Every string of a document with the name of its member.
pub(crate) fn strings(value: &Value) -> Vec<(String, String)> {
    match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| match value {
                Value::String(text) => vec![(name.clone(), text.clone())],
                other => strings(other),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(strings).collect(),
        _ => Vec::new(),
    }
}

fn is_secret((name, text): &(String, String)) -> bool {
    ["secret", "private_key"].contains(&name.as_str()) && text.len() >= 8
}

/// Faults name members and ids; of secrets they say nothing, and nothing of what is no document.
pub(crate) fn assert_quote_no_secret(faults: &Faults, text: &str) {
    assert!(!faults.lines().is_empty());
    assert!(faults.lines().iter().all(|line| !line.is_empty()));
    let Ok(document) = latchkey_token::json::parse_object(text.as_bytes()) else {
        // No document, or one with a member twice somewhere: what that says is not read.
        return;
    };
    let document = Value::Object(document);
    let said = faults.to_string();
    let everything = document.to_string();
    for (_, secret) in strings(&document).into_iter().filter(is_secret) {
        // The same text may stand elsewhere as a name, which is quoted.
        let stands_once = everything.matches(secret.as_str()).count() == 1;
        assert!(!stands_once || !said.contains(&secret), "a fault quotes a secret: {said}");
    }
}
