//! Private keys as PKCS#8 PEM (RFC 5958, RFC 7468): read, held against their algorithm, tried.

use jsonwebtoken::{
    DecodingKey, EncodingKey,
    jwk::{AlgorithmParameters, Jwk, PublicKeyUse, ThumbprintHash},
};

use super::{
    algorithm::{Algorithm, MIN_RSA_BITS, rsa_bits},
    parsed::{SigningMaterial, VerifyingMaterial},
    ring::Kid,
};

/// The RFC 7638 thumbprint of a PKCS#8 private key's public half: the `kid` of asymmetric keys.
pub fn thumbprint(algorithm: Algorithm, private_key_pem: &str) -> Option<Kid> {
    // The library keeps the provider that it is first asked with: it must be ours.
    let signer = SigningMaterial::new(encoding_key(algorithm, private_key_pem)?);
    let jwk = Jwk::from_encoding_key(signer.key(), algorithm.jose()).ok()?;
    Kid::parse(&jwk.thumbprint(ThumbprintHash::SHA256).ok()?)
}

pub(super) fn key_pair(
    algorithm: Algorithm,
    kid: &Kid,
    pem: &str,
) -> Result<(SigningMaterial, VerifyingMaterial, Option<Jwk>), String> {
    let unfit = || match algorithm {
        Algorithm::Rs256 | Algorithm::Ps256 => {
            "is not an RSA private key of 2048 to 8192 bits as PKCS#8 PEM".to_owned()
        }
        Algorithm::Es256 => "is not a P-256 private key as PKCS#8 PEM".to_owned(),
        Algorithm::EdDsa | Algorithm::Hs256 => "is not an Ed25519 private key as PKCS#8 PEM".to_owned(),
    };
    let signer = SigningMaterial::new(encoding_key(algorithm, pem).ok_or_else(unfit)?);
    let mut jwk = Jwk::from_encoding_key(signer.key(), algorithm.jose()).map_err(|_| unfit())?;
    if let AlgorithmParameters::RSA(parameters) = &jwk.algorithm {
        let bits = rsa_bits(&parameters.n);
        if bits < MIN_RSA_BITS {
            return Err(format!("is an RSA key of {bits} bits, weaker than {MIN_RSA_BITS}"));
        }
    }
    let verifier = VerifyingMaterial::new(algorithm.jose(), DecodingKey::from_jwk(&jwk).map_err(|_| unfit())?);
    // A key that cannot verify what it signs would lock every user out at its first renewal.
    if !signer.is_sound_rsa() && !verifies(&verifier, &signer, algorithm) {
        return Err(unfit());
    }
    jwk.common.key_id = Some(kid.as_str().to_owned());
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    Ok((signer, verifier, Some(jwk)))
}

fn encoding_key(algorithm: Algorithm, pem: &str) -> Option<EncodingKey> {
    if !pem.trim_start().starts_with("-----BEGIN PRIVATE KEY-----") {
        return None;
    }
    match algorithm {
        Algorithm::Rs256 | Algorithm::Ps256 => EncodingKey::from_rsa_pem(pem.as_bytes()).ok(),
        Algorithm::Es256 => EncodingKey::from_ec_pem(pem.as_bytes()).ok(),
        Algorithm::EdDsa => EncodingKey::from_ed_pem(pem.as_bytes()).ok(),
        Algorithm::Hs256 => None,
    }
}

/// Whether one key verifies what the other signs.
fn verifies(verifier: &VerifyingMaterial, signer: &SigningMaterial, algorithm: Algorithm) -> bool {
    let probe = jsonwebtoken::crypto::sign(b"probe", signer.key(), algorithm.jose());
    probe.is_ok_and(|probe| {
        jsonwebtoken::crypto::verify(&probe, b"probe", verifier.key(), algorithm.jose()).unwrap_or(false)
    })
}
