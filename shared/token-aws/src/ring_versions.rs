//! The key ring's versions in Secrets Manager, for the rotation.

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::{Client, error::SdkError, operation::get_secret_value::GetSecretValueError};
use latchkey_token::{
    failure::Unavailable,
    ports::{RingVersions, VersionStages},
};

use crate::sdk;

const CURRENT: &str = "AWSCURRENT";
const PENDING: &str = "AWSPENDING";

/// The secrets that a rotation works on, each by ARN or name.
pub struct SecretsManagerRing {
    client: Client,
    signing_keys: String,
    public_keys: String,
    librechat_secret: Option<String>,
}

impl SecretsManagerRing {
    /// Makes the client; sends nothing. `librechat_secret` is left out where the deployment has none.
    pub fn new(sdk: &SdkConfig, signing_keys: String, public_keys: String, librechat_secret: Option<String>) -> Self {
        Self { client: Client::new(sdk), signing_keys, public_keys, librechat_secret }
    }

    /// The text of a secret: the given version, or else the current one. `None` if there is no such value.
    async fn text(&self, id: &str, version: Option<&str>) -> Result<Option<String>, Unavailable> {
        let request = self.client.get_secret_value().secret_id(id).set_version_id(version.map(str::to_owned));
        match request.send().await {
            Ok(output) => Ok(output.secret_string),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(failed(id, &sdk::describe(&error))),
        }
    }
}

/// No such version, or one without a value.
fn is_missing(error: &SdkError<GetSecretValueError>) -> bool {
    error.as_service_error().is_some_and(GetSecretValueError::is_resource_not_found_exception)
}

fn failed(id: &str, what: &str) -> Unavailable {
    Unavailable::new("secret", format!("{id}: {what}"))
}

impl RingVersions for SecretsManagerRing {
    async fn stages(&self, version: &str) -> Result<Option<VersionStages>, Unavailable> {
        let request = self.client.describe_secret().secret_id(&self.signing_keys);
        let output = request.send().await.map_err(|error| failed(&self.signing_keys, &sdk::describe(&error)))?;
        let stages = output.version_ids_to_stages.unwrap_or_default().remove(version);
        Ok(stages.map(|stages| VersionStages {
            is_current: stages.iter().any(|stage| stage == CURRENT),
            is_pending: stages.iter().any(|stage| stage == PENDING),
        }))
    }

    async fn current(&self) -> Result<String, Unavailable> {
        self.text(&self.signing_keys, None).await?.ok_or_else(|| failed(&self.signing_keys, "has no current value"))
    }

    async fn value(&self, version: &str) -> Result<Option<String>, Unavailable> {
        self.text(&self.signing_keys, Some(version)).await
    }

    async fn stage_pending(&self, version: &str, ring: &str) -> Result<(), Unavailable> {
        let request = self
            .client
            .put_secret_value()
            .secret_id(&self.signing_keys)
            .client_request_token(version)
            .secret_string(ring)
            .version_stages(PENDING);
        request.send().await.map(drop).map_err(|error| failed(&self.signing_keys, &sdk::describe(&error)))
    }

    async fn make_current(&self, version: &str) -> Result<(), Unavailable> {
        let describe = self.client.describe_secret().secret_id(&self.signing_keys);
        let output = describe.send().await.map_err(|error| failed(&self.signing_keys, &sdk::describe(&error)))?;
        let versions = output.version_ids_to_stages.unwrap_or_default();
        let is_current = |stages: &Vec<String>| stages.iter().any(|stage| stage == CURRENT);
        let old = versions.into_iter().find(|(_, stages)| is_current(stages)).map(|(version, _)| version);
        let request = self
            .client
            .update_secret_version_stage()
            .secret_id(&self.signing_keys)
            .version_stage(CURRENT)
            .move_to_version_id(version)
            .set_remove_from_version_id(old);
        request.send().await.map(drop).map_err(|error| failed(&self.signing_keys, &sdk::describe(&error)))
    }

    async fn published(&self) -> Result<Option<String>, Unavailable> {
        self.text(&self.public_keys, None).await
    }

    async fn publish(&self, jwks: &str) -> Result<(), Unavailable> {
        if self.published().await?.as_deref() == Some(jwks) {
            return Ok(());
        }
        let request = self.client.put_secret_value().secret_id(&self.public_keys).secret_string(jwks);
        request.send().await.map(drop).map_err(|error| failed(&self.public_keys, &sdk::describe(&error)))
    }

    async fn librechat_secret(&self) -> Result<Option<String>, Unavailable> {
        let Some(id) = &self.librechat_secret else { return Ok(None) };
        self.text(id, None).await?.map(Some).ok_or_else(|| failed(id, "has no current value"))
    }
}
