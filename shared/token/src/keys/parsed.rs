//! Keys kept parsed. The library parses a key anew for every signature and every verification, which takes as long as an
//! RSA signature itself; through its provider hooks it is handed the parsed one. Its own key stays the key: where there is
//! no parsed form, or another provider is installed, it works with that.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock, PoisonError, RwLock, Weak},
};

use aws_lc_rs::{
    digest::{SHA256, digest},
    error::Unspecified,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
        ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256,
        RsaEncoding, RsaKeyPair, RsaPublicKeyComponents,
    },
};
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils, aws_lc::DEFAULT_PROVIDER},
    errors::Result,
};
use signature::{Error, Signer, Verifier};

use crate::values::sha256;

/// A private key as the library takes it; while it lives, its parsed form is found. Has no `Debug`.
pub(crate) struct SigningMaterial {
    key: EncodingKey,
    parsed: Option<Arc<PrivateKey>>,
}

impl SigningMaterial {
    pub(crate) fn new(key: EncodingKey) -> Self {
        install();
        let parsed = PRIVATE.keep(sha256(key.as_bytes()), || PrivateKey::parse(&key));
        Self { key, parsed }
    }

    pub(crate) fn key(&self) -> &EncodingKey {
        &self.key
    }

    /// Whether it is an RSA key both halves of which belong together. Reading one, aws-lc computes that they do
    /// (`RSA_check_key`): no signature has to be tried.
    pub(crate) fn is_sound_rsa(&self) -> bool {
        matches!(self.parsed.as_deref(), Some(PrivateKey::Rsa(_)))
    }
}

/// A public key, or a secret, as the library takes it; while it lives, its parsed form is found.
pub(crate) struct VerifyingMaterial {
    key: DecodingKey,
    _parsed: Option<Arc<ParsedPublicKey>>,
}

impl VerifyingMaterial {
    /// For signatures of one `algorithm`.
    pub(crate) fn new(algorithm: Algorithm, key: DecodingKey) -> Self {
        install();
        let parsed = || parse_public(algorithm, &key);
        let _parsed = public_name(algorithm, &key).and_then(|name| PUBLIC.keep(name, parsed));
        Self { key, _parsed }
    }

    pub(crate) fn key(&self) -> &DecodingKey {
        &self.key
    }
}

/// The library's provider, but for keys that are kept parsed.
static PROVIDER: LazyLock<CryptoProvider> = LazyLock::new(|| CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    key_utils: KeyUtils { rsa_pub_components_from_private_key: rsa_components, ..DEFAULT_PROVIDER.key_utils.clone() },
});

fn install() {
    // Fails only if there is a provider already, which then parses.
    let _ = LazyLock::force(&PROVIDER).install_default();
}

static PRIVATE: Kept<PrivateKey> = Kept::new();
static PUBLIC: Kept<ParsedPublicKey> = Kept::new();

/// Parsed keys by a SHA-256 of what they were parsed from. They go with the last ring that holds them.
struct Kept<T>(RwLock<BTreeMap<[u8; 32], Weak<T>>>);

impl<T> Kept<T> {
    const fn new() -> Self {
        Self(RwLock::new(BTreeMap::new()))
    }

    fn keep(&self, name: [u8; 32], parse: impl FnOnce() -> Option<T>) -> Option<Arc<T>> {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        table.retain(|_, kept| kept.strong_count() > 0);
        if let Some(parsed) = table.get(&name).and_then(Weak::upgrade) {
            return Some(parsed);
        }
        let parsed = Arc::new(parse()?);
        table.insert(name, Arc::downgrade(&parsed));
        Some(parsed)
    }

    fn find(&self, name: &[u8; 32]) -> Option<Arc<T>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name)?.upgrade()
    }
}

enum PrivateKey {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl PrivateKey {
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

