//! What is derived from the key ring, as those who may not read the ring get it.

use std::sync::Arc;

use latchkey_token::{
    documents::{Observer, SignInDocuments},
    failure::Unavailable,
    json::{Faults, Reading},
    keys::{KeyRing, PublicKeys},
    ports::{PublicKeySource, SignInDocumentSource},
    tickets::TicketKeys,
    values::{Seconds, Timestamp},
};

use crate::{
    documents::CachedDocuments,
    secrets::{Cached, Clients, Document, SecretText},
};

/// The secret `verification-keys`: the keys to verify with. No private key is among them.
pub enum VerificationKeys {}

/// The keys to verify with, and registrations, cached.
pub type CachedVerifyingDocuments = CachedDocuments<VerificationKeys>;

impl Document for VerificationKeys {
    type Read = KeyRing;

    const NAME: &'static str = "verification-keys";

    fn read(text: &str) -> Result<Reading<KeyRing>, Faults> {
        KeyRing::read_derived(text)
    }
}

/// The secret `public-keys`: the published keys with their times, all that discovery may read.
pub enum PublishedKeys {}

/// The published keys, cached.
pub type CachedPublicKeys = Cached<PublishedKeys>;

impl Document for PublishedKeys {
    type Read = KeyRing;

    const NAME: &'static str = "public-keys";

    fn read(text: &str) -> Result<Reading<KeyRing>, Faults> {
        KeyRing::read_derived(text)
    }
}

/// A key leaves the set at its time, however old what was loaded is.
impl PublicKeySource for CachedPublicKeys {
    async fn public_keys(&self, now: Timestamp) -> Result<Arc<PublicKeys>, Unavailable> {
        let keys = self.current(now).await?;
        if keys.is_empty() {
            return Err(Unavailable::new("key ring", "no key is published: the first rotation has not been done"));
        }
        Ok(Arc::new(keys.public_keys(now.unix_seconds())))
    }
}

/// The secret `ticket-keys`: what sign-ins are sealed with.
pub enum TicketKeySecret {}

impl Document for TicketKeySecret {
    type Read = TicketKeys;

    const NAME: &'static str = "ticket-keys";

    fn read(text: &str) -> Result<Reading<TicketKeys>, Faults> {
        TicketKeys::read(text)
    }
}

/// Ticket keys and registrations, each cached for itself.
pub struct CachedSignInDocuments {
    ticket_keys: Cached<TicketKeySecret>,
    registrations: Cached<Clients>,
}

impl CachedSignInDocuments {
    /// An empty cache: nothing is loaded yet. What has been loaded counts as fresh for `ttl_seconds`.
    pub fn new(ticket_keys: SecretText, clients: SecretText, ttl_seconds: Seconds) -> Self {
        Self { ticket_keys: Cached::new(ticket_keys, ttl_seconds), registrations: Cached::new(clients, ttl_seconds) }
    }

    /// With somebody who measures.
    pub fn observed(self, observer: Observer) -> Self {
        Self { ticket_keys: self.ticket_keys.observed(observer), registrations: self.registrations.observed(observer) }
    }

    /// Loads both before the first request asks. A source that does not answer, or has nothing yet, is no reason not to
    /// start: requests look again.
    pub async fn warm_up(&self, now: Timestamp) {
        tokio::join!(self.ticket_keys.warm_up(now), self.registrations.warm_up(now));
    }
}

impl SignInDocumentSource for CachedSignInDocuments {
    async fn sign_in_documents(&self, now: Timestamp) -> Result<SignInDocuments, Unavailable> {
        let (ticket_keys, registrations) =
            tokio::try_join!(self.ticket_keys.current(now), self.registrations.current(now))?;
        Ok(SignInDocuments { ticket_keys, registrations })
    }
}

/// Where one process has the key ring itself, as the local server does, it needs no secret beside it.
impl SignInDocumentSource for CachedDocuments {
    async fn sign_in_documents(&self, now: Timestamp) -> Result<SignInDocuments, Unavailable> {
        let (ring, registrations) = self.each(now).await?;
        Ok(SignInDocuments { ticket_keys: Arc::new(TicketKeys::of(&ring)), registrations })
    }
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
        let source = CachedPublicKeys::new(keys(KEY), 86_400);
        let kids = async |seconds| source.public_keys(at(seconds)).await.unwrap().kids().count();
        assert_eq!((kids(-1).await, kids(0).await, kids(999).await, kids(1000).await), (0, 1, 1, 0));
        let served = source.public_keys(at(0)).await.unwrap().to_json();
        assert!(!served.contains("publish_at") && !served.contains("retire_at"), "{served}");
    }

    #[tokio::test]
    async fn a_faulty_key_takes_no_other_down() {
        let clients = SecretText::Inline(CLIENTS.into());
        let verification_keys = keys(&format!(r#"{{"kid":"later","alg":"ES512"}},{KEY}"#));
        let source = CachedVerifyingDocuments::of(verification_keys, clients, 300);
        let documents = DocumentSource::current(&source, at(0)).await.unwrap();
        assert!(documents.keys.verifier("later", at(0).unix_seconds()).is_err(), "nobody can tell");
        assert!(documents.keys.verifier("es", at(0).unix_seconds()).unwrap().is_some());
    }

    #[tokio::test]
    async fn a_ring_is_not_taken_for_what_is_derived_from_one() {
        let ring = SecretText::Inline(r#"{"signing":[],"tagging":[]}"#.into());
        let clients = SecretText::Inline(CLIENTS.into());
        let source = CachedVerifyingDocuments::of(ring.clone(), clients, 300);
        assert!(DocumentSource::current(&source, at(0)).await.is_err());
        assert!(CachedPublicKeys::new(ring, 300).public_keys(at(0)).await.is_err());
    }
}
