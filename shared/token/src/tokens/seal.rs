//! The sealed successor: how a retry gets the very same next refresh token, with no server secret and no
//! plaintext at rest.
//!
//! `sealed_successor` = nonce(12) ‖ AES-256-GCM(key = HKDF-SHA256(secretₙ, salt = sid, info =
//! "latchkey successor"), plaintext = secretₙ₊₁, aad = owner ‖ sid ‖ (n+1)). Only the holder of the old
//! refresh token can open it. Each key seals exactly one message: secretₙ is fresh in every generation and
//! renewed once.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
};

use super::refresh::RefreshSecret;
use crate::values::{Generation, SessionKey};

const INFO: &[&[u8]] = &[b"latchkey successor"];
/// Bytes of a seal: nonce, sealed secret, authentication tag.
const SEAL_BYTES: usize = NONCE_LEN + 32 + 16;

/// Random bytes that a seal takes as its nonce.
pub const SEAL_NONCE_BYTES: usize = NONCE_LEN;

/// A successor's secret, readable only with its predecessor's.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedSuccessor(Vec<u8>);

impl SealedSuccessor {
    /// Seals `successor`, the secret of generation `generation`, for the holder of `predecessor`.
    ///
    /// `None` only if the cryptographic library refuses, which it does for no input of these types.
    pub fn seal(
        predecessor: &RefreshSecret,
        session: &SessionKey,
        generation: Generation,
        successor: &RefreshSecret,
        nonce: [u8; SEAL_NONCE_BYTES],
    ) -> Option<Self> {
        let mut sealed = nonce.to_vec();
        let mut secret = successor.expose().to_vec();
        let aad = Aad::from(associated_data(session, generation));
        key(predecessor, session)?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut secret)
            .ok()?;
        sealed.append(&mut secret);
        Some(Self(sealed))
    }

    /// The successor's secret; `None` when the seal was made for another secret, session or generation.
    pub fn open(
        &self,
        predecessor: &RefreshSecret,
        session: &SessionKey,
        generation: Generation,
    ) -> Option<RefreshSecret> {
        let (nonce, sealed) = self.0.split_first_chunk::<NONCE_LEN>()?;
        let mut sealed = sealed.to_vec();
        let aad = Aad::from(associated_data(session, generation));
        let secret =
            key(predecessor, session)?.open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut sealed).ok()?;
        Some(RefreshSecret::from_bytes(<[u8; 32]>::try_from(&*secret).ok()?))
    }

    /// Reads a stored seal; `None` when the length is wrong.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() == SEAL_BYTES).then_some(Self(bytes))
    }

    /// The seal as session records hold it: 12 bytes of nonce, 32 of sealed secret, 16 of authentication tag.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SealedSuccessor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedSuccessor(…)")
    }
}

fn key(predecessor: &RefreshSecret, session: &SessionKey) -> Option<LessSafeKey> {
    let pseudo_random_key = Salt::new(HKDF_SHA256, session.sid.as_bytes()).extract(predecessor.expose());
    let output = pseudo_random_key.expand(INFO, &AES_256_GCM).ok()?;
    Some(LessSafeKey::new(UnboundKey::from(output)))
}

fn associated_data(session: &SessionKey, generation: Generation) -> [u8; 36] {
    let mut data = [0; 36];
    let parts =
        session.owner.as_bytes().iter().chain(session.sid.as_bytes()).copied().chain(generation.number().to_be_bytes());
    for (to, from) in data.iter_mut().zip(parts) {
        *to = from;
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::{Owner, Sid};

    const OLD: RefreshSecret = RefreshSecret::from_bytes([1; 32]);
    const NEW: RefreshSecret = RefreshSecret::from_bytes([2; 32]);

    fn session(sid: u8) -> SessionKey {
        SessionKey { owner: Owner::from_bytes([3; 16]), sid: Sid::from_bytes([sid; 16]) }
    }

    fn sealed() -> SealedSuccessor {
        SealedSuccessor::seal(&OLD, &session(4), Generation::new(5), &NEW, [6; 12]).unwrap()
    }

    #[test]
    fn opens_with_the_predecessor_only() {
        let opened = sealed().open(&OLD, &session(4), Generation::new(5)).unwrap();
        assert_eq!(opened.hash(), NEW.hash());
        assert!(sealed().open(&NEW, &session(4), Generation::new(5)).is_none());
        assert!(sealed().open(&OLD, &session(9), Generation::new(5)).is_none());
        assert!(sealed().open(&OLD, &session(4), Generation::new(6)).is_none());
        let other_owner = SessionKey { owner: Owner::from_bytes([9; 16]), ..session(4) };
        assert!(sealed().open(&OLD, &other_owner, Generation::new(5)).is_none());
    }

    #[test]
    fn is_nonce_ciphertext_tag_and_hides_the_secret() {
        let bytes = sealed().as_bytes().to_vec();
        assert_eq!(bytes.len(), 60);
        assert_eq!(bytes[..12], [6; 12]);
        assert!(!bytes.windows(8).any(|window| window == [2; 8]));
        assert_eq!(format!("{:?}", sealed()), "SealedSuccessor(…)");
        assert!(SealedSuccessor::from_bytes(bytes[..59].to_vec()).is_none());
        for index in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[index] ^= 1;
            let altered = SealedSuccessor::from_bytes(altered).unwrap();
            assert!(altered.open(&OLD, &session(4), Generation::new(5)).is_none(), "byte {index}");
        }
    }
}