    fn has(&self, algorithm: Algorithm) -> bool {
        match self {
            Self::Rsa(_) => matches!(algorithm, Algorithm::RS256 | Algorithm::PS256),
            Self::Ecdsa(_) => algorithm == Algorithm::ES256,
            Self::Ed25519(_) => algorithm == Algorithm::EdDSA,
        }
    }
}

/// One key of two algorithms is two keys. `None` for secrets.
fn public_name(algorithm: Algorithm, key: &DecodingKey) -> Option<[u8; 32]> {
    if key.family() == AlgorithmFamily::Hmac {
        return None;
    }
    let mut named = vec![algorithm as u8];
    match key.kind() {
        DecodingKeyKind::SecretOrDer(bytes) => named.extend(bytes),
        DecodingKeyKind::RsaModulusExponent { n, e } => {
            named.extend((e.len() as u64).to_be_bytes());
            named.extend(e);
            named.extend(n);
        }
    }
    Some(sha256(&named))
}

/// Whether it is a key of `algorithm` that signatures can be verified with: of a size in use, a point on its curve.
pub(super) fn is_public_key(algorithm: Algorithm, key: &DecodingKey) -> bool {
    parse_public(algorithm, key).is_some()
}

fn parse_public(algorithm: Algorithm, key: &DecodingKey) -> Option<ParsedPublicKey> {
    match (algorithm, key.kind()) {
        (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            RsaPublicKeyComponents { n, e }.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).ok()
        }
        (Algorithm::PS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            RsaPublicKeyComponents { n, e }.to_parsed_public_key(&RSA_PSS_2048_8192_SHA256).ok()
        }
        (Algorithm::ES256, DecodingKeyKind::SecretOrDer(point)) if key.family() == AlgorithmFamily::Ec => {
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()
        }
        (Algorithm::EdDSA, DecodingKeyKind::SecretOrDer(point)) if key.family() == AlgorithmFamily::Ed => {
            ParsedPublicKey::new(&ED25519, point).ok()
        }
        _ => None,
    }
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    let is_parsed = key.family() != AlgorithmFamily::Hmac;
    match is_parsed.then(|| PRIVATE.find(&sha256(key.as_bytes()))).flatten() {
        Some(key) if key.has(*algorithm) => Ok(Box::new(ParsedSigner { algorithm: *algorithm, key })),
        _ => (DEFAULT_PROVIDER.signer_factory)(algorithm, key),
    }
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    match public_name(*algorithm, key).and_then(|name| PUBLIC.find(&name)) {
        Some(key) => Ok(Box::new(ParsedVerifier { algorithm: *algorithm, key })),
        None => (DEFAULT_PROVIDER.verifier_factory)(algorithm, key),
    }
}

/// Modulus and exponent of an RSA private key.
fn rsa_components(der: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    match PRIVATE.find(&sha256(der)).as_deref() {
        Some(PrivateKey::Rsa(key)) => {
            let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(key.public_key());
            Ok((n, e))
        }
        _ => (DEFAULT_PROVIDER.key_utils.rsa_pub_components_from_private_key)(der),
    }
}

struct ParsedSigner {
    algorithm: Algorithm,
    key: Arc<PrivateKey>,
}

impl ParsedSigner {
    fn sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Unspecified> {
        match self.key.as_ref() {
            PrivateKey::Rsa(key) => {
                let padding: &'static dyn RsaEncoding = match self.algorithm {
                    Algorithm::PS256 => &RSA_PSS_SHA256,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign_digest(padding, &digest(&SHA256, message), &mut signature)?;
                Ok(signature)
            }
            PrivateKey::Ecdsa(key) => Ok(key.sign_digest(&digest(&SHA256, message))?.as_ref().to_vec()),
            PrivateKey::Ed25519(key) => Ok(key.try_sign(message)?.as_ref().to_vec()),
        }
    }
}

impl Signer<Vec<u8>> for ParsedSigner {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        self.sign(message).map_err(Error::from_source)
    }
}

impl JwtSigner for ParsedSigner {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

struct ParsedVerifier {
    algorithm: Algorithm,
    key: Arc<ParsedPublicKey>,
}

impl Verifier<Vec<u8>> for ParsedVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        self.key.verify_sig(message, signature).map_err(Error::from_source)
    }
}

