//! The id of a client that has registered itself (RFC 7591): its registration, under a tag, so that nothing is stored.
//!
//! `lkd1_` + base64url, unpadded, of
//! `tag_kid(1) ‖ registered_at(u64 BE, Unix seconds) ‖ method(1) ‖ random(16) ‖ 1 to 8 × redirect(16) ‖ tag(16)`.
//!
//! A redirect is the first 16 bytes of SHA-256 over the address, without the port of a loopback host. The tag is the first
//! 16 bytes of HMAC-SHA256 over all that and the deployment's `iss`. The client's secret, where it has one, is an HMAC of the
//! same key over the id: whoever makes up an id or alters one is nobody.

use std::fmt;

use aws_lc_rs::{constant_time, hmac};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{
    keys::RegistrationKey,
    values::{ClientId, Timestamp, WebUrl, first_16, sha256},
};

/// What the text begins with.
const PREFIX: &str = "lkd1_";
const TAG_BYTES: usize = 16;
const REDIRECT_BYTES: usize = 16;
/// What stands before the redirects.
const HEAD_BYTES: usize = 1 + 8 + 1 + 16;

/// A client registers for at most so many addresses; with them its id has 232 characters.
pub const MAX_REDIRECTS: usize = 8;

/// What keeps ids and secrets apart.
const ID_LABEL: &[u8] = b"latchkey registered client";
const SECRET_LABEL: &[u8] = b"latchkey registered client's secret";

/// How a client has said that it authenticates at the token endpoint (RFC 7591 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthenticationMethod {
    /// `none`: a public client.
    None,
    /// `client_secret_basic`.
    Basic,
    /// `client_secret_post`.
    Post,
}

impl AuthenticationMethod {
    /// All of them, in the order of their numbers.
    const ALL: [Self; 3] = [Self::None, Self::Basic, Self::Post];

    /// The registered name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Basic => "client_secret_basic",
            Self::Post => "client_secret_post",
        }
    }

    /// The method of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    const fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Basic => 1,
            Self::Post => 2,
        }
    }

    fn of_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.number() == number)
    }
}

/// The addresses that a client has registered for, as hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RedirectHashes(Vec<[u8; REDIRECT_BYTES]>);

impl RedirectHashes {
    /// Whether the client has registered for `asked`, or for the same with another port on a loopback host.
    pub fn has(&self, asked: &WebUrl) -> bool {
        self.0.contains(&redirect_hash(asked))
    }
}

fn redirect_hash(url: &WebUrl) -> [u8; REDIRECT_BYTES] {
    first_16(&sha256(url.without_loopback_port().as_bytes()))
}

/// A well-formed id whose tag nobody has checked yet. Its only use is [`UnverifiedId::verify`].
pub(crate) struct UnverifiedId<'t> {
    text: &'t str,
    bytes: Vec<u8>,
}

impl<'t> UnverifiedId<'t> {
    /// `None` for what is not of the form, non-canonical encodings included.
    pub fn parse(text: &'t str) -> Option<Self> {
        let fits = |redirects: usize| {
            redirects.is_multiple_of(REDIRECT_BYTES) && (1..=MAX_REDIRECTS).contains(&(redirects / REDIRECT_BYTES))
        };
        let encoded = text.strip_prefix(PREFIX).filter(|_| text.len() <= 255)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).ok()?;
        let is_whole = bytes.len().checked_sub(HEAD_BYTES + TAG_BYTES).is_some_and(fits);
        is_whole.then_some(Self { text, bytes })
    }

    /// The number of the registration key that it claims to be tagged with.
    pub fn key_number(&self) -> u8 {
        self.bytes.first().copied().unwrap_or_default()
    }

    /// The registration, if the deployment of `issuer` has made it with `key`.
    pub fn verify(&self, key: &RegistrationKey, issuer: &str) -> Option<RegisteredId> {
        let (registration, tag) = self.bytes.split_last_chunk::<TAG_BYTES>()?;
        constant_time::verify_slices_are_equal(&tag_of(key, issuer, registration), tag).ok()?;
        let (_, rest) = registration.split_first()?;
        let (seconds, rest) = rest.split_first_chunk::<8>()?;
        let (method, rest) = rest.split_first()?;
        let redirects = rest.get(16..)?.chunks_exact(REDIRECT_BYTES).map(first_16).collect();
        Some(RegisteredId {
            client_id: ClientId::parse(self.text)?,
            registered_at: Timestamp::from_unix_seconds(i64::try_from(u64::from_be_bytes(*seconds)).ok()?),
            method: AuthenticationMethod::of_number(*method)?,
            redirects: RedirectHashes(redirects),
        })
    }
}

