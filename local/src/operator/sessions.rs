//! `latchkey sessions`: what the table knows of a subject or a session, and ending it, with the store code of the
//! functions.

use std::{
    collections::BTreeSet,
    fmt, io,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use clap::{Args, Subcommand};
use dynoxide::Database;
use latchkey_token::{
    audit::{Event, EventKind, Reason},
    failure::{self as use_case, Unavailable},
    management::EndSessions,
    ports::{Audit, Clock, ListSessions, Randomness, ReadSession, RevokeSession},
    registrations::{Epochs, Registrations},
    session::{Revocation, RevocationId, Session},
    values::{ClientId, Owner, SessionKey, Sid, Subject, Timestamp},
};
use latchkey_token_aws::{DynamoDbSessions, sdk};
use latchkey_token_lambda::{
    settings::Settings,
    system::{SystemClock, SystemRandomness},
    telemetry::{self, RequestAudit},
};
use serde::Serialize;
use serde_json::json;
use sessions::ListedSession;

use super::documents::{AllSessions, Place};
use crate::{
    console::{Failure, block_on, client_id, print, progress, session_key, subject, table},
    serve::{SESSIONS_FILE, dynamodb},
};

#[derive(Subcommand)]
pub(crate) enum SessionsCommand {
    List(List),
    Revoke(Revoke),
}

/// Show a subject's sessions that can still let somebody in, or one session whatever its state
///
/// GEN says how often a session has been renewed, ENDS when it can no longer be renewed. A live session can be renewed; an
/// idle one cannot, but its access tokens may be good. With --json, times are Unix seconds and "session" is the name that
/// the audit trail has for the session. Epochs (sessions_not_before) count where the registrations are read.
#[derive(Args)]
#[command(after_help = "Examples:
  latchkey sessions list --data .latchkey --subject alice
  latchkey sessions list --table latchkey --client librechat --subject alice --all
  latchkey sessions list --table latchkey --clients-secret latchkey/clients --subject alice --json
  latchkey sessions list --table latchkey --session SESSION_ID")]
pub(crate) struct List {
    /// Also those that are over, until the table deletes them (a day after their absolute expiry)
    #[arg(long, conflicts_with = "session")]
    all: bool,
    #[command(flatten)]
    query: Query,
}

/// End a subject's sessions, live and idle ones, one session, or all of a client, of an issuer or of the deployment
///
/// A subject's and a single one are ended in the table, at once; all of somebody's by an epoch in the registrations, which
/// costs no scan: what was issued before it is over as soon as every instance has read it (300 s). Access tokens of those are
/// refused by introspection and the authorizer as well.
///
/// Asks nothing, and says what it has ended; --dry-run says what it would end. No renewal succeeds afterwards, and what
/// is over cannot be brought back. It goes on until all of them are ended, 16 at a time, also those whose records cannot be
/// read. Whoever verifies access tokens offline accepts those that are out until their exp.
/// Running it again is safe. A session that is issued at the same moment may escape: stop the issuer first, if it must not.
///
/// For each session that was ended, the audit line (session_revoked, reason operator) goes to standard error: no function
/// has seen it, so keep it where the audit trail is kept.
#[derive(Args)]
#[command(after_help = "Examples:
  latchkey sessions revoke --table latchkey --client librechat --subject alice --dry-run
  latchkey sessions revoke --table latchkey --client librechat --subject alice
  latchkey sessions revoke --table latchkey --session SESSION_ID --json
  latchkey sessions revoke --data .latchkey --subject alice 2>> audit.log
  latchkey sessions revoke --client librechat --secret-id latchkey/clients
  latchkey sessions revoke --issuer portal --before 2026-01-31T09:30:00Z --secret-id latchkey/clients
  latchkey sessions revoke --all --secret-id latchkey/clients --dry-run")]
pub(crate) struct Revoke {
    /// Say what would be ended, and end nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    query: Query,
    #[command(flatten)]
    all_sessions: AllSessions,
}

/// Which sessions are meant, and how to tell of them.
#[derive(Args)]
struct Query {
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    location: TableLocation,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    clients: Clients,
}

/// Where the sessions are; one of the two is given.
#[derive(Args)]
#[group(multiple = false)]
#[command(next_help_heading = "Where the sessions are (one of them)")]
struct TableLocation {
    /// The DynamoDB table; region, credentials and endpoint come from the usual AWS_* variables
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
    /// The data directory of a `latchkey serve`, which may be running
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Which sessions; one of the two is given.
#[derive(Args)]
#[group(multiple = false)]
#[command(next_help_heading = "Which sessions (one of them)")]
struct Selection {
    /// All sessions of this user, as the external system names it
    #[arg(long, value_parser = subject)]
    subject: Option<Subject>,
    /// The session with this id: 43 characters, as in a token's `sid` and in answers' `session_id`
    #[arg(long, value_name = "SESSION_ID", value_parser = session_key, allow_hyphen_values = true)]
    session: Option<SessionKey>,
}

/// The table keeps sessions by client and subject together, so --subject needs to know the clients.
#[derive(Args)]
#[group(multiple = false, conflicts_with = "session")]
#[command(next_help_heading = "At which clients, with --subject (one of them)")]
struct Clients {
    /// These clients; needed for one that is not registered any more
    #[arg(long, value_name = "CLIENT_ID", num_args = 1.., value_parser = client_id)]
    client: Vec<ClientId>,
    /// All clients registered in this file [default: with --data, its clients.json]
    #[arg(long, value_name = "FILE")]
    clients: Option<PathBuf>,
    /// All clients registered in this secret of AWS Secrets Manager (name or ARN)
    #[arg(long, value_name = "ID")]
    clients_secret: Option<String>,
}

impl SessionsCommand {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run(SystemClock.now()),
            Self::Revoke(revoke) => revoke.run(SystemClock.now()),
        }
    }
}

