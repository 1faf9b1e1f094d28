//! `POST /token/renew`: the client exchanges its refresh token, or a code, for new tokens, or a user's access token for one that
//! is meant for a target (docs/api.md, Renewal, Sign-in and Exchange).

use latchkey_token::{
    audit::EventKind,
    failure::{Failure, Refusal},
    grants::{
        ClientGrantType, CodeRequest, IssuedTokenType, Renew, RenewRequest, Targets, TokenExchange,
        TokenExchangeRequest,
    },
    ports::{DocumentSource, ReadSession, RenewSession, RevokeSession},
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
    S: RenewSession + ReadSession + RevokeSession,
    D: DocumentSource,
{
    let audit = RequestAudit::new("renew", &request);
    let answer = answer(service, &request, &audit).await;
    service.respond(&request, answer, &audit, EventKind::RenewalRejected)
}

/// What the client's token endpoint does, by `grant_type`: one use case each.
async fn answer<S, D>(
    service: &Service<S, D>,
    request: &Request,
    audit: &RequestAudit,
) -> Result<Response<Body>, EdgeError>
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
    let tokens = match ClientGrantType::read(parameters.text("grant_type")?.as_deref()) {
        ClientGrantType::RefreshToken => within_deadline(use_case.run(renewal(authorization, parameters)?)).await,
        ClientGrantType::AuthorizationCode => {
            within_deadline(use_case.exchange(exchange(authorization, parameters)?)).await
        }
        ClientGrantType::TokenExchange => {
            return exchanged(service, token_exchange(authorization, parameters)?, audit).await;
        }
        ClientGrantType::OnBehalfOf => {
            return exchanged(service, on_behalf_of(authorization, parameters)?, audit).await;
        }
        ClientGrantType::Unsupported => {
            let refusal = Refusal::UnsupportedGrantType { supported: &ClientGrantType::NAMES };
            Err(Failure::Refused(refusal).into())
        }
    };
    tokens.map(|tokens| response::tokens(&tokens))
}

async fn exchanged<S, D>(
    service: &Service<S, D>,
    request: TokenExchangeRequest,
    audit: &RequestAudit,
) -> Result<Response<Body>, EdgeError>
where
    S: ReadSession,
    D: DocumentSource,
{
    let use_case = TokenExchange {
        store: &service.store,
        documents: &service.documents,
        policy: &service.policy,
        clock: service.clock.as_ref(),
        randomness: service.randomness.as_ref(),
        audit,
    };
    Ok(response::exchanged(&within_deadline(use_case.run(request)).await?))
}

fn renewal(authorization: Authorization, mut parameters: Parameters) -> Result<RenewRequest, EdgeError> {
    let refresh_token = parameters.required("refresh_token")?;
    let (client, access_token) = credentials::client(authorization, &mut parameters)?;
    let scope = parameters.text("scope")?;
    Ok(RenewRequest { client, refresh_token, access_token, scope, resource: parameters.texts("resource")? })
}

/// Whatever else comes along, such as a scope, was said at the begin of the sign-in.
fn exchange(authorization: Authorization, mut parameters: Parameters) -> Result<CodeRequest, EdgeError> {
    let code = parameters.required("code")?;
    let redirect_uri = parameters.required("redirect_uri")?;
    let (client, _) = credentials::client(authorization, &mut parameters)?;
    let code_verifier = parameters.text("code_verifier")?;
    Ok(CodeRequest { client, code, redirect_uri, code_verifier, resource: parameters.texts("resource")? })
}

/// RFC 8693 §2.1.
fn token_exchange(authorization: Authorization, mut parameters: Parameters) -> Result<TokenExchangeRequest, EdgeError> {
    let subject_token = parameters.required("subject_token")?;
    token_type(&parameters.required("subject_token_type")?, "subject_token_type")?;
    let targets = targets(&mut parameters)?;
    if targets.is_empty() {
        return Err(
            RequestFault::invalid("audience or resource is missing: it names the target of the new token").into()
        );
    }
    passed_on(authorization, parameters, subject_token, Targets::Named(targets))
}

/// As LibreChat sends it for an MCP server. The target may be left to the scope.
fn on_behalf_of(authorization: Authorization, mut parameters: Parameters) -> Result<TokenExchangeRequest, EdgeError> {
    if parameters.required("requested_token_use")? != "on_behalf_of" {
        return Err(RequestFault::invalid("requested_token_use must be on_behalf_of").into());
    }
    let subject_token = parameters.required("assertion")?;
    let targets = match targets(&mut parameters)? {
        none if none.is_empty() => Targets::ByScope,
        named => Targets::Named(named),
    };
    passed_on(authorization, parameters, subject_token, targets)
}

/// What both forms have in common. Nobody else may act than the client itself.
fn passed_on(
    authorization: Authorization,
    mut parameters: Parameters,
    subject_token: String,
    targets: Targets,
) -> Result<TokenExchangeRequest, EdgeError> {
    for name in ["actor_token", "actor_token_type"] {
        if parameters.text(name)?.is_some() {
            return Err(RequestFault::invalid(format!("{name} is not supported: the client itself acts")).into());
        }
    }
    let issued = match parameters.text("requested_token_type")? {
        None => IssuedTokenType::default(),
        Some(name) => token_type(&name, "requested_token_type")?,
    };
    let scope = parameters.text("scope")?;
    let (client, _) = credentials::client(authorization, &mut parameters)?;
    Ok(TokenExchangeRequest { client, subject_token, targets, scope, issued })
}

fn targets(parameters: &mut Parameters) -> Result<Vec<String>, RequestFault> {
    Ok([parameters.texts("audience")?, parameters.texts("resource")?].concat())
}

fn token_type(name: &str, member: &str) -> Result<IssuedTokenType, RequestFault> {
    IssuedTokenType::read(name).ok_or_else(|| {
        let [access_token, jwt] = [IssuedTokenType::AccessToken, IssuedTokenType::Jwt].map(IssuedTokenType::name);
        RequestFault::invalid(format!("{member} must be {access_token} or {jwt}"))
    })
}
