//! What an authorization code is bound to: the redirect URI of its sign-in (RFC 6749 §4.1.3) and the code challenge
//! (RFC 7636). Whoever exchanges the code must bring both.

use std::fmt;

use aws_lc_rs::constant_time;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{audit::Reason, values::sha256};

/// 32 bytes in base64url: what `code_challenge_method=S256` makes of a verifier.
const CHALLENGE_LENGTH: usize = 43;

/// `code_challenge` of the method S256: SHA-256 of a verifier (RFC 7636 §4.2). Compared in constant time.
#[derive(Clone, Copy)]
pub struct CodeChallenge([u8; 32]);

impl CodeChallenge {
    /// Reads 43 characters of base64url; `None` for anything else, non-canonical encodings included.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = (text.len() == CHALLENGE_LENGTH).then(|| URL_SAFE_NO_PAD.decode(text))?;
        Some(Self(bytes.ok()?.try_into().ok()?))
    }

    /// The challenge as it is sent.
    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Takes back what a session record holds.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash, for the session record.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for CodeChallenge {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for CodeChallenge {}

impl fmt::Debug for CodeChallenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeChallenge(…)")
    }
}

/// `code_verifier`: 43 to 128 unreserved characters (RFC 7636 §4.1). Has no `Debug`: with the code it opens a session.
pub struct CodeVerifier(String);

impl CodeVerifier {
    /// `None` unless the text has the form of a verifier.
    pub fn parse(text: &str) -> Option<Self> {
        let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        ((43..=128).contains(&text.len()) && text.bytes().all(is_unreserved)).then(|| Self(text.to_owned()))
    }

    /// Its challenge.
    pub fn challenge(&self) -> CodeChallenge {
        CodeChallenge(sha256(self.0.as_bytes()))
    }
}

/// What a code is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeBinding {
    /// SHA-256 of the redirect URI.
    redirect_uri_hash: [u8; 32],
    /// None where the sign-in began without one.
    code_challenge: Option<CodeChallenge>,
}

impl CodeBinding {
    /// A sign-in's, or what an exchange brings: the challenge of its verifier.
    pub fn new(redirect_uri: &str, code_challenge: Option<CodeChallenge>) -> Self {
        Self { redirect_uri_hash: sha256(redirect_uri.as_bytes()), code_challenge }
    }

    /// Takes back what a session record holds.
    pub const fn from_record(redirect_uri_hash: [u8; 32], code_challenge: Option<CodeChallenge>) -> Self {
        Self { redirect_uri_hash, code_challenge }
    }

    /// SHA-256 of the redirect URI, for the session record.
    pub const fn redirect_uri_hash(&self) -> &[u8; 32] {
        &self.redirect_uri_hash
    }

    /// The code challenge, for the session record.
    pub const fn code_challenge(&self) -> Option<&CodeChallenge> {
        self.code_challenge.as_ref()
    }

    /// Why what an exchange brings does not fit the `bound` code of a session; a session that did not begin with a sign-in
    /// has none. A verifier for a code without a challenge does not fit either (RFC 9700 §2.1.1).
    pub fn misfit(&self, bound: Option<&Self>) -> Option<Reason> {
        match bound {
            Some(bound) if bound.redirect_uri_hash == self.redirect_uri_hash => {
                (bound.code_challenge != self.code_challenge).then_some(Reason::CodeVerifierMismatch)
            }
            _ => Some(Reason::RedirectUriMismatch),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7636, appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn challenge(verifier: &str) -> CodeChallenge {
        CodeVerifier::parse(verifier).unwrap().challenge()
    }

    #[test]
    fn a_challenge_is_the_hash_of_its_verifier() {
        assert_eq!(challenge(VERIFIER), CodeChallenge::parse(CHALLENGE).unwrap());
        assert_eq!(challenge(VERIFIER).text(), CHALLENGE);
        assert_ne!(challenge(&"a".repeat(43)), CodeChallenge::parse(CHALLENGE).unwrap());
        assert_eq!(format!("{:?}", challenge(VERIFIER)), "CodeChallenge(…)");
    }

    #[test]
    fn challenges_and_verifiers_of_another_form_are_none() {
        let padded = format!("{CHALLENGE}=");
        let other_last_bits = format!("{}N", &CHALLENGE[..42]);
        for bad in ["", &CHALLENGE[1..], &padded, &other_last_bits, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM"] {
            assert!(CodeChallenge::parse(bad).is_none(), "{bad}");
        }
        assert!(CodeVerifier::parse(&"~".repeat(128)).is_some());
        for bad in ["a".repeat(42), "a".repeat(129), "a b".repeat(20), "é".repeat(43)] {
            assert!(CodeVerifier::parse(&bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_code_fits_its_own_redirect_uri_and_verifier_and_no_others() {
        let uri = "https://chat.example.org/callback";
        let bound = CodeBinding::new(uri, Some(challenge(VERIFIER)));
        let misfit = |brought: CodeBinding| brought.misfit(Some(&bound));
        assert_eq!(misfit(bound.clone()), None);
        let other = CodeBinding::new("https://chat.example.org/callback/", Some(challenge(VERIFIER)));
        assert_eq!(misfit(other), Some(Reason::RedirectUriMismatch));
        for brought in [None, Some(challenge(&"a".repeat(43)))] {
            assert_eq!(misfit(CodeBinding::new(uri, brought)), Some(Reason::CodeVerifierMismatch));
        }
        let without = CodeBinding::new(uri, None);
        assert_eq!(without.misfit(Some(&without)), None);
        assert_eq!(bound.misfit(Some(&without)), Some(Reason::CodeVerifierMismatch), "nobody asked for a verifier");
        assert_eq!(bound.misfit(None), Some(Reason::RedirectUriMismatch), "this session began without a code");
    }
}
