//! One contract, two stores.

use dynoxide::Database;
use latchkey::serve::dynamodb::embedded;
use latchkey_token_aws::{DynamoDbSessions, table};
use latchkey_token_testkit::{InMemorySessions, contract};

#[tokio::test]
async fn the_in_memory_store_keeps_the_contract() {
    contract::check_all(&InMemorySessions::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dynamodb_through_the_real_sdk_keeps_the_contract() {
    let sdk = embedded(Database::memory().unwrap(), None).await;
    table::create_if_missing(&sdk, "sessions").await.unwrap();
    table::create_if_missing(&sdk, "sessions").await.unwrap();
    contract::check_all(&DynamoDbSessions::new(&sdk, "sessions")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_table_is_infrastructure_trouble() {
    use latchkey_token::ports::ReadSession;
    let sdk = embedded(Database::memory().unwrap(), None).await;
    let store = DynamoDbSessions::new(&sdk, "missing");
    let failure = store.read(&latchkey_token_testkit::fixture::session(1).key).await.unwrap_err();
    assert_eq!(failure.what, "session store");
}
