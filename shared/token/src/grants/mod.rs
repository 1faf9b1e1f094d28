//! How tokens are given out: to an issuer for a user whom it has signed in, to a client for its refresh token.

mod issue;
mod mint;
mod renew;

pub use self::{
    issue::{Issue, IssueRequest, IssuerGrant},
    mint::TokenSet,
    renew::{ClientIdentification, Renew, RenewRequest},
};
