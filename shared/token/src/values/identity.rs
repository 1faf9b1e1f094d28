//! Who and which: subjects, clients, issuers, and the ids of sessions.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::time::{Seconds, Timestamp};

/// The first 16 bytes of SHA-256 over the concatenated parts.
pub(crate) fn sha256_16(parts: &[&[u8]]) -> [u8; 16] {
    let mut context = aws_lc_rs::digest::Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    first_16(context.finish().as_ref())
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

pub(crate) fn first_16(bytes: &[u8]) -> [u8; 16] {
    let mut first = [0; 16];
    for (to, from) in first.iter_mut().zip(bytes) {
        *to = *from;
    }
    first
}

/// The user, as the external system names it (`sub`): 1 to 255 bytes of UTF-8.
///
/// An operator reads subjects, and copies them into commands that end sessions. So a subject has no character that cannot
/// be seen, and none that changes the order of others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject(String);

impl Subject {
    /// What a subject has to be, for whoever gave one that it is not.
    pub const RULE: &str =
        "1 to 255 bytes without control, zero-width or bidirectional characters, and without white space at its ends";

    /// `None` when the text is empty, longer than 255 bytes, begins or ends with white space, or holds a control, zero-width
    /// or bidirectional character.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=255).contains(&text.len())
            && text.trim().len() == text.len()
            && !text.chars().any(|character| character.is_control() || is_invisible(character));
        fits.then(|| Self(text.to_owned()))
    }

    /// The subject as `sub` has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The soft hyphen, zero-width characters, and those that direct text to the left or to the right.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}'
    )
}

macro_rules! registered_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// `None` unless the text is 1 to 255 printable ASCII characters (RFC 6749 appendix A.1).
            pub fn parse(text: &str) -> Option<Self> {
                let fits = (1..=255).contains(&text.len()) && text.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
                fits.then(|| Self(text.to_owned()))
            }

            /// The id as it was registered.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

registered_id! {
    /// The id of a registered client: the application that holds tokens and renews them.
    ClientId
}
registered_id! {
    /// The id of a registered issuer: the external system's back end.
    IssuerId
}

/// What the ids of clients begin with that have registered themselves (RFC 7591). No other client has such an id. For all of
/// them together it stands where the id of one client stands otherwise.
pub const DYNAMIC_CLIENTS: &str = "lkd1";

impl ClientId {
    /// Whether it is the id of a client that has registered itself, if it is anybody's.
    pub fn is_dynamic(&self) -> bool {
        self.0.starts_with(DYNAMIC_CLIENTS)
    }

    /// What stands for all clients that have registered themselves.
    pub fn of_dynamic_clients() -> Self {
        Self(DYNAMIC_CLIENTS.to_owned())
    }
}

/// Partition key of a session record: the first 16 bytes of SHA-256(`client_id` ‖ 0x00 ‖ `subject`). For all clients that have
/// registered themselves it is one and the same, with `lkd1` as `client_id`: nobody keeps a list of their ids, and a
/// subject's sessions must be found all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner([u8; 16]);

impl Owner {
    /// The owner of all sessions that `subject` has at `client`.
    pub fn of(client: &ClientId, subject: &Subject) -> Self {
        let client = if client.is_dynamic() { DYNAMIC_CLIENTS } else { client.as_str() };
        Self(sha256_16(&[client.as_bytes(), &[0], subject.as_str().as_bytes()]))
    }

    /// Takes back the bytes of a record or of a token. They are a hash; nothing is hashed here.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, as records and tokens hold them.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Sort key of a session record, unique within its owner.
///
/// It carries the two terms of the session that never change, so that a renewal can compute every value
/// of its one write from the refresh token alone, without reading the record first:
/// `absolute_expires_at (48 bits, Unix ms) ‖ access_token_seconds (24 bits) ‖ 56 random bits`.
/// Holders learn nothing from it that their tokens do not say anyway, and the refresh token's tag
/// covers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid([u8; 16]);

impl Sid {
    /// Random bytes that a new sid takes.
    pub const RANDOM_BYTES: usize = 7;

