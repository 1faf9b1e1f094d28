//! The issuer that a ticket was sent to: the only one that may do anything with it.

use std::sync::Arc;

use crate::{
    audit::{Event, EventKind, Reason},
    documents::Documents,
    failure::{Failure, Refusal, Unavailable},
    grants::authenticated_issuer,
    policy::Policy,
    ports::{Audit, DocumentSource},
    registrations::{Client, Credentials, Issuer},
    tickets::{Ticket, TicketKeys},
    values::Timestamp,
};

/// A ticket as it came, opened, and the documents in which its client is known even if that has registered itself. Nothing
/// has been judged yet.
pub(super) struct OpenedTicket {
    pub documents: Arc<Documents>,
    keys: TicketKeys,
    ticket: Result<Option<Ticket>, Unavailable>,
}

impl OpenedTicket {
    pub async fn of<D: DocumentSource>(
        source: &D,
        ticket: &str,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Self, Unavailable> {
        let documents = source.current(now).await?;
        let keys = TicketKeys::of(&documents.keys);
        let ticket = Ticket::open(ticket, &keys, &policy.issuer, now);
        let client = ticket.as_ref().ok().and_then(|ticket| Some(ticket.as_ref()?.client_id.as_str()));
        Ok(Self { documents: documents.recognising(client, policy, now)?, keys, ticket })
    }
}

/// An issuer with a ticket of its own that is good now.
pub(super) struct TicketHolder<'d> {
    pub issuer: &'d Issuer,
    pub client: &'d Client,
    pub ticket: &'d Ticket,
    pub keys: &'d TicketKeys,
}

impl<'d> TicketHolder<'d> {
    /// Authenticates the issuer and looks at its ticket; refuses, and records why.
    pub fn of(
        issuer: &[Credentials],
        opened: &'d OpenedTicket,
        audit: &dyn Audit,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let OpenedTicket { documents, keys, ticket } = opened;
        let registrations = &documents.registrations;
        let issuer = authenticated_issuer(registrations, issuer, audit)?;
        let event = Event::new(EventKind::SignInRejected).issuer(&issuer.issuer_id);
        let refused = |event: &Event, reason, refusal: Refusal| {
            audit.record(&event.clone().because(reason));
            Err(refusal.into())
        };
        let Some(ticket) = ticket.as_ref().map_err(Unavailable::clone)? else {
            let text = "ticket is none of this deployment's: send it as it came";
            return refused(&event, Reason::TicketInvalid, Refusal::InvalidRequest(text.into()));
        };
        let event = event.client(&ticket.client_id);
        if ticket.issuer_id != issuer.issuer_id {
            return refused(&event, Reason::TicketOfAnotherIssuer, Refusal::UnauthorizedClient);
        }
        if ticket.expires_at() <= now {
            let text = "ticket has expired: the user has to begin again at the client";
            return refused(&event, Reason::TicketExpired, Refusal::InvalidRequest(text.into()));
        }
        let is_own = registrations.is_client_of(&ticket.client_id, issuer)?;
        let client = if is_own { registrations.client(ticket.client_id.as_str())? } else { None };
        let Some(client) = client else {
            return refused(&event, Reason::IssuerMayNotActForClient, Refusal::UnauthorizedClient);
        };
        Ok(Self { issuer, client, ticket, keys })
    }

    /// An event about this sign-in.
    pub fn event(&self, kind: EventKind) -> Event {
        Event::new(kind).client(&self.client.client_id).issuer(&self.issuer.issuer_id)
    }
}
