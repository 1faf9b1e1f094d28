//! The key ring: all signing and tag keys, with the times at which each is published, signs and retires.

use std::{collections::BTreeSet, fmt};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    DecodingKey, EncodingKey,
    jwk::{AlgorithmParameters, Jwk, JwkSet, PublicKeyUse, ThumbprintHash},
};

use crate::{
    document::{Faults, Members, Report},
    identity::sha256,
    json,
    prepared::{SigningMaterial, VerifyingMaterial},
};

/// The signing algorithms of RFC 7518 and RFC 8037 that Latchkey offers. One key has one algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    Rs256,
    Ps256,
    Es256,
    EdDsa,
    Hs256,
}

/// `sign_from` of a key that is published and waits for its promotion: the end of the year 9999.
pub const NOT_YET: i64 = 253_402_300_799;

/// Shortest secret for HS256, in bytes (RFC 7518 §3.2).
pub const MIN_HMAC_BYTES: usize = 32;
/// Shortest RSA modulus, in bits (RFC 7518 §3.3).
pub const MIN_RSA_BITS: usize = 2048;

impl Algorithm {
    /// All of them; RS256 first, which every library verifies.
    pub const ALL: [Self; 5] = [Self::Rs256, Self::Ps256, Self::Es256, Self::EdDsa, Self::Hs256];

    /// The name in JOSE headers; exact, as RFC 7515 §4.1.1 has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Hs256 => "HS256",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    pub const fn is_symmetric(self) -> bool {
        matches!(self, Self::Hs256)
    }

    pub(crate) const fn jose(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Ps256 => jsonwebtoken::Algorithm::PS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A signing key's id: 1 to 255 printable ASCII characters. Asymmetric keys use their RFC 7638 thumbprint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kid(String);

impl Kid {
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=255).contains(&text.len()) && text.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
        fits.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// When a key is in use, in Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lifetime {
    publish_at: i64,
    sign_from: i64,
    retire_at: Option<i64>,
}

impl Lifetime {
    fn verifies_at(&self, now: i64) -> bool {
        self.publish_at <= now && self.retire_at.is_none_or(|retire_at| now < retire_at)
    }

    fn signs_at(&self, now: i64) -> bool {
        self.sign_from <= now && self.verifies_at(now)
    }
}

/// A key that signs and verifies with its one algorithm.
pub struct SigningKey {
    kid: Kid,
    algorithm: Algorithm,
    lifetime: Lifetime,
    signer: SigningMaterial,
    verifier: VerifyingMaterial,
    /// What may be published; none for HS256.
    public: Option<Jwk>,
}

