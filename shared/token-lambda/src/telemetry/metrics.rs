//! Metrics in CloudWatch's embedded metric format: one line for every invocation, beside the audit trail.
//!
//! CloudWatch takes them out of the log, so measuring costs no request. What is measured on the way finds its invocation
//! by the task it runs in; where nobody measures, as on the local server, it is forgotten.

use std::{
    cell::RefCell,
    future::Future,
    io::{Write, stdout},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use lambda_http::Context;
use latchkey_token::{documents::Documents, keys::KeyRing, values::Timestamp};
use metrique_writer_core::{
    Entry, EntryWriter, MetricFlags, Observation, Unit, Value, ValueWriter, format::Format, unit::NegativeScale,
};
use metrique_writer_format_emf::{Emf, MetricDefinition, MetricDirective};

const NAMESPACE: &str = "Latchkey";
/// The dimensions. Whatever has many values, such as a session or a client, is none: each combination of values is a
/// metric of its own, and paid for.
const FUNCTION: &str = "function";
const REASON: &str = "reason";

tokio::task_local! {
    static MEASURED: RefCell<Measured>;
}

/// What one invocation has come to.
#[derive(Default)]
struct Measured {
    store: Option<Duration>,
    /// These three in seconds.
    secret_age: Option<f64>,
    signing_key_age: Option<f64>,
    signing_key_time_left: Option<f64>,
    counts: Vec<Count>,
}

struct Count {
    name: &'static str,
    reason: Option<&'static str>,
    times: u32,
}

/// Counts an occurrence of `name`, and of `name` for this `reason`.
pub fn count(name: &'static str, reason: Option<&'static str>) {
    note(|measured| match measured.counts.iter_mut().find(|count| (count.name, count.reason) == (name, reason)) {
        Some(count) => count.times += 1,
        None => measured.counts.push(Count { name, reason, times: 1 }),
    });
}

/// Adds to what the invocation has waited for the session store.
pub fn store_answered(after: Duration) {
    note(|measured| measured.store = Some(measured.store.unwrap_or_default() + after));
}

/// Notes how old the key ring in use is, and its keys.
pub fn documents_served(documents: &Documents, loaded_at: Timestamp, now: Timestamp) {
    let seconds = |seconds: i64| seconds as f64;
    note(|measured| {
        measured.secret_age = Some(age(loaded_at, now));
        measured.signing_key_age = documents.keys.longest_signing(now.unix_seconds()).map(seconds);
        measured.signing_key_time_left = documents.keys.soonest_retirement(now.unix_seconds()).map(seconds);
    });
}

/// Notes how old the public keys in use are.
pub fn public_keys_served(_: &KeyRing, loaded_at: Timestamp, now: Timestamp) {
    note(|measured| measured.secret_age = Some(age(loaded_at, now)));
}

/// Clocks may go backwards; ages do not.
fn age(since: Timestamp, now: Timestamp) -> f64 {
    now.millis_since(since).max(0) as f64 / 1000.0
}

fn note(work: impl FnOnce(&mut Measured)) {
    // Outside of an invocation there is nothing to add to.
    let _ = MEASURED.try_with(|measured| work(&mut measured.borrow_mut()));
}

/// Measures a function's invocations.
#[derive(Default)]
pub struct Meter {
    is_warm: AtomicBool,
}

impl Meter {
    /// The outcome of an invocation, whose metrics go to standard output.
    pub async fn measured<T>(&self, context: &Context, invocation: impl Future<Output = T>) -> T {
        let (outcome, lines) = self.measure(context, invocation).await;
        // Nobody would hear of a standard output that is closed.
        let _ = stdout().lock().write_all(&lines);
        outcome
    }

    /// The outcome of an invocation, and its metrics: whole lines.
    pub async fn measure<T>(&self, context: &Context, invocation: impl Future<Output = T>) -> (T, Vec<u8>) {
        let start = Instant::now();
        let is_cold = !self.is_warm.swap(true, Ordering::Relaxed);
        let invocation = async { (invocation.await, MEASURED.with(RefCell::take)) };
        let (outcome, measured) = MEASURED.scope(RefCell::default(), invocation).await;
        let Measured { store, secret_age, signing_key_age, signing_key_time_left, counts } = measured;
        let times =
            Times { latency: start.elapsed(), is_cold, store, secret_age, signing_key_age, signing_key_time_left };
        // A reason is a dimension, and a line has room for one value of each.
        let (first, more) = match counts.split_first() {
            Some((first, more)) => (Some(first), more),
            None => (None, [].as_slice()),
        };
        let mut lines = Vec::with_capacity(1024);
        write(&Line { context, times: Some(&times), count: first }, &mut lines);
        for count in more {
            write(&Line { context, times: None, count: Some(count) }, &mut lines);
        }
        (outcome, lines)
    }
}

struct Times {
    latency: Duration,
    is_cold: bool,
    store: Option<Duration>,
    secret_age: Option<f64>,
    signing_key_age: Option<f64>,
    signing_key_time_left: Option<f64>,
}

/// One document: what every invocation has, and one thing that has occurred in it.
struct Line<'a> {
    context: &'a Context,
    times: Option<&'a Times>,
    count: Option<&'a Count>,
}

