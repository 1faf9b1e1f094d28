//! The key ring: all signing and tag keys, with the times at which each is published, signs and retires.

use std::fmt;

use aws_lc_rs::hmac;
use jsonwebtoken::{
    DecodingKey, EncodingKey,
    jwk::{Jwk, JwkSet},
};

use super::{
    algorithm::Algorithm,
    audit_key::AuditKey,
    of_tag_key::RegistrationKey,
    parsed::{SigningMaterial, VerifyingMaterial},
    public::PublicKeys,
};
use crate::{failure::Unavailable, values::Subject};

/// `sign_from` of a key that is published and waits for its promotion: the end of the year 9999.
pub const NOT_YET: i64 = 253_402_300_799;

/// A signing key's id: 1 to 255 printable ASCII characters. Asymmetric keys use their RFC 7638 thumbprint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kid(String);

impl Kid {
    /// `None` unless the text is 1 to 255 printable ASCII characters, none of them a space.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=255).contains(&text.len()) && text.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
        fits.then(|| Self(text.to_owned()))
    }

    /// The id as it stands in the ring and in a token's header (RFC 7515 §4.1.4).
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// When a key is in use, in Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lifetime {
    pub publish_at: i64,
    pub sign_from: i64,
    pub retire_at: Option<i64>,
}

impl Lifetime {
    pub(super) fn verifies_at(&self, now: i64) -> bool {
        self.publish_at <= now && self.retire_at.is_none_or(|retire_at| now < retire_at)
    }

    fn signs_at(&self, now: i64) -> bool {
        self.sign_from <= now && self.verifies_at(now)
    }
}

/// A key that verifies with its one algorithm what has been signed with it. In the ring of `signing-keys` it has its
/// private half beside it, and [`KeyRing::signer`] gives that; in one of `verification-keys` no key has.
pub struct SigningKey {
    pub(super) kid: Kid,
    pub(super) algorithm: Algorithm,
    pub(super) lifetime: Lifetime,
    /// The private half; none in a ring of those who only verify.
    pub(super) signer: Option<SigningMaterial>,
    pub(super) verifier: VerifyingMaterial,
    /// What may be published; none for HS256.
    pub(super) public: Option<Jwk>,
}

impl SigningKey {
    /// The key's id: `kid` in the header of every token that it signs.
    pub fn kid(&self) -> &Kid {
        &self.kid
    }

    /// The one algorithm that the key may be used with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether both have a private half, and the same.
    pub(super) fn has_material_of(&self, other: &Self) -> bool {
        matches!((self.private_key(), other.private_key()), (Some(own), Some(other)) if own.as_bytes() == other.as_bytes())
    }

    pub(crate) fn private_key(&self) -> Option<&EncodingKey> {
        self.signer.as_ref().map(SigningMaterial::key)
    }

    pub(crate) fn verifier(&self) -> &DecodingKey {
        self.verifier.key()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// A signing key with its private half.
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    key: &'a SigningKey,
    private_key: &'a EncodingKey,
}

impl<'a> Signer<'a> {
    fn of(key: &'a SigningKey) -> Option<Self> {
        Some(Self { key, private_key: key.private_key()? })
    }

    /// The key's id: `kid` in the header of every token that it signs.
    pub fn kid(&self) -> &'a Kid {
        &self.key.kid
    }

    /// The one algorithm that the key may be used with.
    pub fn algorithm(&self) -> Algorithm {
        self.key.algorithm
    }

    pub(crate) fn private_key(&self) -> &'a EncodingKey {
        self.private_key
    }
}

impl fmt::Debug for Signer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)
    }
}

/// A key for the tags of refresh tokens.
pub struct TagKey {
    pub(super) kid: u8,
    pub(super) use_from: i64,
    pub(super) retire_at: Option<i64>,
    pub(super) key: hmac::Key,
    /// Tells equal keys apart from different ones.
    pub(super) fingerprint: [u8; 32],
    /// What sign-ins are sealed with, derived from it.
    pub(super) ticket_secret: [u8; 32],
    /// What registered clients are tagged with, derived from it.
    pub(super) registration_key: RegistrationKey,
}

impl TagKey {
    /// The key's number, 0 to 255: the first byte of every refresh token that it tags.
    pub const fn kid(&self) -> u8 {
        self.kid
    }

