//! What functions are invoked with, told apart by its shape before it is read: whoever sends something else is told what was
//! expected, and nothing of what was sent gets into the log.

use std::fmt;

use lambda_http::aws_lambda_events::apigw::{
    ApiGatewayProxyRequest, ApiGatewayV2CustomAuthorizerV2Request, ApiGatewayV2httpRequest,
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor},
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
    shape: Shape,
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
        let Some(shape) = Shape::of(text) else { return Ok(Self::Unexpected) };
        if shape.detail_type.as_deref() == Some("Scheduled Event") {
            return Ok(Self::Scheduled);
        }
        Ok(E::read(&Arrived { shape, text }).map_or(Self::Unexpected, Self::Expected))
    }
}

/// What events are told apart by.
#[derive(Default)]
struct Shape {
    version: Option<String>,
    kind: Option<String>,
    detail_type: Option<String>,
    /// API Gateway's own: an ALB's event has none.
    has_resource: bool,
    has_method: bool,
    has_http_context: bool,
    /// It begins as an HTTP API's request does: nobody need look at the rest.
    begins_as_http_api: bool,
}

#[derive(Deserialize)]
#[serde(field_identifier)]
enum Member {
    #[serde(rename = "version")]
    Version,
    #[serde(rename = "type")]
    Kind,
    #[serde(rename = "detail-type")]
    DetailType,
    #[serde(rename = "resource")]
    Resource,
    #[serde(rename = "httpMethod")]
    Method,
    #[serde(rename = "requestContext")]
    Context,
    #[serde(rename = "routeKey")]
    RouteKey,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct RequestContext {
    http: Option<IgnoredAny>,
}

impl Shape {
    /// `None`: it is no object, or a member has another type than in every event that is known.
    fn of(text: &RawValue) -> Option<Self> {
        let mut shape = Self::default();
        let read = serde_json::Deserializer::from_str(text.get()).deserialize_map(ShapeVisitor(&mut shape));
        // An object that was left before its end counts as an error.
        (read.is_ok() || shape.begins_as_http_api).then_some(shape)
    }
}

struct ShapeVisitor<'s>(&'s mut Shape);

impl<'de> Visitor<'de> for ShapeVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let shape = self.0;
        while let Some(member) = members.next_key()? {
            match member {
                Member::Version => shape.version = members.next_value()?,
                Member::Kind => shape.kind = members.next_value()?,
                Member::DetailType => shape.detail_type = members.next_value()?,
                Member::Resource => shape.has_resource = members.next_value::<Option<IgnoredAny>>()?.is_some(),
                Member::Method => shape.has_method = members.next_value::<Option<IgnoredAny>>()?.is_some(),
                Member::Context => {
                    let context: Option<RequestContext> = members.next_value()?;
                    shape.has_http_context = context.is_some_and(|context| context.http.is_some());
                }
                // An authorizer's event says its type before.
                Member::RouteKey if shape.version.as_deref() == Some("2.0") && shape.kind.is_none() => {
                    shape.begins_as_http_api = true;
                    return Ok(());
                }
                Member::RouteKey | Member::Other => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
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
        let Shape { version, kind, .. } = &arrived.shape;
        let is_http = arrived.shape.begins_as_http_api || arrived.shape.has_http_context;
        let is_rest = arrived.shape.has_resource && arrived.shape.has_method;
        match (kind.as_deref(), version.as_deref()) {
            (None, Some("2.0")) if is_http => arrived.parse().map(Self::V2),
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
    fn an_event_that_begins_as_an_http_apis_is_one_only_if_it_goes_on_like_one() {
        let begun = r#"{"version":"2.0","routeKey":"POST /token","#;
        let rest = r#""rawPath":"/token","requestContext":{"http":{"method":"POST"}}}"#;
        assert!(matches!(HttpEvent::parse(&format!("{begun}{rest}")), Some(HttpEvent::V2(_))));
        assert!(HttpEvent::parse(&format!(r#"{begun}"requestContext":{{}}}}"#)).is_none());
        assert!(
            HttpEvent::parse(&format!(r#"{{"version":"2.0","type":"REQUEST","routeKey":"POST /token",{rest}"#))
                .is_none()
        );
        assert!(HttpEvent::parse(&format!(r#"{begun}"a":1"#)).is_none(), "no JSON");
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
