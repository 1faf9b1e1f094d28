//! `latchkey keys`: the key ring.

mod derived;
mod ring;

use std::{
    io::{IsTerminal, Read},
    path::PathBuf,
};

use clap::{Args, Subcommand, builder::PossibleValuesParser, builder::TypedValueParser};
use latchkey_token::{
    json::Value,
    keys::{Algorithm, KeyRing, NOT_YET},
    registrations::Registrations,
    values::{Seconds, SharedSecret, Timestamp, text_of},
};
use serde_json::json;

use self::{
    derived::{DerivedSecrets, Publish},
    ring::{ShownKey, ShownTagKey},
};
use super::{
    document::{Checked, Draft, leniently},
    place::{Change, Location, Place},
    registrations::Party,
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
    Revoke(Revoke),
    ReplaceTag(ReplaceTag),
    Publish(Publish),
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

/// Add a new signing key, and a tag key and an audit key if there are none
///
/// The first key of its algorithm signs at once. Any other is published at once and signs later, when everybody knows
/// it: a key must not sign before the last cached JWKS without it has run out. The old key stays published, so that
/// its tokens stay good. The audit key makes the audit trail's names of users; nothing else ever replaces it. Prints the
/// new key's id. A rotation of the secret that is under way meanwhile fails, and is begun again.
#[derive(Args)]
#[command(after_help = "Examples:
  latchkey keys generate --alg RS256 --file signing-keys.json
  latchkey keys generate --alg ES256 --publish-seconds 3600 --secret-id latchkey/signing-keys \\
    --verification-keys latchkey/verification-keys --ticket-keys latchkey/ticket-keys \\
    --public-keys latchkey/public-keys")]
pub(crate) struct Generate {
    #[command(flatten)]
    location: Location,
    #[command(flatten)]
    derived: DerivedSecrets,
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
/// verbatim, without one newline at its end and a byte order mark, and must have at least 32 bytes. A line of .env,
/// quotation marks around it, several lines, and secrets that are published somewhere are refused; of a JSON object, the
/// member JWT_SECRET is taken if it is the only one. Adds a tag key if there is none. A rotation of the secret that is
/// under way meanwhile fails, and is begun again.
#[derive(Args)]
#[command(after_help = "Examples:
  latchkey keys import-hs256 --kid librechat-hs --file signing-keys.json < jwt-secret.txt
  printf %s \"$JWT_SECRET\" | latchkey keys import-hs256 --kid librechat-hs \\
    --secret-id latchkey/signing-keys \\
    --verification-keys latchkey/verification-keys --ticket-keys latchkey/ticket-keys \\
    --public-keys latchkey/public-keys")]
pub(crate) struct ImportHs256 {
    #[command(flatten)]
    location: Location,
    #[command(flatten)]
    derived: DerivedSecrets,
    /// The key's name, which clients use in their registrations: 1 to 255 printable ASCII characters
    #[arg(long, allow_hyphen_values = true)]
    kid: String,
    /// Print {"kid":…}
    #[arg(long)]
    json: bool,
}

/// Take a signing key out that has leaked: nothing that it has signed is accepted any more
///
/// Within the functions' cache time (300 s) its access tokens are void for renewal, introspection and the authorizer, and
/// its id is gone from the published keys; verifiers that keep those forget it after that (300 s). Clients of
/// "requires":"access_token" sign their users in again, the others renew. If no other key of its algorithm signs, the
/// one that has been published for the longest signs at once, and if there is none, a new one is made.
///
/// A client that names the key is answered with 503, and no other is, until its registration names another one. To change
/// LibreChat's own secret (HS256) without that: change it in LibreChat, import the new one, name it in the client's
/// registration, and revoke the old one then.
#[derive(Args)]
#[command(after_help = "Examples:
  latchkey keys revoke KID --file keys.json --clients clients.json --dry-run
  latchkey keys revoke KID --clients-secret latchkey/clients --secret-id latchkey/signing-keys \\
    --verification-keys latchkey/verification-keys --ticket-keys latchkey/ticket-keys \\
    --public-keys latchkey/public-keys")]
pub(crate) struct Revoke {
    /// The key's id, as in the header of its tokens and in `latchkey keys show`
    #[arg(allow_hyphen_values = true)]
    kid: String,
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    derived: DerivedSecrets,
    /// The registrations, in a file, to see which clients name the key
    #[arg(long, value_name = "FILE", conflicts_with = "clients_secret")]
    clients: Option<PathBuf>,
    /// The registrations, in a secret of AWS Secrets Manager, for the same
    #[arg(long, value_name = "ID")]
    clients_secret: Option<String>,
}

/// Replace all tag keys by a new one: every refresh token from before is refused, and everybody signs in again
///
/// For a table that was restored from a backup, where sessions that have ended are alive again. Sessions are not ended: their
/// access tokens are good until they expire. `latchkey sessions revoke --all` ends all sessions, access tokens included.
#[derive(Args)]
#[command(after_help = "Examples:
  latchkey keys replace-tag --file keys.json --dry-run
  latchkey keys replace-tag --secret-id latchkey/signing-keys \\
    --verification-keys latchkey/verification-keys --ticket-keys latchkey/ticket-keys \\
    --public-keys latchkey/public-keys")]
pub(crate) struct ReplaceTag {
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    derived: DerivedSecrets,
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
            Self::Revoke(revoke) => revoke.run(now),
            Self::ReplaceTag(replace) => replace.run(),
            Self::Publish(publish) => publish.run(),
        }
    }
}

