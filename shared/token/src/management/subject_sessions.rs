//! An issuer's view of its subjects' sessions: list them, end them.

use super::{
    caller::{Caller, CallerIdentification, identify},
    ending::{EndSessions, Ended},
    revoke::{Ending, end, record_end},
};
use crate::{
    audit::{Event, EventKind, Reason},
    failure::{Failure, Refusal, Unavailable},
    policy::{ENDING_SECONDS, Policy},
    ports::{Audit, Clock, DocumentSource, ListSessions, Randomness, ReadSession, RevokeSession},
    registrations::{Issuer, Registrations},
    session::{Session, Standing},
    values::{ClientId, DYNAMIC_CLIENTS, Owner, SessionKey, Sid, Subject, Timestamp},
};

/// Whose sessions: a subject's, at one client or at all of the issuer's.
pub struct SessionFilter {
    /// The user, as the external system names it.
    pub subject: Subject,
    /// The one client. `None`: all clients of the issuer. A client that is not the issuer's is refused with
    /// [`Refusal::UnauthorizedClient`].
    pub client_id: Option<String>,
}

const FOREIGN_NEXT: &str = "next is of no answer to this query";

/// How many sessions a page has at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimit(usize);

impl PageLimit {
    /// No page is longer.
    pub const MAX: Self = Self(1000);

    /// `None` unless it is from 1 to 1000.
    pub fn new(limit: usize) -> Option<Self> {
        (1..=Self::MAX.0).contains(&limit).then_some(Self(limit))
    }
}

