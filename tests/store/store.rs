//! One contract, two stores.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

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
    use latchkey_token::ports::ReadSession;
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
    use latchkey_token::ports::ReadSession;
    let sdk = embedded(Database::memory().unwrap(), None).await;
    let store = DynamoDbSessions::new(&sdk, "missing");
    let failure = store.read(&latchkey_token_testkit::fixture::session(1).key).await.unwrap_err();
    assert_eq!(failure.what, "session store");
}