/// A client that has registered itself with this deployment. Its registration may be over.
#[derive(Clone, PartialEq, Eq)]
pub struct RegisteredId {
    client_id: ClientId,
    registered_at: Timestamp,
    method: AuthenticationMethod,
    redirects: RedirectHashes,
}

impl fmt::Debug for RegisteredId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisteredId").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

impl RegisteredId {
    /// Random bytes that a new id takes: no two registrations are alike.
    pub const RANDOM_BYTES: usize = 16;

    /// A new registration for `redirects`, which are 1 to [`MAX_REDIRECTS`], with the key of this number. `None` for any
    /// other number of redirects.
    pub fn new(
        (key_number, key): (u8, &RegistrationKey),
        issuer: &str,
        registered_at: Timestamp,
        method: AuthenticationMethod,
        redirects: &[WebUrl],
        random: [u8; Self::RANDOM_BYTES],
    ) -> Option<Self> {
        let seconds = u64::try_from(registered_at.unix_seconds()).ok()?;
        let mut bytes = vec![key_number];
        bytes.extend(seconds.to_be_bytes());
        bytes.push(method.number());
        bytes.extend(random);
        bytes.extend(redirects.iter().flat_map(redirect_hash));
        let tag = tag_of(key, issuer, &bytes);
        bytes.extend(tag);
        let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
        UnverifiedId::parse(&text)?.verify(key, issuer)
    }

    /// The client's id.
    pub const fn client_id(&self) -> &ClientId {
        &self.client_id
    }

    /// When the client has registered, on a full second.
    pub const fn registered_at(&self) -> Timestamp {
        self.registered_at
    }

    /// How it has said that it authenticates.
    pub const fn method(&self) -> AuthenticationMethod {
        self.method
    }

    pub(crate) const fn redirects(&self) -> &RedirectHashes {
        &self.redirects
    }

    /// The client's secret: 43 characters. `None`: a public client has none.
    pub fn secret(&self, key: &RegistrationKey, issuer: &str) -> Option<String> {
        let secret = mac(key, SECRET_LABEL, issuer, self.client_id.as_str().as_bytes());
        (self.method != AuthenticationMethod::None).then(|| URL_SAFE_NO_PAD.encode(secret))
    }
}

fn tag_of(key: &RegistrationKey, issuer: &str, registration: &[u8]) -> [u8; TAG_BYTES] {
    first_16(mac(key, ID_LABEL, issuer, registration).as_ref())
}

