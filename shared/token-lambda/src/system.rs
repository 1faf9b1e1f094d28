//! The machine's own clock and randomness, and new signing keys.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::{
    encoding::AsDer,
    rand::{SecureRandom, SystemRandom},
    rsa,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use latchkey_token::{
    failure::Unavailable,
    keys::Algorithm,
    ports::{Clock, GenerateKey, Randomness},
    values::Timestamp,
};

/// The machine's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one real clock")]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_unix_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}

/// The machine's cryptographic randomness.
pub struct SystemRandomness;

impl Randomness for SystemRandomness {
    #[expect(clippy::disallowed_methods, reason = "the one real source of randomness")]
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Unavailable> {
        SystemRandom::new().fill(bytes).map_err(|_| Unavailable::new("randomness", "the system gives none"))
    }
}

/// New signing keys from the machine's randomness.
pub struct SystemKeys;

impl GenerateKey for SystemKeys {
    fn generate(&self, algorithm: Algorithm) -> Result<String, Unavailable> {
        generate_private_key(algorithm)
    }
}

/// A new private key for `algorithm` as PKCS#8 PEM; RSA keys have 2048 bits. HS256 keys are not generated: they are
/// somebody else's secret.
pub fn generate_private_key(algorithm: Algorithm) -> Result<String, Unavailable> {
    let failed = |_| Unavailable::new("cryptography", format!("no {algorithm} key could be generated"));
    let der = match algorithm {
        Algorithm::Rs256 | Algorithm::Ps256 => {
            let key = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).map_err(failed)?;
            let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = key.as_der().map_err(failed)?;
            der.as_ref().to_vec()
        }
        Algorithm::Es256 => {
            let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
            key.to_pkcs8v1().map_err(failed)?.as_ref().to_vec()
        }
        Algorithm::EdDsa => {
            let key = Ed25519KeyPair::generate().map_err(failed)?;
            key.to_pkcs8v1().map_err(failed)?.as_ref().to_vec()
        }
        Algorithm::Hs256 => {
            return Err(Unavailable::new("cryptography", "an HS256 key is imported, not generated"));
        }
    };
    Ok(pem(&der))
}

/// RFC 7468.
fn pem(der: &[u8]) -> String {
    let mut text = "-----BEGIN PRIVATE KEY-----\n".to_owned();
    for (index, character) in STANDARD.encode(der).chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str("\n-----END PRIVATE KEY-----\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use latchkey_token::keys::{KeyRing, thumbprint};

    #[test]
    fn generated_keys_make_a_valid_ring() {
        for algorithm in [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::EdDsa] {
            let private_key = generate_private_key(algorithm).unwrap();
            let kid = thumbprint(algorithm, &private_key).unwrap();
            let ring = serde_json::json!({
                "signing": [{"kid": kid.as_str(), "alg": algorithm.name(), "private_key": private_key}],
                "tagging": [],
            });
            let ring = KeyRing::parse(&ring.to_string()).unwrap();
            assert_eq!(ring.signer(algorithm, None, 0).unwrap().kid(), &kid);
            assert_eq!(kid.as_str().len(), 43);
        }
    }
}
