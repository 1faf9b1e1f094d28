//! What the first start makes: a key ring, a demo issuer with two demo clients, and their secrets.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use latchkey_token::{failure::Unavailable, keys::Algorithm};
use latchkey_token_aws::SecretText;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::secrets::{new_audit_key, new_secret, new_signing_key, new_tag_key, sha256_hex, write_file};

const SIGNING_KEYS: &str = "signing-keys.json";
const CLIENTS: &str = "clients.json";
pub(super) const CREDENTIALS: &str = "demo-credentials.json";

/// The secrets of the demo registrations. Has no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
pub struct DemoCredentials {
    pub issuer_id: String,
    pub issuer_secret: String,
    pub client_id: String,
    pub client_secret: String,
    pub oauth_client_id: String,
    pub oauth_client_secret: String,
}

/// The demo's registrations and secrets.
pub struct Demo {
    pub clients: SecretText,
    pub credentials: DemoCredentials,
    /// Whether this start has made them: only then are the secrets shown.
    pub is_new: bool,
}

/// Why the demo could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum DemoFault {
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: std::io::Error },
    #[error(
        "{} is missing or not usable, although {} is there: remove both to get new demo clients, or start with --clients",
        credentials.display(),
        clients.display()
    )]
    Credentials { credentials: PathBuf, clients: PathBuf },
    #[error(transparent)]
    Keys(#[from] Unavailable),
}

/// The key ring kept in `directory`, made if it is missing, or one in memory without a directory.
pub fn signing_keys(directory: Option<&Path>) -> Result<SecretText, DemoFault> {
    let Some(directory) = directory else { return Ok(SecretText::Inline(new_key_ring()?)) };
    let path = directory.join(SIGNING_KEYS);
    if !path.exists() {
        write_secret(&path, &new_key_ring()?)?;
    }
    Ok(SecretText::File(path))
}

impl Demo {
    /// Reads the demo registrations from `directory`, makes them if they are missing, or makes them in memory without
    /// a directory.
    pub fn load_or_create(directory: Option<&Path>) -> Result<Self, DemoFault> {
        let Some(directory) = directory else {
            let credentials = new_credentials()?;
            return Ok(Self { clients: SecretText::Inline(registrations(&credentials)), credentials, is_new: true });
        };
        let path = |name: &str| directory.join(name);
        let is_new = !path(CLIENTS).exists();
        let credentials = if is_new {
            let credentials = new_credentials()?;
            let text = format!("{}\n", json!(credentials));
            // The registrations last: as long as it is missing, the next start makes both anew.
            write_secret(&path(CREDENTIALS), &text)?;
            write_secret(&path(CLIENTS), &registrations(&credentials))?;
            credentials
        } else {
            let text = fs::read_to_string(path(CREDENTIALS)).ok();
            text.and_then(|text| serde_json::from_str(&text).ok())
                .ok_or_else(|| DemoFault::Credentials { credentials: path(CREDENTIALS), clients: path(CLIENTS) })?
        };
        Ok(Self { clients: SecretText::File(path(CLIENTS)), credentials, is_new })
    }
}

fn new_credentials() -> Result<DemoCredentials, Unavailable> {
    Ok(DemoCredentials {
        issuer_id: "portal".into(),
        issuer_secret: new_secret()?,
        client_id: "librechat".into(),
        client_secret: new_secret()?,
        oauth_client_id: "librechat-oauth".into(),
        oauth_client_secret: new_secret()?,
    })
}

fn new_key_ring() -> Result<String, Unavailable> {
    let ring = json!({
        "signing": [new_signing_key(Algorithm::Rs256, 0, 0)?], "tagging": [new_tag_key(1)?], "audit": new_audit_key()?,
    });
    Ok(format!("{ring:#}\n"))
}

fn registrations(credentials: &DemoCredentials) -> String {
    let client = |id: &str, secret: &str, requires: &str| {
        json!({
            "client_id": id, "type": "confidential", "secret_sha256": [sha256_hex(secret)],
            "profile": "standard", "alg": "RS256", "kid": null, "audience": [credentials.client_id],
            "scopes": ["openid", "profile", "email"],
            "claims": ["email", "name", "preferred_username", "id", "username", "provider"],
            "renewal": {"requires": requires},
        })
    };
    let registrations = json!({
        "issuers": [{
            "issuer_id": credentials.issuer_id, "secret_sha256": [sha256_hex(&credentials.issuer_secret)],
            "clients": [credentials.client_id, credentials.oauth_client_id],
        }],
        "clients": [
            client(&credentials.client_id, &credentials.client_secret, "access_token"),
            client(&credentials.oauth_client_id, &credentials.oauth_client_secret, "refresh_token"),
        ],
    });
    format!("{registrations:#}\n")
}

/// Makes the data directory, for its owner alone.
pub(super) fn create_directory(directory: &Path) -> Result<(), DemoFault> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory).map_err(|error| DemoFault::File { path: directory.to_owned(), error })
}

fn write_secret(path: &Path, text: &str) -> Result<(), DemoFault> {
    write_file(path, text).map_err(|error| DemoFault::File { path: path.to_owned(), error })
}

impl fmt::Debug for Demo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Demo").field("is_new", &self.is_new).finish_non_exhaustive()
    }
}