    /// A sid of these terms. The limits of the policy keep the time within 48 bits and the seconds within 24; higher
    /// bits are dropped.
    pub fn new(
        absolute_expires_at: Timestamp,
        access_token_seconds: Seconds,
        random: [u8; Self::RANDOM_BYTES],
    ) -> Self {
        let [_, _, millis @ ..] = absolute_expires_at.unix_millis().to_be_bytes();
        let [_, seconds @ ..] = access_token_seconds.to_be_bytes();
        let mut sid = [0; 16];
        for (to, from) in sid.iter_mut().zip(millis.into_iter().chain(seconds).chain(random)) {
            *to = from;
        }
        Self(sid)
    }

    /// Takes back the bytes of a record or of a token; any 16 bytes are a sid.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, as records and tokens hold them.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The greatest sid of a session whose absolute expiry has come at `now`: what lies after it is not over.
    pub fn last_over_at(now: Timestamp) -> Self {
        let [_, _, millis @ ..] = now.unix_millis().to_be_bytes();
        let mut sid = [0xff; 16];
        for (to, from) in sid.iter_mut().zip(millis) {
            *to = from;
        }
        Self(sid)
    }

    /// When the session ends at the latest, as fixed at issue.
    pub fn absolute_expires_at(&self) -> Timestamp {
        let [a, b, c, d, e, f, ..] = self.0;
        Timestamp::from_unix_millis(i64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    /// The life of the session's access tokens, as fixed at issue.
    pub fn access_token_seconds(&self) -> Seconds {
        let [_, _, _, _, _, _, a, b, c, ..] = self.0;
        Seconds::from_be_bytes([0, a, b, c])
    }
}

/// Primary key of a session record. Outside, in `session_id` and the claim `sid`, it is base64url of
/// `owner ‖ sid`: 43 characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey {
    /// Partition key: one for each client and subject.
    pub owner: Owner,
    /// Sort key: one for each session of that owner.
    pub sid: Sid,
}

impl SessionKey {
    /// Reads the 43 characters; `None` for anything else, non-canonical encodings included.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 32] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let (owner, sid) = bytes.split_first_chunk::<16>()?;
        Some(Self { owner: Owner(*owner), sid: Sid(sid.try_into().ok()?) })
    }

    /// How the audit trail names the session: the first 16 hex digits of SHA-256(sid).
    pub fn audit_name(&self) -> String {
        sha256_16(&[&self.sid.0]).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; 32];
        let (owner, sid) = bytes.split_at_mut(16);
        owner.copy_from_slice(&self.owner.0);
        sid.copy_from_slice(&self.sid.0);
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// Primary key of the record that an assertion has been used: SHA-256(0x00 ‖ `issuer_id` ‖ 0x00 ‖ `jti`), its first 16
/// bytes as `owner`, all 32 as `sid`. No session can have it: a session's `sid` has 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssertionKey([u8; 32]);

impl AssertionKey {
    /// The key for the assertion of `issuer` that has this `jti`.
    pub fn of(issuer: &IssuerId, jti: &str) -> Self {
        let parts = [&[0][..], issuer.as_str().as_bytes(), &[0], jti.as_bytes()];
        Self(sha256(&parts.concat()))
    }

    /// Partition key: the first 16 bytes of the hash.
    pub fn owner(&self) -> [u8; 16] {
        first_16(&self.0)
    }

    /// Sort key: all 32 bytes of the hash.
    pub const fn sid(&self) -> &[u8; 32] {
        &self.0
    }
}

/// How often a session has rotated; issue creates generation 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(u32);

impl Generation {
    /// The generation that issue creates: 0.
    pub const FIRST: Self = Self(0);

