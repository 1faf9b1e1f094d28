//! `latchkey issuer`: the external systems that issue tokens for their users.

use clap::{Args, Subcommand};
use latchkey_token::{json::Value, registry::Registry};
use serde_json::json;

use super::{
    Failure,
    document::Checked,
    party::{Disable, List, RotateSecret},
    place::Location,
    registrations::{self, Party},
    reveal, strings,
    table::table,
};
use crate::secrets::{new_secret, sha256_hex};

#[derive(Subcommand)]
pub(crate) enum IssuerCommand {
    Add(Add),
    /// Show all issuers, with the number of their secrets and never their hashes
    #[command(after_help = "Examples:
  latchkey issuer list --file clients.json
  latchkey issuer list --secret-id latchkey/clients --json")]
    List(List),
    /// Remove an issuer's registration
    ///
    /// It is then answered with 401 invalid_client and can neither issue tokens nor end sessions. The sessions that it
    /// has issued are not ended: their clients renew them until they expire.
    #[command(after_help = "Example:
  latchkey issuer disable portal --file clients.json")]
    Disable(Disable),
    /// Give an issuer a second secret, or drop the old one with --finish
    ///
    /// The new secret is printed once, alone on standard output; only its SHA-256 is kept, as the last of
    /// secret_sha256. Old and new are good side by side until --finish drops all but the newest.
    #[command(after_help = "Example:
  latchkey issuer rotate-secret portal --file clients.json
  # when the portal uses the new secret:
  latchkey issuer rotate-secret portal --file clients.json --finish")]
    RotateSecret(RotateSecret),
}

/// Register an issuer and print its secret, once
///
/// The secret (256 bits, hex digits) is printed alone on standard output; only its SHA-256 is kept.
#[derive(Args)]
#[command(after_help = "Examples:
  latchkey issuer add portal --file clients.json
  latchkey issuer add back-office --secret-id latchkey/clients --client librechat librechat-oauth --json")]
pub(crate) struct Add {
    /// The issuer's id: 1 to 255 printable ASCII characters
    id: String,
    #[command(flatten)]
    location: Location,
    /// Registered clients that it may issue for; `client add --issuer` adds more
    #[arg(long, num_args = 1..)]
    client: Vec<String>,
    /// Print {"issuer_id":…,"issuer_secret":…} instead of the secret alone
    #[arg(long)]
    json: bool,
}

impl IssuerCommand {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(),
            Self::List(list) => list.run(Party::Issuer, as_table, |_, _| None),
            Self::Disable(disable) => disable.run(
                Party::Issuer,
                "- it is answered with 401 invalid_client: it can neither issue tokens nor end sessions
- the sessions that it has issued are not ended: their clients renew them until they expire",
            ),
            Self::RotateSecret(rotate) => rotate.run(Party::Issuer),
        }
    }
}

impl Add {
    fn run(&self) -> Result<(), Failure> {
        let place = self.location.place();
        let mut draft = place.open()?;
        let secret = new_secret()?;
        let registration =
            json!({"issuer_id": self.id, "secret_sha256": [sha256_hex(&secret)], "clients": self.client});
        registrations::add(&mut draft, Party::Issuer, &self.id, registration);
        let checked = place.check(draft)?;
        place.write(&checked)?;
        eprintln!("issuer {:?} is registered in {place}; its secret is shown this once:", self.id);
        reveal(Party::Issuer, &self.id, &secret, self.json)
    }
}

fn as_table(checked: &Checked<Registry>) -> String {
    let row = |issuer: &Value| {
        [
            issuer.get("issuer_id").and_then(Value::as_str).unwrap_or_default().to_owned(),
            strings(issuer, "secret_sha256").len().to_string(),
            strings(issuer, "clients").join(" "),
        ]
    };
    table(["ISSUER", "SECRETS", "CLIENTS"], checked.list("issuers").iter().map(row))
}
