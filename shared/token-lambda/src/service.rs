//! What a handler works with, and what it knows of its caller.

use std::sync::Arc;

use latchkey_token::{
    policy::Policy,
    ports::{Clock, Randomness},
};

use crate::cors::Cors;

/// Everything that a function needs besides the request. Made once, at start.
pub struct Service<S, A> {
    pub store: S,
    pub authority: A,
    pub policy: Policy,
    pub cors: Cors,
    pub clock: Arc<dyn Clock>,
    pub randomness: Arc<dyn Randomness>,
}

/// What the host knows of a request. Every host sets it as a request extension.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// Lambda's request id; unique for each invocation.
    pub request_id: String,
    pub source_ip: Option<String>,
}
