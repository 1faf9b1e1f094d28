//! `POST /token/introspect` (RFC 7662): is this token live, and what does it say?

use latchkey_token::{
    audit::EventKind,
    introspect::Introspect,
    json::{Map, Value},
    ports::{AuthoritySource, ReadSession},
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
    S: ReadSession,
    A: AuthoritySource,
{
    let audit = RequestAudit::new("introspect", &request);
    let authorization = Authorization::read(request.headers());
    let tried_to_authenticate = authorization.as_ref().is_ok_and(Authorization::tried_to_authenticate);
    let answer = match authorization {
        Ok(authorization) => introspect(service, &request, authorization, &audit).await,
        Err(fault) => Err(fault.into()),
    };
    let response = match answer {
        Ok(members) => response::ok(&members),
        Err(error) => {
            audit.record_error(&error, EventKind::ClientRejected);
            response::error(&error, tried_to_authenticate)
        }
    };
    service.cors.apply(request.headers(), response)
}

async fn introspect<S, A>(
    service: &Service<S, A>,
    request: &Request,
    authorization: Authorization,
    audit: &RequestAudit,
) -> Result<Map<String, Value>, EdgeError>
where
    S: ReadSession,
    A: AuthoritySource,
{
    let mut members = Members::read(request)?;
    let token = members.required("token")?;
    let caller = credentials::caller(authorization, &mut members)?;
    let use_case = Introspect {
        store: &service.store,
        authority: &service.authority,
        policy: &service.policy,
        clock: service.clock.as_ref(),
        audit,
    };
    within_deadline(use_case.run(&caller, &token)).await
}
