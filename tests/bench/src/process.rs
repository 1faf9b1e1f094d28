//! A function as a process of its own, between the stubs of what surrounds it on Lambda.

use std::{
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use hyper::body::Bytes;
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::process::{Child, Command};

use crate::{cloud::machine_roots_file, quota::Quota, runtime_api::RuntimeApi};

/// How a function is started.
#[derive(Clone, Debug)]
pub struct Program {
    pub name: String,
    pub executable: PathBuf,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
}

/// A function that runs.
pub struct Running {
    child: Child,
    api: RuntimeApi,
    started: Instant,
    log: NamedTempFile,
}

/// One start.
#[derive(Clone, Copy, Debug)]
pub struct ColdStart {
    /// From the start of the process to its request for the first event.
    pub init: Duration,
    /// From handing out that event to its answer.
    pub first: Duration,
}

impl ColdStart {
    pub fn total(&self) -> Duration {
        self.init + self.first
    }
}

impl Program {
    /// Starts it with nothing in its environment but what Lambda and `environment` put there.
    pub async fn start(&self) -> Running {
        let api = RuntimeApi::start().await;
        let log = NamedTempFile::new().unwrap();
        let mut command = Command::new(&self.executable);
        command
            .args(&self.arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("AWS_LAMBDA_RUNTIME_API", api.address().to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", &self.name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/bench")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "bench")
            .env("AWS_REGION", "eu-central-1")
            .env("AWS_ACCESS_KEY_ID", "bench")
            .env("AWS_SECRET_ACCESS_KEY", "bench")
            .env("RUST_LOG", "info")
            // As on Lambda's system: one file, and no folder of some hundred that would have to be read as well.
            .envs(machine_roots_file().map(|file| ("SSL_CERT_FILE", file)))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.reopen().unwrap()))
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        let started = Instant::now();
        let child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.executable.display()));
        Running { child, api, started, log }
    }

    /// One start, one event, one answer; then the function is ended.
    pub async fn cold_start(&self, event: &Value, accept: impl Fn(&Value)) -> ColdStart {
        let mut running = self.start().await;
        let init = running.ready().await;
        let (first, answer) = running.invoke(event).await;
        accept(&answer);
        running.stop().await;
        ColdStart { init, first }
    }
}

impl Running {
    /// How long the function took from its start to its request for the first event.
    pub async fn ready(&mut self) -> Duration {
        self.api.polled().await - self.started
    }

    /// One event, and how long its answer took.
    pub async fn invoke(&mut self, event: &Value) -> (Duration, Value) {
        let (time, answer) = self.api.invoke(Bytes::from(crate::installation::as_sent(event))).await;
        (time, serde_json::from_slice(&answer).unwrap_or(Value::Null))
    }

    /// From now on it gets `quota` of processor time.
    pub fn limit(&self, quota: &Quota) {
        quota.hold(self.child.id().unwrap());
    }

    /// The most memory that it has ever held, in bytes.
    pub fn peak_resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
    }

    /// What it has logged: bytes and lines.
    pub fn logged(&self) -> (u64, u64) {
        let log = std::fs::read(self.log.path()).unwrap();
        (log.len() as u64, log.iter().filter(|byte| **byte == b'\n').count() as u64)
    }

    pub async fn stop(mut self) {
        self.child.kill().await.unwrap();
    }
}
