//! Log lines from CloudWatch Logs.

use std::collections::BTreeMap;

use aws_sdk_cloudwatchlogs::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    types::FilteredLogEvent,
};
use latchkey_token::values::{Seconds, Timestamp};
use latchkey_token_aws::sdk;

use crate::console::Failure;

/// An event may arrive this much later than others of its time.
const LATE_SECONDS: Seconds = 30;

/// Log groups to read from, and the lines wanted of them.
pub(super) struct LogGroups {
    client: Client,
    names: Vec<String>,
    filter_pattern: Option<String>,
}

/// What was read already, so that nothing is shown twice.
#[derive(Default)]
pub(super) struct Seen(BTreeMap<(i64, String), ()>);

impl LogGroups {
    /// `names` as given; one that ends with `*` stands for all groups whose name begins so.
    pub(super) async fn open(names: &[String], filter_pattern: Option<String>) -> Result<Self, Failure> {
        let client = Client::new(&sdk::config().await);
        let mut found = Vec::new();
        for name in names {
            match name.strip_suffix('*') {
                None => found.push(name.clone()),
                Some(prefix) => {
                    let before = found.len();
                    let request = client.describe_log_groups().log_group_name_prefix(prefix);
                    let mut groups = request.into_paginator().items().send();
                    while let Some(group) = groups.next().await {
                        found.extend(group.map_err(|error| failure(name, &error))?.log_group_name);
                    }
                    if found.len() == before {
                        let detail = "no log group has a name that begins so: check it, and AWS_REGION".to_owned();
                        return Err(Failure::Place { place: place(name), detail });
                    }
                }
            }
        }
        found.sort();
        found.dedup();
        Ok(Self { client, names: found, filter_pattern })
    }

    /// The messages of `[since, until)` that are not in `seen`, oldest first; `count` is told after each page how many
    /// more there are.
    pub(super) async fn read(
        &self,
        since: Timestamp,
        until: Option<Timestamp>,
        seen: &mut Seen,
        count: impl Fn(usize),
    ) -> Result<Vec<String>, Failure> {
        let mut events = Vec::new();
        for name in &self.names {
            let request = self
                .client
                .filter_log_events()
                .log_group_name(name)
                .start_time(since.unix_millis())
                .set_end_time(until.map(Timestamp::unix_millis))
                .set_filter_pattern(self.filter_pattern.clone());
            let mut pages = request.into_paginator().send();
            while let Some(page) = pages.next().await {
                let page = page.map_err(|error| failure(name, &error))?.events.unwrap_or_default();
                count(page.len());
                events.extend(page.into_iter().filter(|event| seen.is_new(event)));
            }
        }
        events.sort_by_key(|event| event.timestamp);
        Ok(events.into_iter().filter_map(|event| event.message).collect())
    }
}

impl Seen {
    fn is_new(&mut self, event: &FilteredLogEvent) -> bool {
        let at = event.timestamp.unwrap_or_default();
        self.0.insert((at, event.event_id.clone().unwrap_or_default()), ()).is_none()
    }

    /// From when on to read next, late events included; forgets what is older.
    pub(super) fn resume_at(&mut self, since: Timestamp) -> Timestamp {
        let newest = self.0.keys().next_back().map_or(since, |(at, _)| Timestamp::from_unix_millis(*at));
        let resume_at = newest.minus(LATE_SECONDS).max(since);
        self.0 = self.0.split_off(&(resume_at.unix_millis(), String::new()));
        resume_at
    }
}

fn place(name: &str) -> String {
    format!("log group {name}")
}

fn failure<E: ProvideErrorMetadata, R>(name: &str, error: &SdkError<E, R>) -> Failure {
    let said = sdk::describe(error);
    let detail = match error {
        SdkError::ServiceError(_) if said.contains("ResourceNotFoundException") => {
            format!("{said} (check --log-group and AWS_REGION; a * at its end finds all that begin so)")
        }
        SdkError::ServiceError(_) => said,
        _ => format!("{said} (are AWS_REGION, or AWS_PROFILE, and credentials set?)"),
    };
    Failure::Place { place: place(name), detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at: i64, id: &str) -> FilteredLogEvent {
        FilteredLogEvent::builder().timestamp(at).event_id(id).build()
    }

    #[test]
    fn nothing_is_read_twice_and_nothing_late_is_missed() {
        let mut seen = Seen::default();
        let start = Timestamp::from_unix_millis(1_000_000);
        assert_eq!(seen.resume_at(start), start);
        assert!(seen.is_new(&event(1_050_000, "a")) && seen.is_new(&event(1_050_000, "b")));
        assert_eq!(seen.resume_at(start), Timestamp::from_unix_millis(1_020_000));
        assert!(!seen.is_new(&event(1_050_000, "a")));
        assert!(seen.is_new(&event(1_030_000, "late")));
        assert!(seen.is_new(&event(1_200_000, "c")));
        seen.resume_at(start);
        assert_eq!(seen.0.len(), 1, "what cannot come again is forgotten");
    }
}
