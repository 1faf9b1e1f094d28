//! `POST /token`: the external system's back end turns a signed-in user into tokens (design §2, Issue).

use latchkey_token::{
    audit::EventKind,
    identity::Subject,
    issue::{Issue, IssueRequest},
    mint::TokenSet,
    ports::{AuthoritySource, InsertSession},
    refusal::{Failure, Refusal},
};
use latchkey_token_lambda::{
    Body, Request, Response, Service,
    credentials::{self, Authorization},
    request::{Members, RequestFault},
    response::{self, EdgeError},
    service,
    telemetry::RequestAudit,
};

/// Answers one request. Never fails: every outcome is a response.
pub async fn handle<S, A>(service: &Service<S, A>, request: Request) -> Response<Body>
where
    S: InsertSession,
    A: AuthoritySource,
{
    let audit = RequestAudit::new("issue", &request);
    let authorization = Authorization::read(request.headers());
    let tried_to_authenticate = authorization.as_ref().is_ok_and(Authorization::tried_to_authenticate);
    let answer = match authorization {
        Ok(authorization) => issue(service, &request, &authorization, &audit).await,
        Err(fault) => Err(fault.into()),
    };
    let response = match answer {
        Ok(tokens) => response::tokens(&tokens),
        Err(error) => {
            audit.record_error(&error, EventKind::ClientRejected);
            response::error(&error, tried_to_authenticate)
        }
    };
    service.cors.apply(request.headers(), response)
}

async fn issue<S, A>(
    latchkey: &Service<S, A>,
    request: &Request,
    authorization: &Authorization,
    audit: &RequestAudit,
) -> Result<TokenSet, EdgeError>
where
    S: InsertSession,
    A: AuthoritySource,
{
    let request = parse(request, authorization)?;
    let use_case = Issue {
        store: &latchkey.store,
        authority: &latchkey.authority,
        policy: &latchkey.policy,
        clock: latchkey.clock.as_ref(),
        randomness: latchkey.randomness.as_ref(),
        audit,
    };
    service::within_deadline(use_case.run(request)).await
}

fn parse(request: &Request, authorization: &Authorization) -> Result<IssueRequest, EdgeError> {
    let mut members = Members::read(request)?;
    if members.text("grant_type")?.is_some() {
        return Err(Failure::Refused(Refusal::UnsupportedGrantType).into());
    }
    let subject = Subject::parse(&members.required("subject")?)
        .ok_or_else(|| RequestFault::invalid("subject must be 1 to 255 bytes without control characters"))?;
    let nonce = members.text("nonce")?;
    if nonce.as_ref().is_some_and(|nonce| nonce.len() > 255 || nonce.chars().any(char::is_control)) {
        return Err(RequestFault::invalid("nonce must be at most 255 bytes without control characters").into());
    }
    Ok(IssueRequest {
        issuer: credentials::issuer(authorization, &mut members)?,
        client_id: members.text("client_id")?,
        subject,
        scope: members.text("scope")?,
        claims: members.object("claims")?,
        expires_in: members.seconds("expires_in")?,
        nonce,
    })
}