impl Show {
    fn run(&self, now: Timestamp) -> Result<(), Failure> {
        let ring: Checked<KeyRing> = self.location.place().load()?;
        let (signing, tagging) = (ring::signing_keys(&ring, now), ring::tag_keys(&ring, now));
        let has_audit_key = ring.parsed.has_audit_key();
        print(&if self.json {
            as_json(&signing, &tagging, has_audit_key)
        } else {
            as_tables(&signing, &tagging, has_audit_key)
        })
    }
}

impl Generate {
    fn run(&self, now: Timestamp) -> Result<(), Failure> {
        let place = self.location.place();
        let key = new_signing_key(self.alg, now.unix_seconds(), now.unix_seconds())?;
        let (_, (added, others)) = self.derived.edit(&place, |draft| {
            let added = ring::add_new(draft, key.clone(), self.publish_seconds, now);
            Ok((added, ensure_tag_key(draft, now)? + ensure_audit_key(draft)?))
        })?;
        let (kid, sign_from) = added;
        let when = if sign_from == now { "at once".to_owned() } else { format!("from {sign_from}") };
        eprintln!("a new {} key is in {place}; it signs {when}{others}", self.alg);
        match self.json {
            true => print(&format!("{}\n", json!({"kid": kid, "sign_from": sign_from.to_string()}))),
            false => print(&format!("{kid}\n")),
        }
    }
}

impl ImportHs256 {
    fn run(&self, now: Timestamp) -> Result<(), Failure> {
        let secret = read_secret()?;
        if secret.is_member() {
            eprintln!("the secret is the member JWT_SECRET of the JSON object that was given");
        }
        let secret = secret.into_text();
        let place = self.location.place();
        let key = json!({"kid": self.kid, "alg": Algorithm::Hs256.name(), "secret": secret});
        let (_, tag_key) = self.derived.edit(&place, |draft| {
            ring::add(draft, key.clone());
            ensure_tag_key(draft, now)
        })?;
        eprintln!("the HS256 key {:?} is in {place}; it signs at once for clients that name it{tag_key}", self.kid);
        if self.json {
            return print(&format!("{}\n", json!({"kid": self.kid})));
        }
        Ok(())
    }
}

impl Revoke {
    fn run(&self, now: Timestamp) -> Result<(), Failure> {
        let clients = match (&self.clients, &self.clients_secret) {
            (Some(path), _) => Some(Place::File(path.clone())),
            (None, Some(id)) => Some(Place::Secret(id.clone())),
            (None, None) => None,
        };
        // The key has leaked: it goes out, whoever names it.
        let named_by = clients.as_ref().map(|clients| self.named_by(clients));
        let (_, signs) = self.derived.make(&self.change, |draft| Ok(ring::revoke(draft, &self.kid, now)?))?;
        let named_by = match named_by {
            Some(Ok(named_by)) => named_by,
            Some(Err(failure)) => {
                eprintln!("warning: whether a client names the key could not be checked: {failure}");
                Vec::new()
            }
            None => {
                eprintln!(
                    "warning: whether a client names the key was not checked: --clients FILE or --clients-secret ID does"
                );
                Vec::new()
            }
        };
        for client in &named_by {
            let are = self.change.verb("are", "would be");
            eprintln!(
                "warning: client {client:?} names the key {:?}: its requests {are} answered with 503 until its registration \
                 names another one, or none",
                self.kid
            );
        }
        let (done, place) = (self.change.verb("is taken out of", "would be taken out of"), self.change.place());
        let successor = signs.as_ref().map(|kid| format!("; {kid:?} signs at once in its place")).unwrap_or_default();
        eprintln!("the key {:?} {done} {place}{successor}", self.kid);
        let signs = signs.map(|kid| ("signs", json!(kid)));
        self.change.tell([("kid", json!(self.kid))].into_iter().chain(signs))
    }

