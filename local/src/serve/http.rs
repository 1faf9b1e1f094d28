//! HTTP in front of the function handlers: routes, the body limit, and what API Gateway would answer itself.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body as HttpBody,
    extract::{ConnectInfo, State},
    http::{HeaderValue, Method, Request, Response, StatusCode, header},
    serve::ListenerExt,
};
use http_body_util::BodyExt;
use latchkey_token_lambda::{
    Body,
    request::{Invocation, MAX_BODY_BYTES, credentials::Authorization},
    response::{EdgeError, error, invalid_token, not_found, ok, refused, with_header},
    telemetry::RequestAudit,
};
use tokio::{net::TcpListener, sync::watch};

use super::functions::Functions;

/// A client has this long to send its body.
const BODY_PATIENCE: Duration = Duration::from_secs(10);
/// A longer body is not even read to its end.
const MAX_DRAINED_BYTES: usize = 1024 * 1024;

/// Serves until `stopped` says so.
pub(super) async fn serve(listener: TcpListener, functions: Arc<Functions>, mut stopped: watch::Receiver<bool>) {
    let app = Router::new().fallback(answer).with_state(functions);
    let listener = listener.tap_io(|connection| {
        // Answers are small; waiting to fill a packet only costs time.
        let _ = connection.set_nodelay(true);
    });
    let served = axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).with_graceful_shutdown(
        async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
        },
    );
    if let Err(error) = served.await {
        tracing::error!(%error, "the server has stopped");
    }
}

async fn answer(
    State(functions): State<Arc<Functions>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request<HttpBody>,
) -> Response<HttpBody> {
    let (parts, body) = request.into_parts();
    let body = match read(body).await {
        Ok(body) => body,
        Err(response) => return response.map(into_http_body),
    };
    let mut request = Request::from_parts(parts, Body::Binary(body));
    let source_ip = Some(peer.ip().to_string());
    request.extensions_mut().insert(Invocation { request_id: next_request_id(), api_request_id: None, source_ip });
    route(&functions, request).await.map(into_http_body)
}

async fn route(functions: &Functions, request: Request<Body>) -> Response<Body> {
    let tokens = &functions.tokens;
    if request.method() == Method::OPTIONS
        && let Some(preflight) = tokens.cors.preflight(request.headers())
    {
        return preflight;
    }
    if let Some(answer) = functions.playground.answer(&request).await {
        return answer;
    }
    let method = request.method().clone();
    match request.uri().path() {
        "/token" if method == Method::POST => issue::handle(tokens, request).await,
        "/token/renew" if method == Method::POST => renew::handle(tokens, request).await,
        "/token/revoke" if method == Method::POST => revoke::handle(tokens, request).await,
        "/token/introspect" if method == Method::POST => introspect::handle(tokens, request).await,
        "/token" | "/token/renew" | "/token/revoke" | "/token/introspect" => only("POST"),
        "/sessions" if method == Method::GET || method == Method::DELETE => sessions::handle(tokens, request).await,
        "/sessions" => only("GET, DELETE"),
        path if is_session(path) && method == Method::DELETE => sessions::handle(tokens, request).await,
        path if is_session(path) => only("DELETE"),
        path if path.starts_with("/.well-known/") && (method == Method::GET || method == Method::HEAD) => {
            discovery::handle(&functions.discovery, request).await
        }
        path if path.starts_with("/.well-known/") => only("GET, HEAD"),
        "/demo/me" if method == Method::GET => demo_me(functions, &request).await,
        "/demo/me" => only("GET"),
        _ => not_found(),
    }
}

fn is_session(path: &str) -> bool {
    path.strip_prefix("/sessions/").is_some_and(|id| !id.is_empty() && !id.contains('/'))
}

/// A protected resource to try tokens on: what the authorizer would tell the function behind it.
async fn demo_me(functions: &Functions, request: &Request<Body>) -> Response<Body> {
    let audit = RequestAudit::new("demo", request);
    let token = match Authorization::read(request.headers()) {
        Ok(Authorization::Bearer(token)) => token,
        Ok(Authorization::Absent | Authorization::Basic(_) | Authorization::Other) | Err(_) => return invalid_token(),
    };
    match authorizer::check(&functions.authorizer, &token, &audit).await {
        Ok(Some(bearer)) => ok(&bearer),
        Ok(None) => invalid_token(),
        Err(unavailable) => error(&EdgeError::Failed(unavailable.into()), false),
    }
}

fn only(methods: &'static str) -> Response<Body> {
    let response = refused(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", "this route does not take this method");
    with_header(response, header::ALLOW, HeaderValue::from_static(methods))
}

/// Reads a little more than any handler accepts, and drains the rest, so that the refusal reaches the client.
async fn read(mut body: HttpBody) -> Result<Vec<u8>, Response<Body>> {
    let reading = async {
        let mut bytes = Vec::new();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| ())?.into_data() else { continue };
            length += data.len();
            if length > MAX_DRAINED_BYTES {
                break;
            }
            let room = (MAX_BODY_BYTES + 1).saturating_sub(bytes.len());
            bytes.extend(data.iter().take(room));
        }
        Ok::<_, ()>(bytes)
    };
    match tokio::time::timeout(BODY_PATIENCE, reading).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(())) => Err(refused(StatusCode::BAD_REQUEST, "invalid_request", "the body broke off")),
        Err(_) => Err(refused(StatusCode::REQUEST_TIMEOUT, "invalid_request", "the body took longer than 10 s")),
    }
}

fn into_http_body(body: Body) -> HttpBody {
    match body {
        Body::Text(text) => HttpBody::from(text),
        Body::Binary(bytes) => HttpBody::from(bytes),
        _ => HttpBody::empty(),
    }
}

fn next_request_id() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    format!("local-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}
