//! Reads the secret `signing-keys`: the key ring as a JSON document (docs/configuration.md, Keys).

use std::collections::BTreeSet;

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, EncodingKey};

use super::{
    algorithm::{Algorithm, MIN_HMAC_BYTES},
    parsed::{SigningMaterial, VerifyingMaterial},
    pkcs8::key_pair,
    ring::{KeyRing, Kid, Lifetime, NOT_YET, SigningKey, TagKey},
};
use crate::{
    json::{Faults, Members, Report},
    values::sha256,
};

impl KeyRing {
    /// Reads the secret `signing-keys`. Keys that are too weak, duplicates, unknown algorithms, keys that do
    /// not fit their algorithm and unknown members are refused, each named; no fault quotes a value.
    pub fn parse(text: &str) -> Result<Self, Faults> {
        let mut report = Report::default();
        let mut ring = Self { signing: Vec::new(), tagging: Vec::new() };
        if let Some(mut document) = Members::of_document(text, &mut report) {
            let signing = document.list("signing");
            let tagging = document.list("tagging");
            document.end();
            ring.signing = signing
                .into_iter()
                .filter_map(|(path, value)| read_signing_key(Members::of(path, value, &mut report)?))
                .collect();
            ring.tagging = tagging
                .into_iter()
                .filter_map(|(path, value)| read_tag_key(Members::of(path, value, &mut report)?))
                .collect();
        }
        ring.report_duplicates(&mut report);
        report.finish(ring)
    }

    fn report_duplicates(&self, report: &mut Report) {
        let mut kids = BTreeSet::new();
        let mut materials = Vec::new();
        for key in &self.signing {
            if !kids.insert(&key.kid) {
                report.add(format!("signing: kid {:?} stands twice", key.kid.as_str()));
            }
            let material = key.private_key().map(EncodingKey::as_bytes);
            if materials.contains(&material) {
                report.add(format!("signing: key {:?} repeats another key's material", key.kid.as_str()));
            }
            materials.push(material);
        }
        let mut tag_kids = BTreeSet::new();
        for key in &self.tagging {
            if !tag_kids.insert(key.kid) {
                report.add(format!("tagging: kid {} stands twice", key.kid));
            }
            if self.tagging.iter().any(|other| other.kid < key.kid && other.fingerprint == key.fingerprint) {
                report.add(format!("tagging: key {} repeats another key's secret", key.kid));
            }
        }
    }
}

pub(super) fn read_signing_key(mut members: Members<'_>) -> Option<SigningKey> {
    let kid = members.required_string("kid");
    if let Some(kid) = &kid {
        members.name(kid);
    }
    let kid = kid.and_then(|kid| {
        let parsed = Kid::parse(&kid);
        if parsed.is_none() {
            members.fault("kid", "must be 1 to 255 printable ASCII characters");
        }
        parsed
    });
    let algorithm = members.required_string("alg").and_then(|name| {
        let algorithm = Algorithm::parse(&name);
        if algorithm.is_none() {
            members.fault("alg", "is not one of RS256, PS256, ES256, EdDSA, HS256");
        }
        algorithm
    });
    let lifetime = Lifetime {
        publish_at: members.integer("publish_at", 0..=NOT_YET).unwrap_or(0),
        sign_from: members.integer("sign_from", 0..=NOT_YET).unwrap_or(0),
        retire_at: members.integer("retire_at", 0..=NOT_YET),
    };
    let material = match algorithm {
        None => {
            // Which of the two is right cannot be told; neither is reported as unknown.
            let _ = (members.string("private_key"), members.string("secret"));
            None
        }
        Some(Algorithm::Hs256) => members.required_string("secret").and_then(|secret| {
            if secret.len() < MIN_HMAC_BYTES {
                members.fault("secret", format_args!("is shorter than the {MIN_HMAC_BYTES} bytes that HS256 needs"));
                return None;
            }
            Some((
                SigningMaterial::new(EncodingKey::from_secret(secret.as_bytes())),
                VerifyingMaterial::new(Algorithm::Hs256.jose(), DecodingKey::from_secret(secret.as_bytes())),
                None,
            ))
        }),
        Some(algorithm) => members.required_string("private_key").and_then(|pem| {
            let pair = key_pair(algorithm, kid.as_ref()?, &pem);
            pair.map_err(|what| members.fault("private_key", what)).ok()
        }),
    };
    members.end();
    let (signer, verifier, public) = material?;
    Some(SigningKey { kid: kid?, algorithm: algorithm?, lifetime, signer: Some(signer), verifier, public })
}

