//! `POST /token/introspect` (RFC 7662): is this token live, and what does it say?

use latchkey_token::{
    audit::EventKind,
    json::{Map, Value},
    management::Introspect,
    ports::{DocumentSource, ReadSession},
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
    S: ReadSession,
    D: DocumentSource,
{
    let audit = RequestAudit::new("introspect", &request);
    let answer = introspect(service, &request, &audit).await.map(|members| response::ok(&members));
    service.respond(&request, answer, &audit, EventKind::ClientRejected)
}

async fn introspect<S, D>(
    service: &Service<S, D>,
    request: &Request,
    audit: &RequestAudit,
) -> Result<Map<String, Value>, EdgeError>
where
    S: ReadSession,
    D: DocumentSource,
{
    let authorization = Authorization::read(request.headers())?;
    let mut parameters = Parameters::read(request)?;
    let token = parameters.required("token")?;
    let caller = credentials::caller(authorization, &mut parameters)?;
    let use_case = Introspect {
        store: &service.store,
        documents: &service.documents,
        policy: &service.policy,
        clock: service.clock.as_ref(),
        audit,
    };
    within_deadline(use_case.run(&caller, &token)).await
}
