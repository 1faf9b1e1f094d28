//! Ticket keys and registrations, as the function that begins and finishes sign-ins gets them.

use std::sync::Arc;

use latchkey_token::{
    documents::{Observer, SignInDocuments},
    failure::Unavailable,
    json::{Faults, Reading},
    ports::SignInDocumentSource,
    tickets::TicketKeys,
    values::{Seconds, Timestamp},
};

use crate::{
    documents::CachedDocuments,
    secrets::{Cached, Clients, Document, SecretText},
};

/// The secret `ticket-keys`: what sign-ins are sealed with.
pub enum TicketKeySecret {}

impl Document for TicketKeySecret {
    type Read = TicketKeys;

    const NAME: &'static str = "ticket-keys";

    fn read(text: &str) -> Result<Reading<TicketKeys>, Faults> {
        TicketKeys::read(text)
    }
}

/// Ticket keys and registrations, each cached for itself.
pub struct CachedSignInDocuments {
    ticket_keys: Cached<TicketKeySecret>,
    registrations: Cached<Clients>,
}

impl CachedSignInDocuments {
    /// An empty cache: nothing is loaded yet. What has been loaded counts as fresh for `ttl_seconds`.
    pub fn new(ticket_keys: SecretText, clients: SecretText, ttl_seconds: Seconds) -> Self {
        Self { ticket_keys: Cached::new(ticket_keys, ttl_seconds), registrations: Cached::new(clients, ttl_seconds) }
    }

    /// With somebody who measures.
    pub fn observed(self, observer: Observer) -> Self {
        Self { ticket_keys: self.ticket_keys.observed(observer), registrations: self.registrations.observed(observer) }
    }

    /// Loads both before the first request asks. A source that does not answer, or has nothing yet, is no reason not to
    /// start: requests look again.
    pub async fn warm_up(&self, now: Timestamp) {
        tokio::join!(self.ticket_keys.warm_up(now), self.registrations.warm_up(now));
    }
}

impl SignInDocumentSource for CachedSignInDocuments {
    async fn sign_in_documents(&self, now: Timestamp) -> Result<SignInDocuments, Unavailable> {
        let (ticket_keys, registrations) =
            tokio::try_join!(self.ticket_keys.current(now), self.registrations.current(now))?;
        Ok(SignInDocuments { ticket_keys, registrations })
    }
}

/// Where one process has the key ring itself, as the local server does, it needs no secret beside it.
impl SignInDocumentSource for CachedDocuments {
    async fn sign_in_documents(&self, now: Timestamp) -> Result<SignInDocuments, Unavailable> {
        let (ring, registrations) = self.each(now).await?;
        Ok(SignInDocuments { ticket_keys: Arc::new(TicketKeys::of(&ring)), registrations })
    }
}
