//! Bodies, form and JSON.

use std::sync::OnceLock;

use latchkey_token::{
    json::{self, Map, Value},
    values::Timestamp,
};
use latchkey_token_lambda::{
    Body, Request,
    request::{MAX_BODY_BYTES, Parameters, RequestFault},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{MAX_INPUT_BYTES, Outcome};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
/// Parameters that requests have, and one that they do not.
const NAMES: [&str; 9] =
    ["subject", "claims", "expires_in", "refresh_token", "client_secret", "ticket", "auth_time", "amr", "unknown"];

/// What a handler can learn of a body, each member read in each of the ways there are.
#[derive(Debug, PartialEq)]
struct Seen {
    texts: Vec<Result<Option<String>, RequestFault>>,
    seconds: Vec<Result<Option<u32>, RequestFault>>,
    objects: Vec<Result<Map<String, Value>, RequestFault>>,
    times: Vec<Result<Option<Timestamp>, RequestFault>>,
    words: Vec<Result<Vec<String>, RequestFault>>,
}

/// Reading says the same every time; what was read can be written in the other encoding and means the same; the strict
/// JSON parser differs from a plain one in nothing but members that stand twice and depth; no fault quotes the body.
///
/// The input's first byte says the content type: `f` form, `j` JSON; after anything else, the rest of the first line is
/// the content type. What follows is the body.
pub fn request_body(data: &[u8]) -> Outcome {
    let Some((content_type, body)) = split(data) else { return Outcome::Unused };
    let Some(request) = request(content_type, body) else { return Outcome::Unused };
    let seen = see(&request);
    assert_eq!(seen, see(&request), "twice the same body, and not the same members");
    match &seen {
        Ok(seen) => {
            for fault in seen.faults() {
                assert_quotes_nothing(fault);
            }
            assert_means_the_same_in_both_encodings(seen);
        }
        Err(RequestFault::TooLarge) => assert!(body.len() > MAX_BODY_BYTES),
        Err(RequestFault::UnsupportedMediaType) => assert!(![FORM, JSON].contains(&content_type)),
        Err(fault @ RequestFault::Invalid(_)) => assert_quotes_nothing(fault),
    }
    if content_type == JSON && body.len() <= MAX_BODY_BYTES {
        assert_parses_as_json_does(body, seen.is_ok());
    }
    if seen.is_ok() { Outcome::Accepted } else { Outcome::Refused }
}

fn split(data: &[u8]) -> Option<(&str, &[u8])> {
    if data.len() > MAX_INPUT_BYTES {
        return None;
    }
    match data.split_first()? {
        (b'f', body) => Some((FORM, body)),
        (b'j', body) => Some((JSON, body)),
        (_, rest) => {
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            Some((std::str::from_utf8(&rest[..end]).ok()?, &rest[end + 1..]))
        }
    }
}

fn request(content_type: &str, body: &[u8]) -> Option<Request> {
    let mut request = Request::new(Body::Binary(body.to_vec()));
    request.headers_mut().insert("content-type", content_type.parse().ok()?);
    Some(request)
}

fn see(request: &Request) -> Result<Seen, RequestFault> {
    let read = || Parameters::read(request);
    let (mut texts, mut seconds, mut objects, mut times, mut words) = (read()?, read()?, read()?, read()?, read()?);
    Ok(Seen {
        texts: NAMES.map(|name| texts.text(name)).into(),
        seconds: NAMES.map(|name| seconds.seconds(name)).into(),
        objects: NAMES.map(|name| objects.object(name)).into(),
        times: NAMES.map(|name| times.time(name)).into(),
        words: NAMES.map(|name| words.words(name)).into(),
    })
}

impl Seen {
    fn faults(&self) -> impl Iterator<Item = &RequestFault> {
        let texts = self.texts.iter().filter_map(|read| read.as_ref().err());
        let seconds = self.seconds.iter().filter_map(|read| read.as_ref().err());
        let objects = self.objects.iter().filter_map(|read| read.as_ref().err());
        let times = self.times.iter().filter_map(|read| read.as_ref().err());
        let words = self.words.iter().filter_map(|read| read.as_ref().err());
        texts.chain(seconds).chain(objects).chain(times).chain(words)
    }
}

/// A fault says what faults of harmless bodies say: nothing of this one.
fn assert_quotes_nothing(fault: &RequestFault) {
    static KNOWN: OnceLock<Vec<RequestFault>> = OnceLock::new();
    let known = KNOWN.get_or_init(|| {
        let of = |content_type: &str, body: &str| see(&request(content_type, body.as_bytes()).unwrap());
        let unreadable = [(FORM, "%"), (FORM, "a&a"), (JSON, "")];
        let unreadable = unreadable.map(|(content_type, body)| of(content_type, body).unwrap_err());
        let members: Map<String, Value> = NAMES.iter().map(|name| ((*name).to_owned(), Value::Bool(true))).collect();
        let mistyped = of(JSON, &Value::Object(members).to_string()).unwrap();
        unreadable.into_iter().chain(mistyped.faults().cloned()).collect()
    });
    assert!(known.contains(fault), "not one of the known texts: {fault:?}");
}

fn assert_means_the_same_in_both_encodings(seen: &Seen) {
    let texts: Vec<(&str, &str)> = NAMES
        .into_iter()
        .zip(&seen.texts)
        .filter_map(|(name, read)| Some((name, read.as_ref().ok()?.as_deref()?)))
        .collect();
    let form = texts.iter().map(|(name, text)| format!("{name}={}", utf8_percent_encode(text, NON_ALPHANUMERIC)));
    let form = form.collect::<Vec<_>>().join("&");
    let members: Map<String, Value> =
        texts.iter().map(|(name, text)| ((*name).to_owned(), Value::from(*text))).collect();
    let json = Value::Object(members).to_string();
    for (content_type, body) in [(FORM, form), (JSON, json)] {
        // Written another way it may be longer than a body may be.
        if body.len() > MAX_BODY_BYTES {
            continue;
        }
        let again = see(&request(content_type, body.as_bytes()).unwrap()).unwrap();
        for ((name, before), after) in NAMES.iter().zip(&seen.texts).zip(&again.texts) {
            let before = before.as_ref().ok().and_then(Option::as_ref);
            assert_eq!(after.as_ref().unwrap().as_ref(), before, "{name} as {content_type}");
        }
    }
}

/// What is taken is JSON, and JSON without its repetitions is taken unless it is too deep.
fn assert_parses_as_json_does(body: &[u8], was_read: bool) {
    let plain: Option<Map<String, Value>> = serde_json::from_slice(body).ok();
    let strict = json::parse_object(body).ok();
    assert_eq!(was_read, strict.is_some());
    assert!(strict.is_none() || strict == plain, "one parser reads what the other does not");
    if let Some(plain) = plain {
        let plain = Value::Object(plain);
        let written = plain.to_string();
        let again = json::parse(written.as_bytes());
        assert_eq!(again.is_ok(), depth(&plain) <= json::MAX_DEPTH, "{written}");
        if let Ok(again) = again {
            assert_eq!(again.to_string(), written);
        }
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}
