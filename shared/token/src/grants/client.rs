//! Which client asks its token endpoint for tokens: known before anything is written.

use crate::{
    audit::{Event, EventKind, Reason},
    failure::{Failure, Refusal},
    policy::Policy,
    ports::Audit,
    registrations::{Client, Credentials, Registrations},
    tokens::ClientAssertion,
    values::Timestamp,
};

/// How the client says who it is.
pub enum ClientIdentification {
    /// Id and secret, as they may be read, most literal first.
    Authenticated(Vec<Credentials>),
    /// By a JWT that the client has signed.
    Assertion(ClientAssertion),
    /// An id without a secret, as it may be read, most literal first.
    Named(Vec<String>),
    /// Not at all; the access token must tell.
    FromAccessToken,
}

impl ClientIdentification {
    /// The ids that the request states. Who only registered itself authenticates by no assertion.
    pub(super) fn ids(&self) -> Vec<&str> {
        match self {
            Self::Authenticated(candidates) => candidates.iter().map(|candidate| candidate.id.as_str()).collect(),
            Self::Named(ids) => ids.iter().map(String::as_str).collect(),
            Self::Assertion(_) | Self::FromAccessToken => Vec::new(),
        }
    }
}

/// Tells who the client is, and records who is not.
#[derive(Clone, Copy)]
pub(super) struct ClientCheck<'a> {
    pub policy: &'a Policy,
    pub audit: &'a dyn Audit,
    pub now: Timestamp,
}

impl ClientCheck<'_> {
    /// The client that the request itself states, with a secret or without; `None` if the access token must tell.
    pub fn stated_client<'a>(
        &self,
        registrations: &'a Registrations,
        identification: &ClientIdentification,
    ) -> Result<Option<&'a Client>, Failure> {
        match identification {
            ClientIdentification::Authenticated(candidates) => match registrations.authenticate_client(candidates)? {
                Some(client) => Ok(Some(client)),
                None => {
                    let known =
                        candidates.iter().find_map(|candidate| registrations.client(&candidate.id).ok().flatten());
                    Err(self.reject_client(known, Reason::ClientUnauthenticated))
                }
            },
            ClientIdentification::Assertion(assertion) => {
                let authenticated = assertion.authenticate(registrations, self.policy, self.now)?;
                authenticated.map(Some).map_err(|(known, fault)| self.reject_client(known, fault))
            }
            ClientIdentification::Named(ids) => self.public_client(registrations, ids).map(Some),
            ClientIdentification::FromAccessToken => Ok(None),
        }
    }

    /// The same, where the request itself has to state the client.
    pub fn required_client<'a>(
        &self,
        registrations: &'a Registrations,
        identification: &ClientIdentification,
    ) -> Result<&'a Client, Failure> {
        self.stated_client(registrations, identification)?.ok_or_else(|| {
            self.audit.record(&Event::new(EventKind::RenewalRejected).because(Reason::ClientNotNamed));
            Refusal::InvalidRequest("the client is not named: authenticate, or send client_id".into()).into()
        })
    }

    /// A client that is only named must be public.
    pub fn public_client<'a>(&self, registrations: &'a Registrations, ids: &[String]) -> Result<&'a Client, Failure> {
        match registrations.named_client(ids)? {
            Some(client) if client.is_public() => Ok(client),
            Some(client) => Err(self.reject_client(Some(client), Reason::ClientNotAuthenticated)),
            None => Err(self.reject_client(None, Reason::ClientUnknown)),
        }
    }

    /// Only a registered id enters the audit trail: anything else may be a secret in the wrong place.
    pub fn reject_client(&self, known: Option<&Client>, reason: Reason) -> Failure {
        let event = Event::new(EventKind::ClientRejected).because(reason);
        self.audit.record(&known.map_or(event.clone(), |client| event.client(&client.client_id)));
        Refusal::InvalidClient.into()
    }
}
