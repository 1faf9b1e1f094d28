//! The audit trail and the metrics, event by event, as the functions put them out on Lambda.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use aws_sdk_dynamodb::types::AttributeValue;
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use dynoxide::Database;
use lambda_http::{Context, LambdaEvent, lambda_runtime::Config};
use latchkey::serve::dynamodb::embedded;
use latchkey_token::{
    failure::Unavailable,
    ports::{CurrentRing, DerivedDocument, LibreChatSecret, Promotion, RingVersions, VersionStages},
    rotation::RotationLimits,
    routes::{self, Found},
};
use latchkey_token_aws::{CachedDocuments, DocumentSecrets, DynamoDbSessions, SecretText, table};
use latchkey_token_lambda::lambda::HttpEvent;
use latchkey_token_lambda::{
    system::{SystemKeys, SystemRandomness},
    telemetry::{
        RequestAudit,
        metrics::{self, Meter},
    },
};
use latchkey_token_testkit::SettableClock;
use rotate_keys::{Machine, RotationEvent, Rotator};
use serde_json::{Value, json};

use crate::support::{START, form, functions::Functions, keys, logs, secret_of};

/// How long the key of the test's ring has signed, and how long it still will, in seconds.
const KEY_AGE: i64 = 86_400;
const KEY_TIME_LEFT: i64 = 3_600;
const IP: &str = "192.0.2.10";

/// All functions of a deployment, on one table.
struct Deployment {
    functions: Functions,
    clock: Arc<SettableClock>,
    dynamodb: aws_sdk_dynamodb::Client,
    database: Database,
    meter: Meter,
}

/// One invocation: its answer, its lines in the audit trail, and its metrics.
struct Invocation {
    answer: Value,
    audit: Vec<Value>,
    metrics: Vec<Value>,
}

impl Deployment {
    async fn new() -> Self {
        logs::capture();
        let database = Database::memory().unwrap();
        let sdk = embedded(database.clone(), None).await;
        table::create_if_missing(&sdk, "sessions").await.unwrap();
        let clock = Arc::new(SettableClock::at(START));
        let store = DynamoDbSessions::new(&sdk, "sessions").observed(metrics::store_answered);
        let secrets = DocumentSecrets {
            signing_keys: SecretText::Inline(aged_ring()),
            clients: SecretText::Inline(keys::registrations()),
        };
        let documents =
            Arc::new(CachedDocuments::new(secrets, 300).observed(latchkey_token_lambda::telemetry::OBSERVER));
        let functions = Functions::new(store, documents, &clock);
        Self { functions, clock, dynamodb: aws_sdk_dynamodb::Client::new(&sdk), database, meter: Meter::default() }
    }

