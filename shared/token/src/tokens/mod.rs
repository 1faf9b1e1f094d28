//! Tokens as they are presented: read strictly, unverified first, then authentic.

mod access;
mod assertion;
mod client_assertion;
mod code;
mod id_token;
mod issuer_assertion;
pub(crate) mod jwt;
mod refresh;
mod seal;

pub use self::{
    access::{AuthenticAccessToken, Purpose, UnverifiedAccessToken, access_token_type},
    client_assertion::{ClientAssertion, MAX_CLIENT_ASSERTION_SECONDS},
    code::{CodeBinding, CodeChallenge, CodeVerifier},
    id_token::{IdTokenHint, UnverifiedIdToken},
    issuer_assertion::{MAX_ASSERTION_SECONDS, SingleUse},
    refresh::{
        AuthorizationCode, CODE_LENGTH, Code, Kind, NotASessionToken, REFRESH_TOKEN_LENGTH, Refresh, RefreshSecret,
        RefreshToken, SecretHash, SessionToken, UnverifiedCode, UnverifiedRefreshToken, UnverifiedSessionToken,
    },
    seal::{SEAL_NONCE_BYTES, SealedSuccessor},
};
pub(crate) use self::{issuer_assertion::UnverifiedAssertion, jwt::claimed_client};