impl List {
    fn run(&self, now: Timestamp) -> Result<(), Failure> {
        let query = &self.query;
        query.check()?;
        let known = Known(query.registrations()?);
        let clients = query.client_ids(&known)?;
        let (sessions, unreadable) = block_on(async {
            let store = query.location.open().await?;
            let found = query.selection.find(&store, &clients).await;
            let found = found.map_err(|failed| query.location.explain(failed))?;
            let unreadable = query.selection.unreadable(&store, &clients, &found, now).await;
            Ok::<_, Failure>((found, unreadable.map_err(|failed| query.location.explain(failed))?))
        })?;
        for key in unreadable {
            eprintln!(
                "the record of session {key} cannot be read, so it is not listed; `sessions revoke` ends it like any other"
            );
        }
        let wanted =
            |session: &&Session| self.query.selection.session.is_some() || self.all || known.is_going(session, now);
        let shown: Vec<Shown<'_>> =
            sessions.iter().filter(wanted).map(|session| Shown::new(session, &known, now)).collect();
        if self.query.json {
            return print(&format!("{}\n", json!({"sessions": shown})));
        }
        if shown.is_empty() {
            eprintln!("{}", self.query.nothing_found());
            return Ok(());
        }
        print(&as_table(&shown))
    }
}

impl Revoke {
    fn run(&self, now: Timestamp) -> Result<(), Failure> {
        if self.all_sessions.are_meant() {
            return self.all_sessions.end(&self.query.clients.client, self.dry_run, self.query.json, now);
        }
        let query = &self.query;
        query.check()?;
        let known = Known(query.registrations()?);
        let clients = query.client_ids(&known)?;
        block_on(async {
            let store = query.location.open().await?;
            match (&query.selection.session, &query.selection.subject) {
                (Some(key), _) => self.one(&store, key, &known, now).await,
                (None, Some(subject)) if self.dry_run => {
                    let found = query.selection.find(&store, &clients).await;
                    let mut found = found.map_err(|failed| query.location.explain(failed))?;
                    found.retain(|session| known.is_going(session, now));
                    self.would_end(&found, &known, now)
                }
                (None, Some(subject)) => {
                    let ended = self.all(&store, &clients, subject).await?;
                    self.tell(&ended)
                }
                (None, None) => Ok(()),
            }
        })
    }

    async fn one(
        &self,
        store: &DynamoDbSessions,
        key: &SessionKey,
        known: &Known,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let location = &self.query.location;
        let record = match store.read(key).await {
            Ok(Some(record)) => Some(record),
            Ok(None) => {
                return Err(location.fail(format!(
                    "there is no session {key} in it: check the id, and that it is the right table. Records go a day after \
                     their absolute expiry"
                )));
            }
            // It may be the record that cannot be read: its session can be ended all the same.
            Err(_) if !self.dry_run => None,
            Err(failed) => return Err(location.explain(failed)),
        };
        if let Some(record) = record.as_ref().filter(|record| !known.is_going(record, now)) {
            eprintln!("nothing to end: the session is over already: {}", Shown::new(record, known, now).state());
            return if self.query.json { self.print(&[]) } else { Ok(()) };
        }
        if let (true, Some(record)) = (self.dry_run, &record) {
            return self.would_end(std::slice::from_ref(record), known, now);
        }
        let mut id = [0; 16];
        SystemRandomness.fill(&mut id)?;
        let revocation = Revocation::new(now, Reason::Operator, RevocationId::from_bytes(id));
        let outcome = store.revoke(key, &revocation).await.map_err(|failed| location.explain(failed))?;
        let ended = EndedSession {
            key: *key,
            client_id: record.as_ref().map(|record| record.client_id.clone()),
            subject: record.map(|record| record.subject),
        };
        if !outcome.is_done() {
            return self.tell(&[]);
        }
        ended.record();
        self.tell(&[ended])
    }

