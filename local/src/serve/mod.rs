//! The local server.

mod client;
mod connections;
pub mod demo;
pub mod dynamodb;
mod functions;
mod http;
mod mcp;
mod pages;
mod playground;
mod portal;
mod tour;

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use authorize::SignIns;
use authorizer::{Authorizer, LiveSessions};
use aws_config::SdkConfig;
use discovery::Discovery;
use dynoxide::Database;
use latchkey_token::{documents::Documents, failure::Unavailable, ports::Clock};
use latchkey_token_aws::{CachedDocuments, DocumentSecrets, DynamoDbSessions, SecretText, sdk, table};
use latchkey_token_lambda::{
    Service,
    settings::{AuthorizerSettings, Settings, SignInSettings},
    system::SystemRandomness,
    telemetry,
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use self::{
    client::ClientPage,
    demo::{Demo, DemoFault, MCP, Places},
    dynamodb::Observer,
    functions::Functions,
    mcp::McpGateway,
    playground::Playground,
    portal::Portal,
};
pub use self::{mcp::McpServer, playground::AuditFeed};

/// How long requests under way may take after the signal to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// The embedded database, in the data directory.
pub(crate) const SESSIONS_FILE: &str = "sessions.sqlite";

/// Variables of the environment, by name.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What the server is started with.
pub struct Options {
    pub listen: SocketAddr,
    pub data: DataLocation,
    pub keys: Option<PathBuf>,
    pub clients: Option<PathBuf>,
    pub dynamodb_listen: Option<SocketAddr>,
    /// What `/demo/mcp` passes requests on to.
    pub mcp: Option<McpServer>,
    pub clock: Arc<dyn Clock>,
    pub environment: Environment,
    /// Told the name of every operation on the embedded DynamoDB.
    pub observer: Option<Observer>,
    /// What the playground shows of the audit trail: whatever log lines are written to it.
    pub audit_feed: AuditFeed,
}

/// Where sessions, keys and clients are kept.
#[derive(Clone)]
pub enum DataLocation {
    /// In memory, nowhere else.
    Memory,
    Directory(PathBuf),
    /// In memory; the caller keeps the database, to look into it or to start another server on it.
    Database(Database),
}

impl DataLocation {
    pub fn parse(text: &str) -> Self {
        if text == ":memory:" { Self::Memory } else { Self::Directory(text.into()) }
    }

    fn directory(&self) -> Option<&Path> {
        match self {
            Self::Directory(directory) => Some(directory),
            Self::Memory | Self::Database(_) => None,
        }
    }

    fn open(&self) -> Result<Database, StartError> {
        match self {
            Self::Memory => Database::memory().map_err(|error| StartError::data(":memory:", error)),
            Self::Database(database) => Ok(database.clone()),
            Self::Directory(directory) => {
                let path = directory.join(SESSIONS_FILE);
                dynamodb::open(&path).map_err(|error| StartError::data(path.display(), error))
            }
        }
    }
}

/// Why the server did not start. Names the file, variable or address at fault, and each fault of it.
#[derive(Debug)]
pub struct StartError(String);

impl StartError {
    fn data(path: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self(format!("data directory: {path}: {error}"))
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

impl From<DemoFault> for StartError {
    fn from(fault: DemoFault) -> Self {
        Self(format!("data directory: {fault}"))
    }
}

impl From<Unavailable> for StartError {
    fn from(unavailable: Unavailable) -> Self {
        Self(unavailable.to_string())
    }
}

/// A running server.
pub struct Server {
    url: String,
    welcome: String,
    demo: Option<Demo>,
    stop: watch::Sender<bool>,
    serving: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts serving, or says in one message what stands in the way.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let listener = bind(options.listen, "--listen").await?;
        let address = listener.local_addr().map_err(|error| StartError(error.to_string()))?;
        let url = format!("http://{address}");
        let environment = Arc::clone(&options.environment);
        let settings =
            Settings::local(|name| environment(name), &url).map_err(|faults| StartError(faults.to_string()))?;
        let (audience, cache_seconds) =
            AuthorizerSettings::local(|name| environment(name)).map_err(|faults| StartError(faults.to_string()))?;
        // The demo's registrations let them.
        let clients_register = SignInSettings::local(|name| environment(name), options.clients.is_none())
            .map_err(|faults| StartError(faults.to_string()))?;

        let resource = format!("{}{MCP}", settings.policy.issuer);
        let directory = options.data.directory();
        if let Some(directory) = directory {
            demo::create_directory(directory)?;
        }
        let signing_keys = match &options.keys {
            Some(file) => SecretText::File(file.clone()),
            None => demo::signing_keys(directory)?,
        };
        let (clients, demo) = match &options.clients {
            Some(file) => (SecretText::File(file.clone()), None),
            None => {
                let url = address.ip().is_loopback().then_some(url.as_str());
                let demo = Demo::load_or_create(directory, &Places { pages: url, resource: &resource })?;
                (demo.clients.clone(), Some(demo))
            }
        };
        // Strict at the start; what becomes faulty while it runs leaves the rest in force, as in Lambda.
        let in_force = {
            let (signing_keys, clients) = tokio::try_join!(signing_keys.fetch(), clients.fetch())
                .map_err(|fault| StartError(name_the_files(&fault.detail, &options)))?;
            Documents::parse(&signing_keys, &clients)
                .map_err(|fault| StartError(name_the_files(&fault.to_string(), &options)))?
        };
        let secrets = DocumentSecrets { signing_keys, clients };
        let documents =
            Arc::new(CachedDocuments::new(secrets, settings.secrets_ttl_seconds).observed(telemetry::OBSERVER));
        for missing in in_force.missing_keys(options.clock.now()) {
            tracing::warn!("{missing}: its requests will be answered with 503");
        }
        settings.log_warnings(&in_force);

        let (stop, stopped) = watch::channel(false);
        let mut serving = Vec::new();
        let (sdk, dynamodb) = connect(&options, &stopped, &mut serving).await?;
        table::create_if_missing(&sdk, &settings.table).await?;
        let pages = pages::on(address, demo.as_ref().map(|demo| &demo.credentials));
        let portal = Portal::new(pages.clone(), &url);
        let client = ClientPage::new(pages.clone(), &url, &settings.policy.issuer);
        let playground = Playground::new(pages, options.audit_feed, stopped.clone());
        let has_pages = playground.is_on();
        let mut welcome = tour::welcome(&url, demo.as_ref(), &settings, options.data.directory(), has_pages);
        if let Some(address) = dynamodb {
            welcome.push_str(&format!("The embedded DynamoDB, for other programs: http://{address}\n\n"));
        }
        let discovery =
            Discovery::new(Arc::clone(&documents), settings.discovery(clients_register), Arc::clone(&options.clock));
        let store = DynamoDbSessions::new(&sdk, settings.table);
        let authorizer_for = |audience| Authorizer {
            store: store.clone(),
            documents: Arc::clone(&documents),
            policy: settings.policy.clone(),
            audience,
            live: LiveSessions::new(cache_seconds),
            clock: Arc::clone(&options.clock),
        };
        let authorizer = authorizer_for(audience);
        let mcp = McpGateway::new(authorizer_for(resource), options.mcp);
        let tokens = Service {
            store,
            documents,
            policy: settings.policy,
            cors: settings.cors,
            clock: options.clock,
            randomness: Arc::new(SystemRandomness),
        };
        let sign_ins = SignIns {
            documents: Arc::clone(&tokens.documents),
            issuer: tokens.policy.issuer.clone(),
            clock: Arc::clone(&tokens.clock),
            randomness: Arc::clone(&tokens.randomness),
            cors: tokens.cors.clone(),
            clients_register,
        };
        let functions =
            Arc::new(Functions { tokens, discovery, authorizer, sign_ins, playground, portal, client, mcp });
        serving.push(tokio::spawn(http::serve(listener, functions, stopped)));
        Ok(Self { url, welcome, demo, stop, serving })
    }

    /// `http://` and the address, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What a newcomer reads: where things are, and what to paste.
    pub fn welcome(&self) -> &str {
        &self.welcome
    }

    /// The demo credentials, unless registrations were given.
    pub fn demo(&self) -> Option<&Demo> {
        self.demo.as_ref()
    }

    /// Takes no more requests, lets those under way finish, and returns when all is closed.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        for task in self.serving {
            let aborter = task.abort_handle();
            if tokio::time::timeout(STOP_PATIENCE, task).await.is_err() {
                aborter.abort();
            }
        }
    }
}

