//! Sessions in DynamoDB: one request per issue, one per renewal.

use std::{
    future::Future,
    pin::Pin,
    time::{Duration, Instant},
};

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client, Config,
    config::retry::RetryConfig,
    error::{ProvideErrorMetadata, SdkError},
    operation::{
        put_item::PutItemError,
        query::{QueryOutput, builders::QueryFluentBuilder},
        transact_write_items::TransactWriteItemsError,
        update_item::UpdateItemError,
    },
    types::{Put, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem},
};
use aws_smithy_types::body::SdkBody;
use latchkey_token::{
    failure::Unavailable,
    ports::{
        InsertSession, ListSessions, Page, ReadSession, RedeemAssertion, RedemptionFailure, RenewSession,
        RenewalOutcome, RevokeSession,
    },
    session::{Renewal, Revocation, Session, WriteOutcome, deletable_after, ended_deletable_at},
    tokens::SingleUse,
    values::{ClientId, Generation, Owner, SessionKey, Sid, Subject},
};

use crate::{
    record::{self, Item, binary, number, string, time},
    sdk,
};

/// Told how long the table has kept a request waiting, the SDK's retries included.
pub type StoreObserver = fn(Duration);

/// The session table.
#[derive(Clone, Debug)]
pub struct DynamoDbSessions {
    pub(crate) client: Client,
    pub(crate) table: String,
    observer: Option<StoreObserver>,
}

impl DynamoDbSessions {
    /// Makes the client for the table of this name; sends nothing.
    pub fn new(sdk: &SdkConfig, table: impl Into<String>) -> Self {
        Self { client: Client::new(sdk), table: table.into(), observer: None }
    }

    /// With somebody who measures.
    pub fn observed(self, observer: StoreObserver) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// Opens the connection that the first request would otherwise wait for. What goes out is `GET /`, which DynamoDB
    /// answers with its health (`healthy: dynamodb.<region>.amazonaws.com`; undocumented, but dynalite's suite, which is
    /// held against DynamoDB itself, has it): it needs no permission, costs no capacity, touches no item. It is sent as a
    /// GetItem whose method and body are replaced, so that the SDK looks up the credentials and the endpoint which the
    /// requests to come will use.
    pub async fn connect(&self) {
        let health = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("owner", binary(&[0]))
            .customize()
            .config_override(Config::builder().retry_config(RetryConfig::disabled()))
            .mutate_request(|request| {
                let _ = request.set_method("GET");
                for of_the_operation in ["x-amz-target", "content-type", "content-length"] {
                    request.headers_mut().remove(of_the_operation);
                }
                *request.body_mut() = SdkBody::empty();
            });
        // Ignore the result: if the connection failed, the first request reports it.
        let _ = Box::pin(health.send()).await;
    }

    /// Whether the session has a record, one that cannot be read included. One request; fails only if the table does not
    /// answer.
    pub async fn has_record(&self, key: &SessionKey) -> Result<bool, Unavailable> {
        Ok(self.item(key).await?.is_some())
    }

    /// The record as it is, strongly consistent.
    async fn item(&self, key: &SessionKey) -> Result<Option<Item>, Unavailable> {
        let request =
            self.client.get_item().table_name(&self.table).set_key(Some(record::key(key))).consistent_read(true);
        Ok(self.timed(Box::pin(request.send())).await.map_err(unavailable)?.item)
    }

    /// The request's future is boxed: it has some kilobytes, which would be moved with every future around it.
    async fn timed<T>(&self, request: Pin<Box<impl Future<Output = T>>>) -> T {
        let _waiting = Waiting { observer: self.observer, since: Instant::now() };
        request.await
    }
}

/// Ends when it is dropped: a request that is given up has been waited for as well.
struct Waiting {
    observer: Option<StoreObserver>,
    since: Instant,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(observer) = self.observer {
            observer(self.since.elapsed());
        }
    }
}

pub(crate) fn unavailable<E: ProvideErrorMetadata, R>(error: SdkError<E, R>) -> Unavailable {
    Unavailable::new("session store", sdk::describe(&error))
}

fn read(item: &Item) -> Result<Session, Unavailable> {
    record::session(item).map_err(corrupt)
}

fn corrupt(corrupt: record::Corrupt) -> Unavailable {
    Unavailable::new("session store", corrupt.to_string())
}

