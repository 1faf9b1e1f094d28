//! Where clients may send browsers that register themselves, beside the way in which browsers read addresses.

use latchkey_token::{registrations::Registrations, values::WebUrl};
use serde_json::json;
use url::Url;

use crate::{Outcome, text};

/// An address that a pattern admits leads a browser (the URL standard) to the origin of the pattern, on a loopback host to any
/// port, and to a path with as many segments: the pattern's own, but for those at a `*`. Nothing is left out, decoded or put
/// in on the way, and nothing more is in a segment however often it is decoded.
///
/// The input's first line is the pattern, what follows is what a client registers.
pub fn redirect_pattern(data: &[u8]) -> Outcome {
    let Some(text) = text(data) else { return Outcome::Unused };
    let Some((pattern, asked)) = text.split_once('\n') else { return Outcome::Unused };
    let document = json!({
        "issuers": [], "clients": [],
        "dynamic_clients": {"redirect_uris": [pattern], "audience": ["a"], "sign_in_issuer": "portal"},
    });
    let registrations = Registrations::read(&document.to_string()).unwrap().value;
    let (Ok(Some(clients)), Some(asked)) = (registrations.dynamic_clients(), WebUrl::parse(asked)) else {
        return Outcome::Refused;
    };
    if !clients.admit(&asked) {
        return Outcome::Refused;
    }
    let asked = asked.as_str();
    let (Ok(own), Ok(read)) = (Url::parse(pattern), Url::parse(asked)) else { return Outcome::Refused };
    assert_eq!((own.scheme(), own.host()), (read.scheme(), read.host()), "{asked}");
    assert!(own.port() == read.port() || read.scheme() == "http", "{asked}");
    assert!(read.query().is_none() && read.fragment().is_none() && read.username().is_empty(), "{asked}");
    let path = |text: &str| text.splitn(4, '/').nth(3).map(|path| format!("/{path}")).unwrap_or_default();
    let (own, asked) = (path(pattern), path(asked));
    let segments: Vec<(&str, &str)> = own.split('/').zip(asked.split('/')).collect();
    assert_eq!((segments.len(), own.matches('/').count()), (asked.split('/').count(), asked.matches('/').count()));
    for (own, other) in &segments {
        assert!(own == other || *own == "*" && is_one_segment(other), "{asked}");
    }
    // Dot segments of the pattern's own are the operator's business.
    if !own.split('/').any(|segment| segment.starts_with(['.', '%'])) {
        assert!(read.path() == asked || asked.is_empty(), "a browser reads another path");
    }
    Outcome::Accepted
}

fn is_one_segment(text: &str) -> bool {
    let mut text = text.to_owned();
    for _ in 0..3 {
        if text.is_empty()
            || text.contains(['/', '\\', ';', '?', '#']) && !text.contains('%')
            || text == "."
            || text == ".."
        {
            return false;
        }
        let decoded: Vec<u8> = percent_decoded(&text);
        text = String::from_utf8_lossy(&decoded).into_owned();
        if text.contains(['/', '\\', ';']) {
            return false;
        }
    }
    true
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digits = (byte == b'%').then(|| [rest.clone().next(), rest.clone().nth(1)]);
        let decoded = match digits {
            Some([Some(one), Some(other)]) => {
                std::str::from_utf8(&[one, other]).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok())
            }
            _ => None,
        };
        match decoded {
            Some(decoded) => {
                bytes.push(decoded);
                rest.nth(1);
            }
            None => bytes.push(byte),
        }
    }
    bytes
}
