//! Key ring and registry from Secrets Manager or from files, cached, and served stale while the source is down.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use aws_sdk_secretsmanager::Client;
use latchkey_token::{
    authority::Authority,
    ports::{AuthoritySource, Unavailable},
    time::{Seconds, Timestamp},
};
use tokio::sync::Mutex;

use crate::sdk;

/// How long a loaded authority is served while it cannot be refreshed: a day.
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
    SecretsManager { client: Client, id: String },
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

    async fn fetch(&self) -> Result<String, Unavailable> {
        match self {
            Self::SecretsManager { client, id } => {
                let output = client
                    .get_secret_value()
                    .secret_id(id)
                    .send()
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

/// Loads key ring and registry together, so that they always fit each other, and keeps them.
pub struct CachedAuthority {
    signing_keys: SecretText,
    clients: SecretText,
    /// How long a loaded authority counts as fresh.
    ttl_seconds: Seconds,
    loaded: RwLock<Option<Loaded>>,
    /// Held while loading: many requests, one load.
    loading: Mutex<Attempts>,
}

#[derive(Clone)]
struct Loaded {
    authority: Arc<Authority>,
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

impl CachedAuthority {
    pub fn new(signing_keys: SecretText, clients: SecretText, ttl_seconds: Seconds) -> Self {
        Self { signing_keys, clients, ttl_seconds, loaded: RwLock::new(None), loading: Mutex::new(Attempts::default()) }
    }

    fn cached(&self) -> Option<Loaded> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What may be served while the source is down.
    fn servable(&self, now: Timestamp) -> Option<Arc<Authority>> {
        let loaded = self.cached()?;
        (now < loaded.at.plus(STALE_SECONDS)).then_some(loaded.authority)
    }

    fn fresh(&self, now: Timestamp) -> Option<Arc<Authority>> {
        let loaded = self.cached()?;
        (now < loaded.at.plus(self.ttl_seconds)).then_some(loaded.authority)
    }

    async fn load(&self, now: Timestamp) -> Result<Arc<Authority>, Unavailable> {
        let fetch = async { tokio::try_join!(self.signing_keys.fetch(), self.clients.fetch()) };
        let fetched = if self.servable(now).is_some() {
            tokio::time::timeout(REFRESH_PATIENCE, fetch)
                .await
                .unwrap_or_else(|_| Err(Unavailable::new("secret", "no answer within 2.5 s")))
        } else {
            fetch.await
        };
        let (signing_keys, clients) = fetched?;
        let authority =
            Authority::parse(&signing_keys, &clients).map_err(|fault| Unavailable::new("secret", fault.to_string()))?;
        let authority = Arc::new(authority);
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) =
            Some(Loaded { authority: Arc::clone(&authority), at: now });
        Ok(authority)
    }
}

impl AuthoritySource for CachedAuthority {
    async fn current(&self, now: Timestamp) -> Result<Arc<Authority>, Unavailable> {
        if let Some(authority) = self.fresh(now) {
            return Ok(authority);
        }
        let mut attempts = self.loading.lock().await;
        if let Some(authority) = self.fresh(now) {
            return Ok(authority);
        }
        let servable = self.servable(now);
        let waits = attempts.refresh_failed_at.is_some_and(|at| now < at.plus(RETRY_REFRESH_SECONDS));
        if let (true, Some(authority)) = (waits, &servable) {
            return Ok(Arc::clone(authority));
        }
        match self.load(now).await {
            Ok(authority) => {
                attempts.refresh_failed_at = None;
                Ok(authority)
            }
            Err(failure) => {
                attempts.refresh_failed_at = Some(now);
                match servable {
                    Some(authority) => {
                        tracing::error!(error = %failure, "key ring and registry are served from the cache");
                        Ok(authority)
                    }
                    None => Err(failure),
                }
            }
        }
    }

    async fn reloaded(&self, now: Timestamp) -> Result<Arc<Authority>, Unavailable> {
        let mut attempts = self.loading.lock().await;
        let recent = attempts.early.as_ref().filter(|early| now < early.at.plus(EARLY_RELOAD_SECONDS));
        let failure = match recent {
            // Refused only once it is certain that the source does not know the key either.
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
            (None, Some(authority)) => Ok(authority),
            (None, None) => Err(Unavailable::new("secret", "not loaded")),
        }
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

    struct Fixture {
        clients: tempfile::NamedTempFile,
        source: CachedAuthority,
    }

    impl Fixture {
        fn new() -> Self {
            let clients = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(clients.path(), REGISTRY).unwrap();
            let file = SecretText::File(clients.path().to_owned());
            Self { clients, source: CachedAuthority::new(SecretText::Inline(RING.into()), file, 300) }
        }

        fn write(&self, text: &str) {
            std::fs::write(self.clients.path(), text).unwrap();
        }

        async fn knows_new_client(&self, seconds: i64) -> Option<bool> {
            let authority = self.source.current(at(seconds)).await.ok()?;
            Some(authority.registry.client("new").is_some())
        }

        async fn reload_finds_new_client(&self, seconds: i64) -> Option<bool> {
            let authority = self.source.reloaded(at(seconds)).await.ok()?;
            Some(authority.registry.client("new").is_some())
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
        let source = CachedAuthority::new(SecretText::Inline(RING.into()), SecretText::Inline(hs256.into()), 300);
        let failure = source.current(at(0)).await.unwrap_err();
        assert!(failure.to_string().contains(r#""l" names the key "hs""#), "{failure}");
    }
}
