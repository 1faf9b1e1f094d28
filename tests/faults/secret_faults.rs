//! Secrets Manager fails: before the first request of a function, and after it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use latchkey_token_aws::{CachedDocuments, DocumentSecrets, SecretText};
use latchkey_token_lambda::system::generate_private_key;
use serde_json::{Value, json};
use test_support::{Tokens, keys};
use tokio::{io::AsyncWriteExt, net::TcpListener};

use crate::{
    functions::{Answer, Functions, answered, sdk_at, store},
    proxy::{Fault, Message, Proxy, Site, json_answer},
    report::{self, Outcome},
    store_faults::Duration,
};

const SIGNING_KEYS: &str = "latchkey/signing-keys";
pub const CLIENTS: &str = "latchkey/clients";

/// Answers GetSecretValue.
pub struct Secrets {
    texts: Arc<Mutex<BTreeMap<String, Value>>>,
    pub address: String,
}

impl Secrets {
    pub async fn start() -> Self {
        let texts = Arc::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared: Arc<Mutex<BTreeMap<String, Value>>> = Arc::clone(&texts);
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let texts = Arc::clone(&shared);
                tokio::spawn(async move {
                    while let Ok(Some(request)) = Message::read(&mut connection).await {
                        let asked: Value = serde_json::from_slice(&request.body).unwrap();
                        let text = texts.lock().unwrap()[asked["SecretId"].as_str().unwrap()].clone();
                        let mut answer = json!({"ARN": "arn", "Name": asked["SecretId"], "VersionId": "v", "VersionStages": ["AWSCURRENT"]});
                        // Anything but a string stands for a secret that holds bytes.
                        match text {
                            Value::String(text) => answer["SecretString"] = text.into(),
                            other => answer["SecretBinary"] = other,
                        }
                        let _ = connection.write_all(&json_answer("200 OK", &answer.to_string())).await;
                    }
                });
            }
        });
        let secrets = Self { texts, address };
        secrets.set(keys::ring(), keys::registrations());
        secrets
    }

    fn set(&self, signing_keys: impl Into<Value>, clients: impl Into<Value>) {
        self.put(SIGNING_KEYS, signing_keys);
        self.put(CLIENTS, clients);
    }

    pub fn put(&self, id: &str, text: impl Into<Value>) {
        self.texts.lock().unwrap().insert(id.to_owned(), text.into());
    }
}

/// Functions with a store that works and secrets behind a proxy.
struct Lab {
    functions: Functions,
    proxy: Proxy,
    secrets: Secrets,
    subject: String,
}

impl Lab {
    async fn start(name: String) -> Self {
        let secrets = Secrets::start().await;
        let proxy = Proxy::start(&secrets.address).await;
        let functions = functions_on(&proxy, &name).await;
        Self { functions, proxy, secrets, subject: name }
    }

    async fn issue(&self) -> Answer {
        self.functions.issue("librechat-oauth", &self.subject, &[]).await
    }

    async fn issued(&self) -> Tokens {
        let answer = answered(async || self.issue().await).await;
        answer.tokens().unwrap_or_else(|| panic!("{}: {answer:?}", self.subject))
    }

    async fn renewed(&self, tokens: &Tokens) -> Tokens {
        let answer = self.renewal(tokens).await;
        answer.tokens().unwrap_or_else(|| panic!("{}: {answer:?}", self.subject))
    }

    async fn renewal(&self, tokens: &Tokens) -> Answer {
        answered(async || self.functions.renew_oauth("librechat-oauth", tokens.refresh()).await).await
    }

    /// How many values have been asked for since the last call.
    fn asked(&self) -> usize {
        self.proxy.seen().len()
    }
}

async fn functions_on(secrets: &Proxy, name: &str) -> Functions {
    let sdk = sdk_at(&secrets.url, format!("secrets-{name}")).await;
    let secret = |id: &str| SecretText::at(id, &sdk);
    let secrets = DocumentSecrets { signing_keys: secret(SIGNING_KEYS), clients: secret(CLIENTS) };
    let documents: Arc<CachedDocuments> = Arc::new(CachedDocuments::new(secrets, 300));
    let store = sdk_at(&format!("http://{}", store().await.address), format!("store-{name}")).await;
    Functions::new(&store, documents)
}

pub fn site(secret: &'static str) -> Site {
    Site { operation: "GetSecretValue", marker: secret }
}

