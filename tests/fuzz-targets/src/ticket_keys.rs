//! The document `ticket-keys`.

use latchkey_token::{
    json::Value,
    tickets::{Browser, SealPurpose, TicketKeys},
};

use crate::{Outcome, key_ring::strings, text};

const ISSUER: &str = "https://latchkey.example";
/// Moments at which keys are asked for, in Unix seconds.
const MOMENTS: [i64; 4] = [0, 1_700_000_000, 1_800_000_000, i64::MAX];

/// A document is read the same way every time, whatever else is wrong with it; nothing that is said of it quotes a key; what
/// its key in use seals is opened again, for its purpose and its deployment alone.
pub fn ticket_keys(data: &[u8]) -> Outcome {
    let Some(text) = text(data) else { return Outcome::Unused };
    let read = match TicketKeys::read(text) {
        Ok(read) => read,
        Err(faults) => {
            assert_eq!(TicketKeys::read(text).unwrap_err(), faults);
            assert!(!faults.lines().is_empty());
            assert_quotes_no_key(text, &faults.to_string());
            return Outcome::Refused;
        }
    };
    let again = TicketKeys::read(text).unwrap();
    let shown = format!("{:?} {:?}", read.value, read.faults);
    assert_eq!(format!("{:?} {:?}", again.value, again.faults), shown);
    assert_quotes_no_key(text, &shown);
    let mut is_used = false;
    for now in MOMENTS {
        let Ok(key) = read.value.in_use(now) else { continue };
        is_used = true;
        let content = Browser::from_bytes([1; 32]).expose();
        let sealed = key.seal(SealPurpose::Ticket, ISSUER, content.as_bytes(), [2; 16]).unwrap();
        let open = |purpose, issuer, sealed: &[u8]| read.value.open(purpose, issuer, sealed, now).unwrap();
        assert_eq!(open(SealPurpose::Ticket, ISSUER, &sealed).as_deref(), Some(content.as_bytes()));
        assert!(open(SealPurpose::Answer, ISSUER, &sealed).is_none());
        assert!(open(SealPurpose::Ticket, "https://other.example", &sealed).is_none());
        let mut altered = sealed.clone();
        let bit = data.len() % ((sealed.len() - 1) * 8);
        altered[1 + bit / 8] ^= 1 << (bit % 8);
        assert!(open(SealPurpose::Ticket, ISSUER, &altered).is_none(), "bit {bit}");
    }
    if is_used { Outcome::Accepted } else { Outcome::Refused }
}

fn assert_quotes_no_key(text: &str, said: &str) {
    let Ok(document) = serde_json::from_str::<Value>(text) else { return };
    let everything = document.to_string();
    let is_key = |(name, text): &(String, String)| {
        ["ticket_key", "registration_key"].contains(&name.as_str()) && text.len() >= 8
    };
    for (_, key) in strings(&document).into_iter().filter(is_key) {
        // The same text may stand elsewhere as a name, which is quoted.
        assert!(everything.matches(key.as_str()).count() > 1 || !said.contains(&key), "a key is quoted: {said}");
    }
}
