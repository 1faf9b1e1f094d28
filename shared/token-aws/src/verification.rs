//! What is derived from the key ring, as those who may not read the ring get it.

use std::sync::Arc;

use latchkey_token::{
    documents::Documents,
    failure::Unavailable,
    keys::{DerivedRing, KeyRing, PublicKeys},
    ports::PublicKeySource,
    values::Timestamp,
};

use crate::secrets::{Cached, Load, SecretText};

/// The keys to verify with, and registrations, loaded together. No private key is among them.
pub struct VerifyingDocumentSecrets {
    /// The secret `verification-keys`.
    pub verification_keys: SecretText,
    /// The secret `clients`: the registrations.
    pub clients: SecretText,
}

/// The keys to verify with, and registrations, cached.
pub type CachedVerifyingDocuments = Cached<VerifyingDocumentSecrets>;

impl Load for VerifyingDocumentSecrets {
    type Loaded = Documents;

    async fn load(&self) -> Result<Documents, Unavailable> {
        let (keys, clients) = tokio::try_join!(self.verification_keys.fetch(), self.clients.fetch())?;
        let keys = read("verification keys", &keys)?;
        Documents::with_keys(keys, &clients).map_err(|fault| Unavailable::new("secret", fault.to_string()))
    }
}

/// The published keys with their times: all that discovery may read.
pub struct PublicKeysSecret(pub SecretText);

/// The published keys, cached.
pub type CachedPublicKeys = Cached<PublicKeysSecret>;

impl Load for PublicKeysSecret {
    type Loaded = KeyRing;

    async fn load(&self) -> Result<KeyRing, Unavailable> {
        read("public keys", &self.0.fetch().await?)
    }
}

/// A key leaves the set at its time, however old what was loaded is.
impl PublicKeySource for CachedPublicKeys {
    async fn public_keys(&self, now: Timestamp) -> Result<Arc<PublicKeys>, Unavailable> {
        Ok(Arc::new(self.current(now).await?.public_keys(now.unix_seconds())))
    }
}

/// The sound keys; each of the others is logged.
fn read(document: &str, text: &str) -> Result<KeyRing, Unavailable> {
    let DerivedRing { ring, faults } = DerivedRing::read(text)
        .ok_or_else(|| Unavailable::new("secret", format!("{document}: no JSON object with a list of keys")))?;
    for fault in faults {
        tracing::error!("{document}: {fault}: the key is left out");
    }
    Ok(ring)
}

#[cfg(test)]
mod tests {
    use latchkey_token::ports::DocumentSource;

    use super::*;

    const CLIENTS: &str = r#"{"issuers":[],"clients":[]}"#;
    /// The example key of RFC 7517, appendix A.1.
    const KEY: &str = r#"{"kty":"EC","crv":"P-256","alg":"ES256","use":"sig","kid":"es",
        "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
        "publish_at":1800000000,"sign_from":1800000600,"retire_at":1800001000}"#;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_800_000_000 + seconds)
    }

    fn keys(keys: &str) -> SecretText {
        SecretText::Inline(format!(r#"{{"keys":[{keys}]}}"#))
    }

    #[tokio::test]
    async fn a_key_is_published_from_its_time_until_it_retires_whenever_it_was_loaded() {
        let source = Cached::new(PublicKeysSecret(keys(KEY)), 86_400);
        let kids = async |seconds| source.public_keys(at(seconds)).await.unwrap().kids().count();
        assert_eq!((kids(-1).await, kids(0).await, kids(999).await, kids(1000).await), (0, 1, 1, 0));
        let served = source.public_keys(at(0)).await.unwrap().to_json();
        assert!(!served.contains("publish_at") && !served.contains("retire_at"), "{served}");
    }

    #[tokio::test]
    async fn a_faulty_key_takes_no_other_down() {
        let clients = SecretText::Inline(CLIENTS.into());
        let verification_keys = keys(&format!(r#"{{"kid":"later","alg":"ES512"}},{KEY}"#));
        let source = Cached::new(VerifyingDocumentSecrets { verification_keys, clients }, 300);
        let documents = DocumentSource::current(&source, at(0)).await.unwrap();
        assert!(documents.keys.verifier("es", at(0).unix_seconds()).is_some());
    }

    #[tokio::test]
    async fn a_ring_is_not_taken_for_what_is_derived_from_one() {
        let ring = SecretText::Inline(r#"{"signing":[],"tagging":[]}"#.into());
        let clients = SecretText::Inline(CLIENTS.into());
        let source = Cached::new(VerifyingDocumentSecrets { verification_keys: ring.clone(), clients }, 300);
        assert!(DocumentSource::current(&source, at(0)).await.is_err());
        assert!(Cached::new(PublicKeysSecret(ring), 300).public_keys(at(0)).await.is_err());
    }
}
