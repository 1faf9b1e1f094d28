//! What a handler works with, and what it knows of its caller.

use std::{future::Future, sync::Arc, time::Duration};

use lambda_http::{Body, Request, Response};
use latchkey_token::{
    audit::EventKind,
    failure::{Failure, Unavailable},
    policy::Policy,
    ports::{Clock, Randomness},
};

use crate::{
    request::credentials::Authorization,
    response::{self, Cors, EdgeError},
    telemetry::RequestAudit,
};

/// Whatever hangs, and however many things do: the caller has an answer by then.
const DEADLINE: Duration = Duration::from_secs(7);

/// The first caller waits for a function's start as well; together with [`DEADLINE`] under 8 s.
const START: Duration = Duration::from_millis(800);

/// Everything that a function needs besides the request. Made once, at start.
pub struct Service<S, D> {
    /// Where sessions are kept.
    pub store: S,
    /// Where key ring and registrations come from.
    pub documents: D,
    /// The deployment's settings.
    pub policy: Policy,
    /// The origins whose pages may read the answers.
    pub cors: Cors,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Cryptographic randomness, for tokens and ids.
    pub randomness: Arc<dyn Randomness>,
}

impl<S, D> Service<S, D> {
    /// The response to a request: its `answer`, or the error, which is logged where nobody has yet (as `rejected`).
    pub fn respond(
        &self,
        request: &Request,
        answer: Result<Response<Body>, EdgeError>,
        audit: &RequestAudit,
        rejected: EventKind,
    ) -> Response<Body> {
        let response = answer.unwrap_or_else(|error| {
            audit.record_error(&error, rejected);
            let authorization = Authorization::read(request.headers());
            response::error(&error, authorization.is_ok_and(|authorization| authorization.tried_to_authenticate()))
        });
        self.cors.apply(request.headers(), response)
    }
}

/// Does what is better done before the first request: for a moment. What hangs then hangs again when a request asks, and is
/// answered with 503.
pub async fn prepare(work: impl Future) {
    if tokio::time::timeout(START, work).await.is_err() {
        tracing::warn!("not ready in time: the first request waits for the rest");
    }
}

/// Runs a use case for as long as a caller may be kept waiting. A write that is cut off may have been made: the client's
/// retry finds out, as it does after any lost answer.
pub async fn within_deadline<T>(use_case: impl Future<Output = Result<T, Failure>>) -> Result<T, EdgeError> {
    match tokio::time::timeout(DEADLINE, use_case).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(Failure::Unavailable(Unavailable::new("deadline", "no answer within 7 s")).into()),
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_comes_first_to_what_hangs_has_an_answer_within_eight_seconds() {
        let begin = Instant::now();
        prepare(pending::<()>()).await;
        assert!(within_deadline(pending::<Result<(), Failure>>()).await.is_err());
        assert!(begin.elapsed() < Duration::from_secs(8));
    }
}
