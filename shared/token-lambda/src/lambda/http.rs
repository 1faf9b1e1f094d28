//! A request by way of API Gateway, answered in the form of the payload that it came in.

use std::{collections::BTreeMap, convert::Infallible, future::Future};

use base64::{Engine, engine::general_purpose::STANDARD};
use lambda_http::{
    Adapter, Body, Context, LambdaEvent, Request, RequestExt, Response,
    aws_lambda_events::apigw::{ApiGatewayProxyRequest, ApiGatewayV2httpRequest},
    http::{StatusCode, Uri, header::HOST},
    request::{LambdaRequest, RequestContext},
    service_fn,
    tower::ServiceExt,
};
use latchkey_token::{
    routes::{self, Found, Function},
    values::with_query,
};
use serde::Serialize;

use super::event::HttpEvent;
use crate::{
    request::Invocation,
    response::{method_not_allowed, not_found, refused},
};

/// Longest path and query, in bytes; API Gateway takes no more than 10 KiB with all headers.
const MAX_URL_BYTES: usize = 16 * 1024;

/// The answer in the form that API Gateway expects.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer<T> {
    V1(RestAnswer),
    V2(T),
}

/// One event, answered by `function`'s `handler` where the path is one of its routes.
pub async fn answer<H, F>(
    function: Function,
    event: LambdaEvent<HttpEvent>,
    handler: H,
) -> Result<impl Serialize, Infallible>
where
    H: Fn(Request) -> F,
    F: Future<Output = Response<Body>> + Send,
{
    let LambdaEvent { payload, context, .. } = event;
    Ok(match payload {
        HttpEvent::V1(payload) => {
            let routed = match request_of_rest_api(*payload, context) {
                Some(request) => Routed::of(function, request, handler),
                None => Routed::Instead(unreadable()),
            };
            Answer::V1(RestAnswer::of(routed.answer().await))
        }
        HttpEvent::V2(payload) => Answer::V2(answer_http_api(function, *payload, context, handler).await?),
    })
}

/// Where a request leads.
enum Routed<F> {
    /// To the handler, which has begun.
    Begun(F),
    /// To no route of the function.
    Instead(Response<Body>),
}

impl<F: Future<Output = Response<Body>>> Routed<F> {
    /// In front of the path may stand a stage, or what a domain maps to the API.
    fn of(function: Function, request: Request, handler: impl Fn(Request) -> F) -> Self {
        match routes::find_for(function, request.method().as_str(), request.uri().path()) {
            Found::Route(_) => Self::Begun(handler(request)),
            Found::OtherMethods(methods) => Self::Instead(method_not_allowed(&methods)),
            Found::Nothing => Self::Instead(not_found()),
        }
    }

    async fn answer(self) -> Response<Body> {
        match self {
            Self::Begun(answer) => answer.await,
            Self::Instead(answer) => answer,
        }
    }
}

fn unreadable() -> Response<Body> {
    let text = "the body is not the base64 it is said to be, or the URL is none";
    refused(StatusCode::BAD_REQUEST, "invalid_request", text)
}

async fn answer_http_api<H, F>(
    function: Function,
    mut payload: ApiGatewayV2httpRequest,
    context: Context,
    handler: H,
) -> Result<impl Serialize, Infallible>
where
    H: Fn(Request) -> F,
    F: Future<Output = Response<Body>> + Send,
{
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
        let routed = match is_unreadable {
            true => Routed::Instead(unreadable()),
            false => Routed::of(function, request, &handler),
        };
        async { Ok::<_, Infallible>(routed.answer().await) }
    });
    Adapter::from(service).oneshot(LambdaEvent::new(LambdaRequest::ApiGatewayV2(payload), context)).await
}

/// Whether path and query make a URL, also when the path has been percent-encoded, at three times its length.
fn has_url(payload: &ApiGatewayV2httpRequest) -> bool {
    let path = payload.raw_path.as_deref().unwrap_or("/");
    let url = format!("{path}?{}", payload.raw_query_string.as_deref().unwrap_or(""));
    // The stage is put in front.
    let length = url.len() + payload.request_context.stage.as_ref().map_or(0, String::len);
    is_whole_path(path) && length <= MAX_URL_BYTES && url.parse::<Uri>().is_ok()
}

