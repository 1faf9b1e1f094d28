//! Renewals per second at a number of connections: Latchkey's local server, and oidc-provider doing the same.

use std::{
    path::Path,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use form_urlencoded::Serializer;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use latchkey_token::keys::Algorithm;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{
    figures::Samples,
    installation::{SECRET, Secrets, client_of},
    sign_in::{authorization_query, carried, exchange_form},
};

pub const CONNECTIONS: usize = 16;
const SCOPE: &str = "openid profile email";

/// A server to renew at, and a session for each connection.
pub struct Subject {
    child: Child,
    renewal_url: String,
    /// HTTP Basic credentials of the client.
    authorization: String,
    sessions: Vec<Tokens>,
    http: HttpClient,
    _folder: tempfile::TempDir,
}

#[derive(Clone, Default)]
struct Tokens {
    refresh_token: String,
    /// Latchkey's client renews with both.
    access_token: Option<String>,
}

impl Tokens {
    fn from_answer(answer: &Value, has_access_token: bool) -> Self {
        let text = |name: &str| answer[name].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        assert_ne!(text("id_token"), text("access_token"), "both are signed");
        Self { refresh_token: text("refresh_token"), access_token: has_access_token.then(|| text("access_token")) }
    }

    fn form(&self) -> String {
        let access_token = self.access_token.as_ref().map(|token| format!("&access_token={token}"));
        format!(
            "grant_type=refresh_token&refresh_token={}{}",
            self.refresh_token,
            access_token.as_deref().unwrap_or_default()
        )
    }
}

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

impl Subject {
    /// The local server, release build, on a data directory or in memory.
    pub async fn latchkey(executable: &Path, secrets: &Secrets, algorithm: Algorithm, is_durable: bool) -> Self {
        let folder = tempfile::tempdir_in(executable.parent().unwrap()).unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let mut command = Command::new(executable);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--keys"])
            .arg(file("signing-keys.json", &secrets.signing_keys))
            .arg("--clients")
            .arg(file("clients.json", &secrets.clients))
            .arg("--data");
        if is_durable {
            command.arg(folder.path().join("data"))
        } else {
            command.arg(":memory:")
        };
        let log = std::fs::File::create(folder.path().join("audit.log")).unwrap();
        let mut child = command
            .env_clear()
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(log))
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let url = first_line(&mut child, "listening on ").await;
        let client = client_of(algorithm);
        let mut sessions = Vec::new();
        let http = http_client();
        for number in 0..CONNECTIONS {
            let form = format!("client_id={client}&subject=user-{number}&scope={}", SCOPE.replace(' ', "+"));
            let answer = post(&http, &format!("{url}/token"), &basic("portal", SECRET), form).await;
            sessions.push(Tokens::from_answer(&answer, true));
        }
        Self {
            child,
            renewal_url: format!("{url}/token/renew"),
            authorization: basic(&client, SECRET),
            sessions,
            http,
            _folder: folder,
        }
    }

    /// oidc-provider with its in-memory adapter.
    pub async fn oidc_provider(folder: &Path, algorithm: Algorithm) -> Self {
        let mut child = Command::new("node")
            .arg(folder.join("server.mjs"))
            .args([algorithm.name(), &CONNECTIONS.to_string()])
            .env("NODE_ENV", "production")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let started: Value = serde_json::from_str(&first_line(&mut child, "").await).unwrap();
        let text = |name: &str| started[name].as_str().unwrap();
        let sessions = started["refreshTokens"].as_array().unwrap();
        Self {
            child,
            renewal_url: text("url").to_owned(),
            authorization: basic(text("client_id"), text("client_secret")),
            sessions: sessions
                .iter()
                .map(|token| Tokens { refresh_token: token.as_str().unwrap().to_owned(), access_token: None })
                .collect(),
            http: http_client(),
            _folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Every connection renews its session again and again for `time`.
    pub async fn renew_for(&mut self, time: Duration) -> Throughput {
        let (url, authorization) = (Arc::new(self.renewal_url.clone()), Arc::new(self.authorization.clone()));
        let begin = Instant::now();
        let chains: Vec<_> = self
            .sessions
            .drain(..)
            .map(|tokens| tokio::spawn(chain(Arc::clone(&url), Arc::clone(&authorization), tokens, begin + time)))
            .collect();
        let mut latencies = Samples::default();
        for chain in chains {
            let (tokens, times) = chain.await.unwrap();
            self.sessions.push(tokens);
            latencies.extend(times);
        }
        Throughput { per_second: latencies.len() as f64 / begin.elapsed().as_secs_f64(), latencies }
    }

    /// A whole sign-in of `subject`: how long the browser's begin, the portal's acceptance, the browser's return and the
    /// client's exchange took.
    pub async fn sign_in(&self, client: &str, subject: &str) -> [Duration; 4] {
        let url = self.renewal_url.strip_suffix("/token/renew").unwrap();
        let http = &self.http;
        let mut begin = Instant::now();
        let mut leg = || std::mem::replace(&mut begin, Instant::now()).elapsed();

        let query = authorization_query(client, SCOPE);
        let begun = get(http, &format!("{url}/authorize?{query}"), None).await;
        let begun_in = leg();
        let header = |answer: &Response<Incoming>, name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        let cookie = header(&begun, "set-cookie").split(';').next().unwrap().to_owned();
        let told = [("ticket", carried(&header(&begun, "location"), "ticket")), ("subject", subject.to_owned())];
        let form = Serializer::new(String::new()).extend_pairs(told).finish();
        let accepted = post(http, &format!("{url}/authorize/accept"), &basic("portal", SECRET), form).await;
        let accepted_in = leg();
        let back = get(http, accepted["redirect_to"].as_str().unwrap(), Some(&cookie)).await;
        let code = carried(&header(&back, "location"), "code");
        let back_in = leg();
        let form = exchange_form(&code);
        let tokens = post(http, &self.renewal_url, &basic(client, SECRET), form).await;
        let exchanged_in = leg();
        assert!(tokens["id_token"].is_string(), "{tokens}");
        [begun_in, accepted_in, back_in, exchanged_in]
    }

    pub async fn stop(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// What a server has done.
pub struct Throughput {
    pub per_second: f64,
    pub latencies: Samples,
}

type HttpClient = Client<HttpConnector, Full<Bytes>>;

fn http_client() -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

async fn chain(
    url: Arc<String>,
    authorization: Arc<String>,
    mut tokens: Tokens,
    until: Instant,
) -> (Tokens, Vec<Duration>) {
    let http = http_client();
    let mut times = Vec::new();
    while Instant::now() < until {
        let begin = Instant::now();
        let answer = post(&http, &url, &authorization, tokens.form()).await;
        times.push(begin.elapsed());
        tokens = Tokens::from_answer(&answer, tokens.access_token.is_some());
    }
    (tokens, times)
}

/// Where a browser is sent.
async fn get(http: &HttpClient, url: &str, cookie: Option<&str>) -> Response<Incoming> {
    let request = Request::get(url);
    let request = match cookie {
        Some(cookie) => request.header("cookie", cookie),
        None => request,
    };
    let answer = http.request(request.body(Full::default()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 302, "{url}");
    answer
}

async fn post(http: &HttpClient, url: &str, authorization: &str, form: String) -> Value {
    let request = Request::post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", authorization)
        .body(Full::from(form))
        .unwrap();
    let answer = http.request(request).await.unwrap();
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap()
}

/// The rest of the first line that begins with `prefix`; what comes after it is read and dropped.
async fn first_line(child: &mut Child, prefix: &str) -> String {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let rest = loop {
        let line = tokio::time::timeout(Duration::from_secs(60), lines.next_line()).await.expect("the server starts");
        let line = line.unwrap().expect("the server runs");
        if let Some(rest) = line.strip_prefix(prefix) {
            break rest.to_owned();
        }
    };
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    rest
}
