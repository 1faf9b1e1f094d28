//! JSON for hostile input: no member twice at any level, bounded depth.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use serde_json::value::RawValue;
pub use serde_json::{Map, Value};

/// Deepest nesting accepted in requests and tokens; a document that is one object has depth 1.
pub const MAX_DEPTH: usize = 16;

/// The text is not JSON, has a member twice, or is nested deeper than [`MAX_DEPTH`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not well-formed JSON, a member stands twice, or nested deeper than {MAX_DEPTH}")]
pub struct Malformed;

/// Parses one JSON document strictly.
pub fn parse(text: &[u8]) -> Result<Value, Malformed> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = Strict { depth_left: MAX_DEPTH }.deserialize(&mut deserializer).map_err(|_| Malformed)?;
    deserializer.end().map_err(|_| Malformed)?;
    Ok(value)
}

/// Parses one JSON document that must be an object.
pub fn parse_object(text: &[u8]) -> Result<Map<String, Value>, Malformed> {
    match parse(text)? {
        Value::Object(members) => Ok(members),
        _ => Err(Malformed),
    }
}

/// The members of one object, each as its text, in their order. Whether a member stands twice is for the caller to see.
pub fn members(object: &str) -> Result<Vec<(String, &RawValue)>, Malformed> {
    struct MembersOfOne;

    impl<'de> Visitor<'de> for MembersOfOne {
        type Value = Vec<(String, &'de RawValue)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
            std::iter::from_fn(|| members.next_entry().transpose()).collect()
        }
    }

    let mut deserializer = serde_json::Deserializer::from_str(object);
    let members = deserializer.deserialize_map(MembersOfOne).map_err(|_| Malformed)?;
    deserializer.end().map_err(|_| Malformed)?;
    Ok(members)
}

/// What can be said of an object that may be faulty: the members that stand once and can be parsed strictly, and whether those
/// are all.
pub(crate) fn readable_members(object: &str) -> Result<(Map<String, Value>, bool), Malformed> {
    let texts = members(object)?;
    let stands_once = |name: &String| texts.iter().filter(|(other, _)| other == name).count() == 1;
    let readable = texts.iter().filter(|(name, _)| stands_once(name));
    let readable: Map<String, Value> =
        readable.filter_map(|(name, text)| Some((name.clone(), parse(text.get().as_bytes()).ok()?))).collect();
    let is_whole = readable.len() == texts.len();
    Ok((readable, is_whole))
}

struct Strict {
    depth_left: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(&self) -> Result<Self, E> {
        let depth_left = self.depth_left.checked_sub(1).ok_or_else(|| E::custom("nested too deep"))?;
        Ok(Self { depth_left })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.deeper()?)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(self.deeper()?)?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a member stands twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_duplicate_members_at_any_level() {
        assert!(parse(br#"{"a":1,"a":1}"#).is_err());
        assert!(parse(br#"{"a":[{"b":{"c":1,"c":2}}]}"#).is_err());
        assert!(parse(br#"{"a":1,"\u0061":2}"#).is_err());
        assert!(parse(br#"{"a":1,"A":2}"#).is_ok());
    }

    #[test]
    fn refuses_what_is_nested_deeper_than_16() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(parse(nested(MAX_DEPTH + 1).as_bytes()).is_err());
        assert!(parse(nested(100_000).as_bytes()).is_err());
    }

    #[test]
    fn refuses_what_is_not_one_json_document() {
        for bad in ["", "{", "{} {}", "{\"a\":1e400}", "\u{feff}{}", "{'a':1}", "{\"a\":1,}", "NaN"] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(parse(b"{\"a\":\"\xff\"}").is_err());
        assert!(parse_object(b"[]").is_err());
        assert_eq!(
            parse(b" {\"a\": [1, -2, 0.5, null, true, \"x\"]} ").unwrap().to_string(),
            r#"{"a":[1,-2,0.5,null,true,"x"]}"#
        );
    }

    /// A claim is written to the record and read back from it; the token at issue and those of renewals say the same.
    #[test]
    fn a_number_that_is_written_reads_back_the_same() {
        for text in ["60666666666666666666666666666666666666666666666666660", "1.7976931348623157e308", "0.1", "5e-324"]
        {
            let read = parse(text.as_bytes()).unwrap();
            assert_eq!(parse(read.to_string().as_bytes()).unwrap(), read, "{text}");
        }
    }
}
