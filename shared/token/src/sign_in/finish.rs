//! The end of a sign-in: sends the browser on to the client with what the portal has said.

use super::{direction::Direction, request::back_to};
use crate::{
    audit::{Event, EventKind, Reason},
    documents::SignInDocuments,
    failure::Failure,
    ports::{Audit, Clock, SignInDocumentSource},
    tickets::{Answer, Browser, Verdict},
};

/// What the end of a sign-in needs.
pub struct Finish<'a, D> {
    /// Where ticket keys and registrations come from.
    pub documents: &'a D,
    /// The deployment's `iss`.
    pub issuer: &'a str,
    /// The time; read once per request.
    pub clock: &'a dyn Clock,
    /// Where refusals are recorded.
    pub audit: &'a dyn Audit,
}

impl<D: SignInDocumentSource> Finish<'_, D> {
    /// Opens an answer in the browser in which its sign-in was begun, and in no other: whoever sends somebody else through
    /// their own sign-in (login CSRF, RFC 6749 §10.12) gets nowhere. Checks the redirect URI again: the registration may have
    /// changed since. Writes nothing; the same answer again gives the same code, which is good once.
    pub async fn run(&self, answer: &str, browser: Option<Browser>) -> Result<Direction, Failure> {
        let now = self.clock.now();
        let documents = self.documents.sign_in_documents(now).await?;
        let rejected = |event: Event, reason| {
            self.audit.record(&event.because(reason));
            Ok(Direction::Page)
        };
        let event = Event::new(EventKind::SignInRejected);
        let Some(answer) = Answer::open(answer, &documents.ticket_keys, self.issuer, now)? else {
            return rejected(event, Reason::AnswerInvalid);
        };
        let event = event.client(&answer.client_id);
        if answer.expires_at() <= now {
            return rejected(event, Reason::AnswerExpired);
        }
        if browser.map(|browser| browser.hash()) != Some(answer.browser) {
            return rejected(event, Reason::BrowserMismatch);
        }
        let client_id = answer.client_id.as_str();
        let SignInDocuments { registrations, .. } = documents.recognising(Some(client_id), self.issuer, now)?;
        let Some(client) = registrations.client(client_id)? else {
            return rejected(event, Reason::ClientUnknown);
        };
        if !client.redirects_to(&answer.redirect_uri) {
            return rejected(event, Reason::RedirectUriNotRegistered);
        }
        let said = match &answer.verdict {
            Verdict::Code(code) => vec![("code", code.as_str())],
            Verdict::Error { error, description } => {
                let description = description.as_deref().map(|description| ("error_description", description));
                [("error", error.as_str())].into_iter().chain(description).collect()
            }
        };
        Ok(Direction::To(back_to(&answer.redirect_uri, &said, answer.state.as_deref(), self.issuer)))
    }
}
