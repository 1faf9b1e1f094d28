//! DynamoDB and Secrets Manager on loopback, over HTTP or TLS: the first is the embedded engine, so that its conditions
//! and capacity units are real. Every request is counted, and may be answered as late as AWS would.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use dynoxide::{
    Database,
    types::{Item, item_size, write_capacity_units},
};
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use latchkey::serve::dynamodb;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

/// What was asked of the table, by operation: requests, and the units that they consumed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Consumed {
    pub requests: BTreeMap<String, u64>,
    pub write_units: f64,
    pub read_units: f64,
    /// The largest item that was returned, in bytes as DynamoDB counts them.
    pub item_bytes: usize,
    /// Requests to Secrets Manager.
    pub secrets: u64,
}

/// How long each service takes to answer, beside what the stub takes itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latency {
    pub dynamodb: Duration,
    pub secrets_manager: Duration,
}

/// Both services at one address.
pub struct Cloud {
    address: SocketAddr,
    /// The certificate authority that vouches for the address, where it speaks TLS.
    authority: Option<Authority>,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Authority {
    _folder: tempfile::TempDir,
    file: PathBuf,
}

struct Shared {
    database: Database,
    secrets: BTreeMap<String, String>,
    latency: Latency,
    consumed: Mutex<Consumed>,
}

impl Cloud {
    /// Without TLS and without delay.
    pub async fn plain(database: Database, secrets: BTreeMap<String, String>) -> Self {
        Self::start(database, secrets, Latency::default(), false).await
    }

    /// With TLS, as late as `latency`.
    pub async fn with_tls(database: Database, secrets: BTreeMap<String, String>, latency: Latency) -> Self {
        Self::start(database, secrets, latency, true).await
    }

    async fn start(database: Database, secrets: BTreeMap<String, String>, latency: Latency, has_tls: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { database, secrets, latency, consumed: Mutex::default() });
        let (acceptor, authority) = has_tls.then(certificates).unzip();
        let serving = tokio::spawn(accept(listener, acceptor, Arc::clone(&shared)));
        Self { address, authority, shared, serving }
    }

    pub fn url(&self) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://localhost:{}", self.address.port())
    }

    /// What a function must be told to find it.
    pub fn environment(&self) -> Vec<(String, String)> {
        let url = self.url();
        let mut environment = vec![
            ("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), url.clone()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER".to_owned(), url),
        ];
        if let Some(authority) = &self.authority {
            let file = authority.file.display().to_string();
            environment.push(("SSL_CERT_FILE".to_owned(), file.clone()));
            environment.push(("NODE_EXTRA_CA_CERTS".to_owned(), file));
        }
        environment
    }

    /// What has been consumed since the last time.
    pub fn take_consumed(&self) -> Consumed {
        std::mem::take(&mut self.shared.consumed.lock().unwrap())
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// An authority of our own among as many others as a machine trusts, which all have to be read.
fn certificates() -> (TlsAcceptor, Authority) {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::default();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.distinguished_name.push(rcgen::DnType::CommonName, "Latchkey bench");
    let ca_certificate = ca.self_signed(&ca_key).unwrap();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned()];
    let certificate = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("roots.pem");
    let mut roots = ca_certificate.pem();
    roots.push_str(&machine_roots());
    std::fs::write(&file, roots).unwrap();

    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    (TlsAcceptor::from(Arc::new(config)), Authority { _folder: folder, file })
}

/// The file of the machine's trusted roots, where Linux distributions keep it; Lambda's system is the first.
pub fn machine_roots_file() -> Option<&'static Path> {
    let places = ["/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt"];
    places.into_iter().map(Path::new).find(|place| place.exists())
}

fn machine_roots() -> String {
    machine_roots_file().map(|file| std::fs::read_to_string(file).unwrap()).unwrap_or_else(|| {
        eprintln!("bench: NO ROOT CERTIFICATES on this machine: TLS starts with the stub's alone");
        String::new()
    })
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            match acceptor {
                None => serve(stream, &shared).await,
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, &shared).await;
                    }
                }
            }
        });
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(stream: S, shared: &Shared) {
    let service = service_fn(|request| respond(shared, request));
    // A function that is stopped breaks its connection off.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(shared: &Shared, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let target = request.headers().get("x-amz-target").map(|target| target.to_str().unwrap().to_owned());
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let (status, text) = match target.as_deref().and_then(|target| target.split_once('.')) {
        None => (200, "healthy: localhost".to_owned()),
        Some(("secretsmanager", operation)) => {
            tokio::time::sleep(shared.latency.secrets_manager).await;
            shared.consumed.lock().unwrap().secrets += 1;
            secrets_manager(shared, operation, &body)
        }
        Some((_, operation)) => {
            tokio::time::sleep(shared.latency.dynamodb).await;
            perform(shared, operation, &body)
        }
    };
    let response = Response::builder().status(status).header("content-type", "application/x-amz-json-1.0");
    Ok(response.body(Full::from(text)).unwrap())
}

fn secrets_manager(shared: &Shared, operation: &str, body: &[u8]) -> (u16, String) {
    let request: Value = serde_json::from_slice(body).unwrap();
    let id = request["SecretId"].as_str().unwrap_or_default();
    let Some(secret) = shared.secrets.get(id) else {
        return (400, json!({"__type": "ResourceNotFoundException", "Message": "no such secret"}).to_string());
    };
    let answer = match operation {
        "GetSecretValue" => json!({"Name": id, "VersionId": "current", "SecretString": secret}),
        "DescribeSecret" => json!({"Name": id, "VersionIdsToStages": {super::installation::PENDING: ["AWSPENDING"]}}),
        _ => return (400, json!({"__type": "InvalidRequestException", "Message": "not offered"}).to_string()),
    };
    (200, answer.to_string())
}

fn perform(shared: &Shared, operation: &str, body: &[u8]) -> (u16, String) {
    let mut request: Value = serde_json::from_slice(body).unwrap();
    request["ReturnConsumedCapacity"] = "TOTAL".into();
    let answer = dynamodb::perform(&shared.database, operation, request.to_string().as_bytes());
    let mut consumed = shared.consumed.lock().unwrap();
    *consumed.requests.entry(operation.to_owned()).or_default() += 1;
    match answer {
        Ok(text) => {
            let answer: Value = serde_json::from_str(&text).unwrap();
            let units = answer["ConsumedCapacity"]["CapacityUnits"].as_f64().expect("consumed capacity");
            if let Ok(item) = serde_json::from_value::<Item>(answer["Attributes"].clone()) {
                consumed.item_bytes = consumed.item_bytes.max(item_size(&item));
            }
            match operation {
                "GetItem" | "Query" => consumed.read_units += units,
                _ => consumed.write_units += units,
            }
            (200, text)
        }
        Err(error) => {
            // A write whose condition fails is billed as well, by the item that stands in its way ("Read/write capacity
            // mode", DynamoDB Developer Guide).
            let refused: Value = serde_json::from_str(&error.to_json()).unwrap();
            if let Ok(item) = serde_json::from_value::<Item>(refused["Item"].clone()) {
                consumed.write_units += write_capacity_units(item_size(&item));
            }
            (error.status_code(), error.to_json())
        }
    }
}