    /// A request by HTTP Basic with a form, or without one.
    async fn request(&self, route: &str, party: &str, pairs: &[(&str, &str)]) -> Invocation {
        let credentials = STANDARD.encode(format!("{party}:{}", secret_of(party)));
        let (method, target) = route.split_once(' ').unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let event = json!({
            "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query,
            "headers": {
                "authorization": format!("Basic {credentials}"), "content-type": "application/x-www-form-urlencoded",
                "host": "api.example.org", "user-agent": "some-agent",
            },
            "requestContext": {
                "accountId": "123456789012", "apiId": "api", "domainName": "api.example.org", "stage": "$default",
                "requestId": "api-request", "routeKey": "$default", "timeEpoch": 1_795_464_000_000_i64,
                "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": IP, "userAgent": "x"},
            },
            "body": form(pairs), "isBase64Encoded": false,
        });
        let event = HttpEvent::parse(&event.to_string()).unwrap();
        let function = match routes::find(method, path) {
            Found::Route(route) => route.function,
            other => panic!("{route}: {other:?}"),
        };
        self.invoke(function.folder(), async |context| {
            let answer = self.functions.answer(function, LambdaEvent::new(event, context)).await;
            serde_json::from_str(answer["body"].as_str().unwrap()).unwrap()
        })
        .await
    }

    /// What the authorizer makes of a bearer.
    async fn authorize(&self, token: &str) -> Invocation {
        let event = json!({
            "version": "2.0", "type": "REQUEST", "routeArn": "arn", "routeKey": "GET /x", "rawPath": "/x",
            "rawQueryString": "", "identitySource": [format!("Bearer {token}")],
            "headers": {"authorization": format!("Bearer {token}"), "user-agent": "some-agent"},
            "requestContext": {
                "accountId": "123456789012", "apiId": "api", "domainName": "api.example.org", "stage": "$default",
                "requestId": "api-request", "timeEpoch": 1_795_464_000_000_i64,
                "http": {"method": "GET", "path": "/x", "protocol": "HTTP/1.1", "sourceIp": IP},
            },
        });
        self.invoke("authorizer", async |context| self.functions.authorize(event, &context.request_id).await).await
    }

    /// All four steps of a rotation; the invocation is the last one's.
    async fn rotate(&self) -> Invocation {
        let (signing_keys, limits) =
            ("signing-keys".to_owned(), RotationLimits { secrets_ttl_seconds: 300, jwks_seconds: 300 });
        let rotator = Rotator { versions: Versions::default(), signing_keys, limits };
        let step = async |name: &str| {
            let event: RotationEvent = serde_json::from_value(
                json!({"Step": name, "SecretId": "signing-keys", "ClientRequestToken": "version-2"}),
            )
            .unwrap();
            self.invoke("rotate-keys", async |context| {
                let audit = RequestAudit::of_invocation("rotate-keys", context.request_id);
                let machine = Machine {
                    clock: &*self.clock,
                    randomness: &SystemRandomness,
                    keys: &SystemKeys,
                    audit: &audit,
                    faulty: |_, _| (),
                };
                rotate_keys::handle(&rotator, machine, event).await.unwrap();
                Value::Null
            })
            .await
        };
        for name in ["createSecret", "setSecret", "testSecret"] {
            assert!(step(name).await.audit.is_empty(), "{name} changes nothing that is in use");
        }
        step("finishSecret").await
    }

    async fn invoke(&self, name: &str, handle: impl AsyncFnOnce(Context) -> Value) -> Invocation {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let mut context = Context::default();
        context.request_id = format!("audit-test-{}", LAST.fetch_add(1, Ordering::Relaxed));
        context.env_config = Arc::new(Config { function_name: format!("stack-{name}"), ..Config::default() });
        let (answer, lines) = self.meter.measure(&context, Box::pin(handle(context.clone()))).await;
        let audit = logs::lines(|line| {
            line["function_request_id"] == context.request_id.as_str() && line.get("event").is_some()
        });
        let metrics: Vec<Value> =
            String::from_utf8(lines).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for line in &metrics {
            assert_eq!(line["function"], format!("stack-{name}"));
            assert_eq!(line["function_request_id"], context.request_id.as_str(), "so that the lines find each other");
        }
        Invocation { answer, audit, metrics }
    }

    async fn issue(&self, client: &str) -> Value {
        self.request("POST /token", "portal", &[("client_id", client), ("subject", "alice")]).await.answer
    }

    async fn renew(&self, client: &str, tokens: &Value) -> Invocation {
        let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
        let (refresh_token, access_token) = (text("refresh_token"), text("access_token"));
        let pairs = [("refresh_token", refresh_token.as_str()), ("access_token", access_token.as_str())];
        self.request("POST /token/renew", client, &pairs).await
    }

    /// As if the table had been restored from a backup: the record has another token than the one that is out.
    async fn change_the_record(&self, tokens: &Value) {
        let key = URL_SAFE_NO_PAD.decode(tokens["session_id"].as_str().unwrap()).unwrap();
        let binary = |bytes: &[u8]| AttributeValue::B(aws_sdk_dynamodb::primitives::Blob::new(bytes));
        let update = self.dynamodb.update_item().table_name("sessions");
        let update = update.key("owner", binary(&key[..16])).key("sid", binary(&key[16..]));
        let update = update.update_expression("SET secret_hash = :hash");
        update.expression_attribute_values(":hash", binary(&[7; 32])).send().await.unwrap();
    }
}

/// The ring of the tests, with an RS256 key that has signed for a while and soon will not.
fn aged_ring() -> String {
    let mut ring: Value = serde_json::from_str(&keys::ring()).unwrap();
    let key = ring["signing"].as_array_mut().unwrap().iter_mut().find(|key| key["alg"] == "RS256").unwrap();
    key["sign_from"] = (START.unix_seconds() - KEY_AGE).into();
    key["retire_at"] = (START.unix_seconds() + KEY_TIME_LEFT).into();
    ring.to_string()
}

