//! Tokens as they are presented: read strictly, unverified first, then authentic.

mod access;
mod assertion;
mod client_assertion;
mod issuer_assertion;
pub(crate) mod jwt;
mod refresh;
mod seal;

pub(crate) use self::issuer_assertion::UnverifiedAssertion;
pub use self::{
    access::{AuthenticAccessToken, Purpose, UnverifiedAccessToken, access_token_type},
    client_assertion::{ClientAssertion, MAX_CLIENT_ASSERTION_SECONDS},
    issuer_assertion::{MAX_ASSERTION_SECONDS, SingleUse},
    refresh::{
        NotARefreshToken, REFRESH_TOKEN_LENGTH, RefreshSecret, RefreshToken, SecretHash, UnverifiedRefreshToken,
    },
    seal::{SEAL_NONCE_BYTES, SealedSuccessor},
};
