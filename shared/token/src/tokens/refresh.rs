//! The refresh token: opaque to its holder, single use, stored only as a hash.
//!
//! `lk1_` + base64url, unpadded, of
//! `tag_kid(1) ‖ owner(16) ‖ sid(16) ‖ generation(u32 BE) ‖ secret(32) ‖ tag(16)`.
//!
//! The tag says only "we issued this, to this client". Without it nobody can end a session by guessing,
//! and nothing that fails here costs a request to the store. A leaked tag key alone opens nothing: the
//! store compares the secret's hash.

use std::fmt;

use aws_lc_rs::{constant_time, hmac};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{
    failure::Unavailable,
    keys::{KeyRing, TagKey},
    values::{ClientId, Generation, Owner, SessionKey, Sid, first_16, sha256},
};

const PREFIX: &str = "lk1_";
const TOKEN_BYTES: usize = 1 + 16 + 16 + 4 + 32 + 16;
/// Length of every refresh token: the prefix and 85 bytes in base64url.
pub const REFRESH_TOKEN_LENGTH: usize = PREFIX.len() + 114;

/// The secret of one generation: 32 random bytes. Has neither `Debug` nor `Display`.
#[derive(Clone)]
pub struct RefreshSecret([u8; 32]);

impl RefreshSecret {
    /// The secret of these bytes. For a new secret they must be random, from a cryptographic source.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// What the session record keeps of the secret: its SHA-256.
    pub fn hash(&self) -> SecretHash {
        SecretHash(sha256(&self.0))
    }
}

/// SHA-256 of a refresh token's secret: all that is ever stored. Compared in constant time, hidden in `Debug`.
#[derive(Clone, Copy)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// Takes back what a session record holds. The bytes are a hash; nothing is hashed here.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash, for the session record.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for SecretHash {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for SecretHash {}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

/// The text is not the encoding of a refresh token.
#[derive(Debug, PartialEq, Eq)]
pub struct NotARefreshToken;

/// A well-formed refresh token whose tag nobody has checked yet. Its only use is
/// [`UnverifiedRefreshToken::verify`]; until then its parts may be a stranger's invention.
pub struct UnverifiedRefreshToken {
    tag_kid: u8,
    tag: [u8; 16],
    token: RefreshToken,
}

impl UnverifiedRefreshToken {
    /// Reads the text form. Anything but the one canonical encoding is refused.
    pub fn parse(text: &str) -> Result<Self, NotARefreshToken> {
        if text.len() != REFRESH_TOKEN_LENGTH {
            return Err(NotARefreshToken);
        }
        let encoded = text.strip_prefix(PREFIX).ok_or(NotARefreshToken)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| NotARefreshToken)?;
        Self::split(&bytes).ok_or(NotARefreshToken)
    }

    fn split(bytes: &[u8]) -> Option<Self> {
        let ([tag_kid], rest) = bytes.split_first_chunk()?;
        let (owner, rest) = rest.split_first_chunk()?;
        let (sid, rest) = rest.split_first_chunk()?;
        let (generation, rest) = rest.split_first_chunk()?;
        let (secret, tag) = rest.split_first_chunk()?;
        Some(Self {
            tag_kid: *tag_kid,
            tag: tag.try_into().ok()?,
            token: RefreshToken {
                session: SessionKey { owner: Owner::from_bytes(*owner), sid: Sid::from_bytes(*sid) },
                generation: Generation::new(u32::from_be_bytes(*generation)),
                secret: RefreshSecret(*secret),
            },
        })
    }

    /// Which tag key the token names. May be unknown to the ring at hand.
    pub fn tag_kid(&self) -> u8 {
        self.tag_kid
    }

    /// The token, if `ring` made its tag for `client`. One constant-time comparison, no request to anything.
    pub fn verify(
        self,
        ring: &KeyRing,
        client: &ClientId,
        now_seconds: i64,
    ) -> Result<Option<RefreshToken>, Unavailable> {
        let Some(key) = ring.tag_key(self.tag_kid, now_seconds)? else { return Ok(None) };
        let tag = self.token.tag(key, client);
        let is_ours = constant_time::verify_slices_are_equal(&tag, &self.tag).is_ok();
        Ok(is_ours.then_some(self.token))
    }
}

/// A refresh token that we made for the client at hand. Has neither `Debug` nor `Display`; the one way to
/// its text is [`RefreshToken::expose`].
pub struct RefreshToken {
    /// The session that the token renews.
    pub session: SessionKey,
    /// The session's generation in which the token is the current one.
    pub generation: Generation,
    secret: RefreshSecret,
}

impl RefreshToken {
    /// A token of these parts. It gets its tag when it is written as text.
    pub fn new(session: SessionKey, generation: Generation, secret: RefreshSecret) -> Self {
        Self { session, generation, secret }
    }

    /// The secret; the session record has only its hash.
    pub fn secret(&self) -> &RefreshSecret {
        &self.secret
    }

