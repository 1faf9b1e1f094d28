//! The issuer that a ticket was sent to: the only one that may do anything with it.

use crate::{
    audit::{Event, EventKind, Reason},
    documents::Documents,
    failure::{Failure, Refusal},
    grants::authenticated_issuer,
    policy::Policy,
    ports::Audit,
    registrations::{Client, Credentials, Issuer},
    tickets::{Ticket, TicketKeys},
    values::Timestamp,
};

/// An issuer with a ticket of its own that is good now.
pub(super) struct TicketHolder<'d> {
    pub issuer: &'d Issuer,
    pub client: &'d Client,
    pub ticket: Ticket,
    pub keys: TicketKeys,
}

impl<'d> TicketHolder<'d> {
    /// Authenticates the issuer and opens its ticket; refuses, and records why.
    pub fn of(
        issuer: &[Credentials],
        ticket: &str,
        documents: &'d Documents,
        policy: &Policy,
        audit: &dyn Audit,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let registrations = &documents.registrations;
        let issuer = authenticated_issuer(registrations, issuer, audit)?;
        let event = Event::new(EventKind::SignInRejected).issuer(&issuer.issuer_id);
        let refused = |event: &Event, reason, refusal: Refusal| {
            audit.record(&event.clone().because(reason));
            Err(refusal.into())
        };
        let keys = TicketKeys::of(&documents.keys);
        let Some(ticket) = Ticket::open(ticket, &keys, &policy.issuer, now)? else {
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
        let is_own = issuer.clients.contains(&ticket.client_id);
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