    pub(crate) const fn hmac(&self) -> &hmac::Key {
        &self.key
    }

    /// What sign-ins are sealed with while this key is in use, and with what times.
    pub(crate) const fn ticket(&self) -> (&[u8; 32], i64, Option<i64>) {
        (&self.ticket_secret, self.use_from, self.retire_at)
    }

    /// What clients are tagged with that register while this key is in use.
    pub(crate) const fn registration_key(&self) -> &RegistrationKey {
        &self.registration_key
    }

    fn is_usable_at(&self, now: i64) -> bool {
        self.retire_at.is_none_or(|retire_at| now < retire_at)
    }
}

impl fmt::Debug for TagKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TagKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// All keys of the deployment. Every time is in Unix seconds. Faulty keys are quarantined: asking for one is
/// [`Unavailable`].
#[derive(Debug, Default)]
pub struct KeyRing {
    pub(super) signing: Vec<SigningKey>,
    pub(super) tagging: Vec<TagKey>,
    /// The ids of faulty keys; `None`: it cannot be read, so the key may be any.
    pub(super) faulty_kids: Vec<Option<String>>,
    pub(super) faulty_tag_kids: Vec<Option<u8>>,
    pub(super) audit: Option<AuditKey>,
}

impl KeyRing {
    /// How the audit trail names the subject; `None` without an audit key ([`AuditKey`]).
    pub fn audit_name(&self, subject: &Subject) -> Option<String> {
        self.audit.as_ref().map(|key| key.name(subject))
    }

    /// Whether there is a usable audit key.
    pub const fn has_audit_key(&self) -> bool {
        self.audit.is_some()
    }

    /// How long the key that has signed longest has done so, in seconds: rotation replaces it. `None` where nothing
    /// signs, or only what has signed since ever. HS256 keys do not count: nobody rotates them here.
    pub fn longest_signing(&self, now: i64) -> Option<i64> {
        let since = |key: &SigningKey| (key.lifetime.sign_from > 0).then_some(now - key.lifetime.sign_from);
        self.signers(now).filter_map(since).max()
    }

    /// How long until a key that signs now is retired, in seconds: by then another one must have taken over. `None`
    /// while none is to be retired.
    pub fn soonest_retirement(&self, now: i64) -> Option<i64> {
        self.signers(now).filter_map(|key| key.lifetime.retire_at).map(|retire_at| retire_at - now).min()
    }

    fn signers(&self, now: i64) -> impl Iterator<Item = &SigningKey> {
        Algorithm::ALL.into_iter().filter_map(move |algorithm| self.signing(algorithm, None, now))
    }

