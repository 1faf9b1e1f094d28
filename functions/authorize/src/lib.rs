//! `/authorize` and `/authorize/return`: the begin and the end of a sign-in, in the user's browser (docs/api.md, Sign-in).
//! `/register`: an MCP client registers itself (docs/api.md, Registration). None of them writes, reads the table, or has a key
//! that signs.

use std::sync::Arc;

use lambda_http::http::{Method, StatusCode};
use latchkey_token::{
    audit::EventKind,
    failure::{Failure, Refusal},
    ports::{Clock, Randomness, SignInDocumentSource},
    routes,
    sign_in::{
        Authorize, Direction, Finish, MAX_ADDRESS_BYTES, MAX_REQUEST_BYTES, Register, RegisterRequest, RegisteredClient,
    },
    values::with_query,
};
use latchkey_token_lambda::{
    Body, Request, Response,
    request::{BrowserCookie, MAX_BODY_BYTES, Parameters, RequestFault, browser_parameters, only},
    response::{self, Cors, EdgeError, Page},
    telemetry::RequestAudit,
    within_deadline,
};
use serde::Serialize;

/// Everything that sign-ins need besides the request.
pub struct SignIns<D> {
    /// Where ticket keys and registrations come from.
    pub documents: D,
    /// The deployment's `iss`.
    pub issuer: String,
    pub clock: Arc<dyn Clock>,
    pub randomness: Arc<dyn Randomness>,
    /// The origins whose pages may register clients.
    pub cors: Cors,
    /// Whether clients may register themselves, as far as the registrations allow it.
    pub clients_register: bool,
}

/// What a client is told of its registration (RFC 7591 §3.2.1).
#[derive(Serialize)]
struct RegistrationAnswer<'a> {
    client_id: &'a str,
    client_id_issued_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret_expires_at: Option<i64>,
    redirect_uris: &'a [String],
    grant_types: &'a [&'a str],
    response_types: &'a [&'a str],
    token_endpoint_auth_method: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
}

/// Answers one request. Never fails: every outcome is a redirect or a page, or JSON at `/register`.
pub async fn handle<D: SignInDocumentSource>(sign_ins: &SignIns<D>, request: Request) -> Response<Body> {
    let audit = RequestAudit::new("authorize", &request);
    let path = request.uri().path();
    let answer = if routes::RETURN_SIGN_IN.ends(path) {
        finish(sign_ins, &request, &audit).await
    } else if routes::AUTHORIZE.ends(path) {
        begin(sign_ins, &request, &audit).await
    } else if routes::REGISTER.ends(path) && sign_ins.clients_register {
        return register(sign_ins, &request, &audit).await;
    } else {
        return response::not_found();
    };
    answer.unwrap_or_else(|error| {
        audit.record_error(&error, EventKind::SignInRejected);
        response::page(response::stopped_by(&error, Page::SignInStops))
    })
}

async fn begin<D: SignInDocumentSource>(
    sign_ins: &SignIns<D>,
    request: &Request,
    audit: &RequestAudit,
) -> Result<Response<Body>, EdgeError> {
    let parameters = browser_parameters(request, MAX_REQUEST_BYTES)?;
    let cookie = BrowserCookie::of(&sign_ins.issuer);
    let browser = cookie.read(request.headers());
    if request.method() == Method::POST && browser.is_none() {
        // A form from another site brings no cookie (SameSite=Lax), and a new one would break the browser's other sign-ins.
        let parameters: Vec<_> = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let address = with_query(&routes::AUTHORIZE.url(&sign_ins.issuer), &parameters);
        if address.len() > MAX_ADDRESS_BYTES {
            return Err(RequestFault::TooLarge.into());
        }
        return Ok(response::redirect(StatusCode::SEE_OTHER, &address).map_err(Failure::from)?);
    }
    let use_case = Authorize {
        documents: &sign_ins.documents,
        issuer: &sign_ins.issuer,
        clock: sign_ins.clock.as_ref(),
        randomness: sign_ins.randomness.as_ref(),
        audit,
    };
    let begun = within_deadline(use_case.run(parameters, browser)).await?;
    if let Some(trouble) = begun.trouble {
        audit.record_failure(&Failure::from(trouble).into());
    }
    let response = direct(&begun.direction)?;
    Ok(match begun.new_browser {
        Some(browser) => response::with_cookie(response, &cookie.set(&browser)),
        None => response,
    })
}

