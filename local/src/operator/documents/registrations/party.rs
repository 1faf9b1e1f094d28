//! What can be done to clients and issuers alike.

use clap::Args;
use latchkey_token::{json::Value, registrations::Registrations};
use serde_json::json;

use super::edits::{self, Party};
use crate::{
    console::{self, Failure, print},
    operator::documents::{document::Checked, place::Location},
    secrets::{new_secret, sha256_hex},
};

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    location: Location,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct RotateSecret {
    /// Whose secret
    id: String,
    #[command(flatten)]
    location: Location,
    /// Drop every secret but the newest; makes none
    #[arg(long)]
    finish: bool,
    /// Print one JSON object: the id and the new secret, or with --finish how many were dropped
    #[arg(long)]
    json: bool,
}

impl List {
    /// Shows every registration of `party` as a line of `table`, or as JSON with `more` about each.
    pub(super) fn run(
        &self,
        party: Party,
        table: impl FnOnce(&Checked<Registrations>) -> String,
        more: impl Fn(&Checked<Registrations>, &Value) -> Option<(&'static str, Value)>,
    ) -> Result<(), Failure> {
        let checked = self.location.place().load()?;
        if !self.json {
            return print(&table(&checked));
        }
        let registrations = checked.list(party.list()).iter().map(|registration| {
            let mut shown = edits::shown(registration);
            shown.extend(more(&checked, registration).map(|(member, value)| (member.to_owned(), value)));
            shown
        });
        print(&format!("{}\n", json!({party.list(): registrations.collect::<Vec<_>>()})))
    }
}

impl RotateSecret {
    pub(super) fn run(&self, party: Party) -> Result<(), Failure> {
        if self.finish { self.finish(party) } else { self.add(party) }
    }

    fn add(&self, party: Party) -> Result<(), Failure> {
        let place = self.location.place();
        let secret = new_secret()?;
        let hash = sha256_hex(&secret);
        place.edit(|draft| {
            edits::add_hash(draft, party, &self.id, &hash);
            Ok(())
        })?;
        let noun = party.noun();
        eprintln!(
            "{noun} {:?} has a new secret, shown this once; the old one is still good. Hand it over once the servers have \
             it (300 s by default), then run `latchkey {noun} rotate-secret --finish`",
            self.id
        );
        reveal(party, &self.id, &secret, self.json)
    }

    fn finish(&self, party: Party) -> Result<(), Failure> {
        let place = self.location.place();
        let (_, dropped) = place.edit(|draft| Ok(edits::keep_newest_hash(draft, party, &self.id)))?;
        let noun = party.noun();
        if dropped == 0 {
            eprintln!("{noun} {:?} has no older secret: nothing to finish", self.id);
        } else {
            eprintln!("{noun} {:?} is known by its newest secret alone; older ones dropped: {dropped}", self.id);
        }
        if self.json {
            return print(&format!("{}\n", json!({party.id_member(): self.id, "dropped": dropped})));
        }
        Ok(())
    }
}

/// Shows a new secret, alone or as JSON: its only appearance anywhere.
pub(super) fn reveal(party: Party, id: &str, secret: &str, json: bool) -> Result<(), Failure> {
    if json {
        console::reveal(&json!({party.id_member(): id, party.secret_member(): secret}).to_string())
    } else {
        console::reveal(secret)
    }
}
