//! Private keys for inputs: made at run time, so that neither seeds nor corpus hold one.

use std::sync::OnceLock;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::EncodingKey;
use latchkey_token::keys::{Algorithm, thumbprint};
use latchkey_token_lambda::system::generate_private_key;

pub(crate) struct Pair {
    pub kid: String,
    pub pem: String,
}

fn pair(algorithm: Algorithm) -> Pair {
    let pem = generate_private_key(algorithm).unwrap();
    Pair { kid: thumbprint(algorithm, &pem).unwrap().as_str().to_owned(), pem }
}

macro_rules! once {
    ($name:ident, $algorithm:ident) => {
        pub(crate) fn $name() -> &'static Pair {
            static PAIR: OnceLock<Pair> = OnceLock::new();
            PAIR.get_or_init(|| pair(Algorithm::$algorithm))
        }
    };
}

once!(rs256, Rs256);
once!(es256, Es256);
once!(eddsa, EdDsa);

/// Puts private keys, as JSON strings want them, in the place of `{{RS256}}`, `{{ES256}}` and `{{EdDSA}}`, and their
/// ids in the place of `{{RS256.kid}}` and so on.
pub(crate) fn filled(text: &str) -> String {
    let mut filled = text.to_owned();
    for (name, pair) in [("RS256", rs256 as fn() -> &'static Pair), ("ES256", es256), ("EdDSA", eddsa)] {
        for (placeholder, value) in [
            (format!("{{{{{name}}}}}"), (|pair| pair.pem.replace('\n', "\\n")) as fn(&Pair) -> String),
            (format!("{{{{{name}.kid}}}}"), |pair| pair.kid.clone()),
        ] {
            if filled.contains(&placeholder) {
                filled = filled.replace(&placeholder, &value(pair()));
            }
        }
    }
    filled
}

/// A token of whatever header and payload, signed with the key that fits the header's `alg`, or else by HS256 with
/// `secret`.
pub(crate) fn signed(header: &str, payload: &str, secret: &str) -> String {
    let named: serde_json::Value = serde_json::from_str(header).unwrap_or_default();
    let (key, algorithm) = match named["alg"].as_str() {
        Some("ES256") => (EncodingKey::from_ec_pem(es256().pem.as_bytes()).unwrap(), jsonwebtoken::Algorithm::ES256),
        Some("EdDSA") => (EncodingKey::from_ed_pem(eddsa().pem.as_bytes()).unwrap(), jsonwebtoken::Algorithm::EdDSA),
        _ => (EncodingKey::from_secret(secret.as_bytes()), jsonwebtoken::Algorithm::HS256),
    };
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = jsonwebtoken::crypto::sign(input.as_bytes(), &key, algorithm).unwrap();
    format!("{input}.{signature}")
}
