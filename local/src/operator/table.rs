//! Where the sessions are, and at which clients to look for a subject's.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use clap::Args;
use latchkey_token::{failure::Unavailable, registrations::Registrations};
use latchkey_token_aws::{DynamoDbSessions, sdk};
use latchkey_token_lambda::settings::Settings;

use super::documents::Place;
use crate::{
    console::Failure,
    serve::{SESSIONS_FILE, dynamodb},
};

/// Where the sessions are; one of the two is given.
#[derive(Args)]
#[group(multiple = false)]
#[command(next_help_heading = "Where the sessions are (one of them)")]
pub(super) struct TableLocation {
    /// The DynamoDB table; region, credentials and endpoint come from the usual AWS_* variables
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
    /// The data directory of a `latchkey serve`, which may be running
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl TableLocation {
    /// The data directory, if it is one.
    pub(super) fn data(&self) -> Option<&Path> {
        self.data.as_deref()
    }

    /// That one of them is given.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.table.is_none() && self.data.is_none() {
            return Err(Failure::Usage("where are the sessions? --table NAME or --data DIR".into()));
        }
        Ok(())
    }

    pub(super) async fn open(&self) -> Result<DynamoDbSessions, Failure> {
        let Some(directory) = &self.data else {
            return Ok(DynamoDbSessions::new(&sdk::config().await, self.table.clone().unwrap_or_default()));
        };
        let path = directory.join(SESSIONS_FILE);
        if !path.exists() {
            return Err(self.fail(format!("has no {SESSIONS_FILE}: is it the --data of a `latchkey serve`?")));
        }
        let database = dynamodb::open(&path).map_err(|error| self.fail(error))?;
        let table = std::env::var("LATCHKEY_TABLE").ok().filter(|name| !name.is_empty());
        let sdk = dynamodb::embedded(database, None).await;
        Ok(DynamoDbSessions::new(&sdk, table.unwrap_or_else(|| Settings::LOCAL_TABLE.to_owned())))
    }

    pub(super) fn fail(&self, detail: impl fmt::Display) -> Failure {
        Failure::Place { place: self.to_string(), detail: detail.to_string() }
    }

    /// What to look at when the table does not answer.
    pub(super) fn explain(&self, failed: Unavailable) -> Failure {
        let detail = failed.detail;
        self.fail(match self.table {
            Some(_) if detail.contains("ResourceNotFoundException") => {
                format!("{detail} (check --table and AWS_REGION)")
            }
            Some(_) => {
                format!("{detail} (are AWS_REGION, or AWS_PROFILE, and credentials set, and allowed to use it?)")
            }
            None => format!("{detail} (was it made with another LATCHKEY_TABLE?)"),
        })
    }
}

impl fmt::Display for TableLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.table, &self.data) {
            (Some(table), _) => write!(f, "table {table}"),
            (None, data) => write!(f, "data directory {}", data.clone().unwrap_or_default().display()),
        }
    }
}

/// Where the clients are registered; at most one of the two is given.
#[derive(Args)]
#[group(multiple = false)]
pub(super) struct RegistrationsLocation {
    /// All clients registered in this file [default: with --data, its clients.json]
    #[arg(long, value_name = "FILE")]
    clients: Option<PathBuf>,
    /// All clients registered in this secret of AWS Secrets Manager (name or ARN)
    #[arg(long, value_name = "ID")]
    clients_secret: Option<String>,
}

impl RegistrationsLocation {
    pub(super) fn is_given(&self) -> bool {
        self.clients.is_some() || self.clients_secret.is_some()
    }

    /// The registrations, from where the arguments say they are, or beside a data directory's sessions.
    pub(super) fn registrations(&self, location: &TableLocation) -> Result<Option<Registrations>, Failure> {
        let default = || Some(location.data()?.join("clients.json")).filter(|path| path.exists());
        let place = match (&self.clients, &self.clients_secret) {
            (Some(path), _) => Some(Place::File(path.clone())),
            (None, Some(id)) => Some(Place::Secret(id.clone())),
            (None, None) => default().map(Place::File),
        };
        place.map(|place| place.registrations()).transpose()
    }
}
