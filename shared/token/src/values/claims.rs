//! Custom claims: what the issuer may say about a subject beyond the protocol's own claims.

use crate::json::{Map, Value};

/// Names that an issuer can never set.
pub const RESERVED_CLAIMS: [&str; 22] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "nbf",
    "jti",
    "sid",
    "client_id",
    "scope",
    "scp",
    "typ",
    "nonce",
    "azp",
    "at_hash",
    "c_hash",
    "auth_time",
    "acr",
    "amr",
    "cnf",
    "act",
    "may_act",
];

/// Longest serialised form of all custom claims of a session, in bytes.
pub const MAX_CLAIMS_BYTES: usize = 2048;

/// Longest name that a fault repeats, in bytes: what is longer may be a token in the wrong place.
const MAX_REPEATED_BYTES: usize = 64;

/// Claims of a session, none of them reserved, at most [`MAX_CLAIMS_BYTES`] when serialised.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CustomClaims(Map<String, Value>);

/// Why claims are refused at issue. The text is meant for the issuer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsFault {
    /// The claim of this name is reserved, or the client's registration does not allow it.
    #[error("{} is not allowed for this client", named(.0))]
    NotAllowed(String),
    /// Written as JSON, the claims are longer than [`MAX_CLAIMS_BYTES`].
    #[error("the claims are longer than {MAX_CLAIMS_BYTES} bytes")]
    TooLong,
    /// The claim of this name holds a number that DynamoDB cannot keep, or a member without a name.
    #[error("{} holds a number or a name that cannot be stored exactly", named(.0))]
    Unstorable(String),
}

fn named(claim: &str) -> String {
    match claim.len() {
        ..=MAX_REPEATED_BYTES => format!("claim {claim:?}"),
        _ => format!("a claim with a name of over {MAX_REPEATED_BYTES} bytes"),
    }
}

/// Whether `name` belongs to the protocol.
pub fn is_reserved_claim(name: &str) -> bool {
    RESERVED_CLAIMS.contains(&name)
}

impl CustomClaims {
    /// Accepts what an issuer sends, if every name is in `allowed`.
    pub fn parse(members: Map<String, Value>, allowed: &[String]) -> Result<Self, ClaimsFault> {
        for (name, value) in &members {
            if is_reserved_claim(name) || !allowed.contains(name) {
                return Err(ClaimsFault::NotAllowed(name.clone()));
            }
            if !is_storable(value) {
                return Err(ClaimsFault::Unstorable(name.clone()));
            }
        }
        let claims = Self(members);
        if serde_json::to_string(&claims.0).map_or(true, |text| text.len() > MAX_CLAIMS_BYTES) {
            return Err(ClaimsFault::TooLong);
        }
        Ok(claims)
    }

    /// Takes back what a session record holds.
    pub fn from_record(members: Map<String, Value>) -> Self {
        Self(members)
    }

    /// The claims that `allowed` still names.
    pub fn allowed_by(&self, allowed: &[String]) -> impl Iterator<Item = (&String, &Value)> {
        self.0.iter().filter(move |(name, _)| !is_reserved_claim(name) && allowed.contains(name))
    }

    /// The claim `name` as it was issued, whether or not the client may still have it; `None` if there is none.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// All claims as they were issued, whether or not the client may still have them.
    pub fn members(&self) -> &Map<String, Value> {
        &self.0
    }
}

/// DynamoDB keeps numbers of 38 digits between 1e-130 and 1e126, and no members without a name: a write would fail.
fn is_storable(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            number.is_i64()
                || number.is_u64()
                || number.as_f64().is_some_and(|number| number == 0.0 || (1e-100..=1e100).contains(&number.abs()))
        }
        Value::Array(items) => items.iter().all(is_storable),
        Value::Object(members) => members.iter().all(|(name, value)| !name.is_empty() && is_storable(value)),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<CustomClaims, ClaimsFault> {
        let allowed = ["email", "groups", "iss"].map(str::to_owned);
        CustomClaims::parse(crate::json::parse_object(text.as_bytes()).unwrap(), &allowed)
    }

    #[test]
    fn only_registered_names_pass_and_reserved_ones_never() {
        assert!(parse(r#"{"email":"a@example.org","groups":["x"]}"#).is_ok());
        assert_eq!(parse(r#"{"admin":true}"#), Err(ClaimsFault::NotAllowed("admin".into())));
        assert_eq!(parse(r#"{"iss":"x"}"#), Err(ClaimsFault::NotAllowed("iss".into())));
        assert!(is_reserved_claim("may_act") && is_reserved_claim("act") && !is_reserved_claim("email"));
    }

    #[test]
    fn a_fault_repeats_no_name_as_long_as_a_token() {
        let fault = |letters: usize| parse(&format!(r#"{{"{}":1}}"#, "a".repeat(letters))).unwrap_err().to_string();
        assert!(fault(MAX_REPEATED_BYTES).contains(&"a".repeat(MAX_REPEATED_BYTES)));
        assert_eq!(
            fault(MAX_REPEATED_BYTES + 1),
            "a claim with a name of over 64 bytes is not allowed for this client"
        );
    }

    #[test]
    fn two_kibibytes_serialised_are_the_limit() {
        let claims = |letters: usize| parse(&format!(r#"{{"email":"{}"}}"#, "x".repeat(letters)));
        assert!(claims(MAX_CLAIMS_BYTES - 12).is_ok());
        assert_eq!(claims(MAX_CLAIMS_BYTES - 11), Err(ClaimsFault::TooLong));
    }

    #[test]
    fn what_the_store_cannot_hold_is_refused() {
        assert!(parse(r#"{"groups":[1,-5,0.25,18446744073709551615]}"#).is_ok());
        assert_eq!(parse(r#"{"groups":[{"x":1e200}]}"#), Err(ClaimsFault::Unstorable("groups".into())));
        assert_eq!(parse(r#"{"groups":1e-200}"#), Err(ClaimsFault::Unstorable("groups".into())));
        assert_eq!(parse(r#"{"groups":[{"":1}]}"#), Err(ClaimsFault::Unstorable("groups".into())));
    }
}
