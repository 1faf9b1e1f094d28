//! The Lambda runtime as a host of handlers.

use std::{convert::Infallible, fmt::Debug, future::Future};

use base64::{Engine, engine::general_purpose::STANDARD};
use lambda_http::{
    Adapter, Body, Error, LambdaEvent, Request, RequestExt, Response,
    aws_lambda_events::apigw::ApiGatewayV2httpRequest,
    http::{StatusCode, Uri, header::HOST},
    lambda_runtime::{self, Diagnostic},
    request::{LambdaRequest, RequestContext},
    service_fn,
    tower::ServiceExt,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{request::Invocation, response::refused, telemetry::metrics::Meter};

/// Longest path and query, in bytes; API Gateway takes no more than 10 KiB with all headers.
const MAX_URL_BYTES: usize = 16 * 1024;

/// Serves API Gateway HTTP API events (payload 2.0) with `handler`, and measures it, until Lambda ends the process.
pub async fn run<H, F>(handler: H) -> Result<(), Error>
where
    H: Fn(Request) -> F,
    F: Future<Output = Response<Body>> + Send,
{
    run_events(async |event| answer(event, &handler).await).await
}

/// The same for events of any kind.
pub async fn run_events<E, R, Fault>(handler: impl AsyncFn(LambdaEvent<E>) -> Result<R, Fault>) -> Result<(), Error>
where
    E: DeserializeOwned,
    R: Serialize,
    Fault: Into<Diagnostic> + Debug,
{
    let meter = Meter::default();
    lambda_runtime::run(service_fn(async |event: LambdaEvent<E>| {
        let context = event.context.clone();
        // Boxed, because the SDK's futures are nested deeper than the compiler looks.
        meter.measured(&context, Box::pin(handler(event))).await
    }))
    .await
}

/// One event, answered in API Gateway's form.
pub async fn answer<H, F>(event: LambdaEvent<ApiGatewayV2httpRequest>, handler: H) -> Result<impl Serialize, Infallible>
where
    H: Fn(Request) -> F,
    F: Future<Output = Response<Body>> + Send,
{
    let LambdaEvent { mut payload, context, .. } = event;
    // The adapter panics on a body that is said to be base64 and is not.
    let body = payload.body.take_if(|body| payload.is_base64_encoded && STANDARD.decode(body).is_err());
    // And on a URL that is none. Of its host nothing is asked here, so none goes into it.
    payload.headers.remove(HOST);
    payload.request_context.domain_name = None;
    let is_unreadable = body.is_some() || !has_url(&payload);
    if is_unreadable {
        payload.raw_path = Some("/".to_owned());
        payload.raw_query_string = None;
    }
    let service = service_fn(|mut request: Request| {
        let caller = caller(&request);
        request.extensions_mut().insert(caller);
        let answered = (!is_unreadable).then(|| handler(request));
        async {
            Ok::<_, Infallible>(match answered {
                Some(answered) => answered.await,
                None => refused(
                    StatusCode::BAD_REQUEST,
                    "invalid_request",
                    "the body is not the base64 it is said to be, or the URL is none",
                ),
            })
        }
    });
    Adapter::from(service).oneshot(LambdaEvent::new(LambdaRequest::ApiGatewayV2(payload), context)).await
}

/// Whether path and query make a URL, also when the path has been percent-encoded, at three times its length. A path that holds "?" or
/// "#" would end there, and what follows would not have been looked at.
fn has_url(payload: &ApiGatewayV2httpRequest) -> bool {
    let path = payload.raw_path.as_deref().unwrap_or("/");
    let url = format!("{path}?{}", payload.raw_query_string.as_deref().unwrap_or(""));
    // The stage is put in front.
    let length = url.len() + payload.request_context.stage.as_ref().map_or(0, String::len);
    path.starts_with('/') && !path.contains(['?', '#']) && length <= MAX_URL_BYTES && url.parse::<Uri>().is_ok()
}

fn caller(request: &Request) -> Invocation {
    let request_id = request.lambda_context_ref().map(|context| context.request_id.clone()).unwrap_or_default();
    match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => Invocation {
            request_id,
            api_request_id: context.request_id.clone(),
            source_ip: context.http.source_ip.clone(),
        },
        _ => Invocation { request_id, ..Invocation::default() },
    }
}

#[cfg(test)]
mod tests {
    use std::iter::once;

    use lambda_http::Context;
    use proptest::{collection::vec, prelude::*, sample::select};
    use serde_json::{Value, json};
    use tokio::runtime::Builder;

    use super::*;

    fn answered(event: Value) -> Value {
        let event = LambdaEvent::new(serde_json::from_value(event).unwrap(), Context::default());
        let answer = answer(event, async |_| Response::new(Body::Empty));
        serde_json::to_value(Builder::new_current_thread().build().unwrap().block_on(answer).unwrap()).unwrap()
    }

    fn telling() -> impl Strategy<Value = String> {
        let letters = "/?#%&;:@[]<>{}|\\^`'\"=+,.~!$*()-_ \0\t\n\r\u{7f}\u{80}\u{e9}\u{ffff}\u{1f511}a2F";
        vec(select(letters.chars().collect::<Vec<_>>()), 0..12).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn an_event_whose_url_is_made_of_anything_is_answered_and_not_a_crash(
            (path, query, stage, host, body) in (telling(), telling(), telling(), telling(), telling()),
            is_base64_encoded: bool,
        ) {
            for path in once(path.clone()).chain(once(format!("/{path}"))) {
                let answer = answered(json!({
                    "rawPath": path, "rawQueryString": query, "isBase64Encoded": is_base64_encoded, "body": body,
                    "cookies": [host],
                    "requestContext": {"domainName": host, "stage": stage, "http": {"method": "GET"}},
                }));
                let status = answer["statusCode"].as_u64().unwrap();
                prop_assert!([200, 400].contains(&status), "{answer}");
            }
        }
    }

    #[test]
    fn a_path_that_ends_before_its_end_is_no_url() {
        let status = |path: &str| {
            answered(json!({"rawPath": path, "rawQueryString": "a=<", "requestContext": {"http": {"method": "GET"}}}))
                ["statusCode"]
                .clone()
        };
        assert_eq!([status("/token#"), status("/token?a")], [400, 400]);
    }
}
