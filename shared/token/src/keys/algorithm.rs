//! The signing algorithms, and how strong their keys must be.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// The signing algorithms of RFC 7518 and RFC 8037 that Latchkey offers. One key has one algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// `RS256`: RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 §3.3). A client's algorithm unless it names another.
    Rs256,
    /// `PS256`: RSASSA-PSS with SHA-256 (RFC 7518 §3.5).
    Ps256,
    /// `ES256`: ECDSA on the curve P-256 with SHA-256 (RFC 7518 §3.4).
    Es256,
    /// `EdDSA` with Ed25519 keys (RFC 8037 §3.1).
    EdDsa,
    /// `HS256`: HMAC with SHA-256 (RFC 7518 §3.2). Only for clients that name their key.
    Hs256,
}

/// Shortest secret for HS256, in bytes (RFC 7518 §3.2).
pub const MIN_HMAC_BYTES: usize = 32;

/// Shortest RSA modulus, in bits (RFC 7518 §3.3).
pub const MIN_RSA_BITS: usize = 2048;

impl Algorithm {
    /// All of them; RS256 first, which every library verifies.
    pub const ALL: [Self; 5] = [Self::Rs256, Self::Ps256, Self::Es256, Self::EdDsa, Self::Hs256];

    /// The name in JOSE headers; exact, as RFC 7515 §4.1.1 has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Hs256 => "HS256",
        }
    }

    /// Reads an `alg` by its exact name; `None` if it is not one of these.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Whether one secret both signs and verifies (HS256). Such keys are never published.
    pub const fn is_symmetric(self) -> bool {
        matches!(self, Self::Hs256)
    }

    pub(crate) const fn jose(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Ps256 => jsonwebtoken::Algorithm::PS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The length of a modulus in base64url.
pub(crate) fn rsa_bits(modulus: &str) -> usize {
    let bytes = URL_SAFE_NO_PAD.decode(modulus).unwrap_or_default();
    let significant: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
    let leading = significant.first().map_or(0, |byte| byte.leading_zeros() as usize);
    significant.len() * 8 - leading
}
