//! What others' assertions are verified with: public keys, each of one algorithm, or one shared secret.

mod jwk;

use std::{collections::BTreeSet, fmt};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::DecodingKey;
use serde_json::json;

use self::jwk::{PublicKey, Unfit};
use super::{algorithm::Algorithm, ring::Kid};
use crate::json::Value;

/// What a party's assertions are verified with: public keys, each of one algorithm, or one shared secret.
#[derive(Clone)]
pub struct AssertionKeys(Vec<AssertionKey>);

/// A key and the one algorithm that it verifies: one of [`Algorithm`], or a longer HMAC.
#[derive(Clone)]
pub(crate) struct AssertionKey {
    pub(crate) algorithm: jsonwebtoken::Algorithm,
    kid: Option<String>,
    pub(crate) key: DecodingKey,
}

/// Says which algorithms, never a key: one of them may be a secret.
impl fmt::Debug for AssertionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithms: BTreeSet<String> = self.0.iter().map(|key| format!("{:?}", key.algorithm)).collect();
        f.debug_tuple("AssertionKeys").field(&algorithms).field(&self.0.len()).finish()
    }
}

/// Why no key fits an assertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// None has the algorithm that the assertion names.
    Algorithm,
    /// None of that algorithm has the `kid` that it names, or it names none where there are several.
    Kid,
}

/// A JWK set as another system exports it, made ready for a registration.
pub struct KeySet {
    /// The keys that are used: their `alg` said, their numbers as RFC 7518 §6 has them, nothing else beside.
    pub jwks: Value,
    /// One line for each key that was passed over (RFC 7517 §5), or whose algorithm had to be assumed. A key is named by its
    /// place and its `kid`.
    pub notes: Vec<String>,
}

impl KeySet {
    /// Reads the set. An RSA key without `alg` gets `rsa`: RS256 or PS256, for both are possible. The error has a line for
    /// each fault, and quotes nothing but well-formed kids.
    pub fn of_export(value: &Value, rsa: Algorithm) -> Result<Self, Vec<String>> {
        let (keys, mut notes) = usable_keys(value, rsa)?;
        for (place, key) in keys.iter().filter(|(_, key)| key.is_alg_assumed) {
            notes.push(format!("{place} has no alg: {} is assumed", key.algorithm));
        }
        let keys: Vec<Value> = keys.into_iter().map(|(_, key)| key.jwk).collect();
        Ok(Self { jwks: json!({"keys": keys}), notes })
    }
}

impl AssertionKeys {
    /// The keys of a JWK set (RFC 7517 §5): public, for signatures, each of the algorithm that its `alg` or its kind says, an
    /// RSA key that does not say of RS256. Keys that are for something else are passed over. Those of one algorithm are told
    /// apart by `kid`. The error has a line for each fault, and quotes nothing but well-formed kids.
    pub(crate) fn of_jwks(value: &Value) -> Result<Self, Vec<String>> {
        let (keys, _) = usable_keys(value, Algorithm::Rs256)?;
        let keep = |(_, PublicKey { algorithm, kid, verifier, .. }): (String, PublicKey)| AssertionKey {
            algorithm: algorithm.jose(),
            kid,
            key: verifier,
        };
        Ok(Self(keys.into_iter().map(keep).collect()))
    }

    /// The key that an assertion with this `alg` and this `kid`, or with none, is verified with. The only key of its algorithm
    /// needs no name, and takes any name if it has none itself.
    pub(crate) fn named(&self, alg: Option<&str>, kid: Option<&str>) -> Result<&AssertionKey, NoKey> {
        let has_alg = |key: &&AssertionKey| alg.is_some_and(|alg| is_called(key.algorithm, alg));
        let keys: Vec<&AssertionKey> = self.0.iter().filter(has_alg).collect();
        match keys.as_slice() {
            [] => Err(NoKey::Algorithm),
            [only] if only.kid.is_none() || kid.is_none() || only.kid.as_deref() == kid => Ok(*only),
            keys => keys.iter().find(|key| kid.is_some() && key.kid.as_deref() == kid).copied().ok_or(NoKey::Kid),
        }
    }

