//! The key ring's versions in Secrets Manager, and the secrets of what is derived from it: for the rotation, and for commands
//! that change the ring.

use std::collections::HashMap;

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::get_secret_value::{GetSecretValueError, GetSecretValueOutput},
};
use latchkey_token::{
    failure::Unavailable,
    ports::{CurrentRing, DerivedDocument, LibreChatSecret, Promotion, RingVersions, VersionStages},
    values::without_mark,
};

use crate::sdk;

const CURRENT: &str = "AWSCURRENT";
const PENDING: &str = "AWSPENDING";
const PREVIOUS: &str = "AWSPREVIOUS";

/// The key ring's secret and those around it, each by ARN or name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingSecrets {
    /// The secret `signing-keys`: the key ring.
    pub signing_keys: String,
    /// The secret `verification-keys`.
    pub verification_keys: String,
    /// The secret `ticket-keys`.
    pub ticket_keys: String,
    /// The secret `public-keys`.
    pub public_keys: String,
    /// LibreChat's own `JWT_SECRET`, which a rotation copies; `None` where the deployment has none.
    pub librechat_secret: Option<String>,
}

impl RingSecrets {
    fn derived(&self, document: DerivedDocument) -> &str {
        match document {
            DerivedDocument::VerificationKeys => &self.verification_keys,
            DerivedDocument::TicketKeys => &self.ticket_keys,
            DerivedDocument::PublicKeys => &self.public_keys,
        }
    }
}

/// These secrets in Secrets Manager.
pub struct SecretsManagerRing {
    client: Client,
    secrets: RingSecrets,
}

impl SecretsManagerRing {
    /// Makes the client; sends nothing.
    pub fn new(sdk: &SdkConfig, secrets: RingSecrets) -> Self {
        Self { client: Client::new(sdk), secrets }
    }

    /// A secret's value: the given version, or else the current one. `None` if there is no such value.
    async fn get(&self, id: &str, version: Option<&str>) -> Result<Option<GetSecretValueOutput>, Unavailable> {
        let request = self.client.get_secret_value().secret_id(id).set_version_id(version.map(str::to_owned));
        match request.send().await {
            Ok(output) => Ok(Some(output)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(failed(id, &sdk::describe(&error))),
        }
    }

    /// Its text alone.
    async fn text(&self, id: &str, version: Option<&str>) -> Result<Option<String>, Unavailable> {
        Ok(self
            .get(id, version)
            .await?
            .and_then(|output| output.secret_string)
            .map(|text| without_mark(&text).to_owned()))
    }

    /// The labels of the ring's versions, by version.
    async fn labels(&self) -> Result<HashMap<String, Vec<String>>, Unavailable> {
        let request = self.client.describe_secret().secret_id(&self.secrets.signing_keys);
        let output =
            request.send().await.map_err(|error| failed(&self.secrets.signing_keys, &sdk::describe(&error)))?;
        Ok(output.version_ids_to_stages.unwrap_or_default())
    }
}

fn carries(labels: &[String], label: &str) -> bool {
    labels.iter().any(|carried| carried == label)
}

/// No such version, or one without a value.
fn is_missing(error: &SdkError<GetSecretValueError>) -> bool {
    error.as_service_error().is_some_and(GetSecretValueError::is_resource_not_found_exception)
}

/// The role may not read the secret, or may not use the key that it is encrypted with: Secrets Manager says the same of both.
fn is_about_a_key<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    error
        .code()
        .is_some_and(|code| code == "AccessDeniedException" || code == "DecryptionFailure" || code.starts_with("KMS"))
}

/// The same request would get the same answer: a secret that is to be deleted, for example.
fn is_for_good<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    error.code().is_some_and(|code| code == "InvalidRequestException" || code == "InvalidParameterException")
}

fn failed(id: &str, what: &str) -> Unavailable {
    Unavailable::new("secret", format!("{id}: {what}"))
}

