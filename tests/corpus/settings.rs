//! Settings.

use latchkey_token_lambda::{response::Cors, settings};
use serde_json::Value;

/// `LATCHKEY_CORS_ORIGINS`; taken as the origins that browsers send.
pub fn origins(input: &Value) -> Result<String, String> {
    Cors::parse(input.as_str().unwrap()).map(|cors| cors.to_string()).map_err(|fault| fault.to_string())
}

/// The name of an environment variable.
pub fn names(input: &Value) -> Result<String, String> {
    let name = input.as_str().unwrap();
    match settings::unknown_name(name) {
        Some(warning) => Err(warning.to_string()),
        None => Ok(name.to_owned()),
    }
}
