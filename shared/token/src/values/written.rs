//! Secrets and documents as people's tools write them into files and other systems.

use std::fmt;

use super::identity::sha256;
use crate::json::{self, Value};

/// What some editors put in front of UTF-8 text (RFC 3629 §6).
const BYTE_ORDER_MARK: char = '\u{feff}';

/// The text without a byte order mark in front.
pub fn without_mark(text: &str) -> &str {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

/// Why bytes are no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotText {
    /// What Windows PowerShell writes with `>`.
    #[error("is UTF-16 text: save it as UTF-8")]
    Utf16,
    /// No encoding that is known here.
    #[error("is not UTF-8 text")]
    Bytes,
}

/// What a file holds, as text without a byte order mark.
pub fn text_of(bytes: Vec<u8>) -> Result<String, NotText> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(NotText::Utf16);
    }
    let text = String::from_utf8(bytes).map_err(|_| NotText::Bytes)?;
    Ok(without_mark(&text).to_owned())
}

/// A secret that others made and that is shared with them: LibreChat's `JWT_SECRET`, a portal's secret. Has no `Debug`.
///
/// It is the text without a byte order mark in front and one line break at the end. Whatever cannot be the secret itself is
/// refused, because every token would be refused later, and nobody would see why.
pub struct SharedSecret {
    text: String,
    is_member: bool,
}

/// Why a text is no secret to be shared. Quotes nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretFault {
    /// There is no text.
    Empty,
    /// A line of a `.env` file, or of YAML.
    Assignment,
    /// Quotation marks around it: dotenv and shells take them away.
    Quoted,
    /// A JSON object that is not `{"JWT_SECRET": "…"}`.
    Object,
    /// Line breaks in it.
    Lines,
    /// White space at an end of it.
    Spaces,
    /// A value that LibreChat has published as an example.
    LibreChatExample,
    /// A value or word that stands in documentation, or that everybody thinks of; perhaps padded.
    WellKnown,
    /// A short text again and again.
    Repeated,
}

impl fmt::Display for SecretFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "it is empty",
            Self::Assignment => "it is a line of settings (NAME=VALUE): give the value alone",
            Self::Quoted => {
                "it has quotation marks around it, which LibreChat's settings do not count: give it without them"
            }
            Self::Object => {
                "it is a JSON object with other members than JWT_SECRET: give the secret alone, as plain text"
            }
            Self::Lines => "it has more than one line: give the secret alone",
            Self::Spaces => "it has white space at an end: take that away",
            Self::LibreChatExample => {
                "it is the example that LibreChat once published in .env.example, so everybody can sign with it: \
                 make a new one, in LibreChat too"
            }
            Self::WellKnown => {
                "it is a well-known example or word, so others can sign with it: make a random one, on both sides"
            }
            Self::Repeated => "it repeats a short text, so it can be guessed: make a random one, on both sides",
        })
    }
}

impl std::error::Error for SecretFault {}

impl SharedSecret {
    /// Reads the text of a file, of standard input, or of a secret in Secrets Manager. Whoever stores it in a JSON object, as
    /// Secrets Manager's console does, may, if `JWT_SECRET` is its only member.
    pub fn read(text: &str) -> Result<Self, SecretFault> {
        let text = without_mark(text);
        let line = text.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).unwrap_or(text);
        let member = member_of_object(line)?;
        let is_member = member.is_some();
        let text = member.unwrap_or_else(|| line.to_owned());
        match fault_of(&text) {
            Some(fault) => Err(fault),
            None => Ok(Self { text, is_member }),
        }
    }

    /// The secret; its UTF-8 bytes are the key.
    pub fn into_text(self) -> String {
        self.text
    }

    /// Whether it was the member `JWT_SECRET` of a JSON object.
    pub fn is_member(&self) -> bool {
        self.is_member
    }
}