impl JwtVerifier for ParsedVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use jsonwebtoken::jwk::Jwk;

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
        PRIVATE.find(&sha256(key.as_bytes())).is_some()
    }

    #[test]
    fn the_parsed_key_signs_what_the_public_key_verifies() {
        for (algorithm, key) in keys() {
            let material = SigningMaterial::new(key.clone());
            assert!(material.parsed.is_some(), "{algorithm:?}");
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

    fn public(algorithm: Algorithm, key: &EncodingKey) -> DecodingKey {
        DecodingKey::from_jwk(&Jwk::from_encoding_key(key, algorithm).unwrap()).unwrap()
    }

    #[test]
    fn the_parsed_public_key_verifies_what_the_library_signs_and_nothing_else() {
        for (algorithm, key) in keys() {
            let material = VerifyingMaterial::new(algorithm, public(algorithm, &key));
            assert!(material._parsed.is_some(), "{algorithm:?}");
            let signature = (DEFAULT_PROVIDER.signer_factory)(&algorithm, &key).unwrap().sign(b"message");
            let verifier = verifier(&algorithm, material.key()).unwrap();
            assert!(verifier.verify(b"message", &signature).is_ok(), "{algorithm:?}");
            assert!(verifier.verify(b"another", &signature).is_err(), "{algorithm:?}");
            let mut altered = signature;
            altered[17] ^= 1;
            assert!(verifier.verify(b"message", &altered).is_err(), "{algorithm:?}");
        }
    }

    #[test]
    fn a_parsed_public_key_is_found_for_its_own_algorithm_and_while_it_is_held() {
        for (algorithm, key) in keys() {
            let key = public(algorithm, &key);
            let is_found = |algorithm| public_name(algorithm, &key).and_then(|name| PUBLIC.find(&name)).is_some();
            let material = VerifyingMaterial::new(algorithm, key.clone());
            for other in [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA, Algorithm::HS256] {
                assert_eq!(is_found(other), other == algorithm, "{algorithm:?} as {other:?}");
            }
            drop(material);
            assert!(!is_found(algorithm), "{algorithm:?}");
        }
    }

    #[test]
    fn modulus_and_exponent_are_the_librarys() {
        let key = EncodingKey::from_rsa_pem(testing::rsa_pem(2048).as_bytes()).unwrap();
        let parsed_by_the_library = rsa_components(key.as_bytes()).unwrap();
        let _material = SigningMaterial::new(key.clone());
        assert_eq!(rsa_components(key.as_bytes()).unwrap(), parsed_by_the_library);
    }

    #[test]
    fn an_rsa_key_whose_halves_do_not_belong_together_is_not_sound() {
        let [one, other] = [(); 2].map(|()| EncodingKey::from_rsa_pem(testing::rsa_pem(2048).as_bytes()).unwrap());
        assert!(SigningMaterial::new(one.clone()).is_sound_rsa());
        let modulus = |key: &EncodingKey| rsa_components(key.as_bytes()).unwrap().0;
        let (own, foreign) = (modulus(&one), modulus(&other));
        let at = one.as_bytes().windows(own.len()).position(|window| window == own).unwrap();
        let mut der = one.as_bytes().to_vec();
        der[at..at + own.len()].copy_from_slice(&foreign);
        assert!(!SigningMaterial::new(EncodingKey::from_rsa_der(&der)).is_sound_rsa());
        for part in [at + own.len() + 40, der.len() - 40] {
            let mut der = one.as_bytes().to_vec();
            der[part] ^= 1;
            assert!(!SigningMaterial::new(EncodingKey::from_rsa_der(&der)).is_sound_rsa(), "byte {part}");
        }
    }

    #[test]
    fn secrets_are_the_librarys_own() {
        let secret = EncodingKey::from_secret(&[7; 32]);
        let material = SigningMaterial::new(secret.clone());
        assert!(material.parsed.is_none());
        assert!(signer(&Algorithm::HS256, material.key()).is_ok());
        let verifying = VerifyingMaterial::new(Algorithm::HS256, DecodingKey::from_secret(&[7; 32]));
        assert!(verifying._parsed.is_none());
        assert!(verifier(&Algorithm::HS256, verifying.key()).is_ok());
    }
}
