//! How tokens are given out: to an issuer for a user whom it has signed in, to a client for its refresh token.
//!
//! To add a grant: name it in `grant_type.rs`, in the enum of the endpoint that takes it; write its use case here, in a
//! file of its own; parse its parameters in the endpoint's function. The compiler then asks for the rest. What else a
//! grant needs (documents, events, tests) is in CONTRIBUTING.md.

mod client;
mod exchange;
mod grant_type;
mod issue;
mod mint;
mod opening;
mod renew;
mod token_exchange;

pub(crate) use self::opening::{Opening, authenticated_issuer, check_profile, id_is_taken};
pub use self::{
    client::ClientIdentification,
    exchange::CodeRequest,
    grant_type::{ClientGrantType, IssuerGrantType},
    issue::{Issue, IssueRequest, IssuerGrant},
    mint::TokenSet,
    renew::{Renew, RenewRequest},
    token_exchange::{Exchanged, IssuedTokenType, Targets, TokenExchange, TokenExchangeRequest},
};
