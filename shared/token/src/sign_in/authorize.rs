//! The begin of a sign-in: checks what a client asks for, and sends the browser to the portal with a ticket.

use super::{
    direction::Direction,
    request::{Asker, ClientError, PASSED_ON, Parameters, back_to, ticket},
};
use crate::{
    audit::{Event, EventKind, Reason},
    documents::SignInDocuments,
    failure::{Failure, Unavailable},
    ports::{Audit, Clock, Randomness, SignInDocumentSource, random},
    registrations::Client,
    tickets::Browser,
    values::{Timestamp, with_query},
};

/// Longest address that a browser is sent to, in bytes: API Gateway's headers end at 10 KiB.
pub const MAX_ADDRESS_BYTES: usize = 9 * 1024;

/// What the begin of a sign-in needs.
pub struct Authorize<'a, D> {
    /// Where ticket keys and registrations come from.
    pub documents: &'a D,
    /// The deployment's `iss`.
    pub issuer: &'a str,
    /// The time; read once per request.
    pub clock: &'a dyn Clock,
    /// What the browser's cookie and the ticket's salt are drawn from.
    pub randomness: &'a dyn Randomness,
    /// Where the request's events are recorded.
    pub audit: &'a dyn Audit,
}

/// What comes of an authorization request.
pub struct Begun {
    /// To the portal, back to the client, or nowhere.
    pub direction: Direction,
    /// The browser is to keep this: it had none.
    pub new_browser: Option<Browser>,
    /// What is not available, where the client is told so.
    pub trouble: Option<Unavailable>,
}

impl From<Direction> for Begun {
    fn from(direction: Direction) -> Self {
        Self { direction, new_browser: None, trouble: None }
    }
}

impl<D: SignInDocumentSource> Authorize<'_, D> {
    /// `parameters` as they came, in their order. `browser` is the cookie that the browser has, if it is one. Writes nothing:
    /// what a stranger sends costs no more than its answer. Fails only while nobody knows who the client is; afterwards it is
    /// told (RFC 6749 §4.1.2.1).
    pub async fn run(&self, parameters: Vec<(String, String)>, browser: Option<Browser>) -> Result<Begun, Failure> {
        let now = self.clock.now();
        let parameters = Parameters(parameters);
        let documents = self.documents.sign_in_documents(now).await?;
        let documents = documents.recognising(parameters.only("client_id"), self.issuer, now)?;
        let asker = match Asker::of(&parameters, &documents.registrations)? {
            Ok(asker) => asker,
            Err((client, reason)) => {
                self.reject(client, reason);
                return Ok(Direction::Page.into());
            }
        };
        Ok(match self.to_portal(&parameters, &asker, &documents, browser, now) {
            Ok(Ok(begun)) => begun,
            Ok(Err(error)) => self.back(&asker, &error).into(),
            Err(trouble) => {
                let said = [("error", "temporarily_unavailable")];
                let address = back_to(&asker.redirect_uri, &said, asker.state.as_deref(), self.issuer);
                Begun { trouble: Some(trouble), ..Direction::To(address).into() }
            }
        })
    }

    fn to_portal(
        &self,
        parameters: &Parameters,
        asker: &Asker<'_>,
        documents: &SignInDocuments,
        browser: Option<Browser>,
        now: Timestamp,
    ) -> Result<Result<Begun, ClientError>, Unavailable> {
        let portal = documents.registrations.sign_in_issuer(asker.client)?;
        let Some((issuer, sign_in_url)) = portal.and_then(|issuer| Some((issuer, issuer.sign_in_url.as_ref()?))) else {
            let description = "no portal signs in users of this client";
            let reason = Reason::NoSignInIssuer;
            return Ok(Err(ClientError { code: "unauthorized_client", description, reason }));
        };
        let (browser, is_new) = match browser {
            Some(known) => (known, false),
            None => (Browser::from_bytes(random(self.randomness)?), true),
        };
        let ticket = match ticket(parameters, asker, &issuer.issuer_id, browser.hash(), now) {
            Ok(ticket) => ticket,
            Err(error) => return Ok(Err(error)),
        };
        let sealed = ticket.seal(&documents.ticket_keys, self.issuer, random(self.randomness)?)?;
        let passed_on = PASSED_ON.iter().filter_map(|name| Some((*name, parameters.only(name)?)));
        let own = [("ticket", sealed.as_str()), ("client_id", ticket.client_id.as_str())];
        let address = with_query(sign_in_url.as_str(), &own.into_iter().chain(passed_on).collect::<Vec<_>>());
        if address.len() > MAX_ADDRESS_BYTES {
            let description = "the request is too long";
            let reason = Reason::AuthorizationRequestMalformed;
            return Ok(Err(ClientError { code: "invalid_request", description, reason }));
        }
        let event = Event::new(EventKind::SignInStarted).client(&ticket.client_id).issuer(&issuer.issuer_id);
        self.audit.record(&event);
        Ok(Ok(Begun { direction: Direction::To(address), new_browser: is_new.then_some(browser), trouble: None }))
    }

    /// Back to the client with an error.
    fn back(&self, asker: &Asker<'_>, error: &ClientError) -> Direction {
        self.reject(Some(asker.client), error.reason);
        let said = [("error", error.code), ("error_description", error.description)];
        Direction::To(back_to(&asker.redirect_uri, &said, asker.state.as_deref(), self.issuer))
    }

    fn reject(&self, client: Option<&Client>, reason: Reason) {
        let event = Event::new(EventKind::SignInRejected).because(reason);
        self.audit.record(&client.map_or(event.clone(), |client| event.client(&client.client_id)));
    }
}