    /// The key that signs with `algorithm` now: the one named, or else the one with the greatest `sign_from`.
    /// HS256 keys are chosen only by name. `None` where its private half is not, as in a ring of `verification-keys`.
    pub fn signer(&self, algorithm: Algorithm, kid: Option<&Kid>, now: i64) -> Option<Signer<'_>> {
        Signer::of(self.signing(algorithm, kid, now)?)
    }

    fn signing(&self, algorithm: Algorithm, kid: Option<&Kid>, now: i64) -> Option<&SigningKey> {
        let candidates = self.signing.iter().filter(|key| key.algorithm == algorithm && key.lifetime.signs_at(now));
        match kid {
            Some(kid) => candidates.into_iter().find(|key| key.kid == *kid),
            None if algorithm.is_symmetric() => None,
            None => candidates.max_by_key(|key| (key.lifetime.sign_from, &key.kid)),
        }
    }

    /// The key named `kid`, if it verifies now; `None` if there is none. An exact match in memory, whatever `kid` holds.
    pub fn verifier(&self, kid: &str, now: i64) -> Result<Option<&SigningKey>, Unavailable> {
        match self.signing.iter().find(|key| key.kid.as_str() == kid) {
            Some(key) => Ok(Some(key).filter(|key| key.lifetime.verifies_at(now))),
            None if self.faulty_kids.iter().any(|faulty| faulty.as_deref().is_none_or(|faulty| faulty == kid)) => {
                Err(faulty("signing key"))
            }
            None if self.signing.is_empty() => Err(empty("signing key")),
            None => Ok(None),
        }
    }

    /// Whether there is no signing key, whatever the time.
    pub fn is_empty(&self) -> bool {
        self.signing.is_empty()
    }

    /// A key by its name, whatever the time.
    pub fn named(&self, kid: &Kid) -> Option<&SigningKey> {
        self.signing.iter().find(|key| key.kid == *kid)
    }

    /// Whether a tag key of this number is there, whatever the time.
    pub(crate) fn has_tag_key(&self, kid: u8) -> bool {
        self.tagging.iter().any(|key| key.kid == kid)
    }

    /// What may be published now: every asymmetric key from `publish_at` to `retire_at`.
    pub fn public_keys(&self, now: i64) -> PublicKeys {
        PublicKeys(JwkSet { keys: self.published(now).cloned().collect() })
    }

    /// An asymmetric key whose signature does not verify under those that are `published` now, if there is one.
    pub fn key_that_fails_under(&self, published: &Self, now: i64) -> Option<&Kid> {
        let verifies = |key: &SigningKey| {
            let message = key.kid.as_str().as_bytes();
            let verifier = published.named(&key.kid).filter(|other| other.lifetime.verifies_at(now))?;
            let signature = jsonwebtoken::crypto::sign(message, key.private_key()?, key.algorithm.jose()).ok()?;
            jsonwebtoken::crypto::verify(&signature, message, verifier.verifier(), key.algorithm.jose()).ok()
        };
        let mut asymmetric = self.signing.iter().filter(|key| key.public.is_some() && key.lifetime.verifies_at(now));
        asymmetric.find(|key| verifies(key) != Some(true)).map(SigningKey::kid)
    }

    fn published(&self, now: i64) -> impl Iterator<Item = &Jwk> {
        self.signing.iter().filter(move |key| key.lifetime.verifies_at(now)).filter_map(|key| key.public.as_ref())
    }

    /// The key for the tags of new refresh tokens: the greatest `use_from ≤ now`.
    pub fn tagger(&self, now: i64) -> Option<&TagKey> {
        self.tagging
            .iter()
            .filter(|key| key.use_from <= now && key.is_usable_at(now))
            .max_by_key(|key| (key.use_from, key.kid))
    }

    /// All tag keys that are sound, whatever the time.
    pub(crate) fn tag_keys(&self) -> &[TagKey] {
        &self.tagging
    }

    /// The numbers of faulty tag keys; `None`: it cannot be read, so the key may be any.
    pub(crate) fn faulty_tag_keys(&self) -> &[Option<u8>] {
        &self.faulty_tag_kids
    }

    /// The tag key named `kid`; `None` if there is none, or it has retired.
    pub fn tag_key(&self, kid: u8, now: i64) -> Result<Option<&TagKey>, Unavailable> {
        match self.tagging.iter().find(|key| key.kid == kid) {
            Some(key) => Ok(Some(key).filter(|key| key.is_usable_at(now))),
            None if self.faulty_tag_kids.iter().any(|faulty| faulty.is_none_or(|faulty| faulty == kid)) => {
                Err(faulty("tag key"))
            }
            None if self.tagging.is_empty() => Err(empty("tag key")),
            None => Ok(None),
        }
    }
}

/// The log has said what is wrong with it, and where.
fn faulty(kind: &'static str) -> Unavailable {
    Unavailable::new("document", format!("this {kind} is faulty in the key ring"))
}