/// A path that holds "?" or "#" would end there, and what follows would not have been looked at.
fn is_whole_path(path: &str) -> bool {
    path.starts_with('/') && !path.contains(['?', '#'])
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

/// Read here and not by the adapter, which panics at more of it than could be looked at before, and drops headers that stand
/// twice. `None` if it makes no request.
fn request_of_rest_api(payload: ApiGatewayProxyRequest, context: Context) -> Option<Request> {
    let path = payload.path.filter(|path| is_whole_path(path))?;
    // Either has all parameters, decoded: the one of lists each as often as it came.
    let queries = [payload.multi_value_query_string_parameters, payload.query_string_parameters];
    let pairs: Vec<(&str, &str)> =
        queries.iter().find(|pairs| !pairs.is_empty()).into_iter().flat_map(|pairs| pairs.iter()).collect();
    let url = with_query(&path, &pairs);
    let uri = url.parse::<Uri>().ok().filter(|_| url.len() <= MAX_URL_BYTES)?;
    let body = match payload.body {
        None => Body::Empty,
        Some(body) if payload.is_base64_encoded => Body::Binary(STANDARD.decode(body).ok()?),
        Some(body) => Body::Text(body),
    };
    let mut request = Request::new(body);
    *request.method_mut() = payload.http_method;
    *request.uri_mut() = uri;
    let lists = [payload.multi_value_headers, payload.headers];
    *request.headers_mut() = lists.into_iter().find(|headers| !headers.is_empty()).unwrap_or_default();
    request.extensions_mut().insert(Invocation {
        request_id: context.request_id,
        api_request_id: payload.request_context.request_id,
        source_ip: payload.request_context.identity.source_ip,
    });
    Some(request)
}

/// A response of a REST API's proxy integration.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RestAnswer {
    status_code: u16,
    multi_value_headers: BTreeMap<String, Vec<String>>,
    body: String,
    is_base64_encoded: bool,
}

impl RestAnswer {
    fn of(response: Response<Body>) -> Self {
        let mut multi_value_headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in response.headers() {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            multi_value_headers.entry(name.as_str().to_owned()).or_default().push(value);
        }
        let (status_code, body) = (response.status().as_u16(), response.into_body());
        let is_base64_encoded = matches!(body, Body::Binary(_));
        let body = match body {
            Body::Text(text) => text,
            Body::Binary(bytes) => STANDARD.encode(bytes),
            _ => String::new(),
        };
        Self { status_code, multi_value_headers, body, is_base64_encoded }
    }
}

#[cfg(test)]
mod tests {
    use std::iter::once;

    use lambda_http::http::header::SET_COOKIE;
    use proptest::{collection::vec, prelude::*, sample::select};
    use serde_json::{Value, json};
    use tokio::runtime::Builder;

    use super::*;

    fn answered_by<F: Future<Output = Response<Body>> + Send>(event: &Value, handler: impl Fn(Request) -> F) -> Value {
        let event = LambdaEvent::new(HttpEvent::parse(&event.to_string()).unwrap(), Context::default());
        let answer = answer(Function::Issue, event, handler);
        serde_json::to_value(Builder::new_current_thread().build().unwrap().block_on(answer).unwrap()).unwrap()
    }

    fn answered(event: &Value) -> Value {
        answered_by(event, async |_| Response::new(Body::Empty))
    }

    fn of_http_api(path: &str, query: &str) -> Value {
        json!({"version": "2.0", "rawPath": path, "rawQueryString": query, "requestContext": {"http": {"method": "POST"}}})
    }

    fn of_rest_api(path: &str) -> Value {
        json!({"resource": "/token", "path": path, "httpMethod": "POST", "headers": {},
            "requestContext": {"httpMethod": "POST"}})
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
            let paths = [path.clone(), format!("/{path}"), format!("/{path}/token")];
            for path in paths {
                let mut event = of_http_api(&path, &query);
                event["requestContext"]["stage"] = stage.clone().into();
                event["requestContext"]["domainName"] = host.clone().into();
                event["cookies"] = json!([host]);
                for mut event in [event, of_rest_api(&path)] {
                    event["isBase64Encoded"] = is_base64_encoded.into();
                    event["body"] = body.clone().into();
                    event["multiValueQueryStringParameters"] = json!({query.clone(): [host, query]});
                    let answer = answered(&event);
                    let status = answer["statusCode"].as_u64().unwrap();
                    prop_assert!([200, 400, 404].contains(&status), "{answer}");
                }
            }
        }

