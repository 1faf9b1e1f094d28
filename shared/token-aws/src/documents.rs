//! Key ring and registrations, each cached for itself and fitted to the other.

use std::sync::{Arc, PoisonError, RwLock};

use latchkey_token::{
    documents::{Documents, Observer},
    failure::Unavailable,
    keys::{KeyRing, PublicKeys},
    ports::{DocumentSource, PublicKeySource},
    registrations::Registrations,
    values::{Seconds, Timestamp},
};

use crate::secrets::{Cached, Clients, Document, SecretText, SigningKeys};

/// Where key ring and registrations come from.
pub struct DocumentSecrets {
    /// The secret `signing-keys`: the key ring.
    pub signing_keys: SecretText,
    /// The secret `clients`: the registrations.
    pub clients: SecretText,
}

/// Key ring and registrations. One of them that cannot be had, or is no document, keeps no change of the other waiting.
pub struct CachedDocuments<K: Document<Read = KeyRing> = SigningKeys> {
    keys: Cached<K>,
    registrations: Cached<Clients>,
    fitted: RwLock<Option<Fitted>>,
    observer: Option<Observer>,
}

/// What the last two that were had have come to.
struct Fitted {
    keys: Arc<KeyRing>,
    registrations: Arc<Registrations>,
    documents: Arc<Documents>,
    /// How many clients name a key that is not there.
    faults: usize,
}

impl CachedDocuments {
    /// An empty cache: nothing is loaded yet. What has been loaded counts as fresh for `ttl_seconds`.
    pub fn new(secrets: DocumentSecrets, ttl_seconds: Seconds) -> Self {
        Self::of(secrets.signing_keys, secrets.clients, ttl_seconds)
    }
}

impl<K: Document<Read = KeyRing>> CachedDocuments<K> {
    /// The same with the key ring, or what is derived from it, as `keys`.
    pub fn of(keys: SecretText, clients: SecretText, ttl_seconds: Seconds) -> Self {
        Self {
            keys: Cached::new(keys, ttl_seconds),
            registrations: Cached::new(clients, ttl_seconds),
            fitted: RwLock::new(None),
            observer: None,
        }
    }

    /// With somebody who measures.
    pub fn observed(self, observer: Observer) -> Self {
        Self {
            keys: self.keys.observed(observer),
            registrations: self.registrations.observed(observer),
            observer: Some(observer),
            ..self
        }
    }

    /// Loads both before the first request asks, and returns them. A source that does not answer, or has nothing yet, is no
    /// reason not to start: requests look again.
    pub async fn warm_up(&self, now: Timestamp) -> Option<Arc<Documents>> {
        let loaded = DocumentSource::current(self, now).await;
        loaded.inspect_err(|unavailable| tracing::warn!(error = %unavailable, "nothing to start with")).ok()
    }

    /// Both, not fitted to each other.
    pub(crate) async fn each(&self, now: Timestamp) -> Result<(Arc<KeyRing>, Arc<Registrations>), Unavailable> {
        tokio::try_join!(self.keys.current(now), self.registrations.current(now))
    }

    fn fit(&self, keys: Arc<KeyRing>, registrations: Arc<Registrations>, now: Timestamp) -> Arc<Documents> {
        if let Some(observer) = self.observer {
            (observer.ring_served)(&keys, now);
        }
        let known = self.fitted.read().unwrap_or_else(PoisonError::into_inner);
        let is_known = |one: &&Fitted| Arc::ptr_eq(&one.keys, &keys) && Arc::ptr_eq(&one.registrations, &registrations);
        if let Some(fitted) = known.as_ref().filter(is_known) {
            self.tell(fitted.faults, now);
            return Arc::clone(&fitted.documents);
        }
        drop(known);
        let fitting = Documents::of(Arc::clone(&keys), Arc::clone(&registrations));
        let faults = fitting.faults.lines().len();
        if let (Some(observer), 1..) = (self.observer, faults) {
            (observer.faulty)(Clients::NAME, &fitting.faults);
        }
        self.tell(faults, now);
        let documents = Arc::new(fitting.value);
        let fitted = Fitted { keys, registrations, documents: Arc::clone(&documents), faults };
        *self.fitted.write().unwrap_or_else(PoisonError::into_inner) = Some(fitted);
        documents
    }

    fn tell(&self, faults: usize, now: Timestamp) {
        if let (Some(observer), 1..) = (self.observer, faults) {
            (observer.served)(now, now, faults);
        }
    }
}