impl SigningKey {
    pub fn kid(&self) -> &Kid {
        &self.kid
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(crate) fn signer(&self) -> &EncodingKey {
        self.signer.key()
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

/// A key for the tags of refresh tokens.
pub struct TagKey {
    kid: u8,
    use_from: i64,
    retire_at: Option<i64>,
    key: hmac::Key,
    /// Tells equal keys apart from different ones.
    fingerprint: [u8; 32],
}

impl TagKey {
    pub const fn kid(&self) -> u8 {
        self.kid
    }

    pub(crate) const fn hmac(&self) -> &hmac::Key {
        &self.key
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

/// All keys of the deployment. Every time is in Unix seconds.
#[derive(Debug)]
pub struct KeyRing {
    signing: Vec<SigningKey>,
    tagging: Vec<TagKey>,
}

impl KeyRing {
    /// Reads the secret `signing-keys`. Keys that are too weak, duplicates, unknown algorithms, keys that do
    /// not fit their algorithm and unknown members are refused, each named; no fault quotes a value.
    pub fn parse(text: &str) -> Result<Self, Faults> {
        let mut report = Report::default();
        let mut ring = Self { signing: Vec::new(), tagging: Vec::new() };
        if let Some(mut document) = Members::of_document(text, &mut report) {
            let signing = document.list("signing");
            let tagging = document.list("tagging");
            document.end();
            ring.signing = signing
                .into_iter()
                .filter_map(|(path, value)| read_signing_key(Members::of(path, value, &mut report)?))
                .collect();
            ring.tagging = tagging
                .into_iter()
                .filter_map(|(path, value)| read_tag_key(Members::of(path, value, &mut report)?))
                .collect();
        }
        ring.report_duplicates(&mut report);
        report.finish(ring)
    }

    fn report_duplicates(&self, report: &mut Report) {
        let mut kids = BTreeSet::new();
        let mut materials = Vec::new();
        for key in &self.signing {
            if !kids.insert(&key.kid) {
                report.add(format!("signing: kid {:?} stands twice", key.kid.as_str()));
            }
            if materials.contains(&key.signer().as_bytes()) {
                report.add(format!("signing: key {:?} repeats another key's material", key.kid.as_str()));
            }
            materials.push(key.signer().as_bytes());
        }
        let mut tag_kids = BTreeSet::new();
        for key in &self.tagging {
            if !tag_kids.insert(key.kid) {
                report.add(format!("tagging: kid {} stands twice", key.kid));
            }
            if self.tagging.iter().any(|other| other.kid < key.kid && other.fingerprint == key.fingerprint) {
                report.add(format!("tagging: key {} repeats another key's secret", key.kid));
            }
        }
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
        Algorithm::ALL.into_iter().filter_map(move |algorithm| self.signer(algorithm, None, now))
    }

    /// The key that signs with `algorithm` now: the one named, or else the one with the greatest `sign_from`.
    /// HS256 keys are chosen only by name.
    pub fn signer(&self, algorithm: Algorithm, kid: Option<&Kid>, now: i64) -> Option<&SigningKey> {
        let candidates = self.signing.iter().filter(|key| key.algorithm == algorithm && key.lifetime.signs_at(now));
        match kid {
            Some(kid) => candidates.into_iter().find(|key| key.kid == *kid),
            None if algorithm.is_symmetric() => None,
            None => candidates.max_by_key(|key| (key.lifetime.sign_from, &key.kid)),
        }
    }

    /// The key named `kid`, if it verifies now. An exact match in memory, whatever `kid` holds.
    pub fn verifier(&self, kid: &str, now: i64) -> Option<&SigningKey> {
        self.signing.iter().find(|key| key.kid.as_str() == kid && key.lifetime.verifies_at(now))
    }

    /// A key by its name, whatever the time.
    pub fn named(&self, kid: &Kid) -> Option<&SigningKey> {
        self.signing.iter().find(|key| key.kid == *kid)
    }

    /// What may be published now: every asymmetric key from `publish_at` to `retire_at`.
    pub fn public_keys(&self, now: i64) -> PublicKeys {
        PublicKeys(JwkSet { keys: self.published(now).cloned().collect() })
    }

    /// A key whose signature does not verify under the `published` ones, if there is one.
    pub fn key_that_fails_under(&self, published: &PublicKeys, now: i64) -> Option<&Kid> {
        let verifies = |key: &&SigningKey| {
            let message = key.kid.as_str().as_bytes();
            let jwk = published.0.find(key.kid.as_str())?;
            let verifier = DecodingKey::from_jwk(jwk).ok()?;
            let signature = jsonwebtoken::crypto::sign(message, key.signer(), key.algorithm.jose()).ok()?;
            jsonwebtoken::crypto::verify(&signature, message, &verifier, key.algorithm.jose()).ok()
        };
        let asymmetric = self.signing.iter().filter(|key| key.public.is_some() && key.lifetime.verifies_at(now));
        asymmetric.into_iter().find(|key| verifies(key) != Some(true)).map(SigningKey::kid)
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

    /// The tag key named `kid`, unless retired.
    pub fn tag_key(&self, kid: u8, now: i64) -> Option<&TagKey> {
        self.tagging.iter().find(|key| key.kid == kid && key.is_usable_at(now))
    }
}

/// A JWK set (RFC 7517 §5) of public signing keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKeys(JwkSet);

impl PublicKeys {
    /// Reads a JWKS; `None` unless it is one and holds public keys only.
    pub fn parse(text: &str) -> Option<Self> {
        let value = json::parse_object(text.as_bytes()).ok()?;
        let set: JwkSet = serde_json::from_value(value.into()).ok()?;
        let is_public =
            |jwk: &Jwk| !matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_) | AlgorithmParameters::Other(_));
        set.keys.iter().all(is_public).then_some(Self(set))
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }

    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.0.keys.iter().filter_map(|jwk| jwk.common.key_id.as_deref())
    }

    /// The algorithms of the keys, each once.
    pub fn algorithms(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for algorithm in self.0.keys.iter().filter_map(|jwk| jwk.common.key_algorithm) {
            let name = algorithm.to_string();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Whether `other` has every key of `self`.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.keys.iter().all(|key| other.0.keys.contains(key))
    }
}

/// The RFC 7638 thumbprint of a PKCS#8 private key's public half: the `kid` of asymmetric keys.
pub fn thumbprint(algorithm: Algorithm, private_key_pem: &str) -> Option<Kid> {
    // The library keeps the provider that it is first asked with: it must be ours.
    let signer = SigningMaterial::new(encoding_key(algorithm, private_key_pem)?);
    let jwk = Jwk::from_encoding_key(signer.key(), algorithm.jose()).ok()?;
    Kid::parse(&jwk.thumbprint(ThumbprintHash::SHA256).ok()?)
}

fn read_signing_key(mut members: Members<'_>) -> Option<SigningKey> {
    let kid = members.required_string("kid");
    if let Some(kid) = &kid {
        members.name(kid);
    }
    let kid = kid.and_then(|kid| {
        let parsed = Kid::parse(&kid);
        if parsed.is_none() {
            members.fault("kid", "must be 1 to 255 printable ASCII characters");
        }
        parsed
    });
    let algorithm = members.required_string("alg").and_then(|name| {
        let algorithm = Algorithm::parse(&name);
        if algorithm.is_none() {
            members.fault("alg", "is not one of RS256, PS256, ES256, EdDSA, HS256");
        }
        algorithm
    });
    let lifetime = Lifetime {
        publish_at: members.integer("publish_at", 0..=NOT_YET).unwrap_or(0),
        sign_from: members.integer("sign_from", 0..=NOT_YET).unwrap_or(0),
        retire_at: members.integer("retire_at", 0..=NOT_YET),
    };
    let material = match algorithm {
        None => {
            // Which of the two is right cannot be told; neither is reported as unknown.
            let _ = (members.string("private_key"), members.string("secret"));
            None
        }
        Some(Algorithm::Hs256) => members.required_string("secret").and_then(|secret| {
            if secret.len() < MIN_HMAC_BYTES {
                members.fault("secret", format_args!("is shorter than the {MIN_HMAC_BYTES} bytes that HS256 needs"));
                return None;
            }
            Some((
                SigningMaterial::new(EncodingKey::from_secret(secret.as_bytes())),
                VerifyingMaterial::new(Algorithm::Hs256.jose(), DecodingKey::from_secret(secret.as_bytes())),
                None,
            ))
        }),
        Some(algorithm) => members.required_string("private_key").and_then(|pem| {
            let pair = key_pair(algorithm, kid.as_ref()?, &pem);
            pair.map_err(|what| members.fault("private_key", what)).ok()
        }),
    };
    members.end();
    let (signer, verifier, public) = material?;
    Some(SigningKey { kid: kid?, algorithm: algorithm?, lifetime, signer, verifier, public })
}

fn encoding_key(algorithm: Algorithm, pem: &str) -> Option<EncodingKey> {
    if !pem.trim_start().starts_with("-----BEGIN PRIVATE KEY-----") {
        return None;
    }
    match algorithm {
        Algorithm::Rs256 | Algorithm::Ps256 => EncodingKey::from_rsa_pem(pem.as_bytes()).ok(),
        Algorithm::Es256 => EncodingKey::from_ec_pem(pem.as_bytes()).ok(),
        Algorithm::EdDsa => EncodingKey::from_ed_pem(pem.as_bytes()).ok(),
        Algorithm::Hs256 => None,
    }
}

/// Whether one key verifies what the other signs.
fn verifies(verifier: &VerifyingMaterial, signer: &SigningMaterial, algorithm: Algorithm) -> bool {
    let probe = jsonwebtoken::crypto::sign(b"probe", signer.key(), algorithm.jose());
    probe.is_ok_and(|probe| {
        jsonwebtoken::crypto::verify(&probe, b"probe", verifier.key(), algorithm.jose()).unwrap_or(false)
    })
}

fn key_pair(
    algorithm: Algorithm,
    kid: &Kid,
    pem: &str,
) -> Result<(SigningMaterial, VerifyingMaterial, Option<Jwk>), String> {
    let unfit = || match algorithm {
        Algorithm::Rs256 | Algorithm::Ps256 => {
            "is not an RSA private key of 2048 to 8192 bits as PKCS#8 PEM".to_owned()
        }
        Algorithm::Es256 => "is not a P-256 private key as PKCS#8 PEM".to_owned(),
        Algorithm::EdDsa | Algorithm::Hs256 => "is not an Ed25519 private key as PKCS#8 PEM".to_owned(),
    };
    let signer = SigningMaterial::new(encoding_key(algorithm, pem).ok_or_else(unfit)?);
    let mut jwk = Jwk::from_encoding_key(signer.key(), algorithm.jose()).map_err(|_| unfit())?;
    if let AlgorithmParameters::RSA(parameters) = &jwk.algorithm {
        let bits = rsa_bits(&parameters.n);
        if bits < MIN_RSA_BITS {
            return Err(format!("is an RSA key of {bits} bits, weaker than {MIN_RSA_BITS}"));
        }
    }
    let verifier = VerifyingMaterial::new(algorithm.jose(), DecodingKey::from_jwk(&jwk).map_err(|_| unfit())?);
    // A key that cannot verify what it signs would lock every user out at its first renewal.
    if !signer.is_sound_rsa() && !verifies(&verifier, &signer, algorithm) {
        return Err(unfit());
    }
    jwk.common.key_id = Some(kid.as_str().to_owned());
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    Ok((signer, verifier, Some(jwk)))
}

/// The length of a modulus in base64url.
pub(crate) fn rsa_bits(modulus: &str) -> usize {
    let bytes = URL_SAFE_NO_PAD.decode(modulus).unwrap_or_default();
    let significant: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
    let leading = significant.first().map_or(0, |byte| byte.leading_zeros() as usize);
    significant.len() * 8 - leading
}

fn read_tag_key(mut members: Members<'_>) -> Option<TagKey> {
    let kid = members.integer("kid", 0..=255).and_then(|kid| u8::try_from(kid).ok());
    match kid {
        Some(kid) => members.name(&kid.to_string()),
        None => members.fault("kid", "a whole number from 0 to 255 is needed"),
    }
    let use_from = members.integer("use_from", 0..=NOT_YET).unwrap_or(0);
    let retire_at = members.integer("retire_at", 0..=NOT_YET);
    let secret = members.required_string("secret").and_then(|secret| {
        let bytes = URL_SAFE_NO_PAD.decode(secret).ok().filter(|bytes| bytes.len() == 32);
        if bytes.is_none() {
            members.fault("secret", "must be 32 bytes as unpadded base64url");
        }
        bytes
    });
    members.end();
    let secret = secret?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    Some(TagKey { kid: kid?, use_from, retire_at, key, fingerprint: sha256(&secret) })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::testing::{ES256_PEM, hs256_entry, pem_entry, rsa_pem};

    /// Tag key 1, thirty-two bytes of 9.
    pub(crate) fn ring() -> KeyRing {
        KeyRing::parse(r#"{"signing":[],"tagging":[{"kid":1,"secret":"CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk"}]}"#)
            .unwrap()
    }

    fn signing(entries: &[String]) -> Result<KeyRing, Faults> {
        KeyRing::parse(&format!(r#"{{"signing":[{}],"tagging":[]}}"#, entries.join(",")))
    }

    fn fault(entries: &[String]) -> String {
        signing(entries).unwrap_err().to_string()
    }

    #[test]
    fn null_is_what_is_missing() {
        let faults = |ring: &str| KeyRing::parse(ring).unwrap_err().to_string();
        assert_eq!(faults(r#"{"signing":null,"tagging":[]}"#), "signing: is missing");
        let nameless = hs256_entry("hs", &"x".repeat(32)).replace(r#""kid":"hs""#, r#""kid":null"#);
        assert_eq!(fault(&[nameless]), "signing[0].kid: is missing");
    }

    #[test]
    fn an_empty_ring_is_a_ring_without_signers() {
        let ring = signing(&[]).unwrap();
        assert!(ring.signer(Algorithm::Rs256, None, 0).is_none());
        assert!(ring.tagger(0).is_none());
    }

    #[test]
    fn ages_are_those_of_the_asymmetric_keys_that_sign_now() {
        let other = crate::testing::es256_pem();
        let ring = signing(&[
            pem_entry("old", "ES256", ES256_PEM(), r#""sign_from":10,"retire_at":100"#),
            pem_entry("new", "ES256", &other, r#""publish_at":20,"sign_from":50"#),
            pem_entry("rsa", "RS256", &rsa_pem(2048), r#""sign_from":30"#),
            hs256_entry("hs", &"s".repeat(32)),
        ])
        .unwrap();
        assert_eq!((ring.longest_signing(9), ring.soonest_retirement(9)), (None, None));
        assert_eq!((ring.longest_signing(40), ring.soonest_retirement(40)), (Some(30), Some(60)));
        assert_eq!((ring.longest_signing(60), ring.soonest_retirement(60)), (Some(30), None), "the old one has done");
        let always = signing(&[pem_entry("always", "ES256", ES256_PEM(), "")]).unwrap();
        assert_eq!(always.longest_signing(60), None);
    }

    #[test]
    fn the_signer_is_the_key_with_the_greatest_sign_from_not_in_the_future() {
        let other = crate::testing::es256_pem();
        let ring = signing(&[
            pem_entry("old", "ES256", ES256_PEM(), r#""sign_from":10,"retire_at":100"#),
            pem_entry("new", "ES256", &other, r#""publish_at":20,"sign_from":50"#),
        ])
        .unwrap();
        let kid_at = |now| ring.signer(Algorithm::Es256, None, now).map(|key| key.kid().as_str());
        assert_eq!(kid_at(9), None);
        assert_eq!(kid_at(10), Some("old"));
        assert_eq!(kid_at(49), Some("old"));
        assert_eq!(kid_at(50), Some("new"));
        let published = |now| ring.published(now).filter_map(|jwk| jwk.common.key_id.as_deref()).collect::<Vec<_>>();
        assert_eq!(published(19), ["old"]);
        assert_eq!(published(20), ["old", "new"]);
        assert_eq!(published(100), ["new"]);
        assert!(ring.verifier("old", 99).is_some());
        assert!(ring.verifier("old", 100).is_none());
        assert!(ring.verifier("new", 19).is_none());
    }

    #[test]
    fn equal_sign_from_is_decided_by_kid() {
        let entries =
            [pem_entry("b", "ES256", ES256_PEM(), ""), pem_entry("a", "ES256", &crate::testing::es256_pem(), "")];
        assert_eq!(signing(&entries).unwrap().signer(Algorithm::Es256, None, 0).unwrap().kid().as_str(), "b");
    }

    #[test]
    fn hs256_keys_are_never_published_and_never_chosen_but_by_name() {
        let ring = signing(&[hs256_entry("librechat-hs", "0123456789abcdef0123456789abcdef")]).unwrap();
        assert_eq!(ring.published(0).count(), 0);
        assert!(ring.signer(Algorithm::Hs256, None, 0).is_none());
        assert!(ring.signer(Algorithm::Hs256, Kid::parse("librechat-hs").as_ref(), 0).is_some());
        assert!(ring.signer(Algorithm::Rs256, Kid::parse("librechat-hs").as_ref(), 0).is_none());
    }

    #[test]
    fn weak_unfit_duplicate_and_unknown_keys_are_refused_by_name() {
        assert!(
            fault(&[hs256_entry("weak", "0123456789abcdef0123456789abcde")]).contains(r#"("weak").secret: is shorter"#)
        );
        let weak = rsa_pem(1024);
        let said = fault(&[pem_entry("weak-rsa", "RS256", &weak, "")]);
        assert!(said.contains(r#"("weak-rsa").private_key: is"#) && said.contains("2048"), "{said}");
        assert!(fault(&[pem_entry("x", "RS256", ES256_PEM(), "")]).contains("is not an RSA private key"));
        assert!(fault(&[pem_entry("x", "ES256", &rsa_pem(2048), "")]).contains("is not a P-256"));
        assert!(fault(&[pem_entry("x", "EdDSA", ES256_PEM(), "")]).contains("is not an Ed25519"));
        assert!(fault(&[pem_entry("x", "none", ES256_PEM(), "")]).contains("alg: is not one of"));
        assert!(fault(&[pem_entry("x", "es256", ES256_PEM(), "")]).contains("alg: is not one of"));
        let twice =
            [pem_entry("x", "ES256", ES256_PEM(), ""), pem_entry("x", "ES256", &crate::testing::es256_pem(), "")];
        assert!(fault(&twice).contains(r#"kid "x" stands twice"#));
        let rsa = rsa_pem(2048);
        let one_key_two_algorithms = [pem_entry("r", "RS256", &rsa, ""), pem_entry("p", "PS256", &rsa, "")];
        assert!(fault(&one_key_two_algorithms).contains("repeats another key's material"));
        assert!(
            fault(&[pem_entry("x", "ES256", ES256_PEM(), r#""retires_at":5"#)])
                .contains("retires_at: is not a known member")
        );
        assert!(
            fault(&[pem_entry("x", "ES256", ES256_PEM(), r#""retire_at":"5""#)])
                .contains("retire_at: must be a whole number")
        );
    }

    #[test]
    fn every_fault_is_listed_and_none_quotes_a_value() {
        let ring = r#"{"signing":[{"kid":5,"alg":"RS256","private_key":["HIDDEN"]},{"alg":"HS256","secret":"HIDDEN"}],
            "tagging":[{"kid":1,"secret":"HIDDEN"},{"kid":256,"secret":""},"HIDDEN"],"HIDDEN-not":1}"#;
        let faults = KeyRing::parse(ring).unwrap_err();
        assert!(faults.lines().len() >= 8, "{faults}");
        assert!(!faults.to_string().replace("HIDDEN-not", "").contains("HIDDEN"), "{faults}");
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
        assert!(ring.tag_key(1, 1_000).is_some());
        assert!(ring.tag_key(3, 0).is_none());
        let twice = r#"{"signing":[],"tagging":[{"kid":1,"secret":"CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk"},
                {"kid":1,"secret":"CgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo"}]}"#;
        assert!(KeyRing::parse(twice).unwrap_err().to_string().contains("tagging: kid 1 stands twice"));
        let repeated =
            twice.replace("CgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo", "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk");
        let repeated = repeated.replacen(r#""kid":1"#, r#""kid":2"#, 1);
        assert!(
            KeyRing::parse(&repeated).unwrap_err().to_string().contains("tagging: key 2 repeats another key's secret")
        );
    }

    #[test]
    fn debug_shows_no_key() {
        let ring = signing(&[hs256_entry("hs", "HIDDEN-HIDDEN-HIDDEN-HIDDEN-HIDDEN")]).unwrap();
        assert!(!format!("{ring:?}").contains("HIDDEN"));
    }
}
