//! Private keys kept parsed. The library parses a key anew for every signature, which takes as long as an RSA signature
//! itself; through its provider hook it is handed the parsed one. Its own key stays the key: where there is no parsed
//! form, or another provider is installed, it signs with that.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock, PoisonError, RwLock, Weak},
};

use aws_lc_rs::{
    digest::{SHA256, digest},
    error::Unspecified,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding,
        RsaKeyPair,
    },
};
use jsonwebtoken::{
    AlgorithmFamily, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, aws_lc::DEFAULT_PROVIDER},
    errors::Result,
};
use signature::{Error, Signer};

use crate::identity::sha256;

/// A private key as the library takes it; while it lives, its parsed form is found. Has no `Debug`.
pub(crate) struct SigningMaterial {
    key: EncodingKey,
    _parsed: Option<Arc<ParsedKey>>,
}

impl SigningMaterial {
    pub(crate) fn new(key: EncodingKey) -> Self {
        // Fails only if there is a provider already, which then parses.
        let _ = LazyLock::force(&PROVIDER).install_default();
        Self { _parsed: keep_parsed(&key), key }
    }

    pub(crate) fn key(&self) -> &EncodingKey {
        &self.key
    }
}

/// The library's provider but for signatures.
static PROVIDER: LazyLock<CryptoProvider> =
    LazyLock::new(|| CryptoProvider { signer_factory: signer, ..DEFAULT_PROVIDER.clone() });

/// Parsed keys by the SHA-256 of what they were parsed from. They go with the last ring that holds them.
static PARSED: RwLock<BTreeMap<[u8; 32], Weak<ParsedKey>>> = RwLock::new(BTreeMap::new());

enum ParsedKey {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl ParsedKey {
    /// `None` for secrets, which need no parsing, and for what is no such key.
    fn parse(key: &EncodingKey) -> Option<Self> {
        let der = key.as_bytes();
        match key.family() {
            AlgorithmFamily::Rsa => RsaKeyPair::from_der(der).ok().map(Self::Rsa),
            AlgorithmFamily::Ec => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).ok().map(Self::Ecdsa)
            }
            AlgorithmFamily::Ed => Ed25519KeyPair::from_pkcs8(der).ok().map(Self::Ed25519),
            AlgorithmFamily::Hmac => None,
        }
    }

    fn has(&self, algorithm: jsonwebtoken::Algorithm) -> bool {
        use jsonwebtoken::Algorithm::{ES256, EdDSA, PS256, RS256};
        match self {
            Self::Rsa(_) => matches!(algorithm, RS256 | PS256),
            Self::Ecdsa(_) => algorithm == ES256,
            Self::Ed25519(_) => algorithm == EdDSA,
        }
    }
}

fn keep_parsed(key: &EncodingKey) -> Option<Arc<ParsedKey>> {
    let name = sha256(key.as_bytes());
    let mut table = PARSED.write().unwrap_or_else(PoisonError::into_inner);
    table.retain(|_, kept| kept.strong_count() > 0);
    if let Some(parsed) = table.get(&name).and_then(Weak::upgrade) {
        return Some(parsed);
    }
    let parsed = Arc::new(ParsedKey::parse(key)?);
    table.insert(name, Arc::downgrade(&parsed));
    Some(parsed)
}

fn parsed(name: &[u8; 32]) -> Option<Arc<ParsedKey>> {
    PARSED.read().unwrap_or_else(PoisonError::into_inner).get(name)?.upgrade()
}

fn signer(algorithm: &jsonwebtoken::Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    let is_parsed = key.family() != AlgorithmFamily::Hmac;
    match is_parsed.then(|| parsed(&sha256(key.as_bytes()))).flatten() {
        Some(key) if key.has(*algorithm) => Ok(Box::new(ParsedSigner { algorithm: *algorithm, key })),
        _ => (DEFAULT_PROVIDER.signer_factory)(algorithm, key),
    }
}

struct ParsedSigner {
    algorithm: jsonwebtoken::Algorithm,
    key: Arc<ParsedKey>,
}

