//! Refresh tokens and codes: read, made, forged, taken for each other.

use std::sync::OnceLock;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use latchkey_token::{
    keys::KeyRing,
    tokens::{
        AuthorizationCode, CODE_LENGTH, REFRESH_TOKEN_LENGTH, RefreshSecret, RefreshToken, UnverifiedCode,
        UnverifiedRefreshToken,
    },
    values::{ClientId, Generation, Owner, SessionKey, Sid},
};

use crate::Outcome;

/// Bytes of a token that is to be made: owner, sid, generation, secret.
const PARTS: usize = 16 + 16 + 4 + 32;

/// Text is read only in its one canonical form, and what is read and verified is written as it was. A token made of the
/// input reads back as made, for its client alone, and no bit of it can change; with the prefix of the other kind it is no
/// token of that kind.
pub fn refresh_token(data: &[u8]) -> Outcome {
    let outcome = match std::str::from_utf8(data) {
        Ok(text) => read(text),
        Err(_) => Outcome::Refused,
    };
    if let Some((parts, flip)) = data.split_first_chunk::<PARTS>() {
        make(parts, flip);
    }
    outcome
}

fn ring() -> &'static KeyRing {
    static RING: OnceLock<KeyRing> = OnceLock::new();
    let secret = URL_SAFE_NO_PAD.encode([42; 32]);
    RING.get_or_init(|| {
        KeyRing::parse(&format!(r#"{{"signing":[],"tagging":[{{"kid":1,"secret":"{secret}"}}]}}"#)).unwrap()
    })
}

fn client(id: &str) -> ClientId {
    ClientId::parse(id).unwrap()
}

fn read(text: &str) -> Outcome {
    macro_rules! read {
        ($kind:ident, $prefix:literal, $length:ident) => {
            if let Ok(token) = $kind::parse(text) {
                assert_eq!(text.len(), $length);
                let bytes = URL_SAFE_NO_PAD.decode(&text[$prefix.len()..]).unwrap();
                let again = format!("{}{}", $prefix, URL_SAFE_NO_PAD.encode(&bytes));
                assert_eq!(again, text, "another spelling of the same token");
                assert_eq!(token.tag_kid(), bytes[0]);
                if let Some(token) = token.verify(ring(), &client("librechat"), 0).unwrap() {
                    assert_eq!(token.expose(ring().tagger(0).unwrap(), &client("librechat")), text);
                }
                return Outcome::Accepted;
            }
        };
    }
    read!(UnverifiedRefreshToken, "lk1_", REFRESH_TOKEN_LENGTH);
    read!(UnverifiedCode, "lkc1_", CODE_LENGTH);
    Outcome::Refused
}

fn make(parts: &[u8; PARTS], flip: &[u8]) {
    let (owner, rest) = parts.split_first_chunk().unwrap();
    let (sid, rest) = rest.split_first_chunk().unwrap();
    let (generation, secret) = rest.split_first_chunk().unwrap();
    let session = SessionKey { owner: Owner::from_bytes(*owner), sid: Sid::from_bytes(*sid) };
    let generation = Generation::new(u32::from_be_bytes(*generation));
    let secret = RefreshSecret::from_bytes(secret.try_into().unwrap());
    let made = RefreshToken::new(session, generation, secret);
    let text = made.expose(ring().tagger(0).unwrap(), &client("librechat"));

    let code = AuthorizationCode::new(session, generation, made.secret().clone());
    let code = code.expose(ring().tagger(0).unwrap(), &client("librechat"));
    let is_code = |text: &str| UnverifiedCode::parse(text).unwrap().verify(ring(), &client("librechat"), 0).unwrap();
    assert!(is_code(&code).is_some_and(|code| code.secret().hash() == made.secret().hash()));
    assert!(is_code(&text.replacen("lk1_", "lkc1_", 1)).is_none(), "a refresh token taken for a code");

    let verified = |text: &str, id| UnverifiedRefreshToken::parse(text).ok()?.verify(ring(), &client(id), 0).unwrap();
    let again = verified(&text, "librechat").expect("a token of our own");
    assert_eq!((again.session, again.generation), (session, generation));
    assert_eq!(again.secret().hash(), made.secret().hash());
    assert!(verified(&text, "librechat2").is_none(), "another client's");
    assert!(verified(&code.replacen("lkc1_", "lk1_", 1), "librechat").is_none(), "a code taken for a refresh token");

    let mut bytes = URL_SAFE_NO_PAD.decode(&text[4..]).unwrap();
    let bit = flip.iter().fold(0, |bit, byte| (bit * 256 + usize::from(*byte)) % (bytes.len() * 8));
    bytes[bit / 8] ^= 1 << (bit % 8);
    assert!(verified(&format!("lk1_{}", URL_SAFE_NO_PAD.encode(bytes)), "librechat").is_none(), "bit {bit}");
}
