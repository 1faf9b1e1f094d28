//! `/authorize` and `/authorize/return`: the begin and the end of a sign-in, in the user's browser (docs/api.md, Sign-in).
//! Neither writes, reads the table, or has a key that signs.

use std::sync::Arc;

use lambda_http::http::{Method, StatusCode};
use latchkey_token::{
    audit::EventKind,
    failure::Failure,
    ports::{Clock, Randomness, SignInDocumentSource},
    routes,
    sign_in::{Authorize, Direction, Finish, MAX_ADDRESS_BYTES, MAX_REQUEST_BYTES},
    values::with_query,
};
use latchkey_token_lambda::{
    Body, Request, Response,
    request::{BrowserCookie, MAX_BODY_BYTES, RequestFault, browser_parameters, only},
    response::{self, EdgeError, Page},
    telemetry::RequestAudit,
    within_deadline,
};

/// Everything that sign-ins need besides the request.
pub struct SignIns<D> {
    /// Where ticket keys and registrations come from.
    pub documents: D,
    /// The deployment's `iss`.
    pub issuer: String,
    pub clock: Arc<dyn Clock>,
    pub randomness: Arc<dyn Randomness>,
}

/// Answers one request. Never fails: every outcome is a redirect or a page.
pub async fn handle<D: SignInDocumentSource>(sign_ins: &SignIns<D>, request: Request) -> Response<Body> {
    let audit = RequestAudit::new("authorize", &request);
    let path = request.uri().path();
    let answer = if routes::RETURN_SIGN_IN.ends(path) {
        finish(sign_ins, &request, &audit).await
    } else if routes::AUTHORIZE.ends(path) {
        begin(sign_ins, &request, &audit).await
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

fn direct(direction: &Direction) -> Result<Response<Body>, EdgeError> {
    match direction {
        Direction::To(address) => Ok(response::redirect(StatusCode::FOUND, address).map_err(Failure::from)?),
        Direction::Page => Ok(response::page(Page::SignInStops)),
    }
}