impl InsertSession for DynamoDbSessions {
    async fn insert(&self, session: &Session) -> Result<WriteOutcome, Unavailable> {
        let request = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(record::item(session)))
            .condition_expression("attribute_not_exists(sid)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match self.timed(Box::pin(request.send())).await {
            Ok(_) => Ok(WriteOutcome::Done(())),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(failure)) => {
                    let old = failure.item().map(read).transpose()?;
                    let is_ours = old.is_some_and(|old| old.secret_hash == session.secret_hash);
                    Ok(if is_ours { WriteOutcome::DoneBefore(()) } else { WriteOutcome::ByAnother(()) })
                }
                _ => Err(unavailable(error)),
            },
        }
    }
}

impl RedeemAssertion for DynamoDbSessions {
    async fn redeem(&self, assertion: &SingleUse, session: &Session) -> Result<WriteOutcome, RedemptionFailure> {
        let put = |item| {
            let put = Put::builder()
                .table_name(&self.table)
                .set_item(Some(item))
                .condition_expression("attribute_not_exists(sid)")
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
                .build();
            put.map(|put| TransactWriteItem::builder().put(put).build())
                .map_err(|error| RedemptionFailure::NotWritten(Unavailable::new("session store", error.to_string())))
        };
        let request = self
            .client
            .transact_write_items()
            .transact_items(put(record::used_assertion(assertion, session))?)
            .transact_items(put(record::item(session))?);
        let error = match self.timed(Box::pin(request.send())).await {
            Ok(_) => return Ok(WriteOutcome::Done(())),
            Err(error) => error,
        };
        let canceled = match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => canceled,
            _ if is_unsent(&error) => return Err(RedemptionFailure::NotWritten(unavailable(error))),
            _ => return Err(RedemptionFailure::OutcomeUnknown(unavailable(error))),
        };
        match canceled.cancellation_reasons().first() {
            Some(reason) if reason.code() == Some("ConditionalCheckFailed") => {
                let is_ours = reason.item().is_some_and(|old| record::was_used_for(old, session));
                Ok(if is_ours { WriteOutcome::DoneBefore(()) } else { WriteOutcome::ByAnother(()) })
            }
            // The other transaction may be an earlier try of this one.
            Some(reason) if reason.code() == Some("TransactionConflict") => {
                Err(RedemptionFailure::OutcomeUnknown(unavailable(error)))
            }
            // Throttled, or the drawn session id is taken. An earlier try would have been met by the first condition.
            _ => Err(RedemptionFailure::NotWritten(unavailable(error))),
        }
    }
}

/// Whether a request cannot have reached the table: it was never made, or no connection was had for it.
fn is_unsent<E, R>(error: &SdkError<E, R>) -> bool {
    match error {
        SdkError::ConstructionFailure(_) => true,
        SdkError::DispatchFailure(failure) => failure.is_user(),
        _ => false,
    }
}

