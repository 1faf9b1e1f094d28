//! Sign-out at the client's wish (OpenID Connect RP-Initiated Logout 1.0): the browser comes with an ID token, whose session
//! ends, and goes on to the portal or back to the client.

use std::fmt;

use super::{recognise::Mentioning, revoke::write_end};
use crate::{
    audit::{Event, EventKind, Reason},
    documents::Documents,
    failure::{Failure, Unavailable},
    policy::Policy,
    ports::{Audit, Clock, DocumentSource, Randomness, RevokeSession},
    registrations::{Client, Registrations},
    tokens::{IdTokenHint, UnverifiedIdToken},
    values::{MAX_STATE_BYTES, Timestamp, is_carried, with_query},
};

/// A parsed request to `/sign-out`.
pub struct SignOutRequest {
    /// `id_token_hint`: an ID token of the session that is to end; expired is fine.
    pub id_token_hint: Option<String>,
    /// The client; the hint names it as well.
    pub client_id: Option<String>,
    /// Where the browser goes in the end.
    pub post_logout_redirect_uri: Option<String>,
    /// What it is to bring there.
    pub state: Option<String>,
}

/// Where a sign-out leads.
#[derive(PartialEq, Eq)]
pub enum SignedOut {
    /// To an address of a registration.
    To(String),
    /// Nowhere; the session of the hint is over.
    Ended,
    /// Nowhere; no session was named, so none is over: a link must not sign people out.
    NothingEnded,
    /// Nowhere: the request cannot be believed, and changes nothing.
    Refused,
}

/// The address holds the client's `state`.
impl fmt::Debug for SignedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::To(_) => "To(…)",
            Self::Ended => "Ended",
            Self::NothingEnded => "NothingEnded",
            Self::Refused => "Refused",
        })
    }
}

/// What sign-out needs.
pub struct SignOut<'a, S, D> {
    /// Where the session is ended.
    pub store: &'a S,
    /// Where key ring and registrations come from.
    pub documents: &'a D,
    /// The deployment's settings.
    pub policy: &'a Policy,
    /// The time; read once per request.
    pub clock: &'a dyn Clock,
    /// Where new random bytes come from.
    pub randomness: &'a dyn Randomness,
    /// Where the end of a session and refusals are recorded.
    pub audit: &'a dyn Audit,
}

impl<S: RevokeSession, D: DocumentSource> SignOut<'_, S, D> {
    /// Ends the session of an authentic hint with one conditional write, and only then looks where the browser goes. A failure
    /// means that the session may still be live, or that the portal is not known now: the same request is safe to repeat.
    pub async fn run(&self, request: SignOutRequest) -> Result<SignedOut, Failure> {
        let now = self.clock.now();
        let hint = request.id_token_hint.as_deref().map(UnverifiedIdToken::parse);
        // A key is published long before it signs: nothing is loaded again for what a stranger sends.
        let source = Mentioning {
            source: self.documents,
            policy: self.policy,
            ids: request.client_id.as_deref().into_iter().collect(),
            token: request.id_token_hint.as_deref(),
        };
        let documents = source.current(now).await?;
        let registrations = &documents.registrations;
        let hint = match hint {
            None => None,
            Some(None) => return Ok(self.refuse(None, Reason::HintInvalid)),
            Some(Some(hint)) => match hint.verify(&documents.keys, registrations, self.policy, now)? {
                Ok(hint) => Some(hint),
                Err(reason) => return Ok(self.refuse(None, reason)),
            },
        };
        let client = match (&hint, &request.client_id) {
            (Some(hint), Some(id)) if hint.client.client_id.as_str() != id => {
                return Ok(self.refuse(Some(hint.client), Reason::HintInvalid));
            }
            (Some(hint), _) => hint.client,
            (None, Some(id)) => match registrations.client(id)? {
                Some(client) => client,
                None => return Ok(self.refuse(None, Reason::ClientUnknown)),
            },
            (None, None) => return Ok(self.refuse(None, Reason::ClientNotNamed)),
        };
        if let Some(hint) = &hint {
            self.end(hint, &documents, now).await?;
        }
        Ok(match address(client, registrations, &request)? {
            Some(address) => SignedOut::To(address),
            None if hint.is_some() => SignedOut::Ended,
            None => SignedOut::NothingEnded,
        })
    }

    async fn end(&self, hint: &IdTokenHint<'_>, documents: &Documents, now: Timestamp) -> Result<(), Failure> {
        let is_over = hint.session.sid.absolute_expires_at() <= now;
        let has_ended = !is_over && write_end(self.store, self.randomness, &hint.session, Reason::SignOut, now).await?;
        let (kind, reason) = match has_ended {
            true => (EventKind::SessionRevoked, Reason::SignOut),
            false => (EventKind::AccessDenied, Reason::SessionNotLive),
        };
        let event = Event::new(kind).client(&hint.client.client_id).because(reason);
        let event = event.subject(documents.keys.audit_name(&hint.subject));
        self.audit.record(&Event { session: Some(hint.session.audit_name()), ..event });
        Ok(())
    }

    fn refuse(&self, client: Option<&Client>, reason: Reason) -> SignedOut {
        let event = Event::new(EventKind::AccessDenied).because(reason);
        self.audit.record(&client.map_or(event.clone(), |client| event.client(&client.client_id)));
        SignedOut::Refused
    }
}

/// Where the browser goes. To the portal, if it has a page for that, so that it can end its own session: it is told the
/// registered address to go to afterwards. An address that is not registered counts as left out, and so does a `state` that is
/// too long or has control characters.
fn address(
    client: &Client,
    registrations: &Registrations,
    request: &SignOutRequest,
) -> Result<Option<String>, Unavailable> {
    let state = request.state.as_deref().filter(|state| is_carried(state, MAX_STATE_BYTES));
    let state: Vec<(&str, &str)> = state.map(|state| ("state", state)).into_iter().collect();
    let asked = request.post_logout_redirect_uri.as_deref();
    let registered = asked.filter(|uri| client.redirects_after_sign_out_to(uri)).map(|uri| with_query(uri, &state));
    Ok(match (registrations.sign_out_url(client)?, registered) {
        (Some(url), Some(uri)) => Some(with_query(url.as_str(), &[("return_to", &uri)])),
        (Some(url), None) => Some(url.as_str().to_owned()),
        (None, registered) => registered,
    })
}
