//! How tokens are given out: to an issuer for a user whom it has signed in, to a client for its refresh token.
//!
//! To add a grant: name it in `grant_type.rs`, in the enum of the endpoint that takes it; write its use case here, in a
//! file of its own; parse its parameters in the endpoint's function. The compiler then asks for the rest. What else a
//! grant needs (documents, events, tests) is in CONTRIBUTING.md.

mod grant_type;
mod issue;
mod mint;
mod renew;

pub use self::{
    grant_type::{ClientGrantType, IssuerGrantType},
    issue::{Issue, IssueRequest, IssuerGrant},
    mint::TokenSet,
    renew::{ClientIdentification, Renew, RenewRequest},
};