    /// The clients that name the key, faulty ones too: they wait for it when they are mended.
    fn named_by(&self, clients: &Place) -> Result<Vec<String>, Failure> {
        let registrations: Checked<Registrations> = clients.load_as_functions_do()?;
        let clients = registrations.list(Party::Client.list()).iter().map(leniently).enumerate();
        let naming = clients.filter(|(_, client)| client.get("kid") == Some(&self.kid.as_str().into()));
        let name = |(index, client): (usize, Value)| {
            let id = client.get(Party::Client.id_member()).and_then(Value::as_str);
            id.map_or_else(|| format!("clients[{index}]"), str::to_owned)
        };
        Ok(naming.map(name).collect())
    }
}

impl ReplaceTag {
    fn run(&self) -> Result<(), Failure> {
        let (_, kid) = self.derived.make(&self.change, |draft| Ok(ring::replace_tag_keys(draft)?))?;
        let (done, place) = (self.change.verb("are replaced", "would be replaced"), self.change.place());
        eprintln!("the tag keys of {place} {done} by number {kid}: every refresh token from before is refused");
        self.change.tell([("kid", json!(kid))])
    }
}

/// Adds a tag key if it is needed; what to tell of it.
fn ensure_tag_key(draft: &mut Draft<KeyRing>, now: Timestamp) -> Result<String, Failure> {
    let added = ring::ensure_tag_key(draft, now)?;
    Ok(added.map(|kid| format!("; there was no tag key: number {kid} was made")).unwrap_or_default())
}

/// The same for the audit key.
fn ensure_audit_key(draft: &mut Draft<KeyRing>) -> Result<&'static str, Failure> {
    Ok(if ring::ensure_audit_key(draft)? { "; there was no audit key: one was made" } else { "" })
}

/// As every secret that is shared with others.
fn read_secret() -> Result<SharedSecret, Failure> {
    let mut input = std::io::stdin();
    if input.is_terminal() {
        eprintln!("Paste the secret, then Enter and Ctrl-D:");
    }
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes).map_err(|error| Failure::Input(error.to_string()))?;
    let text = text_of(bytes).map_err(|fault| Failure::Input(format!("the secret {fault}")))?;
    SharedSecret::read(&text).map_err(|fault| Failure::Input(format!("the secret is refused: {fault}")))
}

fn as_tables(signing: &[ShownKey], tagging: &[ShownTagKey], has_audit_key: bool) -> String {
    let signing = signing.iter().map(|key| {
        let sign_from = if key.sign_from == NOT_YET { "the next rotation".to_owned() } else { from(key.sign_from) };
        let times = [from(key.publish_at), sign_from, until(key.retire_at)];
        let [publish_at, sign_from, retire_at] = times;
        [key.kid.clone(), key.algorithm.clone(), publish_at, sign_from, retire_at, key.now.to_string()]
    });
    let tagging =
        tagging.iter().map(|key| [key.kid.to_string(), from(key.use_from), until(key.retire_at), key.now.to_string()]);
    format!(
        "{}\n{}\nAUDIT KEY\n{}\n",
        table(["SIGNING KEY", "ALG", "PUBLISH_AT", "SIGN_FROM", "RETIRE_AT", "NOW"], signing),
        table(["TAG KEY", "USE_FROM", "RETIRE_AT", "NOW"], tagging),
        if has_audit_key { "there" } else { "none: the audit trail leaves users out" }
    )
}

fn as_json(signing: &[ShownKey], tagging: &[ShownTagKey], has_audit_key: bool) -> String {
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
    format!("{}\n", json!({"signing": signing, "tagging": tagging, "audit": has_audit_key}))
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
