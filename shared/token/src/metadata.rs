//! Metadata documents: OpenID Connect Discovery 1.0 §3 and RFC 8414 §2. They announce what exists and nothing else.

use serde_json::{Map, Value, json};

use crate::{
    grants::ClientGrantType,
    keys::{Algorithm, PublicKeys},
    routes::{self, Route},
};

/// The protocol's own claims of ID tokens; which others a client is given its registration says.
const ID_TOKEN_CLAIMS: [&str; 10] = ["iss", "sub", "aud", "iat", "exp", "sid", "nonce", "auth_time", "acr", "amr"];

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
    /// The published keys; their algorithms are announced as those of ID tokens.
    pub keys: &'a PublicKeys,
    /// Whether clients may register themselves (RFC 7591).
    pub clients_register: bool,
}

impl Metadata<'_> {
    /// The document as JSON. Members that have no value are left out.
    pub fn document(&self, document: MetadataDocument) -> Value {
        let mut members = Map::new();
        let mut add = |name: &str, value: Value| members.insert(name.to_owned(), value);
        add("issuer", self.issuer.into());
        let mut url = |name: &str, route: Route| add(name, route.url(self.issuer).into());
        url("authorization_endpoint", routes::AUTHORIZE);
        url("token_endpoint", routes::RENEW);
        url("jwks_uri", routes::JWKS);
        url("revocation_endpoint", routes::REVOKE);
        url("introspection_endpoint", routes::INTROSPECT);
        url("userinfo_endpoint", routes::USERINFO);
        url("end_session_endpoint", routes::SIGN_OUT);
        if self.clients_register {
            url("registration_endpoint", routes::REGISTER);
        }
        add("response_types_supported", json!(["code"]));
        add("response_modes_supported", json!(["query"]));
        add("code_challenge_methods_supported", json!(["S256"]));
        add("authorization_response_iss_parameter_supported", true.into());
        add("request_parameter_supported", false.into());
        add("request_uri_parameter_supported", false.into());
        // The portal is told whichever of them it is.
        add("prompt_values_supported", json!(["none", "login", "consent", "select_account"]));
        add("claims_supported", json!(ID_TOKEN_CLAIMS));
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

    fn document(kind: MetadataDocument) -> Value {
        document_of("https://id.example.org/prod", kind)
    }

    fn document_of(issuer: &str, kind: MetadataDocument) -> Value {
        let keys =
            PublicKeys::parse(r#"{"keys":[{"kty":"RSA","alg":"RS256","kid":"k","n":"AQAB","e":"AQAB"}]}"#).unwrap();
        Metadata { issuer, keys: &keys, clients_register: false }.document(kind)
    }

    #[test]
    fn the_issuer_is_repeated_byte_for_byte_and_endpoints_lie_below_it() {
        for kind in [MetadataDocument::OpenIdConfiguration, MetadataDocument::OAuthAuthorizationServer] {
            let document = document(kind);
            assert_eq!(document["issuer"], "https://id.example.org/prod");
            assert_eq!(document["token_endpoint"], "https://id.example.org/prod/token/renew");
            assert_eq!(document["jwks_uri"], "https://id.example.org/prod/.well-known/jwks.json");
            assert_eq!(document["authorization_endpoint"], "https://id.example.org/prod/authorize");
            assert_eq!(document["response_types_supported"], json!(["code"]));
            assert_eq!(document["code_challenge_methods_supported"], json!(["S256"]));
            assert!(!document.to_string().contains("null"));
        }
    }

    #[test]
    fn an_issuer_with_a_slash_at_its_end_keeps_it_and_no_endpoint_has_two() {
        let document = document_of("https://id.example.org/", MetadataDocument::OpenIdConfiguration);
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
    fn where_clients_register_is_announced_only_where_they_may() {
        let kind = MetadataDocument::OAuthAuthorizationServer;
        assert!(document(kind).get("registration_endpoint").is_none());
        let keys = PublicKeys::parse(r#"{"keys":[]}"#).unwrap();
        let announced = Metadata { issuer: "https://id.example.org/prod", keys: &keys, clients_register: true };
        assert_eq!(announced.document(kind)["registration_endpoint"], "https://id.example.org/prod/register");
    }

    #[test]
    fn openid_configuration_says_what_id_tokens_are_signed_with() {
        let openid = document(MetadataDocument::OpenIdConfiguration);
        assert_eq!(openid["id_token_signing_alg_values_supported"], json!(["RS256"]));
        assert_eq!(openid["subject_types_supported"], json!(["public"]));
        assert_eq!(openid["userinfo_endpoint"], "https://id.example.org/prod/userinfo");
        assert_eq!(openid["end_session_endpoint"], "https://id.example.org/prod/sign-out");
    }
}
