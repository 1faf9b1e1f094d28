//! The operator's commands: registrations and keys, in a file or in Secrets Manager; sessions, in their table; the audit
//! trail, in log lines.
//!
//! An edit of registrations or keys works on the document as it stands, so that what a command does not know is kept; it is written only
//! after the domain's own parser has accepted the result.

mod audit;
mod client;
mod document;
mod issuer;
mod key_ring;
mod keys;
mod party;
mod place;
mod progress;
mod registrations;
mod sessions;
mod table;

use std::{
    future::Future,
    io::{self, Write},
    process::ExitCode,
};

use latchkey_token::{failure::Unavailable, json::Value};

use self::registrations::Party;
pub(crate) use self::{
    audit::AuditCommand, client::ClientCommand, issuer::IssuerCommand, keys::KeysCommand, sessions::SessionsCommand,
};

/// Why a command did not do its work. Names the document and what to do; quotes no secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{place}: {detail}")]
    Place { place: String, detail: String },
    #[error("{place} is not usable:{}", listed(faults))]
    Unusable { place: String, faults: Vec<String> },
    #[error("{place} is left as it was, because the change is not valid:{}", listed(faults))]
    Refused { place: String, faults: Vec<String> },
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error("standard input: {0}")]
    Input(String),
    #[error("standard output: {0}")]
    Output(io::Error),
    #[error("the new secret is in force but could not be shown ({0}): make another with rotate-secret")]
    Unseen(io::Error),
}

impl Failure {
    /// 1 failed, 2 wrong usage; 0 when whoever reads the output has seen enough.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Self::Usage(_) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }
}

fn listed(faults: &[String]) -> String {
    faults.iter().map(|fault| format!("\n  {fault}")).collect()
}

fn print(text: &str) -> Result<(), Failure> {
    write_out(text).map_err(Failure::Output)
}

/// Shows a new secret, alone or as JSON: its only appearance anywhere.
fn reveal(party: Party, id: &str, secret: &str, json: bool) -> Result<(), Failure> {
    let text = if json {
        serde_json::json!({party.id_member(): id, party.secret_member(): secret}).to_string()
    } else {
        secret.to_owned()
    };
    write_out(&format!("{text}\n")).map_err(Failure::Unseen)
}

fn write_out(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Runs what waits for the network.
fn block_on<T>(task: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Unavailable::new("runtime", error.to_string()))?.block_on(task)
}

/// The strings of a list member; none if it is missing.
fn strings<'a>(object: &'a Value, member: &str) -> Vec<&'a str> {
    object.get(member).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}
