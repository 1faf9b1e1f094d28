//! What is answered: successes, and every error with its status.

mod answers;
mod cors;
mod errors;

pub use self::{
    answers::{Nothing, cacheable, invalid_token, not_found, ok, refused, tokens, with_header},
    cors::Cors,
    errors::{EdgeError, error},
};
