//! Secrets and keys made on this machine, and how they are kept in files.

use std::{
    ffi::OsString,
    fs,
    io::{self, Write},
    path::Path,
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use latchkey_token::{
    failure::Unavailable,
    json::Value,
    keys::{Algorithm, thumbprint},
    ports::Randomness,
};
use latchkey_token_lambda::system::{SystemRandomness, generate_private_key};
use serde_json::json;

/// 256 bits as hex digits: nothing in it that any client would encode.
pub(crate) fn new_secret() -> Result<String, Unavailable> {
    Ok(hex(&random()?))
}

/// What a registration keeps of a secret.
pub(crate) fn sha256_hex(secret: &str) -> String {
    hex(digest(&SHA256, secret.as_bytes()).as_ref())
}

/// A new entry of a key ring's `signing`; times in Unix seconds. Not for HS256, which is imported.
pub(crate) fn new_signing_key(algorithm: Algorithm, publish_at: i64, sign_from: i64) -> Result<Value, Unavailable> {
    let private_key = generate_private_key(algorithm)?;
    let kid = thumbprint(algorithm, &private_key)
        .ok_or_else(|| Unavailable::new("cryptography", "the new key has no thumbprint"))?;
    Ok(json!({
        "kid": kid.as_str(), "alg": algorithm.name(), "private_key": private_key,
        "publish_at": publish_at, "sign_from": sign_from, "retire_at": null,
    }))
}

/// A new entry of a key ring's `tagging`, in use at once.
pub(crate) fn new_tag_key(kid: u8) -> Result<Value, Unavailable> {
    Ok(json!({"kid": kid, "secret": URL_SAFE_NO_PAD.encode(random()?), "use_from": 0, "retire_at": null}))
}

/// A new audit key of a key ring.
pub(crate) fn new_audit_key() -> Result<Value, Unavailable> {
    Ok(json!({"secret": URL_SAFE_NO_PAD.encode(random()?)}))
}

/// Readable by its owner alone, and there either completely or not at all. A symbolic link stays one.
pub(crate) fn write_file(path: &Path, text: &str) -> io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(".unfinished");
    let unfinished = path.with_file_name(name);
    // What a crash has left behind may be readable by others.
    let _ = fs::remove_file(&unfinished);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&unfinished)?;
    let written =
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&unfinished, &path));
    if written.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    written
}

fn random() -> Result<[u8; 32], Unavailable> {
    let mut bytes = [0; 32];
    SystemRandomness.fill(&mut bytes)?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_file_is_replaced_whole_and_is_its_owners_alone() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("clients.json"), directory.path().join("link.json"));
        fs::write(&path, "old").unwrap();
        symlink(&path, &link).unwrap();
        fs::write(directory.path().join("clients.json.unfinished"), "left behind").unwrap();
        write_file(&link, "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "nothing is left behind");
        assert!(write_file(&directory.path().join("missing/clients.json"), "").is_err());
    }
}
