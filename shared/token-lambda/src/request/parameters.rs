//! Reads the members of a request body, form or JSON alike (docs/api.md).

use std::collections::{BTreeMap, btree_map::Entry};

use lambda_http::{
    Body, Request,
    http::{HeaderMap, Uri, header::CONTENT_TYPE},
};
use latchkey_token::{
    json::{self, Map, Value},
    values::{Seconds, Timestamp, is_repeatable},
};
use percent_encoding::{percent_decode, percent_decode_str};

/// The last second of the year 9999.
const LATEST_SECOND: i64 = 253_402_300_799;

/// Longest body, in bytes, before anything in it is looked at.
pub const MAX_BODY_BYTES: usize = 16 * 1024;

/// A request that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestFault {
    /// The body is longer than [`MAX_BODY_BYTES`].
    TooLarge,
    /// The content type is neither a form nor JSON.
    UnsupportedMediaType,
    /// Everything else; the text says what to mend and quotes nothing that was sent.
    Invalid(String),
}

impl RequestFault {
    /// [`RequestFault::Invalid`] with this text.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }
}

/// The members of a body. A member without a value counts as left out (RFC 6749 §3.2).
pub struct Parameters {
    members: BTreeMap<String, Value>,
    is_form: bool,
}

impl Parameters {
    /// Reads the body strictly: size, content type, UTF-8, syntax, no member twice but those that may be
    /// ([`is_repeatable`]; in a form they make a list). Nothing is taken from the query
    /// string, which must be empty.
    pub fn read(request: &Request) -> Result<Self, RequestFault> {
        let body = body_of(request)?;
        if body.len() > MAX_BODY_BYTES {
            return Err(RequestFault::TooLarge);
        }
        if request.uri().query().is_some_and(|query| !query.is_empty()) {
            return Err(RequestFault::invalid("parameters belong in the body, not in the query string"));
        }
        match media_type(request.headers(), body)? {
            MediaType::Form => Ok(Self { members: read_form(body)?, is_form: true }),
            MediaType::Json => Ok(Self { members: read_json(body)?, is_form: false }),
        }
    }

    /// The same where nothing but JSON will do. A member that is `null` counts as left out.
    pub fn read_json(request: &Request) -> Result<Self, RequestFault> {
        let parameters = Self::read(request)?;
        if parameters.is_form {
            return Err(RequestFault::UnsupportedMediaType);
        }
        let members = parameters.members.into_iter().filter(|(_, value)| !value.is_null());
        Ok(Self { members: members.collect(), is_form: false })
    }

    /// Reads the query string of a route that has one, as a form. Nothing but the names in `known` may stand there: no
    /// credential and no token is ever read from it.
    pub fn of_query(uri: &Uri, known: &[&str]) -> Result<Self, RequestFault> {
        let members = read_form(uri.query().unwrap_or_default().as_bytes())?;
        if members.keys().any(|name| !known.contains(&name.as_str())) {
            let names = match known {
                [names @ .., last] if !names.is_empty() => format!("{} and {last}", names.join(", ")),
                names => names.concat(),
            };
            return Err(RequestFault::invalid(format!("the query string may hold {names} only")));
        }
        Ok(Self { members, is_form: true })
    }