/// A page of a list of sessions.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedPage {
    /// The sessions, and how each stands.
    pub sessions: Vec<(Session, Standing)>,
    /// The last of them, if more come after it.
    pub next: Option<SessionKey>,
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
    /// A page of the sessions that can still let somebody in: by client, then by sid. `after` is the `next` of the page
    /// before; one that no page of this query can have is refused with [`Refusal::InvalidRequest`].
    pub async fn list(
        &self,
        caller: &CallerIdentification,
        filter: &SessionFilter,
        limit: PageLimit,
        after: Option<&SessionKey>,
    ) -> Result<ListedPage, Failure> {
        let now = self.clock.now();
        let documents = self.documents.current(now).await?;
        let issuer = self.issuer(&documents.registrations, caller, now)?;
        let Clients { known, unknown } = self.clients(issuer, &documents.registrations, filter)?;
        // A list says nothing of what it lacks.
        unknown.map_or(Ok(()), Err)?;
        let mut sessions: Vec<(Session, Standing)> = Vec::new();
        for (owner, client) in owners_from(known, &filter.subject, after)? {
            let epochs = documents.registrations.epochs(&client)?;
            let mut last = Sid::last_over_at(now);
            if let Some(after) = after.filter(|after| after.owner == owner) {
                last = last.max(after.sid);
            }
            loop {
                let wanted = (limit.0 + 1).saturating_sub(sessions.len());
                let page = self.store.page(&owner, &last, wanted).await?;
                let is_asked = |record: &Session| !is_one_registered(&client) || record.client_id == client;
                sessions.extend(page.items.into_iter().filter(is_asked).filter_map(|record| {
                    let standing = record.standing(&epochs, now)?;
                    Some((record, standing))
                }));
                if sessions.len() > limit.0 {
                    sessions.truncate(limit.0);
                    let next = sessions.last().map(|(session, _)| session.key);
                    return Ok(ListedPage { sessions, next });
                }
                match page.next {
                    Some(next) => last = next,
                    None => break,
                }
            }
        }
        Ok(ListedPage { sessions, next: None })
    }

    /// Ends them all, idle or not, for as long as a request may. A session that is issued meanwhile may escape. Where it
    /// cannot be read whether clients are the issuer's that have registered themselves, all others' are ended before it fails.
    pub async fn end_all(&self, caller: &CallerIdentification, filter: &SessionFilter) -> Result<Ended, Failure> {
        let now = self.clock.now();
        let documents = self.documents.current(now).await?;
        let issuer = self.issuer(&documents.registrations, caller, now)?;
        let caller = Caller::Issuer(issuer);
        let Self { store, clock, randomness, .. } = *self;
        let ending =
            EndSessions { store, clock, randomness, reason: caller.reason(), until: Some(now.plus(ENDING_SECONDS)) };
        let name = documents.keys.audit_name(&filter.subject);
        let mut all = Ended::default();
        let Clients { known, unknown } = self.clients(issuer, &documents.registrations, filter)?;
        for client in known {
            let told = |key: &SessionKey| {
                let session = Ending { key, client_id: &client, subject_name: name.clone() };
                record_end(self.audit, caller, session);
            };
            // Keys do not tell sessions of those apart that have registered themselves: their records do.
            let only = is_one_registered(&client).then_some(&client);
            let ended = ending.of(&Owner::of(&client, &filter.subject), only, &told).await?;
            all.count += ended.count;
            if ended.has_more {
                return Ok(Ended { has_more: true, ..all });
            }
        }
        // What is certainly the issuer's has ended all the same.
        unknown.map_or(Ok(all), |unavailable| Err(unavailable.into()))
    }

    /// Ends one, idle or not; 0 if it is unknown, another issuer's, or over. A record that cannot be read is ended as well,
    /// if it still says whose it is.
    pub async fn end_one(&self, caller: &CallerIdentification, key: &SessionKey) -> Result<usize, Failure> {
        let now = self.clock.now();
        let documents = self.documents.current(now).await?;
        let issuer = self.issuer(&documents.registrations, caller, now)?;
        let record = self.store.read(key).await;
        let whose = match &record {
            Ok(record) => record.as_ref().map(|record| (record.client_id.clone(), record.subject.clone())),
            Err(_) => self.store.whose(key).await?,
        };
        let registrations = &documents.registrations;
        let Some((client_id, subject)) = whose else { return Ok(0) };
        let is_known = client_id.is_dynamic() || registrations.is_client(&client_id);
        if !is_known || !registrations.is_client_of(&client_id, issuer)? {
            return Ok(0);
        }
        let is_going = match record {
            Ok(record) => {
                let epochs = registrations.epochs(&client_id)?;
                record.is_some_and(|record| record.standing(&epochs, now).is_some())
            }
            // The write finds out whether it has been revoked.
            Err(_) => now < key.sid.absolute_expires_at(),
        };
        if !is_going {
            return Ok(0);
        }
        let caller = Caller::Issuer(issuer);
        let subject_name = documents.keys.audit_name(&subject);
        let session = Ending { key, client_id: &client_id, subject_name };
        Ok(usize::from(end(self.store, self.randomness, self.audit, caller, session, now).await?))
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

    /// In their order: pages follow it. One whose registration is faulty is among them: its id is all that is needed here.
    /// All that have registered themselves are one of them, unless one is asked for.
    fn clients(
        &self,
        issuer: &Issuer,
        registrations: &Registrations,
        filter: &SessionFilter,
    ) -> Result<Clients, Failure> {
        let own = issuer.clients.iter().filter(|id| registrations.is_client(id)).cloned();
        let asked = filter.client_id.as_deref();
        let (are_own, unknown) = match registrations.has_registered_clients(issuer) {
            Ok(are_own) => (are_own, None),
            Err(unavailable) => (false, Some(unavailable)),
        };
        let all = own.chain(are_own.then(ClientId::of_dynamic_clients));
        let Some(asked) = asked else {
            let mut known: Vec<_> = all.collect();
            known.sort();
            // Who has no sign_in_url signs nobody in.
            return Ok(Clients { known, unknown: unknown.filter(|_| issuer.sign_in_url.is_some()) });
        };
        if let Some(unavailable) = unknown.filter(|_| asked.starts_with(DYNAMIC_CLIENTS)) {
            return Err(unavailable.into());
        }
        let asked = ClientId::parse(asked);
        // An id that nobody has is no fault: its registration may be over, and its sessions are not yet.
        let is_asked =
            |own: &ClientId| asked.as_ref().is_some_and(|asked| own == asked || own.is_dynamic() && asked.is_dynamic());
        match asked.clone().filter(|_| all.into_iter().any(|own| is_asked(&own))) {
            Some(asked) => Ok(Clients { known: vec![asked], unknown: None }),
            None => {
                let event = Event::new(EventKind::ClientRejected).issuer(&issuer.issuer_id);
                self.audit.record(&event.because(Reason::IssuerMayNotActForClient));
                Err(Refusal::UnauthorizedClient.into())
            }
        }
    }
}

/// The clients of a query.
struct Clients {
    known: Vec<ClientId>,
    /// Those that have registered themselves may be among them.
    unknown: Option<Unavailable>,
}

/// Whether `client` is one of those that have registered themselves, and not all of them.
fn is_one_registered(client: &ClientId) -> bool {
    client.is_dynamic() && client.as_str() != DYNAMIC_CLIENTS
}

/// The owners of a query in the order of its pages, from the one of `after` on.
fn owners_from(
    clients: Vec<ClientId>,
    subject: &Subject,
    after: Option<&SessionKey>,
) -> Result<Vec<(Owner, ClientId)>, Refusal> {
    let owned = clients.into_iter().map(|client| (Owner::of(&client, subject), client));
    let is_before = |owner: &Owner| after.is_some_and(|after| after.owner != *owner);
    let owners: Vec<_> = owned.skip_while(|(owner, _)| is_before(owner)).collect();
    match after {
        Some(_) if owners.is_empty() => Err(Refusal::InvalidRequest(FOREIGN_NEXT.into())),
        _ => Ok(owners),
    }
}
