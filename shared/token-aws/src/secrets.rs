//! Single documents from Secrets Manager or from files, cached, and served stale while the source is down or holds no document.

use std::{
    path::PathBuf,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_sdk_secretsmanager::Client;
use latchkey_token::{
    documents::Observer,
    failure::Unavailable,
    json::{Faults, Reading},
    keys::KeyRing,
    registrations::Registrations,
    values::{Seconds, Timestamp, text_of, without_mark},
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

    /// The text as it is now.
    pub async fn fetch(&self) -> Result<String, Unavailable> {
        match self {
            Self::SecretsManager { client, id } => {
                // Boxed: it is big, and every request's future has room for it.
                let output = Box::pin(client.get_secret_value().secret_id(id).send())
                    .await
                    .map_err(|error| Unavailable::new("secret", format!("{id}: {}", sdk::describe(&error))))?;
                let text = output.secret_string;
                let text = text.ok_or_else(|| Unavailable::new("secret", format!("{id}: holds no text")))?;
                Ok(without_mark(&text).to_owned())
            }
            Self::File(path) => {
                let failed =
                    |what: &dyn std::fmt::Display| Unavailable::new("secret", format!("{}: {what}", path.display()));
                let bytes = std::fs::read(path).map_err(|error| failed(&error))?;
                text_of(bytes).map_err(|fault| failed(&fault))
            }
            Self::Inline(text) => Ok(text.clone()),
        }
    }
}

/// A kind of document that a secret holds.
pub trait Document {
    /// What it is after it has been read.
    type Read: Send + Sync;

    /// What it is called, for the operator.
    const NAME: &'static str;

    /// Reads it fail-static; refuses only what is no document at all.
    fn read(text: &str) -> Result<Reading<Self::Read>, Faults>;
}

/// The secret `signing-keys`: the key ring.
pub enum SigningKeys {}

impl Document for SigningKeys {
    type Read = KeyRing;

    const NAME: &'static str = "signing-keys";

    fn read(text: &str) -> Result<Reading<KeyRing>, Faults> {
        KeyRing::read(text)
    }
}

/// The secret `clients`: the registrations.
pub enum Clients {}

impl Document for Clients {
    type Read = Registrations;

    const NAME: &'static str = "clients";

    fn read(text: &str) -> Result<Reading<Registrations>, Faults> {
        Registrations::read(text)
    }
}

/// Keeps what has been loaded: fresh for a while, stale for a day if it cannot be loaded again.
pub struct Cached<D: Document> {
    source: SecretText,
    /// How long it counts as fresh.
    ttl_seconds: Seconds,
    loaded: RwLock<Option<Kept<D::Read>>>,
    /// Held while loading: many requests, one load.
    loading: Mutex<Attempts>,
    /// How many faults there were when it was last read.
    faults: AtomicUsize,
    observer: Option<Observer>,
}

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

impl<D: Document> Cached<D> {
    /// An empty cache: nothing is loaded yet. What has been loaded counts as fresh for `ttl_seconds`.
    pub fn new(source: SecretText, ttl_seconds: Seconds) -> Self {
        let (loaded, loading) = (RwLock::new(None), Mutex::new(Attempts::default()));
        Self { source, ttl_seconds, loaded, loading, faults: AtomicUsize::new(0), observer: None }
    }

    /// With somebody who measures.
    pub fn observed(self, observer: Observer) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// Loads it before the first request asks, and returns it. A source that does not answer, or has nothing yet, is no
    /// reason not to start: requests look again.
    pub async fn warm_up(&self, now: Timestamp) -> Option<Arc<D::Read>> {
        let loaded = self.current(now).await;
        loaded.inspect_err(|unavailable| tracing::warn!(error = %unavailable, "nothing to start with")).ok()
    }

    /// The value, if it is no older than `seconds`.
    fn kept_for(&self, seconds: Seconds, now: Timestamp) -> Option<Arc<D::Read>> {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        let kept = loaded.as_ref()?;
        (now < kept.at.plus(seconds)).then(|| Arc::clone(&kept.value))
    }

    /// What may be served while the source is down.
    fn servable(&self, now: Timestamp) -> Option<Arc<D::Read>> {
        self.kept_for(STALE_SECONDS, now)
    }

    fn fresh(&self, now: Timestamp) -> Option<Arc<D::Read>> {
        self.kept_for(self.ttl_seconds, now)
    }

    async fn load(&self, now: Timestamp) -> Result<Arc<D::Read>, Unavailable> {
        let fetch = self.source.fetch();
        let text = if self.servable(now).is_some() {
            tokio::time::timeout(REFRESH_PATIENCE, fetch)
                .await
                .unwrap_or_else(|_| Err(Unavailable::new("secret", "no answer within 2.5 s")))
        } else {
            fetch.await
        };
        let value = Arc::new(self.read(&text?)?);
        let kept = Kept { value: Arc::clone(&value), at: now };
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        Ok(value)
    }

    fn read(&self, text: &str) -> Result<D::Read, Unavailable> {
        let (value, faults) = match D::read(text) {
            Ok(Reading { value, faults }) => (Ok(value), faults),
            Err(faults) => (Err(Unavailable::new("document", format!("{}: {faults}", D::NAME))), faults),
        };
        self.faults.store(faults.lines().len(), Ordering::Relaxed);
        if let (Some(observer), false) = (self.observer, faults.is_empty()) {
            (observer.faulty)(D::NAME, &faults);
        }
        value
    }

    /// The value in force.
    pub async fn current(&self, now: Timestamp) -> Result<Arc<D::Read>, Unavailable> {
        let value = self.refreshed(now).await?;
        if let (Some(observer), Some(kept)) =
            (self.observer, &*self.loaded.read().unwrap_or_else(PoisonError::into_inner))
        {
            (observer.served)(kept.at, now, self.faults.load(Ordering::Relaxed));
        }
        Ok(value)
    }

    async fn refreshed(&self, now: Timestamp) -> Result<Arc<D::Read>, Unavailable> {
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
    pub async fn reloaded(&self, now: Timestamp) -> Result<Arc<D::Read>, Unavailable> {
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
