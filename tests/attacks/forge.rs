//! Tokens that nobody should believe, made with everything an attacker may have, and with keys that no attacker has.

use std::sync::OnceLock;

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rsa,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey, jwk::Jwk};
use latchkey_token_lambda::system::generate_private_key;
use serde_json::{Map, Value, json};
use test_support::{keys, part};

use crate::ledger::Kind;

/// A signing key, ours or an attacker's.
#[derive(Clone)]
pub struct Key {
    pub kid: String,
    pub algorithm: Algorithm,
    pub typ: &'static str,
    signer: EncodingKey,
    /// PKCS#8, of asymmetric keys.
    der: Vec<u8>,
}

fn der(pem: &str) -> Vec<u8> {
    STANDARD.decode(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap()
}

/// A key from its PKCS#8 PEM.
pub fn asymmetric(algorithm: Algorithm, kid: &str, pem: &str) -> Key {
    let signer = match algorithm {
        Algorithm::ES256 => EncodingKey::from_ec_pem(pem.as_bytes()),
        Algorithm::EdDSA => EncodingKey::from_ed_pem(pem.as_bytes()),
        _ => EncodingKey::from_rsa_pem(pem.as_bytes()),
    };
    Key { kid: kid.to_owned(), algorithm, typ: "at+jwt", signer: signer.unwrap(), der: der(pem) }
}

/// An HS256 key of these bytes.
pub fn hmac_key(kid: &str, typ: &'static str, secret: &[u8]) -> Key {
    let signer = EncodingKey::from_secret(secret);
    Key { kid: kid.to_owned(), algorithm: Algorithm::HS256, typ, signer, der: Vec::new() }
}

/// The ring's keys: one for each algorithm.
pub fn ring() -> Vec<Key> {
    let pairs = [
        (Algorithm::RS256, keys::rs256()),
        (Algorithm::PS256, keys::ps256()),
        (Algorithm::ES256, keys::es256()),
        (Algorithm::EdDSA, keys::eddsa()),
    ];
    let mut ring: Vec<Key> =
        pairs.map(|(algorithm, pair)| asymmetric(algorithm, &pair.kid, &pair.pem)).into_iter().collect();
    ring.push(hmac_key("librechat-hs", "JWT", keys::JWT_SECRET.as_bytes()));
    ring
}

/// The key that signs for a client of the tests.
pub fn key_of(client: &str) -> Key {
    let algorithm = match client {
        "librechat" => Algorithm::RS256,
        "ps" => Algorithm::PS256,
        "ed" => Algorithm::EdDSA,
        "hs" => Algorithm::HS256,
        _ => Algorithm::ES256,
    };
    ring().into_iter().find(|key| key.algorithm == algorithm).unwrap()
}

/// The attacker's own RS256 and ES256 keys, under a `kid` of the attacker's choice.
pub fn attackers(algorithm: Algorithm, kid: &str) -> Key {
    static PEMS: OnceLock<[String; 2]> = OnceLock::new();
    let pems = PEMS.get_or_init(|| {
        use latchkey_token::keys::Algorithm::{Es256, Rs256};
        [Rs256, Es256].map(|algorithm| generate_private_key(algorithm).unwrap())
    });
    asymmetric(algorithm, kid, if algorithm == Algorithm::ES256 { &pems[1] } else { &pems[0] })
}

/// What the attacker would like to be believed.
pub fn attackers_jwks() -> String {
    let keys = [Algorithm::RS256, Algorithm::ES256].map(|algorithm| attackers(algorithm, "attacker").jwk());
    json!({"keys": keys}).to_string()
}

impl Key {
    /// The public half as a JWK with the key's `kid`.
    pub fn jwk(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.signer, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.kid.clone());
        serde_json::to_value(jwk).unwrap()
    }

    /// Exactly these texts, signed.
    pub fn sign(&self, header: &str, claims: &str) -> String {
        self.sign_input(&input(header.as_bytes(), claims.as_bytes()), self.algorithm)
    }

    /// Any signing input, with any algorithm of the key's family.
    pub fn sign_input(&self, input: &str, algorithm: Algorithm) -> String {
        let signature = jsonwebtoken::crypto::sign(input.as_bytes(), &self.signer, algorithm).unwrap();
        format!("{input}.{signature}")
    }

    /// As the key ring holds it.
    pub fn pem(&self) -> String {
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(&self.der))
    }

    pub fn header(&self) -> Value {
        json!({"alg": format!("{:?}", self.algorithm), "kid": self.kid, "typ": self.typ})
    }

    /// An asymmetric key's public half, in every form in which somebody may have put it into a file: each is a tempting
    /// HMAC secret.
    pub fn public_encodings(&self) -> Vec<(String, Vec<u8>)> {
        let (raw, spki) = self.public_der();
        let jwk = self.jwk();
        let pem = |label: &str, der: &[u8], width: usize, end: &str| {
            let body = STANDARD.encode(der);
            let lines: Vec<&str> =
                (0..body.len()).step_by(width).map(|start| &body[start..(start + width).min(body.len())]).collect();
            format!("-----BEGIN {label}-----{end}{}{end}-----END {label}-----", lines.join(end))
        };
        let mut encodings: Vec<(String, Vec<u8>)> = Vec::new();
        let mut add = |name: &str, bytes: &[u8]| encodings.push((name.to_owned(), bytes.to_vec()));
        for (form, der, label) in [("spki", &spki, "PUBLIC KEY"), ("raw", &raw, "RSA PUBLIC KEY")] {
            add(&format!("{form} DER"), der);
            add(&format!("{form} base64"), STANDARD.encode(der).as_bytes());
            add(&format!("{form} base64url"), URL_SAFE_NO_PAD.encode(der).as_bytes());
            let hex: String = der.iter().map(|byte| format!("{byte:02x}")).collect();
            add(&format!("{form} hex"), hex.as_bytes());
            add(&format!("{form} HEX"), hex.to_uppercase().as_bytes());
            for (name, width, end) in
                [("64 LF", 64, "\n"), ("64 CRLF", 64, "\r\n"), ("one line", 100_000, "\n"), ("escaped", 64, "\\n")]
            {
                let text = pem(label, der, width, end);
                add(&format!("{form} PEM {name}"), text.as_bytes());
                add(&format!("{form} PEM {name}, ended"), format!("{text}{end}").as_bytes());
                add(&format!("{form} PEM {name}, base64"), STANDARD.encode(&text).as_bytes());
            }
        }
        add("certificate label", pem("CERTIFICATE", &spki, 64, "\n").as_bytes());
        add("JWK", jwk.to_string().as_bytes());
        add("JWK, pretty", format!("{jwk:#}").as_bytes());
        add("JWKS", json!({"keys": [jwk]}).to_string().as_bytes());
        for member in ["n", "e", "x", "y", "kid"] {
            if let Some(text) = jwk[member].as_str() {
                add(&format!("JWK {member}, text"), text.as_bytes());
                if let Ok(bytes) = URL_SAFE_NO_PAD.decode(text) {
                    add(&format!("JWK {member}, bytes"), &bytes);
                    add(&format!("JWK {member}, zero and bytes"), &[&[0], &bytes[..]].concat());
                }
            }
        }
        encodings
    }

    /// PKCS#1 or the bare point, and SubjectPublicKeyInfo.
    fn public_der(&self) -> (Vec<u8>, Vec<u8>) {
        let of = |raw: &[u8], spki: PublicKeyX509Der<'_>| (raw.to_vec(), spki.as_ref().to_vec());
        match self.algorithm {
            Algorithm::ES256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.der).unwrap();
                of(pair.public_key().as_ref(), pair.public_key().as_der().unwrap())
            }
            Algorithm::EdDSA => {
                let pair = Ed25519KeyPair::from_pkcs8(&self.der).unwrap();
                of(pair.public_key().as_ref(), pair.public_key().as_der().unwrap())
            }
            _ => {
                let pair = rsa::KeyPair::from_pkcs8(&self.der).unwrap();
                of(pair.public_key().as_ref(), pair.public_key().as_der().unwrap())
            }
        }
    }
}

