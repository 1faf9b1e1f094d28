//! A document in a secret of Secrets Manager.
//!
//! A change is a comparison and a swap: the new version is put under a label of its own, then `AWSCURRENT` is moved to
//! it from exactly the version that was read. So of two changes made at once, the second one is refused and can be
//! made again, on top of the first.

use std::{fmt, time::Duration};

use aws_sdk_secretsmanager::{
    Client,
    config::{Config, retry::RetryConfig},
    error::{ProvideErrorMetadata, SdkError},
    operation::{
        get_secret_value::{GetSecretValueError, GetSecretValueOutput},
        put_secret_value::PutSecretValueError,
        update_secret_version_stage::UpdateSecretVersionStageError,
    },
};
use latchkey_token::values::without_mark;
use latchkey_token_aws::sdk;
use tokio::time::sleep;

use crate::console::Failure;

const CURRENT: &str = "AWSCURRENT";
const PREVIOUS: &str = "AWSPREVIOUS";
/// The label of versions that commands put. It is never `AWSPENDING`, which belongs to rotations. Only one version
/// carries it: another command takes it away from ours, which does no harm, because ours is moved by its id.
const EDIT: &str = "latchkey-edit";

/// How often the same move is sent when it is not known whether Secrets Manager has seen it.
const MOVES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);

pub(super) struct Secret<'a> {
    client: Client,
    id: &'a str,
}

/// The value in force. Has no `Debug`: a key ring is all secrets.
pub(super) struct Held {
    version: String,
    pub(super) text: String,
}

/// What became of a swap.
pub(super) enum Swap {
    Done,
    /// Another version is in force than the one that was read. Nothing was changed. Holds what Secrets Manager said.
    Conflict(String),
}

/// What an error says about a move of `AWSCURRENT`.
#[derive(PartialEq, Eq)]
enum Verdict {
    /// The move was not made: a label is on another version, or a version is gone.
    Conflict,
    /// The move was not made, for a reason that will not go away.
    Refused,
    /// The move was not made, because there were too many requests.
    Throttled,
    /// There was no answer, or none that says whether the move was made.
    Unknown,
}

impl<'a> Secret<'a> {
    pub(super) async fn open(id: &'a str) -> Self {
        Self { client: Client::new(&sdk::config().await), id }
    }

    /// The value in force; `None` if there is none yet, or no such secret: writing tells.
    pub(super) async fn read(&self) -> Result<Option<Held>, Failure> {
        let Some(output) = self.labelled(CURRENT).await? else { return Ok(None) };
        let text = output.secret_string.ok_or_else(|| self.fail("holds bytes and no text: is it the right secret?"))?;
        let text = without_mark(&text).to_owned();
        let version = output.version_id.ok_or_else(|| self.fail("the answer does not say which version it is"))?;
        Ok(Some(Held { version, text }))
    }

    /// Writes `text`, if what was read is still in force.
    pub(super) async fn swap(&self, read: Option<&Held>, text: &str) -> Result<Swap, Failure> {
        let request = self.client.put_secret_value().secret_id(self.id).secret_string(text).version_stages(EDIT);
        let output = request.send().await.map_err(|error| match &error {
            error if error.as_service_error().is_some_and(PutSecretValueError::is_resource_not_found_exception) => self
                .fail(
                    "there is no such secret: check --secret-id and AWS_REGION, or make it first with `aws \
                     secretsmanager create-secret --name NAME`",
                ),
            // The first version of a secret is in force as soon as it is put.
            error if read.is_none() && verdict(error) == Verdict::Unknown => self.uncertain(&explain(error)),
            error => self.unchanged(&explain(error)),
        })?;
        if output.version_stages().iter().any(|stage| stage == CURRENT) {
            return Ok(Swap::Done);
        }
        let ours = output.version_id.ok_or_else(|| self.unchanged("the answer does not name the new version"))?;
        self.make_current(&ours, read.map(|held| held.version.as_str())).await
    }