    /// Goes on until all are ended, however many they are.
    async fn all(
        &self,
        store: &DynamoDbSessions,
        clients: &[ClientId],
        subject: &Subject,
    ) -> Result<Vec<EndedSession>, Failure> {
        let progress = progress::endless("ending sessions");
        let ended = Mutex::new(Vec::new());
        let (clock, randomness) = (&SystemClock, &SystemRandomness);
        let ending = EndSessions { store, clock, randomness, reason: Reason::Operator, until: None };
        for client in clients {
            let told = |key: &SessionKey| {
                let session =
                    EndedSession { key: *key, client_id: Some(client.clone()), subject: Some(subject.clone()) };
                progress.suspend(|| session.record());
                progress.inc(1);
                ended.lock().unwrap_or_else(PoisonError::into_inner).push(session);
            };
            let answer = ending.of(&Owner::of(client, subject), &told).await;
            answer.map_err(|failure| self.stopped(failure, &ended))?;
        }
        progress.finish_and_clear();
        let mut ended = ended.into_inner().unwrap_or_else(PoisonError::into_inner);
        ended.sort_by(|one, other| (&one.client_id, one.key).cmp(&(&other.client_id, other.key)));
        Ok(ended)
    }

    fn stopped(&self, failure: use_case::Failure, ended: &Mutex<Vec<EndedSession>>) -> Failure {
        let count = ended.lock().unwrap_or_else(PoisonError::into_inner).len();
        match failure {
            use_case::Failure::Unavailable(failed) | use_case::Failure::Unrepeatable(failed) if count == 0 => {
                self.query.location.explain(failed)
            }
            use_case::Failure::Unavailable(failed) | use_case::Failure::Unrepeatable(failed) => {
                self.query.location.fail(format!(
                    "{failed}. {} ended before that; run the same command again for the rest",
                    counted(count, "was", "were")
                ))
            }
            use_case::Failure::Refused(refusal) => self.query.location.fail(format!("{refusal:?}")),
        }
    }

    fn would_end(&self, sessions: &[Session], known: &Known, now: Timestamp) -> Result<(), Failure> {
        let shown: Vec<Shown<'_>> = sessions.iter().map(|session| Shown::new(session, known, now)).collect();
        if self.query.json {
            return print(&format!("{}\n", json!({"would_end": shown.len(), "sessions": shown})));
        }
        if shown.is_empty() {
            eprintln!("{}", self.query.nothing_found());
            return Ok(());
        }
        print(&as_table(&shown))?;
        eprintln!("{} be ended; without --dry-run they are", counted(shown.len(), "would", "would"));
        Ok(())
    }

    fn print(&self, ended: &[EndedSession]) -> Result<(), Failure> {
        let sessions: Vec<_> = ended.iter().map(EndedSession::told).collect();
        print(&format!("{}\n", json!({"ended": ended.len(), "sessions": sessions})))
    }

    fn tell(&self, ended: &[EndedSession]) -> Result<(), Failure> {
        if self.query.json {
            return self.print(ended);
        }
        if ended.is_empty() {
            eprintln!("{}", self.query.nothing_found());
            return Ok(());
        }
        print(&table(["SESSION_ID", "SUBJECT", "CLIENT", "STATE"], ended.iter().map(EndedSession::row)))?;
        eprintln!(
            "{} ended; access tokens that are out stay good until their exp wherever they are verified offline",
            counted(ended.len(), "", "").trim_end()
        );
        Ok(())
    }
}

/// `1 session was`, `2 sessions were`.
fn counted(count: usize, one: &str, more: &str) -> String {
    match count {
        1 => format!("1 session {one}"),
        count => format!("{count} sessions {more}"),
    }
}

/// A session that was ended here: by its key alone, so no more is known of it than what was asked for.
struct EndedSession {
    key: SessionKey,
    client_id: Option<ClientId>,
    subject: Option<Subject>,
}

