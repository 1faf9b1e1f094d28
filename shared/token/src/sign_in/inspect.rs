//! What a ticket asks for: the portal's way to know it, since an address says what its visitor likes.

use super::ticket_holder::TicketHolder;
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
    /// Seconds.
    pub expires_in: i64,
}

impl<D: DocumentSource> Inspect<'_, D> {
    /// Opens a ticket for the issuer that it was sent to. Writes nothing.
    pub async fn run(&self, issuer: &[Credentials], ticket: &str) -> Result<Inspected, Failure> {
        let now = self.clock.now();
        let documents = self.documents.current(now).await?;
        let TicketHolder { ticket, .. } = TicketHolder::of(issuer, ticket, &documents, self.policy, self.audit, now)?;
        let expires_in = ticket.expires_at().millis_since(now).div_euclid(1000);
        Ok(Inspected { ticket, expires_in })
    }
}
