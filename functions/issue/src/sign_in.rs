//! `POST /authorize/accept`, `…/reject` and `…/inspect`: what a portal does with a ticket.

use latchkey_token::{
    ports::{DocumentSource, InsertSession},
    routes::{self, Route},
    session::Authentication,
    sign_in::{Accept, AcceptRequest, Inspect, Reject, RejectRequest, Rejection},
    values::is_carried,
};
use latchkey_token_lambda::{
    Body, Request, Response, Service,
    request::{
        Parameters, RequestFault,
        credentials::{self, Authorization},
    },
    response::{self, EdgeError},
    telemetry::RequestAudit,
    within_deadline,
};
use serde::Serialize;

/// Longest `acr`, and longest method in `amr`, in bytes.
const MAX_WORD_BYTES: usize = 255;
/// Most methods in `amr`.
const MAX_METHODS: usize = 16;
/// Longest `error_description`, in bytes.
const MAX_DESCRIPTION_BYTES: usize = 512;

/// What a portal may do with a ticket.
#[derive(Clone, Copy)]
pub(crate) enum SignInCall {
    Accept,
    Reject,
    Inspect,
}

impl SignInCall {
    pub const ALL: [Self; 3] = [Self::Accept, Self::Reject, Self::Inspect];

    pub const fn route(self) -> Route {
        match self {
            Self::Accept => routes::ACCEPT_SIGN_IN,
            Self::Reject => routes::REJECT_SIGN_IN,
            Self::Inspect => routes::INSPECT_SIGN_IN,
        }
    }
}

#[derive(Serialize)]
struct RedirectAnswer {
    redirect_to: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignored_claims: Vec<String>,
}

#[derive(Serialize)]
struct InspectAnswer<'a> {
    client_id: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
    redirect_uri: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    login_hint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_age: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acr_values: Option<&'a str>,
    /// Whether the client has registered itself.
    registered: bool,
    expires_in: i64,
}

pub(crate) async fn answer<S, D>(
    service: &Service<S, D>,
    call: SignInCall,
    request: &Request,
    audit: &RequestAudit,
) -> Result<Response<Body>, EdgeError>
where
    S: InsertSession,
    D: DocumentSource,
{
    let authorization = Authorization::read(request.headers())?;
    let mut parameters = Parameters::read(request)?;
    let issuer = credentials::issuer(&authorization, &mut parameters)?;
    let ticket = parameters.required("ticket")?;
    let Service { store, documents, policy, .. } = service;
    let (clock, randomness) = (service.clock.as_ref(), service.randomness.as_ref());
    match call {
        SignInCall::Accept => {
            let request = AcceptRequest {
                issuer,
                ticket,
                subject: super::subject(&mut parameters)?,
                claims: parameters.object("claims")?,
                scope: parameters.text("scope")?,
                expires_in: parameters.seconds("expires_in")?,
                authentication: authentication(&mut parameters)?,
            };
            let use_case = Accept { store, documents, policy, clock, randomness, audit };
            let accepted = within_deadline(use_case.run(request)).await?;
            let (redirect_to, ignored_claims) = (accepted.redirect_to, accepted.ignored_claims);
            Ok(response::ok(&RedirectAnswer { redirect_to, ignored_claims }))
        }
        SignInCall::Reject => {
            let (rejection, description) = (rejection(&mut parameters)?, description(&mut parameters)?);
            let request = RejectRequest { issuer, ticket, rejection, description };
            let use_case = Reject { documents, policy, clock, randomness, audit };
            let redirect_to = within_deadline(use_case.run(request)).await?;
            Ok(response::ok(&RedirectAnswer { redirect_to, ignored_claims: Vec::new() }))
        }
        SignInCall::Inspect => {
            let use_case = Inspect { documents, policy, clock, audit };
            let inspected = within_deadline(use_case.run(&issuer, &ticket)).await?;
            let ticket = &inspected.ticket;
            Ok(response::ok(&InspectAnswer {
                client_id: ticket.client_id.as_str(),
                scope: ticket.scope.to_string(),
                redirect_uri: &ticket.redirect_uri,
                prompt: ticket.prompt.as_deref(),
                login_hint: ticket.login_hint.as_deref(),
                max_age: ticket.max_age,
                acr_values: ticket.acr_values.as_deref(),
                registered: inspected.is_registered,
                expires_in: inspected.expires_in,
            }))
        }
    }
}

fn authentication(parameters: &mut Parameters) -> Result<Authentication, RequestFault> {
    let acr = parameters.text("acr")?;
    if acr.as_ref().is_some_and(|acr| !is_carried(acr, MAX_WORD_BYTES)) {
        return Err(RequestFault::invalid("acr must be at most 255 bytes without control characters"));
    }
    let amr = parameters.words("amr")?;
    if amr.len() > MAX_METHODS || amr.iter().any(|method| method.len() > MAX_WORD_BYTES) {
        return Err(RequestFault::invalid("amr must be at most 16 methods of at most 255 bytes"));
    }
    Ok(Authentication { time: parameters.time("auth_time")?, acr, amr })
}

fn rejection(parameters: &mut Parameters) -> Result<Rejection, RequestFault> {
    Rejection::parse(&parameters.required("error")?).ok_or_else(|| {
        let codes = Rejection::ALL.map(Rejection::code).join(", ");
        RequestFault::invalid(format!("error must be one of {codes}"))
    })
}

/// The characters of RFC 6749 §4.1.2.1.
fn description(parameters: &mut Parameters) -> Result<Option<String>, RequestFault> {
    let description = parameters.text("error_description")?;
    let is_allowed = |byte: u8| matches!(byte, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~');
    let fits = |text: &String| text.len() <= MAX_DESCRIPTION_BYTES && text.bytes().all(is_allowed);
    if description.as_ref().is_some_and(|text| !fits(text)) {
        let text =
            "error_description must be at most 512 printable ASCII characters, none of them a quote or backslash";
        return Err(RequestFault::invalid(text));
    }
    Ok(description)
}
