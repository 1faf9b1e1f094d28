//! The Lambda runtime as a host of handlers.

mod event;
mod http;

use std::future::Future;

use lambda_http::{
    Body, Error, LambdaEvent, Request, Response,
    lambda_runtime::{self, Diagnostic},
    service_fn,
};
use latchkey_token::routes::Function;
use serde::Serialize;

pub use self::{
    event::{Arrived, Event, HttpEvent, Incoming},
    http::answer,
};
use crate::telemetry::metrics::Meter;

/// Serves API Gateway's requests to `function` with `handler`, and measures it, until Lambda ends the process.
pub async fn run<H, F>(function: Function, handler: H) -> Result<(), Error>
where
    H: Fn(Request) -> F,
    F: Future<Output = Response<Body>> + Send,
{
    run_events(async |event| answer(function, event, &handler).await).await
}

/// The same for events of any kind. A scheduled event is answered with `null`, without work and without a metric; what is not
/// expected is the invocation error `UnexpectedEvent`.
pub async fn run_events<E, R, Fault>(handler: impl AsyncFn(LambdaEvent<E>) -> Result<R, Fault>) -> Result<(), Error>
where
    E: Event,
    R: Serialize,
    Fault: Into<Diagnostic>,
{
    let meter = Meter::default();
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Incoming<E>>| {
        let LambdaEvent { payload, context, .. } = event;
        match payload {
            Incoming::Expected(event) => {
                let event = LambdaEvent::new(event, context.clone());
                // Boxed, because the SDK's futures are nested deeper than the compiler looks.
                meter.measured(&context, Box::pin(handler(event))).await.map(Some).map_err(Into::into)
            }
            Incoming::Scheduled => Ok(None),
            Incoming::Unexpected => Err(unexpected::<E>()),
        }
    }))
    .await
}

fn unexpected<E: Event>() -> Diagnostic {
    Diagnostic {
        error_type: "UnexpectedEvent".to_owned(),
        error_message: format!(
            "this function takes {}, or EventBridge's scheduled event; this was neither",
            E::EXPECTED
        ),
    }
}