pub fn input(header: &[u8], claims: &[u8]) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
}

/// Compact form with whatever signature.
pub fn compact(header: &Value, claims: &Value, signature: &[u8]) -> String {
    let input = input(header.to_string().as_bytes(), claims.to_string().as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A genuine token taken apart, and the key that signed it: to change one thing and sign again.
pub struct Forge {
    pub header: Value,
    pub claims: Value,
    pub key: Key,
}

impl Forge {
    pub fn of(kind: Kind, client: &str, token: &str) -> Self {
        // An ID token is for whoever has the published keys.
        let key = if kind == Kind::Hints && client == "hs" { "librechat" } else { client };
        Self { header: part(token, 0), claims: part(token, 1), key: key_of(key) }
    }

    /// The header of a token like this one that `key` has signed.
    pub fn header_for(&self, key: &Key) -> Value {
        let typ = if self.header["typ"] == "JWT" { "JWT" } else { key.typ };
        changed(&key.header(), json!({"typ": typ}))
    }

    pub fn with_header(&self, changes: Value) -> String {
        self.key.sign(&changed(&self.header, changes).to_string(), &self.claims.to_string())
    }

    pub fn with_claims(&self, changes: Value) -> String {
        self.key.sign(&self.header.to_string(), &changed(&self.claims, changes).to_string())
    }

    pub fn without_header(&self, name: &str) -> String {
        self.key.sign(&without(&self.header, name).to_string(), &self.claims.to_string())
    }

    pub fn without_claim(&self, name: &str) -> String {
        self.key.sign(&self.header.to_string(), &without(&self.claims, name).to_string())
    }

    /// The genuine claims, in a header and signed by a key of somebody's choice.
    pub fn signed_by(&self, key: &Key, header: &Value) -> String {
        key.sign(&header.to_string(), &self.claims.to_string())
    }

    /// Exactly this text for the claims.
    pub fn with_payload(&self, payload: &[u8]) -> String {
        self.key.sign_input(&input(self.header.to_string().as_bytes(), payload), self.key.algorithm)
    }

    /// Exactly this text for the header.
    pub fn with_header_text(&self, header: &[u8]) -> String {
        self.key.sign_input(&input(header, self.claims.to_string().as_bytes()), self.key.algorithm)
    }
}

fn members(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// With members replaced or added.
pub fn changed(value: &Value, changes: Value) -> Value {
    let mut all = members(value);
    all.extend(members(&changes));
    all.into()
}

pub fn without(value: &Value, name: &str) -> Value {
    let mut all = members(value);
    all.remove(name).unwrap();
    all.into()
}

/// `name` with `value` as JSON text that no [`Value`] can hold: it is put in literally.
pub fn with_literal(value: &Value, name: &str, literal: &str) -> String {
    let marker = "literally-this";
    changed(value, json!({name: marker})).to_string().replace(&format!("\"{marker}\""), literal)
}
