//! What functions are invoked with, told apart by its shape before it is read: whoever sends something else is told what was
//! expected, and nothing of what was sent gets into the log.

use std::borrow::Cow;

use lambda_http::aws_lambda_events::apigw::{
    ApiGatewayProxyRequest, ApiGatewayV2CustomAuthorizerV2Request, ApiGatewayV2httpRequest,
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::value::RawValue;

/// An event that a function takes.
pub trait Event: Sized {
    /// What it is called, for whoever has sent another.
    const EXPECTED: &'static str;

    /// The event that has arrived; `None` if it is another.
    fn read(arrived: &Arrived<'_>) -> Option<Self>;
}

/// An event that has arrived, and is not read yet.
pub struct Arrived<'t> {
    shape: Shape<'t>,
    text: &'t RawValue,
}

impl Arrived<'_> {
    /// Reads it; `None` if it is no such event.
    pub fn parse<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.text.get()).ok()
    }
}

/// What has arrived.
pub enum Incoming<E> {
    /// What the function takes.
    Expected(E),
    /// EventBridge's scheduled event: it keeps the function warm.
    Scheduled,
    /// Anything else.
    Unexpected,
}

impl<'de, E: Event> Deserialize<'de> for Incoming<E> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&RawValue>::deserialize(deserializer)?;
        let Ok(shape) = serde_json::from_str::<Shape<'_>>(text.get()) else { return Ok(Self::Unexpected) };
        if shape.detail_type.as_deref() == Some("Scheduled Event") {
            return Ok(Self::Scheduled);
        }
        Ok(E::read(&Arrived { shape, text }).map_or(Self::Unexpected, Self::Expected))
    }
}

/// The members by which events are told apart.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape<'t> {
    #[serde(borrow)]
    version: Option<Cow<'t, str>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'t, str>>,
    #[serde(borrow, rename = "detail-type")]
    detail_type: Option<Cow<'t, str>>,
    /// API Gateway's own: an ALB's event has none.
    resource: Option<IgnoredAny>,
    http_method: Option<IgnoredAny>,
    request_context: Option<RequestContext>,
}

#[derive(Deserialize)]
struct RequestContext {
    http: Option<IgnoredAny>,
}

/// A request by way of API Gateway.
pub enum HttpEvent {
    /// Payload 1.0: a REST API's.
    V1(Box<ApiGatewayProxyRequest>),
    /// Payload 2.0: an HTTP API's.
    V2(Box<ApiGatewayV2httpRequest>),
}

impl HttpEvent {
    /// Reads it, as the runtime does; `None` if it is another event, or none.
    pub fn parse(text: &str) -> Option<Self> {
        match serde_json::from_str(text) {
            Ok(Incoming::Expected(event)) => Some(event),
            Ok(Incoming::Scheduled | Incoming::Unexpected) | Err(_) => None,
        }
    }
}

impl Event for HttpEvent {
    const EXPECTED: &'static str = "a request by way of API Gateway, payload 1.0 or 2.0";

    fn read(arrived: &Arrived<'_>) -> Option<Self> {
        let shape = &arrived.shape;
        let has_http = shape.request_context.as_ref()?.http.is_some();
        let is_rest = shape.resource.is_some() && shape.http_method.is_some();
        match (shape.kind.as_deref(), shape.version.as_deref()) {
            (None, Some("2.0")) if has_http => arrived.parse().map(Self::V2),
            // A REST API says no version.
            (None, None | Some("1.0")) if is_rest => arrived.parse().map(Self::V1),
            _ => None,
        }
    }
}

impl Event for ApiGatewayV2CustomAuthorizerV2Request {
    const EXPECTED: &'static str = "a request to authorize by way of an HTTP API, payload 2.0";

    fn read(arrived: &Arrived<'_>) -> Option<Self> {
        let Shape { kind, version, .. } = &arrived.shape;
        let is_meant = kind.as_deref() == Some("REQUEST") && version.as_deref() == Some("2.0");
        if is_meant { arrived.parse() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn kind(event: &Value) -> &'static str {
        match serde_json::from_str::<Incoming<HttpEvent>>(&event.to_string()).unwrap() {
            Incoming::Expected(HttpEvent::V1(_)) => "1.0",
            Incoming::Expected(HttpEvent::V2(_)) => "2.0",
            Incoming::Scheduled => "scheduled",
            Incoming::Unexpected => "unexpected",
        }
    }

    fn of_rest_api() -> Value {
        json!({"resource": "/token", "path": "/token", "httpMethod": "POST", "headers": null, "multiValueHeaders": null,
            "queryStringParameters": null, "requestContext": {"httpMethod": "POST", "stage": "prod", "identity": {"sourceIp": "192.0.2.1"}}})
    }

    fn with(mut event: Value, member: &str, value: Value) -> Value {
        event[member] = value;
        event
    }

    #[test]
    fn events_are_told_apart_by_what_they_say() {
        let of_http_api =
            json!({"version": "2.0", "rawPath": "/token", "requestContext": {"http": {"method": "POST"}}});
        assert_eq!(kind(&of_http_api), "2.0");
        assert_eq!(kind(&of_rest_api()), "1.0");
        assert_eq!(kind(&with(of_rest_api(), "version", json!("1.0"))), "1.0");
        assert_eq!(
            kind(&json!({"version": "0", "source": "aws.events", "detail-type": "Scheduled Event"})),
            "scheduled"
        );
        let mut of_load_balancer = with(of_rest_api(), "requestContext", json!({"elb": {"targetGroupArn": "arn"}}));
        of_load_balancer.as_object_mut().unwrap().remove("resource");
        for unexpected in [
            of_load_balancer,
            with(of_http_api.clone(), "version", json!("3.0")),
            with(of_http_api.clone(), "type", json!("REQUEST")),
            with(of_rest_api(), "type", json!("TOKEN")),
            with(of_http_api, "requestContext", json!({})),
            with(of_rest_api(), "version", json!(2)),
            json!({"Records": []}),
            json!({"key1": "value1"}),
            json!({}),
            json!(null),
            json!([]),
            json!("text"),
        ] {
            assert_eq!(kind(&unexpected), "unexpected", "{unexpected}");
        }
    }
}