/// `JWT_SECRET` of a JSON object that has no other member; `None` if the text is no object.
fn member_of_object(text: &str) -> Result<Option<String>, SecretFault> {
    let text = text.trim();
    if !(text.starts_with('{') && text.ends_with('}')) {
        return Ok(None);
    }
    let members = json::parse_object(text.as_bytes()).map_err(|_| SecretFault::Object)?;
    match members.get("JWT_SECRET") {
        Some(Value::String(secret)) if members.len() == 1 => Ok(Some(secret.clone())),
        _ => Err(SecretFault::Object),
    }
}

fn fault_of(text: &str) -> Option<SecretFault> {
    let is = |fault, holds: bool| holds.then_some(fault);
    is(SecretFault::Empty, text.trim().is_empty())
        .or_else(|| is(SecretFault::Assignment, is_assignment(text)))
        .or_else(|| is(SecretFault::Lines, text.contains(['\n', '\r'])))
        .or_else(|| is(SecretFault::Spaces, text.trim() != text))
        .or_else(|| is(SecretFault::Quoted, is_quoted(text)))
        .or_else(|| well_known(text))
        .or_else(|| is(SecretFault::Repeated, is_repeated(text)))
}

/// `JWT_SECRET=…`, `export JWT_SECRET=…` or `JWT_SECRET: …`. A secret may have an equals sign in it: only a name that speaks
/// of a secret counts.
fn is_assignment(text: &str) -> bool {
    let line = text.trim_start();
    let line = line.strip_prefix("export ").or_else(|| line.strip_prefix("- ")).unwrap_or(line);
    let Some((name, value)) = line.split_once(['=', ':']) else { return false };
    let name = name.trim().trim_matches('"').to_ascii_uppercase();
    !name.is_empty()
        // The equals signs at the end of base64.
        && !value.trim_matches('=').is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && ["SECRET", "JWT_", "PASSWORD", "_KEY"].iter().any(|word| name.contains(word))
}

fn is_quoted(text: &str) -> bool {
    [('"', '"'), ('\'', '\''), ('`', '`'), ('\u{201c}', '\u{201d}'), ('\u{2018}', '\u{2019}')]
        .iter()
        .any(|(open, close)| text.chars().count() > 1 && text.starts_with(*open) && text.ends_with(*close))
}

