//! An issuer's view of its subjects' sessions: list them, end them.

use super::{
    caller::{Caller, CallerIdentification, identify},
    revoke::end,
};
use crate::{
    audit::{Event, EventKind, Reason},
    failure::{Failure, Refusal},
    policy::Policy,
    ports::{Audit, Clock, DocumentSource, ListSessions, Randomness, ReadSession, RevokeSession},
    registrations::{Client, Issuer, Registrations},
    session::{Session, Standing},
    values::{Owner, SessionKey, Subject, Timestamp},
};

/// Whose sessions: a subject's, at one client or at all of the issuer's.
pub struct SessionFilter {
    /// The user, as the external system names it.
    pub subject: Subject,
    /// The one client. `None`: all clients of the issuer. A client that is not the issuer's is refused with
    /// [`Refusal::UnauthorizedClient`].
    pub client_id: Option<String>,
}

/// What the use cases need.
pub struct SubjectSessions<'a, S, D> {
    /// Where sessions are listed, read and ended.
    pub store: &'a S,
    /// Where the registrations come from.
    pub documents: &'a D,
    /// The deployment's settings: what a client's assertion is checked against.
    pub policy: &'a Policy,
    /// The time; read once per request.
    pub clock: &'a dyn Clock,
    /// Where new random bytes come from.
    pub randomness: &'a dyn Randomness,
    /// Where ended sessions and refusals are recorded.
    pub audit: &'a dyn Audit,
}

impl<S: ListSessions + ReadSession + RevokeSession, D: DocumentSource> SubjectSessions<'_, S, D> {
    /// The sessions that can still let somebody in, oldest first.
    pub async fn list(
        &self,
        caller: &CallerIdentification,
        filter: &SessionFilter,
    ) -> Result<Vec<(Session, Standing)>, Failure> {
        let now = self.clock.now();
        let documents = self.documents.current(now).await?;
        let issuer = self.issuer(&documents.registrations, caller, now)?;
        self.going(issuer, &documents.registrations, filter, now).await
    }

    /// Ends them all; how many were still going. A session that is issued meanwhile may escape.
    pub async fn end_all(&self, caller: &CallerIdentification, filter: &SessionFilter) -> Result<usize, Failure> {
        let now = self.clock.now();
        let documents = self.documents.current(now).await?;
        let issuer = self.issuer(&documents.registrations, caller, now)?;
        let mut ended = 0;
        for (session, _) in self.going(issuer, &documents.registrations, filter, now).await? {
            ended += usize::from(
                end(self.store, self.randomness, self.audit, Caller::Issuer(issuer), (&session).into(), now).await?,
            );
        }
        Ok(ended)
    }

    /// Ends one, idle or not; 0 if it is unknown, another issuer's, or over.
    pub async fn end_one(&self, caller: &CallerIdentification, key: &SessionKey) -> Result<usize, Failure> {
        let now = self.clock.now();
        let documents = self.documents.current(now).await?;
        let issuer = self.issuer(&documents.registrations, caller, now)?;
        let Some(record) = self.store.read(key).await? else { return Ok(0) };
        let own = issuer.clients.contains(&record.client_id).then_some(&record.client_id);
        let client = own.and_then(|id| documents.registrations.client(id.as_str()));
        let epochs = client.map(|client| documents.registrations.epochs(client));
        if epochs.is_none_or(|epochs| record.standing(&epochs, now).is_none()) {
            return Ok(0);
        }
        let caller = Caller::Issuer(issuer);
        Ok(usize::from(end(self.store, self.randomness, self.audit, caller, (&record).into(), now).await?))
    }

    fn issuer<'r>(
        &self,
        registrations: &'r Registrations,
        caller: &CallerIdentification,
        now: Timestamp,
    ) -> Result<&'r Issuer, Failure> {
        match identify(registrations, caller, self.policy, now, self.audit)? {
            Caller::Issuer(issuer) => Ok(issuer),
            Caller::Client(client) => {
                let event = Event::new(EventKind::ClientRejected).client(&client.client_id);
                self.audit.record(&event.because(Reason::NotAnIssuer));
                Err(Refusal::InvalidClient.into())
            }
        }
    }

    async fn going(
        &self,
        issuer: &Issuer,
        registrations: &Registrations,
        filter: &SessionFilter,
        now: Timestamp,
    ) -> Result<Vec<(Session, Standing)>, Failure> {
        let mut sessions = Vec::new();
        for client in self.clients(issuer, registrations, filter)? {
            let epochs = registrations.epochs(client);
            let records = self.store.list(&Owner::of(&client.client_id, &filter.subject)).await?;
            sessions.extend(records.into_iter().filter_map(|record| {
                let standing = record.standing(&epochs, now)?;
                Some((record, standing))
            }));
        }
        sessions.sort_by_key(|(session, _)| (session.issued_at, session.key));
        Ok(sessions)
    }

    fn clients<'r>(
        &self,
        issuer: &Issuer,
        registrations: &'r Registrations,
        filter: &SessionFilter,
    ) -> Result<Vec<&'r Client>, Failure> {
        let mut own = issuer.clients.iter().filter_map(|id| registrations.client(id.as_str()));
        let Some(id) = &filter.client_id else { return Ok(own.collect()) };
        match own.find(|client| client.client_id.as_str() == id) {
            Some(client) => Ok(vec![client]),
            None => {
                let event = Event::new(EventKind::ClientRejected).issuer(&issuer.issuer_id);
                self.audit.record(&event.because(Reason::IssuerMayNotActForClient));
                Err(Refusal::UnauthorizedClient.into())
            }
        }
    }
}