    /// A string member; `None` when it is missing or empty.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, RequestFault> {
        match self.members.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
            Some(_) => Err(RequestFault::invalid(format!("{name} must be a string"))),
        }
    }

    /// A member that may stand there several times, or in JSON as a list of strings. Those without a value count as left out.
    pub fn texts(&mut self, name: &str) -> Result<Vec<String>, RequestFault> {
        let fault = || RequestFault::invalid(format!("{name} must be a string or a list of strings"));
        let values = match self.members.remove(name) {
            None => Vec::new(),
            Some(Value::Array(values)) => values,
            Some(value) => vec![value],
        };
        let texts = values.into_iter().map(|value| match value {
            Value::String(text) => Ok(text),
            _ => Err(fault()),
        });
        let texts: Vec<String> = texts.collect::<Result<_, _>>()?;
        Ok(texts.into_iter().filter(|text| !text.is_empty()).collect())
    }

    /// A string member that must be there.
    pub fn required(&mut self, name: &str) -> Result<String, RequestFault> {
        self.text(name)?.ok_or_else(|| RequestFault::invalid(format!("{name} is missing")))
    }

    /// A list of strings, of JSON; `None` when it is missing.
    pub fn strings(&mut self, name: &str) -> Result<Option<Vec<String>>, RequestFault> {
        let strings: Option<Vec<String>> = match self.members.remove(name) {
            None => return Ok(None),
            Some(Value::Array(items)) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
            Some(_) => None,
        };
        strings.map(Some).ok_or_else(|| RequestFault::invalid(format!("{name} must be a list of strings")))
    }

    /// A point in time in whole Unix seconds.
    pub fn time(&mut self, name: &str) -> Result<Option<Timestamp>, RequestFault> {
        let fault = || RequestFault::invalid(format!("{name} must be a time in whole Unix seconds"));
        let number = match self.members.remove(name) {
            None => return Ok(None),
            Some(Value::String(text)) if self.is_form => match text.as_str() {
                "" => return Ok(None),
                text if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse::<i64>().ok(),
                _ => None,
            },
            Some(value) => value.as_i64(),
        };
        let seconds = number.filter(|seconds| (0..=LATEST_SECOND).contains(seconds)).ok_or_else(fault)?;
        Ok(Some(Timestamp::from_unix_seconds(seconds)))
    }

    /// Words: in JSON a list of strings, in a form one text with spaces between them. None of them has a space.
    pub fn words(&mut self, name: &str) -> Result<Vec<String>, RequestFault> {
        let fault = || RequestFault::invalid(format!("{name} must be a list of words"));
        let words: Vec<String> = match self.members.remove(name) {
            None => Vec::new(),
            Some(Value::String(text)) if self.is_form => text.split(' ').map(str::to_owned).collect(),
            Some(Value::Array(items)) if !self.is_form => items
                .into_iter()
                .map(|item| item.as_str().map(str::to_owned).ok_or_else(fault))
                .collect::<Result<_, _>>()?,
            Some(_) => return Err(fault()),
        };
        let words: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
        let is_word =
            |word: &String| !word.chars().any(|character| character.is_control() || character.is_whitespace());
        if words.iter().all(is_word) { Ok(words) } else { Err(fault()) }
    }

    /// A whole number of seconds from 1 up; more than fit into 32 bits count as the most that do.
    pub fn seconds(&mut self, name: &str) -> Result<Option<Seconds>, RequestFault> {
        let fault = || RequestFault::invalid(format!("{name} must be a whole number of seconds, at least 1"));
        let number = match self.members.remove(name) {
            None => return Ok(None),
            Some(Value::String(text)) if self.is_form => {
                if text.is_empty() {
                    return Ok(None);
                }
                if !text.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(fault());
                }
                text.parse().unwrap_or(u64::MAX)
            }
            Some(value) => whole_number(&value).ok_or_else(fault)?,
        };
        if number == 0 { Err(fault()) } else { Ok(Some(Seconds::try_from(number).unwrap_or(Seconds::MAX))) }
    }

    /// An object; in a form, its JSON text.
    pub fn object(&mut self, name: &str) -> Result<Map<String, Value>, RequestFault> {
        let fault = || RequestFault::invalid(format!("{name} must be a JSON object, no member of it twice"));
        match self.members.remove(name) {
            None => Ok(Map::new()),
            Some(Value::Object(members)) => Ok(members),
            Some(Value::String(text)) if self.is_form && text.is_empty() => Ok(Map::new()),
            Some(Value::String(text)) if self.is_form => json::parse_object(text.as_bytes()).map_err(|_| fault()),
            Some(_) => Err(fault()),
        }
    }
}