/// Nothing is cached yet: 503, and all is well as soon as the secrets can be had.
pub async fn cold(number: usize, secret: &'static str, fault: Fault, duration: Duration) {
    let lab = Lab::start(format!("cold-{number}")).await;
    let what = format!("{fault:?} at {secret}, {duration:?}");
    lab.proxy.fail(site(secret), fault, if duration == Duration::Once { 1 } else { u64::MAX });
    let answer = lab.issue().await;
    lab.proxy.heal();
    report::injected(fault, lab.proxy.injected());
    assert!(lab.proxy.injected() > 0, "{what}: no fault was injected");
    let outcome = report::answered(answer.outcome(answer.status == 200));
    assert_ne!(outcome, Outcome::Wrong, "{what}: {answer:?}");
    for _ in 0..5 {
        if lab.functions.is_warm().await {
            break;
        }
    }
    let tokens = lab.issued().await;
    lab.renewed(&tokens).await;
}

/// Every function of a cold process says the same.
pub async fn cold_everywhere(_: usize) {
    let lab = Lab::start("everywhere".into()).await;
    let tokens = lab.issued().await;
    let cold = async || functions_on(&lab.proxy, "everywhere-cold").await;
    lab.proxy.fail(Site { operation: "GetSecretValue", marker: "" }, Fault::ResetBefore, u64::MAX);
    let answers = [
        cold().await.issue("librechat", "x", &[]).await,
        cold().await.renew("librechat-oauth", &tokens).await,
        cold().await.renew_oauth("librechat-oauth", tokens.refresh()).await,
        cold().await.revoke(tokens.refresh()).await,
        cold().await.revoke(tokens.access()).await,
        cold().await.introspect(tokens.access()).await,
        cold().await.introspect(tokens.refresh()).await,
        cold().await.sessions("GET", "/sessions?subject=everywhere").await,
        cold().await.sessions("DELETE", "/sessions?subject=everywhere").await,
    ];
    for answer in &answers {
        assert_eq!(report::answered(answer.outcome(false)), Outcome::Unavailable, "{answer:?}");
    }
    assert_eq!(cold().await.authorize(tokens.access()).await, None, "a failure, and no denial");
    report::injected(Fault::ResetBefore, lab.proxy.injected());
    lab.proxy.heal();
    lab.renewed(&tokens).await;
}

/// Something is cached: served for a day, whatever happens at the other end; and not a second longer.
pub async fn warm(number: usize, fault: Fault) {
    let lab = Lab::start(format!("warm-{number}")).await;
    let first = lab.issued().await;
    lab.proxy.fail(Site { operation: "GetSecretValue", marker: "" }, fault, u64::MAX);
    let mut tokens = first;
    for seconds in [300, 5, 5, 40_000, 46_089] {
        lab.functions.clock.advance(seconds);
        let answer = lab.renewal(&tokens).await;
        let outcome = report::answered(answer.outcome(answer.status == 200));
        assert_eq!(outcome, Outcome::Served, "{fault:?}, {seconds} s: {answer:?}");
        tokens = answer.tokens().unwrap();
    }
    // 86,400 s after the last load.
    lab.functions.clock.advance(1);
    let answer = lab.functions.renew_oauth("librechat-oauth", tokens.refresh()).await;
    assert_eq!(report::answered(answer.outcome(false)), Outcome::Unavailable, "{fault:?}: {answer:?}");
    report::injected(fault, lab.proxy.injected());
    lab.proxy.heal();
    let record = store().await.record(&tokens).await;
    assert!(record.revocation.is_none(), "{fault:?}");
    lab.renewed(&tokens).await;
}

/// What Secrets Manager answers is no document: the last good one stays in force.
pub async fn garbage(number: usize, signing_keys: Value, clients: Value) {
    let lab = Lab::start(format!("garbage-{number}")).await;
    lab.secrets.set(signing_keys.clone(), clients.clone());
    let answer = lab.issue().await;
    assert_eq!(report::answered(answer.outcome(false)), Outcome::Unavailable, "cold: {answer:?}");
    lab.secrets.set(keys::ring(), keys::registrations());
    let tokens = lab.issued().await;
    lab.secrets.set(signing_keys, clients);
    lab.functions.clock.advance(300);
    let tokens = lab.renewed(&tokens).await;
    report::answered(Outcome::Served);
    report::injected(Fault::ResponseGarbled, 2);
    lab.secrets.set(keys::ring(), keys::registrations());
    lab.functions.clock.advance(10);
    lab.renewed(&tokens).await;
}