impl RenewSession for DynamoDbSessions {
    async fn renew(&self, renewal: &Renewal) -> Result<RenewalOutcome, Unavailable> {
        let Renewal { presented, successor, rules, .. } = renewal;
        let mut condition = "client_id = :client AND generation = :old_generation AND secret_hash = :old_hash \
             AND attribute_not_exists(revoked_at) AND idle_expires_at > :now AND absolute_expires_at > :now"
            .to_owned();
        let mut request = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(record::key(&renewal.key)))
            .expression_attribute_values(":client", string(presented.client_id.as_str()))
            .expression_attribute_values(":old_generation", number(presented.generation.number().into()))
            .expression_attribute_values(":old_hash", binary(presented.secret_hash.as_bytes()))
            .expression_attribute_values(":now", time(renewal.now))
            .expression_attribute_values(":generation", number(successor.generation.number().into()))
            .expression_attribute_values(":hash", binary(successor.secret_hash.as_bytes()))
            .expression_attribute_values(":tag_kid", number(successor.tag_kid.into()))
            .expression_attribute_values(":sealed", binary(successor.sealed.as_bytes()))
            .expression_attribute_values(":access_expires_at", time(renewal.access_expires_at))
            .expression_attribute_values(":idle_expires_at", time(renewal.idle_expires_at));
        let mut update = "SET generation = :generation, secret_hash = :hash, tag_kid = :tag_kid, \
             previous_hash = :old_hash, sealed_successor = :sealed, rotated_at = :now, \
             access_expires_at = :access_expires_at, idle_expires_at = :idle_expires_at"
            .to_owned();
        match &presented.binding {
            Some(binding) => {
                // An unused code was to be deleted soon.
                update.push_str(", expires_at = :expires_at");
                let expires_at = deletable_after(renewal.key.sid.absolute_expires_at());
                condition.push_str(" AND redirect_uri_hash = :redirect_uri_hash");
                request = request
                    .expression_attribute_values(":expires_at", number(expires_at))
                    .expression_attribute_values(":redirect_uri_hash", binary(binding.redirect_uri_hash()));
                match binding.code_challenge() {
                    Some(challenge) => {
                        condition.push_str(" AND code_challenge = :code_challenge");
                        request = request.expression_attribute_values(":code_challenge", binary(challenge.as_bytes()));
                    }
                    None => condition.push_str(" AND attribute_not_exists(code_challenge)"),
                }
            }
            None => {
                // The first tokens have had them. "resource" is a word of DynamoDB's own.
                update.push_str(" REMOVE nonce, #resource");
                request = request.expression_attribute_names("#resource", "resource");
                if presented.generation == Generation::FIRST {
                    condition.push_str(" AND attribute_not_exists(redirect_uri_hash)");
                }
            }
        }
        if let Some(epoch) = rules.epochs.floor() {
            condition.push_str(" AND issued_at >= :epoch");
            request = request.expression_attribute_values(":epoch", time(epoch));
        }
        for (index, (issuer, epoch)) in rules.epochs.issuers().iter().enumerate() {
            condition.push_str(&format!(" AND (issuer_id <> :issuer_{index} OR issued_at >= :epoch_{index})"));
            request = request
                .expression_attribute_values(format!(":issuer_{index}"), string(issuer.as_str()))
                .expression_attribute_values(format!(":epoch_{index}"), time(*epoch));
        }
        for (index, issuer) in rules.epochs.unreadable().iter().enumerate() {
            condition.push_str(&format!(" AND issuer_id <> :unreadable_{index}"));
            request = request.expression_attribute_values(format!(":unreadable_{index}"), string(issuer.as_str()));
        }
        if let Some(known) = rules.epochs.known() {
            let mut any = vec!["issuer_id = :nobody".to_owned()];
            request = request.expression_attribute_values(":nobody", string(""));
            for (index, issuer) in known.iter().enumerate() {
                any.push(format!("issuer_id = :known_{index}"));
                request = request.expression_attribute_values(format!(":known_{index}"), string(issuer.as_str()));
            }
            condition.push_str(&format!(" AND ({})", any.join(" OR ")));
        }
        if rules.window_seconds > 0 && presented.binding.is_none() {
            condition.push_str(" AND access_expires_at <= :window_end");
            request = request.expression_attribute_values(":window_end", time(renewal.now.plus(rules.window_seconds)));
        }
        let request = request
            .update_expression(update)
            .condition_expression(condition)
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match self.timed(Box::pin(request.send())).await {
            Ok(output) => {
                let item = output.attributes.unwrap_or_default();
                Ok(WriteOutcome::Done(read(&item)?))
            }
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failure)) => {
                    Ok(renewal.refused_by(failure.item().map(read).transpose()?))
                }
                _ => Err(unavailable(error)),
            },
        }
    }
}

impl ReadSession for DynamoDbSessions {
    async fn read(&self, key: &SessionKey) -> Result<Option<Session>, Unavailable> {
        self.item(key).await?.as_ref().map(read).transpose()
    }

    async fn whose(&self, key: &SessionKey) -> Result<Option<(ClientId, Subject)>, Unavailable> {
        self.item(key).await?.as_ref().map(record::whose).transpose().map_err(corrupt)
    }
}

/// So many records are looked at in one request at least: most may have been revoked.
const MIN_PAGE: usize = 100;
/// So many keys come in one request.
const KEYS_PER_PAGE: i32 = 1000;
const NOT_REVOKED: &str = "attribute_not_exists(revoked_at)";

impl DynamoDbSessions {
    /// All records of an owner. "owner" is a word of DynamoDB's own.
    pub(crate) fn query(&self, owner: &Owner) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.table)
            .key_condition_expression("#owner = :owner")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":owner", binary(owner.as_bytes()))
            .consistent_read(true)
    }

    /// Those after a sid that have not been revoked.
    fn query_after(&self, owner: &Owner, after: &Sid) -> QueryFluentBuilder {
        self.query(owner)
            .key_condition_expression("#owner = :owner AND sid > :after")
            .expression_attribute_values(":after", binary(after.as_bytes()))
            .filter_expression(NOT_REVOKED)
    }
}

/// The records that can be read; the others are logged.
fn readable(items: &[Item]) -> impl Iterator<Item = Session> {
    items.iter().filter_map(|item| {
        let session = record::session(item);
        if let Err(corrupt) = &session {
            let name = record::session_key(item).map(|key| key.audit_name()).unwrap_or_default();
            tracing::error!(session = name, %corrupt, "a session record cannot be read, and is left out of a list");
        }
        session.ok()
    })
}

/// Where the next page begins.
fn next_after(output: &QueryOutput) -> Result<Option<Sid>, Unavailable> {
    let key = output.last_evaluated_key().map(record::session_key).transpose();
    Ok(key.map_err(corrupt)?.map(|key| key.sid))
}