    /// An HMAC with a secret that both sides know, at least as long as its hash (RFC 7518 §3.2).
    pub(crate) fn of_secret(hash: SecretHash, secret: &[u8]) -> Result<Self, String> {
        let least = hash.bytes();
        if secret.len() < least {
            return Err(format!("is shorter than the {least} bytes that {:?} needs", hash.algorithm()));
        }
        Ok(Self(vec![AssertionKey { algorithm: hash.algorithm(), kid: None, key: DecodingKey::from_secret(secret) }]))
    }
}

/// The algorithm's name in JOSE headers, exact; `Ed25519` (RFC 9864 §2.2) is another one of EdDSA's.
fn is_called(algorithm: jsonwebtoken::Algorithm, alg: &str) -> bool {
    alg.parse().is_ok_and(|named: jsonwebtoken::Algorithm| named == algorithm)
        || alg == "Ed25519" && algorithm == jsonwebtoken::Algorithm::EdDSA
}

/// The HMACs of RFC 7518 §3.2, by their hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecretHash {
    Sha256,
    Sha384,
    Sha512,
}

impl SecretHash {
    fn bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    fn algorithm(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Sha256 => jsonwebtoken::Algorithm::HS256,
            Self::Sha384 => jsonwebtoken::Algorithm::HS384,
            Self::Sha512 => jsonwebtoken::Algorithm::HS512,
        }
    }
}

/// Base64 of either alphabet (RFC 4648 §4, §5), padded or not, as settings have it.
pub(crate) fn secret_bytes(base64: &str) -> Option<Vec<u8>> {
    let digits = base64.trim_end_matches('=');
    let padding = base64.len() - digits.len();
    if padding > 2 || padding > 0 && !base64.len().is_multiple_of(4) {
        return None;
    }
    let engine = if digits.contains(['-', '_']) { URL_SAFE_NO_PAD } else { STANDARD_NO_PAD };
    engine.decode(digits).ok()
}

type Placed = Vec<(String, PublicKey)>;

/// The keys of a set that are for signatures, each with its place, and what was passed over.
fn usable_keys(value: &Value, rsa: Algorithm) -> Result<(Placed, Vec<String>), Vec<String>> {
    let list = value.get("keys").and_then(Value::as_array).filter(|list| !list.is_empty());
    let list = list.ok_or_else(|| vec!["must be a JWK set with at least one key: {\"keys\":[…]}".to_owned()])?;
    let (mut keys, mut passed_over, mut faults): (Placed, _, _) = (Vec::new(), Vec::new(), Vec::new());
    for (index, value) in list.iter().enumerate() {
        let place = place(index, value);
        match PublicKey::read(value, rsa) {
            Ok(key) => {
                let is_same = |other: &PublicKey| other.algorithm == key.algorithm && other.kid == key.kid;
                if key.kid.is_some() && keys.iter().any(|(_, other)| is_same(other)) {
                    faults.push(format!("{place} has the kid of another key of its alg"));
                }
                keys.push((place, key));
            }
            Err(Unfit::NotForUs(why)) => passed_over.push(format!("{place} is passed over: {why}")),
            Err(Unfit::Faulty(what)) => faults.push(format!("{place} {what}")),
        }
    }
    let are_told_apart = |(place, key): &(String, PublicKey)| {
        let has_rival = keys.iter().any(|(other, rival)| other != place && rival.algorithm == key.algorithm);
        key.kid.is_some() || !has_rival
    };
    for (place, _) in keys.iter().filter(|key| !are_told_apart(key)) {
        faults.push(format!("{place} has no kid: several keys of one alg need a kid each"));
    }
    if keys.is_empty() && faults.is_empty() {
        faults.push(format!("has no key that can be used: {}", passed_over.join("; ")));
    }
    if faults.is_empty() { Ok((keys, passed_over)) } else { Err(faults) }
}

/// Where a key stands, with its `kid` if that may be quoted.
fn place(index: usize, value: &Value) -> String {
    let kid = value.get("kid").and_then(Value::as_str).and_then(Kid::parse);
    kid.map_or_else(|| format!("keys[{index}]"), |kid| format!("keys[{index}] ({:?})", kid.as_str()))
}

