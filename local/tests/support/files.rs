//! A directory with documents, and commands run on them.

use std::fs;

use serde_json::Value;

use super::{Server, latchkey, run};

/// Words of a command line, without anything that a shell would do.
pub fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// A directory with files to edit.
pub struct Files(tempfile::TempDir);

impl Files {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.read(name)).unwrap()
    }

    /// Runs `line` in the directory: exit code, standard output, standard error.
    pub fn latchkey_fed(&self, line: &str, input: &str) -> (i32, String, String) {
        let (done, out, said) = run(latchkey().args(words(line)).current_dir(self.0.path()), input);
        (done.status.code().unwrap(), out, said)
    }

    pub fn latchkey(&self, line: &str) -> (i32, String, String) {
        self.latchkey_fed(line, "")
    }

    /// Runs `line`, which must succeed; its standard output.
    pub fn done(&self, line: &str) -> String {
        let (code, out, said) = self.latchkey(line);
        assert_eq!(code, 0, "{line}: {said}");
        out
    }

    /// Runs `line`, which must print one secret and nothing else on standard output.
    pub fn secret(&self, line: &str) -> String {
        let (code, out, said) = self.latchkey(line);
        assert_eq!(code, 0, "{line}: {said}");
        let secret = out.strip_suffix('\n').unwrap();
        assert!(secret.len() == 64 && secret.bytes().all(|byte| byte.is_ascii_hexdigit()), "{line}");
        assert!(!said.contains(secret), "printed twice by {line}");
        secret.to_owned()
    }

    /// Runs `line`, which must fail and change nothing; standard error.
    pub fn refused(&self, line: &str, file: &str) -> String {
        let before = fs::read(self.path(file)).ok();
        let (code, out, said) = self.latchkey(line);
        assert_eq!((code, out.as_str()), (1, ""), "{line}: {said}");
        assert_eq!(fs::read(self.path(file)).ok(), before, "{line}");
        said
    }

    pub fn serve(&self) -> Server {
        let (clients, keys) = (self.path("clients.json"), self.path("keys.json"));
        let flags = ["--data", ":memory:", "--clients", &clients, "--keys", &keys];
        Server::start_with(&flags, &[("LATCHKEY_SECRETS_TTL_SECONDS", "0")])
    }
}
