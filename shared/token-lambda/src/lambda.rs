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

use crate::{metrics::Meter, response::refused, service::Caller};

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

/// Whether path and query make a URL, also when the path has been percent-encoded, at three times its length.
fn has_url(payload: &ApiGatewayV2httpRequest) -> bool {
    let path = payload.raw_path.as_deref().unwrap_or("/");
    let url = format!("{path}?{}", payload.raw_query_string.as_deref().unwrap_or(""));
    // The stage is put in front.
    let length = url.len() + payload.request_context.stage.as_ref().map_or(0, String::len);
    path.starts_with('/') && length <= MAX_URL_BYTES && url.parse::<Uri>().is_ok()
}

fn caller(request: &Request) -> Caller {
    let request_id = request.lambda_context_ref().map(|context| context.request_id.clone()).unwrap_or_default();
    match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => {
            Caller { request_id, api_request_id: context.request_id.clone(), source_ip: context.http.source_ip.clone() }
        }
        _ => Caller { request_id, ..Caller::default() },
    }
}
