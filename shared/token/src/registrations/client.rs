//! A client as it is registered.

use super::{credentials::SecretHashes, dynamic::RegisteredRedirects};
use crate::{
    keys::{Algorithm, AssertionKeys, Kid},
    values::{ClientId, IssuerId, Scope, Seconds, Timestamp, WebUrl},
};

/// RFC 6749 §2.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientType {
    /// The client has no secret; requests only name it.
    Public,
    /// The client authenticates itself with a secret that has one of these hashes, or by `private_key_jwt`. A client
    /// with keys of its own may have no hash.
    Confidential(SecretHashes),
}

/// What the access token is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// RFC 9068.
    Standard,
    /// HS256 with LibreChat's own secret and the claims that LibreChat reads.
    LibreChat,
}

/// What a renewal must bring along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RenewalRequirement {
    /// The refresh token and an access token of the same session, unexpired or within the grace period.
    #[default]
    AccessToken,
    /// The refresh token alone, as plain OAuth has it.
    RefreshToken,
}

/// Whether a request for a code needs a `code_challenge` (RFC 7636). One that is sent binds the code in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pkce {
    /// It does, as OAuth 2.1 has it.
    #[default]
    Required,
    /// It may come without; confidential clients only.
    Optional,
}

/// A client's own renewal settings; `None` means the deployment's.
#[derive(Clone, Debug, Default)]
pub struct RenewalSettings {
    /// What a renewal must bring along; the deployment has no such setting.
    pub requires: RenewalRequirement,
    /// How long after `exp` an access token may still be presented for renewal: 0 to 604800.
    pub grace_seconds: Option<Seconds>,
    /// Renewal opens this long before the access token expires: 0 (always open) to 604800.
    pub window_seconds: Option<Seconds>,
    /// How long after its renewal a refresh token may be presented again: 0 (never) to 300, or to 86400 for a
    /// confidential client.
    pub retry_seconds: Option<Seconds>,
}

/// A target that a confidential client may have its users' tokens exchanged for (RFC 8693).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeTarget {
    /// `aud` of the new tokens, and what `audience` or `resource` of a request names. Not empty.
    pub audience: String,
    /// The scopes that the new tokens may have. They are the target's own, so the user's session need not have them.
    pub scope: Scope,
    /// Life of the new tokens in seconds, 1 to 604800; `None`: as the client's access tokens.
    pub access_token_seconds: Option<Seconds>,
}

/// An application that holds tokens and renews them.
#[derive(Clone, Debug)]
pub struct Client {
    /// The id as it was registered; no other client has it.
    pub client_id: ClientId,
    pub(super) client_type: ClientType,
    /// What its own assertions are verified with, if it authenticates by `private_key_jwt`.
    pub(crate) assertion_keys: Option<AssertionKeys>,
    /// What its access tokens are made for.
    pub profile: Profile,
    /// What its access tokens are signed with. ID tokens too, but RS256 instead of HS256.
    pub algorithm: Algorithm,
    /// The signing key by name; always set for HS256.
    pub kid: Option<Kid>,
    /// Keys that have signed its access tokens before a move: those renew and end their sessions, and let nobody in.
    pub previous_kids: Vec<Kid>,
    /// `aud` of its access tokens (RFC 9068 §2.2); at least one, none empty.
    pub audience: Vec<String>,
    /// The scopes that its sessions may have.
    pub scope: Scope,
    /// Names of the custom claims that an issuer may set.
    pub claims: Vec<String>,
    /// Life of its access tokens in seconds, 1 to 604800; `None`: the deployment's.
    pub access_token_seconds: Option<Seconds>,
    /// Its own settings for renewal.
    pub renewal: RenewalSettings,
    /// Where browsers may be sent with a code, or with the error instead of one (RFC 6749 §3.1.2). None: nobody signs in to
    /// this client through `/authorize`.
    pub redirect_uris: Vec<WebUrl>,
    /// The same of a client that has registered itself, and of no other.
    pub(super) registered: Option<RegisteredRedirects>,
    /// Where browsers may be sent after a sign-out (OpenID Connect RP-Initiated Logout §3.1).
    pub post_logout_redirect_uris: Vec<WebUrl>,
    /// Whether a request for a code needs a challenge.
    pub pkce: Pkce,
    /// Which issuer signs its users in; needed where several could.
    pub sign_in_issuer: Option<IssuerId>,
    /// What it may have its users' tokens exchanged for; none for a public client or one of HS256.
    pub exchange: Vec<ExchangeTarget>,
    /// Its sessions that were issued earlier are over; `None`: none of them for that reason.
    pub sessions_not_before: Option<Timestamp>,
}

