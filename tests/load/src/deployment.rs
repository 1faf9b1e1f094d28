//! Keys and registrations of a server under load.

use std::path::{Path, PathBuf};

use latchkey_token::keys::{Algorithm, thumbprint};
use latchkey_token_lambda::system::generate_private_key;
use serde_json::{Value, json};

/// The secret of the issuer and of the confidential client.
pub const SECRET: &str = "load";
/// SHA-256 of "load".
const SECRET_SHA256: &str = "0cf67fc72b3c86c7a454f6d86b43ed245a8e491d0e5288d4da8c7ff43a7bcdb0";

pub struct Deployment {
    pub keys: PathBuf,
    pub clients: PathBuf,
}

impl Deployment {
    /// Writes the documents into `directory`: one signing key, the issuer `portal`, the public client `load` and the
    /// confidential one `soak`.
    pub fn write(directory: &Path, algorithm: Algorithm) -> Self {
        let pem = generate_private_key(algorithm).unwrap();
        let kid = thumbprint(algorithm, &pem).unwrap();
        let ring = json!({
            "signing": [{"kid": kid.as_str(), "alg": algorithm.name(), "private_key": pem}],
            "tagging": [{"kid": 1, "secret": "A".repeat(43)}],
            "audit": {"secret": "E".repeat(43)},
        });
        let scopes = ["openid", "profile", "email"];
        let registrations = json!({
            "issuers": [{"issuer_id": "portal", "secret_sha256": [SECRET_SHA256], "clients": ["load", "soak"]}],
            "clients": [
                {"client_id": "load", "type": "public", "alg": algorithm.name(), "audience": ["load"], "scopes": scopes},
                {"client_id": "soak", "type": "confidential", "secret_sha256": [SECRET_SHA256], "alg": algorithm.name(),
                    "audience": ["load"], "scopes": scopes},
            ],
        });
        let file = |name: &str, content: Value| {
            let path = directory.join(name);
            std::fs::write(&path, content.to_string()).unwrap();
            path
        };
        Self { keys: file("keys.json", ring), clients: file("clients.json", registrations) }
    }
}
