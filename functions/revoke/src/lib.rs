//! `POST /token/revoke` (RFC 7009): sign-out.

use latchkey_token::{
    audit::EventKind,
    ports::{AuthoritySource, ReadSession, RevokeSession},
    revoke::Revoke,
};
use latchkey_token_lambda::{
    Body, Request, Response, Service,
    credentials::{self, Authorization},
    request::Members,
    response::{self, EdgeError},
    service::within_deadline,
    telemetry::RequestAudit,
};

/// Answers one request. Never fails: every outcome is a response.
pub async fn handle<S, A>(service: &Service<S, A>, request: Request) -> Response<Body>
where
    S: ReadSession + RevokeSession,
    A: AuthoritySource,
{
    let audit = RequestAudit::new("revoke", &request);
    let authorization = Authorization::read(request.headers());
    let tried_to_authenticate = authorization.as_ref().is_ok_and(Authorization::tried_to_authenticate);
    let answer = match authorization {
        Ok(authorization) => revoke(service, &request, authorization, &audit).await,
        Err(fault) => Err(fault.into()),
    };
    let response = match answer {
        Ok(()) => response::ok(&response::Nothing {}),
        Err(error) => {
            audit.record_error(&error, EventKind::ClientRejected);
            response::error(&error, tried_to_authenticate)
        }
    };
    service.cors.apply(request.headers(), response)
}

async fn revoke<S, A>(
    service: &Service<S, A>,
    request: &Request,
    authorization: Authorization,
    audit: &RequestAudit,
) -> Result<(), EdgeError>
where
    S: ReadSession + RevokeSession,
    A: AuthoritySource,
{
    let mut members = Members::read(request)?;
    let token = members.required("token")?;
    let caller = credentials::caller(authorization, &mut members)?;
    let use_case = Revoke {
        store: &service.store,
        authority: &service.authority,
        policy: &service.policy,
        clock: service.clock.as_ref(),
        audit,
    };
    within_deadline(use_case.run(&caller, &token)).await
}