pub(super) fn read_tag_key(mut members: Members<'_>) -> Option<TagKey> {
    let kid = members.integer("kid", 0..=255).and_then(|kid| u8::try_from(kid).ok());
    match kid {
        Some(kid) => members.name(&kid.to_string()),
        None => members.fault("kid", "a whole number from 0 to 255 is needed"),
    }
    let use_from = members.integer("use_from", 0..=NOT_YET).unwrap_or(0);
    let retire_at = members.integer("retire_at", 0..=NOT_YET);
    let secret = members.required_string("secret").and_then(|secret| {
        let bytes = URL_SAFE_NO_PAD.decode(secret).ok().filter(|bytes| bytes.len() == 32);
        if bytes.is_none() {
            members.fault("secret", "must be 32 bytes as unpadded base64url");
        }
        bytes
    });
    members.end();
    let secret = secret?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    Some(TagKey { kid: kid?, use_from, retire_at, key, fingerprint: sha256(&secret) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{hs256_entry, one_es256_pem, pem_entry, rsa_pem};

    fn signing(entries: &[String]) -> Result<KeyRing, Faults> {
        KeyRing::parse(&format!(r#"{{"signing":[{}],"tagging":[]}}"#, entries.join(",")))
    }

    fn fault(entries: &[String]) -> String {
        signing(entries).unwrap_err().to_string()
    }

    #[test]
    fn null_is_what_is_missing() {
        let faults = |ring: &str| KeyRing::parse(ring).unwrap_err().to_string();
        assert_eq!(faults(r#"{"signing":null,"tagging":[]}"#), "signing: is missing");
        let nameless = hs256_entry("hs", &"x".repeat(32)).replace(r#""kid":"hs""#, r#""kid":null"#);
        assert_eq!(fault(&[nameless]), "signing[0].kid: is missing");
    }

    #[test]
    fn weak_unfit_duplicate_and_unknown_keys_are_refused_by_name() {
        assert!(
            fault(&[hs256_entry("weak", "0123456789abcdef0123456789abcde")]).contains(r#"("weak").secret: is shorter"#)
        );
        let weak = rsa_pem(1024);
        let said = fault(&[pem_entry("weak-rsa", "RS256", &weak, "")]);
        assert!(said.contains(r#"("weak-rsa").private_key: is"#) && said.contains("2048"), "{said}");
        assert!(fault(&[pem_entry("x", "RS256", one_es256_pem(), "")]).contains("is not an RSA private key"));
        assert!(fault(&[pem_entry("x", "ES256", &rsa_pem(2048), "")]).contains("is not a P-256"));
        assert!(fault(&[pem_entry("x", "EdDSA", one_es256_pem(), "")]).contains("is not an Ed25519"));
        assert!(fault(&[pem_entry("x", "none", one_es256_pem(), "")]).contains("alg: is not one of"));
        assert!(fault(&[pem_entry("x", "es256", one_es256_pem(), "")]).contains("alg: is not one of"));
        let twice =
            [pem_entry("x", "ES256", one_es256_pem(), ""), pem_entry("x", "ES256", &crate::testing::es256_pem(), "")];
        assert!(fault(&twice).contains(r#"kid "x" stands twice"#));
        let rsa = rsa_pem(2048);
        let one_key_two_algorithms = [pem_entry("r", "RS256", &rsa, ""), pem_entry("p", "PS256", &rsa, "")];
        assert!(fault(&one_key_two_algorithms).contains("repeats another key's material"));
        assert!(
            fault(&[pem_entry("x", "ES256", one_es256_pem(), r#""retires_at":5"#)])
                .contains("retires_at: is not a known member")
        );
        assert!(
            fault(&[pem_entry("x", "ES256", one_es256_pem(), r#""retire_at":"5""#)])
                .contains("retire_at: must be a whole number")
        );
    }

    #[test]
    fn every_fault_is_listed_and_none_quotes_a_value() {
        let ring = r#"{"signing":[{"kid":5,"alg":"RS256","private_key":["HIDDEN"]},{"alg":"HS256","secret":"HIDDEN"}],
            "tagging":[{"kid":1,"secret":"HIDDEN"},{"kid":256,"secret":""},"HIDDEN"],"HIDDEN-not":1}"#;
        let faults = KeyRing::parse(ring).unwrap_err();
        assert!(faults.lines().len() >= 8, "{faults}");
        assert!(!faults.to_string().replace("HIDDEN-not", "").contains("HIDDEN"), "{faults}");
    }
}
