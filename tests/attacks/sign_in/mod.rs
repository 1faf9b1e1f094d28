//! Sign-in: what a browser, a portal and a client are tricked into, and by whom.

pub mod browsers;
pub mod codes;
pub mod registering;
pub mod requests;
pub mod sign_out;
pub mod tickets;

use lambda_http::http::{Method, Request};
use latchkey_token_lambda::response::Page;
use test_support::{FORM, basic, form, secret_of, sign_in::query_of};

use crate::{
    bench::{Bench, Expected, get, post, request},
    ledger::{Fault, Row},
};

const CLIENT: &str = "librechat-oauth";
const COOKIE: &str = "__Host-latchkey-sign-in";
const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

async fn start(row: Row) -> Bench {
    Bench::of(row, CLIENT, &[]).await
}

fn stopped() -> Expected {
    Expected::page(Page::SignInStops)
}

/// `/authorize` as a browser goes there, with a cookie so that a form is not sent on.
fn authorize(query: &str) -> [Request<Vec<u8>>; 2] {
    let cookie = format!("{COOKIE}={}", "A".repeat(43));
    let form = [("cookie", cookie.as_str()), ("content-type", FORM)];
    [get(&format!("/authorize?{query}"), None), request(Method::POST, "/authorize", &form, query.into())]
}

/// The end of a sign-in, in a browser with this cookie.
fn come_back(answer: &str, cookie: Option<&str>) -> Request<Vec<u8>> {
    let path = format!("/authorize/return?{}", form(&[("answer", answer)]));
    let cookie = cookie.map(|cookie| ("cookie", cookie));
    request(Method::GET, &path, cookie.as_slice(), vec![])
}

/// What the portal does with a ticket, or somebody in its place.
fn call(call: &str, authorization: Option<&str>, ticket: &str) -> Request<Vec<u8>> {
    let pairs = [("ticket", ticket), ("subject", "mallory"), ("error", "access_denied")];
    post(&format!("/authorize/{call}"), authorization, FORM, form(&pairs))
}

fn portal() -> String {
    basic("portal", &secret_of("portal"))
}

/// The exchange of a code.
fn exchange(client: &str, code: &str, redirect: &str, verifier: Option<&str>) -> Request<Vec<u8>> {
    let secret = secret_of(client);
    let mut pairs =
        vec![("grant_type", "authorization_code"), ("code", code), ("redirect_uri", redirect), ("client_id", client)];
    pairs.extend(verifier.map(|verifier| ("code_verifier", verifier)));
    if !client.starts_with("spa") {
        pairs.push(("client_secret", &secret));
    }
    post("/token/renew", None, FORM, form(&pairs))
}

/// The answer that an address to `/authorize/return` carries.
fn answer_of(address: &str) -> String {
    query_of(address).remove("answer").unwrap()
}

/// `text` with every character replaced, removed, and everything behind it cut off; and with more around it.
fn altered(text: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for at in 0..text.len() {
        let letter = text.as_bytes()[at];
        // Sixteen further in the alphabet: the last character's spare bits stay.
        let new = ALPHABET.iter().position(|own| *own == letter).map_or(b'A', |index| ALPHABET[(index + 16) % 64]);
        all.push((format!("character {at}"), format!("{}{}{}", &text[..at], char::from(new), &text[at + 1..])));
        if at % 5 == 4 {
            all.push((format!("without character {at}"), format!("{}{}", &text[..at], &text[at + 1..])));
            all.push((format!("cut after {at}"), text[..at].to_owned()));
        }
    }
    for more in ["A", "AAAA", "=", "==", ".", " ", "\n", "\0", "%00", "\u{feff}", "é", text] {
        all.push((format!("{more:?} behind"), format!("{text}{more}")));
        all.push((format!("{more:?} in front"), format!("{more}{text}")));
        all.push((format!("{more:?} in the middle"), format!("{}{more}{}", &text[..60], &text[60..])));
    }
    let last = ALPHABET.iter().position(|letter| *letter == text.as_bytes()[text.len() - 1]).unwrap();
    // The bits of the last character that say nothing.
    let bits = [0, 0, 4, 2][(text.len() - 5) % 4];
    for spare in 1..(1_usize << bits) {
        let other = char::from(ALPHABET[last ^ spare]);
        all.push((format!("spare bits {spare}"), format!("{}{other}", &text[..text.len() - 1])));
    }
    all.extend([
        ("capitals".to_owned(), text.to_uppercase()),
        ("small letters".to_owned(), text.to_lowercase()),
        ("another version".to_owned(), text.replacen("1_", "2_", 1)),
        ("no prefix".to_owned(), text[5..].to_owned()),
        ("backwards".to_owned(), text.chars().rev().collect()),
        ("standard alphabet".to_owned(), text.replace('-', "+").replacen('_', "/", 99)),
    ]);
    all.retain(|(_, other)| other != text);
    all
}

impl Bench {
    /// An attempt that succeeds as a request and must come to nothing: judged by the row itself.
    fn judge_by(&self, what: &str, holds: bool) {
        self.row.plan(1);
        self.row.attempted();
        if !holds {
            self.row.fault(Fault::LetIn, what);
        }
    }
}