impl RingVersions for SecretsManagerRing {
    async fn stages(&self, version: &str) -> Result<Option<VersionStages>, Unavailable> {
        let labels = self.labels().await?.remove(version);
        Ok(labels.map(|labels| VersionStages {
            is_current: carries(&labels, CURRENT),
            is_pending: carries(&labels, PENDING),
        }))
    }

    async fn current(&self) -> Result<CurrentRing, Unavailable> {
        let current = self.get(&self.secrets.signing_keys, None).await?;
        let ring = current.and_then(|output| {
            Some(CurrentRing { version: output.version_id?, ring: without_mark(&output.secret_string?).to_owned() })
        });
        ring.ok_or_else(|| failed(&self.secrets.signing_keys, "has no current value"))
    }

    async fn value(&self, version: &str) -> Result<Option<String>, Unavailable> {
        self.text(&self.secrets.signing_keys, Some(version)).await
    }

    async fn stage_pending(&self, version: &str, ring: &str) -> Result<(), Unavailable> {
        let request = self
            .client
            .put_secret_value()
            .secret_id(&self.secrets.signing_keys)
            .client_request_token(version)
            .secret_string(ring)
            .version_stages(PENDING);
        request.send().await.map(drop).map_err(|error| failed(&self.secrets.signing_keys, &sdk::describe(&error)))
    }

    async fn make_current(&self, version: &str, replaced: &str) -> Result<Promotion, Unavailable> {
        let request = self
            .client
            .update_secret_version_stage()
            .secret_id(&self.secrets.signing_keys)
            .version_stage(CURRENT)
            .move_to_version_id(version)
            .remove_from_version_id(replaced);
        let Err(error) = request.send().await else { return Ok(Promotion::Promoted) };
        // If the answer to one attempt was lost, the next one is refused as well: the labels tell the two apart.
        let labels = self.labels().await?;
        let has = |version: &str, label| labels.get(version).is_some_and(|labels| carries(labels, label));
        if has(version, CURRENT) || has(version, PREVIOUS) {
            Ok(Promotion::Promoted)
        } else if has(replaced, CURRENT) {
            Err(failed(&self.secrets.signing_keys, &sdk::describe(&error)))
        } else {
            Ok(Promotion::RingChanged)
        }
    }

    async fn published(&self, document: DerivedDocument) -> Result<Option<String>, Unavailable> {
        self.text(self.secrets.derived(document), None).await
    }

    async fn publish(&self, document: DerivedDocument, text: &str) -> Result<(), Unavailable> {
        if self.published(document).await?.as_deref() == Some(text) {
            return Ok(());
        }
        let id = self.secrets.derived(document);
        let request = self.client.put_secret_value().secret_id(id).secret_string(text);
        request.send().await.map(drop).map_err(|error| failed(id, &sdk::describe(&error)))
    }

    async fn librechat_secret(&self) -> Result<Option<LibreChatSecret>, Unavailable> {
        let Some(id) = &self.secrets.librechat_secret else { return Ok(None) };
        let unreadable = |why: &str| Ok(Some(LibreChatSecret::Unreadable(format!("{id}: {why}"))));
        match self.client.get_secret_value().secret_id(id).send().await {
            Ok(output) => match output.secret_string {
                Some(text) => Ok(Some(LibreChatSecret::Text(text))),
                None => unreadable("holds bytes and no text"),
            },
            Err(error) if is_missing(&error) => unreadable("does not exist, or has no value"),
            Err(error) if is_about_a_key(&error) => unreadable(&format!(
                "{} (is it under a KMS key of your own, and does the stack's parameter JwtSecretKmsKeyArn name that?)",
                sdk::describe(&error)
            )),
            Err(error) if is_for_good(&error) => unreadable(&sdk::describe(&error)),
            Err(error) => Err(failed(id, &sdk::describe(&error))),
        }
    }
}
