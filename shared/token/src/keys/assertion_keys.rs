//! What others' assertions are verified with: public keys of one algorithm, or one shared secret.

use std::fmt;

use jsonwebtoken::{
    DecodingKey,
    jwk::{AlgorithmParameters, Jwk, PublicKeyUse},
};

use super::algorithm::{Algorithm, MIN_HMAC_BYTES, MIN_RSA_BITS, rsa_bits};
use crate::json::Value;

/// What a party's assertions are verified with: public keys, or one shared secret. One algorithm for all.
#[derive(Clone)]
pub struct AssertionKeys {
    algorithm: Algorithm,
    keys: Vec<(Option<String>, DecodingKey)>,
}

/// Says which algorithm, never a key: one of them may be a secret.
impl fmt::Debug for AssertionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AssertionKeys({}, {})", self.algorithm, self.keys.len())
    }
}

impl AssertionKeys {
    /// The keys of a JWK set (RFC 7517 §5): public, for signatures, each with the same `alg`, told apart by `kid` where
    /// there are several. The error says what is wrong and quotes nothing.
    pub(crate) fn of_jwks(value: Value) -> Result<Self, String> {
        let list = value.get("keys").and_then(Value::as_array).filter(|list| !list.is_empty());
        let list = list.ok_or("must be a JWK set with at least one key: {\"keys\":[…]}")?;
        let keys = list.iter().map(public_key).collect::<Result<Vec<_>, _>>()?;
        let (algorithm, _, _) = keys.first().ok_or("must hold a key")?;
        let algorithm = *algorithm;
        if keys.iter().any(|(other, _, _)| *other != algorithm) {
            return Err("all keys must have the same alg".into());
        }
        let kids: Vec<&String> = keys.iter().filter_map(|(_, kid, _)| kid.as_ref()).collect();
        let is_told_apart = kids.len() == keys.len() || keys.len() == 1;
        if !is_told_apart
            || kids.iter().enumerate().any(|(index, kid)| kids.iter().skip(index + 1).any(|other| other == kid))
        {
            return Err("several keys need a kid each, none twice".into());
        }
        Ok(Self { algorithm, keys: keys.into_iter().map(|(_, kid, key)| (kid, key)).collect() })
    }

    /// The one algorithm of all these keys.
    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key that an assertion with this `kid`, or with none, is verified with. An only key needs no name, and takes
    /// any name if it has none itself.
    pub(crate) fn named(&self, kid: Option<&str>) -> Option<&DecodingKey> {
        match self.keys.as_slice() {
            [(own, key)] if own.is_none() || kid.is_none() || own.as_deref() == kid => Some(key),
            keys => keys.iter().find(|(own, _)| kid.is_some() && own.as_deref() == kid).map(|(_, key)| key),
        }
    }

    /// HS256 with a secret that both sides know, at least 32 bytes (RFC 7518 §3.2).
    pub(crate) fn of_hs256_secret(secret: &str) -> Result<Self, String> {
        if secret.len() < MIN_HMAC_BYTES {
            return Err(format!("is shorter than the {MIN_HMAC_BYTES} bytes that HS256 needs"));
        }
        Ok(Self { algorithm: Algorithm::Hs256, keys: vec![(None, DecodingKey::from_secret(secret.as_bytes()))] })
    }
}

/// A public key for signatures, with the one algorithm that its `alg` names. The error says what is wrong and quotes nothing.
pub(super) fn public_key(value: &Value) -> Result<(Algorithm, Option<String>, DecodingKey), String> {
    // `oct` keys have `k`; private keys all have `d`.
    if value.get("d").is_some() || value.get("k").is_some() {
        return Err("holds a private or symmetric key: public keys only".into());
    }
    let jwk: Jwk = serde_json::from_value(value.clone()).map_err(|_| "holds something that is not a JWK")?;
    let algorithm = value.get("alg").and_then(Value::as_str).and_then(Algorithm::parse);
    let algorithm = algorithm
        .filter(|algorithm| !algorithm.is_symmetric())
        .ok_or("every key needs an alg: RS256, PS256, ES256 or EdDSA")?;
    let fits = match (&jwk.algorithm, algorithm) {
        (AlgorithmParameters::RSA(rsa), Algorithm::Rs256 | Algorithm::Ps256) => rsa_bits(&rsa.n) >= MIN_RSA_BITS,
        (AlgorithmParameters::EllipticCurve(ec), Algorithm::Es256) => {
            ec.curve == jsonwebtoken::jwk::EllipticCurve::P256
        }
        (AlgorithmParameters::OctetKeyPair(okp), Algorithm::EdDsa) => {
            okp.curve == jsonwebtoken::jwk::EllipticCurve::Ed25519
        }
        _ => false,
    };
    if !fits {
        return Err(format!("holds a key that is not one for its alg, or weaker than {MIN_RSA_BITS} bits of RSA"));
    }
    if jwk.common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature) {
        return Err("holds a key that is not for signatures".into());
    }
    let key = DecodingKey::from_jwk(&jwk).map_err(|_| "holds a key that cannot be read")?;
    Ok((algorithm, jwk.common.key_id, key))
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::EncodingKey;
    use serde_json::json;

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

    fn fault(keys: Value) -> String {
        AssertionKeys::of_jwks(json!({"keys": keys})).unwrap_err()
    }

    #[test]
    fn a_key_set_holds_public_signature_keys_of_one_algorithm_told_apart() {
        let rsa = jwk(Algorithm::Rs256, &EncodingKey::from_rsa_pem(rsa_pem(2048).as_bytes()).unwrap(), Some("r"));
        for good in
            [json!([es256(None)]), json!([es256(Some("a"))]), json!([es256(Some("a")), es256(Some("b"))]), json!([rsa])]
        {
            assert!(AssertionKeys::of_jwks(json!({"keys": good})).is_ok());
        }
        assert!(AssertionKeys::of_jwks(json!([])).is_err() && fault(json!([])).contains("at least one key"));
        assert!(fault(json!([es256(Some("a")), rsa])).contains("same alg"));
        assert!(fault(json!([es256(Some("a")), es256(Some("a"))])).contains("none twice"));
        assert!(fault(json!([es256(Some("a")), es256(None)])).contains("a kid each"));
        let changed = |name: &str, value: Value| {
            let mut key = es256(None);
            key[name] = value;
            fault(json!([key]))
        };
        assert!(changed("d", "AA".into()).contains("public keys only"));
        assert!(changed("use", "enc".into()).contains("not for signatures"));
        assert!(changed("alg", "RS256".into()).contains("not one for its alg"));
        assert!(changed("alg", "HS256".into()).contains("needs an alg"));
        assert!(changed("alg", Value::Null).contains("needs an alg"));
        assert!(changed("x", "%".into()).contains("cannot be read"));
        assert!(fault(json!([{"kty": "oct", "alg": "HS256", "k": "AA"}])).contains("public keys only"));
        assert!(AssertionKeys::of_hs256_secret(&SECRET[..31]).unwrap_err().contains("32 bytes"));
        assert!(AssertionKeys::of_hs256_secret(&SECRET[..32]).is_ok());
    }

    #[test]
    fn nothing_of_a_secret_is_ever_shown() {
        assert_eq!(format!("{:?}", AssertionKeys::of_hs256_secret(SECRET).unwrap()), "AssertionKeys(HS256, 1)");
    }
}
