//! One part of the benchmark at a time; `tests/bench/run` runs them all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use bench::{
    cloud::{Cloud, Latency},
    counts,
    figures::Samples,
    guard::{self, Baseline},
    installation::{
        self, ALGORITHMS, Installation, Secrets, Session, client_of, issue_event, other_event, renew_event,
    },
    limits,
    prices::{Prices, Renewal},
    process::Program,
    quota::Quota,
    report,
    serving::Subject,
    warm::{Request, Warm, WarmTimes},
};
use clap::{Parser, Subcommand};
use latchkey_token::keys::Algorithm;
use latchkey_token_lambda::{
    system::{SystemClock, SystemRandomness},
    telemetry,
};
use serde_json::{Map, Value, json};

const FUNCTIONS: [&str; 9] =
    ["issue", "renew", "revoke", "introspect", "sessions", "discovery", "authorize", "authorizer", "rotate-keys"];
const MEGABYTES: [u64; 6] = [128, 256, 512, 1024, 1769, 3008];

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    part: Part,
    /// Where the release builds are
    #[arg(long, global = true, default_value = "target/release")]
    builds: PathBuf,
    /// Where the results go
    #[arg(long, global = true, default_value = "target/bench")]
    out: PathBuf,
    /// Few samples: whether everything works, not how fast it is
    #[arg(long, global = true)]
    quick: bool,
}

#[derive(Subcommand)]
enum Part {
    /// Cold starts of every function, of a bare hello, and of a renewal in Node.js
    Cold,
    /// `renew` at Lambda's memory sizes, and what a million renewals cost
    Sizes,
    /// A warm renewal's own work
    Warm,
    /// Renewals per second of the local server and of oidc-provider
    Server,
    /// From the click to the tokens, at the local server
    SignIn,
    /// Binary, zip and peak memory of every function
    Memory,
    /// Requests to the table
    Requests,
    /// Everything that has been measured, beside its target
    Report,
    /// Instructions and requests, held against the baseline
    Guard {
        /// Make what is measured the baseline
        #[arg(long)]
        update: bool,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    std::fs::create_dir_all(&arguments.out).unwrap();
    // Log lines are made and go nowhere.
    tracing::subscriber::set_global_default(telemetry::subscriber(std::io::sink, "info")).unwrap();
    let (name, result) = match &arguments.part {
        Part::Cold => ("cold", cold(&arguments).await),
        Part::Sizes => ("sizes", sizes(&arguments).await),
        Part::Warm => ("warm", warm(&arguments).await),
        Part::Server => ("server", server(&arguments).await),
        Part::SignIn => ("sign-in", sign_in(&arguments).await),
        Part::Memory => ("memory", memory(&arguments).await),
        Part::Requests => ("requests", serde_json::to_value(counts::count(&Secrets::generate()).await).unwrap()),
        Part::Report => {
            write(&arguments.out, "machine", &machine());
            println!("{}", report::write(&arguments.out));
            return ExitCode::SUCCESS;
        }
        Part::Guard { update } => return hold(*update).await,
    };
    write(&arguments.out, name, &result);
    ExitCode::SUCCESS
}

fn write(folder: &Path, name: &str, result: &Value) {
    std::fs::write(folder.join(format!("{name}.json")), serde_json::to_string_pretty(result).unwrap()).unwrap();
}

impl Arguments {
    fn samples(&self, all: usize) -> usize {
        if self.quick { all.min(3) } else { all }
    }

    fn program(&self, name: &str, environment: Vec<(String, String)>) -> Program {
        Program { name: name.to_owned(), executable: self.builds.join(name), arguments: Vec::new(), environment }
    }

