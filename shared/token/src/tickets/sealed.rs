//! The text of tickets and answers: a prefix, and a sealed JSON object in base64url.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};

use super::keys::{SealPurpose, TICKET_SALT_BYTES, TicketKeys};
use crate::{failure::Unavailable, values::Timestamp};

/// Longest text that is looked at, in bytes. What a request of [`MAX_REQUEST_BYTES`](crate::sign_in::MAX_REQUEST_BYTES)
/// comes to is shorter.
const MAX_TEXT_BYTES: usize = 12 * 1024;

/// What the text of a ticket begins with.
pub const TICKET_PREFIX: &str = "lkt1_";
/// What the text of an answer begins with.
pub const ANSWER_PREFIX: &str = "lka1_";

impl SealPurpose {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Ticket => TICKET_PREFIX,
            Self::Answer => ANSWER_PREFIX,
        }
    }
}

/// Seals `value` for `purpose`, with the key that is in use at `now`.
pub(super) fn seal(
    value: &impl Serialize,
    purpose: SealPurpose,
    keys: &TicketKeys,
    issuer: &str,
    salt: [u8; TICKET_SALT_BYTES],
    now: Timestamp,
) -> Result<String, Unavailable> {
    let refused = |what: &str| Unavailable::new("cryptography", format!("a sign-in could not be {what}"));
    let text = serde_json::to_vec(value).map_err(|_| refused("written"))?;
    let key = keys.in_use(now.unix_seconds())?;
    let sealed = key.seal(purpose, issuer, &text, salt).ok_or_else(|| refused("sealed"))?;
    Ok(format!("{}{}", purpose.prefix(), URL_SAFE_NO_PAD.encode(sealed)))
}

/// What has been sealed for `purpose`; `None` for anything else.
pub(super) fn open<T: DeserializeOwned>(
    text: &str,
    purpose: SealPurpose,
    keys: &TicketKeys,
    issuer: &str,
    now: Timestamp,
) -> Result<Option<T>, Unavailable> {
    let encoded = text.strip_prefix(purpose.prefix()).filter(|_| text.len() <= MAX_TEXT_BYTES);
    let Some(sealed) = encoded.and_then(|encoded| URL_SAFE_NO_PAD.decode(encoded).ok()) else { return Ok(None) };
    let opened = keys.open(purpose, issuer, &sealed, now.unix_seconds())?;
    Ok(opened.and_then(|text| serde_json::from_slice(&text).ok()))
}

/// Values that are sealed as their text, and as checked values taken back.
pub(super) mod text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::super::browser::BrowserHash;
    use crate::{
        tokens::CodeChallenge,
        values::{ClientId, IssuerId, Scope, Timestamp},
    };

    pub trait Text: Sized {
        fn write(&self) -> String;
        fn read(text: &str) -> Option<Self>;
    }

    macro_rules! texts {
        ($($value:ty: $write:path, $read:path;)+) => {
            $(impl Text for $value {
                fn write(&self) -> String {
                    $write(self)
                }

                fn read(text: &str) -> Option<Self> {
                    $read(text)
                }
            })+
        };
    }

    fn millis(time: &Timestamp) -> String {
        time.unix_millis().to_string()
    }

    fn of_millis(text: &str) -> Option<Timestamp> {
        text.parse().ok().map(Timestamp::from_unix_millis)
    }

    texts! {
        ClientId: ToString::to_string, ClientId::parse;
        IssuerId: ToString::to_string, IssuerId::parse;
        Scope: ToString::to_string, Scope::parse;
        CodeChallenge: CodeChallenge::text, CodeChallenge::parse;
        BrowserHash: BrowserHash::text, BrowserHash::parse;
        Timestamp: millis, of_millis;
    }

    impl<T: Text> Text for Option<T> {
        fn write(&self) -> String {
            self.as_ref().map(T::write).unwrap_or_default()
        }

        fn read(text: &str) -> Option<Self> {
            if text.is_empty() { Some(None) } else { T::read(text).map(Some) }
        }
    }

    pub fn serialize<S: Serializer>(value: &impl Text, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&value.write())
    }

    pub fn deserialize<'d, T: Text, D: Deserializer<'d>>(deserializer: D) -> Result<T, D::Error> {
        T::read(&String::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("not of its form"))
    }
}
