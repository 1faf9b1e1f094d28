//! Secrets and documents.

use base64::{Engine, engine::general_purpose::STANDARD};
use latchkey_token::{
    keys::{Algorithm, KeySet},
    registrations::Registrations,
    values::{SharedSecret, text_of},
};
use serde_json::Value;

/// LibreChat's `JWT_SECRET` or a portal's secret, as it stands in a file: base64 of the bytes, or text.
pub fn shared_secret(input: &Value) -> Result<String, String> {
    SharedSecret::read(input.as_str().unwrap()).map(SharedSecret::into_text).map_err(|fault| fault.to_string())
}

/// `clients.json`: base64 of the file's bytes. Taken as the ids of its clients.
pub fn registrations(input: &Value) -> Result<String, String> {
    let text = text_of(STANDARD.decode(input.as_str().unwrap()).unwrap()).map_err(|fault| fault.to_string())?;
    let reading = Registrations::read(&text).map_err(|faults| faults.to_string())?;
    if !reading.faults.is_empty() {
        return Err(reading.faults.to_string());
    }
    Ok("a registry".into())
}

/// A JWK set for `issuer add --jwks`. Taken as the keys' algorithms and ids, and what the command says of the others.
pub fn key_set(input: &Value) -> Result<String, String> {
    let set = KeySet::of_export(input, Algorithm::Rs256).map_err(|faults| faults.join("; "))?;
    let keys = set.jwks["keys"].as_array().unwrap().iter();
    let keys = keys.map(|key| format!("{} {}", key["alg"].as_str().unwrap(), key["kid"].as_str().unwrap_or("-")));
    Ok([keys.collect::<Vec<_>>(), set.notes].concat().join("; "))
}