/// The secrets of a rotation that begins with an empty ring.
#[derive(Default)]
struct Versions(Mutex<Secrets>);

#[derive(Default)]
struct Secrets {
    rings: HashMap<String, String>,
    is_finished: bool,
    published: HashMap<&'static str, String>,
}

impl RingVersions for Versions {
    async fn stages(&self, _: &str) -> Result<Option<VersionStages>, Unavailable> {
        let is_current = self.0.lock().unwrap().is_finished;
        Ok(Some(VersionStages { is_current, is_pending: !is_current }))
    }

    async fn current(&self) -> Result<CurrentRing, Unavailable> {
        Ok(CurrentRing { version: "0".to_owned(), ring: r#"{"signing":[],"tagging":[]}"#.to_owned() })
    }

    async fn value(&self, version: &str) -> Result<Option<String>, Unavailable> {
        Ok(self.0.lock().unwrap().rings.get(version).cloned())
    }

    async fn stage_pending(&self, version: &str, ring: &str) -> Result<(), Unavailable> {
        self.0.lock().unwrap().rings.insert(version.to_owned(), ring.to_owned());
        Ok(())
    }

    async fn make_current(&self, _: &str, _: &str) -> Result<Promotion, Unavailable> {
        self.0.lock().unwrap().is_finished = true;
        Ok(Promotion::Promoted)
    }

    async fn published(&self, document: DerivedDocument) -> Result<Option<String>, Unavailable> {
        Ok(self.0.lock().unwrap().published.get(document.name()).cloned())
    }

    async fn publish(&self, document: DerivedDocument, text: &str) -> Result<(), Unavailable> {
        self.0.lock().unwrap().published.insert(document.name(), text.to_owned());
        Ok(())
    }

    async fn librechat_secret(&self) -> Result<Option<LibreChatSecret>, Unavailable> {
        Ok(None)
    }
}

/// What every line says.
const EVERY_LINE: &str = "event function function_request_id level service target timestamp";
/// What the line of an HTTP request says besides, the authorizer's included.
const OF_A_REQUEST: &str = "api_request_id source_ip user_agent";

impl Invocation {
    /// Checks the one audit line: its level, its reason, and that it has `members` besides those of every line, and no
    /// others; and that its event is a metric, by reason where there is one.
    #[track_caller]
    fn says(&self, event: &'static str, level: &str, reason: Option<&str>, members: &str) -> &'static str {
        let [line] = self.audit.as_slice() else { panic!("{event}: {:?}", self.audit) };
        assert_eq!(line["event"], event);
        assert_eq!((line["level"].as_str(), line["reason"].as_str()), (Some(level), reason), "{line}");
        let names: BTreeSet<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
        let of_a_request = if event == "keys_rotated" { "" } else { OF_A_REQUEST };
        let wanted: BTreeSet<&str> =
            [EVERY_LINE, of_a_request, members].into_iter().flat_map(|names| names.split_whitespace()).collect();
        assert_eq!(names, wanted, "{event}");
        assert!(line.as_object().unwrap().values().all(|value| !value.is_null()), "left out, never null: {line}");
        if !of_a_request.is_empty() {
            let told = (&line["api_request_id"], &line["source_ip"], &line["user_agent"]);
            assert_eq!(told, (&json!("api-request"), &json!(IP), &json!("some-agent")));
        }

        let counted = self.values();
        assert_eq!(counted.get(&(event.to_owned(), None)), Some(&1.0), "{event} by function");
        if let Some(reason) = reason {
            let by_reason = (event.to_owned(), Some(reason.to_owned()));
            assert_eq!(counted.get(&by_reason), Some(&1.0), "{event} by function and reason");
        }
        event
    }

    /// Every metric of the lines with its value, by function alone and by reason as well, as CloudWatch takes them out.
    fn values(&self) -> BTreeMap<(String, Option<String>), f64> {
        let mut values = BTreeMap::new();
        for line in &self.metrics {
            assert!(line.as_object().unwrap().values().all(|value| !value.is_null()), "{line}");
            for directive in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
                assert_eq!(directive["Namespace"], "Latchkey");
                for dimensions in directive["Dimensions"].as_array().unwrap() {
                    let reason = match dimensions.as_array().unwrap().as_slice() {
                        [function] => (function == "function").then_some(None),
                        [function, reason] => (function == "function" && reason == "reason")
                            .then(|| Some(line["reason"].as_str().unwrap().to_owned())),
                        _ => None,
                    };
                    let reason = reason.unwrap_or_else(|| panic!("other dimensions: {line}"));
                    for metric in directive["Metrics"].as_array().unwrap() {
                        let name = metric["Name"].as_str().unwrap().to_owned();
                        let value = line[&name].as_f64().unwrap_or_else(|| panic!("no number {name}: {line}"));
                        *values.entry((name, reason.clone())).or_default() += value;
                    }
                }
            }
        }
        values
    }

    /// A metric by function alone.
    fn measured(&self, name: &str) -> Option<f64> {
        self.values().get(&(name.to_owned(), None)).copied()
    }
}

#[tokio::test]
async fn every_event_has_its_level_its_members_and_its_metric() {
    const SESSION: &str = "client_id issuer_id session subject_hash generation";
    let with = |more: &str| format!("{SESSION} {more}");
    let deployment = Deployment::new().await;
    let mut shown = BTreeSet::new();

    let issued = deployment.request("POST /token", "portal", &[("client_id", "spa-oauth"), ("subject", "alice")]).await;
    shown.insert(issued.says("token_issued", "INFO", None, &with("jti seconds_to_expiry")));

    let first = deployment.issue("librechat").await;
    let renewed = deployment.renew("librechat", &first).await;
    let second = renewed.answer.clone();
    shown.insert(renewed.says("token_renewed", "INFO", None, &with("jti seconds_to_expiry in_grace")));
    let retried = deployment.renew("librechat", &first).await;
    shown.insert(retried.says("token_retried", "INFO", None, &with("jti seconds_to_expiry in_grace")));
    deployment.renew("librechat", &second).await;
    let reused = deployment.renew("librechat", &first).await;
    let reason = Some("predecessor_after_successor_used");
    shown.insert(reused.says("reuse_detected", "WARN", reason, &with("reason seconds_to_expiry in_grace")));
    let rejected = deployment.renew("librechat", &second).await;
    let reason = Some("session_revoked");
    shown.insert(rejected.says("renewal_rejected", "INFO", reason, &with("reason seconds_to_expiry in_grace")));

    let victim = deployment.issue("librechat").await;
    deployment.change_the_record(&victim).await;
    let mismatched = deployment.renew("librechat", &victim).await;
    let reason = Some("record_differs");
    shown.insert(mismatched.says("state_mismatch", "WARN", reason, &with("reason seconds_to_expiry in_grace")));

    let expired = deployment.issue("short").await;
    deployment.clock.advance(301);
    let expired = deployment.renew("short", &expired).await;
    let reason = Some("access_token_expired");
    shown.insert(expired.says("token_expired", "INFO", reason, &with("reason seconds_to_expiry in_grace")));

    let token = deployment.issue("librechat").await["refresh_token"].as_str().unwrap().to_owned();
    let ended = deployment.request("POST /token/revoke", "librechat", &[("token", &token)]).await;
    let members = "client_id session subject_hash reason";
    shown.insert(ended.says("session_revoked", "INFO", Some("by_client"), members));
    let ended = deployment.request("DELETE /sessions?subject=alice&client_id=spa-oauth", "portal", &[]).await;
    ended.says("session_revoked", "INFO", Some("by_issuer"), &format!("{members} issuer_id"));

    let unknown = deployment.request("POST /token", "nobody", &[("subject", "alice")]).await;
    shown.insert(unknown.says("client_rejected", "INFO", Some("issuer_unauthenticated"), "reason"));
    let disguised = deployment.request("POST /token/introspect", "nobody", &[("token", &token)]).await;
    disguised.says("client_rejected", "INFO", Some("caller_unauthenticated"), "reason");

    let denied = deployment.request("POST /token/introspect", "librechat", &[("token", "nonsense")]).await;
    shown.insert(denied.says("access_denied", "INFO", Some("access_token_malformed"), "client_id reason"));
    let denied = deployment.authorize("nonsense").await;
    denied.says("access_denied", "INFO", Some("access_token_malformed"), "reason");

    shown.insert(deployment.rotate().await.says("keys_rotated", "INFO", None, ""));

    let all = "access_denied client_rejected keys_rotated renewal_rejected reuse_detected session_revoked \
               state_mismatch token_expired token_issued token_renewed token_retried";
    assert_eq!(shown.into_iter().collect::<Vec<_>>(), all.split_whitespace().collect::<Vec<_>>());
}

#[tokio::test]
async fn every_function_measures_its_latency_and_what_it_works_with() {
    let deployment = Deployment::new().await;
    let tokens = deployment.issue("librechat").await;
    let token = tokens["refresh_token"].as_str().unwrap();
    deployment.clock.advance(7);
    let invocations = [
        ("issue", deployment.request("POST /token", "portal", &[("client_id", "librechat"), ("subject", "bob")]).await),
        ("renew", deployment.renew("librechat", &tokens).await),
        ("introspect", deployment.request("POST /token/introspect", "portal", &[("token", token)]).await),
        ("authorizer", deployment.authorize(tokens["access_token"].as_str().unwrap()).await),
        ("sessions", deployment.request("GET /sessions?subject=alice", "portal", &[]).await),
        ("revoke", deployment.request("POST /token/revoke", "librechat", &[("token", token)]).await),
        ("discovery", deployment.request("GET /.well-known/jwks.json", "nobody", &[]).await),
        ("rotate-keys", deployment.rotate().await),
    ];
    for (function, invocation) in &invocations {
        assert!(invocation.measured("Latency").unwrap() > 0.0, "{function}");
        assert_eq!(invocation.measured("ColdStart"), None, "{function}: another one was first");
        let uses_the_store = !["discovery", "rotate-keys"].contains(function);
        assert_eq!(invocation.measured("StoreLatency").is_some_and(|time| time > 0.0), uses_the_store, "{function}");
        let uses_keys = *function != "rotate-keys";
        assert_eq!(invocation.measured("SecretAge"), uses_keys.then_some(7.0), "{function}");
        assert_eq!(invocation.measured("SigningKeyAge"), uses_keys.then_some(KEY_AGE as f64 + 7.0), "{function}");
        assert_eq!(
            invocation.measured("SigningKeyTimeLeft"),
            uses_keys.then_some(KEY_TIME_LEFT as f64 - 7.0),
            "{function}"
        );
        assert_eq!(invocation.metrics.len(), 1, "{function}: one line");
    }
    assert_eq!(Deployment::new().await.authorize("nonsense").await.measured("ColdStart"), Some(1.0));
}

#[tokio::test]
async fn infrastructure_trouble_is_an_error_with_a_metric_and_no_event() {
    let deployment = Deployment::new().await;
    let request = serde_json::from_value(json!({"TableName": "sessions"})).unwrap();
    deployment.database.delete_table(request).unwrap();
    let failed = deployment.request("POST /token", "portal", &[("client_id", "librechat"), ("subject", "alice")]).await;
    assert_eq!(failed.answer["error"], "temporarily_unavailable");
    assert!(failed.audit.is_empty(), "{:?}", failed.audit);
    assert_eq!(failed.measured("Unavailable"), Some(1.0));
    assert_eq!(failed.values()[&("Unavailable".to_owned(), Some("session store".to_owned()))], 1.0);
    let request_id = failed.metrics[0]["function_request_id"].clone();
    let [line] = logs::lines(|line| line["function_request_id"] == request_id).try_into().unwrap();
    assert_eq!((&line["level"], &line["what"]), (&json!("ERROR"), &json!("session store")));
    assert_eq!(line["api_request_id"], "api-request");
}

/// What a metric may not be split by: these have as many values as there are users.
#[tokio::test]
async fn no_metric_names_a_session_a_subject_or_a_client() {
    let deployment = Deployment::new().await;
    let issued = deployment.request("POST /token", "portal", &[("client_id", "librechat"), ("subject", "alice")]).await;
    let text = serde_json::to_string(&issued.metrics).unwrap();
    for (name, value) in issued.audit[0].as_object().unwrap() {
        if ["session", "subject_hash", "jti", "client_id", "source_ip", "user_agent"].contains(&name.as_str()) {
            assert!(!text.contains(value.as_str().unwrap()), "{name}");
        }
    }
}
