//! `POST /token/introspect` (RFC 7662): is this token live, and what does it say? And `/userinfo` (OpenID Connect Core §5.3):
//! who is its bearer?

use latchkey_token::{
    audit::EventKind,
    json::{Map, Value},
    management::{Introspect, Userinfo, UserinfoAnswer},
    ports::{DocumentSource, ReadSession},
    routes,
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

/// Answers one request. Never fails: every outcome is a response.
pub async fn handle<S, D>(service: &Service<S, D>, request: Request) -> Response<Body>
where
    S: ReadSession,
    D: DocumentSource,
{
    let audit = RequestAudit::new("introspect", &request);
    if routes::USERINFO.ends(request.uri().path()) {
        let answer = userinfo(service, &request, &audit).await;
        let is_unreadable = matches!(answer, Err(EdgeError::Unreadable(_)));
        let response = service.respond(&request, answer, &audit, EventKind::AccessDenied);
        return if is_unreadable { response::with_bearer_challenge(response) } else { response };
    }
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

async fn userinfo<S, D>(
    service: &Service<S, D>,
    request: &Request,
    audit: &RequestAudit,
) -> Result<Response<Body>, EdgeError>
where
    S: ReadSession,
    D: DocumentSource,
{
    let Some(token) = bearer_token(request)? else { return Ok(response::invalid_token()) };
    let use_case = Userinfo {
        store: &service.store,
        documents: &service.documents,
        policy: &service.policy,
        clock: service.clock.as_ref(),
        audit,
    };
    Ok(match within_deadline(use_case.run(&token)).await? {
        UserinfoAnswer::Claims(claims) => response::ok(&claims),
        UserinfoAnswer::InvalidToken => response::invalid_token(),
        UserinfoAnswer::InsufficientScope => response::insufficient_scope("openid"),
    })
}

/// In the Authorization header, or in the body of a POST (RFC 6750 §2.1 and §2.2); never in the address.
fn bearer_token(request: &Request) -> Result<Option<String>, EdgeError> {
    let in_header = match Authorization::read(request.headers())? {
        Authorization::Bearer(token) => Some(token),
        Authorization::Absent | Authorization::Basic(_) | Authorization::Other => None,
    };
    let has_body = !matches!(request.body(), Body::Empty) && !request.body().is_empty();
    let in_body = match has_body && !request.method().is_safe() {
        true => Parameters::read(request)?.text("access_token")?,
        false => None,
    };
    match (in_header, in_body) {
        (Some(_), Some(_)) => {
            let text = "the access token is both in the Authorization header and in the body: use one";
            Err(RequestFault::invalid(text).into())
        }
        (in_header, in_body) => Ok(in_header.or(in_body)),
    }
}
