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
    body::Body as HttpBody,
    http::{Method, Request, Response, StatusCode},
};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use latchkey_token::routes::{self, Found, Function};
use latchkey_token_lambda::{
    Body,
    request::{Invocation, MAX_BODY_BYTES, credentials::Authorization},
    response::{EdgeError, error, invalid_token, method_not_allowed, not_found, ok, refused},
    telemetry::RequestAudit,
};
use tokio::{net::TcpListener, sync::watch};

use super::{
    connections::{self, into_http_body},
    functions::Functions,
    mcp::{MAX_MCP_BODY_BYTES, McpGateway},
};

/// A protected resource to try tokens on, which only the local server has.
const DEMO_ME: &str = "/demo/me";
/// A client has this long to send its body.
const BODY_PATIENCE: Duration = Duration::from_secs(10);
/// A longer body is not even read to its end.
const MAX_DRAINED_BYTES: usize = 1024 * 1024;

/// Serves until `stopped` says so.
pub(super) async fn serve(listener: TcpListener, functions: Arc<Functions>, mut stopped: watch::Receiver<bool>) {
    let stopped = async move {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    connections::serve(listener, stopped, move |peer, request| answer(Arc::clone(&functions), peer, request)).await;
}

async fn answer(functions: Arc<Functions>, peer: SocketAddr, request: Request<Incoming>) -> Response<HttpBody> {
    let (parts, body) = request.into_parts();
    let is_for_mcp = McpGateway::is_at(parts.uri.path());
    let most = if is_for_mcp { MAX_MCP_BODY_BYTES } else { MAX_BODY_BYTES };
    let body = match read(body, most).await {
        Ok(body) => body,
        Err(response) => return response.map(into_http_body),
    };
    let mut request = Request::from_parts(parts, Body::Binary(body));
    let source_ip = Some(peer.ip().to_string());
    request.extensions_mut().insert(Invocation { request_id: next_request_id(), api_request_id: None, source_ip });
    match is_for_mcp {
        true => functions.mcp.answer(request).await,
        false => route(&functions, request).await.map(into_http_body),
    }
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
    if let Some(answer) = functions.portal.answer(tokens, &request).await {
        return answer;
    }
    if let Some(answer) = functions.client.answer(tokens, &request).await {
        return answer;
    }
    if let Some(answer) = functions.mcp.document(&request) {
        return tokens.cors.apply(request.headers(), answer);
    }
    if request.uri().path() == DEMO_ME {
        return if request.method() == Method::GET {
            demo_me(functions, &request).await
        } else {
            method_not_allowed(&["GET"])
        };
    }
    let is_at_registration = request.uri().path() == routes::REGISTER.path;
    match routes::find(request.method().as_str(), request.uri().path()) {
        Found::Route(route) => answer_by(route.function, functions, request).await,
        // Where clients do not register, there is no such route, whatever the method.
        Found::OtherMethods(_) if is_at_registration && !functions.sign_ins.clients_register => not_found(),
        Found::OtherMethods(methods) => method_not_allowed(&methods),
        Found::Nothing => not_found(),
    }
}

async fn answer_by(function: Function, functions: &Functions, request: Request<Body>) -> Response<Body> {
    let tokens = &functions.tokens;
    match function {
        Function::Issue => issue::handle(tokens, request).await,
        Function::Renew => renew::handle(tokens, request).await,
        Function::Revoke => revoke::handle(tokens, request).await,
        Function::Introspect => introspect::handle(tokens, request).await,
        Function::Sessions => sessions::handle(tokens, request).await,
        Function::Discovery => discovery::handle(&functions.discovery, request).await,
        Function::Authorize => authorize::handle(&functions.sign_ins, request).await,
    }
}

/// What the authorizer would tell the function behind it.
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

/// Reads a little more than `most`, which is what a handler accepts, and drains the rest, so that the refusal reaches the client.
async fn read(mut body: Incoming, most: usize) -> Result<Vec<u8>, Response<Body>> {
    let reading = async {
        let mut bytes = Vec::new();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| ())?.into_data() else { continue };
            length += data.len();
            let room = (most + 1).saturating_sub(bytes.len());
            bytes.extend(data.iter().take(room));
            if length > MAX_DRAINED_BYTES {
                break;
            }
        }
        Ok::<_, ()>(bytes)
    };
    match tokio::time::timeout(BODY_PATIENCE, reading).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(())) => Err(refused(StatusCode::BAD_REQUEST, "invalid_request", "the body broke off")),
        Err(_) => Err(refused(StatusCode::REQUEST_TIMEOUT, "invalid_request", "the body took longer than 10 s")),
    }
}

fn next_request_id() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    format!("local-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}
