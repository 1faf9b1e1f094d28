//! What is derived of a tag key for other purposes: the keys of sign-ins, and of clients that register themselves (RFC 7591).

use std::fmt;

use aws_lc_rs::{
    hkdf::{HKDF_SHA256, Salt},
    hmac,
};

/// The infos of HKDF (RFC 5869 §3.2): what is derived of a tag key for one purpose is of no use for another.
const TICKET_INFO: &[&[u8]] = &[b"latchkey ticket"];
const REGISTRATION_INFO: &[&[u8]] = &[b"latchkey registration"];

/// What of a tag key's secret sign-ins are sealed with. `None` only if the cryptographic library refuses.
pub(crate) fn ticket_secret(tag_key: &[u8]) -> Option<[u8; 32]> {
    derived(tag_key, TICKET_INFO)
}

/// What of a tag key's secret registered clients are tagged with. `None` only if the cryptographic library refuses.
pub(crate) fn registration_secret(tag_key: &[u8]) -> Option<[u8; 32]> {
    derived(tag_key, REGISTRATION_INFO)
}

/// HKDF-SHA256 without a salt: tag keys are random.
fn derived(secret: &[u8], info: &[&[u8]]) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let key = Salt::new(HKDF_SHA256, &[]).extract(secret);
    key.expand(info, HKDF_SHA256).and_then(|derived| derived.fill(&mut bytes)).ok()?;
    Some(bytes)
}

/// A key for the ids and the secrets of registered clients. Who has it can neither sign nor tag a refresh token.
#[derive(Clone)]
pub struct RegistrationKey(hmac::Key);

impl RegistrationKey {
    /// The key of these bytes, as `ticket-keys` has them.
    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// The key that belongs to a tag key. `None` only if the cryptographic library refuses.
    pub(crate) fn of_tag_key(tag_key: &[u8]) -> Option<Self> {
        registration_secret(tag_key).map(|bytes| Self::from_bytes(&bytes))
    }

    pub(crate) const fn hmac(&self) -> &hmac::Key {
        &self.0
    }
}

impl fmt::Debug for RegistrationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RegistrationKey(…)")
    }
}
