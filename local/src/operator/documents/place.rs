//! Where a document is kept: a file, or a secret of Secrets Manager.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use aws_sdk_secretsmanager::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::{get_secret_value::GetSecretValueError, put_secret_value::PutSecretValueError},
};
use clap::Args;
use latchkey_token::{
    json::{self, Value},
    registrations::Registrations,
};
use latchkey_token_aws::sdk;

use super::document::{Checked, Draft, Format};
use crate::{
    console::{Failure, block_on},
    secrets::write_file,
};

/// Exactly one of the two is given.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(super) struct Location {
    /// Work on this file; what adds to it makes it, for its owner alone, when it is missing
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Work on this secret of AWS Secrets Manager (name or ARN); region, credentials and endpoint come from
    /// the usual AWS_* variables
    #[arg(long, value_name = "ID")]
    secret_id: Option<String>,
}

impl Location {
    pub(super) fn place(&self) -> Place {
        match (&self.file, &self.secret_id) {
            (Some(path), _) => Place::File(path.clone()),
            (None, id) => Place::Secret(id.clone().unwrap_or_default()),
        }
    }
}

/// A file that an option names.
pub(super) fn read_file(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|error| Failure::Place { place: path.display().to_string(), detail: error.to_string() })
}

/// The same, as JSON.
pub(super) fn read_json(path: &Path) -> Result<Value, Failure> {
    json::parse(read_file(path)?.as_bytes())
        .map_err(|fault| Failure::Place { place: path.display().to_string(), detail: fault.to_string() })
}

pub(crate) enum Place {
    File(PathBuf),
    Secret(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Secret(id) => write!(f, "secret {id}"),
        }
    }
}

impl Place {
    /// The document, to be edited. A missing file and a secret without a value are empty documents.
    pub(super) fn open<F: Format>(&self) -> Result<Draft<F>, Failure> {
        let text = self.read()?;
        if text.is_none() {
            match self {
                Self::File(_) => eprintln!("{self} does not exist yet"),
                Self::Secret(_) => eprintln!("{self} has no value yet, or does not exist"),
            }
        }
        self.parse(&text.unwrap_or_default())
    }

    fn parse<F: Format>(&self, text: &str) -> Result<Draft<F>, Failure> {
        Draft::parse(text).map_err(|fault| Failure::Unusable { place: self.to_string(), faults: vec![fault] })
    }

    /// The document, to be looked at: there must be one.
    /// The registrations that are kept there.
    pub(crate) fn registrations(&self) -> Result<Registrations, Failure> {
        Ok(self.load()?.parsed)
    }

    pub(super) fn load<F: Format>(&self) -> Result<Checked<F>, Failure> {
        let missing = || match self {
            Self::File(_) => self.fail("does not exist"),
            Self::Secret(_) => self.fail("has no value yet, or does not exist"),
        };
        let checked = self.parse(&self.read()?.ok_or_else(missing)?)?.check();
        checked.map_err(|faults| Failure::Unusable { place: self.to_string(), faults })
    }

    /// `draft` as it may be written.
    pub(super) fn check<F: Format>(&self, draft: Draft<F>) -> Result<Checked<F>, Failure> {
        draft.check().map_err(|faults| self.refuse(faults))
    }

    pub(super) fn refuse(&self, faults: Vec<String>) -> Failure {
        Failure::Refused { place: self.to_string(), faults }
    }

    fn fail(&self, detail: impl fmt::Display) -> Failure {
        Failure::Place { place: self.to_string(), detail: detail.to_string() }
    }

    fn read(&self) -> Result<Option<String>, Failure> {
        match self {
            Self::File(path) => match fs::read_to_string(path) {
                Ok(text) => Ok(Some(text)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(self.fail(error)),
            },
            Self::Secret(id) => block_on(async {
                let got = secrets_manager().await.get_secret_value().secret_id(id).send().await;
                match got {
                    Ok(output) => match output.secret_string {
                        Some(text) => Ok(Some(text)),
                        None => Err(self.fail("holds bytes and no text: is it the right secret?")),
                    },
                    // No value yet, or no such secret: writing tells.
                    Err(error)
                        if error
                            .as_service_error()
                            .is_some_and(GetSecretValueError::is_resource_not_found_exception) =>
                    {
                        Ok(None)
                    }
                    Err(error) => Err(self.fail(explain(&error))),
                }
            }),
        }
    }

    pub(super) fn write<F: Format>(&self, checked: &Checked<F>) -> Result<(), Failure> {
        match self {
            Self::File(path) => write_file(path, &format!("{:#}\n", checked.document())).map_err(|error| {
                self.fail(format!("{error}; is its directory there, and may you write to it? Nothing was changed"))
            }),
            Self::Secret(id) => block_on(async {
                let text = checked.document().to_string();
                let put = secrets_manager().await.put_secret_value().secret_id(id).secret_string(text).send().await;
                match put {
                    Ok(_) => Ok(()),
                    Err(error)
                        if error
                            .as_service_error()
                            .is_some_and(PutSecretValueError::is_resource_not_found_exception) =>
                    {
                        Err(self.fail(
                            "there is no such secret: check --secret-id and AWS_REGION, or make it first with `aws \
                             secretsmanager create-secret --name NAME`",
                        ))
                    }
                    Err(error) if error.as_service_error().is_some() => Err(self.fail(explain(&error))),
                    Err(error) => Err(self.fail(format!(
                        "{}. Whether the change was written is not certain: look at it before you repeat it",
                        explain(&error)
                    ))),
                }
            }),
        }
    }
}

/// What Secrets Manager said; if nothing, where it is looked for.
fn explain<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> String {
    let said = sdk::describe(error);
    match error {
        SdkError::ServiceError(_) => said,
        _ => format!("{said} (are AWS_REGION, or AWS_PROFILE, and credentials set?)"),
    }
}

async fn secrets_manager() -> Client {
    Client::new(&sdk::config().await)
}
