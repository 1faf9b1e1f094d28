//! `latchkey sessions`: what the table knows of a subject or a session, and ending it, with the store code of the
//! functions.

use std::{
    collections::BTreeSet,
    io,
    sync::{Mutex, PoisonError},
};

use clap::{Args, Subcommand};
use latchkey_token::{
    audit::{Event, EventKind, Reason},
    failure::{self as use_case, Unavailable},
    keys::AuditKey,
    management::EndSessions,
    ports::{Audit, Clock, ListSessions, Randomness, ReadSession, RevokeSession},
    registrations::{Epochs, Registrations},
    session::{Revocation, RevocationId, Session},
    values::{ClientId, Owner, SessionKey, Sid, Subject, Timestamp},
};
use latchkey_token_aws::DynamoDbSessions;
use latchkey_token_lambda::{
    system::{SystemClock, SystemRandomness},
    telemetry::{self, RequestAudit},
};
use serde::Serialize;
use serde_json::json;
use sessions::ListedSession;

use super::{
    documents::{AllSessions, AuditKeyLocation},
    table::{RegistrationsLocation, TableLocation},
};
use crate::console::{Failure, NamedSession, block_on, client_id, named_session, print, progress, subject, table};

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
  latchkey sessions list --table latchkey --session SESSION_ID
  latchkey sessions list --data .latchkey --subject alice --session 0123456789abcdef")]
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
/// has seen it, so keep it where the audit trail is kept. It names the user where the command has the audit key.
#[derive(Args)]
#[command(after_help = "Examples:
  latchkey sessions revoke --table latchkey --client librechat --subject alice --dry-run
  latchkey sessions revoke --table latchkey --client librechat --subject alice
  latchkey sessions revoke --table latchkey --session SESSION_ID --json
  latchkey sessions revoke --table latchkey --client librechat --subject alice --session 0123456789abcdef
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
    #[command(flatten)]
    audit_key: AuditKeyLocation,
}

/// Which sessions.
#[derive(Args)]
#[command(next_help_heading = "Which sessions")]
struct Selection {
    /// All sessions of this user, as the external system names it
    #[arg(long, value_parser = subject)]
    subject: Option<Subject>,
    /// The session with this id: 43 characters, as in a token's `sid` and in answers' `session_id`. Or, with --subject, the
    /// one of this name in the audit trail ("session", 16 hex digits)
    #[arg(long, value_name = "SESSION", value_parser = named_session, allow_hyphen_values = true)]
    session: Option<NamedSession>,
}

/// What is asked for.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    Session(&'a SessionKey),
    /// A subject's sessions: all, or the one that the audit trail names so.
    Of(&'a Subject, Option<&'a str>),
}

impl Wanted<'_> {
    fn includes(&self, key: &SessionKey) -> bool {
        match self {
            Self::Session(wanted) => key == *wanted,
            Self::Of(_, name) => name.is_none_or(|name| key.audit_name() == name),
        }
    }
}