/// Compared without case, punctuation, digits around, and what fills it up to its length.
fn well_known(text: &str) -> Option<SecretFault> {
    let letters: String = text.to_lowercase().chars().filter(|letter| letter.is_alphanumeric()).collect();
    let unit = letters.get(..period(&letters)).unwrap_or(&letters).to_owned();
    let last = letters.chars().next_back().unwrap_or_default();
    let unfilled = letters.trim_end_matches(last);
    let trimmed = letters.trim_matches(|letter: char| letter.is_ascii_digit());
    let refilled = format!("{unfilled}{last}");
    for form in [&*letters, &*unit, unfilled, &*refilled, trimmed] {
        let hash: String = sha256(form.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        if LIBRECHAT_EXAMPLES.contains(&&*hash) {
            return Some(SecretFault::LibreChatExample);
        }
        if WELL_KNOWN.contains(&&*hash) {
            return Some(SecretFault::WellKnown);
        }
    }
    None
}

/// After how many bytes the text begins again, the end perhaps cut off; its length if it does not.
fn period(text: &str) -> usize {
    let bytes = text.as_bytes();
    let begins_again = |period: &usize| bytes.iter().zip(bytes.iter().skip(*period)).all(|(one, other)| one == other);
    (1..=bytes.len() / 2).find(begins_again).unwrap_or(bytes.len())
}

fn is_repeated(text: &str) -> bool {
    period(text) < text.len()
}

// Hashes, so that no such secret stands in the source, where scanners would find it. Each is the SHA-256 of the value's letters
// and digits in lower case.

/// JWT_SECRET, JWT_REFRESH_SECRET, CREDS_KEY and CREDS_IV of LibreChat's former `.env.example`.
const LIBRECHAT_EXAMPLES: [&str; 4] = [
    "69024f21e9ad17594dcccd93e87399af24a5426ccfe6108d1787f0335966abc4",
    "282ad5f60261639fefed381976b4d0dde52eab5527a1ab2ec75d5be1efa1165b",
    "7c1154b5152983978147ea87e4a2066d4768673e9d85d6a792cddc2f784efd2f",
    "06d2e911edb4d45985b9d6338ec3d4c6b4bde69f8143437797c187ab07085531",
];

/// The secrets of jwt.io's examples, of Supabase's defaults, of RFC 7515 appendix A.1 (as text), then words and phrases that
/// stand for a secret.
const WELL_KNOWN: [&str; 38] = [
    "54ef6453548ca68d33dc886b446e4a3264bcfdb8fc5b7175a1440762a1a6c163",
    "064a4b1a5fd890e09d944531c0be396bbf027d697aa4d9bbe0e7ca6c9a8bf317",
    "eca55d4d28932ffffb6d0cfbe32487c179f9ed110c34ab239dbb81078e16b0aa",
    "ce721e89eff4f2c158e3a15850ffa6352b8dd42b2b5720850583a9c02a4fec63",
    "30581c41242313bb1821915890ee904967450c16f0cf12055d1ef31db12af934",
    "b99d4b673b9cb3943005a83ddc56659cd7c02d0f2cee601ec8e4685e980e87e2",
    "018e69268ce147bdf8d5e82daacb930c7606c11dfa7603e34326372b2c441d63",
    "c6564561ada51c649bafd0d4215e9ad9bf1866fbbe8de83b96fbc50664c17254",
    "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
    "057ba03d6c44104863dc7361fe4578965d1887360f90a0895882e58a6248fc86",
    "62f196fe59c6f78d7f332ae80f55e6e869d8e7fbc589855b5a1a21b9249408ca",
    "00810cf8b94d6fcb9c5de484d3bec4187620b3e2876e59aab90d852fe0f18fb6",
    "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8",
    "8f0e2f76e22b43e2855189877e7dc1e1e7d98c226c95db247cd1d547928334a9",
    "f44ef9e360834c4e49dc3cc321d8fa6f9750212362e90166e0c4bcd99d87e81a",
    "e5e2d0cf02bde03f260b9b6e4df97f4b41d38829c2b62b59f0c9625b8f90345c",
    "652c7dc687d98c9889304ed2e408c74b611e86a40caa51c4b43f1dd5913c5cd0",
    "2afe16a6d630d94cd07c68d5e35568655bf5f60bef29c4f1321fc857816afec9",
    "fc09b602d09745f0dec54c80796461f5761dec1f54c920b15eef496fc7836491",
    "3fc385cecae0693e0482dc9698d4d66896e7090a5bcdbe00ce63e89abbfc80ff",
    "9d90fa5b8004e7534514869f64247096d25a70c356cbcedb58a54ae50f0edbb1",
    "c179dbea62677fbab24805ecff9e3500239e3cee9f968edeab793bda35e97fad",
    "3f482785c747ea0aa078b1b1d574058d8d82b29eb6390bd3d9cce4b4aabd7a66",
    "8d768a9d9aa1236cbc9c1c5203ac1a874858843ef81232e843329a995711a1e8",
    "139bd91c33cc6fb8d65ca718ebead245f98d421c3657e288a2e16fda60fa9d18",
    "14a3d48971924219ecbade5fd2d3a64a89dd4a3671be0d6dabf6c83dd2c198a6",
    "f75778f7425be4db0369d09af37a6c2b9a83dea0e53e7bd57412e4b060e607f7",
    "e706386a58190ee13247ffc85c07f5fee617aed1e339cd935e64bab32bfe8fc8",
    "5286fa8afea2cf0e8e36c104351e06a04a4a568bc192eee2b51a84c6d7e85b06",
    "ad165b11320bc91501ab08613cc3a48a62a6caca4d5c8b14ca82cc313b3b96cd",
    "53336a676c64c1396553b2b7c92f38126768827c93b64d9142069c10eda7a721",
    "e9cfcc4980e32ec6f3e8fca563f4de3c5f53766a8f0cc37accffc8ce1d99ff98",
    "1d92dae504a70fbcae6d3721a55d7eacaf94d3133ea5f0394b7d203d64841110",
    "37a8eec1ce19687d132fe29051dca629d164e2c4958ba141d5f4133a33f0688f",
    "50d858e0985ecc7f60418aaf0cc5ab587f42c2570a884095a9e8ccacd0f6545c",
    "8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918",
    "1c8bfe8f801d79745c4631d09fff36c82aa37fc4cce4fc946683d7b336b63032",
    "65e84be33532fb784c48129675f9eff3a682b27168c0ea744b2cf58ee02337c5",
];

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "a test secret of at least 32 bytes";

    fn fault(text: &str) -> Option<SecretFault> {
        SharedSecret::read(text).err()
    }

    #[test]
    fn a_mark_and_one_line_break_are_not_the_secrets() {
        for text in
            [SECRET.to_owned(), format!("\u{feff}{SECRET}"), format!("{SECRET}\n"), format!("\u{feff}{SECRET}\r\n")]
        {
            assert_eq!(SharedSecret::read(&text).ok().unwrap().into_text(), SECRET);
        }
        assert_eq!(fault(&format!("{SECRET}\n\n")), Some(SecretFault::Lines));
    }

    #[test]
    fn an_equals_sign_or_a_quotation_mark_within_is_the_secrets() {
        for secret in
            ["kq9=Zr0x7vNwq1mT5bYc3LpS8dHg2JfU=", "it's\"7vNwq1mT5bYc3LpS8dHg2JfUx", "a:7vNwq1mT5bYc3LpS8dHg2JfUx"]
        {
            assert_eq!(SharedSecret::read(secret).ok().unwrap().into_text(), secret);
        }
    }

    /// Written backwards, so that nobody takes them for secrets of this tree.
    #[test]
    fn librechats_published_examples_are_refused_in_any_case() {
        for backwards in [
            "fe9092f29073104b9ba36180f794f9f3d964826c68043062b193d5a4fe0c8f61",
            "8148b45a654b3080b9a8694564b15cf6ab4e452e48df7839b03e4192f1915aae",
        ] {
            let example: String = backwards.chars().rev().collect();
            assert_eq!(fault(&example), Some(SecretFault::LibreChatExample));
            assert_eq!(fault(&example.to_uppercase()), Some(SecretFault::LibreChatExample));
            assert_eq!(fault(backwards), None);
        }
    }

    #[test]
    fn padded_words_are_well_known() {
        for secret in [
            "secret",
            "Change_Me",
            "changeme-changeme-changeme-change",
            "secret00000000000000000000000000",
            "passwordxxxxxxxxxxxxxxxxxxxxxxxx",
            "your-256-bit-secret",
        ] {
            assert_eq!(fault(secret), Some(SecretFault::WellKnown), "{secret}");
        }
        for secret in ["x".repeat(32), "0123456789abcdef0123456789abcdef".into()] {
            assert_eq!(fault(&secret), Some(SecretFault::Repeated));
        }
    }

    #[test]
    fn files_in_other_encodings_are_named() {
        assert_eq!(text_of(b"\xef\xbb\xbf{}".to_vec()).unwrap(), "{}");
        assert_eq!(text_of(b"\xff\xfe{\0}\0".to_vec()), Err(NotText::Utf16));
        assert_eq!(text_of(b"\xfe\xff\0{\0}".to_vec()), Err(NotText::Utf16));
        assert_eq!(text_of(b"caf\xe9".to_vec()), Err(NotText::Bytes));
    }
}
