//! The keys that sign-ins are sealed with, and the document `ticket-keys` (docs/configuration.md, Keys): one for each tag
//! key of the ring, derived from it, with its number and times. Who has them can neither sign nor make a tag.
//!
//! A seal is `kid(1) ‖ salt(16) ‖ AES-256-GCM(key = HKDF-SHA256(ticket key, salt, info = purpose), aad = purpose ‖ issuer)`
//! with its authentication tag. Strangers cause any number of seals: so each has a key of its own, from a salt of its own,
//! and a nonce is never used twice under one key.

use std::{collections::BTreeSet, fmt};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::value::RawValue;

use crate::{
    failure::Unavailable,
    json::{Document, Faults, Members, Reading, Report},
    keys::{KeyRing, NOT_YET, RegistrationKey, only, value_of},
};

/// The members of an entry that are read here.
const TICKET_KEY: [&str; 5] = ["kid", "ticket_key", "registration_key", "use_from", "retire_at"];

/// Random bytes that a seal takes as its salt.
pub const TICKET_SALT_BYTES: usize = 16;

/// What a seal is for. One that was made for one purpose does not open for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealPurpose {
    /// A sign-in on its way to the portal.
    Ticket,
    /// The portal's answer on its way back to the client.
    Answer,
}

impl SealPurpose {
    const fn info(self) -> &'static [u8] {
        match self {
            Self::Ticket => b"latchkey sign-in ticket",
            Self::Answer => b"latchkey sign-in answer",
        }
    }

    fn associated_data(self, issuer: &str) -> Aad<Vec<u8>> {
        Aad::from([self.info(), issuer.as_bytes()].concat())
    }
}

/// A key for tickets and answers.
#[derive(Clone)]
pub struct TicketKey {
    kid: u8,
    use_from: i64,
    retire_at: Option<i64>,
    secret: [u8; 32],
    registration_key: RegistrationKey,
}

impl TicketKey {
    /// The key's number, 0 to 255.
    pub const fn kid(&self) -> u8 {
        self.kid
    }

    /// What clients are tagged with that register while this key is in use.
    pub const fn registration_key(&self) -> &RegistrationKey {
        &self.registration_key
    }

    fn is_usable_at(&self, now: i64) -> bool {
        self.retire_at.is_none_or(|retire_at| now < retire_at)
    }

    fn key(&self, purpose: SealPurpose, salt: &[u8]) -> Option<LessSafeKey> {
        let key = Salt::new(HKDF_SHA256, salt).extract(&self.secret);
        Some(LessSafeKey::new(UnboundKey::from(key.expand(&[purpose.info()], &AES_256_GCM).ok()?)))
    }

