//! The portal rejects a sign-in: the client is told why.

use super::{
    accept::return_address,
    ticket_holder::{OpenedTicket, TicketHolder},
};
use crate::{
    audit::{EventKind, Reason},
    failure::Failure,
    policy::Policy,
    ports::{Audit, Clock, DocumentSource, Randomness, random},
    registrations::Credentials,
    tickets::{Answer, Verdict},
};

/// Why a portal rejects a sign-in (RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The user or the portal says no.
    AccessDenied,
    /// `prompt=none`, and nobody is signed in.
    LoginRequired,
    /// `prompt=none`, and something has to be asked.
    InteractionRequired,
    /// `prompt=none`, and the user has not agreed yet.
    ConsentRequired,
    /// `prompt=none`, and there are several accounts.
    AccountSelectionRequired,
    /// The portal cannot tell now.
    TemporarilyUnavailable,
}

impl Rejection {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::AccessDenied,
        Self::LoginRequired,
        Self::InteractionRequired,
        Self::ConsentRequired,
        Self::AccountSelectionRequired,
        Self::TemporarilyUnavailable,
    ];

    /// The error's code, which is the audit trail's word for it as well.
    pub const fn code(self) -> &'static str {
        self.reason().name()
    }

    const fn reason(self) -> Reason {
        match self {
            Self::AccessDenied => Reason::AccessDenied,
            Self::LoginRequired => Reason::LoginRequired,
            Self::InteractionRequired => Reason::InteractionRequired,
            Self::ConsentRequired => Reason::ConsentRequired,
            Self::AccountSelectionRequired => Reason::AccountSelectionRequired,
            Self::TemporarilyUnavailable => Reason::TemporarilyUnavailable,
        }
    }

    /// The rejection with this code.
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rejection| rejection.code() == code)
    }
}

/// A parsed request to `POST /authorize/reject`.
pub struct RejectRequest {
    /// How the issuer's id and secret may be read, most literal first; empty when none were sent.
    pub issuer: Vec<Credentials>,
    /// The ticket as it came with the browser.
    pub ticket: String,
    /// Why.
    pub rejection: Rejection,
    /// For the client's developer: of the characters that RFC 6749 §4.1.2.1 allows.
    pub description: Option<String>,
}

/// What rejecting needs.
pub struct Reject<'a, D> {
    /// Where key ring and registrations come from.
    pub documents: &'a D,
    /// The deployment's settings.
    pub policy: &'a Policy,
    /// The time; read once per request.
    pub clock: &'a dyn Clock,
    /// What the answer's salt is drawn from.
    pub randomness: &'a dyn Randomness,
    /// Where the request's events are recorded.
    pub audit: &'a dyn Audit,
}

impl<D: DocumentSource> Reject<'_, D> {
    /// Where the portal sends the browser, as a top-level GET. Writes nothing.
    pub async fn run(&self, request: RejectRequest) -> Result<String, Failure> {
        let now = self.clock.now();
        let opened = OpenedTicket::of(self.documents, &request.ticket, self.policy, now).await?;
        let holder = TicketHolder::of(&request.issuer, &opened, self.audit, now)?;
        let verdict = Verdict::Error { error: request.rejection.code().to_owned(), description: request.description };
        let answer = Answer::to(holder.ticket.clone(), verdict, now);
        let answer = answer.seal(holder.keys, &self.policy.issuer, random(self.randomness)?)?;
        self.audit.record(&holder.event(EventKind::SignInRejected).because(request.rejection.reason()));
        Ok(return_address(&self.policy.issuer, &answer))
    }
}
