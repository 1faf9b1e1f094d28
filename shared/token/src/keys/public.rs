//! The public halves of the signing keys, as verifiers fetch them.

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet};

use crate::json;

/// A JWK set (RFC 7517 §5) of public signing keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKeys(pub(super) JwkSet);

impl PublicKeys {
    /// Reads a JWKS; `None` unless it is one and holds public keys only.
    pub fn parse(text: &str) -> Option<Self> {
        let value = json::parse_object(text.as_bytes()).ok()?;
        let set: JwkSet = serde_json::from_value(value.into()).ok()?;
        let is_public =
            |jwk: &Jwk| !matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_) | AlgorithmParameters::Other(_));
        set.keys.iter().all(is_public).then_some(Self(set))
    }

    /// The set as JSON text, as verifiers fetch it.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }

    /// The `kid` of every key that has one, in the order of the set.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.0.keys.iter().filter_map(|jwk| jwk.common.key_id.as_deref())
    }

    /// The algorithms of the keys, each once.
    pub fn algorithms(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for algorithm in self.0.keys.iter().filter_map(|jwk| jwk.common.key_algorithm) {
            let name = algorithm.to_string();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}