fn write(line: &Line<'_>, lines: &mut Vec<u8>) {
    let mut emf = Emf::builder(NAMESPACE.to_owned(), vec![vec![FUNCTION.to_owned()]]);
    if let Some(Count { name, reason: Some(_), .. }) = line.count {
        emf = emf.directive(MetricDirective {
            namespace: NAMESPACE,
            dimensions: vec![vec![FUNCTION, REASON]],
            metrics: vec![MetricDefinition { name, unit: Unit::Count, storage_resolution: None }],
        });
    }
    if let Err(error) = emf.build().format(line, lines) {
        tracing::error!(%error, "metrics are lost");
    }
}

impl Entry for Line<'_> {
    #[expect(clippy::disallowed_methods, reason = "when the line is written, whatever the request's clock says")]
    fn write<'w>(&'w self, writer: &mut impl EntryWriter<'w>) {
        let now = SystemTime::now();
        writer.timestamp(now);
        // As every other line has them: Lambda filters by the level.
        writer.value("timestamp", &rfc_3339(now));
        writer.value("level", "INFO");
        writer.value("service", "latchkey");
        // The deployed function: two stacks in one account do not mix.
        writer.value(FUNCTION, self.context.env_config.function_name.as_str());
        writer.value("function_request_id", self.context.request_id.as_str());
        if let Some(times) = self.times {
            writer.value("Latency", &Metric::time(times.latency));
            writer.value("ColdStart", &times.is_cold.then(|| Metric::count(1)));
            writer.value("StoreLatency", &times.store.map(Metric::time));
            writer.value("SecretAge", &times.secret_age.map(Metric::age));
            writer.value("SigningKeyAge", &times.signing_key_age.map(Metric::age));
            writer.value("SigningKeyTimeLeft", &times.signing_key_time_left.map(Metric::age));
        }
        if let Some(count) = self.count {
            writer.value(count.name, &Metric::count(count.times));
            writer.value(REASON, &count.reason);
        }
    }
}

fn rfc_3339(moment: SystemTime) -> String {
    let since_epoch = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)).to_string()
}

struct Metric {
    value: f64,
    unit: Unit,
}

impl Metric {
    fn count(times: u32) -> Self {
        Self { value: times.into(), unit: Unit::Count }
    }

    /// In milliseconds, to the microsecond.
    fn time(time: Duration) -> Self {
        Self { value: time.as_micros() as f64 / 1000.0, unit: Unit::Second(NegativeScale::Milli) }
    }

    fn age(seconds: f64) -> Self {
        Self { value: seconds, unit: Unit::Second(NegativeScale::One) }
    }
}

