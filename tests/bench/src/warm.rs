//! A warm function's own work: the store answers at once, in the SDK's connector, always with the same record.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use aws_config::{Region, SdkConfig};
use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use aws_sdk_dynamodb::config::Credentials;
use aws_smithy_runtime_api::{
    client::{
        http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
        orchestrator::{HttpRequest, HttpResponse},
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use dynoxide::Database;
use latchkey::serve::dynamodb;
use latchkey_token::{
    keys::Algorithm,
    ports::{Clock, Randomness, RenewSession},
};
use latchkey_token_aws::{DynamoDbSessions, sdk, table};
use latchkey_token_lambda::telemetry::metrics::Meter;
use latchkey_token_testkit::fixture;
use serde_json::Value;

use crate::{
    figures::Samples,
    installation::{self, Secrets, Session, TABLE, Tokens, client_of, issue_event, renew_event, token_exchange_event},
    sign_in::{Browser, accept, exchange_event},
};

/// Performs each operation once, and then repeats the answer.
#[derive(Clone)]
struct Repeating {
    database: Database,
    answers: Arc<Mutex<BTreeMap<String, String>>>,
}

impl fmt::Debug for Repeating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("repeating DynamoDB")
    }
}

impl HttpConnector for Repeating {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default();
        let mut answers = self.answers.lock().unwrap();
        let answer = match answers.get(operation) {
            Some(answer) => answer.clone(),
            None => {
                let body = request.body().bytes().unwrap();
                let answer = dynamodb::perform(&self.database, operation, body).expect("the first time succeeds");
                answers.insert(operation.to_owned(), answer.clone());
                answer
            }
        };
        HttpConnectorFuture::ready(Ok(HttpResponse::new(StatusCode::try_from(200).unwrap(), SdkBody::from(answer))))
    }
}

/// A table behind it.
async fn repeating() -> SdkConfig {
    let database = Database::memory().unwrap();
    table::create_if_missing(&dynamodb::embedded(database.clone(), None).await, TABLE).await.unwrap();
    let connector = SharedHttpConnector::new(Repeating { database, answers: Arc::new(Mutex::default()) });
    sdk::loader()
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("bench", "bench", None, None, "bench"))
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .load()
        .await
}

/// A function that is invoked again and again with the same event.
pub struct Warm {
    tokens: Tokens,
    meter: Meter,
    event: Vec<u8>,
}

/// What is invoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    Issue,
    Renewal,
    /// The exchange of a code, which is the first renewal of its session.
    Exchange,
    /// The exchange of an access token for a target.
    TokenExchange,
}

impl Warm {
    pub async fn new(
        request: Request,
        algorithm: Algorithm,
        scope: &str,
        secrets: &Secrets,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
    ) -> Self {
        let sdk = repeating().await;
        let tokens = installation::tokens(&sdk, secrets, clock, randomness).await;
        let client = client_of(algorithm);
        let meter = Meter::default();
        let event = match request {
            Request::Issue => issue_event(&client, "alice", scope),
            Request::Renewal | Request::TokenExchange => {
                let answer = installation::invoke(&tokens, &issue_event(&client, "alice", scope)).await;
                let session = Session::from_answer(&client, &answer);
                if request == Request::Renewal { renew_event(&session) } else { token_exchange_event(&session) }
            }
            Request::Exchange => {
                let browser = Browser::new(&tokens);
                let ticket = browser.begin(&client, scope).await;
                exchange_event(&client, &browser.come_back(&accept(&tokens, &ticket).await).await)
            }
        };
        let event = installation::as_sent(&event).into_bytes();
        let warm = Self { tokens, meter, event };
        let answer: Value = serde_json::from_slice(&warm.invoke().await).unwrap();
        assert_eq!(answer["statusCode"], 200, "{answer}");
        warm
    }

    pub async fn invoke(&self) -> Vec<u8> {
        installation::invoke_bytes(&self.tokens, &self.meter, &self.event).await
    }
}

/// Times of one algorithm's renewals, and of the two things in them that cannot be avoided.
pub struct WarmTimes {
    pub whole: Samples,
    /// The SDK's conditional update, answered at once.
    pub store: Samples,
    /// One signature over as many bytes as an access token has, with a key that is ready.
    pub signature: Samples,
}

impl WarmTimes {
    /// Measures the three by turns, so that all meet the same machine.
    pub async fn measure(warm: &Warm, algorithm: Algorithm, secrets: &Secrets, rounds: usize) -> Self {
        let sign = prepared(algorithm, secrets);
        let message = vec![b'x'; 700];
        let sdk = repeating().await;
        let store = DynamoDbSessions::new(&sdk, TABLE);
        let session = fixture::session(1);
        latchkey_token::ports::InsertSession::insert(&store, &session).await.unwrap();
        let renewal = fixture::renewal(&session, fixture::NOW);

        let mut times = Self { whole: Samples::default(), store: Samples::default(), signature: Samples::default() };
        for round in 0..rounds + rounds / 10 {
            let whole = timed(warm.invoke()).await;
            let store = timed(async { store.renew(&renewal).await.unwrap() }).await;
            let signature = timed(async { sign(&message) }).await;
            // The first tenth warms caches up.
            if round >= rounds / 10 {
                times.whole.push(whole);
                times.store.push(store);
                times.signature.push(signature);
            }
        }
        times
    }

    /// What a renewal takes beyond store and signature.
    pub fn overhead(&self) -> Duration {
        self.whole.p50().saturating_sub(self.store.p50() + self.signature.p50())
    }

    /// A renewal by its two unavoidable parts.
    pub fn ratio(&self) -> f64 {
        self.whole.p50().as_secs_f64() / (self.store.p50() + self.signature.p50()).as_secs_f64()
    }
}

async fn timed<T>(work: impl Future<Output = T>) -> Duration {
    let begin = Instant::now();
    std::hint::black_box(work.await);
    begin.elapsed()
}

/// Signs a message.
pub(crate) type Sign = dyn Fn(&[u8]) -> Vec<u8>;

/// The least that a signature takes.
pub(crate) fn prepared(algorithm: Algorithm, secrets: &Secrets) -> Box<Sign> {
    let ring: Value = serde_json::from_str(&secrets.signing_keys).unwrap();
    let keys = ring["signing"].as_array().unwrap();
    let key = keys.iter().find(|key| key["alg"] == algorithm.name()).unwrap();
    if algorithm == Algorithm::Hs256 {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key["secret"].as_str().unwrap().as_bytes());
        return Box::new(move |message| hmac::sign(&key, message).as_ref().to_vec());
    }
    let der = der(key["private_key"].as_str().unwrap());
    match algorithm {
        Algorithm::Es256 => {
            let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).unwrap();
            Box::new(move |message| key.sign_digest(&digest(&SHA256, message)).unwrap().as_ref().to_vec())
        }
        Algorithm::EdDsa => {
            let key = Ed25519KeyPair::from_pkcs8(&der).unwrap();
            Box::new(move |message| key.sign(message).as_ref().to_vec())
        }
        _ => {
            let key = RsaKeyPair::from_pkcs8(&der).unwrap();
            Box::new(move |message| {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign_digest(&RSA_PKCS1_SHA256, &digest(&SHA256, message), &mut signature).unwrap();
                signature
            })
        }
    }
}

/// The content of a PEM document.
fn der(pem: &str) -> Vec<u8> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let content: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(content).unwrap()
}
