//! A client registers itself (RFC 7591 §3): it is told an id that carries its registration, and nothing is stored.

use crate::{
    audit::{Event, EventKind, Reason},
    failure::{Failure, Refusal, Unavailable},
    ports::{Audit, Clock, Randomness, SignInDocumentSource, random},
    registrations::{AuthenticationMethod, DynamicClients, MAX_REDIRECTS, RegisteredId},
    values::{Scope, Timestamp, WebUrl},
};

/// The grants of every client that registers itself: the refresh token always comes with the tokens.
const GRANT_TYPES: [&str; 2] = ["authorization_code", "refresh_token"];
const RESPONSE_TYPES: [&str; 1] = ["code"];

/// What a client says of itself, as far as that means anything here. Names, logos and links are not even read.
pub struct RegisterRequest {
    /// `redirect_uris`.
    pub redirect_uris: Vec<String>,
    /// `token_endpoint_auth_method`; left out: `client_secret_basic` (RFC 7591 §2).
    pub method: Option<String>,
    /// `grant_types`; left out or empty: `authorization_code`.
    pub grant_types: Option<Vec<String>>,
    /// `response_types`; left out or empty: `code`.
    pub response_types: Option<Vec<String>>,
}

/// What a client is told of its registration (RFC 7591 §3.2.1). Has no `Debug`: it holds a secret.
pub struct RegisteredClient {
    /// The new client.
    pub id: RegisteredId,
    /// Its secret, if it has asked for one.
    pub secret: Option<String>,
    /// When the registration is over, and the secret with it.
    pub expires_at: Timestamp,
    /// What it has registered for.
    pub redirect_uris: Vec<String>,
    /// The scopes that its sessions may have.
    pub scope: Scope,
    /// What it may ask for at the token endpoint.
    pub grant_types: &'static [&'static str],
    /// What it may ask for at `/authorize`.
    pub response_types: &'static [&'static str],
}

/// What registration needs.
pub struct Register<'a, D> {
    /// Where ticket keys and registrations come from.
    pub documents: &'a D,
    /// The deployment's `iss`.
    pub issuer: &'a str,
    /// The time; read once per request.
    pub clock: &'a dyn Clock,
    /// What makes the new id one of its own.
    pub randomness: &'a dyn Randomness,
    /// Where the request's events are recorded.
    pub audit: &'a dyn Audit,
}

impl<D: SignInDocumentSource> Register<'_, D> {
    /// Registers a client, and writes nothing. `None`: the registrations say nothing of clients that register themselves.
    pub async fn run(&self, request: RegisterRequest) -> Result<Option<RegisteredClient>, Failure> {
        let now = self.clock.now();
        let documents = self.documents.sign_in_documents(now).await?;
        let rejected = |reason| self.audit.record(&Event::new(EventKind::ClientRejected).because(reason));
        let Some(clients) = documents.registrations.dynamic_clients()? else {
            rejected(Reason::RegistrationOff);
            return Ok(None);
        };
        let redirects = redirects(clients, &request.redirect_uris).map_err(|text| {
            rejected(Reason::RegistrationRedirectUri);
            Refusal::InvalidRedirectUri(text)
        })?;
        let method = method(&request).map_err(|text| {
            rejected(Reason::RegistrationMetadata);
            Refusal::InvalidClientMetadata(text)
        })?;
        let ticket_key = documents.ticket_keys.in_use(now.unix_seconds())?;
        let key = ticket_key.registration_key();
        let random = random(self.randomness)?;
        let id = RegisteredId::new((ticket_key.kid(), key), self.issuer, now, method, &redirects, random)
            .ok_or_else(|| Unavailable::new("cryptography", "a client could not be registered"))?;
        let event = Event::new(EventKind::ClientRegistered).client(id.client_id());
        self.audit.record(&Event { redirect_uris: Some(redirects.len()), ..event });
        Ok(Some(RegisteredClient {
            secret: id.secret(key, self.issuer),
            expires_at: clients.expiry_of(id.registered_at()),
            id,
            redirect_uris: request.redirect_uris,
            scope: clients.scope.clone(),
            grant_types: &GRANT_TYPES,
            response_types: &RESPONSE_TYPES,
        }))
    }
}

fn redirects(clients: &DynamicClients, texts: &[String]) -> Result<Vec<WebUrl>, &'static str> {
    if !(1..=MAX_REDIRECTS).contains(&texts.len()) {
        return Err("redirect_uris must name one to eight addresses");
    }
    let read = |text: &String| WebUrl::parse(text).filter(|url| clients.admit(url));
    texts
        .iter()
        .map(read)
        .collect::<Option<_>>()
        .ok_or("redirect_uris names an address that clients may not register here")
}

fn method(request: &RegisterRequest) -> Result<AuthenticationMethod, &'static str> {
    // What else a client asks for it does not get: the answer says what it has (RFC 7591 §2).
    let has = |asked: &Option<Vec<String>>, needed: &str| {
        asked.as_ref().is_none_or(|asked| asked.is_empty() || asked.iter().any(|asked| asked == needed))
    };
    if !has(&request.grant_types, "authorization_code") {
        return Err("grant_types must have authorization_code");
    }
    if !has(&request.response_types, "code") {
        return Err("response_types must have code");
    }
    match &request.method {
        None => Ok(AuthenticationMethod::Basic),
        Some(name) => AuthenticationMethod::parse(name)
            .ok_or("token_endpoint_auth_method must be none, client_secret_basic or client_secret_post"),
    }
}
