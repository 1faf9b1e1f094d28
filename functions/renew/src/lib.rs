//! `POST /token/renew`: the client exchanges its refresh token, or a code, for new tokens (docs/api.md, Renewal and
//! Sign-in).

use latchkey_token::{
    audit::EventKind,
    failure::{Failure, Refusal},
    grants::{ClientGrantType, CodeRequest, Renew, RenewRequest, TokenSet},
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
    let answer = answer(service, &request, &audit).await.map(|tokens| response::tokens(&tokens));
    service.respond(&request, answer, &audit, EventKind::RenewalRejected)
}

/// What the client's token endpoint does, by `grant_type`: one use case each.
async fn answer<S, D>(service: &Service<S, D>, request: &Request, audit: &RequestAudit) -> Result<TokenSet, EdgeError>
where
    S: RenewSession + ReadSession + RevokeSession,
    D: DocumentSource,
{
    let authorization = Authorization::read(request.headers())?;
    let mut parameters = Parameters::read(request)?;
    let use_case = Renew {
        store: &service.store,
        documents: &service.documents,
        policy: &service.policy,
        clock: service.clock.as_ref(),
        randomness: service.randomness.as_ref(),
        audit,
    };
    match ClientGrantType::read(parameters.text("grant_type")?.as_deref()) {
        ClientGrantType::RefreshToken => within_deadline(use_case.run(renewal(authorization, parameters)?)).await,
        ClientGrantType::AuthorizationCode => {
            within_deadline(use_case.exchange(exchange(authorization, parameters)?)).await
        }
        ClientGrantType::Unsupported => {
            let refusal = Refusal::UnsupportedGrantType { supported: &ClientGrantType::NAMES };
            Err(Failure::Refused(refusal).into())
        }
    }
}

fn renewal(authorization: Authorization, mut parameters: Parameters) -> Result<RenewRequest, EdgeError> {
    let refresh_token = parameters.required("refresh_token")?;
    let (client, access_token) = credentials::client(authorization, &mut parameters)?;
    Ok(RenewRequest { client, refresh_token, access_token, scope: parameters.text("scope")? })
}

/// Whatever else comes along, such as a scope, was said at the begin of the sign-in.
fn exchange(authorization: Authorization, mut parameters: Parameters) -> Result<CodeRequest, EdgeError> {
    let code = parameters.required("code")?;
    let redirect_uri = parameters.required("redirect_uri")?;
    let (client, _) = credentials::client(authorization, &mut parameters)?;
    Ok(CodeRequest { client, code, redirect_uri, code_verifier: parameters.text("code_verifier")? })
}
