//! Epochs in the registrations: sessions that were issued earlier are over.

use std::path::PathBuf;

use clap::Args;
use latchkey_token::{
    json::{Map, Value},
    registrations::{MAX_ISSUER_EPOCHS, Registrations},
    values::{ClientId, DYNAMIC_CLIENTS, IssuerId, Seconds, Timestamp},
};
use serde_json::json;

use super::edits::{DYNAMIC_MEMBER, Party, SESSIONS_NOT_BEFORE, registration};
use crate::{
    console::{Failure, Moment, issuer_id, moment},
    operator::documents::{
        document::Draft,
        place::{Change, Place},
    },
};

/// The functions' cache time: until then another instance may issue without knowing of the epoch.
pub(super) const CACHE_SECONDS: Seconds = 300;

const DISABLED: &str = "disabled";

/// All sessions of a client, of an issuer, or of the deployment: they end by an epoch in the registrations.
#[derive(Args)]
#[command(next_help_heading = "Or all sessions of clients (--client without --subject), of an issuer, or of everybody")]
pub(crate) struct AllSessions {
    /// All that this issuer has issued
    #[arg(long, value_name = "ISSUER_ID", value_parser = issuer_id, conflicts_with_all = ["subject", "session", "client"])]
    issuer: Option<IssuerId>,
    /// All sessions of the deployment
    #[arg(long, conflicts_with_all = ["subject", "session", "client", "issuer"])]
    all: bool,
    /// Those that were issued before this time (2026-01-31T09:30:00Z, Unix seconds, or so long ago: 90min, 12h, 7d)
    /// [default: 300 s from now, when every instance knows of it; nothing of theirs is issued until then]
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with_all = ["subject", "session"])]
    before: Option<Moment>,
    /// The registrations, in this file
    #[arg(long, value_name = "PATH", conflicts_with_all = ["subject", "session", "table", "data", "secret_id"])]
    file: Option<PathBuf>,
    /// The registrations, in this secret of AWS Secrets Manager (name or ARN)
    #[arg(long, value_name = "ID", conflicts_with_all = ["subject", "session", "table", "data"])]
    secret_id: Option<String>,
}

impl AllSessions {
    /// Whether they are meant rather than a subject's sessions.
    pub(crate) fn are_meant(&self) -> bool {
        self.issuer.is_some() || self.all || self.file.is_some() || self.secret_id.is_some() || self.before.is_some()
    }

    pub(crate) fn end(&self, clients: &[ClientId], dry_run: bool, json: bool, now: Timestamp) -> Result<(), Failure> {
        let change = match (&self.file, &self.secret_id) {
            (None, None) => {
                return Err(Failure::Usage(
                    "these sessions are ended in the registrations: say where those are, with --file PATH or --secret-id \
                     ID"
                    .into(),
                ));
            }
            (Some(path), _) => Change::of(Place::File(path.clone()), dry_run, json),
            (None, Some(id)) => Change::of(Place::Secret(id.clone()), dry_run, json),
        };
        let governed: Vec<Governed<'_>> = match &self.issuer {
            _ if self.all => vec![Governed::Everybody],
            Some(issuer) => vec![Governed::Of(Party::Issuer, issuer.as_str())],
            None if clients.is_empty() => {
                return Err(Failure::Usage(
                    "whose sessions? --client CLIENT_ID, --issuer ISSUER_ID, or --all for everybody's".into(),
                ));
            }
            None => clients.iter().map(of_client).collect::<Result<_, _>>()?,
        };
        let to = self.before.map_or_else(|| now.plus(CACHE_SECONDS), |before| before.before(now));
        let (_, epochs) =
            change.make(|draft| Ok(governed.iter().map(|whose| advance(draft, whose, to)).collect::<Vec<_>>()))?;
        let (are, place) = (change.verb("are", "would be"), change.place());
        for (whose, epoch) in governed.iter().zip(&epochs) {
            eprintln!("{} that were issued before {epoch} {are} over, by the registrations in {place}", whose.told());
        }
        if epochs.iter().any(|epoch| *epoch > now) {
            eprintln!("until then nothing is issued to them (503): a later sign-in is good");
        }
        eprintln!("access tokens that are out stay good until their exp wherever they are verified offline");
        let shown: Vec<Value> = governed.iter().zip(&epochs).map(|(whose, epoch)| whose.shown(*epoch)).collect();
        change.tell([("epochs", json!(shown))])
    }
}

/// Of clients that have registered themselves, all or none have an epoch.
fn of_client(client: &ClientId) -> Result<Governed<'_>, Failure> {
    match client.as_str() {
        DYNAMIC_CLIENTS => Ok(Governed::Dynamic),
        _ if client.is_dynamic() => Err(Failure::Usage(format!(
            "a client that has registered itself has no epoch of its own: --client {DYNAMIC_CLIENTS} ends the sessions of all of \
             them"
        ))),
        id => Ok(Governed::Of(Party::Client, id)),
    }
}

/// Whose sessions an epoch ends.
pub(super) enum Governed<'a> {
    /// All of the deployment.
    Everybody,
    Of(Party, &'a str),
    /// Of all clients that have registered themselves.
    Dynamic,
}

