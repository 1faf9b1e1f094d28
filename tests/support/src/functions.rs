//! The functions as Lambda runs them, in this process: put together once for every suite that calls them without HTTP.

use std::sync::Arc;

use authorize::SignIns;
use authorizer::{Authorizer, LiveSessions};
use discovery::Discovery;
use lambda_http::LambdaEvent;
use latchkey_token::{policy::Policy, routes::Function};
use latchkey_token_aws::{CachedDocuments, DynamoDbSessions};
use latchkey_token_lambda::{
    Service,
    lambda::{self, HttpEvent},
    response::Cors,
    system::SystemRandomness,
};
use latchkey_token_testkit::SettableClock;
use serde_json::Value;

use crate::ISSUER;

/// All of them, on one table and with the same documents. The authorizer guards the audience `librechat`, and remembers
/// nothing.
pub struct Functions {
    pub tokens: Service<DynamoDbSessions, Arc<CachedDocuments>>,
    pub authorizer: Authorizer<DynamoDbSessions, Arc<CachedDocuments>>,
    pub discovery: Discovery<Arc<CachedDocuments>>,
    pub sign_ins: SignIns<Arc<CachedDocuments>>,
}

impl Functions {
    /// With the contract's defaults, at the time of `clock`.
    pub fn new(store: DynamoDbSessions, documents: Arc<CachedDocuments>, clock: &Arc<SettableClock>) -> Self {
        Self {
            authorizer: Authorizer {
                store: store.clone(),
                documents: Arc::clone(&documents),
                policy: Policy::new(ISSUER),
                audience: "librechat".into(),
                live: LiveSessions::new(0),
                clock: clock.clone(),
            },
            discovery: Discovery {
                keys: Arc::clone(&documents),
                issuer: ISSUER.into(),
                max_age_seconds: 300,
                cors: Cors::default(),
                clients_register: true,
                clock: clock.clone(),
            },
            sign_ins: SignIns {
                documents: Arc::clone(&documents),
                issuer: ISSUER.into(),
                clock: clock.clone(),
                randomness: Arc::new(SystemRandomness),
                cors: Cors::default(),
                clients_register: true,
            },
            tokens: Service {
                store,
                documents,
                policy: Policy::new(ISSUER),
                cors: Cors::default(),
                clock: clock.clone(),
                randomness: Arc::new(SystemRandomness),
            },
        }
    }

    /// What `function` answers to an event, in API Gateway's form.
    pub async fn answer(&self, function: Function, event: LambdaEvent<HttpEvent>) -> Value {
        macro_rules! answer {
            ($function:ident, $service:expr) => {
                serde_json::to_value(
                    lambda::answer(function, event, |request| $function::handle($service, request)).await.unwrap(),
                )
            };
        }
        let answer = match function {
            Function::Issue => answer!(issue, &self.tokens),
            Function::Renew => answer!(renew, &self.tokens),
            Function::Revoke => answer!(revoke, &self.tokens),
            Function::Introspect => answer!(introspect, &self.tokens),
            Function::Sessions => answer!(sessions, &self.tokens),
            Function::Discovery => answer!(discovery, &self.discovery),
            Function::Authorize => answer!(authorize, &self.sign_ins),
        };
        answer.unwrap()
    }

    /// What the authorizer answers to an event, in API Gateway's simple form.
    pub async fn authorize(&self, event: Value, request_id: &str) -> Value {
        let event = serde_json::from_value(event).unwrap();
        serde_json::to_value(authorizer::handle(&self.authorizer, event, request_id.into()).await.unwrap()).unwrap()
    }
}