    /// The generation after `number` renewals.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number of renewals: 0 after issue.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The generation after this one; `None` after 2³² − 1 renewals.
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// How many generations `self` is ahead of `older`; `None` when it is behind.
    pub const fn ahead_of(self, older: Self) -> Option<u32> {
        self.0.checked_sub(older.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subject_takes_1_to_255_bytes_without_control_characters() {
        assert!(Subject::parse("alice").is_some());
        assert!(Subject::parse(&"x".repeat(255)).is_some());
        assert!(Subject::parse(&"x".repeat(256)).is_none());
        assert!(Subject::parse("").is_none());
        assert!(Subject::parse("a\nb").is_none());
        assert!(Subject::parse("a\u{85}b").is_none());
    }

    #[test]
    fn subject_has_no_white_space_at_its_ends() {
        for fine in ["Ada Lovelace", "a\u{a0}b", "山田\u{3000}太郎"] {
            assert!(Subject::parse(fine).is_some(), "{fine:?}");
        }
        for space in [
            ' ', '\t', '\n', '\u{a0}', '\u{1680}', '\u{2000}', '\u{200a}', '\u{2028}', '\u{2029}', '\u{202f}',
            '\u{205f}', '\u{3000}',
        ] {
            for bad in [format!("{space}alice"), format!("alice{space}"), space.to_string()] {
                assert!(Subject::parse(&bad).is_none(), "{bad:?}");
            }
        }
    }

    #[test]
    fn subject_has_no_zero_width_or_bidirectional_characters() {
        let refused = ['\u{ad}', '\u{61c}', '\u{180e}', '\u{feff}']
            .into_iter()
            .chain('\u{200b}'..='\u{200f}')
            .chain('\u{202a}'..='\u{202e}')
            .chain('\u{2060}'..='\u{2064}')
            .chain('\u{2066}'..='\u{2069}');
        for character in refused {
            for bad in [format!("al{character}ice"), format!("{character}alice"), format!("alice{character}")] {
                assert!(Subject::parse(&bad).is_none(), "{bad:?}");
            }
        }
        // Their neighbours can be seen: a hyphen, a dash, a fraction.
        for fine in ["o\u{2010}brien", "a\u{2015}b", "a\u{2044}b", "אליס", "علي", "👩🏽"] {
            assert!(Subject::parse(fine).is_some(), "{fine:?}");
        }
    }

    #[test]
    fn client_id_takes_printable_ascii_only() {
        assert!(ClientId::parse("librechat").is_some());
        assert!(ClientId::parse("").is_none());
        assert!(ClientId::parse("café").is_none());
        assert!(ClientId::parse("a\0b").is_none());
    }

    #[test]
    fn sid_carries_the_terms_of_the_session() {
        let absolute = Timestamp::from_unix_millis(1_769_851_800_123);
        let sid = Sid::new(absolute, 604_800, [7; 7]);
        assert_eq!(sid.absolute_expires_at(), absolute);
        assert_eq!(sid.access_token_seconds(), 604_800);
        assert!(sid.as_bytes().ends_with(&[7; 7]));
    }

    #[test]
    fn sids_are_ordered_by_absolute_expiry() {
        let now = Timestamp::from_unix_millis(1_769_851_800_123);
        let just_after = Timestamp::from_unix_millis(now.unix_millis() + 1);
        assert!(Sid::new(now, 0xff_ffff, [0xff; 7]) <= Sid::last_over_at(now), "over at its absolute expiry");
        assert!(Sid::new(just_after, 0, [0; 7]) > Sid::last_over_at(now));
    }

    #[test]
    fn session_id_is_43_characters_and_reads_back() {
        let key = SessionKey { owner: Owner([1; 16]), sid: Sid([2; 16]) };
        let text = key.to_string();
        assert_eq!(text.len(), 43);
        assert_eq!(SessionKey::parse(&text), Some(key));
        assert_eq!(SessionKey::parse(&text[..42]), None);
        assert_eq!(SessionKey::parse(&format!("{text}=")), None);
        // The last character holds two unused bits, which must be zero.
        assert!(text.ends_with('I'), "{text}");
        assert_eq!(SessionKey::parse(&format!("{}J", &text[..42])), None);
    }

    #[test]
    fn owner_separates_client_and_subject() {
        let id = |text| ClientId::parse(text).unwrap();
        let subject = |text| Subject::parse(text).unwrap();
        assert_ne!(Owner::of(&id("ab"), &subject("c")), Owner::of(&id("a"), &subject("bc")));
    }

    #[test]
    fn all_clients_that_register_themselves_have_one_owner_a_subject() {
        let owner = |client: &str, subject: &str| {
            Owner::of(&ClientId::parse(client).unwrap(), &Subject::parse(subject).unwrap())
        };
        assert_eq!(owner("lkd1_a", "alice"), owner("lkd1_b", "alice"));
        assert_eq!(
            owner("lkd1_a", "alice"),
            Owner::of(&ClientId::of_dynamic_clients(), &Subject::parse("alice").unwrap())
        );
        assert_ne!(owner("lkd1_a", "alice"), owner("lkd1_a", "bob"));
        assert_ne!(owner("lkd1_a", "alice"), owner("lkd", "alice"));
    }
}
