//! Fixtures of this crate's own unit tests. Every key is made at run time.

use std::sync::OnceLock;

use aws_lc_rs::{
    encoding::AsDer,
    rsa,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};

use crate::{
    keys::{KeyRing, SigningKey},
    registrations::Epochs,
    session::{Authentication, Predecessor, Presented, Renewal, RenewalRules, Session, SignIn, Successor},
    tokens::{CodeBinding, RefreshSecret, SealedSuccessor, SecretHash},
    values::{ClientId, CustomClaims, Generation, IssuerId, Owner, Scope, SessionKey, Sid, Subject, Timestamp, sha256},
};

pub const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der))
}

pub fn es256_pem() -> String {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    pem(key.to_pkcs8v1().unwrap().as_ref())
}

/// One P-256 key for the whole run.
pub fn one_es256_pem() -> &'static str {
    static PEM: OnceLock<String> = OnceLock::new();
    PEM.get_or_init(es256_pem)
}

pub fn rsa_pem(bits: usize) -> String {
    if bits == 2048 {
        let key = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
        return pem(AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&key).unwrap().as_ref());
    }
    assert_eq!(bits, 1024);
    pem(&STANDARD.decode(WEAK_RSA_1024_TEST_KEY).unwrap())
}

/// Test key, worthless: an RSA key of 1024 bits made for nothing but being refused.
const WEAK_RSA_1024_TEST_KEY: &str = "MIICXAIBAAKBgQDVkeFdSDO7pIbE6Okf7b8ORNtjHKuMbHaJBkZzlzlX/zktuawOk2lr8q+lwPlL4g2ZbPczScV2yDphC8py1TOeG8+92CL+1K71I9S8MTaLd4LosgIf+EH9ae6yq/TeuJ25SpejM7jCukEJie3oUMYphBpoj+O/uWg0H0SLzIg4FwIDAQABAoGBAKXquSxhBV/Hh7O+Ri45423QbKfpBBUJxmTZbS4r067bZq5xSovgVcw5M+APtR0QtwP0tW8w5qlLEJ+IK3Ve0MOe+xnY2uUS/03mQ18PfEgYq1TSYVwW8XW3tSWQhfhskNGJ2hXWjAhz4+Pa9/DWVS+mRd0UOvTncyD5jUpzavQBAkEA7SGZ3fJ/e0V3aa1dg44I4k+Tal1nvsmSJUcydHyk9RZuQYXvjrD541US7a0noTum8g/sDrTd1qzaWj2x2fSHAQJBAOaQVHLCXNO0CwdUGmSDUHz89kKx5A7N5zmJsrC1jbCd28+PTg3TkV69GlNYwftItmw+BHavLvGvaW8I+7ZvFxcCQBfc0MIP/BoolGqzAn0Rlv1HKruCaMU/PZC4yHAGdwce2buIQeInFw50ajI2wY0tFpC3X3bfZo+K13JLURFw1QECQE9nIU4sVZ+q/6lUc4puFsgUrhKmBO58Rsdv/pQQ0m0i0FKY/b6RQB0qbuiJRrTtg7WfXhYpmrctO9g7dcSMWZ0CQB9UA9aWTX5cd6lzuCBGfAUVXi69FK4MfviciEaJaNWrkyRQ/Vs2tbt1VY3/ODx8AksYinB88ZXwWxKUipGLg64=";

