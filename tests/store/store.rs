//! One contract, two stores.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use dynoxide::Database;
use latchkey::serve::dynamodb::embedded;
use latchkey_token::{
    ports::{InsertSession, ReadSession, RenewSession},
    values::SessionKey,
};
use latchkey_token_aws::{DynamoDbSessions, table};
use latchkey_token_testkit::{
    InMemorySessions, contract,
    fixture::{self, NOW},
};

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

/// The TTL attribute as it stands in the table, in Unix seconds.
async fn expires_at(sdk: &aws_config::SdkConfig, key: &SessionKey) -> i64 {
    let bytes = |bytes: &[u8]| AttributeValue::B(Blob::new(bytes));
    let request = aws_sdk_dynamodb::Client::new(sdk).get_item().table_name("sessions").consistent_read(true);
    let request = request.key("owner", bytes(key.owner.as_bytes())).key("sid", bytes(key.sid.as_bytes()));
    let item = request.send().await.unwrap().item.unwrap();
    item["expires_at"].as_n().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unused_code_is_deleted_a_day_after_its_minute_and_an_exchanged_one_with_its_session() {
    let sdk = embedded(Database::memory().unwrap(), None).await;
    table::create_if_missing(&sdk, "sessions").await.unwrap();
    let store = DynamoDbSessions::new(&sdk, "sessions");
    let day = 86_400;
    let session = fixture::code_session(1);
    store.insert(&session).await.unwrap();
    assert_eq!(expires_at(&sdk, &session.key).await, NOW.plus(60 + day).unix_seconds());
    assert!(store.renew(&fixture::exchange(&session, NOW.plus(5))).await.unwrap().is_done());
    let with_the_session = session.absolute_expires_at.plus(day).unix_seconds();
    assert_eq!(expires_at(&sdk, &session.key).await, with_the_session);
    let exchanged = store.read(&session.key).await.unwrap().unwrap();
    assert!(store.renew(&fixture::renewal(&exchanged, NOW.plus(10))).await.unwrap().is_done());
    assert_eq!(expires_at(&sdk, &session.key).await, with_the_session);
}

/// A service that answers 200 with what nobody can read, and says a secret in it.
async fn garbling(path: &'static str) -> (String, tokio::task::JoinHandle<()>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = [0; 8192];
            let _ = connection.read(&mut request).await;
            let answer =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{path}", path.len());
            let _ = connection.write_all(answer.as_bytes()).await;
        }
    });
    (url, serving)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_read_is_never_quoted() {
    for body in
        [r#"{"Item": {"subject": {"S": "HIDDEN"}, "x": 5"#, r#"{"SecretString": "HIDDEN", "#, "HIDDEN", r#"["HIDDEN"]"#]
    {
        let (url, serving) = garbling(body).await;
        let sdk = latchkey_token_aws::sdk::loader()
            .region(aws_config::Region::new("local"))
            .credentials_provider(aws_sdk_dynamodb::config::Credentials::new("local", "local", None, None, "test"))
            .endpoint_url(url)
            .load()
            .await;
        let key = latchkey_token_testkit::fixture::session(1).key;
        let failure = DynamoDbSessions::new(&sdk, "sessions").read(&key).await.unwrap_err();
        assert!(!format!("{failure} {failure:?}").contains("HIDDEN"), "{failure}");
        let secret = || latchkey_token_aws::SecretText::at("signing-keys", &sdk);
        let secrets = latchkey_token_aws::DocumentSecrets { signing_keys: secret(), clients: secret() };
        let source = latchkey_token_aws::CachedDocuments::new(secrets, 300);
        let failure = latchkey_token::ports::DocumentSource::current(&source, latchkey_token_testkit::fixture::NOW)
            .await
            .unwrap_err();
        assert!(!format!("{failure} {failure:?}").contains("HIDDEN"), "{failure}");
        serving.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_table_is_infrastructure_trouble() {
    let sdk = embedded(Database::memory().unwrap(), None).await;
    let store = DynamoDbSessions::new(&sdk, "missing");
    let failure = store.read(&latchkey_token_testkit::fixture::session(1).key).await.unwrap_err();
    assert_eq!(failure.what, "session store");
}
