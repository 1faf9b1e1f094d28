//! What a ticket asks for: the portal's way to know it, since an address says what its visitor likes.

use super::ticket_holder::{OpenedTicket, TicketHolder};
use crate::{
    failure::Failure,
    policy::Policy,
    ports::{Audit, Clock, DocumentSource},
    registrations::Credentials,
    tickets::Ticket,
};

/// What inspecting needs.
pub struct Inspect<'a, D> {
    /// Where key ring and registrations come from.
    pub documents: &'a D,
    /// The deployment's settings.
    pub policy: &'a Policy,
    /// The time; read once per request.
    pub clock: &'a dyn Clock,
    /// Where refusals are recorded.
    pub audit: &'a dyn Audit,
}

/// A ticket, and for how long it is good.
pub struct Inspected {
    /// What was asked for.
    pub ticket: Ticket,
    /// Whether the client has registered itself: then the user is to be asked.
    pub is_registered: bool,
    /// Seconds.
    pub expires_in: i64,
}

impl<D: DocumentSource> Inspect<'_, D> {
    /// Opens a ticket for the issuer that it was sent to. Writes nothing.
    pub async fn run(&self, issuer: &[Credentials], ticket: &str) -> Result<Inspected, Failure> {
        let now = self.clock.now();
        let opened = OpenedTicket::of(self.documents, ticket, self.policy, now).await?;
        let TicketHolder { ticket, client, .. } = TicketHolder::of(issuer, &opened, self.audit, now)?;
        let expires_in = ticket.expires_at().millis_since(now).div_euclid(1000);
        Ok(Inspected { ticket: ticket.clone(), is_registered: client.is_registered(), expires_in })
    }
}
