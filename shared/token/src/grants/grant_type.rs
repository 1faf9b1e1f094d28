//! `grant_type`, read once: each token endpoint has one enum of what it does.

/// `grant_type` of an assertion as a grant (RFC 7523 §2.1); at a client's token endpoint, of an exchange on behalf of a user.
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// `grant_type` of a renewal (RFC 6749 §6).
const REFRESH_TOKEN: &str = "refresh_token";

/// `grant_type` of the exchange of a code (RFC 6749 §4.1.3).
const AUTHORIZATION_CODE: &str = "authorization_code";

/// `grant_type` of an exchange (RFC 8693 §2.1).
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// What a client asks of its token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientGrantType {
    /// The exchange of a code after a sign-in (RFC 6749 §4.1.3).
    AuthorizationCode,
    /// The exchange of an access token for one that is meant for a target (RFC 8693).
    TokenExchange,
    /// The same, in the form that LibreChat sends on behalf of a user: `grant_type` of RFC 7523 with `requested_token_use`.
    OnBehalfOf,
    /// Renewal (RFC 6749 §6); also what is meant when `grant_type` is left out.
    RefreshToken,
    /// Anything else: `unsupported_grant_type` (RFC 6749 §5.2).
    Unsupported,
}

impl ClientGrantType {
    /// What the metadata announces as `grant_types_supported` (RFC 8414 §2).
    pub const NAMES: [&str; 4] = [AUTHORIZATION_CODE, REFRESH_TOKEN, TOKEN_EXCHANGE, JWT_BEARER];

    /// Reads the parameter; `None` if it was left out.
    pub fn read(grant_type: Option<&str>) -> Self {
        match grant_type {
            Some(AUTHORIZATION_CODE) => Self::AuthorizationCode,
            Some(TOKEN_EXCHANGE) => Self::TokenExchange,
            Some(JWT_BEARER) => Self::OnBehalfOf,
            None | Some(REFRESH_TOKEN) => Self::RefreshToken,
            Some(_) => Self::Unsupported,
        }
    }
}

/// What an issuer asks of its token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssuerGrantType {
    /// Its own word for who has signed in: no `grant_type`.
    Statement,
    /// A JWT that it has signed (RFC 7523 §2.1).
    Assertion,
    /// Anything else: `unsupported_grant_type` (RFC 6749 §5.2).
    Unsupported,
}

impl IssuerGrantType {
    /// What `grant_type` may name.
    pub const NAMES: [&str; 1] = [JWT_BEARER];

    /// Reads the parameter; `None` if it was left out.
    pub fn read(grant_type: Option<&str>) -> Self {
        match grant_type {
            None => Self::Statement,
            Some(JWT_BEARER) => Self::Assertion,
            Some(_) => Self::Unsupported,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_announced_is_supported_and_nothing_else_is() {
        for name in ClientGrantType::NAMES {
            assert_ne!(ClientGrantType::read(Some(name)), ClientGrantType::Unsupported, "{name}");
        }
        for name in IssuerGrantType::NAMES {
            assert_ne!(IssuerGrantType::read(Some(name)), IssuerGrantType::Unsupported, "{name}");
        }
        for other in
            ["", "Refresh_Token", "Authorization_Code", "password", "urn:ietf:params:oauth:grant-type:saml2-bearer"]
        {
            assert_eq!(ClientGrantType::read(Some(other)), ClientGrantType::Unsupported, "{other}");
        }
        assert_eq!(IssuerGrantType::read(Some(REFRESH_TOKEN)), IssuerGrantType::Unsupported);
    }
}
