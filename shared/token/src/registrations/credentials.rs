//! Secrets of issuers and clients: as they are sent, and as hashes to compare with.

use std::fmt;

use aws_lc_rs::constant_time;

use crate::values::sha256;

/// An id and a secret as a caller sent them, not yet compared with anything. Has no `Debug`.
#[derive(Clone)]
pub struct Credentials {
    /// The id as it was sent; it may be unknown.
    pub id: String,
    /// The secret as it was sent, in plain text; may be empty.
    pub secret: String,
}

/// SHA-256 hashes of a party's secrets; several stand side by side while a secret is being changed.
///
/// Secrets are generated with 256 bits, so one round of SHA-256 is enough: there is nothing to guess.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretHashes(pub(super) Vec<[u8; 32]>);

impl fmt::Debug for SecretHashes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHashes(…)")
    }
}

impl SecretHashes {
    /// Compares in constant time with every hash.
    fn admit(&self, secret: &str) -> bool {
        let presented = sha256(secret.as_bytes());
        self.0
            .iter()
            .fold(false, |admitted, hash| admitted | constant_time::verify_slices_are_equal(hash, &presented).is_ok())
    }
}

/// Does the same work whether or not the party is known.
pub(super) fn admit(secrets: Option<&SecretHashes>, secret: &str) -> bool {
    match secrets {
        Some(secrets) => secrets.admit(secret),
        None => {
            let _ = std::hint::black_box(SecretHashes(vec![[0; 32]]).admit(secret));
            false
        }
    }
}
