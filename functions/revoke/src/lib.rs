//! `POST /token/revoke` (RFC 7009): a client or issuer ends the session of a token. And `/sign-out` (OpenID Connect
//! RP-Initiated Logout 1.0): a browser comes to end the session of its ID token.

use lambda_http::http::StatusCode;
use latchkey_token::{
    audit::EventKind,
    failure::Failure,
    management::{Revoke, SignOut, SignOutRequest, SignedOut},
    ports::{DocumentSource, ReadSession, RevokeSession},
    routes,
};
use latchkey_token_lambda::{
    Body, Request, Response, Service,
    request::{
        MAX_BODY_BYTES, Parameters, browser_parameters,
        credentials::{self, Authorization},
        only,
    },
    response::{self, EdgeError, Page},
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
    if routes::SIGN_OUT.ends(request.uri().path()) {
        return sign_out(service, &request, &audit).await.unwrap_or_else(|error| {
            audit.record_error(&error, EventKind::AccessDenied);
            response::page(response::stopped_by(&error, Page::SignOutStops))
        });
    }
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

async fn sign_out<S, D>(
    service: &Service<S, D>,
    request: &Request,
    audit: &RequestAudit,
) -> Result<Response<Body>, EdgeError>
where
    S: RevokeSession,
    D: DocumentSource,
{
    let parameters = browser_parameters(request, MAX_BODY_BYTES)?;
    let request = SignOutRequest {
        id_token_hint: only(&parameters, "id_token_hint")?,
        client_id: only(&parameters, "client_id")?,
        post_logout_redirect_uri: only(&parameters, "post_logout_redirect_uri")?,
        state: only(&parameters, "state")?,
    };
    let use_case = SignOut {
        store: &service.store,
        documents: &service.documents,
        policy: &service.policy,
        clock: service.clock.as_ref(),
        randomness: service.randomness.as_ref(),
        audit,
    };
    Ok(match within_deadline(use_case.run(request)).await? {
        SignedOut::To(address) => response::redirect(StatusCode::FOUND, &address).map_err(Failure::from)?,
        SignedOut::Ended => response::page(Page::SignedOut),
        SignedOut::NothingEnded => response::page(Page::NobodySignedOut),
        SignedOut::Refused => response::page(Page::SignOutStops),
    })
}
