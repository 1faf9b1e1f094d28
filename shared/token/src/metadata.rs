//! Metadata documents: OpenID Connect Discovery 1.0 §3 and RFC 8414 §2. They announce what exists and nothing else.

use serde_json::{Map, Value, json};

use crate::{
    grants::ClientGrantType,
    keys::{Algorithm, PublicKeys},
    routes::{self, Route},
};

/// Which document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataDocument {
    /// `openid-configuration`.
    OpenIdConfiguration,
    /// `oauth-authorization-server`.
    OAuthAuthorizationServer,
}

/// What the documents are made from.
pub struct Metadata<'a> {
    /// `issuer`, byte for byte as in `iss`.
    pub issuer: &'a str,
    /// The external system's sign-in, if it is to be announced.
    pub authorization_endpoint: Option<&'a str>,
    /// The published keys; their algorithms are announced as those of ID tokens.
    pub keys: &'a PublicKeys,
}

impl Metadata<'_> {
    /// The document as JSON. Members that have no value are left out.
    pub fn document(&self, document: MetadataDocument) -> Value {
        // The sign-in is the external system's; this is what it would be asked for.
        let response_types: &[&str] = if self.authorization_endpoint.is_some() { &["code"] } else { &[] };
        let mut members = Map::new();
        let mut add = |name: &str, value: Value| members.insert(name.to_owned(), value);
        add("issuer", self.issuer.into());
        if let Some(endpoint) = self.authorization_endpoint {
            add("authorization_endpoint", endpoint.into());
        }
        let mut url = |name: &str, route: Route| add(name, route.url(self.issuer).into());
        url("token_endpoint", routes::RENEW);
        url("jwks_uri", routes::JWKS);
        url("revocation_endpoint", routes::REVOKE);
        url("introspection_endpoint", routes::INTROSPECT);
        add("response_types_supported", json!(response_types));
        add("grant_types_supported", json!(ClientGrantType::NAMES));
        let confidential = ["client_secret_basic", "client_secret_post", "private_key_jwt"];
        let any = [&confidential[..], &["none"]].concat();
        let algorithms: Vec<&str> =
            Algorithm::ALL.into_iter().filter(|algorithm| !algorithm.is_symmetric()).map(Algorithm::name).collect();
        for (endpoint, methods) in [("token", &any[..]), ("revocation", &any), ("introspection", &confidential)] {
            add(&format!("{endpoint}_endpoint_auth_methods_supported"), json!(methods));
            add(&format!("{endpoint}_endpoint_auth_signing_alg_values_supported"), json!(algorithms));
        }
        if document == MetadataDocument::OpenIdConfiguration {
            add("subject_types_supported", json!(["public"]));
            add("id_token_signing_alg_values_supported", json!(self.keys.algorithms()));
        }
        Value::Object(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(kind: MetadataDocument, authorization_endpoint: Option<&str>) -> Value {
        document_of("https://id.example.org/prod", kind, authorization_endpoint)
    }

    fn document_of(issuer: &str, kind: MetadataDocument, authorization_endpoint: Option<&str>) -> Value {
        let keys =
            PublicKeys::parse(r#"{"keys":[{"kty":"RSA","alg":"RS256","kid":"k","n":"AQAB","e":"AQAB"}]}"#).unwrap();
        Metadata { issuer, authorization_endpoint, keys: &keys }.document(kind)
    }

    #[test]
    fn the_issuer_is_repeated_byte_for_byte_and_endpoints_lie_below_it() {
        for kind in [MetadataDocument::OpenIdConfiguration, MetadataDocument::OAuthAuthorizationServer] {
            let document = document(kind, None);
            assert_eq!(document["issuer"], "https://id.example.org/prod");
            assert_eq!(document["token_endpoint"], "https://id.example.org/prod/token/renew");
            assert_eq!(document["jwks_uri"], "https://id.example.org/prod/.well-known/jwks.json");
            assert!(document.get("authorization_endpoint").is_none());
            assert!(!document.to_string().contains("null"));
        }
    }

    #[test]
    fn an_issuer_with_a_slash_at_its_end_keeps_it_and_no_endpoint_has_two() {
        let document = document_of("https://id.example.org/", MetadataDocument::OpenIdConfiguration, None);
        assert_eq!(document["issuer"], "https://id.example.org/");
        for (endpoint, path) in [
            ("token_endpoint", "/token/renew"),
            ("jwks_uri", "/.well-known/jwks.json"),
            ("revocation_endpoint", "/token/revoke"),
            ("introspection_endpoint", "/token/introspect"),
        ] {
            assert_eq!(document[endpoint], format!("https://id.example.org{path}"));
        }
    }

    #[test]
    fn openid_configuration_says_what_id_tokens_are_signed_with() {
        let openid = document(MetadataDocument::OpenIdConfiguration, Some("https://portal.example.org/sign-in"));
        assert_eq!(openid["id_token_signing_alg_values_supported"], json!(["RS256"]));
        assert_eq!(openid["subject_types_supported"], json!(["public"]));
        assert_eq!(openid["authorization_endpoint"], "https://portal.example.org/sign-in");
        assert_eq!(openid["response_types_supported"], json!(["code"]));
    }
}