impl ListSessions for DynamoDbSessions {
    async fn list(&self, owner: &Owner) -> Result<Vec<Session>, Unavailable> {
        let mut pages = self.query(owner).into_paginator().send();
        let mut sessions = Vec::new();
        while let Some(page) = self.timed(Box::pin(pages.next())).await {
            sessions.extend(readable(page.map_err(unavailable)?.items()));
        }
        Ok(sessions)
    }

    async fn page(&self, owner: &Owner, after: &Sid, limit: usize) -> Result<Page<Session>, Unavailable> {
        let evaluated = i32::try_from(limit.max(MIN_PAGE)).unwrap_or(i32::MAX);
        let request = self.query_after(owner, after).limit(evaluated);
        let output = self.timed(Box::pin(request.send())).await.map_err(unavailable)?;
        let mut items: Vec<Session> = readable(output.items()).collect();
        let mut next = next_after(&output)?;
        if items.len() > limit {
            items.truncate(limit);
            next = items.last().map(|session| session.key.sid);
        }
        Ok(Page { items, next })
    }

    async fn keys(
        &self,
        owner: &Owner,
        after: &Sid,
        client: Option<&ClientId>,
    ) -> Result<Page<SessionKey>, Unavailable> {
        let mut request = self.query_after(owner, after).projection_expression("#owner, sid").limit(KEYS_PER_PAGE);
        if let Some(client) = client {
            request = request
                .filter_expression(format!("{NOT_REVOKED} AND client_id = :client"))
                .expression_attribute_values(":client", string(client.as_str()));
        }
        let output = self.timed(Box::pin(request.send())).await.map_err(unavailable)?;
        // No token leads to a key of another form.
        let items = output.items().iter().filter_map(|item| record::session_key(item).ok()).collect();
        Ok(Page { items, next: next_after(&output)? })
    }
}

impl RevokeSession for DynamoDbSessions {
    async fn revoke(&self, key: &SessionKey, revocation: &Revocation) -> Result<WriteOutcome, Unavailable> {
        let deletable_at = ended_deletable_at(&key.sid, revocation.at);
        let request = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(record::key(key)))
            .update_expression(
                "SET revoked_at = :at, revoked_reason = :reason, revocation_id = :id, expires_at = :expires_at \
                 REMOVE claims, sealed_successor, previous_hash",
            )
            // UpdateItem would otherwise create the record.
            .condition_expression("attribute_exists(sid) AND attribute_not_exists(revoked_at)")
            .expression_attribute_values(":at", time(revocation.at))
            .expression_attribute_values(":reason", string(&revocation.reason))
            .expression_attribute_values(":id", binary(revocation.id.as_bytes()))
            .expression_attribute_values(":expires_at", number(deletable_at))
            .return_values(ReturnValue::None);
        match self.timed(Box::pin(request.send())).await {
            Ok(_) => Ok(WriteOutcome::Done(())),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => {
                    // Asked with a read: the function's role may not have a write's item returned.
                    let is_ours = self.item(key).await?.is_some_and(|item| record::was_ended_by(&item, revocation));
                    Ok(if is_ours { WriteOutcome::DoneBefore(()) } else { WriteOutcome::ByAnother(()) })
                }
                _ => Err(unavailable(error)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_config::Region;
    use aws_sdk_dynamodb::config::Credentials;
    use aws_smithy_runtime_api::client::{
        http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
        orchestrator::HttpRequest,
        result::ConnectorError,
    };
    use std::sync::{Arc, Mutex};

    /// Notes every request, and is down.
    #[derive(Clone, Debug, Default)]
    struct Down(Arc<Mutex<Vec<HttpRequest>>>);

    impl HttpConnector for Down {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            self.0.lock().unwrap().push(request);
            HttpConnectorFuture::ready(Err(ConnectorError::io("down".into())))
        }
    }

    #[tokio::test]
    async fn connecting_asks_once_for_the_services_health_and_for_nothing_else() {
        let down = Down::default();
        let connector = SharedHttpConnector::new(down.clone());
        let sdk = sdk::loader()
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .load()
            .await;
        DynamoDbSessions::new(&sdk, "sessions").connect().await;
        let requests = down.0.lock().unwrap();
        let [request] = requests.as_slice() else { panic!("{} requests", requests.len()) };
        assert_eq!((request.method(), request.uri()), ("GET", "https://dynamodb.eu-central-1.amazonaws.com/"));
        assert_eq!(request.body().bytes(), Some(&[][..]));
        for header in ["x-amz-target", "content-length"] {
            assert_eq!(request.headers().get(header), None);
        }
    }
}