impl<K: Document<Read = KeyRing>> DocumentSource for CachedDocuments<K> {
    async fn current(&self, now: Timestamp) -> Result<Arc<Documents>, Unavailable> {
        let (keys, registrations) = self.each(now).await?;
        Ok(self.fit(keys, registrations, now))
    }

    async fn reloaded(&self, now: Timestamp) -> Result<Arc<Documents>, Unavailable> {
        let (keys, registrations) = tokio::try_join!(self.keys.reloaded(now), self.registrations.reloaded(now))?;
        Ok(self.fit(keys, registrations, now))
    }
}

/// Where one process has the key ring itself, as the local server does, it needs no second secret.
impl PublicKeySource for CachedDocuments {
    async fn public_keys(&self, now: Timestamp) -> Result<Arc<PublicKeys>, Unavailable> {
        let keys = self.keys.current(now).await?;
        if let Some(observer) = self.observer {
            (observer.ring_served)(&keys, now);
        }
        Ok(Arc::new(keys.public_keys(now.unix_seconds())))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const RING: &str = r#"{"signing":[],"tagging":[]}"#;
    const REGISTRY: &str = r#"{"issuers":[],"clients":[]}"#;
    const ONE_CLIENT: &str = r#"{"issuers":[],"clients":[{"client_id":"new","type":"public","audience":["new"]}]}"#;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_800_000_000 + seconds)
    }

    fn authority(clients: SecretText) -> CachedDocuments {
        CachedDocuments::new(DocumentSecrets { signing_keys: SecretText::Inline(RING.into()), clients }, 300)
    }

    struct Fixture {
        clients: tempfile::NamedTempFile,
        source: CachedDocuments,
    }

    impl Fixture {
        fn new() -> Self {
            let clients = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(clients.path(), REGISTRY).unwrap();
            let file = SecretText::File(clients.path().to_owned());
            Self { clients, source: authority(file) }
        }

        fn write(&self, text: &str) {
            std::fs::write(self.clients.path(), text).unwrap();
        }

        async fn knows_new_client(&self, seconds: i64) -> Option<bool> {
            let documents = self.source.current(at(seconds)).await.ok()?;
            Some(documents.registrations.client("new").unwrap().is_some())
        }

        async fn reload_finds_new_client(&self, seconds: i64) -> Option<bool> {
            let documents = self.source.reloaded(at(seconds)).await.ok()?;
            Some(documents.registrations.client("new").unwrap().is_some())
        }
    }

    #[tokio::test]
    async fn a_change_is_seen_after_the_cache_time_and_not_before() {
        let fixture = Fixture::new();
        assert_eq!(fixture.knows_new_client(0).await, Some(false));
        fixture.write(ONE_CLIENT);
        assert_eq!(fixture.knows_new_client(299).await, Some(false));
        assert_eq!(fixture.knows_new_client(300).await, Some(true));
    }

    #[tokio::test]
    async fn an_unusable_document_leaves_the_last_good_one_in_force_for_a_day() {
        let fixture = Fixture::new();
        assert_eq!(fixture.knows_new_client(0).await, Some(false));
        fixture.write("garbage");
        assert_eq!(fixture.knows_new_client(86_399).await, Some(false));
        assert_eq!(fixture.knows_new_client(86_400).await, None);
        fixture.write(ONE_CLIENT);
        assert_eq!(fixture.knows_new_client(86_401).await, Some(true), "recovers by itself");
    }

    #[tokio::test]
    async fn a_failed_refresh_is_repeated_after_ten_seconds() {
        let fixture = Fixture::new();
        fixture.knows_new_client(0).await;
        fixture.write("garbage");
        fixture.knows_new_client(300).await;
        fixture.write(ONE_CLIENT);
        assert_eq!(fixture.knows_new_client(309).await, Some(false));
        assert_eq!(fixture.knows_new_client(310).await, Some(true));
    }

    #[tokio::test]
    async fn what_was_warmed_up_is_served_and_a_warm_up_that_failed_is_made_up_for() {
        let fixture = Fixture::new();
        fixture.write("garbage");
        fixture.source.warm_up(at(0)).await;
        fixture.write(REGISTRY);
        assert_eq!(fixture.knows_new_client(0).await, Some(false));

        let fixture = Fixture::new();
        fixture.source.warm_up(at(0)).await;
        fixture.write(ONE_CLIENT);
        assert_eq!(fixture.knows_new_client(0).await, Some(false), "loaded before the request");
    }