/// 60.0 is as whole as 60: JSON has one kind of number, and some clients write every one as a fraction.
fn whole_number(value: &Value) -> Option<u64> {
    let of_fraction = |number: f64| (number.fract() == 0.0 && number >= 0.0).then_some(number as u64);
    value.as_u64().or_else(|| value.as_f64().and_then(of_fraction))
}

/// The body as it came.
pub(super) fn body_of(request: &Request) -> Result<&[u8], RequestFault> {
    match request.body() {
        Body::Empty => Ok(&[]),
        Body::Text(text) => Ok(text.as_bytes()),
        Body::Binary(bytes) => Ok(bytes),
        _ => Err(RequestFault::invalid("the body cannot be read")),
    }
}

/// Whether the body is said to be a form.
pub(super) fn is_form(headers: &HeaderMap, body: &[u8]) -> bool {
    matches!(media_type(headers, body), Ok(MediaType::Form))
}

enum MediaType {
    Form,
    Json,
}

/// What a `charset` in the content type means for the body. Neither type has such a parameter (RFC 8259 §11; the form of the
/// URL Standard), and libraries add one all the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Charset {
    Utf8,
    /// ASCII reads the same in it: it has no meaning for a body of nothing else.
    AsciiCompatible,
    Other,
}

impl Charset {
    fn named(name: &str) -> Self {
        let name = name.trim().trim_matches('"').to_ascii_lowercase();
        let is_of = |family: &str| {
            let number = name.strip_prefix(family).map(|rest| rest.trim_start_matches(['-', '_']));
            number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
        };
        match name.as_str() {
            "utf-8" => Self::Utf8,
            "utf8" | "us-ascii" | "ascii" => Self::AsciiCompatible,
            // Their other half differs, ASCII is the same in all of them.
            _ if ["iso-8859", "iso8859", "latin", "windows-125", "cp125"].into_iter().any(is_of) => {
                Self::AsciiCompatible
            }
            _ => Self::Other,
        }
    }
}

fn media_type(headers: &HeaderMap, body: &[u8]) -> Result<MediaType, RequestFault> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(RequestFault::UnsupportedMediaType) };
    let text = value.to_str().map_err(|_| RequestFault::UnsupportedMediaType)?;
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let charsets = parts.map(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => Charset::named(value),
        Some(_) => Charset::Utf8,
        None if parameter.is_empty() => Charset::Utf8,
        None => Charset::Other,
    });
    let charset = charsets.max().unwrap_or(Charset::Utf8);
    let (media_type, is_ascii) = match essence.as_str() {
        // What is percent-encoded there is in that charset too.
        "application/x-www-form-urlencoded" => (MediaType::Form, percent_decode(body).all(|byte| byte.is_ascii())),
        "application/json" => (MediaType::Json, body.is_ascii()),
        _ => return Err(RequestFault::UnsupportedMediaType),
    };
    match charset {
        Charset::Utf8 => Ok(media_type),
        Charset::AsciiCompatible if is_ascii => Ok(media_type),
        Charset::AsciiCompatible | Charset::Other => Err(RequestFault::UnsupportedMediaType),
    }
}

fn read_json(body: &[u8]) -> Result<BTreeMap<String, Value>, RequestFault> {
    let fault = "the body is not a JSON object, holds a member twice, or is nested deeper than 16";
    let members = json::parse_object(body).map_err(|_| RequestFault::invalid(fault))?;
    Ok(members.into_iter().collect())
}

fn read_form(body: &[u8]) -> Result<BTreeMap<String, Value>, RequestFault> {
    let mut members = BTreeMap::new();
    for (name, value) in form_pairs(body)? {
        match members.entry(name) {
            Entry::Vacant(place) => {
                place.insert(Value::String(value));
            }
            Entry::Occupied(mut place) if is_repeatable(place.key()) => match place.get_mut() {
                Value::Array(values) => values.push(Value::String(value)),
                first => *first = Value::Array(vec![first.take(), Value::String(value)]),
            },
            Entry::Occupied(_) => return Err(RequestFault::invalid("a parameter stands twice")),
        }
    }
    Ok(members)
}

