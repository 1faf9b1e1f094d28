//! How the AWS SDK is set up: bounded waiting, few retries, one behaviour version.

use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};

/// One attempt takes at most this long.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(2_200);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_000);
/// A whole operation, retries and waiting included: a hanging service is answered within 8 s.
const OPERATION_TIMEOUT: Duration = Duration::from_millis(7_000);
const MAX_ATTEMPTS: u32 = 3;

/// Region, credentials and endpoints from the environment; the SDK's own `AWS_ENDPOINT_URL*` variables hold.
pub async fn config() -> SdkConfig {
    loader().load().await
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