/// A public key of our own documents, with the one algorithm that its `alg` names. The error says what is wrong and quotes
/// nothing.
pub(super) fn public_key(value: &Value) -> Result<(Algorithm, DecodingKey), String> {
    if value.get("alg").and_then(Value::as_str).and_then(Algorithm::parse).is_none() {
        return Err("needs an alg: RS256, PS256, ES256 or EdDSA".into());
    }
    match PublicKey::read(value, Algorithm::Rs256) {
        Ok(key) => Ok((key.algorithm, key.verifier)),
        Err(Unfit::NotForUs(what)) => Err(what.into()),
        Err(Unfit::Faulty(what)) => Err(what),
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::Ed25519KeyPair;
    use jsonwebtoken::{EncodingKey, jwk::Jwk};

    use std::sync::OnceLock;

    use super::*;
    use crate::testing::{es256_pem, rsa_pem};

    const SECRET: &str = "an example secret of 32+ bytes, not real";

    fn jwk(algorithm: Algorithm, key: &EncodingKey, kid: Option<&str>) -> Value {
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(key, algorithm.jose()).unwrap()).unwrap();
        jwk["alg"] = algorithm.name().into();
        if let Some(kid) = kid {
            jwk["kid"] = kid.into();
        }
        jwk
    }

    fn es256(kid: Option<&str>) -> Value {
        jwk(Algorithm::Es256, &EncodingKey::from_ec_pem(es256_pem().as_bytes()).unwrap(), kid)
    }

    fn rs256(kid: Option<&str>) -> Value {
        jwk(Algorithm::Rs256, &EncodingKey::from_rsa_pem(one_rsa_pem().as_bytes()).unwrap(), kid)
    }

    fn one_rsa_pem() -> &'static str {
        static PEM: OnceLock<String> = OnceLock::new();
        PEM.get_or_init(|| rsa_pem(2048))
    }

    fn ed25519(kid: Option<&str>) -> Value {
        let pair = Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap();
        jwk(Algorithm::EdDsa, &EncodingKey::from_ed_der(pair.as_ref()), kid)
    }

    fn changed(mut key: Value, name: &str, value: Value) -> Value {
        key[name] = value;
        key
    }

    fn read(keys: Value) -> Result<AssertionKeys, Vec<String>> {
        AssertionKeys::of_jwks(&json!({"keys": keys}))
    }

    fn fault(keys: Value) -> String {
        read(keys).unwrap_err().join("; ")
    }

    /// The octets of a member, changed.
    fn octets(mut key: Value, name: &str, change: impl Fn(&mut Vec<u8>)) -> Value {
        let mut octets = URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
        change(&mut octets);
        key[name] = URL_SAFE_NO_PAD.encode(octets).into();
        key
    }

    #[test]
    fn a_key_set_holds_public_signature_keys_and_those_of_one_algorithm_have_names() {
        let rsa = rs256(Some("r"));
        for good in [
            json!([es256(None)]),
            json!([es256(Some("a"))]),
            json!([es256(Some("a")), es256(Some("b"))]),
            json!([rsa]),
            json!([es256(Some("a")), rsa]),
            json!([es256(None), rs256(None), ed25519(None)]),
        ] {
            assert!(read(good).is_ok());
        }
        assert!(AssertionKeys::of_jwks(&json!([])).is_err() && fault(json!([])).contains("at least one key"));
        assert_eq!(
            fault(json!([es256(Some("a")), es256(Some("a"))])),
            r#"keys[1] ("a") has the kid of another key of its alg"#
        );
        assert_eq!(
            fault(json!([es256(Some("a")), es256(None)])),
            "keys[1] has no kid: several keys of one alg need a kid each"
        );
        let one = |name: &str, value: Value| fault(json!([changed(es256(Some("a")), name, value)]));
        assert!(one("d", "AA".into()).contains("public keys only"));
        assert!(one("use", "enc".into()).contains("not for signatures"));
        assert!(one("alg", "RS256".into()).contains("not one for its alg"));
        assert!(one("alg", "HS256".into()).contains("its alg is not"));
        assert!(one("x", "%".into()).contains("not unpadded base64url"));
        assert!(one("kty", 5.into()).contains("kty that is not a string"));
        assert!(
            one("x", "HIDDEN".into()).starts_with(r#"keys[0] ("a") "#) && !one("x", "HIDDEN".into()).contains("HIDDEN")
        );
        assert!(fault(json!([{"kty": "oct", "alg": "HS256", "k": "AA"}])).contains("public keys only"));
    }

    #[test]
    fn an_algorithm_that_is_not_said_is_the_only_one_that_is_possible() {
        let unsaid = |key: Value| changed(key, "alg", Value::Null);
        let keys = read(json!([unsaid(es256(None)), unsaid(rs256(None)), unsaid(ed25519(None))])).unwrap();
        for alg in ["ES256", "RS256", "EdDSA", "Ed25519"] {
            assert!(keys.named(Some(alg), None).is_ok(), "{alg}");
        }
        assert_eq!(keys.named(Some("PS256"), None).err(), Some(NoKey::Algorithm));
        let said = changed(ed25519(None), "alg", "Ed25519".into());
        assert!(read(json!([said])).unwrap().named(Some("EdDSA"), None).is_ok());
        let on_a_curve = changed(es256(None), "alg", "Ed25519".into());
        assert!(fault(json!([on_a_curve])).contains("not one for its alg"));
    }

    #[test]
    fn keys_that_are_for_something_else_are_passed_over_and_named() {
        let signing = es256(Some("sig"));
        let curve = |crv: &str| json!({"kty": "EC", "crv": crv, "x": "AA", "y": "AA", "kid": "other"});
        for other in [
            changed(rs256(Some("other")), "use", "enc".into()),
            changed(rs256(Some("other")), "alg", "RSA-OAEP".into()),
            changed(es256(Some("other")), "key_ops", json!(["deriveKey"])),
            json!({"kty": "AKP", "alg": "ML-DSA-44", "kid": "other", "pub": "AA"}),
            json!({"kty": "OKP", "crv": "X25519", "x": "AA", "kid": "other"}),
            curve("P-384"),
            curve("secp256k1"),
        ] {
            let set = json!({"keys": [other, signing]});
            let KeySet { jwks, notes } = KeySet::of_export(&set, Algorithm::Rs256).unwrap();
            assert_eq!((jwks["keys"].as_array().unwrap().len(), &jwks["keys"][0]["kid"]), (1, &json!("sig")));
            assert!(notes.len() == 1 && notes[0].starts_with(r#"keys[0] ("other") is passed over"#), "{notes:?}");
            let keys = AssertionKeys::of_jwks(&set).unwrap();
            assert!(keys.named(Some("ES256"), None).is_ok() && keys.0.len() == 1, "an only key needs no name");
            assert!(fault(json!([other])).starts_with("has no key that can be used: keys[0]"));
        }
    }

    #[test]
    fn an_exported_set_is_kept_as_it_is_used() {
        let bare = |key: Value| changed(changed(key, "x5c", json!(["AA"])), "alg", Value::Null);
        let set = json!({"keys": [bare(rs256(Some("r"))), bare(es256(Some("e")))]});
        for (rsa, name) in [(Algorithm::Rs256, "RS256"), (Algorithm::Ps256, "PS256")] {
            let KeySet { jwks, notes } = KeySet::of_export(&set, rsa).unwrap();
            assert_eq!((&jwks["keys"][0]["alg"], &jwks["keys"][1]["alg"]), (&json!(name), &json!("ES256")));
            assert!(!jwks.to_string().contains("x5c"));
            assert_eq!(notes, [format!(r#"keys[0] ("r") has no alg: {name} is assumed"#)]);
            assert!(
                KeySet::of_export(&jwks, Algorithm::Rs256).unwrap().notes.is_empty(),
                "read again, nothing is to be said"
            );
            assert!(AssertionKeys::of_jwks(&jwks).unwrap().named(Some(name), None).is_ok());
        }
    }

    #[test]
    fn numbers_with_a_zero_too_many_or_too_few_are_the_same_numbers() {
        let rsa = rs256(Some("r"));
        let longer = octets(octets(rsa.clone(), "n", |n| n.insert(0, 0)), "e", |e| e.insert(0, 0));
        let kept =
            |key: Value| KeySet::of_export(&json!({"keys": [key]}), Algorithm::Rs256).unwrap().jwks["keys"][0].clone();
        assert_eq!(kept(longer), kept(rsa));
        // One point in 128 has a coordinate that begins with a zero.
        let (name, key) = std::iter::repeat_with(|| es256(None))
            .find_map(|key| {
                let has_zero = |name: &&str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap()[0] == 0;
                Some((["x", "y"].into_iter().find(has_zero)?, key))
            })
            .unwrap();
        assert_eq!(kept(octets(key.clone(), name, |number| drop(number.drain(..1)))), kept(key.clone()));
        assert_eq!(kept(octets(key.clone(), name, |number| number.insert(0, 0))), kept(key));
    }

    #[test]
    fn a_key_that_would_verify_nothing_or_too_much_is_refused_by_name() {
        let rsa = || rs256(Some("k"));
        let exponent = |e: &[u8]| changed(rsa(), "e", URL_SAFE_NO_PAD.encode(e).into());
        for (key, expected) in [
            (
                octets(rsa(), "n", |n| {
                    n.truncate(128);
                    n[127] |= 1;
                }),
                "is an RSA key of 1024 bits, weaker than 2048",
            ),
            (exponent(&[1]), "e that is even, less than 65537"),
            (exponent(&[3]), "e that is even, less than 65537"),
            (exponent(&[1, 0, 2]), "e that is even, less than 65537"),
            (exponent(&[]), "e that is even, less than 65537"),
            (exponent(&[255; 40]), "more than 33 bits"),
            (octets(rsa(), "n", |n| n.extend([1; 1024])), "10240 bits, more than the 8192"),
            (octets(rsa(), "n", |n| *n.last_mut().unwrap() ^= 1), "n that is even"),
            (octets(es256(Some("k")), "y", |y| y[31] ^= 1), "is not a point on the curve P-256"),
            (octets(es256(Some("k")), "x", |x| x.truncate(20)), "is not a point on the curve P-256"),
            (octets(es256(Some("k")), "x", |x| x.insert(0, 1)), "x of more than 32 octets"),
            (octets(ed25519(Some("k")), "x", |x| x.truncate(31)), "x of 31 octets, not 32"),
            (octets(ed25519(Some("k")), "x", |x| x.push(0)), "x of 33 octets, not 32"),
        ] {
            let said = fault(json!([key]));
            assert!(said.starts_with(r#"keys[0] ("k") "#) && said.contains(expected), "{expected}: {said}");
        }
        let all = fault(json!([exponent(&[1]), octets(ed25519(Some("e")), "x", |x| x.truncate(31))]));
        assert!(all.contains(r#"keys[0] ("k")"#) && all.contains(r#"keys[1] ("e")"#), "every fault at once: {all}");
    }

    #[test]
    fn a_secret_is_at_least_as_long_as_its_hash() {
        for (hash, bytes) in [(SecretHash::Sha256, 32), (SecretHash::Sha384, 48), (SecretHash::Sha512, 64)] {
            assert!(AssertionKeys::of_secret(hash, &vec![7; bytes]).is_ok());
            let said = AssertionKeys::of_secret(hash, &vec![7; bytes - 1]).unwrap_err();
            assert!(said.contains(&format!("shorter than the {bytes} bytes")), "{said}");
        }
    }

    #[test]
    fn bytes_are_read_from_base64_of_either_alphabet() {
        let bytes: Vec<u8> = (0..=255).rev().collect();
        for text in [
            URL_SAFE_NO_PAD.encode(&bytes),
            STANDARD_NO_PAD.encode(&bytes),
            base64::engine::general_purpose::STANDARD.encode(&bytes),
            base64::engine::general_purpose::URL_SAFE.encode(&bytes),
        ] {
            assert_eq!(secret_bytes(&text).as_ref(), Some(&bytes), "{text}");
        }
        for text in ["A", "AA=", "AAAA=", "AA===", "A A=", "AB==", "+-AA"] {
            assert_eq!(secret_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn nothing_of_a_secret_is_ever_shown() {
        let keys = AssertionKeys::of_secret(SecretHash::Sha256, SECRET.as_bytes()).unwrap();
        assert_eq!(format!("{keys:?}"), r#"AssertionKeys({"HS256"}, 1)"#);
    }
}
