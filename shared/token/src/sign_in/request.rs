//! An authorization request: read and checked, parameter by parameter (RFC 6749 §4.1.1, OpenID Connect Core §3.1.2.1).

use crate::{
    audit::Reason,
    failure::Unavailable,
    registrations::{Client, Pkce, Registrations},
    tickets::{BrowserHash, Ticket},
    tokens::CodeChallenge,
    values::{
        AskedScope, IssuerId, MAX_NONCE_BYTES, MAX_STATE_BYTES, Scope, Seconds, Timestamp, is_carried, is_repeatable,
        with_query,
    },
};

/// Longest authorization request, in bytes: names and values as they are, with the characters between them.
pub const MAX_REQUEST_BYTES: usize = 4096;

/// What goes on to the portal as it came. Whatever else is unknown is ignored.
pub(super) const PASSED_ON: [&str; 5] = ["prompt", "login_hint", "max_age", "ui_locales", "acr_values"];

/// Parameters as they came, in their order; any may stand there several times.
pub(super) struct Parameters(pub Vec<(String, String)>);

impl Parameters {
    /// The value of a parameter that stands there once. One without a value counts as left out (RFC 6749 §3.1).
    pub fn only(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().filter(|(own, _)| own == name);
        let (_, value) = values.next().filter(|_| values.next().is_none())?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// The values of a parameter that may stand there several times, in their order. Those without a value count as left out.
    pub fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(own, value)| own == name && !value.is_empty()).map(|(_, value)| value.clone()).collect()
    }

    fn has_any_twice(&self) -> bool {
        let mut names: Vec<&str> = self.0.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| matches!(pair, [one, other] if one == other && !is_repeatable(one)))
    }
}

/// A client that may be told what is wrong: it is registered, and for this very address.
pub(super) struct Asker<'r> {
    pub client: &'r Client,
    pub redirect_uri: String,
    pub state: Option<String>,
}

impl<'r> Asker<'r> {
    /// `Err`: nobody may be told anything but the user.
    pub fn of(
        parameters: &Parameters,
        registrations: &'r Registrations,
    ) -> Result<Result<Self, (Option<&'r Client>, Reason)>, Unavailable> {
        let Some(client_id) = parameters.only("client_id") else { return Ok(Err((None, Reason::ClientNotNamed))) };
        let Some(client) = registrations.client(client_id)? else { return Ok(Err((None, Reason::ClientUnknown))) };
        let redirect_uri = parameters.only("redirect_uri").filter(|uri| client.redirects_to(uri));
        let Some(redirect_uri) = redirect_uri else {
            return Ok(Err((Some(client), Reason::RedirectUriNotRegistered)));
        };
        let state = parameters.only("state").filter(|state| is_carried(state, MAX_STATE_BYTES));
        Ok(Ok(Self { client, redirect_uri: redirect_uri.to_owned(), state: state.map(str::to_owned) }))
    }
}

/// An error that the client is told (RFC 6749 §4.1.2.1).
pub(super) struct ClientError {
    pub code: &'static str,
    pub description: &'static str,
    pub reason: Reason,
}

const fn invalid_request(description: &'static str) -> ClientError {
    ClientError { code: "invalid_request", description, reason: Reason::AuthorizationRequestMalformed }
}

const fn pkce(description: &'static str) -> ClientError {
    ClientError { code: "invalid_request", description, reason: Reason::PkceMissing }
}

/// `redirect_uri` with what the client is told, `iss` among it (RFC 9207 §2).
pub(super) fn back_to(redirect_uri: &str, said: &[(&str, &str)], state: Option<&str>, issuer: &str) -> String {
    let state = state.map(|state| ("state", state));
    let all: Vec<(&str, &str)> = said.iter().copied().chain(state).chain([("iss", issuer)]).collect();
    with_query(redirect_uri, &all)
}