impl Client {
    /// Public or confidential.
    pub fn client_type(&self) -> &ClientType {
        &self.client_type
    }

    /// What is still allowed of the scope of a token: names separated by spaces.
    pub fn allowed_scope(&self, scope: &str) -> String {
        self.scope.allowed_of(scope)
    }

    /// What is still allowed of `audience`, in its order; all that is registered, if nothing of it is.
    pub fn allowed_audience(&self, audience: &[String]) -> Vec<String> {
        let allowed: Vec<String> = audience.iter().filter(|one| self.audience.contains(one)).cloned().collect();
        if allowed.is_empty() { self.audience.clone() } else { allowed }
    }

    /// The entry for `audience`, if its users' tokens may be exchanged for that target.
    pub fn exchange_for(&self, audience: &str) -> Option<&ExchangeTarget> {
        self.exchange.iter().find(|target| target.audience == audience)
    }

    /// The audiences that `resources` ask for, each once, in the order of the registration; `None` if one of them is not
    /// registered, character for character (RFC 8707 §2).
    pub fn audience_of(&self, resources: &[String]) -> Option<Vec<String>> {
        let is_registered = resources.iter().all(|resource| self.audience.contains(resource));
        is_registered.then(|| self.audience.iter().filter(|one| resources.contains(one)).cloned().collect())
    }

    /// Whether the client has neither a secret nor a key and so cannot authenticate itself.
    pub fn is_public(&self) -> bool {
        self.client_type == ClientType::Public
    }

    /// Whether the client has registered itself (RFC 7591): then nobody has looked at what it is, and its users are asked.
    pub const fn is_registered(&self) -> bool {
        self.registered.is_some()
    }

    /// Whether a browser may be sent to `uri` with a code: exactly a registered one, but for the port of a loopback address.
    pub fn redirects_to(&self, uri: &str) -> bool {
        match &self.registered {
            Some(redirects) => redirects.admit(uri),
            None => self.redirect_uris.iter().any(|own| own.admits(uri)),
        }
    }

    /// Whether a browser may be sent to `uri` after a sign-out: exactly a registered one (OpenID Connect RP-Initiated Logout
    /// 1.0 §3).
    pub fn redirects_after_sign_out_to(&self, uri: &str) -> bool {
        self.post_logout_redirect_uris.iter().any(|own| own.as_str() == uri)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::registrations::Registrations;

    fn client(audience: &str) -> Client {
        let text = format!(
            r#"{{"issuers":[],"clients":[{{"client_id":"librechat","type":"public","audience":[{audience}]}}]}}"#
        );
        Registrations::parse(&text).unwrap().client("librechat").unwrap().unwrap().clone()
    }

    fn asked(resources: &[&str]) -> Vec<String> {
        resources.iter().map(|one| (*one).to_owned()).collect()
    }

    #[test]
    fn resources_are_the_clients_own_audiences_character_for_character_each_once_in_the_order_of_the_registration() {
        let client = client(r#""librechat","https://tools.example.org/mcp","https://api.example.org""#);
        let of = |resources: &[&str]| client.audience_of(&asked(resources));
        assert_eq!(of(&[]), Some(vec![]));
        assert_eq!(of(&["https://api.example.org"]), Some(asked(&["https://api.example.org"])));
        let twice = ["https://api.example.org", "librechat", "https://api.example.org"];
        assert_eq!(of(&twice), Some(asked(&["librechat", "https://api.example.org"])));
        for other in [
            "",
            "https://api.example.org/",
            "https://API.example.org",
            "https://api.example.org:443",
            "https://tools.example.org",
            "https://tools.example.org/mcp#x",
            "https://tools.example.org/mcp/../mcp",
            "Librechat",
            "librechat ",
        ] {
            assert_eq!(of(&[other]), None, "{other}");
            assert_eq!(of(&["librechat", other]), None, "beside one that is registered: {other}");
        }
    }

    proptest! {
        #[test]
        fn an_audience_that_is_asked_for_is_never_more_than_is_registered(
            resources in proptest::collection::vec("[abc]", 0..6),
        ) {
            let client = client(r#""b","a""#);
            let audience = client.audience_of(&resources);
            prop_assert_eq!(audience.is_some(), !resources.contains(&"c".to_owned()));
            let expected: Vec<String> = client.audience.iter().filter(|one| resources.contains(one)).cloned().collect();
            prop_assert_eq!(audience.unwrap_or_else(|| expected.clone()), expected);
        }
    }
}
