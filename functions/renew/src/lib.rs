//! `POST /token/renew`: the client exchanges its refresh token for new tokens (docs/api.md, Renewal).

use latchkey_token::{
    audit::EventKind,
    failure::{Failure, Refusal},
    grants::{Renew, RenewRequest, TokenSet},
    ports::{DocumentSource, ReadSession, RenewSession, RevokeSession},
};
use latchkey_token_lambda::{
    Body, Request, Response, Service,
    request::{
        Parameters,
        credentials::{self, Authorization},
    },
    response::{self, EdgeError},
    telemetry::RequestAudit,
    within_deadline,
};

/// Answers one request. Never fails: every outcome is a response.
pub async fn handle<S, D>(service: &Service<S, D>, request: Request) -> Response<Body>
where
    S: RenewSession + ReadSession + RevokeSession,
    D: DocumentSource,
{
    let audit = RequestAudit::new("renew", &request);
    let answer = renew(service, &request, &audit).await.map(|tokens| response::tokens(&tokens));
    service.respond(&request, answer, &audit, EventKind::RenewalRejected)
}

async fn renew<S, D>(latchkey: &Service<S, D>, request: &Request, audit: &RequestAudit) -> Result<TokenSet, EdgeError>
where
    S: RenewSession + ReadSession + RevokeSession,
    D: DocumentSource,
{
    let request = parse(request)?;
    let use_case = Renew {
        store: &latchkey.store,
        documents: &latchkey.documents,
        policy: &latchkey.policy,
        clock: latchkey.clock.as_ref(),
        randomness: latchkey.randomness.as_ref(),
        audit,
    };
    within_deadline(use_case.run(request)).await
}

fn parse(request: &Request) -> Result<RenewRequest, EdgeError> {
    let authorization = Authorization::read(request.headers())?;
    let mut members = Parameters::read(request)?;
    if members.text("grant_type")?.is_some_and(|grant_type| grant_type != "refresh_token") {
        return Err(Failure::Refused(Refusal::UnsupportedGrantType).into());
    }
    let refresh_token = members.required("refresh_token")?;
    let (client, access_token) = credentials::client(authorization, &mut members)?;
    Ok(RenewRequest { client, refresh_token, access_token, scope: members.text("scope")? })
}