impl Value for Metric {
    fn write(&self, writer: impl ValueWriter) {
        writer.metric([Observation::Floating(self.value)], self.unit, [], MetricFlags::empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};
    use std::sync::Arc;

    fn context() -> Context {
        let mut context = Context::default();
        context.request_id = "r-1".into();
        context.env_config =
            Arc::new(lambda_http::lambda_runtime::Config { function_name: "stack-renew".into(), ..Default::default() });
        context
    }

    async fn lines_of(meter: &Meter, work: impl FnOnce()) -> Vec<Json> {
        let (_, lines) = meter.measure(&context(), async { work() }).await;
        String::from_utf8(lines).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Metric, unit and dimensions, as CloudWatch would take them out.
    fn declared(line: &Json) -> Vec<(String, String, String)> {
        let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap();
        let mut declared = Vec::new();
        for directive in directives {
            assert_eq!(directive["Namespace"], "Latchkey");
            for metric in directive["Metrics"].as_array().unwrap() {
                let (name, unit) = (metric["Name"].as_str().unwrap(), metric["Unit"].as_str().unwrap());
                assert!(line[name].is_number(), "{name} has no value");
                for dimensions in directive["Dimensions"].as_array().unwrap() {
                    for dimension in dimensions.as_array().unwrap() {
                        assert!(line[dimension.as_str().unwrap()].is_string(), "{dimension} has no value");
                    }
                    declared.push((name.to_owned(), unit.to_owned(), dimensions.to_string()));
                }
            }
        }
        declared
    }

    fn expected(metrics: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
        metrics.iter().map(|(name, unit, sets)| ((*name).into(), (*unit).into(), (*sets).into())).collect()
    }

    const BY_FUNCTION: &str = r#"["function"]"#;
    const BY_REASON: &str = r#"["function","reason"]"#;

    #[tokio::test]
    async fn an_invocation_is_one_line_with_what_has_been_measured_and_nothing_else() {
        let meter = Meter::default();
        let [line] = lines_of(&meter, || {
            store_answered(Duration::from_millis(4));
            store_answered(Duration::from_micros(1_500));
            count("reuse_detected", Some("older_generation"));
        })
        .await
        .try_into()
        .unwrap();
        let metrics = [
            ("Latency", "Milliseconds", BY_FUNCTION),
            ("ColdStart", "Count", BY_FUNCTION),
            ("StoreLatency", "Milliseconds", BY_FUNCTION),
            ("reuse_detected", "Count", BY_FUNCTION),
            ("reuse_detected", "Count", BY_REASON),
        ];
        assert_eq!(declared(&line), expected(&metrics));
        assert_eq!(
            (&line["ColdStart"], &line["StoreLatency"], &line["reuse_detected"]),
            (&json!(1), &json!(5.5), &json!(1))
        );
        assert_eq!((&line["function"], &line["reason"]), (&json!("stack-renew"), &json!("older_generation")));
        assert_eq!((&line["service"], &line["level"]), (&json!("latchkey"), &json!("INFO")));
        assert_eq!(line["function_request_id"], "r-1");
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
        let [line] = lines_of(&meter, || {}).await.try_into().unwrap();
        assert_eq!(
            declared(&line),
            expected(&[("Latency", "Milliseconds", BY_FUNCTION)]),
            "warm, and nothing occurred"
        );
        assert!(line.get("reason").is_none());
    }

    #[tokio::test]
    async fn the_same_twice_is_counted_and_another_reason_gets_a_line_of_its_own() {
        let meter = Meter::default();
        let [first, second, third] = lines_of(&meter, || {
            count("session_revoked", Some("by_issuer"));
            count("session_revoked", Some("by_issuer"));
            count("session_revoked", Some("by_client"));
            count("keys_rotated", None);
        })
        .await
        .try_into()
        .unwrap();
        assert_eq!((&first["session_revoked"], &first["reason"]), (&json!(2), &json!("by_issuer")));
        let metrics = [("session_revoked", "Count", BY_FUNCTION), ("session_revoked", "Count", BY_REASON)];
        assert_eq!(declared(&second), expected(&metrics), "no time is reported twice");
        assert_eq!((&second["session_revoked"], &second["reason"]), (&json!(1), &json!("by_client")));
        assert_eq!(declared(&third), expected(&[("keys_rotated", "Count", BY_FUNCTION)]));
    }

    #[tokio::test]
    async fn ages_are_those_of_the_ring_in_use() {
        let now = Timestamp::from_unix_seconds(1_800_000_000);
        let private_key = crate::system::generate_private_key(latchkey_token::keys::Algorithm::Es256).unwrap();
        let seconds = now.unix_seconds();
        let ring = |sign_from: i64, retire_at: Json| {
            let key = json!({
                "kid": "k", "alg": "ES256", "private_key": private_key, "sign_from": sign_from, "retire_at": retire_at,
            });
            let ring = json!({"signing": [key], "tagging": []});
            Documents::parse(&ring.to_string(), r#"{"issuers":[],"clients":[]}"#).unwrap()
        };
        let served = async |documents: Documents, loaded_at: Timestamp| {
            let [line] =
                lines_of(&Meter::default(), || documents_served(&documents, loaded_at, now)).await.try_into().unwrap();
            ["SecretAge", "SigningKeyAge", "SigningKeyTimeLeft"].map(|name| line[name].as_f64())
        };
        let aged = served(
            ring(seconds - 86_400, json!(seconds + 3600)),
            Timestamp::from_unix_millis(now.unix_millis() - 2_500),
        );
        assert_eq!(aged.await, [Some(2.5), Some(86_400.0), Some(3600.0)]);
        // A key that has always signed has no age; a clock that went back makes none negative.
        assert_eq!(served(ring(0, Json::Null), now.plus(5)).await, [Some(0.0), None, None]);
    }

    #[test]
    fn where_nobody_measures_nothing_happens() {
        count("token_issued", None);
        store_answered(Duration::from_millis(1));
    }
}