    /// Seals `text` for `purpose` in the deployment of `issuer`. `salt` must be random. `None` only if the cryptographic
    /// library refuses.
    pub fn seal(
        &self,
        purpose: SealPurpose,
        issuer: &str,
        text: &[u8],
        salt: [u8; TICKET_SALT_BYTES],
    ) -> Option<Vec<u8>> {
        let mut sealed = text.to_vec();
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        self.key(purpose, &salt)?.seal_in_place_append_tag(nonce, purpose.associated_data(issuer), &mut sealed).ok()?;
        Some([&[self.kid][..], &salt, &sealed].concat())
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// All keys for tickets and answers.
#[derive(Clone, Debug, Default)]
pub struct TicketKeys {
    keys: Vec<TicketKey>,
    /// The numbers of faulty keys; `None`: it cannot be read, so the key may be any.
    faulty: Vec<Option<u8>>,
}

impl TicketKeys {
    /// Reads `ticket-keys`, fail-static: faulty keys are quarantined, unknown members ignored. Refuses what is no JSON
    /// object, or has no list `keys`.
    pub fn read(text: &str) -> Result<Reading<Self>, Faults> {
        let (mut document, mut report) = Document::parse(text)?;
        let Some(entries) = document.list("keys", &mut report) else { return Err(report.into_faults()) };
        let (keys, mut faulty) = report.sorted(entries, true, read_ticket_key);
        let mut ticket_keys = Self { keys, faulty: Vec::new() };
        let mut seen = BTreeSet::new();
        let twice: BTreeSet<u8> = ticket_keys.keys.iter().map(|key| key.kid).filter(|kid| !seen.insert(*kid)).collect();
        for kid in twice {
            report.add(format!("keys: kid {kid} stands twice"));
            faulty.push(Some(kid));
        }
        // Of a key that stands there once sound and once faulty nobody knows which is meant.
        ticket_keys.keys.retain(|key| !faulty.contains(&Some(key.kid)));
        ticket_keys.faulty = faulty;
        Ok(Reading { value: ticket_keys, faults: report.into_faults() })
    }

    /// The same keys as in the document, made from the ring itself.
    pub fn of(ring: &KeyRing) -> Self {
        let keys = ring.tag_keys().iter().map(|key| {
            let (secret, use_from, retire_at) = key.ticket();
            let registration_key = key.registration_key().clone();
            TicketKey { kid: key.kid(), use_from, retire_at, secret: *secret, registration_key }
        });
        Self { keys: keys.collect(), faulty: ring.faulty_tag_keys().to_vec() }
    }

    /// The key that seals now: the one with the greatest `use_from` that has come.
    pub fn in_use(&self, now: i64) -> Result<&TicketKey, Unavailable> {
        self.keys
            .iter()
            .filter(|key| key.use_from <= now && key.is_usable_at(now))
            .max_by_key(|key| (key.use_from, key.kid))
            .ok_or_else(|| Unavailable::new("key ring", "no ticket key is in use"))
    }

    /// What has been sealed for `purpose` in the deployment of `issuer`; `None` for anything else. An unknown number is a
    /// stranger's: nothing is loaded again for it.
    pub fn open(
        &self,
        purpose: SealPurpose,
        issuer: &str,
        sealed: &[u8],
        now: i64,
    ) -> Result<Option<Vec<u8>>, Unavailable> {
        let Some(([kid], rest)) = sealed.split_first_chunk() else { return Ok(None) };
        let Some((salt, rest)) = rest.split_first_chunk::<TICKET_SALT_BYTES>() else { return Ok(None) };
        let Some(key) = self.key(*kid, now)? else { return Ok(None) };
        let mut text = rest.to_vec();
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        let opened = key.key(purpose, salt).and_then(|key| {
            key.open_in_place(nonce, purpose.associated_data(issuer), &mut text).ok().map(|text| text.len())
        });
        Ok(opened.map(|length| {
            text.truncate(length);
            text
        }))
    }

    /// The registration key with this number; `None` if there is none, or it has retired. Nothing is loaded again for one
    /// that is unknown.
    pub fn registration_key(&self, kid: u8, now: i64) -> Result<Option<&RegistrationKey>, Unavailable> {
        Ok(self.key(kid, now)?.map(TicketKey::registration_key))
    }

    fn key(&self, kid: u8, now: i64) -> Result<Option<&TicketKey>, Unavailable> {
        match self.keys.iter().find(|key| key.kid == kid) {
            Some(key) => Ok(Some(key).filter(|key| key.is_usable_at(now))),
            None if self.faulty.iter().any(|faulty| faulty.is_none_or(|faulty| faulty == kid)) => {
                Err(Unavailable::new("document", "this ticket key is faulty"))
            }
            None if self.keys.is_empty() => Err(Unavailable::new("key ring", "there is no ticket key in it")),
            None => Ok(None),
        }
    }
}

fn read_ticket_key(path: String, text: &RawValue, report: &mut Report) -> (Option<TicketKey>, Option<u8>) {
    let Some(entry) = value_of(&path, text, report) else { return (None, None) };
    let Some(mut members) = Members::of(path, only(entry, &TICKET_KEY), report) else { return (None, None) };
    let kid = members.integer("kid", 0..=255).and_then(|kid| u8::try_from(kid).ok());
    if kid.is_none() {
        members.fault("kid", "a whole number from 0 to 255 is needed");
    }
    let use_from = members.integer("use_from", 0..=NOT_YET).unwrap_or(0);
    let retire_at = members.integer("retire_at", 0..=NOT_YET);
    let mut secret = |member| {
        let secret = members.required_string(member)?;
        let bytes = URL_SAFE_NO_PAD.decode(secret).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        if bytes.is_none() {
            members.fault(member, "must be 32 bytes as unpadded base64url");
        }
        bytes
    };
    let (secret, registration_key) = (secret("ticket_key"), secret("registration_key"));
    members.end();
    let key = kid.zip(secret).zip(registration_key).map(|((kid, secret), registration_key)| {
        let registration_key = RegistrationKey::from_bytes(&registration_key);
        TicketKey { kid, use_from, retire_at, secret, registration_key }
    });
    (key, kid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::tag_ring;

    const ISSUER: &str = "https://id.example.org";
    const TICKET: SealPurpose = SealPurpose::Ticket;

    fn document(keys: &str) -> TicketKeys {
        TicketKeys::read(&format!(r#"{{"keys":[{keys}]}}"#)).unwrap().value
    }

    fn key(kid: u8, more: &str) -> String {
        format!(
            r#"{{"kid":{kid},"ticket_key":"CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk","registration_key":"CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg"{more}}}"#
        )
    }

    fn sealed(keys: &TicketKeys, now: i64) -> Vec<u8> {
        keys.in_use(now).unwrap().seal(TICKET, ISSUER, b"who asks", [5; 16]).unwrap()
    }

    #[test]
    fn the_ring_and_the_document_that_is_derived_from_it_open_each_others_seals() {
        // Derived from thirty-two bytes of 9 by another implementation of HKDF.
        let derived = document(
            r#"{"kid":1,"ticket_key":"MzUdWwjUeY4F-OCcGhUHZCtyMeuZLrkrSXkWZ-QzMe0","registration_key":"M8HhU8QLMhDnKSek2Cq9aL3_oulXBqOLlgWGyGBOaI8"}"#,
        );
        let ring = TicketKeys::of(&tag_ring());
        for (one, other) in [(&ring, &derived), (&derived, &ring)] {
            let opened = other.open(TICKET, ISSUER, &sealed(one, 0), 0).unwrap();
            assert_eq!(opened.as_deref(), Some(&b"who asks"[..]));
        }
    }

    #[test]
    fn a_seal_opens_for_its_purpose_and_deployment_only_and_not_when_a_bit_differs() {
        let keys = document(&key(1, ""));
        let sealed = sealed(&keys, 0);
        assert!(!sealed.windows(8).any(|window| window == b"who asks"));
        let open = |purpose, issuer, sealed: &[u8]| keys.open(purpose, issuer, sealed, 0).unwrap();
        assert!(open(TICKET, ISSUER, &sealed).is_some());
        assert!(open(SealPurpose::Answer, ISSUER, &sealed).is_none());
        assert!(open(TICKET, "https://id.example.com", &sealed).is_none());
        for index in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[index] ^= 1;
            assert!(open(TICKET, ISSUER, &altered).is_none(), "byte {index}");
        }
        for length in 0..sealed.len() {
            assert!(open(TICKET, ISSUER, &sealed[..length]).is_none());
        }
    }

    #[test]
    fn the_newest_key_seals_and_the_older_ones_open_until_they_retire() {
        let keys = document(&[key(1, r#","retire_at":100"#), key(2, r#","use_from":50"#)].join(","));
        let early = sealed(&keys, 49);
        assert_eq!((early[0], sealed(&keys, 50)[0]), (1, 2));
        assert!(keys.open(TICKET, ISSUER, &early, 99).unwrap().is_some());
        assert!(keys.open(TICKET, ISSUER, &early, 100).unwrap().is_none());
    }

    #[test]
    fn a_faulty_key_is_unavailable_and_an_unknown_one_a_strangers() {
        let reading =
            TicketKeys::read(&format!(r#"{{"keys":[{{"kid":2}},{},{},{}]}}"#, key(1, ""), key(3, ""), key(3, "")));
        let Reading { value: keys, faults } = reading.unwrap();
        assert_eq!(faults.lines().len(), 3, "{faults}");
        let open = |kid: u8| keys.open(TICKET, ISSUER, &[&[kid][..], &[0; 40]].concat(), 0);
        assert!(open(2).is_err() && open(3).is_err());
        assert!(open(1).unwrap().is_none() && open(9).unwrap().is_none());
        assert!(document("").open(TICKET, ISSUER, &[0; 40], 0).is_err(), "nothing has been derived yet");
        assert!(!format!("{keys:?}").contains("CQkJ"));
    }
}
