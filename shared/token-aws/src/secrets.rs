//! Key ring and registrations from Secrets Manager or from files, cached, and served stale while the source is down.

use std::{
    future::Future,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use aws_sdk_secretsmanager::Client;
use latchkey_token::{
    documents::Documents,
    failure::Unavailable,
    keys::PublicKeys,
    ports::{DocumentSource, PublicKeySource},
    values::{Seconds, Timestamp},
};
use tokio::sync::Mutex;

use crate::sdk;

/// How long loaded documents are served while they cannot be refreshed: a day.
const STALE_SECONDS: Seconds = 86_400;
/// Early reloads, which an unknown key id asks for, come at most this often.
const EARLY_RELOAD_SECONDS: Seconds = 60;
/// After a failed refresh, requests are served from the cache for this long before the next try.
const RETRY_REFRESH_SECONDS: Seconds = 10;
/// How long a request waits for a refresh when there is something to serve without it.
const REFRESH_PATIENCE: Duration = Duration::from_millis(2_500);

/// Where one document comes from.
#[derive(Clone)]
pub enum SecretText {
    /// A secret of Secrets Manager, by ARN or name.
    SecretsManager {
        /// The client that fetches the secret.
        client: Client,
        /// The secret's ARN or name.
        id: String,
    },
    /// A file, for local runs.
    File(PathBuf),
    /// The text itself.
    Inline(String),
}

impl SecretText {
    /// `file:PATH`, or else the ARN or name of a secret.
    pub fn at(location: &str, sdk: &aws_config::SdkConfig) -> Self {
        match location.strip_prefix("file:") {
            Some(path) => Self::File(path.into()),
            None => Self::SecretsManager { client: Client::new(sdk), id: location.to_owned() },
        }
    }

    pub(crate) async fn fetch(&self) -> Result<String, Unavailable> {
        match self {
            Self::SecretsManager { client, id } => {
                // Boxed: it is big, and every request's future has room for it.
                let output = Box::pin(client.get_secret_value().secret_id(id).send())
                    .await
                    .map_err(|error| Unavailable::new("secret", format!("{id}: {}", sdk::describe(&error))))?;
                output.secret_string.ok_or_else(|| Unavailable::new("secret", format!("{id}: holds no text")))
            }
            Self::File(path) => std::fs::read_to_string(path)
                .map_err(|error| Unavailable::new("secret", format!("{}: {error}", path.display()))),
            Self::Inline(text) => Ok(text.clone()),
        }
    }
}

/// Something that is made of one or more secrets.
pub trait Load: Send + Sync {
    /// What it is after it has been parsed.
    type Loaded: Send + Sync;

    /// Fetches and parses it.
    fn load(&self) -> impl Future<Output = Result<Self::Loaded, Unavailable>> + Send;
}

/// Key ring and registrations, loaded together, so that they always fit each other.
pub struct DocumentSecrets {
    /// The secret `signing-keys`: the key ring.
    pub signing_keys: SecretText,
    /// The secret `clients`: the registrations.
    pub clients: SecretText,
}

impl Load for DocumentSecrets {
    type Loaded = Documents;

    async fn load(&self) -> Result<Documents, Unavailable> {
        let (signing_keys, clients) = tokio::try_join!(self.signing_keys.fetch(), self.clients.fetch())?;
        Documents::parse(&signing_keys, &clients).map_err(|fault| Unavailable::new("secret", fault.to_string()))
    }
}

/// Told what is served, since when it has been known, and the time.
pub type SecretsObserver<T> = fn(&T, Timestamp, Timestamp);

/// Keeps what has been loaded: fresh for a while, stale for a day if it cannot be loaded again.
pub struct Cached<L: Load> {
    source: L,
    /// How long it counts as fresh.
    ttl_seconds: Seconds,
    loaded: RwLock<Option<Kept<L::Loaded>>>,
    /// Held while loading: many requests, one load.
    loading: Mutex<Attempts>,
    observer: Option<SecretsObserver<L::Loaded>>,
}

/// Key ring and registrations, cached.
pub type CachedDocuments = Cached<DocumentSecrets>;

struct Kept<T> {
    value: Arc<T>,
    at: Timestamp,
}

#[derive(Default)]
struct Attempts {
    refresh_failed_at: Option<Timestamp>,
    early: Option<EarlyReload>,
}

#[derive(Clone)]
struct EarlyReload {
    at: Timestamp,
    failure: Option<Unavailable>,
}

impl<L: Load> Cached<L> {
    /// An empty cache: nothing is loaded yet. What has been loaded counts as fresh for `ttl_seconds`.
    pub fn new(source: L, ttl_seconds: Seconds) -> Self {
        let (loaded, loading) = (RwLock::new(None), Mutex::new(Attempts::default()));
        Self { source, ttl_seconds, loaded, loading, observer: None }
    }

    /// With somebody who measures.
    pub fn observed(self, observer: SecretsObserver<L::Loaded>) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// Loads it before the first request asks, and returns it. A source that does not answer, or has nothing yet, is no
    /// reason not to start: requests look again.
    pub async fn warm_up(&self, now: Timestamp) -> Option<Arc<L::Loaded>> {
        let loaded = self.current(now).await;
        loaded.inspect_err(|unavailable| tracing::warn!(error = %unavailable, "nothing to start with")).ok()
    }

    /// The value, if it is no older than `seconds`.
    fn kept_for(&self, seconds: Seconds, now: Timestamp) -> Option<Arc<L::Loaded>> {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        let kept = loaded.as_ref()?;
        (now < kept.at.plus(seconds)).then(|| Arc::clone(&kept.value))
    }

    /// What may be served while the source is down.
    fn servable(&self, now: Timestamp) -> Option<Arc<L::Loaded>> {
        self.kept_for(STALE_SECONDS, now)
    }

    fn fresh(&self, now: Timestamp) -> Option<Arc<L::Loaded>> {
        self.kept_for(self.ttl_seconds, now)
    }

    async fn load(&self, now: Timestamp) -> Result<Arc<L::Loaded>, Unavailable> {
        let load = self.source.load();
        let loaded = if self.servable(now).is_some() {
            tokio::time::timeout(REFRESH_PATIENCE, load)
                .await
                .unwrap_or_else(|_| Err(Unavailable::new("secret", "no answer within 2.5 s")))
        } else {
            load.await
        };
        let value = Arc::new(loaded?);
        let kept = Kept { value: Arc::clone(&value), at: now };
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        Ok(value)
    }

    /// The value in force.
    pub async fn current(&self, now: Timestamp) -> Result<Arc<L::Loaded>, Unavailable> {
        let value = self.refreshed(now).await?;
        if let (Some(observer), Some(kept)) =
            (self.observer, &*self.loaded.read().unwrap_or_else(PoisonError::into_inner))
        {
            observer(&kept.value, kept.at, now);
        }
        Ok(value)
    }

    async fn refreshed(&self, now: Timestamp) -> Result<Arc<L::Loaded>, Unavailable> {
        if let Some(value) = self.fresh(now) {
            return Ok(value);
        }
        let mut attempts = self.loading.lock().await;
        if let Some(value) = self.fresh(now) {
            return Ok(value);
        }
        let servable = self.servable(now);
        let waits = attempts.refresh_failed_at.is_some_and(|at| now < at.plus(RETRY_REFRESH_SECONDS));
        if let (true, Some(value)) = (waits, &servable) {
            return Ok(Arc::clone(value));
        }
        match self.load(now).await {
            Ok(value) => {
                attempts.refresh_failed_at = None;
                Ok(value)
            }
            Err(failure) => {
                attempts.refresh_failed_at = Some(now);
                match servable {
                    Some(value) => {
                        tracing::error!(error = %failure, "a secret is served from the cache");
                        Ok(value)
                    }
                    None => Err(failure),
                }
            }
        }
    }

    /// The value after an early reload, unless there was one a moment ago.
    pub async fn reloaded(&self, now: Timestamp) -> Result<Arc<L::Loaded>, Unavailable> {
        let mut attempts = self.loading.lock().await;
        let recent = attempts.early.as_ref().filter(|early| now < early.at.plus(EARLY_RELOAD_SECONDS));
        let failure = match recent {
            // Nothing is judged until it is certain that the source does not know the key either.
            Some(early) => early.failure.clone(),
            None => {
                let failure = self.load(now).await.err();
                if let Some(failure) = &failure {
                    tracing::error!(error = %failure, "an unknown key id could not be looked up");
                }
                attempts.early = Some(EarlyReload { at: now, failure: failure.clone() });
                failure
            }
        };
        match (failure, self.servable(now)) {
            (Some(failure), _) => Err(failure),
            (None, Some(value)) => Ok(value),
            (None, None) => Err(Unavailable::new("secret", "not loaded")),
        }
    }
}

impl<L: Load<Loaded = Documents>> DocumentSource for Cached<L> {
    async fn current(&self, now: Timestamp) -> Result<Arc<Documents>, Unavailable> {
        Cached::current(self, now).await
    }

    async fn reloaded(&self, now: Timestamp) -> Result<Arc<Documents>, Unavailable> {
        Cached::reloaded(self, now).await
    }
}

/// Where one process has the key ring itself, as the local server does, it needs no second secret.
impl PublicKeySource for CachedDocuments {
    async fn public_keys(&self, now: Timestamp) -> Result<Arc<PublicKeys>, Unavailable> {
        let documents = Cached::current(self, now).await?;
        Ok(Arc::new(documents.keys.public_keys(now.unix_seconds())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RING: &str = r#"{"signing":[],"tagging":[]}"#;
    const REGISTRY: &str = r#"{"issuers":[],"clients":[]}"#;
    const ONE_CLIENT: &str = r#"{"issuers":[],"clients":[{"client_id":"new","type":"public","audience":["new"]}]}"#;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_800_000_000 + seconds)
    }

    fn authority(clients: SecretText) -> CachedDocuments {
        Cached::new(DocumentSecrets { signing_keys: SecretText::Inline(RING.into()), clients }, 300)
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
            Some(documents.registrations.client("new").is_some())
        }

        async fn reload_finds_new_client(&self, seconds: i64) -> Option<bool> {
            let documents = self.source.reloaded(at(seconds)).await.ok()?;
            Some(documents.registrations.client("new").is_some())
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
    async fn a_registry_that_does_not_fit_the_ring_is_refused() {
        let hs256 =
            r#"{"issuers":[],"clients":[{"client_id":"l","type":"public","audience":["l"],"alg":"HS256","kid":"hs"}]}"#;
        let source = authority(SecretText::Inline(hs256.into()));
        let failure = source.current(at(0)).await.unwrap_err();
        assert!(failure.to_string().contains(r#""l" names the key "hs""#), "{failure}");
    }
}