impl ParsedSigner {
    fn sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Unspecified> {
        match self.key.as_ref() {
            ParsedKey::Rsa(key) => {
                let padding: &'static dyn RsaEncoding = match self.algorithm {
                    jsonwebtoken::Algorithm::PS256 => &RSA_PSS_SHA256,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign_digest(padding, &digest(&SHA256, message), &mut signature)?;
                Ok(signature)
            }
            ParsedKey::Ecdsa(key) => Ok(key.sign_digest(&digest(&SHA256, message))?.as_ref().to_vec()),
            ParsedKey::Ed25519(key) => Ok(key.try_sign(message)?.as_ref().to_vec()),
        }
    }
}

impl Signer<Vec<u8>> for ParsedSigner {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        self.sign(message).map_err(Error::from_source)
    }
}

impl JwtSigner for ParsedSigner {
    fn algorithm(&self) -> jsonwebtoken::Algorithm {
        self.algorithm
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use jsonwebtoken::{Algorithm, DecodingKey, jwk::Jwk};

    fn keys() -> Vec<(Algorithm, EncodingKey)> {
        let ed25519 = Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap();
        let rsa = EncodingKey::from_rsa_pem(testing::rsa_pem(2048).as_bytes()).unwrap();
        vec![
            (Algorithm::PS256, rsa.clone()),
            (Algorithm::RS256, rsa),
            (Algorithm::ES256, EncodingKey::from_ec_pem(testing::es256_pem().as_bytes()).unwrap()),
            (Algorithm::EdDSA, EncodingKey::from_ed_der(ed25519.as_ref())),
        ]
    }

    fn is_found(key: &EncodingKey) -> bool {
        parsed(&sha256(key.as_bytes())).is_some()
    }

    #[test]
    fn the_parsed_key_signs_what_the_public_key_verifies() {
        for (algorithm, key) in keys() {
            let material = SigningMaterial::new(key.clone());
            assert!(material._parsed.is_some(), "{algorithm:?}");
            let signature = signer(&algorithm, &key).unwrap().sign(b"message");
            let public = DecodingKey::from_jwk(&Jwk::from_encoding_key(&key, algorithm).unwrap()).unwrap();
            let verifier = (DEFAULT_PROVIDER.verifier_factory)(&algorithm, &public).unwrap();
            assert!(verifier.verify(b"message", &signature).is_ok(), "{algorithm:?}");
            assert!(verifier.verify(b"another", &signature).is_err(), "{algorithm:?}");
        }
    }

    #[test]
    fn a_parsed_key_is_found_while_a_ring_holds_it_and_no_longer() {
        for (algorithm, key) in keys() {
            assert!(!is_found(&key), "{algorithm:?}");
            let old = SigningMaterial::new(key.clone());
            let reloaded = SigningMaterial::new(key.clone());
            drop(old);
            assert!(is_found(&key), "{algorithm:?}");
            drop(reloaded);
            assert!(!is_found(&key), "{algorithm:?}");
            assert!(signer(&algorithm, &key).is_ok(), "the library still parses {algorithm:?}");
        }
    }

    #[test]
    fn a_key_signs_with_no_other_algorithm() {
        for (algorithm, key) in keys() {
            let _material = SigningMaterial::new(key.clone());
            for other in [Algorithm::HS256, Algorithm::ES256, Algorithm::EdDSA, Algorithm::RS256] {
                let of_its_kind = other == algorithm || (other, algorithm) == (Algorithm::RS256, Algorithm::PS256);
                assert_eq!(signer(&other, &key).is_ok(), of_its_kind, "{algorithm:?} as {other:?}");
            }
        }
    }

    #[test]
    fn secrets_are_the_librarys_own() {
        let secret = EncodingKey::from_secret(&[7; 32]);
        let material = SigningMaterial::new(secret.clone());
        assert!(material._parsed.is_none());
        assert!(signer(&Algorithm::HS256, material.key()).is_ok());
    }
}