async fn finish<D: SignInDocumentSource>(
    sign_ins: &SignIns<D>,
    request: &Request,
    audit: &RequestAudit,
) -> Result<Response<Body>, EdgeError> {
    let parameters = browser_parameters(request, MAX_BODY_BYTES)?;
    let answer = only(&parameters, "answer")?.unwrap_or_default();
    let browser = BrowserCookie::of(&sign_ins.issuer).read(request.headers());
    let use_case =
        Finish { documents: &sign_ins.documents, issuer: &sign_ins.issuer, clock: sign_ins.clock.as_ref(), audit };
    direct(&within_deadline(use_case.run(&answer, browser)).await?)
}

async fn register<D: SignInDocumentSource>(
    sign_ins: &SignIns<D>,
    request: &Request,
    audit: &RequestAudit,
) -> Response<Body> {
    let registered = match registration(request) {
        Ok(registration) => {
            let use_case = Register {
                documents: &sign_ins.documents,
                issuer: &sign_ins.issuer,
                clock: sign_ins.clock.as_ref(),
                randomness: sign_ins.randomness.as_ref(),
                audit,
            };
            within_deadline(use_case.run(registration)).await
        }
        Err(error) => Err(error),
    };
    let response = match registered {
        Ok(Some(client)) => response::created(&answer_of(&client)),
        Ok(None) => response::not_found(),
        Err(error) => {
            audit.record_error(&error, EventKind::ClientRejected);
            response::error(&error, false)
        }
    };
    sign_ins.cors.apply(request.headers(), response)
}

fn registration(request: &Request) -> Result<RegisterRequest, EdgeError> {
    let mut metadata = Parameters::read_json(request)?;
    let faulty = |text| Failure::Refused(Refusal::InvalidClientMetadata(text));
    let mut strings = |name, refusal| metadata.strings(name).map_err(|_| Failure::Refused(refusal));
    let redirect_uris =
        strings("redirect_uris", Refusal::InvalidRedirectUri("redirect_uris must be a list of addresses"))?;
    let grant_types = strings("grant_types", Refusal::InvalidClientMetadata("grant_types must be a list of strings"))?;
    let response_types =
        strings("response_types", Refusal::InvalidClientMetadata("response_types must be a list of strings"))?;
    let method = metadata
        .text("token_endpoint_auth_method")
        .map_err(|_| faulty("token_endpoint_auth_method must be a string"))?;
    Ok(RegisterRequest { redirect_uris: redirect_uris.unwrap_or_default(), method, grant_types, response_types })
}

fn answer_of(client: &RegisteredClient) -> RegistrationAnswer<'_> {
    RegistrationAnswer {
        client_id: client.id.client_id().as_str(),
        client_id_issued_at: client.id.registered_at().unix_seconds(),
        client_secret: client.secret.as_deref(),
        client_secret_expires_at: client.secret.as_ref().map(|_| client.expires_at.unix_seconds()),
        redirect_uris: &client.redirect_uris,
        grant_types: client.grant_types,
        response_types: client.response_types,
        token_endpoint_auth_method: client.id.method().name(),
        scope: client.scope.to_string(),
    }
}

fn direct(direction: &Direction) -> Result<Response<Body>, EdgeError> {
    match direction {
        Direction::To(address) => Ok(response::redirect(StatusCode::FOUND, address).map_err(Failure::from)?),
        Direction::Page => Ok(response::page(Page::SignInStops)),
    }
}
