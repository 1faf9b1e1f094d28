//! How the AWS SDK is set up: bounded waiting, few retries, one behaviour version.

use std::{sync::OnceLock, time::Duration};

use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::{
    Connector,
    proxy::ProxyConfig,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::{SharedHttpClient, SharedHttpConnector, http_client_fn};

/// One attempt takes at most this long.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(2_200);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_000);
/// A whole operation, retries and waiting included: a hanging service is answered within 8 s.
const OPERATION_TIMEOUT: Duration = Duration::from_millis(7_000);
const MAX_ATTEMPTS: u32 = 3;

/// Region, credentials and endpoints from the environment; the SDK's own `AWS_ENDPOINT_URL*` variables hold.
pub async fn config() -> SdkConfig {
    loader().http_client(https()).load().await
}

/// One connector for all clients. Left to itself, the SDK makes two for each of them, and reads the machine's root
/// certificates into every one.
fn https() -> SharedHttpClient {
    let connector = OnceLock::new();
    http_client_fn(move |settings, components| {
        let make = || {
            let mut builder = Connector::builder()
                .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
                .connector_settings(settings.clone())
                .proxy_config(ProxyConfig::from_env());
            builder.set_sleep_impl(components.sleep_impl());
            SharedHttpConnector::new(builder.build())
        };
        connector.get_or_init(make).clone()
    })
}

/// The same, for callers who replace a part of it.
pub fn loader() -> aws_config::ConfigLoader {
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .operation_timeout(OPERATION_TIMEOUT)
                .build(),
        )
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(MAX_ATTEMPTS)
                .with_initial_backoff(Duration::from_millis(50))
                .with_max_backoff(Duration::from_millis(200)),
        )
}

/// What went wrong, for the operator. An answer's body is never part of it: it may be a secret.
pub fn describe<E, R>(error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata,
{
    match error {
        SdkError::ConstructionFailure(_) => "the request could not be made".to_owned(),
        SdkError::TimeoutError(_) => "no answer in time".to_owned(),
        SdkError::DispatchFailure(failure) => {
            let mut text = "no connection".to_owned();
            let mut source = failure.as_connector_error().and_then(std::error::Error::source);
            while let Some(error) = source {
                text.push_str(": ");
                text.push_str(&error.to_string());
                source = error.source();
            }
            text
        }
        SdkError::ServiceError(failure) => match (failure.err().code(), failure.err().message()) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(code), None) => code.to_owned(),
            (None, _) => "an answer that cannot be read".to_owned(),
        },
        _ => "an answer that cannot be read".to_owned(),
    }
}