/// The parameters of a form or a query string, in their order; any may stand there several times.
pub(super) fn form_pairs(text: &[u8]) -> Result<Vec<(String, String)>, RequestFault> {
    let not_a_form = || RequestFault::invalid("not a form of percent-encoded UTF-8");
    let text = std::str::from_utf8(text).map_err(|_| not_a_form())?;
    let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((form_decode(name)?, form_decode(value)?))
    });
    pairs.collect::<Option<_>>().ok_or_else(not_a_form)
}

/// `application/x-www-form-urlencoded`, strictly: every `%` begins two hex digits, and the result is UTF-8.
pub(crate) fn form_decode(text: &str) -> Option<String> {
    let is_complete = text.split('%').skip(1).all(|rest| {
        let mut digits = rest.bytes();
        matches!((digits.next(), digits.next()), (Some(a), Some(b)) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
    });
    if !is_complete {
        return None;
    }
    percent_decode_str(&text.replace('+', " ")).decode_utf8().ok().map(|decoded| decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(content_type: &str, body: impl Into<Body>) -> Request {
        let mut request = Request::new(body.into());
        request.headers_mut().insert(CONTENT_TYPE, content_type.parse().unwrap());
        request
    }

    fn form(body: &str) -> Result<Parameters, RequestFault> {
        Parameters::read(&request("application/x-www-form-urlencoded", body))
    }

    fn json(body: &str) -> Result<Parameters, RequestFault> {
        Parameters::read(&request("application/json", body))
    }

    fn is_invalid<T>(result: Result<T, RequestFault>) -> bool {
        matches!(result, Err(RequestFault::Invalid(_)))
    }

    #[test]
    fn both_encodings_say_the_same() {
        let bodies = [
            form("subject=alice+a%26b&scope=&expires_in=60&claims=%7B%22a%22%3A1%7D&unknown=1").unwrap(),
            json(r#"{"subject":"alice a&b","scope":"","expires_in":60,"claims":{"a":1},"unknown":[1]}"#).unwrap(),
        ];
        for mut members in bodies {
            assert_eq!(members.text("subject").unwrap().as_deref(), Some("alice a&b"));
            assert_eq!(members.text("scope").unwrap(), None, "empty is left out");
            assert_eq!(members.seconds("expires_in").unwrap(), Some(60));
            assert_eq!(members.object("claims").unwrap().len(), 1);
            assert_eq!(members.text("missing").unwrap(), None);
            assert!(is_invalid(members.required("missing")));
        }
    }

    #[test]
    fn a_parameter_twice_is_refused_even_if_nobody_reads_it() {
        assert!(is_invalid(form("a=1&b=2&a=1")));
        assert!(is_invalid(form("a=1&%61=1")));
        assert!(is_invalid(json(r#"{"a":1,"a":1}"#)));
        assert!(is_invalid(json(r#"{"claims":{"x":1,"x":2}}"#)));
        assert!(is_invalid(form(r#"claims={"x":1,"x":2}"#).unwrap().object("claims")));
    }

    #[test]
    fn only_forms_and_json_in_utf_8_are_read() {
        for fine in [
            "application/json",
            "Application/JSON; Charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "application/json; profile=x",
            "application/json; charset=utf8",
            "application/json; charset=latin1",
            "application/json; charset=\"Windows-1252\"",
        ] {
            assert!(Parameters::read(&request(fine, "{}")).is_ok(), "{fine}");
        }
        for bad in [
            "text/plain",
            "",
            "multipart/form-data; boundary=x",
            "application/json; charset=utf-16",
            "application/json; charset=latin",
            "application/json; charset=iso-8859-",
            "application/json; charset=latin1; charset=utf-7",
            "application/jsonp",
            "application/json, application/json",
        ] {
            let answer = Parameters::read(&request(bad, "{}"));
            assert_eq!(answer.err(), Some(RequestFault::UnsupportedMediaType), "{bad}");
        }
        assert_eq!(Parameters::read(&Request::new("{}".into())).err(), Some(RequestFault::UnsupportedMediaType));
        let mut twice = request("application/json", "{}");
        twice.headers_mut().append(CONTENT_TYPE, "application/json".parse().unwrap());
        assert_eq!(Parameters::read(&twice).err(), Some(RequestFault::UnsupportedMediaType));
    }

    #[test]
    fn a_charset_has_no_meaning_for_ascii_and_is_refused_beside_anything_else() {
        const FORM: &str = "application/x-www-form-urlencoded";
        for charset in ["ISO-8859-1", "iso8859-15", "utf8", "UTF8", "us-ascii", "latin1", "windows-1252", "cp1250"] {
            let read = |body: &[u8]| Parameters::read(&request(&format!("{FORM};charset={charset}"), body.to_vec()));
            assert_eq!(read(b"a=b+c%26d").unwrap().text("a").unwrap().as_deref(), Some("b c&d"), "{charset}");
            for other in [&b"a=\xe9"[..], b"a=%E9", "a=\u{e9}".as_bytes(), b"a=%C3%A9"] {
                assert_eq!(read(other).err(), Some(RequestFault::UnsupportedMediaType), "{charset} {other:?}");
            }
            let json = |body: &str| Parameters::read(&request(&format!("application/json; charset={charset}"), body));
            assert!(json(r#"{"a":"\u00e9 %C3"}"#).is_ok(), "{charset}");
            assert_eq!(json(r#"{"a":"é"}"#).err(), Some(RequestFault::UnsupportedMediaType), "{charset}");
        }
    }

    #[test]
    fn resource_and_audience_may_stand_several_times_in_a_form_and_nothing_else_may() {
        let mut members = form("resource=a&audience=b&resource=c&%72esource=d&audience=b&subject=alice").unwrap();
        assert_eq!(members.text("subject").unwrap().as_deref(), Some("alice"));
        assert_eq!(members.members["resource"], json::parse(br#"["a","c","d"]"#).unwrap());
        assert_eq!(members.members["audience"], json::parse(br#"["b","b"]"#).unwrap());
        for twice in
            ["Resource=a&Resource=b", "resource[]=a&resource[]=b", "scope=a&scope=b", "resources=a&resources=a"]
        {
            assert!(is_invalid(form(twice)), "{twice}");
        }
        // There a list says the same.
        assert!(json(r#"{"resource":["a","b"]}"#).is_ok());
        assert!(is_invalid(json(r#"{"resource":"a","resource":"b"}"#)));
    }

    #[test]
    fn a_list_of_texts_is_what_a_form_says_several_times_and_what_has_no_value_is_left_out() {
        let texts = |members: Result<Parameters, RequestFault>| members.unwrap().texts("resource");
        for (said_in_a_form, said_in_json, expected) in [
            ("a=1", r#"{"a":"1"}"#, &[][..]),
            ("resource=a", r#"{"resource":"a"}"#, &["a"]),
            ("resource=a", r#"{"resource":["a"]}"#, &["a"]),
            ("resource=b&a=1&resource=a&resource=b", r#"{"resource":["b","a","b"],"a":"1"}"#, &["b", "a", "b"]),
            ("resource=", r#"{"resource":""}"#, &[]),
            ("resource=&resource=a&resource", r#"{"resource":["","a",""]}"#, &["a"]),
            ("resource=&resource=", r#"{"resource":[]}"#, &[]),
            ("resource=%5B%22a%22%5D", r#"{"resource":"[\"a\"]"}"#, &["[\"a\"]"]),
        ] {
            let expected: Vec<String> = expected.iter().map(|text| (*text).to_owned()).collect();
            assert_eq!(texts(form(said_in_a_form)).as_ref(), Ok(&expected), "{said_in_a_form}");
            assert_eq!(texts(json(said_in_json)), Ok(expected), "{said_in_json}");
        }
        for bad in ["1", "null", "true", "{}", "[1]", r#"["a",null]"#, r#"[["a"]]"#] {
            assert!(is_invalid(texts(json(&format!(r#"{{"resource":{bad}}}"#)))), "{bad}");
        }
    }

    #[test]
    fn broken_encodings_are_refused() {
        for bad in ["a=%", "a=%4", "a=%zz", "a=%ff", "%=1", "a=\u{0}%C3"] {
            assert!(is_invalid(form(bad)), "{bad:?}");
        }
        let not_utf8 = request("application/x-www-form-urlencoded", vec![b'a', b'=', 0xff]);
        assert!(is_invalid(Parameters::read(&not_utf8)));
        assert!(is_invalid(Parameters::read(&request("application/json", vec![b'"', 0xff, b'"']))));
        for bad in ["", "[]", "\"x\"", "subject=alice", "{\"a\":1}x"] {
            assert!(is_invalid(json(bad)), "{bad:?}");
        }
        assert!(is_invalid(json(&format!("{}{}", "{\"a\":".repeat(17), "}".repeat(17)))));
        let mut json_as_form = form(r#"{"subject":"alice"}"#).unwrap();
        assert!(is_invalid(json_as_form.required("subject")));
    }

    #[test]
    fn size_is_judged_before_anything_else() {
        let body = |bytes: usize| request("text/plain", "x".repeat(bytes));
        assert_eq!(Parameters::read(&body(MAX_BODY_BYTES + 1)).err(), Some(RequestFault::TooLarge));
        assert_eq!(Parameters::read(&body(MAX_BODY_BYTES)).err(), Some(RequestFault::UnsupportedMediaType));
    }

    #[test]
    fn nothing_is_read_from_the_query_string() {
        let mut request = request("application/json", "{}");
        *request.uri_mut() = "/token?refresh_token=x".parse().unwrap();
        assert!(is_invalid(Parameters::read(&request)));
    }

    #[test]
    fn types_are_not_guessed() {
        let mut members = json(
            r#"{"a":1,"b":null,"c":"60","d":{"x":1},"e":1.5,"f":-1,"g":0,"h":99999999999,
            "i":60.0,"j":1e30,"k":-60.0,"l":0.0}"#,
        )
        .unwrap();
        assert!(is_invalid(members.text("a")));
        assert!(is_invalid(members.text("b")));
        assert!(is_invalid(members.seconds("c")));
        assert!(is_invalid(members.text("d")));
        assert!(is_invalid(members.seconds("e")));
        assert!(is_invalid(members.seconds("f")));
        assert!(is_invalid(members.seconds("g")));
        assert_eq!(members.seconds("h").unwrap(), Some(Seconds::MAX));
        assert_eq!(members.seconds("i").unwrap(), Some(60));
        assert_eq!(members.seconds("j").unwrap(), Some(Seconds::MAX), "cut like any other that is too long");
        assert!(is_invalid(members.seconds("k")));
        assert!(is_invalid(members.seconds("l")));
        assert!(is_invalid(json(r#"{"claims":"{}"}"#).unwrap().object("claims")));
        let mut members = form("a=6e1&b=-1&c=0&d=99999999999999999999&e=+5&f=").unwrap();
        assert!(
            is_invalid(members.seconds("a")) && is_invalid(members.seconds("b")) && is_invalid(members.seconds("c"))
        );
        assert_eq!(members.seconds("d").unwrap(), Some(Seconds::MAX));
        assert!(is_invalid(members.seconds("e")));
        assert_eq!(members.seconds("f").unwrap(), None);
    }
}
