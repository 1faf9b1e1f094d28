//! Who may ask about tokens: issuers for all of their clients, clients for themselves.

use crate::{
    audit::{Event, EventKind, Reason},
    failure::{Failure, Refusal, Unavailable},
    policy::Policy,
    ports::Audit,
    registrations::{Client, Credentials, Issuer, Registrations},
    tokens::{AuthenticAccessToken, ClientAssertion, Purpose},
    values::Timestamp,
};

/// How a caller says who it is.
pub enum CallerIdentification {
    /// An id and a secret, of an issuer or of a client, as they may be read.
    Either(Vec<Credentials>),
    /// An issuer's.
    Issuer(Vec<Credentials>),
    /// A confidential client's.
    Client(Vec<Credentials>),
    /// A confidential client's, signed by itself.
    Assertion(ClientAssertion),
    /// A public client's id.
    Named(Vec<String>),
    /// The request names nobody; it is refused with [`Refusal::InvalidClient`].
    Missing,
}

impl CallerIdentification {
    /// The ids that the request states, of whomever. Who only registered itself authenticates by no assertion.
    pub(super) fn ids(&self) -> Vec<&str> {
        match self {
            Self::Either(candidates) | Self::Issuer(candidates) | Self::Client(candidates) => {
                candidates.iter().map(|candidate| candidate.id.as_str()).collect()
            }
            Self::Named(ids) => ids.iter().map(String::as_str).collect(),
            Self::Assertion(_) | Self::Missing => Vec::new(),
        }
    }
}

/// Somebody who is who they say.
#[derive(Clone, Copy)]
pub enum Caller<'a> {
    /// An issuer that has authenticated itself.
    Issuer(&'a Issuer),
    /// A client; public ones are only named.
    Client(&'a Client),
}

impl<'a> Caller<'a> {
    /// Whether `token` is this caller's business: one of its clients', or its own. A client may also ask about tokens that are
    /// meant for it, but not renew or end with them: their `aud` names its id or one of its audiences.
    pub(crate) fn may_see(
        &self,
        token: &AuthenticAccessToken,
        registrations: &Registrations,
        purpose: Purpose,
    ) -> Result<bool, Unavailable> {
        Ok(match self {
            Self::Issuer(issuer) => registrations.is_client_of(&token.client_id, issuer)?,
            Self::Client(own) => {
                // Whoever has registered itself is no target, only a way to one.
                let is_target = |aud: &String| own.audience.contains(aud) && !own.is_registered();
                let is_meant = |aud: &String| aud == own.client_id.as_str() || is_target(aud);
                own.client_id == token.client_id || purpose == Purpose::LetIn && token.audience.iter().any(is_meant)
            }
        })
    }

    /// The clients whose tokens are this caller's business; each may be one that cannot be asked for now. Of those that have
    /// registered themselves, the ones that the request at hand brings along.
    pub fn clients(&self, registrations: &'a Registrations) -> Vec<Result<&'a Client, Unavailable>> {
        match self {
            Self::Issuer(issuer) => {
                let listed = issuer.clients.iter().filter_map(|id| registrations.client(id.as_str()).transpose());
                listed.chain(registrations.recognised_of(issuer).map(Ok)).collect()
            }
            Self::Client(own) => vec![Ok(*own)],
        }
    }

    /// Who ended a session, for the audit trail.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Issuer(_) => Reason::ByIssuer,
            Self::Client(_) => Reason::ByClient,
        }
    }

    /// Adds the caller to an event.
    pub(crate) fn mark(&self, event: Event) -> Event {
        match self {
            Self::Issuer(issuer) => event.issuer(&issuer.issuer_id),
            Self::Client(client) => event.client(&client.client_id),
        }
    }
}

/// The caller, or 401 and an audit line.
pub fn identify<'a>(
    registrations: &'a Registrations,
    identification: &CallerIdentification,
    policy: &Policy,
    now: Timestamp,
    audit: &dyn Audit,
) -> Result<Caller<'a>, Failure> {
    let mut reason = Reason::CallerUnauthenticated;
    let client = |candidates: &[Credentials]| Ok(registrations.authenticate_client(candidates)?.map(Caller::Client));
    let issuer = |candidates: &[Credentials]| Ok(registrations.authenticate_issuer(candidates)?.map(Caller::Issuer));
    let caller = match identification {
        // That one of the two cannot be judged matters only if the other is nobody.
        CallerIdentification::Either(candidates) => match (issuer(candidates), client(candidates)) {
            (Ok(Some(caller)), _) | (_, Ok(Some(caller))) => Some(caller),
            (Err(unavailable), _) | (_, Err(unavailable)) => return Err(Failure::Unavailable(unavailable)),
            (Ok(None), Ok(None)) => None,
        },
        CallerIdentification::Issuer(candidates) => issuer(candidates)?,
        CallerIdentification::Client(candidates) => client(candidates)?,
        CallerIdentification::Assertion(assertion) => assertion
            .authenticate(registrations, policy, now)?
            .map_err(|(_, fault)| reason = fault)
            .ok()
            .map(Caller::Client),
        CallerIdentification::Named(ids) => {
            let named = registrations.named_client(ids)?;
            named.filter(|client| client.is_public()).map(Caller::Client)
        }
        CallerIdentification::Missing => None,
    };
    caller.ok_or_else(|| {
        audit.record(&Event::new(EventKind::ClientRejected).because(reason));
        Refusal::InvalidClient.into()
    })
}
