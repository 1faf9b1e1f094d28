//! The deployment's policy with a client's own settings applied.

use super::client::{Client, ClientType, RenewalRequirement};
use crate::{
    policy::Policy,
    values::{Seconds, Timestamp},
};

/// The deployment's policy with a client's own settings applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientPolicy {
    /// What a renewal must bring along.
    pub requires: RenewalRequirement,
    /// Life of an access token; a session may have a shorter one.
    pub access_token_seconds: Seconds,
    /// How long after `exp` an access token may still be presented for renewal.
    pub grace_seconds: Seconds,
    /// 0: always open.
    pub window_seconds: Seconds,
    /// How long after its renewal a refresh token may be presented again; 0: never.
    pub retry_seconds: Seconds,
    /// A session unused this long ends; always the deployment's.
    pub idle_seconds: Seconds,
    /// Tolerance for the clocks of others when times are verified; always the deployment's.
    pub clock_skew_seconds: Seconds,
}

impl ClientPolicy {
    /// Until when an access token that expires at `exp` (Unix seconds) may be presented for renewal.
    pub fn renewable_until(&self, exp: i64) -> Timestamp {
        Timestamp::from_unix_seconds(exp).plus(self.grace_seconds).plus(self.clock_skew_seconds)
    }
}

impl Policy {
    /// What holds for `client` today.
    pub fn for_client(&self, client: &Client) -> ClientPolicy {
        let retry_seconds = match client.client_type() {
            ClientType::Public => self.retry_public_seconds,
            ClientType::Confidential(_) => self.retry_confidential_seconds,
        };
        ClientPolicy {
            requires: client.renewal.requires,
            access_token_seconds: client.access_token_seconds.unwrap_or(self.access_token_seconds),
            grace_seconds: client.renewal.grace_seconds.unwrap_or(self.grace_seconds),
            window_seconds: client.renewal.window_seconds.unwrap_or(self.window_seconds),
            retry_seconds: client.renewal.retry_seconds.unwrap_or(retry_seconds),
            idle_seconds: self.idle_seconds,
            clock_skew_seconds: self.clock_skew_seconds,
        }
    }
}
