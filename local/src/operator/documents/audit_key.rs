//! Where the commands find the audit key: in the key ring.

use std::path::{Path, PathBuf};

use clap::Args;
use latchkey_token::keys::AuditKey;

use super::place::Place;
use crate::console::Failure;

/// At most one of the two is given.
#[derive(Args)]
#[group(multiple = false)]
#[command(next_help_heading = "Where the audit key is, which gives users their names in the audit trail (one of them)")]
pub(crate) struct AuditKeyLocation {
    /// In the key ring in this file
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// In this secret of AWS Secrets Manager (name or ARN): the key ring
    #[arg(long, value_name = "ID")]
    keys_secret: Option<String>,
}

impl AuditKeyLocation {
    /// The key, if the arguments say where it is.
    pub(crate) fn key(&self) -> Result<Option<AuditKey>, Failure> {
        self.place(None).map(|place| place.audit_key()).transpose()
    }

    /// For audit lines alone: without a key, or with one that cannot be had, they leave the user's name out. The ring of a
    /// data directory stands in it.
    pub(crate) fn key_if_any(&self, data: Option<&Path>) -> Option<AuditKey> {
        let key = self.place(data)?.audit_key();
        key.inspect_err(|failure| eprintln!("warning: the audit lines have no subject_hash: {failure}")).ok()
    }

    fn place(&self, data: Option<&Path>) -> Option<Place> {
        let default = || data.map(|data| data.join("signing-keys.json")).filter(|path| path.exists()).map(Place::File);
        match (&self.keys, &self.keys_secret) {
            (Some(path), _) => Some(Place::File(path.clone())),
            (None, Some(id)) => Some(Place::Secret(id.clone())),
            (None, None) => default(),
        }
    }
}
