//! The Lambda authorizer (HTTP API, payload 2.0, simple responses): lets in unexpired access tokens of live sessions.

mod live;

use std::sync::Arc;

use lambda_http::aws_lambda_events::apigw::{
    ApiGatewayV2CustomAuthorizerSimpleResponse, ApiGatewayV2CustomAuthorizerV2Request,
};
use latchkey_token::{
    failure::{Failure, Unavailable},
    management::{Admit, Admitted},
    policy::Policy,
    ports::{Clock, DocumentSource, ReadSession},
    tokens::AuthenticAccessToken,
};
use latchkey_token_lambda::{
    request::{Invocation, credentials::Authorization},
    response::EdgeError,
    telemetry::RequestAudit,
    within_deadline,
};
use serde::{Deserialize, Serialize};

pub use self::live::LiveSessions;

/// Everything that the authorizer needs besides the request.
pub struct Authorizer<S, D> {
    pub store: S,
    pub documents: D,
    pub policy: Policy,
    /// The `aud` that it lets in.
    pub audience: String,
    /// Sessions found live a moment ago.
    pub live: LiveSessions,
    pub clock: Arc<dyn Clock>,
}

/// What the integration behind it is told of the bearer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bearer {
    pub sub: String,
    pub client_id: String,
    pub scope: String,
    pub sid: String,
}

/// Answers one event; a failure is API Gateway's own 500, and no denial.
pub async fn handle<S: ReadSession, D: DocumentSource>(
    authorizer: &Authorizer<S, D>,
    event: ApiGatewayV2CustomAuthorizerV2Request,
    request_id: String,
) -> Result<ApiGatewayV2CustomAuthorizerSimpleResponse<Bearer>, Unavailable> {
    let context = &event.request_context;
    let (api_request_id, source_ip) = (context.request_id.clone(), context.http.source_ip.clone());
    let caller = Invocation { request_id, api_request_id, source_ip };
    let audit = RequestAudit::of_caller("authorizer", caller, &event.headers);
    let token = match Authorization::read(&event.headers) {
        Ok(Authorization::Bearer(token)) => token,
        _ => String::new(),
    };
    let bearer = check(authorizer, &token, &audit).await?;
    let mut response = ApiGatewayV2CustomAuthorizerSimpleResponse::<Bearer>::default();
    response.is_authorized = bearer.is_some();
    response.context = bearer.unwrap_or_default();
    Ok(response)
}

/// Who bears `token`, if it lets them in.
pub async fn check<S: ReadSession, D: DocumentSource>(
    authorizer: &Authorizer<S, D>,
    token: &str,
    audit: &RequestAudit,
) -> Result<Option<Bearer>, Unavailable> {
    let now = authorizer.clock.now();
    let admit = Admit {
        store: &authorizer.store,
        documents: &authorizer.documents,
        policy: &authorizer.policy,
        audience: &authorizer.audience,
        clock: authorizer.clock.as_ref(),
        audit,
    };
    let known = |token: &AuthenticAccessToken| authorizer.live.known(&token.session, now);
    let checked = within_deadline(async { admit.run(token, known).await.map_err(Failure::from) }).await;
    let admitted = match checked {
        Ok(admitted) => admitted,
        Err(error) => {
            audit.record_failure(&error);
            return Err(unavailable(error));
        }
    };
    Ok(admitted.map(|Admitted { token, backing }| {
        authorizer.live.remember(token.session, backing, now);
        Bearer {
            sub: token.subject.as_str().to_owned(),
            client_id: token.client_id.to_string(),
            scope: token.scope,
            sid: token.session.to_string(),
        }
    }))
}

/// Authorization has no other failures than the infrastructure's.
fn unavailable(error: EdgeError) -> Unavailable {
    match error {
        EdgeError::Failed(Failure::Unavailable(unavailable) | Failure::Unrepeatable(unavailable)) => unavailable,
        EdgeError::Failed(Failure::Refused(_)) | EdgeError::Unreadable(_) => {
            Unavailable::new("authorizer", "an answer that it does not give")
        }
    }
}
