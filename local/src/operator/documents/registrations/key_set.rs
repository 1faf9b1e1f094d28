//! Key sets as other systems export them.

use std::path::Path;

use latchkey_token::{
    json::Value,
    keys::{Algorithm, KeySet},
};

use crate::{console::Failure, operator::documents::place::read_json};

/// The set of a file, made ready for a registration; what is left out of it, or assumed, is said. A faulty one stays as it is:
/// the parser judges it, with everything else.
pub(super) fn read_key_set(path: &Path, rsa: Algorithm) -> Result<Value, Failure> {
    let exported = read_json(path)?;
    let Ok(KeySet { jwks, notes }) = KeySet::of_export(&exported, rsa) else { return Ok(exported) };
    for note in notes {
        eprintln!("warning: {}: {note}", path.display());
    }
    Ok(jwks)
}

/// What an RSA key that does not say may be for.
pub(super) fn rsa_algorithm(name: &str) -> Result<Algorithm, String> {
    match Algorithm::parse(name) {
        Some(algorithm @ (Algorithm::Rs256 | Algorithm::Ps256)) => Ok(algorithm),
        _ => Err("must be RS256 or PS256".to_owned()),
    }
}
