//! A hello that starts as a function does that has keys in Secrets Manager and a table in DynamoDB: the same SDK, two secrets
//! fetched, the connection opened, nothing made of them. The floor of a cold start with the SDK.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use aws_sdk_secretsmanager::Client;
use lambda_http::{Body, Error, Request, Response, run, service_fn};
use latchkey_token_aws::{DynamoDbSessions, sdk};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let sdk = sdk::config().await;
    let client = Client::new(&sdk);
    let secret = async |variable| {
        let id = std::env::var(variable).unwrap();
        client.get_secret_value().secret_id(id).send().await.unwrap();
    };
    let store = DynamoDbSessions::new(&sdk, std::env::var("LATCHKEY_TABLE").unwrap());
    tokio::join!(store.connect(), secret("LATCHKEY_SIGNING_KEYS"), secret("LATCHKEY_CLIENTS"));
    run(service_fn(async |_: Request| Ok::<_, std::convert::Infallible>(Response::new(Body::from("hello"))))).await
}
