//! JSON over HTTP.

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

pub type HttpClient = Client<HttpConnector, Full<Bytes>>;

/// A server that takes longer has lost the request.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client with connections of its own.
pub fn client() -> HttpClient {
    Client::builder(TokioExecutor::new()).build_http()
}

/// The answer's status and body; `Err` if there was none.
pub async fn post(client: &HttpClient, url: &str, path: &str, body: &Value) -> Result<(u16, Value), String> {
    let request = Request::post(format!("{url}{path}"))
        .header("content-type", "application/json")
        .body(Full::from(body.to_string()))
        .unwrap();
    let exchange = async {
        let answer = client.request(request).await.map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        let body = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        Ok((status, body))
    };
    tokio::time::timeout(PATIENCE, exchange).await.map_err(|_| "no answer".to_owned())?
}
