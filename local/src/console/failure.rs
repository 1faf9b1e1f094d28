//! Why a command did not do its work, and how it ends then.

use std::{io, process::ExitCode};

use latchkey_token::failure::Unavailable;

/// Why a command did not do its work. Names the document and what to do; quotes no secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{place}: {detail}")]
    Place { place: String, detail: String },
    #[error("{place} is not usable:{}", listed(faults))]
    Unusable { place: String, faults: Vec<String> },
    #[error("{place} is left as it was, because the change is not valid:{}", listed(faults))]
    Refused { place: String, faults: Vec<String> },
    /// What failed, and what could not be put right after that.
    #[error("{0}\n{1}")]
    Twice(Box<Failure>, Box<Failure>),
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