impl Governed<'_> {
    fn told(&self) -> String {
        match self {
            Self::Everybody => "all sessions".to_owned(),
            Self::Of(party, id) => format!("the sessions of {} {id:?}", party.noun()),
            Self::Dynamic => "the sessions of all clients that have registered themselves".to_owned(),
        }
    }

    fn shown(&self, epoch: Timestamp) -> Value {
        let seconds = epoch.unix_seconds();
        match self {
            Self::Everybody => json!({SESSIONS_NOT_BEFORE: seconds}),
            Self::Of(party, id) => json!({party.id_member(): id, SESSIONS_NOT_BEFORE: seconds}),
            Self::Dynamic => json!({Party::Client.id_member(): DYNAMIC_CLIENTS, SESSIONS_NOT_BEFORE: seconds}),
        }
    }
}

/// An epoch is in whole seconds: nothing that was issued before `moment` may fall behind it.
fn rounded_up(moment: Timestamp) -> Timestamp {
    Timestamp::from_unix_seconds(moment.unix_millis().div_euclid(1_000) + i64::from(moment.unix_millis() % 1_000 > 0))
}

/// Moves an epoch to `to`, never back: what has ended stays so. Returns the epoch that stands then.
pub(super) fn advance(draft: &mut Draft<Registrations>, governed: &Governed<'_>, to: Timestamp) -> Timestamp {
    draft.forgive();
    let members = match governed {
        Governed::Everybody => Some(draft.members_mut()),
        Governed::Of(party, id) => registration(draft, *party, id),
        Governed::Dynamic => dynamic(draft),
    };
    let Some(members) = members else { return to };
    let to = rounded_up(to);
    let epoch = epoch(members).map_or(to, |stands| stands.max(to));
    members.insert(SESSIONS_NOT_BEFORE.into(), epoch.unix_seconds().into());
    let issuers = draft.list(Party::Issuer.list()).iter();
    let with_epochs = issuers.filter(|issuer| issuer.as_object().is_some_and(|issuer| self::epoch(issuer).is_some()));
    if with_epochs.count() > MAX_ISSUER_EPOCHS && matches!(governed, Governed::Of(Party::Issuer, _)) {
        draft.fault(format!(
            "more than {MAX_ISSUER_EPOCHS} issuers would have epochs, which a request cannot ask about: `latchkey issuer \
             remove` those that are gone, or end everybody's sessions with `latchkey sessions revoke --all`"
        ));
    }
    epoch
}

/// What is said of clients that register themselves; an object from now on, if it was nothing. That it is anything else is a fault.
fn dynamic(draft: &mut Draft<Registrations>) -> Option<&mut Map<String, Value>> {
    let is_object = match draft.members_mut().entry(DYNAMIC_MEMBER).or_insert(Value::Null) {
        nothing @ Value::Null => {
            *nothing = Value::Object(Map::new());
            true
        }
        said => said.is_object(),
    };
    if !is_object {
        draft.fault(format!(
            "{DYNAMIC_MEMBER} is no object and can have no time: `latchkey dynamic-clients off` replaces it and ends these \
             sessions"
        ));
    }
    draft.members_mut().get_mut(DYNAMIC_MEMBER)?.as_object_mut()
}

/// Answers the issuer as an unknown one.
pub(super) fn disable(draft: &mut Draft<Registrations>, issuer: &str) {
    draft.forgive();
    if let Some(members) = registration(draft, Party::Issuer, issuer) {
        members.insert(DISABLED.into(), true.into());
    }
}

/// Lets a disabled issuer issue again, from now on: an epoch that lies ahead ends here.
pub(super) fn enable(draft: &mut Draft<Registrations>, issuer: &str, now: Timestamp) {
    let Some(members) = registration(draft, Party::Issuer, issuer) else { return };
    if members.remove(DISABLED).is_none_or(|disabled| disabled == false) {
        draft.fault(format!("issuer {issuer:?} is not disabled"));
        return;
    }
    if epoch(members).is_some_and(|epoch| epoch > now) {
        members.insert(SESSIONS_NOT_BEFORE.into(), rounded_up(now).unix_seconds().into());
    }
}

/// Faults the removal of an issuer that may still have sessions: its epoch would go with it. They can last for
/// `absolute_seconds` from their issue.
pub(super) fn has_outlived(draft: &mut Draft<Registrations>, issuer: &str, absolute_seconds: u32, now: Timestamp) {
    let Some(members) = registration(draft, Party::Issuer, issuer) else { return };
    let epoch = epoch(members);
    let fault = match epoch.map(|epoch| epoch.plus(absolute_seconds)) {
        Some(end) if end <= now => return,
        Some(end) => format!("issuer {issuer:?} has an epoch that is still needed: it may be removed from {end} on"),
        None => format!(
            "issuer {issuer:?} may have sessions, and they would go on without it: `latchkey issuer disable {issuer} \
             --end-sessions` ends them, and one absolute lifetime later it may be removed"
        ),
    };
    draft.fault(fault);
}

fn epoch(members: &Map<String, Value>) -> Option<Timestamp> {
    let seconds = members.get(SESSIONS_NOT_BEFORE).and_then(Value::as_i64).filter(|seconds| *seconds > 0);
    seconds.map(Timestamp::from_unix_seconds)
}
