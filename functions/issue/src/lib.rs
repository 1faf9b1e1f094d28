//! `POST /token` and `POST /authorize/…`: the external system's back end turns a signed-in user into tokens, and answers
//! for the sign-ins that clients have begun (docs/api.md, Issue and Sign-in).

mod sign_in;

use std::sync::atomic::{AtomicBool, Ordering};

use latchkey_token::{
    audit::EventKind,
    failure::{Failure, Refusal},
    grants::{Issue, IssueRequest, IssuerGrant, IssuerGrantType, TokenSet},
    ports::{DocumentSource, InsertSession, RedeemAssertion},
    values::{MAX_NONCE_BYTES, Subject, is_carried},
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

use self::sign_in::SignInCall;

/// Answers one request. Never fails: every outcome is a response.
pub async fn handle<S, D>(service: &Service<S, D>, request: Request) -> Response<Body>
where
    S: InsertSession + RedeemAssertion,
    D: DocumentSource,
{
    let audit = RequestAudit::new("issue", &request);
    let path = request.uri().path();
    if let Some(call) = SignInCall::ALL.into_iter().find(|call| call.route().ends(path)) {
        let answer = sign_in::answer(service, call, &request, &audit).await;
        return service.respond(&request, answer, &audit, EventKind::SignInRejected);
    }
    let answer = issue(service, &request, &audit).await.map(|tokens| response::tokens(&tokens));
    service.respond(&request, answer, &audit, EventKind::ClientRejected)
}

async fn issue<S, D>(latchkey: &Service<S, D>, request: &Request, audit: &RequestAudit) -> Result<TokenSet, EdgeError>
where
    S: InsertSession + RedeemAssertion,
    D: DocumentSource,
{
    let request = parse(request)?;
    let use_case = Issue {
        store: &latchkey.store,
        documents: &latchkey.documents,
        policy: &latchkey.policy,
        clock: latchkey.clock.as_ref(),
        randomness: latchkey.randomness.as_ref(),
        audit,
        is_redeeming: AtomicBool::default(),
    };
    within_deadline(use_case.run(request)).await.map_err(|error| match error {
        // Given up while the assertion's use may already have been recorded.
        EdgeError::Failed(Failure::Unavailable(unavailable)) if use_case.is_redeeming.load(Ordering::Relaxed) => {
            Failure::Unrepeatable(unavailable).into()
        }
        error => error,
    })
}

fn parse(request: &Request) -> Result<IssueRequest, EdgeError> {
    let authorization = Authorization::read(request.headers())?;
    let mut parameters = Parameters::read(request)?;
    let client_id = parameters.text("client_id")?;
    let grant = match IssuerGrantType::read(parameters.text("grant_type")?.as_deref()) {
        IssuerGrantType::Statement => statement(&authorization, &mut parameters)?,
        IssuerGrantType::Assertion => assertion(authorization, &mut parameters, client_id.as_deref())?,
        IssuerGrantType::Unsupported => {
            let refusal = Refusal::UnsupportedGrantType { supported: &IssuerGrantType::NAMES };
            return Err(Failure::Refused(refusal).into());
        }
    };
    let nonce = parameters.text("nonce")?;
    if nonce.as_ref().is_some_and(|nonce| !is_carried(nonce, MAX_NONCE_BYTES)) {
        return Err(RequestFault::invalid("nonce must be at most 255 bytes without control characters").into());
    }
    Ok(IssueRequest {
        grant,
        client_id,
        scope: parameters.text("scope")?,
        expires_in: parameters.seconds("expires_in")?,
        nonce,
    })
}

fn subject(parameters: &mut Parameters) -> Result<Subject, RequestFault> {
    Subject::parse(&parameters.required("subject")?)
        .ok_or_else(|| RequestFault::invalid(format!("subject must be {}", Subject::RULE)))
}

fn statement(authorization: &Authorization, parameters: &mut Parameters) -> Result<IssuerGrant, RequestFault> {
    let subject = subject(parameters)?;
    Ok(IssuerGrant::Statement {
        issuer: credentials::issuer(authorization, parameters)?,
        subject,
        claims: parameters.object("claims")?,
    })
}

/// An assertion says who issues and about whom, and nothing beside it may say so: whoever holds it would else choose.
fn assertion(
    authorization: Authorization,
    parameters: &mut Parameters,
    client_id: Option<&str>,
) -> Result<IssuerGrant, RequestFault> {
    let assertion = parameters.required("assertion")?;
    let caller = credentials::beside_an_assertion(authorization, parameters, client_id)?;
    if parameters.text("subject")?.is_some() || !parameters.object("claims")?.is_empty() {
        return Err(RequestFault::invalid("subject and claims come from the assertion: leave them out"));
    }
    Ok(IssuerGrant::Assertion { assertion, caller })
}
