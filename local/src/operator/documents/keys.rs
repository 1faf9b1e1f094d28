//! `latchkey keys`: the key ring.

use std::io::{IsTerminal, Read};

use clap::{Args, Subcommand, builder::PossibleValuesParser, builder::TypedValueParser};
use latchkey_token::{
    json::Value,
    keys::{Algorithm, KeyRing, NOT_YET},
    values::{Seconds, Timestamp},
};
use serde_json::json;

use super::{
    document::{Checked, Draft},
    key_ring::{self, ShownKey, ShownTagKey},
    place::Location,
};
use crate::{
    console::{Failure, print, table},
    secrets::new_signing_key,
};

/// The JWKS cache's 300 s and twice the secrets' cache of 300 s.
const PUBLISH_SECONDS: Seconds = 900;

#[derive(Subcommand)]
pub(crate) enum KeysCommand {
    Show(Show),
    Generate(Generate),
    ImportHs256(ImportHs256),
}

/// Show all keys, when each is in use and what it does now; never key material
///
/// What a key does now: "waits" (not published yet), "published" (its tokens are accepted), "verifies" (the same,
/// without being published: HS256 and tag keys), "signs" (new tokens, too), "tags" (new refresh tokens), "retired".
#[derive(Args)]
#[command(after_help = "Examples:
  latchkey keys show --file .latchkey/signing-keys.json
  latchkey keys show --secret-id latchkey/signing-keys --json")]
pub(crate) struct Show {
    #[command(flatten)]
    location: Location,
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
}

/// Add a new signing key, and a tag key if there is none
///
/// The first key of its algorithm signs at once. Any other is published at once and signs later, when everybody knows
/// it: a key must not sign before the last cached JWKS without it has run out. The old key stays published, so that
/// its tokens stay good. Prints the new key's id. Not while a rotation of the secret is under way: that would undo it.
#[derive(Args)]
#[command(after_help = "Examples:
  latchkey keys generate --alg RS256 --file signing-keys.json
  latchkey keys generate --alg ES256 --secret-id latchkey/signing-keys --publish-seconds 3600")]
pub(crate) struct Generate {
    #[command(flatten)]
    location: Location,
    /// The signing algorithm
    #[arg(long, value_parser = asymmetric_algorithm())]
    alg: Algorithm,
    /// How long the key is published before it signs: at least the JWKS cache time (300) and twice the secrets' cache
    /// time (LATCHKEY_SECRETS_TTL_SECONDS, 300)
    #[arg(long, value_name = "SECONDS", default_value_t = PUBLISH_SECONDS)]
    publish_seconds: Seconds,
    /// Print {"kid":…,"sign_from":…} instead of the id alone
    #[arg(long)]
    json: bool,
}

/// Add LibreChat's own secret (JWT_SECRET) as an HS256 key, for clients of the profile librechat
///
/// The secret is read from standard input, so that it is in no shell history and no list of processes. It is taken
/// verbatim, without one newline at its end, and must have at least 32 bytes. Adds a tag key if there is none. Not
/// while a rotation of the secret is under way: that would undo it.
#[derive(Args)]
#[command(after_help = "Examples:
  latchkey keys import-hs256 --kid librechat-hs --file signing-keys.json < jwt-secret.txt
  printf %s \"$JWT_SECRET\" | latchkey keys import-hs256 --kid librechat-hs \\
    --secret-id latchkey/signing-keys")]
pub(crate) struct ImportHs256 {
    #[command(flatten)]
    location: Location,
    /// The key's name, which clients use in their registrations: 1 to 255 printable ASCII characters
    #[arg(long)]
    kid: String,
    /// Print {"kid":…}
    #[arg(long)]
    json: bool,
}

fn asymmetric_algorithm() -> impl TypedValueParser<Value = Algorithm> {
    let names = [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::EdDsa].map(Algorithm::name);
    PossibleValuesParser::new(names).try_map(|name| Algorithm::parse(&name).ok_or("not an algorithm"))
}

impl KeysCommand {
    pub(crate) fn run(&self, now: Timestamp) -> Result<(), Failure> {
        match self {
            Self::Show(show) => show.run(now),
            Self::Generate(generate) => generate.run(now),
            Self::ImportHs256(import) => import.run(now),
        }
    }
}

impl Show {
    fn run(&self, now: Timestamp) -> Result<(), Failure> {
        let ring: Checked<KeyRing> = self.location.place().load()?;
        let (signing, tagging) = (key_ring::signing_keys(&ring, now), key_ring::tag_keys(&ring, now));
        print(&if self.json { as_json(&signing, &tagging) } else { as_tables(&signing, &tagging) })
    }
}