async fn bind(address: SocketAddr, flag: &str) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|error| StartError(format!("{flag} {address}: {error}")))
}

/// A fault says which document it is in; here it gets that document's file name as well.
fn name_the_files(detail: &str, options: &Options) -> String {
    let mut text = detail.to_owned();
    for (document, file) in [("signing keys: ", &options.keys), ("clients: ", &options.clients)] {
        if let (Some(file), Some(rest)) = (file, detail.strip_prefix(document)) {
            text = format!("{}: {rest}", file.display());
        }
    }
    text.replace("; ", "\n  ")
}

/// The embedded DynamoDB, with its address if it is opened to others, or the one that the environment names.
async fn connect(
    options: &Options,
    stopped: &watch::Receiver<bool>,
    serving: &mut Vec<JoinHandle<()>>,
) -> Result<(SdkConfig, Option<SocketAddr>), StartError> {
    if (options.environment)("AWS_ENDPOINT_URL_DYNAMODB").is_some_and(|url| !url.is_empty()) {
        if options.dynamodb_listen.is_some() {
            return Err(StartError(
                "--dynamodb-listen opens the embedded DynamoDB, but AWS_ENDPOINT_URL_DYNAMODB names another: use one"
                    .into(),
            ));
        }
        return Ok((sdk::config().await, None));
    }
    let database = options.data.open()?;
    let mut opened = None;
    if let Some(address) = options.dynamodb_listen {
        let listener = bind(address, "--dynamodb-listen").await?;
        opened = listener.local_addr().ok();
        let mut stopped = stopped.clone();
        let database = database.clone();
        serving.push(tokio::spawn(async move {
            tokio::select! {
                () = dynoxide::server::serve_on(listener, database) => {}
                _ = stopped.wait_for(|stopped| *stopped) => {}
            }
        }));
    }
    Ok((dynamodb::embedded(database, options.observer.clone()).await, opened))
}