        #[test]
        fn a_rest_apis_query_arrives_as_it_was_sent(name in telling(), values in vec(telling(), 1..4)) {
            let mut event = of_rest_api("/token");
            event["queryStringParameters"] = json!({name.clone(): values.last()});
            event["multiValueQueryStringParameters"] = json!({name.clone(): values});
            answered_by(&event, |request| {
                let query = request.uri().query().unwrap_or_default().to_owned();
                let sent: Vec<(&str, &str)> = values.iter().map(|value| (name.as_str(), value.as_str())).collect();
                assert_eq!(format!("/?{query}"), with_query("/", &sent));
                async { Response::new(Body::Empty) }
            });
        }
    }

    #[test]
    fn a_path_that_ends_before_its_end_is_no_url() {
        for path in ["/token#", "/token?a"] {
            for event in [of_http_api(path, "a=<"), of_rest_api(path)] {
                assert_eq!(answered(&event)["statusCode"], 400, "{path}");
            }
        }
    }

    #[test]
    fn what_is_no_route_of_the_function_is_not_handed_to_it() {
        for (path, status) in
            [("/token", 200), ("/prod/token", 200), ("/token/renew", 404), ("/", 404), ("/other", 404)]
        {
            for event in [of_http_api(path, ""), of_rest_api(path)] {
                assert_eq!(answered(&event)["statusCode"], status, "{path}");
            }
        }
        let mut event = of_rest_api("/token");
        event["httpMethod"] = "GET".into();
        let answer = answered(&event);
        assert_eq!((&answer["statusCode"], &answer["multiValueHeaders"]["allow"]), (&json!(405), &json!(["POST"])));
    }

    #[test]
    fn a_rest_apis_request_arrives_whole_and_its_answer_goes_back_whole() {
        let mut event = of_rest_api("/token");
        event["headers"] = json!({"authorization": "Basic two", "x-amzn-remapped-authorization": "Basic three"});
        event["multiValueHeaders"] = json!({"authorization": ["Basic one", "Basic two"], "cookie": ["a=1"]});
        event["body"] = STANDARD.encode("a=b").into();
        event["isBase64Encoded"] = true.into();
        event["requestContext"] =
            json!({"httpMethod": "POST", "requestId": "of-api", "identity": {"sourceIp": "192.0.2.1"}});
        let answer = answered_by(&event, |request| {
            let twice: Vec<_> = request.headers().get_all("authorization").iter().collect();
            assert_eq!(twice, ["Basic one", "Basic two"], "what stands twice is seen twice");
            assert_eq!((request.headers()["cookie"].as_bytes(), request.body().as_ref()), (&b"a=1"[..], &b"a=b"[..]));
            let caller = request.extensions().get::<Invocation>().unwrap();
            assert_eq!(
                (caller.source_ip.as_deref(), caller.api_request_id.as_deref()),
                (Some("192.0.2.1"), Some("of-api"))
            );
            let response = Response::builder().status(201).header(SET_COOKIE, "a=1").header(SET_COOKIE, "b=2");
            let response = response.body(Body::Text("{}".into())).unwrap();
            async { response }
        });
        assert_eq!(
            answer,
            json!({"statusCode": 201, "multiValueHeaders": {"set-cookie": ["a=1", "b=2"]}, "body": "{}", "isBase64Encoded": false})
        );
        let single = json!({"resource": "/token", "path": "/token", "httpMethod": "POST", "headers": {"cookie": "a=1"},
            "multiValueHeaders": null, "requestContext": {"httpMethod": "POST"}});
        answered_by(&single, |request| {
            assert_eq!(request.headers()["cookie"], "a=1", "a test event has but one of them");
            async { Response::new(Body::Empty) }
        });
        for path in once("").chain(["token", "/tok en"]) {
            assert!([400, 404].contains(&answered(&of_rest_api(path))["statusCode"].as_u64().unwrap()), "{path}");
        }
    }
}