    /// The text form, tagged for `client` with `key`.
    pub fn expose(&self, key: &TagKey, client: &ClientId) -> String {
        let mut bytes = Vec::with_capacity(TOKEN_BYTES);
        bytes.push(key.kid());
        bytes.extend(self.session.owner.as_bytes());
        bytes.extend(self.session.sid.as_bytes());
        bytes.extend(self.generation.number().to_be_bytes());
        bytes.extend(self.secret.expose());
        bytes.extend(self.tag(key, client));
        let mut text = String::with_capacity(REFRESH_TOKEN_LENGTH);
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(bytes, &mut text);
        text
    }

    fn tag(&self, key: &TagKey, client: &ClientId) -> [u8; 16] {
        let mut context = hmac::Context::with_key(key.hmac());
        context.update(b"lk1");
        context.update(&[key.kid()]);
        context.update(self.session.owner.as_bytes());
        context.update(self.session.sid.as_bytes());
        context.update(&self.generation.number().to_be_bytes());
        context.update(self.secret.hash().as_bytes());
        context.update(client.as_str().as_bytes());
        first_16(context.sign().as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::tag_ring as ring;

    fn client(id: &str) -> ClientId {
        ClientId::parse(id).unwrap()
    }

    fn token() -> RefreshToken {
        let session = SessionKey { owner: Owner::from_bytes([1; 16]), sid: Sid::from_bytes([2; 16]) };
        RefreshToken::new(session, Generation::new(7), RefreshSecret([3; 32]))
    }

    fn text() -> String {
        token().expose(ring().tagger(0).unwrap(), &client("librechat"))
    }

    fn verified(text: &str, id: &str) -> Option<RefreshToken> {
        UnverifiedRefreshToken::parse(text).ok()?.verify(&ring(), &client(id), 0).unwrap()
    }

    #[test]
    fn layout_is_kid_owner_sid_generation_secret_tag() {
        let text = text();
        assert_eq!(text.len(), REFRESH_TOKEN_LENGTH);
        let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix("lk1_").unwrap()).unwrap();
        assert_eq!(bytes.len(), TOKEN_BYTES);
        assert_eq!(bytes[0], 1);
        assert_eq!(bytes[1..17], [1; 16]);
        assert_eq!(bytes[17..33], [2; 16]);
        assert_eq!(bytes[33..37], [0, 0, 0, 7]);
        assert_eq!(bytes[37..69], [3; 32]);
        let mut message = b"lk1\x01".to_vec();
        message.extend(&bytes[1..37]);
        message.extend(sha256(&[3; 32]));
        message.extend(b"librechat");
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[9; 32]);
        assert_eq!(bytes[69..], hmac::sign(&key, &message).as_ref()[..16]);
    }

    #[test]
    fn the_tag_key_is_the_one_that_the_first_byte_names() {
        let mut bytes = URL_SAFE_NO_PAD.decode(&text()[4..]).unwrap();
        bytes[0] = 7;
        let renamed = format!("lk1_{}", URL_SAFE_NO_PAD.encode(bytes));
        assert_eq!(UnverifiedRefreshToken::parse(&renamed).unwrap().tag_kid(), 7);
        assert!(verified(&renamed, "librechat").is_none());
    }

    #[test]
    fn a_hash_is_not_printed() {
        assert_eq!(format!("{:?}", token().secret().hash()), "SecretHash(…)");
    }

    #[test]
    fn verifies_for_the_client_it_was_made_for_and_no_other() {
        let read = verified(&text(), "librechat").unwrap();
        assert_eq!(read.generation, Generation::new(7));
        assert_eq!(read.session, token().session);
        assert_eq!(read.secret().hash(), token().secret().hash());
        assert!(verified(&text(), "librechat2").is_none());
        assert!(verified(&text(), "librecha").is_none());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = URL_SAFE_NO_PAD.decode(&text()[4..]).unwrap();
        for index in 0..bytes.len() {
            for bit in 0..8 {
                let mut forged = bytes.clone();
                forged[index] ^= 1 << bit;
                let forged = format!("lk1_{}", URL_SAFE_NO_PAD.encode(forged));
                assert!(verified(&forged, "librechat").is_none(), "byte {index}, bit {bit}");
            }
        }
    }

    #[test]
    fn only_the_canonical_text_is_read() {
        let text = text();
        let body = &text[4..];
        let last_bits = format!("lk1_{}{}", &body[..113], char::from(body.as_bytes()[113] + 1));
        for bad in [
            String::new(),
            "lk1_".into(),
            body.into(),
            format!("lk2_{body}"),
            format!("LK1_{body}"),
            format!("{text}="),
            format!("{text}A"),
            format!(" {text}"),
            format!("lk1_{}", &body[1..]),
            format!("lk1_+{}", &body[1..]),
            format!("lk1_\n{}", &body[1..]),
            last_bits,
        ] {
            assert!(UnverifiedRefreshToken::parse(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_retired_or_unknown_tag_key_verifies_nothing() {
        let ring = crate::keys::KeyRing::parse(
            r#"{"signing":[],"tagging":[{"kid":1,"secret":"CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk","retire_at":100}]}"#,
        )
        .unwrap();
        let read =
            |now| UnverifiedRefreshToken::parse(&text()).unwrap().verify(&ring, &client("librechat"), now).unwrap();
        assert!(read(99).is_some());
        assert!(read(100).is_none());
    }
}
