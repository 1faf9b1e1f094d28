//! `GET /.well-known/…`: the public keys and both metadata documents, cacheable, made from the published keys alone.

use std::sync::Arc;

use latchkey_token::{
    failure::Failure,
    metadata::{Metadata, MetadataDocument},
    ports::{Clock, PublicKeySource},
    routes::{self, Route},
};
use latchkey_token_lambda::{
    Body, Request, Response,
    response::{self, Cors, EdgeError},
    settings::DiscoverySettings,
    telemetry::RequestAudit,
    within_deadline,
};

/// Everything that discovery needs besides the request.
pub struct Discovery<K> {
    pub keys: K,
    pub issuer: String,
    /// How long verifiers may keep an answer, in seconds.
    pub max_age_seconds: u32,
    pub cors: Cors,
    /// Whether clients may register themselves.
    pub clients_register: bool,
    pub clock: Arc<dyn Clock>,
}

impl<K> Discovery<K> {
    pub fn new(keys: K, settings: DiscoverySettings, clock: Arc<dyn Clock>) -> Self {
        let DiscoverySettings { issuer, cors, jwks_seconds, dynamic_clients, .. } = settings;
        Self { keys, issuer, max_age_seconds: jwks_seconds, cors, clients_register: dynamic_clients, clock }
    }
}

/// Answers one request for a path that ends in the document's name: a stage may stand in front of it.
pub async fn handle<K: PublicKeySource>(discovery: &Discovery<K>, request: Request) -> Response<Body> {
    let path = request.uri().path();
    let is_at = |route: Route, inserted: Route| {
        route.ends(path) || inserted.inserted_in(path).is_some_and(|rest| rest == path_of(&discovery.issuer))
    };
    let answer = if routes::JWKS.ends(path) {
        jwks(discovery).await
    } else if is_at(routes::OPENID_CONFIGURATION, routes::OPENID_CONFIGURATION_OF_PATH) {
        metadata(discovery, MetadataDocument::OpenIdConfiguration).await
    } else if is_at(routes::OAUTH_AUTHORIZATION_SERVER, routes::OAUTH_AUTHORIZATION_SERVER_OF_PATH) {
        metadata(discovery, MetadataDocument::OAuthAuthorizationServer).await
    } else {
        return response::not_found();
    };
    let response = match answer {
        Ok(body) => response::cacheable(request.headers(), body, discovery.max_age_seconds),
        Err(error) => {
            RequestAudit::new("discovery", &request).record_failure(&error);
            response::error(&error, false)
        }
    };
    discovery.cors.apply(request.headers(), response)
}

/// The issuer's path, without slashes at its ends: what RFC 8414 §3.1 puts behind the document's name.
fn path_of(issuer: &str) -> &str {
    let after_scheme = issuer.split_once("://").map_or(issuer, |(_, rest)| rest);
    after_scheme.split_once('/').map_or("", |(_, path)| path.trim_matches('/'))
}

async fn jwks<K: PublicKeySource>(discovery: &Discovery<K>) -> Result<String, EdgeError> {
    let keys = discovery.keys.public_keys(discovery.clock.now());
    Ok(within_deadline(async { keys.await.map_err(Failure::from) }).await?.to_json())
}

async fn metadata<K: PublicKeySource>(
    discovery: &Discovery<K>,
    document: MetadataDocument,
) -> Result<String, EdgeError> {
    let keys = discovery.keys.public_keys(discovery.clock.now());
    let keys = within_deadline(async { keys.await.map_err(Failure::from) }).await?;
    let clients_register = discovery.clients_register;
    let metadata = Metadata { issuer: &discovery.issuer, keys: &keys, clients_register };
    Ok(metadata.document(document).to_string())
}