/// The same as JSON.
#[derive(Serialize)]
struct ToldSession<'a> {
    session_id: String,
    /// The audit trail's name for it.
    session: String,
    state: &'static str,
    revoked_reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
}

impl EndedSession {
    /// The audit line, as a function would have written it.
    fn record(&self) {
        let mut event = Event::new(EventKind::SessionRevoked).because(Reason::Operator);
        event.session = Some(self.key.audit_name());
        if let Some(client) = &self.client_id {
            event = event.client(client);
        }
        if let Some(subject) = &self.subject {
            event = event.subject(subject);
        }
        tracing::subscriber::with_default(telemetry::subscriber(io::stderr, "off"), || {
            RequestAudit::of_invocation("command", format!("command-{}", std::process::id())).record(&event);
        });
    }

    fn told(&self) -> ToldSession<'_> {
        ToldSession {
            session_id: self.key.to_string(),
            session: self.key.audit_name(),
            state: "revoked",
            revoked_reason: Reason::Operator.name(),
            client_id: self.client_id.as_ref().map(ClientId::as_str),
            subject: self.subject.as_ref().map(Subject::as_str),
        }
    }

    fn row(&self) -> [String; 4] {
        let subject = self.subject.as_ref().map(|subject| subject.as_str().to_owned());
        let client = self.client_id.as_ref().map(ToString::to_string);
        [
            self.key.to_string(),
            subject.unwrap_or_default(),
            client.unwrap_or_default(),
            format!("revoked ({})", Reason::Operator.name()),
        ]
    }
}

impl Query {
    /// That it says which sessions and where; a command line that names neither may have meant all of somebody's.
    fn check(&self) -> Result<(), Failure> {
        let Self { selection, location, .. } = self;
        let missing = if selection.subject.is_none() && selection.session.is_none() {
            "which sessions? --subject SUBJECT or --session SESSION_ID; `latchkey sessions revoke --help` tells how all of \
             a client or an issuer are ended"
        } else if location.table.is_none() && location.data.is_none() {
            "where are the sessions? --table NAME or --data DIR"
        } else {
            return Ok(());
        };
        Err(Failure::Usage(missing.into()))
    }

    /// The registrations, from where the arguments say they are, or beside a data directory's sessions.
    fn registrations(&self) -> Result<Option<Registrations>, Failure> {
        let Self { location, selection, clients, .. } = self;
        let default = || Some(location.data.as_ref()?.join("clients.json")).filter(|path| path.exists());
        let place = match (&clients.clients, &clients.clients_secret) {
            (Some(path), _) => Some(Place::File(path.clone())),
            (None, Some(id)) => Some(Place::Secret(id.clone())),
            (None, None) => default().map(Place::File),
        };
        let is_needed = selection.session.is_none() && clients.client.is_empty();
        if !is_needed {
            // A faulty document must not stand in the way of ending a session.
            return Ok(place.and_then(|place| place.registrations().ok()));
        }
        place.map(|place| place.registrations()).transpose()
    }

    /// The clients at which to look for a subject; none are needed for a session, whose id says where it is.
    fn client_ids(&self, known: &Known) -> Result<Vec<ClientId>, Failure> {
        if self.selection.session.is_some() || !self.clients.client.is_empty() {
            return Ok(self.clients.client.clone());
        }
        let Some(registrations) = &known.0 else {
            return Err(Failure::Usage(
                "the table keeps sessions by client: name the clients with --client CLIENT_ID, or where they are \
                 registered with --clients FILE or --clients-secret ID"
                    .into(),
            ));
        };
        Ok(registrations.client_ids())
    }

    fn nothing_found(&self) -> String {
        let location = &self.location;
        match &self.selection.subject {
            Some(subject) => format!(
                "{location} has no session of {:?} at these clients that could let somebody in",
                subject.as_str()
            ),
            None => format!("{location} has no such session"),
        }
    }
}

/// The registrations, where the command has been told of them: they say which sessions are over by an epoch.
struct Known(Option<Registrations>);

impl Known {
    fn epochs(&self, session: &Session) -> Epochs {
        // One that cannot be read ends nothing here: the session is shown, and can be ended.
        self.0.as_ref().and_then(|known| known.epochs(&session.client_id).ok()).unwrap_or_default()
    }

    /// Whether the session can still let somebody in.
    fn is_going(&self, session: &Session, now: Timestamp) -> bool {
        session.standing(&self.epochs(session), now).is_some()
    }
}

