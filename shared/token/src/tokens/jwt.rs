//! What all JWTs have in common, our own and others': the compact form and the claims with a form of their own, read
//! strictly. Nothing here is verified.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;

use crate::json::{self, Map, Value};

/// Longest token that is looked at, in bytes.
pub const MAX_BYTES: usize = 8192;

/// A token in compact form whose signature nobody has checked.
pub(crate) struct Compact<'a> {
    pub header: Map<String, Value>,
    signing_input: &'a str,
    signature: &'a str,
    payload: &'a str,
}

impl<'a> Compact<'a> {
    /// Splits the compact form (RFC 7515 §7.1): exactly three parts of canonical, unpadded base64url, at most
    /// [`MAX_BYTES`]; the header is a JSON object, no member twice.
    pub fn parse(token: &'a str) -> Option<Self> {
        if token.len() > MAX_BYTES {
            return None;
        }
        let (signing_input, signature) = token.rsplit_once('.')?;
        let (header, payload) = signing_input.split_once('.')?;
        if payload.contains('.') || decode(signature)?.is_empty() {
            return None;
        }
        let header = json::parse_object(&decode(header)?).ok()?;
        Some(Self { header, signing_input, signature, payload })
    }

    pub fn is_signed_by(&self, key: &DecodingKey, algorithm: jsonwebtoken::Algorithm) -> bool {
        let input = self.signing_input.as_bytes();
        jsonwebtoken::crypto::verify(self.signature, input, key, algorithm).unwrap_or(false)
    }

    /// The claims; `None` unless the payload is a JSON object, no member of it twice.
    pub fn claims(&self) -> Option<Map<String, Value>> {
        json::parse_object(&decode(self.payload)?).ok()
    }
}

/// The client that a token of ours would be for: `client_id` of an access token, `aud` of an ID token. Nothing of it is
/// verified: it tells which registration to look for, and nothing else.
pub(crate) fn claimed_client(token: &str) -> Option<String> {
    let claims = Compact::parse(token)?.claims()?;
    claims.get("client_id").or_else(|| claims.get("aud"))?.as_str().map(str::to_owned)
}

fn decode(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

/// A year far beyond 9999, and still room to add any grace period.
const LATEST: u64 = 1 << 48;

/// A NumericDate of our own: a whole number, not negative, in JSON's plain notation.
pub(crate) fn numeric_date(value: &Value) -> Option<i64> {
    let number = value.as_u64().filter(|number| *number <= LATEST)?;
    i64::try_from(number).ok()
}

/// A NumericDate of others (RFC 7519 §2): any JSON number that is not negative. What is less than a second does not count.
pub(crate) fn foreign_numeric_date(value: &Value) -> Option<i64> {
    let is_date = |number: &f64| (0.0..=LATEST as f64).contains(number);
    let whole = |number: f64| number as i64;
    numeric_date(value).or_else(|| value.as_f64().filter(is_date).map(whole))
}

/// `aud` (RFC 7519 §4.1.3): one string or a list of strings, not empty.
pub(crate) fn audience(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(one) => Some(vec![one.clone()]),
        Value::Array(several) if !several.is_empty() => {
            several.iter().map(|one| one.as_str().map(str::to_owned)).collect()
        }
        _ => None,
    }
}
