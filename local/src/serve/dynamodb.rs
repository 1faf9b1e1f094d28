//! The embedded DynamoDB behind the real SDK: its connector calls the engine in the same process instead of a
//! network. Requests are serialised, signed, retried and parsed as ever.

use std::{fmt, path::Path, sync::Arc};

use aws_config::{Region, SdkConfig};
use aws_sdk_dynamodb::config::Credentials;
use aws_smithy_runtime_api::{
    client::{
        http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use dynoxide::{Database, DynoxideError};
use latchkey_token_aws::sdk;
use serde::{Serialize, de::DeserializeOwned};

/// Told the name of every operation, for those who count.
pub type Observer = Arc<dyn Fn(&str) + Send + Sync>;

/// The engine on a file. What has been answered survives the process, however it ends; a machine that loses power may lose
/// the last seconds (SQLite's write-ahead log with `synchronous=NORMAL`), and never the file.
pub fn open(file: &Path) -> dynoxide::Result<Database> {
    let database = Database::new(&file.display().to_string())?;
    // This is how the engine sets it: nothing was loaded in bulk.
    database.disable_bulk_loading()?;
    Ok(database)
}

/// An SDK configuration whose DynamoDB is `database`.
pub async fn embedded(database: Database, observer: Option<Observer>) -> SdkConfig {
    let connector = SharedHttpConnector::new(Connector { database, observer });
    sdk::loader()
        .region(Region::new("local"))
        .credentials_provider(Credentials::new("local", "local", None, None, "embedded"))
        .endpoint_url("http://embedded.invalid")
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .load()
        .await
}

struct Connector {
    database: Database,
    observer: Option<Observer>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("embedded DynamoDB")
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let database = self.database.clone();
        let observer = self.observer.clone();
        HttpConnectorFuture::new(async move {
            let target = request.headers().get("x-amz-target").unwrap_or_default();
            let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
            let body = request.body().bytes().unwrap_or_default().to_vec();
            if let Some(observer) = observer {
                observer(&operation);
            }
            // The engine waits for its disk.
            let answer = tokio::task::spawn_blocking(move || perform(&database, &operation, &body)).await;
            let (status, text) = match answer.map_err(|error| ConnectorError::other(error.into(), None))? {
                Ok(text) => (200, text),
                Err(error) => (error.status_code(), error.to_json()),
            };
            let status = StatusCode::try_from(status).map_err(|error| ConnectorError::other(error.into(), None))?;
            Ok(HttpResponse::new(status, SdkBody::from(text)))
        })
    }
}

/// One operation of DynamoDB's API on `database`: its request and its answer, each as JSON.
pub fn perform(database: &Database, operation: &str, body: &[u8]) -> Result<String, DynoxideError> {
    match operation {
        "CreateTable" => answer(body, |request| database.create_table(request)),
        "DescribeTable" => answer(body, |request| database.describe_table(request)),
        "PutItem" => answer(body, |request| database.put_item(request)),
        "TransactWriteItems" => answer(body, |request| database.transact_write_items(request)),
        "UpdateItem" => answer(body, |request| database.update_item(request)),
        "GetItem" => answer(body, |request| database.get_item(request)),
        "Query" => answer(body, |request| database.query(request)),
        "DeleteItem" => answer(body, |request| database.delete_item(request)),
        "Scan" => answer(body, |request| database.scan(request)),
        _ => Err(DynoxideError::ValidationException(format!("{operation} is not offered in process"))),
    }
}

fn answer<Q: DeserializeOwned, R: Serialize>(
    body: &[u8],
    perform: impl FnOnce(Q) -> dynoxide::Result<R>,
) -> Result<String, DynoxideError> {
    let request = serde_json::from_slice(body)
        .map_err(|_| DynoxideError::SerializationException("the request cannot be read".into()))?;
    serde_json::to_string(&perform(request)?)
        .map_err(|_| DynoxideError::InternalServerError("the answer cannot be written".into()))
}