/// A ring that has none cannot say that one is unknown: it is not made yet, or was written by mistake.
fn empty(kind: &'static str) -> Unavailable {
    Unavailable::new("key ring", format!("there is no {kind} in it"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{hs256_entry, one_es256_pem, pem_entry, rsa_pem};

    /// A ring of these signing keys.
    fn signing(entries: &[String]) -> KeyRing {
        KeyRing::parse(&format!(r#"{{"signing":[{}],"tagging":[]}}"#, entries.join(","))).unwrap()
    }

    #[test]
    fn an_empty_ring_is_a_ring_without_signers() {
        let ring = signing(&[]);
        assert!(ring.signer(Algorithm::Rs256, None, 0).is_none());
        assert!(ring.tagger(0).is_none());
    }

    #[test]
    fn ages_are_those_of_the_asymmetric_keys_that_sign_now() {
        let other = crate::testing::es256_pem();
        let ring = signing(&[
            pem_entry("old", "ES256", one_es256_pem(), r#""sign_from":10,"retire_at":100"#),
            pem_entry("new", "ES256", &other, r#""publish_at":20,"sign_from":50"#),
            pem_entry("rsa", "RS256", &rsa_pem(2048), r#""sign_from":30"#),
            hs256_entry("hs", &"s".repeat(32)),
        ]);
        assert_eq!((ring.longest_signing(9), ring.soonest_retirement(9)), (None, None));
        assert_eq!((ring.longest_signing(40), ring.soonest_retirement(40)), (Some(30), Some(60)));
        assert_eq!((ring.longest_signing(60), ring.soonest_retirement(60)), (Some(30), None), "the old one has done");
        let always = signing(&[pem_entry("always", "ES256", one_es256_pem(), "")]);
        assert_eq!(always.longest_signing(60), None);
    }

    #[test]
    fn the_signer_is_the_key_with_the_greatest_sign_from_not_in_the_future() {
        let other = crate::testing::es256_pem();
        let ring = signing(&[
            pem_entry("old", "ES256", one_es256_pem(), r#""sign_from":10,"retire_at":100"#),
            pem_entry("new", "ES256", &other, r#""publish_at":20,"sign_from":50"#),
        ]);
        let kid_at = |now| ring.signer(Algorithm::Es256, None, now).map(|key| key.kid().as_str());
        assert_eq!(kid_at(9), None);
        assert_eq!(kid_at(10), Some("old"));
        assert_eq!(kid_at(49), Some("old"));
        assert_eq!(kid_at(50), Some("new"));
        let published = |now| ring.published(now).filter_map(|jwk| jwk.common.key_id.as_deref()).collect::<Vec<_>>();
        assert_eq!(published(19), ["old"]);
        assert_eq!(published(20), ["old", "new"]);
        assert_eq!(published(100), ["new"]);
        assert!(ring.verifier("old", 99).unwrap().is_some());
        assert!(ring.verifier("old", 100).unwrap().is_none());
        assert!(ring.verifier("new", 19).unwrap().is_none());
    }

    #[test]
    fn equal_sign_from_is_decided_by_kid() {
        let entries =
            [pem_entry("b", "ES256", one_es256_pem(), ""), pem_entry("a", "ES256", &crate::testing::es256_pem(), "")];
        assert_eq!(signing(&entries).signer(Algorithm::Es256, None, 0).unwrap().kid().as_str(), "b");
    }

    #[test]
    fn hs256_keys_are_never_published_and_never_chosen_but_by_name() {
        let ring = signing(&[hs256_entry("librechat-hs", "0123456789abcdef0123456789abcdef")]);
        assert_eq!(ring.published(0).count(), 0);
        assert!(ring.signer(Algorithm::Hs256, None, 0).is_none());
        assert!(ring.signer(Algorithm::Hs256, Kid::parse("librechat-hs").as_ref(), 0).is_some());
        assert!(ring.signer(Algorithm::Rs256, Kid::parse("librechat-hs").as_ref(), 0).is_none());
    }

    #[test]
    fn tag_keys_take_over_at_their_time_and_old_ones_still_verify() {
        let ring = KeyRing::parse(
            r#"{"signing":[],"tagging":[{"kid":1,"secret":"CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk"},
                {"kid":2,"secret":"CgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo","use_from":50}]}"#,
        )
        .unwrap();
        assert_eq!(ring.tagger(49).unwrap().kid(), 1);
        assert_eq!(ring.tagger(50).unwrap().kid(), 2);
        assert!(ring.tag_key(1, 1_000).unwrap().is_some());
        assert!(ring.tag_key(3, 0).unwrap().is_none());
        let twice = r#"{"signing":[],"tagging":[{"kid":1,"secret":"CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk"},
                {"kid":1,"secret":"CgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo"}]}"#;
        assert!(KeyRing::parse(twice).unwrap_err().to_string().contains("tagging: kid 1 stands twice"));
        let repeated =
            twice.replace("CgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo", "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk");
        let repeated = repeated.replacen(r#""kid":1"#, r#""kid":2"#, 1);
        assert!(
            KeyRing::parse(&repeated).unwrap_err().to_string().contains("tagging: key 1 repeats another key's secret")
        );
    }

    #[test]
    fn debug_shows_no_key() {
        let ring = signing(&[hs256_entry("hs", "HIDDEN-HIDDEN-HIDDEN-HIDDEN-HIDDEN")]);
        assert!(!format!("{ring:?}").contains("HIDDEN"));
    }
}
