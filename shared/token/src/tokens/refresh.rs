//! A session's token: the refresh token, and the authorization code, which is the first token of a session that begins
//! with a sign-in. Opaque to its holder, single use, stored only as a hash.
//!
//! `lk1_` (refresh token) or `lkc1_` (code) + base64url, unpadded, of
//! `tag_kid(1) ‖ owner(16) ‖ sid(16) ‖ generation(u32 BE) ‖ secret(32) ‖ tag(16)`.
//!
//! The tag says only "we issued this, to this client". Without it nobody can end a session by guessing,
//! and nothing that fails here costs a request to the store. A leaked tag key alone opens nothing: the
//! store compares the secret's hash. Each kind has its own tags, so that neither is taken for the other.

use std::{fmt, marker::PhantomData};

use aws_lc_rs::{constant_time, hmac};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{
    failure::Unavailable,
    keys::{KeyRing, TagKey},
    values::{ClientId, Generation, Owner, SessionKey, Sid, first_16, sha256},
};

const TOKEN_BYTES: usize = 1 + 16 + 16 + 4 + 32 + 16;
/// [`TOKEN_BYTES`] in base64url.
const ENCODED_LENGTH: usize = 114;
/// Length of every refresh token: the prefix and 85 bytes in base64url.
pub const REFRESH_TOKEN_LENGTH: usize = Refresh::PREFIX.len() + ENCODED_LENGTH;
/// Length of every code: the prefix and 85 bytes in base64url.
pub const CODE_LENGTH: usize = Code::PREFIX.len() + ENCODED_LENGTH;

/// What tells the kinds of a session's tokens apart: nothing but the prefix of the text and what the tag begins with.
pub trait Kind {
    /// What the text begins with.
    const PREFIX: &'static str;
    /// What the tag is made over begins with.
    const TAGGED: &'static [u8];
}

/// The kind of refresh tokens.
pub enum Refresh {}

impl Kind for Refresh {
    const PREFIX: &'static str = "lk1_";
    const TAGGED: &'static [u8] = b"lk1";
}

/// The kind of authorization codes (RFC 6749 §1.3.1).
pub enum Code {}

impl Kind for Code {
    const PREFIX: &'static str = "lkc1_";
    const TAGGED: &'static [u8] = b"lkc1";
}

/// A refresh token that we made for the client at hand.
pub type RefreshToken = SessionToken<Refresh>;
/// A refresh token whose tag nobody has checked yet.
pub type UnverifiedRefreshToken = UnverifiedSessionToken<Refresh>;
/// An authorization code that we made for the client at hand.
pub type AuthorizationCode = SessionToken<Code>;
/// An authorization code whose tag nobody has checked yet.
pub type UnverifiedCode = UnverifiedSessionToken<Code>;

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

/// SHA-256 of the secret of a refresh token or code: all that is ever stored of it. Compared in constant time, hidden in `Debug`.
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

/// The text is not the encoding of a token of the kind that is wanted.
#[derive(Debug, PartialEq, Eq)]
pub struct NotASessionToken;

/// A well-formed token whose tag nobody has checked yet. Its only use is [`UnverifiedSessionToken::verify`]; until then
/// its parts may be a stranger's invention.
pub struct UnverifiedSessionToken<K> {
    tag_kid: u8,
    tag: [u8; 16],
    token: SessionToken<K>,
}

impl<K: Kind> UnverifiedSessionToken<K> {
    /// Reads the text form. Anything but the one canonical encoding is refused.
    pub fn parse(text: &str) -> Result<Self, NotASessionToken> {
        if text.len() != K::PREFIX.len() + ENCODED_LENGTH {
            return Err(NotASessionToken);
        }
        let encoded = text.strip_prefix(K::PREFIX).ok_or(NotASessionToken)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| NotASessionToken)?;
        Self::split(&bytes).ok_or(NotASessionToken)
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
            token: SessionToken {
                session: SessionKey { owner: Owner::from_bytes(*owner), sid: Sid::from_bytes(*sid) },
                generation: Generation::new(u32::from_be_bytes(*generation)),
                secret: RefreshSecret(*secret),
                kind: PhantomData,
            },
        })
    }

    /// Which tag key the token names. May be unknown to the ring at hand.
    pub fn tag_kid(&self) -> u8 {
        self.tag_kid
    }

    /// Which session it claims to be of: for finding out whose it may be.
    pub(crate) const fn claimed_session(&self) -> &SessionKey {
        &self.token.session
    }

    /// The token, if `ring` made its tag for `client`. One constant-time comparison, no request to anything.
    pub fn verify(
        self,
        ring: &KeyRing,
        client: &ClientId,
        now_seconds: i64,
    ) -> Result<Option<SessionToken<K>>, Unavailable> {
        let Some(key) = ring.tag_key(self.tag_kid, now_seconds)? else { return Ok(None) };
        let tag = self.token.tag(key, client);
        let is_ours = constant_time::verify_slices_are_equal(&tag, &self.tag).is_ok();
        Ok(is_ours.then_some(self.token))
    }
}

/// A token that we made for the client at hand. Has neither `Debug` nor `Display`; the one way to its text is
/// [`SessionToken::expose`].
pub struct SessionToken<K> {
    /// The session that the token renews.
    pub session: SessionKey,
    /// The session's generation in which the token is the current one.
    pub generation: Generation,
    secret: RefreshSecret,
    kind: PhantomData<K>,
}

impl<K: Kind> SessionToken<K> {
    /// A token of these parts. It gets its tag when it is written as text.
    pub fn new(session: SessionKey, generation: Generation, secret: RefreshSecret) -> Self {
        Self { session, generation, secret, kind: PhantomData }
    }

    /// The same for use cases to which all kinds are alike.
    pub(crate) fn into_kind<Other>(self) -> SessionToken<Other> {
        let Self { session, generation, secret, .. } = self;
        SessionToken { session, generation, secret, kind: PhantomData }
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
        let mut text = String::with_capacity(K::PREFIX.len() + ENCODED_LENGTH);
        text.push_str(K::PREFIX);
        URL_SAFE_NO_PAD.encode_string(bytes, &mut text);
        text
    }

    fn tag(&self, key: &TagKey, client: &ClientId) -> [u8; 16] {
        let mut context = hmac::Context::with_key(key.hmac());
        context.update(K::TAGGED);
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
    fn a_code_is_no_refresh_token_and_a_refresh_token_is_no_code_whatever_its_prefix_says() {
        let (ring, client) = (ring(), client("librechat"));
        let key = ring.tagger(0).unwrap();
        let RefreshToken { session, generation, secret, .. } = token();
        let code = AuthorizationCode::new(session, generation, secret).expose(key, &client);
        assert!(code.starts_with("lkc1_") && code.len() == CODE_LENGTH);
        let is_code = |text: &str| {
            UnverifiedCode::parse(text).is_ok_and(|code| code.verify(&ring, &client, 0).unwrap().is_some())
        };
        assert!(is_code(&code) && verified(&text(), "librechat").is_some());
        assert!(!is_code(&text()) && verified(&code, "librechat").is_none());
        let renamed = |text: &str, from: &str, to: &str| text.replacen(from, to, 1);
        assert!(!is_code(&renamed(&text(), "lk1_", "lkc1_")));
        assert!(verified(&renamed(&code, "lkc1_", "lk1_"), "librechat").is_none());
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