    #[tokio::test]
    async fn a_cold_source_that_is_down_is_unavailable_and_recovers() {
        let fixture = Fixture::new();
        fixture.write("garbage");
        assert_eq!(fixture.knows_new_client(0).await, None);
        fixture.write(REGISTRY);
        assert_eq!(fixture.knows_new_client(0).await, Some(false));
    }

    #[tokio::test]
    async fn an_early_reload_comes_at_most_once_a_minute() {
        let fixture = Fixture::new();
        fixture.knows_new_client(0).await;
        assert_eq!(fixture.reload_finds_new_client(1).await, Some(false));
        fixture.write(ONE_CLIENT);
        assert_eq!(fixture.reload_finds_new_client(60).await, Some(false));
        assert_eq!(fixture.reload_finds_new_client(61).await, Some(true));
    }

    #[tokio::test]
    async fn an_unknown_key_is_not_judged_while_the_source_is_down() {
        let fixture = Fixture::new();
        fixture.knows_new_client(0).await;
        fixture.write("garbage");
        assert_eq!(fixture.reload_finds_new_client(1).await, None);
        assert_eq!(fixture.reload_finds_new_client(2).await, None);
        assert_eq!(fixture.knows_new_client(2).await, Some(false), "known keys are served meanwhile");
    }

    #[tokio::test]
    async fn a_client_whose_key_the_ring_does_not_have_is_unavailable_and_no_other_is() {
        let registry = r#"{"issuers":[],"clients":[
            {"client_id":"l","type":"public","audience":["l"],"alg":"HS256","kid":"hs"},
            {"client_id":"new","type":"public","audience":["new"]}]}"#;
        let source = authority(SecretText::Inline(registry.into()));
        let documents = source.current(at(0)).await.unwrap();
        assert!(documents.registrations.client("l").is_err());
        assert!(documents.registrations.client("new").unwrap().is_some());
        assert!(Arc::ptr_eq(&documents, &source.current(at(1)).await.unwrap()), "fitted once");
    }

    #[tokio::test]
    async fn a_ring_that_is_no_document_keeps_no_change_of_the_registrations_waiting() {
        let ring = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(ring.path(), RING).unwrap();
        let mut fixture = Fixture::new();
        let clients = SecretText::File(fixture.clients.path().to_owned());
        let signing_keys = SecretText::File(ring.path().to_owned());
        fixture.source = CachedDocuments::new(DocumentSecrets { signing_keys, clients }, 300);
        assert_eq!(fixture.knows_new_client(0).await, Some(false));
        std::fs::write(ring.path(), "garbage").unwrap();
        fixture.write(ONE_CLIENT);
        assert_eq!(fixture.knows_new_client(300).await, Some(true));
        assert_eq!(fixture.knows_new_client(86_400).await, None, "the ring is a day old");
    }

    static SERVED_FAULTS: AtomicUsize = AtomicUsize::new(0);
    static READ_FAULTS: AtomicUsize = AtomicUsize::new(0);

    #[tokio::test]
    async fn whoever_measures_hears_of_faults_once_when_they_are_read_and_of_their_number_as_long_as_they_count() {
        let observer = Observer {
            served: |_, _, faults| {
                SERVED_FAULTS.fetch_add(faults, Ordering::Relaxed);
            },
            ring_served: |_, _| {},
            faulty: |_, faults| {
                READ_FAULTS.fetch_add(faults.lines().len(), Ordering::Relaxed);
            },
        };
        let count = |counter: &AtomicUsize| counter.swap(0, Ordering::Relaxed);
        let fixture = Fixture::new();
        let file = SecretText::File(fixture.clients.path().to_owned());
        let source = authority(file).observed(observer);
        source.current(at(0)).await.unwrap();
        assert_eq!((count(&READ_FAULTS), count(&SERVED_FAULTS)), (0, 0));
        fixture.write(r#"{"issuers":[],"clients":[{"client_id":"new"}],"news":1}"#);
        source.current(at(300)).await.unwrap();
        assert_eq!((count(&READ_FAULTS), count(&SERVED_FAULTS)), (3, 3), "type, audience and an unknown member");
        source.current(at(301)).await.unwrap();
        assert_eq!((count(&READ_FAULTS), count(&SERVED_FAULTS)), (0, 3));
        fixture.write("garbage");
        source.current(at(600)).await.unwrap();
        assert_eq!((count(&READ_FAULTS), count(&SERVED_FAULTS)), (1, 1));
        fixture.write(REGISTRY);
        source.current(at(610)).await.unwrap();
        assert_eq!((count(&READ_FAULTS), count(&SERVED_FAULTS)), (0, 0));
    }
}
