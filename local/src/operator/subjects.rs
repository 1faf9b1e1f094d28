//! `latchkey subjects`: erasing what the table holds of a person.

use std::sync::atomic::{AtomicUsize, Ordering};

use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use latchkey_token::{
    audit::Reason,
    failure::{Failure as EndingFailure, Unavailable},
    management::EndSessions,
    ports::Clock,
    values::{ClientId, Owner, SessionKey, Subject},
};
use latchkey_token_aws::DynamoDbSessions;
use latchkey_token_lambda::system::{SystemClock, SystemRandomness};
use serde_json::json;

use super::{
    documents::AuditKeyLocation,
    sessions::{CommandAudit, EndedSession},
    table::{RegistrationsLocation, TableLocation},
};
use crate::console::{Failure, block_on, client_id, print, progress, subject};

#[derive(Subcommand)]
pub(crate) enum SubjectsCommand {
    Erase(Erase),
}

/// Delete every record of a user, for good
///
/// First ends the sessions that could still let somebody in, so that each has its audit line (on standard error, as with
/// `latchkey sessions revoke`); then deletes all records of the user, whatever their state, also those that cannot be read.
/// Looks at all registered clients, and at those that --client names: clients that are not registered any more. Goes on
/// until nothing is left, and asks nothing; --dry-run counts. Running it again is safe.
///
/// Lock the account in the portal first: what is issued afterwards is a new record. Whoever verifies access tokens offline
/// accepts those that are out until their exp. Two things stay. That an assertion has been used is kept until a day after
/// the assertion could be used, under a hash of its issuer and its id; the table deletes it by its time to live. The audit
/// trail has the user's name under the audit key (`latchkey audit name`), for as long as the log is kept. Backups and
/// exports of the table are not touched.
///
/// Needs dynamodb:Query, GetItem, UpdateItem and DeleteItem on the table; no function may delete.
#[derive(Args)]
#[command(after_help = "Examples:
  latchkey subjects erase alice --data .latchkey --dry-run
  latchkey subjects erase alice --table latchkey --clients-secret latchkey/clients
  latchkey subjects erase alice --table latchkey --clients clients.json --client old-app --client older-app --json")]
pub(crate) struct Erase {
    /// The user, as the external system names it
    #[arg(value_parser = subject)]
    subject: Subject,
    /// Count the records, and delete nothing
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object: {"erased":…,"ended":…}, or {"would_erase":…}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    location: TableLocation,
    #[command(flatten)]
    clients: ClientsToErase,
    #[command(flatten)]
    audit_key: AuditKeyLocation,
}

/// At which clients: all.
#[derive(Args)]
#[command(next_help_heading = "At which clients")]
struct ClientsToErase {
    /// This client as well, which is not registered any more; may be given several times
    #[arg(long, value_name = "CLIENT_ID", value_parser = client_id)]
    client: Vec<ClientId>,
    #[command(flatten)]
    registered: RegistrationsLocation,
}

impl SubjectsCommand {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Erase(erase) => erase.run(),
        }
    }
}

impl Erase {
    fn run(&self) -> Result<(), Failure> {
        self.location.check()?;
        let clients = self.clients()?;
        let owners: Vec<Owner> = clients.iter().map(|client| Owner::of(client, &self.subject)).collect();
        block_on(async {
            let store = self.location.open().await?;
            if self.dry_run { self.count(&store, &owners).await } else { self.erase(&store, &clients, &owners).await }
        })
    }

    /// All of them: without the registrations nobody knows whether something is left.
    fn clients(&self) -> Result<Vec<ClientId>, Failure> {
        let Some(registrations) = self.clients.registered.registrations(&self.location)? else {
            return Err(Failure::Usage(
                "the table keeps sessions by client: say where the clients are registered, with --clients FILE or \
                 --clients-secret ID; --client names others beside them"
                    .into(),
            ));
        };
        if registrations.has_nameless_clients() {
            return Err(Failure::Usage(
                "a client's id cannot be read in the registrations, so nobody knows what may be left there: mend them first"
                    .into(),
            ));
        }
        let mut all = registrations.client_ids();
        all.extend(self.clients.client.iter().cloned());
        all.sort();
        all.dedup();
        Ok(all)
    }

    async fn count(&self, store: &DynamoDbSessions, owners: &[Owner]) -> Result<(), Failure> {
        let progress = progress::counted("asking for clients' records", owners.len());
        let mut count = 0;
        for owner in owners {
            count += store.count_records(owner).await.map_err(|failed| self.location.explain(failed))?;
            progress.inc(1);
        }
        progress.finish_and_clear();
        if self.json {
            return print(&format!("{}\n", json!({"would_erase": count})));
        }
        eprintln!("{} of {:?} would be erased; without --dry-run they are", records(count), self.subject.as_str());
        Ok(())
    }

    async fn erase(&self, store: &DynamoDbSessions, clients: &[ClientId], owners: &[Owner]) -> Result<(), Failure> {
        let (ended, erased) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let progress = progress::endless("ending sessions");
        let stopped = |failed: Unavailable| {
            progress.finish_and_clear();
            match erased.load(Ordering::Relaxed) {
                0 => self.location.explain(failed),
                count => self.location.fail(format!(
                    "{failed}. {} erased before that; run the same command again for the rest",
                    records(count)
                )),
            }
        };
        let audit = CommandAudit(self.audit_key.key_if_any(self.location.data()));
        for (client, owner) in clients.iter().zip(owners) {
            self.end(store, client, owner, &audit, &ended, &progress).await.map_err(stopped)?;
        }
        progress.set_message("erasing records");
        progress.set_position(0);
        for owner in owners {
            let told = || {
                erased.fetch_add(1, Ordering::Relaxed);
                progress.inc(1);
            };
            store.erase(owner, &told).await.map_err(stopped)?;
        }
        progress.finish_and_clear();
        let (ended, erased) = (ended.into_inner(), erased.into_inner());
        if self.json {
            return print(&format!("{}\n", json!({"erased": erased, "ended": ended})));
        }
        eprintln!(
            "{} of {:?} erased, {ended} of them sessions that were still going; {} has nothing of that user at {} any more",
            records(erased),
            self.subject.as_str(),
            self.location,
            match clients.iter().filter(|client| !client.is_dynamic()).count() {
                1 => "1 client".to_owned(),
                count => format!("{count} clients"),
            }
        );
        Ok(())
    }

    async fn end(
        &self,
        store: &DynamoDbSessions,
        client: &ClientId,
        owner: &Owner,
        audit: &CommandAudit,
        ended: &AtomicUsize,
        progress: &ProgressBar,
    ) -> Result<(), Unavailable> {
        let (clock, randomness): (&dyn Clock, _) = (&SystemClock, &SystemRandomness);
        let ending = EndSessions { store, clock, randomness, reason: Reason::Operator, until: None };
        let told = |key: &SessionKey| {
            let session =
                EndedSession { key: *key, client_id: Some(client.clone()), subject: Some(self.subject.clone()) };
            progress.suspend(|| audit.record(&session));
            progress.inc(1);
            ended.fetch_add(1, Ordering::Relaxed);
        };
        match ending.of(owner, None, &told).await {
            Ok(_) => Ok(()),
            Err(EndingFailure::Unavailable(failed) | EndingFailure::Unrepeatable(failed)) => Err(failed),
            Err(EndingFailure::Refused(refusal)) => Err(Unavailable::new("session store", format!("{refusal:?}"))),
        }
    }
}

/// `1 record`, `2 records`.
fn records(count: usize) -> String {
    if count == 1 { "1 record".to_owned() } else { format!("{count} records") }
}
