//! Requests to the table and the units that they consume: what DynamoDB bills.

use std::{collections::BTreeMap, sync::Arc};

use latchkey_token::keys::Algorithm;
use latchkey_token_lambda::system::SystemRandomness;
use latchkey_token_testkit::{SettableClock, fixture};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    cloud::{Cloud, Consumed},
    installation::{self, Installation, Secrets, Session, client_of, issue_event, renew_event, token_exchange_event},
    sign_in::{self, Browser},
};
use aws_config::Region;
use aws_sdk_dynamodb::config::Credentials;

/// What one request of each kind costs the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    pub operations: BTreeMap<String, u64>,
    pub write_units: f64,
    pub read_units: f64,
    /// Of the session's record, as far as it was returned.
    pub item_bytes: usize,
}

impl From<Consumed> for Counts {
    fn from(consumed: Consumed) -> Self {
        Self {
            operations: consumed.requests,
            write_units: consumed.write_units,
            read_units: consumed.read_units,
            item_bytes: consumed.item_bytes,
        }
    }
}

/// Issue, exchange for a target, renewal, retry and reuse, in this order, on one session with claims as LibreChat has them; then
/// a sign-in, from the browser's first request to its last.
pub async fn count(secrets: &Secrets) -> BTreeMap<String, Counts> {
    let clock = Arc::new(SettableClock::at(fixture::NOW));
    let stored = Installation::new(secrets.clone()).await;
    let cloud = Cloud::plain(stored.database.clone(), BTreeMap::new()).await;
    let sdk = latchkey_token_aws::sdk::loader()
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("bench", "bench", None, None, "bench"))
        .endpoint_url(cloud.url())
        .load()
        .await;
    let tokens = installation::tokens(&sdk, secrets, clock.clone(), Arc::new(SystemRandomness)).await;
    let client = client_of(Algorithm::Rs256);
    let mut counts = BTreeMap::new();
    let mut note = |name: &str| counts.insert(name.to_owned(), Counts::from(cloud.take_consumed()));

    let issued = installation::invoke(&tokens, &issue_event(&client, "alice", "openid profile email")).await;
    let issued = Session::from_answer(&client, &issued);
    note("issue");
    let exchanged = installation::invoke(&tokens, &token_exchange_event(&issued)).await;
    assert_eq!(exchanged["statusCode"], 200, "{exchanged}");
    note("exchange for a target");
    let renewed = Session::from_answer(&client, &installation::invoke(&tokens, &renew_event(&issued)).await);
    note("renewal");
    let retried = Session::from_answer(&client, &installation::invoke(&tokens, &renew_event(&issued)).await);
    assert_eq!(retried.refresh_token, renewed.refresh_token);
    note("retry");
    Session::from_answer(&client, &installation::invoke(&tokens, &renew_event(&renewed)).await);
    cloud.take_consumed();
    let reused: Value = installation::invoke(&tokens, &renew_event(&issued)).await;
    assert_eq!(reused["statusCode"], 400);
    note("reuse");

    let browser = Browser::new(&tokens);
    let ticket = browser.begin(&client, "openid profile email").await;
    note("authorize");
    let answer = sign_in::accept(&tokens, &ticket).await;
    note("accept");
    let code = browser.come_back(&answer).await;
    note("return");
    let exchanged = installation::invoke(&tokens, &sign_in::exchange_event(&client, &code)).await;
    note("exchange");
    sign_in::userinfo(&tokens, &exchanged).await;
    note("userinfo");
    sign_in::sign_out(&tokens, &exchanged).await;
    note("sign-out");
    counts
}