/// A ring of nothing but tag key 1: thirty-two bytes of 9.
pub fn tag_ring() -> KeyRing {
    KeyRing::parse(r#"{"signing":[],"tagging":[{"kid":1,"secret":"CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk"}]}"#)
        .unwrap()
}

fn comma(more: &str) -> String {
    if more.is_empty() { String::new() } else { format!(",{more}") }
}

pub fn pem_entry(kid: &str, alg: &str, pem: &str, more: &str) -> String {
    let pem = pem.replace('\n', "\\n");
    format!(r#"{{"kid":"{kid}","alg":"{alg}","private_key":"{pem}"{}}}"#, comma(more))
}

pub fn hs256_entry(kid: &str, secret: &str) -> String {
    format!(r#"{{"kid":"{kid}","alg":"HS256","secret":"{secret}"}}"#)
}

pub fn sha256_hex(text: &str) -> String {
    sha256(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn signing_input(header: &str, payload: &str) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
}

/// Signs whatever header and payload with `key`, honest or not.
pub fn sign_raw(key: &SigningKey, header: &str, payload: &str) -> String {
    let input = signing_input(header, payload);
    let private_key = key.private_key().unwrap();
    let signature = jsonwebtoken::crypto::sign(input.as_bytes(), private_key, key.algorithm().jose()).unwrap();
    format!("{input}.{signature}")
}

pub fn sign_hs256(secret: &str, header: &str, payload: &str) -> String {
    let input = signing_input(header, payload);
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    let signature = jsonwebtoken::crypto::sign(input.as_bytes(), &key, jsonwebtoken::Algorithm::HS256).unwrap();
    format!("{input}.{signature}")
}

/// The secret of a generation in [`session`].
fn secret(generation: u32) -> RefreshSecret {
    let mut bytes = [7; 32];
    bytes[..4].copy_from_slice(&generation.to_be_bytes());
    RefreshSecret::from_bytes(bytes)
}

pub fn hash(generation: u32) -> SecretHash {
    secret(generation).hash()
}

/// A live session that has rotated `generation` times, the last time long ago.
pub fn session(generation: u32) -> Session {
    let client_id = ClientId::parse("librechat").unwrap();
    let subject = Subject::parse("alice").unwrap();
    let absolute_expires_at = NOW.plus(2_592_000);
    let key = SessionKey { owner: Owner::of(&client_id, &subject), sid: Sid::new(absolute_expires_at, 86_400, [1; 7]) };
    let predecessor = generation.checked_sub(1).map(|previous| Predecessor {
        secret_hash: hash(previous),
        sealed_successor: SealedSuccessor::seal(
            &secret(previous),
            &key,
            Generation::new(generation),
            &secret(generation),
            [0; 12],
        )
        .unwrap(),
    });
    Session {
        key,
        subject,
        client_id,
        issuer_id: IssuerId::parse("portal").unwrap(),
        scope: Scope::parse("openid email").unwrap(),
        audience: vec!["librechat".into()],
        claims: CustomClaims::default(),
        access_token_seconds: 86_400,
        generation: Generation::new(generation),
        tag_kid: 1,
        secret_hash: hash(generation),
        predecessor,
        issued_at: NOW.minus(100_000),
        rotated_at: NOW.minus(50_000),
        access_expires_at: NOW.plus(36_400),
        idle_expires_at: NOW.plus(500_000),
        absolute_expires_at,
        revocation: None,
        sign_in: None,
        authentication: Authentication::default(),
    }
}

/// What the code of [`code_session`] is bound to.
pub fn binding() -> CodeBinding {
    CodeBinding::new("https://chat.example.org/callback", None)
}

/// A session that has begun with a sign-in, and its code has not been exchanged.
pub fn code_session() -> Session {
    Session {
        sign_in: Some(SignIn { binding: binding(), nonce: Some("n".into()), resource: vec!["librechat".into()] }),
        ..session(0)
    }
}

pub fn presented(generation: u32) -> Presented {
    Presented {
        client_id: ClientId::parse("librechat").unwrap(),
        generation: Generation::new(generation),
        secret_hash: hash(generation),
        candidate: None,
        binding: None,
    }
}

/// The honest renewal of `record` at [`NOW`].
pub fn renewal(record: &Session) -> Renewal {
    let old = record.generation.number();
    let generation = Generation::new(old + 1);
    Renewal {
        key: record.key,
        presented: presented(old),
        rules: RenewalRules { retry_seconds: 60, window_seconds: 0, epochs: Epochs::NONE },
        now: NOW,
        successor: Successor {
            generation,
            secret_hash: hash(old + 1),
            tag_kid: 1,
            sealed: SealedSuccessor::seal(&secret(old), &record.key, generation, &secret(old + 1), [1; 12]).unwrap(),
        },
        access_expires_at: NOW.plus(86_400),
        idle_expires_at: NOW.plus(604_800),
    }
}
