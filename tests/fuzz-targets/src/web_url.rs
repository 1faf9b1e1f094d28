//! Addresses that browsers are sent to, beside the way in which browsers read them.

use latchkey_token::values::{WebUrl, with_query};
use url::{ParseError, Position, Url};

use crate::{Outcome, text};

/// An address that is taken is read by a browser (the URL standard) as it stands there, or not at all: nothing is left out,
/// decoded or put in, and nobody's name hides in it. It admits itself, and others only where the port of a loopback host differs. Parameters that
/// are appended lead to the same place, and arrive.
///
/// The input's first line is the address of a registration, what follows is what a request asks for.
pub fn web_url(data: &[u8]) -> Outcome {
    let Some(text) = text(data) else { return Outcome::Unused };
    let (own, asked) = text.split_once('\n').unwrap_or((text, text));
    let Some(own) = WebUrl::parse(own) else { return Outcome::Refused };
    assert!(own.admits(own.as_str()));
    let Some(read) = read_by_browsers(own.as_str()) else { return Outcome::Accepted };
    if own.admits(asked) {
        let asked_read = read_by_browsers(asked).expect("of the same host");
        if asked != own.as_str() {
            assert!(read.scheme() == "http" && asked_read.scheme() == "http");
            assert_eq!(read.host(), asked_read.host());
            assert_eq!(read[Position::BeforePath..], asked_read[Position::BeforePath..]);
            assert!(WebUrl::parse(asked).unwrap().admits(own.as_str()), "both or neither");
        }
    }
    assert_parameters_arrive(own.as_str(), &read, asked);
    Outcome::Accepted
}

/// `None`: a name that is no name in any script, which a browser goes nowhere with.
fn read_by_browsers(text: &str) -> Option<Url> {
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(ParseError::IdnaError) if text.contains("xn--") => return None,
        Err(error) => panic!("{text}: {error}"),
    };
    assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
    let host = url.host_str().unwrap();
    let rest = text.split_once("://").unwrap().1;
    assert!(rest.strip_prefix(host).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/', '?'])), "{text}");
    let is_loopback = host == "localhost" || host == "[::1]" || host.starts_with("127.");
    assert!(url.scheme() == "https" || url.scheme() == "http" && is_loopback, "{text}");
    assert!(text.len() <= 1024 && text.bytes().all(|byte| byte.is_ascii_graphic()));
    Some(url)
}

fn assert_parameters_arrive(text: &str, read: &Url, value: &str) {
    let address = with_query(text, &[("state", value), ("iss", "https://latchkey.example")]);
    assert!(address.bytes().all(|byte| byte.is_ascii_graphic()), "{address}");
    let url = Url::parse(&address).unwrap();
    assert_eq!(url[..Position::AfterPath], read[..Position::AfterPath], "another place");
    assert!(url.fragment().is_none());
    let own = read.query_pairs().count();
    let added: Vec<_> = url.query_pairs().skip(own).collect();
    assert_eq!(added.len(), 2, "{address}");
    assert!(
        added[0] == ("state".into(), value.into()) && added[1] == ("iss".into(), "https://latchkey.example".into())
    );
}