fn mac(key: &RegistrationKey, label: &[u8], issuer: &str, text: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key.hmac());
    for part in [&sha256(label)[..], &sha256(issuer.as_bytes()), text] {
        context.update(part);
    }
    context.sign()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::NOW;

    const ISSUER: &str = "https://id.example.org";

    fn key(byte: u8) -> RegistrationKey {
        RegistrationKey::from_bytes(&[byte; 32])
    }

    fn urls(count: usize) -> Vec<WebUrl> {
        (0..count).map(|number| WebUrl::parse(&format!("https://chat.example.org/{number}")).unwrap()).collect()
    }

    fn registered(method: AuthenticationMethod, count: usize) -> RegisteredId {
        RegisteredId::new((7, &key(9)), ISSUER, NOW, method, &urls(count), [5; 16]).unwrap()
    }

    fn verify(text: &str, key: &RegistrationKey, issuer: &str) -> Option<RegisteredId> {
        UnverifiedId::parse(text)?.verify(key, issuer)
    }

    #[test]
    fn an_id_has_at_most_255_characters_and_says_what_was_registered() {
        for count in 1..=MAX_REDIRECTS {
            let id = registered(AuthenticationMethod::Post, count);
            let text = id.client_id().as_str();
            assert!(text.starts_with("lkd1_") && text.len() <= 255, "{}", text.len());
            assert_eq!(UnverifiedId::parse(text).unwrap().key_number(), 7);
            assert_eq!(verify(text, &key(9), ISSUER), Some(id.clone()));
            assert_eq!((id.registered_at(), id.method()), (NOW, AuthenticationMethod::Post));
            assert!(urls(count).iter().all(|url| id.redirects().has(url)));
            assert!(!id.redirects().has(&WebUrl::parse("https://chat.example.org/x").unwrap()));
        }
        assert_eq!(registered(AuthenticationMethod::None, MAX_REDIRECTS).client_id().as_str().len(), 232);
        let of =
            |urls: &[WebUrl]| RegisteredId::new((7, &key(9)), ISSUER, NOW, AuthenticationMethod::None, urls, [5; 16]);
        assert!(of(&[]).is_none() && of(&urls(9)).is_none());
    }

    #[test]
    fn an_altered_id_and_another_deployments_are_nobodys() {
        for count in [1, MAX_REDIRECTS] {
            let id = registered(AuthenticationMethod::None, count);
            let text = id.client_id().as_str();
            assert!(verify(text, &key(8), ISSUER).is_none());
            assert!(verify(text, &key(9), "https://id.example.com").is_none());
            let bytes = URL_SAFE_NO_PAD.decode(&text[5..]).unwrap();
            for index in 0..bytes.len() {
                for bit in 0..8 {
                    let mut altered = bytes.clone();
                    altered[index] ^= 1 << bit;
                    let altered = format!("lkd1_{}", URL_SAFE_NO_PAD.encode(altered));
                    assert!(verify(&altered, &key(9), ISSUER).is_none(), "bit {bit} of byte {index}");
                }
            }
            for end in 0..text.len() {
                assert!(verify(&text[..end], &key(9), ISSUER).is_none(), "{end}");
            }
            for other in [format!("{text}A"), format!("{text}="), format!(" {text}"), text.replace("lkd1_", "lkd2_")] {
                assert!(verify(&other, &key(9), ISSUER).is_none(), "{other}");
            }
        }
    }

    #[test]
    fn a_secret_is_of_its_id_and_its_deployment_and_public_clients_have_none() {
        let secret = |id: &RegisteredId, issuer| id.secret(&key(9), issuer);
        let (basic, post) = (registered(AuthenticationMethod::Basic, 1), registered(AuthenticationMethod::Post, 1));
        let own = secret(&basic, ISSUER).unwrap();
        assert_eq!(own.len(), 43);
        assert_eq!(secret(&basic, ISSUER), Some(own.clone()));
        assert_ne!(secret(&post, ISSUER), Some(own.clone()));
        assert_ne!(secret(&basic, "https://id.example.com"), Some(own.clone()));
        assert_ne!(basic.secret(&key(8), ISSUER), Some(own.clone()));
        assert!(!basic.client_id().as_str().contains(&own[..22]), "the tag is no part of it");
        assert_eq!(secret(&registered(AuthenticationMethod::None, 1), ISSUER), None);
    }

    #[test]
    fn the_port_of_a_loopback_address_is_not_registered() {
        let own = [WebUrl::parse("http://localhost:3000/callback").unwrap()];
        let id = RegisteredId::new((1, &key(9)), ISSUER, NOW, AuthenticationMethod::None, &own, [5; 16]).unwrap();
        let has = |text: &str| id.redirects().has(&WebUrl::parse(text).unwrap());
        assert!(has("http://localhost:1/callback") && has("http://localhost/callback"));
        assert!(!has("http://127.0.0.1/callback") && !has("https://localhost/callback") && !has("http://localhost/"));
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_a_panic(text in "(lkd1_)?[A-Za-z0-9_=-]{0,255}") {
            prop_assert!(verify(&text, &key(9), ISSUER).is_none());
        }

        #[test]
        fn what_was_registered_comes_back(kid in any::<u8>(), seconds in 0..=253_402_300_799_i64, random in any::<[u8; 16]>(), count in 1..=8_usize, number in 0..3_u8) {
            let (at, method) = (Timestamp::from_unix_seconds(seconds), AuthenticationMethod::of_number(number).unwrap());
            let id = RegisteredId::new((kid, &key(1)), ISSUER, at, method, &urls(count), random).unwrap();
            prop_assert_eq!(verify(id.client_id().as_str(), &key(1), ISSUER), Some(id.clone()));
            prop_assert_eq!((id.registered_at(), id.method()), (at, method));
        }
    }
}
