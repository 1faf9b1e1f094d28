//! `latchkey token inspect`: what a token says, without claiming that it is valid.

use std::{fmt, ops::RangeInclusive};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use latchkey_token::{
    json::{self, Map, Value},
    ports::Clock,
    values::Timestamp,
};

/// A JWT taken apart.
pub struct Inspected {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    now: Timestamp,
}

/// The text is not a JWT. Quotes nothing of it.
#[derive(Debug, thiserror::Error)]
pub enum NotAJwt {
    #[error("this is a refresh token: it is opaque, and only the service can tell what it is worth")]
    RefreshToken,
    #[error("not a JWT: expected three parts separated by dots, found {0}")]
    Parts(usize),
    #[error("not a JWT: the {0} is not base64url of a JSON object")]
    Part(&'static str),
}

/// Takes `token` apart; verifies nothing.
pub fn inspect(token: &str, clock: &dyn Clock) -> Result<Inspected, NotAJwt> {
    if token.starts_with("lk1_") {
        return Err(NotAJwt::RefreshToken);
    }
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, _signature] = parts.as_slice() else { return Err(NotAJwt::Parts(parts.len())) };
    let object = |part: &str, name| {
        let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| NotAJwt::Part(name))?;
        json::parse_object(&bytes).map_err(|_| NotAJwt::Part(name))
    };
    Ok(Inspected { header: object(header, "header")?, claims: object(claims, "payload")?, now: clock.now() })
}

impl Inspected {
    /// `{"header":…,"claims":…,"seconds_left":…}`; `seconds_left` only if there is an `exp`, negative once it has passed.
    pub fn json(&self) -> Value {
        let mut object = Map::new();
        object.insert("header".into(), Value::Object(self.header.clone()));
        object.insert("claims".into(), Value::Object(self.claims.clone()));
        if let Some(seconds) = self.seconds_left() {
            object.insert("seconds_left".into(), seconds.into());
        }
        Value::Object(object)
    }

    /// Rounded up, so that what is left is more than nothing until the token has expired.
    fn seconds_left(&self) -> Option<i64> {
        let left = numeric_date(self.claims.get("exp")?)? - self.now.unix_millis() as f64 / 1000.0;
        Some(left.ceil() as i64)
    }
}

impl fmt::Display for Inspected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (title, members) in [("header", &self.header), ("claims", &self.claims)] {
            writeln!(f, "{title}")?;
            for (name, value) in members {
                write!(f, "  {name:<20} {value}")?;
                match numeric_date(value).filter(|seconds| CALENDAR.contains(seconds)) {
                    Some(seconds) if matches!(name.as_str(), "exp" | "iat" | "nbf" | "auth_time") => {
                        writeln!(f, "  ({})", Timestamp::from_unix_millis((seconds * 1000.0).floor() as i64))?;
                    }
                    _ => writeln!(f)?,
                }
            }
        }
        match self.seconds_left() {
            None if self.claims.contains_key("exp") => {
                writeln!(f, "time left\n  unknown: exp is not a number (RFC 7519 §4.1.4)")?;
            }
            None => writeln!(f, "time left\n  no exp: this token never expires")?,
            Some(left) if left > 0 => writeln!(f, "time left\n  {}", duration(left))?,
            Some(left) => writeln!(f, "time left\n  none: expired {} ago", duration(left.saturating_neg()))?,
        }
        writeln!(f, "(signature not checked)")
    }
}

/// The seconds that times in this text form can tell, to the end of the year 9999.
const CALENDAR: RangeInclusive<f64> = 0.0..=253_402_300_799.0;

/// Other people's tokens may have fractions (RFC 7519 §2, NumericDate). Whole seconds are exact: they need 38 bits.
fn numeric_date(value: &Value) -> Option<f64> {
    value.as_f64().filter(|seconds| seconds.is_finite())
}

/// The two largest units: `23 h 59 min`.
pub(crate) fn duration(seconds: i64) -> String {
    let units = [("d", seconds / 86_400), ("h", seconds / 3_600 % 24), ("min", seconds / 60 % 60), ("s", seconds % 60)];
    let from_first = units.into_iter().skip_while(|(_, count)| *count == 0).take(2).filter(|(_, count)| *count > 0);
    let parts: Vec<String> = from_first.map(|(unit, count)| format!("{count} {unit}")).collect();
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix_seconds(1_800_000_000)
        }
    }

    fn token(claims: &str) -> String {
        format!("{}.{}.AA", URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#), URL_SAFE_NO_PAD.encode(claims))
    }

    fn shown(claims: &str) -> String {
        inspect(&token(claims), &Noon).unwrap().to_string()
    }

    #[test]
    fn header_claims_and_time_left_are_shown() {
        let text = shown(r#"{"sub":"alice","exp":1800086399}"#);
        assert!(text.contains(r#"alg                  "RS256""#), "{text}");
        assert!(text.contains(r#"sub                  "alice""#), "{text}");
        assert!(text.contains("1800086399  (2027-01-16T07:59:59Z)"), "{text}");
        assert!(text.contains("time left\n  23 h 59 min\n"), "{text}");
        assert!(text.ends_with("(signature not checked)\n"));
    }

    #[test]
    fn expired_and_endless_tokens_are_told_apart() {
        assert!(shown(r#"{"exp":1799999990}"#).contains("none: expired 10 s ago"));
        assert!(shown("{}").contains("never expires"));
        assert_eq!(inspect(&token(r#"{"exp":1799999990}"#), &Noon).unwrap().json()["seconds_left"], -10);
    }

    #[test]
    fn times_with_fractions_are_times() {
        for (exp, told, left) in [
            ("1799999999.5", "none: expired 0 s ago", 0),
            ("1799999989.25", "none: expired 10 s ago", -10),
            ("1800000000.5", "time left\n  1 s\n", 1),
            ("1.8e9", "none: expired 0 s ago", 0),
            ("1.80000006e9", "time left\n  1 min\n", 60),
            ("1e300", "time left\n  ", i64::MAX),
            ("-1", "none: expired", -1_800_000_001),
        ] {
            let claims = format!(r#"{{"exp":{exp}}}"#);
            assert!(shown(&claims).contains(told), "{exp}: {}", shown(&claims));
            assert_eq!(inspect(&token(&claims), &Noon).unwrap().json()["seconds_left"], left, "{exp}");
        }
        assert!(
            shown(r#"{"iat":1799999999.5}"#).contains("(2027-01-15T07:59:59"),
            "{}",
            shown(r#"{"iat":1799999999.5}"#)
        );
        for none in [r#"{"exp":"1800000000"}"#, r#"{"exp":null}"#, r#"{"exp":[1800000000]}"#] {
            assert!(shown(none).contains("exp is not a number") && !shown(none).contains("never"), "{none}");
            assert!(inspect(&token(none), &Noon).unwrap().json().get("seconds_left").is_none());
        }
    }

    #[test]
    fn what_is_no_jwt_is_named_and_not_quoted() {
        let fault = |text: &str| inspect(text, &Noon).err().unwrap().to_string();
        assert!(fault("abc").contains("found 1"));
        assert!(fault("a.b.c").contains("header"));
        assert!(fault("lk1_abc").contains("refresh token"));
    }
}