    fn node_renew(&self, environment: Vec<(String, String)>) -> Program {
        let bundle = peers().join("node-renew/dist/index.mjs").display().to_string();
        Program { name: "node-renew".into(), executable: "node".into(), arguments: vec![bundle], environment }
    }
}

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

fn environment(cloud: &Cloud) -> Vec<(String, String)> {
    let mut environment = Installation::environment();
    environment.extend(cloud.environment());
    environment
}

/// A success for `function`: each on a session of its own.
async fn event_for(function: &str, installation: &Installation, number: usize) -> Value {
    let client = client_of(Algorithm::Rs256);
    let subject = if function == "sessions" { "alice".to_owned() } else { format!("user-{number}") };
    match function {
        "issue" => issue_event(&client, &subject, "openid profile email"),
        _ => {
            let session = installation.issue(&client, &subject, "openid profile email").await;
            match function {
                "renew" | "node-renew" | "hello" | "hello-aws" => renew_event(&session),
                _ => other_event(function, &session),
            }
        }
    }
}

async fn cold(arguments: &Arguments) -> Value {
    let installation = Installation::new(Secrets::generate().of_a_new_deployment()).await;
    let cloud = Cloud::plain(installation.database.clone(), installation.secret_values().await).await;
    let runs = arguments.samples(30);
    let mut functions = Map::new();
    for name in FUNCTIONS.into_iter().chain(["hello", "hello-aws", "node-renew"]) {
        let program = match name {
            "node-renew" => arguments.node_renew(environment(&cloud)),
            _ => arguments.program(name, environment(&cloud)),
        };
        let (mut init, mut first, mut total) = (Samples::default(), Samples::default(), Samples::default());
        for number in 0..=runs {
            let event = event_for(name, &installation, number).await;
            let start = program.cold_start(&event, |answer| installation::accept(name, answer)).await;
            // The first one reads the binary from the disk.
            if number > 0 {
                init.push(start.init);
                first.push(start.first);
                total.push(start.total());
            }
        }
        let times = json!({"init": init.summary(), "first": first.summary(), "total": total.summary()});
        functions.insert(name.to_owned(), times);
    }
    json!({"runs": runs, "functions": functions})
}

async fn sizes(arguments: &Arguments) -> Value {
    let prices = Prices::read();
    let latency = Latency {
        dynamodb: Duration::from_millis(prices.assumptions.dynamodb_milliseconds),
        secrets_manager: Duration::from_millis(prices.assumptions.secrets_manager_milliseconds),
    };
    let installation = Installation::new(Secrets::generate().of_a_new_deployment()).await;
    let cloud = Cloud::with_tls(installation.database.clone(), installation.secret_values().await, latency).await;
    let program = arguments.program("renew", environment(&cloud));
    let client = client_of(Algorithm::Rs256);
    let (runs, renewals) = (arguments.samples(10), arguments.samples(30));
    let mut sizes = Vec::new();
    for megabytes in MEGABYTES {
        let (mut init, mut first, mut warm) = (Samples::default(), Samples::default(), Samples::default());
        let (mut log_bytes, mut log_lines) = (0, 0);
        cloud.take_consumed();
        for number in 0..runs {
            let quota = match Quota::of_memory(megabytes) {
                Ok(quota) => quota,
                Err(why) => {
                    eprintln!("bench: LAMBDA'S SIZES NOT MEASURED: {why}");
                    return Value::Null;
                }
            };
            let mut session = installation.issue(&client, &format!("user-{number}"), "openid profile email").await;
            let mut function = program.start().await;
            init.push(function.ready().await);
            function.limit(&quota);
            for renewal in 0..=renewals {
                let (time, answer) = function.invoke(&renew_event(&session)).await;
                session = Session::from_answer(&client, &answer);
                if renewal == 0 {
                    first.push(time)
                } else {
                    warm.push(time)
                }
                // What has been used up of this period's share is no longer missed.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            (log_bytes, log_lines) = function.logged();
            function.stop().await;
        }
        let renewed = (renewals + 1) as u64;
        let consumed = cloud.take_consumed();
        let all = (runs as u64 * renewed) as f64;
        let whole_milliseconds = |time: Duration| (time.as_secs_f64() * 1000.0).ceil() as u64;
        let price = prices.of_a_million(&Renewal {
            memory_megabytes: megabytes,
            warm_milliseconds: whole_milliseconds(warm.p50()),
            cold_milliseconds: whole_milliseconds(init.p50() + first.p50()),
            write_units: consumed.write_units / all,
            read_units: consumed.read_units / all,
            log_bytes: log_bytes / renewed,
            log_lines: log_lines.div_ceil(renewed),
            secrets_at_start: consumed.secrets as f64 / runs as f64,
        });
        sizes.push(json!({
            "megabytes": megabytes, "init": init.summary(), "first": first.summary(), "warm": warm.summary(),
            "log_bytes": log_bytes / renewed, "log_lines": log_lines.div_ceil(renewed),
            "price": {
                "http_api": price.http_api, "lambda_requests": price.lambda_requests,
                "lambda_duration": price.lambda_duration, "dynamodb": price.dynamodb, "logs": price.logs,
                "secrets": price.secrets, "total": price.total(),
            },
        }));
    }
    let default_megabytes = default_megabytes();
    let default = sizes.iter().find(|size| size["megabytes"] == default_megabytes).cloned();
    json!({"memory": sizes, "default": default})
}

/// The template's default for the functions' memory.
fn default_megabytes() -> u64 {
    let template = include_str!("../../../template.yaml");
    let (_, parameter) = template.split_once("\n  MemoryMegabytes:\n").expect("the template's parameter");
    let default = parameter.lines().find_map(|line| line.trim().strip_prefix("Default: "));
    default.expect("its default").parse().expect("megabytes")
}

async fn warm(arguments: &Arguments) -> Value {
    let secrets = Secrets::generate();
    let rounds = if arguments.quick { 50 } else { 4_000 };
    let baseline: Option<Baseline> =
        std::fs::read_to_string(guard::baseline_file()).ok().map(|text| serde_json::from_str(&text).unwrap());
    let mut algorithms = Map::new();
    for algorithm in ALGORITHMS {
        let (clock, randomness) = (Arc::new(SystemClock), Arc::new(SystemRandomness));
        let warm = Warm::new(Request::Renewal, algorithm, "profile email", &secrets, clock, randomness).await;
        let times = WarmTimes::measure(&warm, algorithm, &secrets, rounds).await;
        let counted = format!("renewal, {algorithm}");
        let instructions = baseline.as_ref().and_then(|baseline| baseline.instructions.get(&counted).copied());
        algorithms.insert(
            algorithm.name().to_owned(),
            json!({
                "whole": times.whole.summary(), "store": times.store.summary(),
                "signature": times.signature.summary(),
                "overhead_us": times.overhead().as_secs_f64() * 1e6, "ratio": times.ratio(),
                "instructions": instructions,
            }),
        );
    }
    algorithms.into()
}

async fn server(arguments: &Arguments) -> Value {
    let secrets = Secrets::generate();
    let executable = arguments.builds.join("latchkey");
    let (warm_up, time, rounds) = if arguments.quick { (200, 500, 1) } else { (2_000, 6_000, 2) };
    let (warm_up, time) = (Duration::from_millis(warm_up), Duration::from_millis(time));
    let mut algorithms = Map::new();
    for algorithm in [Algorithm::Rs256, Algorithm::Es256] {
        let mut subjects = [
            ("durable", Subject::latchkey(&executable, &secrets, algorithm, true).await),
            ("memory", Subject::latchkey(&executable, &secrets, algorithm, false).await),
            ("oidc_provider", Subject::oidc_provider(&peers().join("oidc-provider"), algorithm).await),
        ];
        let mut results = Map::new();
        for (name, subject) in &mut subjects {
            subject.renew_for(warm_up).await;
            let (mut count, mut per_second, mut latencies) = (0, 0.0, Samples::default());
            for _ in 0..rounds {
                let throughput = subject.renew_for(time).await;
                count += 1;
                per_second += throughput.per_second;
                latencies.extend(throughput.latencies);
            }
            let result = json!({"per_second": per_second / f64::from(count), "latency": latencies.summary()});
            results.insert((*name).to_owned(), result);
        }
        for (_, subject) in subjects {
            subject.stop().await;
        }
        let folder = tempfile::tempdir_in(&arguments.builds).unwrap();
        let written = limits::writing(folder.path(), time).await;
        results.insert(
            "limits".to_owned(),
            json!({
                "signing": limits::signing(algorithm, &secrets, time / 4), "writing": written,
            }),
        );
        algorithms.insert(algorithm.name().to_owned(), results.into());
    }
    algorithms.into()
}

/// Whole sign-ins one after another: each leg of the browser, the portal and the client is a request over HTTP; nobody reads
/// a page or types.
async fn sign_in(arguments: &Arguments) -> Value {
    let (secrets, executable) = (Secrets::generate(), arguments.builds.join("latchkey"));
    let mut algorithms = Map::new();
    for algorithm in [Algorithm::Rs256, Algorithm::Es256] {
        let subject = Subject::latchkey(&executable, &secrets, algorithm, true).await;
        let (mut whole, mut legs) = (Samples::default(), [const { Samples::new() }; 4]);
        let rounds = arguments.samples(500);
        for round in 0..rounds + rounds.div_ceil(10) {
            let times = subject.sign_in(&client_of(algorithm), &format!("user-{round}")).await;
            // The first tenth warms caches up.
            if round >= rounds.div_ceil(10) {
                whole.push(times.iter().sum());
                legs.iter_mut().zip(times).for_each(|(samples, time)| samples.push(time));
            }
        }
        subject.stop().await;
        let [authorize, accept, come_back, exchange] = legs.map(|samples| samples.summary());
        algorithms.insert(
            algorithm.name().to_owned(),
            json!({
                "whole": whole.summary(), "authorize": authorize, "accept": accept, "return": come_back,
                "exchange": exchange,
            }),
        );
    }
    algorithms.into()
}

async fn memory(arguments: &Arguments) -> Value {
    let installation = Installation::new(Secrets::generate().of_a_new_deployment()).await;
    let cloud = Cloud::plain(installation.database.clone(), installation.secret_values().await).await;
    let client = client_of(Algorithm::Rs256);
    let invocations = if arguments.quick { 50 } else { 10_000 };
    let mut functions = Map::new();
    for name in FUNCTIONS {
        let program = arguments.program(name, environment(&cloud));
        let mut function = program.start().await;
        let mut event = event_for(name, &installation, 0).await;
        for _ in 0..invocations {
            let (_, answer) = function.invoke(&event).await;
            installation::accept(name, &answer);
            if name == "renew" {
                event = renew_event(&Session::from_answer(&client, &answer));
            }
        }
        let binary = std::fs::read(&program.executable).unwrap();
        let sizes = json!({"binary": binary.len(), "zip": zipped(&binary), "peak_resident": function.peak_resident()});
        functions.insert(name.to_owned(), sizes);
        function.stop().await;
    }
    functions.into()
}

/// The size of the deployment package, in bytes.
fn zipped(binary: &[u8]) -> usize {
    use std::io::{Cursor, Write};
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("bootstrap", zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(binary).unwrap();
    zip.finish().unwrap().into_inner().len()
}

/// What was measured on, and when.
fn machine() -> Value {
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processor.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("an unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let said = |program: &str, arguments: &[&str]| {
        let output = std::process::Command::new(program).args(arguments).output().ok()?;
        Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
    };
    let date = said("date", &["-u", "+%Y-%m-%d"]).unwrap_or_default();
    let node = said("node", &["--version"]).unwrap_or_default();
    let compiler = compiler();
    let text = format!("{date}, {model}, {cores} cores, {compiler}, Node.js {node}; `tests/bench/run`.");
    json!({"text": text, "model": model, "cores": cores, "date": date, "compiler": compiler, "node": node})
}

fn compiler() -> String {
    let output = std::process::Command::new("rustc").arg("--version").output().expect("rustc");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

async fn hold(update: bool) -> ExitCode {
    let invocations = std::env::current_exe().unwrap().with_file_name("invocations");
    let now = guard::measure(&invocations, &compiler()).await;
    let file = guard::baseline_file();
    if update {
        std::fs::write(&file, serde_json::to_string_pretty(&now).unwrap() + "\n").unwrap();
        println!("the baseline is what was measured");
        return ExitCode::SUCCESS;
    }
    let baseline: Baseline = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let (table, is_well) = guard::compare(&baseline, &now);
    println!("{:<44} {:>12} {:>12} {:>10}", "a warm invocation", "baseline", "now", "change");
    print!("{table}");
    if is_well {
        return ExitCode::SUCCESS;
    }
    println!(
        "\nThe counts that ROSE are more than 5 % above tests/bench/baseline.json (by {}; now {}).\nIf that is \
         meant, `tests/bench/guard --update` makes it the baseline: commit it with the change, and say why.",
        baseline.compiler, now.compiler
    );
    ExitCode::FAILURE
}