pub fn garbage_texts() -> Vec<(Value, Value)> {
    let ring = || Value::from(keys::ring());
    let registrations = || Value::from(keys::registrations());
    vec![
        ("garbage".into(), registrations()),
        ("".into(), registrations()),
        ("[]".into(), registrations()),
        (json!([1, 2, 3]), registrations()),
        (Value::Null, registrations()),
        (ring(), "garbage".into()),
        (keys::ring().replacen('{', r#"{"signing":[],"#, 1).into(), registrations()),
    ]
}

/// What Secrets Manager answers is a document, and what the request needs is not in it: not yet cached or cached, nobody can
/// be served, and nothing is lost.
pub async fn useless(number: usize, signing_keys: Value, clients: Value) {
    let lab = Lab::start(format!("useless-{number}")).await;
    lab.secrets.set(signing_keys.clone(), clients.clone());
    let answer = lab.issue().await;
    assert_eq!(report::answered(answer.outcome(false)), Outcome::Unavailable, "cold: {answer:?}");
    lab.secrets.set(keys::ring(), keys::registrations());
    lab.functions.clock.advance(300);
    let tokens = lab.issued().await;
    lab.secrets.set(signing_keys, clients);
    lab.functions.clock.advance(300);
    let answer = lab.functions.renew_oauth("librechat-oauth", tokens.refresh()).await;
    assert_eq!(report::answered(answer.outcome(false)), Outcome::Unavailable, "warm: {answer:?}");
    report::injected(Fault::ResponseGarbled, 2);
    lab.secrets.set(keys::ring(), keys::registrations());
    lab.functions.clock.advance(300);
    lab.renewed(&tokens).await;
}

pub fn useless_texts() -> Vec<(Value, Value)> {
    let ring = || Value::from(keys::ring());
    let registrations = || Value::from(keys::registrations());
    let weak = json!({"signing": [{"kid": "weak", "alg": "HS256", "secret": "short"}], "tagging": []}).to_string();
    vec![
        ("{}".into(), registrations()),
        (weak.into(), registrations()),
        // Nobody's secret is where the other's belongs.
        (registrations(), ring()),
        (ring(), "{}".into()),
        // No client's key is in this ring.
        (r#"{"signing":[],"tagging":[]}"#.into(), registrations()),
        (ring(), keys::registrations_with("librechat-oauth", |client| client["kid"] = "gone".into()).into()),
    ]
}

/// The keys are rotated while functions hold the old ones.
pub async fn rotation(_: usize) {
    let lab = Lab::start("rotation".into()).await;
    let behind = functions_on(&lab.proxy, "rotation-behind").await;
    let before = lab.issued().await;
    answered(async || behind.introspect(before.access()).await).await;
    let new = generate_private_key(latchkey_token::keys::Algorithm::Es256).unwrap();
    let entry = json!({"kid": "new-key", "alg": "ES256", "private_key": new, "sign_from": 1_800_000_000});
    let tagging = json!([
        {"kid": 1, "secret": keys::tag_secret()},
        {"kid": 2, "secret": "CgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo", "use_from": 1_800_000_000},
    ]);
    lab.secrets.set(keys::ring_with(tagging, vec![entry]), keys::registrations());
    lab.functions.clock.advance(300);
    let after = lab.renewed(&before).await;
    assert_eq!(test_support::part(after.access(), 0)["kid"], "new-key", "the new key signs");
    lab.asked();
    // A function that has not heard of it yet looks it up, once.
    let answer = answered(async || behind.renew("librechat-oauth", &after).await).await;
    let tokens = answer.tokens().unwrap_or_else(|| panic!("{answer:?}"));
    assert_eq!(lab.asked(), 2, "one early reload: two secrets");
    // And it knows the old key as well as the new one.
    for known in [&before, &tokens] {
        let answer = answered(async || behind.introspect(known.access()).await).await;
        assert_eq!(answer.json()["active"], true);
    }
    let unknown = tokens.refresh().to_owned();
    let mut bytes = base64_decode(&unknown[4..]);
    bytes[0] = 9;
    for _ in 0..20 {
        let strange = format!("lk1_{}", base64_encode(&bytes));
        let answer = answered(async || behind.renew_oauth("librechat-oauth", &strange).await).await;
        assert_eq!(answer.text, test_support::INVALID_GRANT);
    }
    assert_eq!(lab.asked(), 0, "a stranger cannot have the keys reloaded again and again");
}

/// The key that a token names is unknown, and nobody can say whether it is new: that is no reason to refuse it.
pub async fn rotation_unseen(number: usize, fault: Fault) {
    let lab = Lab::start(format!("unseen-{number}")).await;
    let tokens = lab.issued().await;
    let mut bytes = base64_decode(&tokens.refresh()[4..]);
    bytes[0] = 9;
    let newer = format!("lk1_{}", base64_encode(&bytes));
    lab.proxy.fail(Site { operation: "GetSecretValue", marker: "" }, fault, u64::MAX);
    let answer = lab.functions.renew_oauth("librechat-oauth", &newer).await;
    assert_eq!(report::answered(answer.outcome(false)), Outcome::Unavailable, "{fault:?}: {answer:?}");
    report::injected(fault, lab.proxy.injected());
    lab.proxy.heal();
    lab.functions.clock.advance(60);
    let answer = answered(async || lab.functions.renew_oauth("librechat-oauth", &newer).await).await;
    assert_eq!(answer.text, test_support::INVALID_GRANT, "now it is certain");
    lab.renewed(&tokens).await;
}

fn base64_decode(text: &str) -> Vec<u8> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn base64_encode(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(bytes)
}
