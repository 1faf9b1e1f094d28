//! What API Gateway asks the authorizer.

use std::sync::Arc;

use authorizer::{Authorizer, LiveSessions};
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2CustomAuthorizerV2Request;
use latchkey_token_testkit::{FixedDocuments, InMemorySessions};
use serde_json::Value;

use crate::{
    Outcome, text,
    world::{World, block_on},
};

/// Every event that can be read at all is answered with yes or no; yes only for an access token that was issued to the
/// audience and stands in the one Authorization header, with exactly its claims as context; no with an empty context.
pub fn authorizer_event(data: &[u8]) -> Outcome {
    let Some(text) = text(data) else { return Outcome::Unused };
    block_on(async {
        let world = World::new();
        let (event, issued) = world.filled(text).await;
        let authorizer: Authorizer<InMemorySessions, FixedDocuments> = Authorizer {
            store: world.tokens.store,
            documents: world.tokens.documents,
            policy: world.tokens.policy,
            audience: "librechat".into(),
            live: LiveSessions::new(0),
            clock: Arc::clone(&world.tokens.clock),
        };
        let Ok(event) = serde_json::from_str::<ApiGatewayV2CustomAuthorizerV2Request>(&event) else {
            return Outcome::Unused;
        };
        let presented: Vec<String> = event
            .headers
            .get_all("authorization")
            .iter()
            .filter_map(|value| Some(value.to_str().ok()?.to_owned()))
            .collect();
        let answer = authorizer::handle(&authorizer, event, String::new()).await.expect("nothing here can fail");
        let answer = serde_json::to_value(answer).unwrap();
        if answer["isAuthorized"] == true {
            let [presented] = &presented[..] else { panic!("{} headers", presented.len()) };
            // White space round a header's value is none of it (RFC 9110 §5.5).
            let is_presented = |token: &Value| presented.trim_end().ends_with(token.as_str().unwrap());
            let bearer =
                issued.iter().find(|issued| is_presented(&issued.tokens["access_token"])).expect("a token of ours");
            let context = serde_json::json!({
                "sub": "alice", "client_id": bearer.client, "scope": bearer.tokens["scope"], "sid": bearer.tokens["session_id"],
            });
            assert_eq!(answer["context"], context);
            return Outcome::Accepted;
        }
        assert_eq!(answer["isAuthorized"], false);
        assert!(answer["context"].as_object().unwrap().values().all(|value| value == ""), "{answer}");
        Outcome::Refused
    })
}
