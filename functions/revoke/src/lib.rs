//! `POST /token/revoke` (RFC 7009): sign-out.

use latchkey_token::{
    audit::EventKind,
    management::Revoke,
    ports::{DocumentSource, ReadSession, RevokeSession},
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
    S: ReadSession + RevokeSession,
    D: DocumentSource,
{
    let audit = RequestAudit::new("revoke", &request);
    let answer = revoke(service, &request, &audit).await.map(|()| response::ok(&response::Nothing {}));
    service.respond(&request, answer, &audit, EventKind::ClientRejected)
}

async fn revoke<S, D>(service: &Service<S, D>, request: &Request, audit: &RequestAudit) -> Result<(), EdgeError>
where
    S: ReadSession + RevokeSession,
    D: DocumentSource,
{
    let authorization = Authorization::read(request.headers())?;
    let mut parameters = Parameters::read(request)?;
    let token = parameters.required("token")?;
    let caller = credentials::caller(authorization, &mut parameters)?;
    let use_case = Revoke {
        store: &service.store,
        documents: &service.documents,
        policy: &service.policy,
        clock: service.clock.as_ref(),
        randomness: service.randomness.as_ref(),
        audit,
    };
    within_deadline(use_case.run(&caller, &token)).await
}