impl Selection {
    /// Oldest first.
    async fn find(&self, store: &DynamoDbSessions, clients: &[ClientId]) -> Result<Vec<Session>, Unavailable> {
        let mut sessions = Vec::new();
        if let Some(key) = &self.session {
            sessions.extend(store.read(key).await?);
        }
        if let Some(subject) = &self.subject {
            let progress = progress::counted("asking for clients' sessions", clients.len());
            for client in clients {
                sessions.extend(store.list(&Owner::of(client, subject)).await?);
                progress.inc(1);
            }
            progress.finish_and_clear();
        }
        sessions.sort_by_key(|session| (session.issued_at, session.key));
        Ok(sessions)
    }
}

impl Selection {
    /// Sessions of the subject that could be ended but whose records cannot be read.
    async fn unreadable(
        &self,
        store: &DynamoDbSessions,
        clients: &[ClientId],
        readable: &[Session],
        now: Timestamp,
    ) -> Result<Vec<SessionKey>, Unavailable> {
        let readable: BTreeSet<SessionKey> = readable.iter().map(|session| session.key).collect();
        let mut unreadable = Vec::new();
        for (client, subject) in clients.iter().filter_map(|client| Some((client, self.subject.as_ref()?))) {
            let owner = Owner::of(client, subject);
            let mut after = Some(Sid::last_over_at(now));
            while let Some(sid) = after {
                let page = store.keys(&owner, &sid).await?;
                unreadable.extend(page.items.into_iter().filter(|key| !readable.contains(key)));
                after = page.next;
            }
        }
        Ok(unreadable)
    }
}

impl TableLocation {
    async fn open(&self) -> Result<DynamoDbSessions, Failure> {
        let Some(directory) = &self.data else {
            return Ok(DynamoDbSessions::new(&sdk::config().await, self.table.clone().unwrap_or_default()));
        };
        let path = directory.join(SESSIONS_FILE);
        if !path.exists() {
            return Err(self.fail(format!("has no {SESSIONS_FILE}: is it the --data of a `latchkey serve`?")));
        }
        let database = Database::new(&path.display().to_string()).map_err(|error| self.fail(error))?;
        let table = std::env::var("LATCHKEY_TABLE").ok().filter(|name| !name.is_empty());
        let sdk = dynamodb::embedded(database, None).await;
        Ok(DynamoDbSessions::new(&sdk, table.unwrap_or_else(|| Settings::LOCAL_TABLE.to_owned())))
    }

    fn fail(&self, detail: impl fmt::Display) -> Failure {
        Failure::Place { place: self.to_string(), detail: detail.to_string() }
    }

    /// What to look at when the table does not answer.
    fn explain(&self, failed: Unavailable) -> Failure {
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

/// A session as the operator sees it: what an issuer sees, and how it stands.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    listed: ListedSession,
    /// The audit trail's name for it.
    session: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_reason: Option<&'a str>,
    #[serde(skip)]
    record: &'a Session,
}

impl<'a> Shown<'a> {
    fn new(record: &'a Session, known: &Known, now: Timestamp) -> Self {
        let standing = record.standing(&known.epochs(record), now);
        let revocation = record.revocation.as_ref();
        Self {
            listed: ListedSession::from(record),
            session: record.key.audit_name(),
            state: match (revocation, standing) {
                (Some(_), _) => "revoked",
                (None, Some(standing)) => standing.name(),
                (None, None) if record.absolute_expires_at <= now => "expired",
                (None, None) => "before_epoch",
            },
            revoked_at: revocation.map(|revocation| revocation.at.unix_seconds()),
            revoked_reason: revocation.map(|revocation| revocation.reason.as_str()),
            record,
        }
    }

    fn state(&self) -> String {
        match self.revoked_reason {
            Some(reason) => format!("{} ({reason})", self.state),
            None => self.state.to_owned(),
        }
    }
}

fn as_table(sessions: &[Shown<'_>]) -> String {
    let row = |shown: &Shown<'_>| {
        let Session { key, subject, client_id, generation, issued_at, rotated_at, .. } = shown.record;
        [
            key.to_string(),
            subject.as_str().to_owned(),
            client_id.to_string(),
            generation.number().to_string(),
            issued_at.to_string(),
            rotated_at.to_string(),
            shown.record.ends_at().to_string(),
            shown.state(),
        ]
    };
    let heading = ["SESSION_ID", "SUBJECT", "CLIENT", "GEN", "ISSUED", "RENEWED", "ENDS", "STATE"];
    table(heading, sessions.iter().map(row))
}