/// Checks everything but who the portal is. The ticket holds what has been checked and nothing else of the request.
pub(super) fn ticket(
    parameters: &Parameters,
    asker: &Asker<'_>,
    issuer_id: &IssuerId,
    browser: BrowserHash,
    begun_at: Timestamp,
) -> Result<Ticket, ClientError> {
    let text = |name: &str| parameters.only(name);
    if parameters.has_any_twice() {
        return Err(invalid_request("a parameter stands twice"));
    }
    for (name, code, description) in [
        ("request", "request_not_supported", "request objects are not supported"),
        ("request_uri", "request_uri_not_supported", "request objects are not supported"),
        ("registration", "registration_not_supported", "clients are not registered here"),
    ] {
        if text(name).is_some() {
            return Err(ClientError { code, description, reason: Reason::AuthorizationRequestMalformed });
        }
    }
    match text("response_type") {
        Some("code") => {}
        None => return Err(invalid_request("response_type is missing")),
        Some(_) => {
            return Err(ClientError {
                code: "unsupported_response_type",
                description: "response_type must be code",
                reason: Reason::AuthorizationRequestMalformed,
            });
        }
    }
    if text("response_mode").is_some_and(|mode| mode != "query") {
        return Err(invalid_request("response_mode must be query, or left out"));
    }
    if text("state").is_some_and(|state| !is_carried(state, MAX_STATE_BYTES)) {
        return Err(invalid_request("state must be at most 1024 bytes without control characters"));
    }
    if text("nonce").is_some_and(|nonce| !is_carried(nonce, MAX_NONCE_BYTES)) {
        return Err(invalid_request("nonce must be at most 255 bytes without control characters"));
    }
    if PASSED_ON.iter().filter_map(|name| text(name)).any(|value| !is_carried(value, MAX_REQUEST_BYTES)) {
        return Err(invalid_request(
            "prompt, login_hint, max_age, ui_locales and acr_values have no control characters",
        ));
    }
    let prompt = text("prompt");
    let prompts = || prompt.unwrap_or_default().split(' ');
    if prompts().any(|name| name == "none") && prompts().nth(1).is_some() {
        return Err(invalid_request("prompt none stands alone"));
    }
    Ok(Ticket {
        client_id: asker.client.client_id.clone(),
        issuer_id: issuer_id.clone(),
        redirect_uri: asker.redirect_uri.clone(),
        scope: scope(text("scope"), asker.client)?,
        resource: resource(&parameters.all("resource"), asker.client)?,
        state: asker.state.clone(),
        nonce: text("nonce").map(str::to_owned),
        code_challenge: code_challenge(text("code_challenge"), text("code_challenge_method"), asker.client)?,
        prompt: prompt.map(str::to_owned),
        login_hint: text("login_hint").map(str::to_owned),
        acr_values: text("acr_values").map(str::to_owned),
        max_age: text("max_age").map(max_age).transpose()?,
        browser,
        begun_at,
    })
}

/// What the client is registered for of what is asked for; all of it, if nothing is (RFC 6749 §3.3).
fn scope(asked: Option<&str>, client: &Client) -> Result<Scope, ClientError> {
    let Some(asked) = asked else { return Ok(client.scope.clone()) };
    let scope = AskedScope::parse(asked).map(|asked| client.scope.narrowed_to(&asked));
    scope.filter(|scope| !scope.is_empty()).ok_or(ClientError {
        code: "invalid_scope",
        description: "scope is malformed, or nothing of it is registered for this client",
        reason: Reason::ScopeNotAllowed,
    })
}

/// RFC 8707 §2.
fn resource(asked: &[String], client: &Client) -> Result<Vec<String>, ClientError> {
    client.audience_of(asked).ok_or(ClientError {
        code: "invalid_target",
        description: "resource is not one that is registered for this client",
        reason: Reason::ResourceNotAllowed,
    })
}

/// RFC 7636 §4.3; the method `plain` protects nobody who needs it.
fn code_challenge(
    challenge: Option<&str>,
    method: Option<&str>,
    client: &Client,
) -> Result<Option<CodeChallenge>, ClientError> {
    match (challenge, method) {
        (None, None) if client.pkce == Pkce::Optional => Ok(None),
        (None, _) => Err(pkce("code_challenge is missing: this client signs in with PKCE (RFC 7636)")),
        (Some(challenge), Some("S256")) => match CodeChallenge::parse(challenge) {
            Some(challenge) => Ok(Some(challenge)),
            None => Err(pkce("code_challenge must be a SHA-256 hash in base64url, 43 characters")),
        },
        (Some(_), _) => Err(pkce("code_challenge_method must be S256")),
    }
}

/// Seconds; more than fit into 32 bits count as the most that do.
fn max_age(text: &str) -> Result<Seconds, ClientError> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid_request("max_age must be a whole number of seconds"));
    }
    Ok(text.parse().unwrap_or(Seconds::MAX))
}
