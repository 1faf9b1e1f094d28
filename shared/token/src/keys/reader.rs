//! Reads the secret `signing-keys`: the key ring as a JSON document (docs/configuration.md, Keys).

use std::collections::BTreeSet;

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde_json::value::RawValue;

use super::{
    algorithm::{Algorithm, MIN_HMAC_BYTES},
    audit_key::AuditKey,
    of_tag_key::{RegistrationKey, ticket_secret},
    parsed::{SigningMaterial, VerifyingMaterial},
    pkcs8::key_pair,
    ring::{KeyRing, Kid, Lifetime, NOT_YET, SigningKey, TagKey},
};
use crate::{
    json::{Document, Faults, Members, Reading, Report},
    values::sha256,
};

impl KeyRing {
    /// Reads the secret `signing-keys` strictly, as those do who write it. Keys that are too weak, duplicates, unknown
    /// algorithms, keys that do not fit their algorithm and unknown members are refused, each named; no fault quotes a value.
    pub fn parse(text: &str) -> Result<Self, Faults> {
        Self::read(text)?.strictly()
    }

    /// Reads the same fail-static, as functions do: faulty keys are quarantined, unknown members ignored unless the
    /// document's list `critical` names them. Refuses only what is no JSON object.
    pub fn read(text: &str) -> Result<Reading<Self>, Faults> {
        let (mut document, mut report) = Document::parse(text)?;
        let signing = document.list("signing", &mut report);
        let tagging = document.list("tagging", &mut report);
        let mut rest = document.rest(&mut report);
        // A faulty one leaves names out of the audit trail, and must not stop anything else.
        let audit = rest.object("audit").map(|(_, audit)| AuditKey::read(&audit));
        let is_usable = rest.end();
        if matches!(audit, Some(None)) {
            report.note("audit: must be an object with a secret of 32 bytes as unpadded base64url");
        }
        let mut ring = Self { audit: audit.flatten(), ..Self::default() };
        match signing {
            Some(keys) => (ring.signing, ring.faulty_kids) = report.sorted(keys, is_usable, read_signing_key),
            None => ring.faulty_kids.push(None),
        }
        match tagging {
            Some(keys) => (ring.tagging, ring.faulty_tag_kids) = report.sorted(keys, is_usable, read_tag_key),
            None => ring.faulty_tag_kids.push(None),
        }
        ring.quarantine_duplicates(&mut report);
        Ok(Reading { value: ring, faults: report.into_faults() })
    }

    /// All keys of one number or of one secret: which of them is meant cannot be told.
    pub(super) fn quarantine_duplicates(&mut self, report: &mut Report) {
        let mut faulty = BTreeSet::new();
        for (index, key) in self.signing.iter().enumerate() {
            let earlier = self.signing.get(..index).unwrap_or_default();
            let is_faulty = self.faulty_kids.iter().flatten().any(|kid| kid == key.kid.as_str());
            if is_faulty || earlier.iter().any(|other| other.kid == key.kid) {
                report.add(format!("signing: kid {:?} stands twice", key.kid.as_str()));
                faulty.insert(key.kid.clone());
            }
            if let Some(other) = earlier.iter().find(|other| other.has_material_of(key)) {
                report.add(format!("signing: key {:?} repeats another key's material", key.kid.as_str()));
                faulty.extend([key.kid.clone(), other.kid.clone()]);
            }
        }
        self.signing.retain(|key| !faulty.contains(&key.kid));
        self.faulty_kids.extend(faulty.into_iter().map(|kid| Some(kid.as_str().to_owned())));

        let mut faulty = BTreeSet::new();
        for (index, key) in self.tagging.iter().enumerate() {
            let earlier = self.tagging.get(..index).unwrap_or_default();
            if self.faulty_tag_kids.contains(&Some(key.kid)) || earlier.iter().any(|other| other.kid == key.kid) {
                report.add(format!("tagging: kid {} stands twice", key.kid));
                faulty.insert(key.kid);
            }
            if let Some(other) = earlier.iter().find(|other| other.fingerprint == key.fingerprint) {
                report.add(format!("tagging: key {} repeats another key's secret", key.kid));
                faulty.extend([key.kid, other.kid]);
            }
        }
        self.tagging.retain(|key| !faulty.contains(&key.kid));
        self.faulty_tag_kids.extend(faulty.into_iter().map(Some));
    }
}

/// The key, if everything of it could be read, and its id in any case.
fn read_signing_key(path: String, text: &RawValue, report: &mut Report) -> (Option<SigningKey>, Option<String>) {
    let Some(mut members) = Members::of_entry(path, text, report) else { return (None, None) };
    let kid = members.required_string("kid");
    (read_key_named(kid.clone(), members), kid)
}

pub(super) fn read_lifetime(members: &mut Members<'_>) -> Lifetime {
    Lifetime {
        publish_at: members.integer("publish_at", 0..=NOT_YET).unwrap_or(0),
        sign_from: members.integer("sign_from", 0..=NOT_YET).unwrap_or(0),
        retire_at: members.integer("retire_at", 0..=NOT_YET),
    }
}

pub(super) fn read_key_named(kid: Option<String>, mut members: Members<'_>) -> Option<SigningKey> {
    let kid = kid.and_then(|kid| members.named(&kid, "kid", Kid::parse(&kid)));
    let algorithm = members.required_string("alg").and_then(|name| {
        let algorithm = Algorithm::parse(&name);
        if algorithm.is_none() {
            members.fault("alg", "is not one of RS256, PS256, ES256, EdDSA, HS256");
        }
        algorithm
    });
    let lifetime = read_lifetime(&mut members);
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

/// The key, if everything of it could be read, and its number in any case.
fn read_tag_key(path: String, text: &RawValue, report: &mut Report) -> (Option<TagKey>, Option<u8>) {
    Members::of_entry(path, text, report).map(read_tag_key_of).unwrap_or_default()
}

pub(super) fn read_tag_key_of(mut members: Members<'_>) -> (Option<TagKey>, Option<u8>) {
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
    let key = kid.zip(secret).and_then(|(kid, secret)| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let ticket_secret = ticket_secret(&secret)?;
        let registration_key = RegistrationKey::of_tag_key(&secret)?;
        let fingerprint = sha256(&secret);
        Some(TagKey { kid, use_from, retire_at, key, fingerprint, ticket_secret, registration_key })
    });
    (key, kid)
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