/// The table keeps sessions by client and subject together, so --subject needs to know the clients.
#[derive(Args)]
#[command(next_help_heading = "At which clients, with --subject (one of them)")]
struct Clients {
    /// These clients; needed for one that is not registered any more
    #[arg(
        long, value_name = "CLIENT_ID", num_args = 1.., value_parser = client_id,
        conflicts_with_all = ["clients", "clients_secret"]
    )]
    client: Vec<ClientId>,
    #[command(flatten)]
    registered: RegistrationsLocation,
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
        let wanted = query.wanted()?;
        let known = Known(query.registrations(wanted)?);
        let clients = query.client_ids(wanted, &known)?;
        let (sessions, unreadable) = block_on(async {
            let store = query.location.open().await?;
            let found = wanted.find(&store, &clients).await;
            let found = match (found, wanted) {
                (Err(failed), Wanted::Session(key)) if store.has_record(key).await.is_ok_and(|is_there| is_there) => {
                    return Err(query.location.fail(format!(
                        "the record of session {key} cannot be read: {}; `sessions revoke` ends it like any other",
                        failed.detail
                    )));
                }
                (found, _) => found.map_err(|failed| query.location.explain(failed))?,
            };
            let unreadable = wanted.unreadable(&store, &clients, &found, now).await;
            Ok::<_, Failure>((found, unreadable.map_err(|failed| query.location.explain(failed))?))
        })?;
        for (key, _) in unreadable {
            eprintln!(
                "the record of session {key} cannot be read, so it is not listed; `sessions revoke` ends it like any other"
            );
        }
        let is_shown =
            |session: &&Session| query.selection.session.is_some() || self.all || known.is_going(session, now);
        let shown: Vec<Shown<'_>> =
            sessions.iter().filter(is_shown).map(|session| Shown::new(session, &known, now)).collect();
        if self.query.json {
            return print(&format!("{}\n", json!({"sessions": shown})));
        }
        if shown.is_empty() {
            eprintln!("{}", self.query.nothing_found(wanted));
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
        let wanted = query.wanted()?;
        let known = Known(query.registrations(wanted)?);
        let clients = query.client_ids(wanted, &known)?;
        let audit = CommandAudit(query.audit_key.key_if_any(query.location.data()));
        block_on(async {
            let store = query.location.open().await?;
            match wanted {
                Wanted::Session(key) => self.one(&store, *key, None, &known, &audit, now).await,
                Wanted::Of(subject, Some(_)) => {
                    let named = wanted.going(&store, &clients, now).await;
                    match named.map_err(|failed| query.location.explain(failed))?.first() {
                        Some((key, client)) => {
                            self.one(&store, *key, Some((client, subject)), &known, &audit, now).await
                        }
                        None => self.tell(wanted, &[]),
                    }
                }
                Wanted::Of(..) if self.dry_run => self.would_end_all(&store, wanted, &clients, &known, now).await,
                Wanted::Of(subject, None) => {
                    let ended = self.all(&store, &clients, subject, &audit).await?;
                    self.tell(wanted, &ended)
                }
            }
        })
    }

    /// One session; of which client and subject, where that is known without its record.
    async fn one(
        &self,
        store: &DynamoDbSessions,
        key: SessionKey,
        owned_by: Option<(&ClientId, &Subject)>,
        known: &Known,
        audit: &CommandAudit,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let location = &self.query.location;
        let record = match store.read(&key).await {
            Ok(Some(record)) => Some(record),
            Ok(None) => {
                return Err(location.fail(format!(
                    "there is no session {key} in it: check the id, and that it is the right table. Records go a day after \
                     the last of their tokens"
                )));
            }
            // It may be the record that cannot be read: its session can be ended all the same.
            Err(_) if !self.dry_run => None,
            Err(_) if store.has_record(&key).await.is_ok_and(|is_there| is_there) => {
                return self.would_end(Wanted::Session(&key), &[], &[key], known, now);
            }
            Err(failed) => return Err(location.explain(failed)),
        };
        if let Some(record) = record.as_ref().filter(|record| !known.is_going(record, now)) {
            eprintln!("nothing to end: the session is over already: {}", Shown::new(record, known, now).state());
            return if self.query.json { self.print(&[]) } else { Ok(()) };
        }
        let wanted = Wanted::Session(&key);
        if let (true, Some(record)) = (self.dry_run, &record) {
            return self.would_end(wanted, std::slice::from_ref(record), &[], known, now);
        }
        let mut id = [0; 16];
        SystemRandomness.fill(&mut id)?;
        let revocation = Revocation::new(now, Reason::Operator, RevocationId::from_bytes(id));
        let outcome = store.revoke(&key, &revocation).await.map_err(|failed| location.explain(failed))?;
        let owner = record.map(|record| (record.client_id, record.subject));
        let owner = owner.or(owned_by.map(|(client, subject)| (client.clone(), subject.clone())));
        let (client_id, subject) = owner.unzip();
        let ended = EndedSession { key, client_id, subject };
        if !outcome.is_done() {
            return self.tell(wanted, &[]);
        }
        audit.record(&ended);
        self.tell(wanted, &[ended])
    }

    async fn would_end_all(
        &self,
        store: &DynamoDbSessions,
        wanted: Wanted<'_>,
        clients: &[ClientId],
        known: &Known,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let explain = |failed| self.query.location.explain(failed);
        let mut found = wanted.find(store, clients).await.map_err(explain)?;
        let unreadable = wanted.unreadable(store, clients, &found, now).await.map_err(explain)?;
        let unreadable: Vec<SessionKey> = unreadable.into_iter().map(|(key, _)| key).collect();
        found.retain(|session| known.is_going(session, now));
        self.would_end(wanted, &found, &unreadable, known, now)
    }

    /// Goes on until all are ended, however many they are.
    async fn all(
        &self,
        store: &DynamoDbSessions,
        clients: &[ClientId],
        subject: &Subject,
        audit: &CommandAudit,
    ) -> Result<Vec<EndedSession>, Failure> {
        let progress = progress::endless("ending sessions");
        let ended = Mutex::new(Vec::new());
        let (clock, randomness) = (&SystemClock, &SystemRandomness);
        let ending = EndSessions { store, clock, randomness, reason: Reason::Operator, until: None };
        for client in clients {
            let told = |key: &SessionKey| {
                let session =
                    EndedSession { key: *key, client_id: Some(client.clone()), subject: Some(subject.clone()) };
                progress.suspend(|| audit.record(&session));
                progress.inc(1);
                ended.lock().unwrap_or_else(PoisonError::into_inner).push(session);
            };
            let answer = ending.of(&Owner::of(client, subject), None, &told).await;
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

    fn would_end(
        &self,
        wanted: Wanted<'_>,
        sessions: &[Session],
        unreadable: &[SessionKey],
        known: &Known,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let shown: Vec<Shown<'_>> = sessions.iter().map(|session| Shown::new(session, known, now)).collect();
        for key in unreadable {
            eprintln!("session {key} would be ended as well, though its record cannot be read");
        }
        let count = shown.len() + unreadable.len();
        if self.query.json {
            return print(&format!("{}\n", json!({"would_end": count, "sessions": shown})));
        }
        if count == 0 {
            eprintln!("{}", self.query.nothing_found(wanted));
            return Ok(());
        }
        if !shown.is_empty() {
            print(&as_table(&shown))?;
        }
        eprintln!("{} be ended; without --dry-run they are", counted(count, "would", "would"));
        Ok(())
    }

    fn print(&self, ended: &[EndedSession]) -> Result<(), Failure> {
        let sessions: Vec<_> = ended.iter().map(EndedSession::told).collect();
        print(&format!("{}\n", json!({"ended": ended.len(), "sessions": sessions})))
    }

    fn tell(&self, wanted: Wanted<'_>, ended: &[EndedSession]) -> Result<(), Failure> {
        if self.query.json {
            return self.print(ended);
        }
        if ended.is_empty() {
            eprintln!("{}", self.query.nothing_found(wanted));
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
pub(super) struct EndedSession {
    pub(super) key: SessionKey,
    pub(super) client_id: Option<ClientId>,
    pub(super) subject: Option<Subject>,
}

/// The audit lines of the command, which go to standard error. Holds what gives subjects their names in them.
pub(super) struct CommandAudit(pub(super) Option<AuditKey>);

impl CommandAudit {
    /// The line of an ended session, as a function would have written it.
    pub(super) fn record(&self, session: &EndedSession) {
        let name = self.0.as_ref().zip(session.subject.as_ref()).map(|(key, subject)| key.name(subject));
        let mut event = Event::new(EventKind::SessionRevoked).because(Reason::Operator).subject(name);
        event.session = Some(session.key.audit_name());
        if let Some(client) = &session.client_id {
            event = event.client(client);
        }
        tracing::subscriber::with_default(telemetry::subscriber(io::stderr, "off"), || {
            RequestAudit::of_invocation("command", format!("command-{}", std::process::id())).record(&event);
        });
    }
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
    /// Which sessions, and that it says where; a command line that names neither may have meant all of somebody's.
    fn wanted(&self) -> Result<Wanted<'_>, Failure> {
        let Self { selection, clients, .. } = self;
        let usage = |text: &str| Err(Failure::Usage(text.to_owned()));
        let wanted = match (&selection.subject, &selection.session) {
            (None, None) => {
                return usage(
                    "which sessions? --subject SUBJECT or --session SESSION_ID; `latchkey sessions revoke --help` tells how \
                     all of a client or an issuer are ended",
                );
            }
            (None, Some(NamedSession::AuditName(_))) => {
                return usage(
                    "no id can be made of a session's name in the audit trail: say among whose sessions it is, with \
                     --subject SUBJECT",
                );
            }
            (Some(_), Some(NamedSession::Id(_))) => return usage("a session's id says whose it is: without --subject"),
            (None, Some(NamedSession::Id(_))) if !clients.client.is_empty() || clients.registered.is_given() => {
                return usage(
                    "a session's id says at which client it is: without --client, --clients, --clients-secret",
                );
            }
            (None, Some(NamedSession::Id(key))) => Wanted::Session(key),
            (Some(subject), Some(NamedSession::AuditName(name))) => Wanted::Of(subject, Some(name)),
            (Some(subject), None) => Wanted::Of(subject, None),
        };
        self.location.check()?;
        Ok(wanted)
    }

    fn registrations(&self, wanted: Wanted<'_>) -> Result<Option<Registrations>, Failure> {
        let registrations = self.clients.registered.registrations(&self.location);
        match wanted {
            Wanted::Of(..) if self.clients.client.is_empty() => registrations,
            // They are not needed: a faulty document must not stand in the way of ending a session.
            _ => Ok(registrations.ok().flatten()),
        }
    }

    /// The clients at which to look for a subject; none are needed for a session, whose id says where it is.
    fn client_ids(&self, wanted: Wanted<'_>, known: &Known) -> Result<Vec<ClientId>, Failure> {
        if matches!(wanted, Wanted::Session(_)) || !self.clients.client.is_empty() {
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

    fn nothing_found(&self, wanted: Wanted<'_>) -> String {
        let location = &self.location;
        match wanted {
            Wanted::Of(subject, None) => format!(
                "{location} has no session of {:?} at these clients that could let somebody in",
                subject.as_str()
            ),
            Wanted::Of(subject, Some(name)) => format!(
                "{location} has no session of {:?} at these clients that the audit trail names {name} and that could let \
                 somebody in",
                subject.as_str()
            ),
            Wanted::Session(_) => format!("{location} has no such session"),
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

impl Wanted<'_> {
    /// Oldest first; whatever their state, if they can be read.
    async fn find(&self, store: &DynamoDbSessions, clients: &[ClientId]) -> Result<Vec<Session>, Unavailable> {
        let mut sessions = Vec::new();
        match self {
            Self::Session(key) => sessions.extend(store.read(key).await?),
            Self::Of(subject, _) => {
                let progress = progress::counted("asking for clients' sessions", clients.len());
                for client in clients {
                    sessions.extend(store.list(&Owner::of(client, subject)).await?);
                    progress.inc(1);
                }
                progress.finish_and_clear();
                sessions.retain(|session| self.includes(&session.key));
            }
        }
        sessions.sort_by_key(|session| (session.issued_at, session.key));
        Ok(sessions)
    }

    /// Those of a subject that could be ended, whether or not their records can be read, each with its client.
    async fn going<'c>(
        &self,
        store: &DynamoDbSessions,
        clients: &'c [ClientId],
        now: Timestamp,
    ) -> Result<Vec<(SessionKey, &'c ClientId)>, Unavailable> {
        let Self::Of(subject, _) = self else { return Ok(Vec::new()) };
        let mut going = Vec::new();
        for client in clients {
            let mut after = Some(Sid::last_over_at(now));
            while let Some(sid) = after {
                let page = store.keys(&Owner::of(client, subject), &sid, None).await?;
                going.extend(page.items.into_iter().filter(|key| self.includes(key)).map(|key| (key, client)));
                after = page.next;
            }
        }
        Ok(going)
    }

    /// Those of them whose records cannot be read.
    async fn unreadable<'c>(
        &self,
        store: &DynamoDbSessions,
        clients: &'c [ClientId],
        readable: &[Session],
        now: Timestamp,
    ) -> Result<Vec<(SessionKey, &'c ClientId)>, Unavailable> {
        let readable: BTreeSet<SessionKey> = readable.iter().map(|session| session.key).collect();
        let mut going = self.going(store, clients, now).await?;
        going.retain(|(key, _)| !readable.contains(key));
        Ok(going)
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