    /// Moves `AWSCURRENT` from `read` to `ours`. The SDK must not repeat the request by itself: if the answer to a first
    /// attempt was lost, the second one is refused, and that would look like a conflict.
    async fn make_current(&self, ours: &str, read: Option<&str>) -> Result<Swap, Failure> {
        let once = Config::builder().retry_config(RetryConfig::disabled());
        let mut may_be_made = false;
        let mut said = String::new();
        for _ in 0..MOVES {
            let request = self
                .client
                .update_secret_version_stage()
                .secret_id(self.id)
                .version_stage(CURRENT)
                .move_to_version_id(ours)
                .set_remove_from_version_id(read.map(str::to_owned));
            let Err(error) = request.customize().config_override(once.clone()).send().await else {
                return Ok(Swap::Done);
            };
            said = explain(&error);
            let verdict = move_verdict(&error);
            may_be_made |= verdict == Verdict::Unknown;
            let (current, previous) =
                self.in_force().await.map_err(|failure| if may_be_made { self.uncertain(&said) } else { failure })?;
            if [&current, &previous].into_iter().any(|version| version.as_deref() == Some(ours)) {
                // The move was made. Somebody else may have made another one since, from ours.
                return Ok(Swap::Done);
            }
            let is_replaced = current.as_deref() != read;
            if is_replaced || verdict == Verdict::Conflict {
                // After a single move by somebody else, the version that was read is the previous one: ours never was.
                let is_certain = !may_be_made || is_replaced && previous.as_deref() == read;
                return if is_certain { Ok(Swap::Conflict(said)) } else { Err(self.uncertain(&said)) };
            }
            if verdict == Verdict::Refused {
                break;
            }
            sleep(PAUSE).await;
        }
        Err(if may_be_made { self.uncertain(&said) } else { self.unchanged(&said) })
    }

    /// The version in force and the one before it.
    async fn in_force(&self) -> Result<(Option<String>, Option<String>), Failure> {
        let current = self.labelled(CURRENT).await?.and_then(|output| output.version_id);
        let previous = self.labelled(PREVIOUS).await?.and_then(|output| output.version_id);
        Ok((current, previous))
    }

    async fn labelled(&self, label: &str) -> Result<Option<GetSecretValueOutput>, Failure> {
        match self.client.get_secret_value().secret_id(self.id).version_stage(label).send().await {
            Ok(output) => Ok(Some(output)),
            Err(error)
                if error.as_service_error().is_some_and(GetSecretValueError::is_resource_not_found_exception) =>
            {
                Ok(None)
            }
            Err(error) => Err(self.fail(explain(&error))),
        }
    }

    fn unchanged(&self, said: &str) -> Failure {
        self.fail(format_args!("{said}. Nothing was changed"))
    }

    fn uncertain(&self, said: &str) -> Failure {
        self.fail(format_args!(
            "{said}. Whether the change was written is not certain: look at it before you repeat it"
        ))
    }

    fn fail(&self, detail: impl fmt::Display) -> Failure {
        Failure::Place { place: format!("secret {}", self.id), detail: detail.to_string() }
    }
}

fn move_verdict(error: &SdkError<UpdateSecretVersionStageError>) -> Verdict {
    let is_conflict = error.as_service_error().is_some_and(|error| {
        error.is_invalid_parameter_exception()
            || error.is_invalid_request_exception()
            || error.is_resource_not_found_exception()
    });
    if is_conflict { Verdict::Conflict } else { verdict(error) }
}

/// What the kind of an error says of any request that writes.
fn verdict<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Verdict {
    match error {
        SdkError::ConstructionFailure(_) => Verdict::Refused,
        SdkError::ServiceError(failure) if failure.raw().status().is_client_error() => {
            let is_throttled = failure.err().code().is_some_and(|code| code.starts_with("Throttl"));
            if is_throttled { Verdict::Throttled } else { Verdict::Refused }
        }
        _ => Verdict::Unknown,
    }
}

/// What Secrets Manager said; if nothing, where it is looked for.
fn explain<E: ProvideErrorMetadata>(error: &SdkError<E>) -> String {
    let said = sdk::describe(error);
    match error {
        SdkError::ServiceError(_) => said,
        _ => format!("{said} (are AWS_REGION, or AWS_PROFILE, and credentials set?)"),
    }
}
