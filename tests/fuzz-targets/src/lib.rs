#![doc = include_str!("../README.md")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod access_token;
mod assertion;
mod authorization_request;
mod authorizer_event;
mod key_ring;
mod lambda_event;
mod placeholders;
mod redirect_pattern;
mod refresh_token;
mod registrations;
mod request_body;
mod rotation_event;
mod ticket;
mod ticket_keys;
mod web_url;
mod world;

pub use self::{
    access_token::access_token, assertion::assertion, authorization_request::authorization_request,
    authorizer_event::authorizer_event, key_ring::key_ring, lambda_event::lambda_event,
    redirect_pattern::redirect_pattern, refresh_token::refresh_token, registrations::registrations,
    request_body::request_body, rotation_event::rotation_event, ticket::ticket, ticket_keys::ticket_keys,
    web_url::web_url,
};

/// Longest input that is looked at, in bytes: a little more than the longest body.
pub const MAX_INPUT_BYTES: usize = 20 * 1024;

/// What became of an input. Whatever it was, every property held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The product took it.
    Accepted,
    /// The product refused it.
    Refused,
    /// It never reached the product: too long, or not the form that the target wants.
    Unused,
}

/// A property of one way into the product; panics where it does not hold.
pub type Target = fn(&[u8]) -> Outcome;

/// All targets, by the name of their fuzz binary, seeds and corpus.
pub const TARGETS: [(&str, Target); 14] = [
    ("access_token", access_token),
    ("assertion", assertion),
    ("authorization_request", authorization_request),
    ("authorizer_event", authorizer_event),
    ("key_ring", key_ring),
    ("lambda_event", lambda_event),
    ("redirect_pattern", redirect_pattern),
    ("refresh_token", refresh_token),
    ("registrations", registrations),
    ("request_body", request_body),
    ("rotation_event", rotation_event),
    ("ticket", ticket),
    ("ticket_keys", ticket_keys),
    ("web_url", web_url),
];

/// The input as text, if it is some and not too long.
fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok().filter(|text| text.len() <= MAX_INPUT_BYTES)
}
