//! The portal accepts a sign-in: it says who has signed in, and gets the address that sends the browser back to the client.

use super::ticket_holder::{OpenedTicket, TicketHolder};
use crate::{
    audit::{Event, EventKind, Reason},
    documents::Signers,
    failure::{Failure, Refusal},
    grants::{Opening, check_profile, id_is_taken},
    json::{Map, Value},
    policy::{MAX_IAT_AHEAD_SECONDS, Policy},
    ports::{Audit, Clock, DocumentSource, InsertSession, Randomness, random},
    registrations::{Client, Credentials},
    routes,
    session::{Authentication, Session, SignIn},
    tickets::{ANSWER_SECONDS, Answer, Ticket, Verdict},
    tokens::{AuthorizationCode, CodeBinding},
    values::{AskedScope, CustomClaims, Scope, Seconds, Subject, Timestamp, is_reserved_claim, with_query},
};

/// A parsed request to `POST /authorize/accept`.
pub struct AcceptRequest {
    /// How the issuer's id and secret may be read, most literal first; empty when none were sent.
    pub issuer: Vec<Credentials>,
    /// The ticket as it came with the browser.
    pub ticket: String,
    /// Who has signed in.
    pub subject: Subject,
    /// Custom claims. Those that the client's registration does not allow are ignored: a portal says the same of everybody.
    pub claims: Map<String, Value>,
    /// Narrows what was asked for.
    pub scope: Option<String>,
    /// Seconds; shortens the life of this session's access tokens, never lengthens it.
    pub expires_in: Option<Seconds>,
    /// When and how the user was authenticated.
    pub authentication: Authentication,
}

/// What the portal is answered. Has no `Debug`: it holds a code.
pub struct Accepted {
    /// Where the portal sends the browser, as a top-level GET.
    pub redirect_to: String,
    /// The names of claims that were ignored.
    pub ignored_claims: Vec<String>,
}

/// What accepting needs.
pub struct Accept<'a, S, D> {
    /// Where the new session is written.
    pub store: &'a S,
    /// Where key ring and registrations come from.
    pub documents: &'a D,
    /// The deployment's settings; a client's own settings replace some of them.
    pub policy: &'a Policy,
    /// The time; read once per request.
    pub clock: &'a dyn Clock,
    /// What the code's secret, the random part of the session's id and the answer's salt are drawn from.
    pub randomness: &'a dyn Randomness,
    /// Where the request's events are recorded.
    pub audit: &'a dyn Audit,
}