impl Generate {
    fn run(&self, now: Timestamp) -> Result<(), Failure> {
        let place = self.location.place();
        let key = new_signing_key(self.alg, now.unix_seconds(), now.unix_seconds())?;
        let (_, (added, tag_key)) = place.edit(|draft| {
            let added = key_ring::add_new(draft, key.clone(), self.publish_seconds, now);
            Ok((added, ensure_tag_key(draft, now)?))
        })?;
        let (kid, sign_from) = added;
        let when = if sign_from == now { "at once".to_owned() } else { format!("from {sign_from}") };
        eprintln!("a new {} key is in {place}; it signs {when}{tag_key}", self.alg);
        match self.json {
            true => print(&format!("{}\n", json!({"kid": kid, "sign_from": sign_from.to_string()}))),
            false => print(&format!("{kid}\n")),
        }
    }
}

impl ImportHs256 {
    fn run(&self, now: Timestamp) -> Result<(), Failure> {
        let secret = read_secret()?;
        if secret.contains('\n') || secret.trim() != secret {
            eprintln!("warning: the secret has a newline in it, or white space at an end, and is taken with it");
        }
        let place = self.location.place();
        let key = json!({"kid": self.kid, "alg": Algorithm::Hs256.name(), "secret": secret});
        let (_, tag_key) = place.edit(|draft| {
            key_ring::add(draft, key.clone());
            ensure_tag_key(draft, now)
        })?;
        eprintln!("the HS256 key {:?} is in {place}; it signs at once for clients that name it{tag_key}", self.kid);
        if self.json {
            return print(&format!("{}\n", json!({"kid": self.kid})));
        }
        Ok(())
    }
}

/// Adds a tag key if it is needed; what to tell of it.
fn ensure_tag_key(draft: &mut Draft<KeyRing>, now: Timestamp) -> Result<String, Failure> {
    let added = key_ring::ensure_tag_key(draft, now)?;
    Ok(added.map(|kid| format!("; there was no tag key: number {kid} was made")).unwrap_or_default())
}

/// Verbatim, without one newline at the end.
fn read_secret() -> Result<String, Failure> {
    let mut input = std::io::stdin();
    if input.is_terminal() {
        eprintln!("Paste the secret, then Enter and Ctrl-D:");
    }
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes).map_err(|error| Failure::Input(error.to_string()))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::Input("the secret is not UTF-8 text, which a key ring cannot hold".into()))?;
    let line = text.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    Ok(line.unwrap_or(&text).to_owned())
}

fn as_tables(signing: &[ShownKey], tagging: &[ShownTagKey]) -> String {
    let signing = signing.iter().map(|key| {
        let sign_from = if key.sign_from == NOT_YET { "the next rotation".to_owned() } else { from(key.sign_from) };
        let times = [from(key.publish_at), sign_from, until(key.retire_at)];
        let [publish_at, sign_from, retire_at] = times;
        [key.kid.clone(), key.algorithm.clone(), publish_at, sign_from, retire_at, key.now.to_string()]
    });
    let tagging =
        tagging.iter().map(|key| [key.kid.to_string(), from(key.use_from), until(key.retire_at), key.now.to_string()]);
    format!(
        "{}\n{}",
        table(["SIGNING KEY", "ALG", "PUBLISH_AT", "SIGN_FROM", "RETIRE_AT", "NOW"], signing),
        table(["TAG KEY", "USE_FROM", "RETIRE_AT", "NOW"], tagging)
    )
}

fn as_json(signing: &[ShownKey], tagging: &[ShownTagKey]) -> String {
    let signing: Vec<Value> = signing
        .iter()
        .map(|key| {
            json!({
                "kid": key.kid, "alg": key.algorithm, "publish_at": rfc_3339(key.publish_at),
                "sign_from": rfc_3339(key.sign_from), "retire_at": key.retire_at.map(rfc_3339),
                "now": key.now.to_string(),
            })
        })
        .collect();
    let tagging: Vec<Value> = tagging
        .iter()
        .map(|key| {
            json!({
                "kid": key.kid, "use_from": rfc_3339(key.use_from), "retire_at": key.retire_at.map(rfc_3339),
                "now": key.now.to_string(),
            })
        })
        .collect();
    format!("{}\n", json!({"signing": signing, "tagging": tagging}))
}

fn rfc_3339(seconds: i64) -> String {
    Timestamp::from_unix_seconds(seconds).to_string()
}

fn from(seconds: i64) -> String {
    if seconds == 0 { "always".to_owned() } else { rfc_3339(seconds) }
}

fn until(seconds: Option<i64>) -> String {
    seconds.map_or_else(|| "never".to_owned(), rfc_3339)
}
