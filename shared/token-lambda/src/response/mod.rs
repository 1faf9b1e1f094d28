//! What is answered: successes, and every error with its status.

mod answers;
mod cors;
mod errors;
mod pages;

pub use self::{
    answers::{
        Nothing, cacheable, created, exchanged, insufficient_scope, invalid_token, method_not_allowed, not_found, ok,
        refused, tokens, with_bearer_challenge, with_header,
    },
    cors::Cors,
    errors::{EdgeError, error},
    pages::{Page, page, redirect, stopped_by, with_cookie},
};