impl<S: InsertSession, D: DocumentSource> Accept<'_, S, D> {
    /// Creates the session with one write; its first token is the code, good for a minute. Everything that can be refused is
    /// refused before the write. The same ticket again makes another session, and the code that nobody exchanges dies.
    pub async fn run(&self, request: AcceptRequest) -> Result<Accepted, Failure> {
        let now = self.clock.now();
        let opened = OpenedTicket::of(self.documents, &request.ticket, self.policy, now).await?;
        let holder = TicketHolder::of(&request.issuer, &opened, self.audit, now)?;
        let documents = &opened.documents;
        let TicketHolder { issuer, client, ticket, .. } = &holder;
        let refused = |reason, refusal: Refusal| {
            self.audit.record(&holder.event(EventKind::SignInRejected).because(reason));
            Failure::Refused(refusal)
        };
        if !client.redirects_to(&ticket.redirect_uri) {
            let text = "redirect_uri of this sign-in is not registered any more";
            return Err(refused(Reason::RedirectUriNotRegistered, Refusal::InvalidRequest(text.into())));
        }
        let resource = client
            .audience_of(&ticket.resource)
            .ok_or_else(|| refused(Reason::ResourceNotAllowed, Refusal::InvalidTarget))?;
        let scope = scope(client, ticket, request.scope.as_deref())
            .ok_or_else(|| refused(Reason::ScopeNotAllowed, Refusal::InvalidScope { unregistered: Vec::new() }))?;
        let (claims, ignored_claims) = claims(client, request.claims)
            .map_err(|text| refused(Reason::ClaimsNotAllowed, Refusal::InvalidRequest(text)))?;
        check_profile(client, &claims).map_err(|refusal| refused(Reason::ClaimsNotAllowed, refusal))?;
        check_authentication(ticket, &request.authentication, self.policy, now)
            .map_err(|(reason, text)| refused(reason, Refusal::InvalidRequest(text.into())))?;
        let signers = Signers::choose(&documents.keys, client, now)?;
        let opening = Opening {
            policy: self.policy,
            issuer,
            client,
            subject: request.subject,
            scope,
            claims,
            expires_in: request.expires_in,
            authentication: request.authentication,
            now,
        };
        opening.check_epoch(&documents.registrations)?;
        let salt = random(self.randomness)?;
        let (session, secret) = opening.session(&signers, self.randomness)?;
        let code_expires_at = now.plus(ANSWER_SECONDS).min(session.absolute_expires_at);
        let session = Session {
            access_expires_at: code_expires_at,
            idle_expires_at: code_expires_at,
            sign_in: Some(SignIn {
                binding: CodeBinding::new(&ticket.redirect_uri, ticket.code_challenge),
                nonce: ticket.nonce.clone(),
                resource,
            }),
            ..session
        };
        let code = AuthorizationCode::new(session.key, session.generation, secret);
        let code = code.expose(signers.tagger, &client.client_id);
        let answer = Answer::to((*ticket).clone(), Verdict::Code(code), now);
        let answer = answer.seal(holder.keys, &self.policy.issuer, salt)?;
        self.store.insert(&session).await?.done().map_err(|()| id_is_taken())?;

        let subject_name = documents.keys.audit_name(&session.subject);
        let event: Event = holder.event(EventKind::SignInAccepted).subject(subject_name);
        self.audit.record(&event.session(&session.key, session.generation));
        Ok(Accepted { redirect_to: return_address(&self.policy.issuer, &answer), ignored_claims })
    }
}

/// Where the browser takes an answer.
pub(super) fn return_address(issuer: &str, answer: &str) -> String {
    with_query(&routes::RETURN_SIGN_IN.url(issuer), &[("answer", answer)])
}

/// What was asked for, as far as the portal grants it and it is still registered; `None` if nothing is left of it.
fn scope(client: &Client, ticket: &Ticket, granted: Option<&str>) -> Option<Scope> {
    let asked = ticket.scope.intersection(&client.scope);
    let scope = match granted {
        None => asked,
        Some(granted) => asked.narrowed_to(&AskedScope::parse(granted)?),
    };
    // A client that is registered for none may have none.
    (!scope.is_empty() || ticket.scope.is_empty()).then_some(scope)
}

fn claims(client: &Client, claims: Map<String, Value>) -> Result<(CustomClaims, Vec<String>), String> {
    let allowed = |name: &String| !is_reserved_claim(name) && client.claims.contains(name);
    let (claims, ignored): (Map<String, Value>, Map<String, Value>) =
        claims.into_iter().partition(|(name, _)| allowed(name));
    let claims = CustomClaims::parse(claims, &client.claims).map_err(|fault| fault.to_string())?;
    Ok((claims, ignored.into_iter().map(|(name, _)| name).collect()))
}

/// `max_age` and `prompt=login` are promises to the client: they want a time, and one that is late enough. It is measured at
/// the begin of the sign-in, since the user may have taken minutes over it.
fn check_authentication(
    ticket: &Ticket,
    authentication: &Authentication,
    policy: &Policy,
    now: Timestamp,
) -> Result<(), (Reason, &'static str)> {
    if authentication.time.is_some_and(|time| time > now.plus(MAX_IAT_AHEAD_SECONDS)) {
        return Err((Reason::AuthenticationFromTheFuture, "auth_time lies in the future"));
    }
    let too_old = |text| Err((Reason::AuthenticationTooOld, text));
    match (ticket.least_auth_time(), authentication.time) {
        (None, _) => Ok(()),
        (Some(_), None) => too_old("auth_time is missing: this sign-in has max_age or prompt=login"),
        (Some(least), Some(time)) if time.plus(policy.clock_skew_seconds) < least => too_old(
            "auth_time is too long ago: this sign-in has max_age or prompt=login, so ask the user to sign in again",
        ),
        (Some(_), Some(_)) => Ok(()),
    }
}
