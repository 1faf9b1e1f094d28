//! Which browser a sign-in was begun in: a cookie that nobody else can read, and its hash in ticket and answer.

use std::fmt;

use aws_lc_rs::constant_time;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::values::sha256;

/// The cookie's value: 32 random bytes. Has neither `Debug` nor `Display`: with a ticket's answer it opens a session.
pub struct Browser([u8; 32]);

impl Browser {
    /// The browser of these bytes. For a new one they must be random, from a cryptographic source.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads the cookie's value: 43 characters of base64url; `None` for anything else, non-canonical encodings included.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = (text.len() == 43).then(|| URL_SAFE_NO_PAD.decode(text))?;
        Some(Self(bytes.ok()?.try_into().ok()?))
    }

    /// The cookie's value.
    pub fn expose(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// What tickets and answers carry of it.
    pub fn hash(&self) -> BrowserHash {
        BrowserHash(sha256(&self.0))
    }
}

/// SHA-256 of a browser's cookie. Compared in constant time.
#[derive(Clone, Copy)]
pub struct BrowserHash([u8; 32]);

impl BrowserHash {
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(Self(URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?))
    }

    pub(super) fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl PartialEq for BrowserHash {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for BrowserHash {}

impl fmt::Debug for BrowserHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BrowserHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_of_another_form_is_no_browser() {
        let browser = Browser::from_bytes([7; 32]);
        let text = browser.expose();
        assert!(Browser::parse(&text).unwrap().hash() == browser.hash());
        for bad in ["", &text[1..], &format!("{text}A"), &format!("{}=", &text[..42]), &format!("{}-", &text[..42])] {
            assert!(Browser::parse(bad).is_none(), "{bad}");
        }
        assert_ne!(Browser::from_bytes([8; 32]).hash(), browser.hash());
    }
}
