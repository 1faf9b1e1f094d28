//! The use cases with everything that they need, in a world that stands still unless a test moves it.

use std::sync::{Arc, atomic::AtomicBool};

use latchkey_token::{
    documents::{Documents, SignInDocuments},
    failure::Unavailable,
    grants::{Issue, IssueRequest, IssuerGrant, Renew},
    json::Map,
    keys::PublicKeys,
    management::{Admit, Introspect, Revoke, SubjectSessions},
    policy::Policy,
    ports::{Audit, DocumentSource, PublicKeySource, SignInDocumentSource},
    registrations::Credentials,
    tickets::TicketKeys,
    values::{Subject, Timestamp},
};

use crate::machine::{SeededRandomness, SettableClock};

/// Documents that do not change.
#[derive(Clone)]
pub struct FixedDocuments(Arc<Documents>);

impl FixedDocuments {
    /// Serves `documents` for ever.
    pub fn new(documents: Documents) -> Self {
        Self(Arc::new(documents))
    }
}

impl DocumentSource for FixedDocuments {
    async fn current(&self, _: Timestamp) -> Result<Arc<Documents>, Unavailable> {
        Ok(Arc::clone(&self.0))
    }

    async fn reloaded(&self, _: Timestamp) -> Result<Arc<Documents>, Unavailable> {
        Ok(Arc::clone(&self.0))
    }
}

impl PublicKeySource for FixedDocuments {
    async fn public_keys(&self, now: Timestamp) -> Result<Arc<PublicKeys>, Unavailable> {
        Ok(Arc::new(self.0.keys.public_keys(now.unix_seconds())))
    }
}

impl SignInDocumentSource for FixedDocuments {
    async fn sign_in_documents(&self, _: Timestamp) -> Result<SignInDocuments, Unavailable> {
        let Documents { keys, registrations } = &*self.0;
        Ok(SignInDocuments { ticket_keys: Arc::new(TicketKeys::of(keys)), registrations: Arc::clone(registrations) })
    }
}

/// A deployment without hosts: its use cases run on whatever store and documents a test brings along.
pub struct World<S, D> {
    /// Where sessions are kept.
    pub store: S,
    /// Keys and registrations.
    pub documents: D,
    /// The deployment's settings.
    pub policy: Policy,
    /// The time of every use case.
    pub clock: SettableClock,
    /// Repeats from run to run.
    pub randomness: SeededRandomness,
}

impl<S, D> World<S, D> {
    /// A world with the contract's defaults for `issuer`, at `now`.
    pub fn new(store: S, documents: D, issuer: &str, now: Timestamp) -> Self {
        Self {
            store,
            documents,
            policy: Policy::new(issuer),
            clock: SettableClock::at(now),
            randomness: SeededRandomness::new(1),
        }
    }

    /// Issue, recorded in `audit`.
    pub fn issue<'a>(&'a self, audit: &'a dyn Audit) -> Issue<'a, S, D> {
        let Self { store, documents, policy, clock, randomness } = self;
        Issue { store, documents, policy, clock, randomness, audit, is_redeeming: AtomicBool::default() }
    }

    /// Renewal, recorded in `audit`.
    pub fn renew<'a>(&'a self, audit: &'a dyn Audit) -> Renew<'a, S, D> {
        let Self { store, documents, policy, clock, randomness } = self;
        Renew { store, documents, policy, clock, randomness, audit }
    }

    /// Revocation, recorded in `audit`.
    pub fn revoke<'a>(&'a self, audit: &'a dyn Audit) -> Revoke<'a, S, D> {
        let Self { store, documents, policy, clock, randomness } = self;
        Revoke { store, documents, policy, clock, randomness, audit }
    }

    /// Introspection, recorded in `audit`.
    pub fn introspect<'a>(&'a self, audit: &'a dyn Audit) -> Introspect<'a, S, D> {
        let Self { store, documents, policy, clock, .. } = self;
        Introspect { store, documents, policy, clock, audit }
    }

    /// Listing and ending, recorded in `audit`.
    pub fn sessions<'a>(&'a self, audit: &'a dyn Audit) -> SubjectSessions<'a, S, D> {
        let Self { store, documents, policy, clock, randomness } = self;
        SubjectSessions { store, documents, policy, clock, randomness, audit }
    }

    /// The authorizer's question for `audience`, recorded in `audit`.
    pub fn admit<'a>(&'a self, audience: &'a str, audit: &'a dyn Audit) -> Admit<'a, S, D> {
        let Self { store, documents, policy, clock, .. } = self;
        Admit { store, documents, policy, audience, clock, audit }
    }
}

/// The plain request of an issuer, which says with its secret that `subject` has signed in at `client`.
pub fn statement(issuer: &str, secret: &str, client: &str, subject: &str) -> IssueRequest {
    IssueRequest {
        grant: IssuerGrant::Statement {
            issuer: vec![Credentials { id: issuer.into(), secret: secret.into() }],
            subject: Subject::parse(subject).expect("a subject"),
            claims: Map::new(),
        },
        client_id: Some(client.into()),
        scope: None,
        expires_in: None,
        nonce: None,
    }
}
