//! `latchkey issuer`: the external systems that issue tokens for their users.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use latchkey_token::{
    json::{Map, Value},
    keys::Algorithm,
    registrations::Registrations,
    values::{Seconds, Timestamp},
};
use serde_json::json;

use super::{
    edits::{self, Party},
    epochs::{self, Governed},
    key_set::{read_key_set, rsa_algorithm},
    party::{List, RotateSecret, reveal},
    sign_in::{IssuerSignIn, IssuerSignInChange},
};
use crate::{
    console::{Failure, print, table},
    operator::documents::{
        document::{Checked, strings},
        place::{Change, Location, read_file, read_shared_secret},
    },
    secrets::{new_secret, sha256_hex},
};

/// An instance that cannot reach Secrets Manager goes on for a day with the registrations that it has; an hour for clocks.
const UNTIL_EVERY_INSTANCE_KNOWS: Seconds = 25 * 3_600;

#[derive(Subcommand)]
pub(crate) enum IssuerCommand {
    Add(Box<Add>),
    /// Show all issuers, with the number of their secrets and never their hashes
    #[command(after_help = "Examples:
  latchkey issuer list --file clients.json
  latchkey issuer list --secret-id latchkey/clients --json")]
    List(List),
    Disable(Disable),
    Enable(Enable),
    Remove(Remove),
    /// Give an issuer a second secret, or drop the old one with --finish
    ///
    /// The new secret is printed once, alone on standard output; only its SHA-256 is kept, as the last of
    /// secret_sha256. Old and new are good side by side until --finish drops all but the newest.
    #[command(after_help = "Example:
  latchkey issuer rotate-secret portal --file clients.json
  # when the portal uses the new secret:
  latchkey issuer rotate-secret portal --file clients.json --finish")]
    RotateSecret(RotateSecret),
    SignIn(IssuerSignInChange),
}

/// Shut an issuer out: it is answered as an unknown one
///
/// Within the functions' cache time (300 s) it can neither issue tokens nor end sessions (401 invalid_client; its assertions:
/// 400 invalid_grant). Its sessions go on, unless --end-sessions ends them: then whatever it issues in the next 25 hours is over
/// as well, since an instance that cannot reach Secrets Manager may not know of it for a day. `latchkey issuer enable` lets it
/// in again.
#[derive(Args)]
#[command(after_help = "Examples:
  latchkey issuer disable portal --secret-id latchkey/clients --end-sessions
  latchkey issuer disable portal --file clients.json --dry-run")]
pub(crate) struct Disable {
    /// The issuer's id
    id: String,
    #[command(flatten)]
    change: Change,
    /// End all sessions that it has issued, too
    #[arg(long)]
    end_sessions: bool,
}

/// Let an issuer in again that was disabled
///
/// If its sessions were ended, those from before this moment stay ended.
#[derive(Args)]
#[command(after_help = "Example:
  latchkey issuer enable portal --secret-id latchkey/clients")]
pub(crate) struct Enable {
    /// The issuer's id
    id: String,
    #[command(flatten)]
    change: Change,
}

/// Remove an issuer's registration, once none of its sessions can be left
///
/// Its sessions are kept ended by its registration, so it is refused until one absolute lifetime after the time that
/// `latchkey issuer disable --end-sessions` has set. There is no hurry: a disabled issuer can do nothing.
#[derive(Args)]
#[command(after_help = "Examples:
  latchkey issuer remove portal --secret-id latchkey/clients
  latchkey issuer remove portal --file clients.json --absolute-seconds 604800")]
pub(crate) struct Remove {
    /// The issuer's id
    id: String,
    #[command(flatten)]
    change: Change,
    /// The longest absolute lifetime of a session since it was registered
    #[arg(long, value_name = "SECONDS", env = "LATCHKEY_ABSOLUTE_SECONDS", default_value_t = 2_592_000)]
    absolute_seconds: Seconds,
}

/// Register an issuer and print its secret, once
///
/// The secret (256 bits, hex digits) is printed alone on standard output; only its SHA-256 is kept. An issuer that
/// signs JWTs may issue with them instead (RFC 7523): with --jwks or a file with a shared secret it gets no secret.
#[derive(Args)]
#[command(after_help = "Examples:
  latchkey issuer add portal --file clients.json
  latchkey issuer add back-office --secret-id latchkey/clients --json \\
    --client librechat librechat-oauth
  # whose portal signs users in:
  latchkey issuer add portal --file clients.json \\
    --sign-in-url https://portal.example.org/sign-in \\
    --sign-out-url https://portal.example.org/sign-out
  # by assertion, with the issuer's public keys:
  latchkey issuer add signing --jwks jwks.json --assertion-iss https://portal.example.org \\
    --assertion-aud https://id.example.org --client librechat --file clients.json
  # the same with a secret that is bytes, for one of its clients:
  latchkey issuer add office --hs512-secret-file secret.b64 --secret-base64 --assertion-iss office \\
    --assertion-aud https://id.example.org --client librechat admin --assertion-client librechat \\
    --file clients.json
  # the same for tokens that never expire, signed with a shared secret, for 90 days:
  latchkey issuer add legacy --hs256-secret-file secret.txt --assertion-iss old-portal \\
    --subject-claim user_id --legacy-max-age-seconds 7776000 --client librechat \\
    --file clients.json")]
pub(crate) struct Add {
    /// The issuer's id: 1 to 255 printable ASCII characters
    id: String,
    #[command(flatten)]
    location: Location,
    /// Registered clients that it may issue for; `client add --issuer` adds more
    #[arg(long, num_args = 1..)]
    client: Vec<String>,
    /// Print {"issuer_id":…,"issuer_secret":…} instead of the secret alone
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    sign_in: IssuerSignIn,
    #[command(flatten)]
    assertions: Assertions,
}

/// What the issuer's assertions are like.
#[derive(Args)]
#[command(next_help_heading = "Issue by assertion")]
struct Assertions {
    /// JWK set with the public keys that verify the issuer's assertions, as it was exported: keys that are for something else
    /// are left out, which is said
    #[arg(long, value_name = "FILE", requires = "assertion_iss", group = "assertion_keys")]
    jwks: Option<PathBuf>,
    /// What RSA keys sign with that do not say: RS256 or PS256
    #[arg(long, value_name = "ALG", default_value = "RS256", value_parser = rsa_algorithm, requires = "jwks")]
    alg: Algorithm,
    /// File with the shared secret of HS256 assertions, as it stands there but for a last line break; at least 32 bytes
    #[arg(long, value_name = "FILE", requires = "assertion_iss", group = "assertion_keys")]
    hs256_secret_file: Option<PathBuf>,
    /// The same for HS384, at least 48 bytes
    #[arg(long, value_name = "FILE", requires = "assertion_iss", group = "assertion_keys")]
    hs384_secret_file: Option<PathBuf>,
    /// The same for HS512, at least 64 bytes
    #[arg(long, value_name = "FILE", requires = "assertion_iss", group = "assertion_keys")]
    hs512_secret_file: Option<PathBuf>,
    /// The secret is bytes, and the file has them in base64, of either alphabet
    #[arg(long, conflicts_with = "jwks", requires = "assertion_keys")]
    secret_base64: bool,
    /// The assertions' iss, byte for byte
    #[arg(long, value_name = "ISS")]
    assertion_iss: Option<String>,
    /// The assertions' aud, byte for byte; needed unless --legacy-max-age-seconds is given
    #[arg(long, value_name = "AUD")]
    assertion_aud: Option<String>,
    /// Clients of the issuer that its assertions are good for [default: all of them]
    #[arg(long, value_name = "CLIENT", num_args = 1.., requires = "assertion_keys")]
    assertion_client: Vec<String>,
    /// The claim that names the user [default: sub]
    #[arg(long, value_name = "CLAIM")]
    subject_claim: Option<String>,
    /// Let exp and aud be missing while iat is no older than this
    #[arg(long, value_name = "SECONDS")]
    legacy_max_age_seconds: Option<u32>,
}

impl Assertions {
    fn is_meant(&self) -> bool {
        self.jwks.is_some() || self.secret_file().is_some()
    }

    /// The file with the shared secret, and the member that it is for.
    fn secret_file(&self) -> Option<(&Path, &'static str)> {
        let files = [
            (&self.hs256_secret_file, "hs256_secret", "hs256_secret_base64"),
            (&self.hs384_secret_file, "hs384_secret", "hs384_secret_base64"),
            (&self.hs512_secret_file, "hs512_secret", "hs512_secret_base64"),
        ];
        files
            .into_iter()
            .find_map(|(file, text, base64)| Some((file.as_deref()?, if self.secret_base64 { base64 } else { text })))
    }

    /// Values as they were given: the parser judges them, all at once.
    fn members(&self) -> Result<Map<String, Value>, Failure> {
        let jwks = self.jwks.as_deref().map(|path| read_key_set(path, self.alg)).transpose()?;
        let clients = (!self.assertion_client.is_empty()).then(|| json!(self.assertion_client));
        let text = |text: &Option<String>| text.as_ref().map(|text| json!(text));
        let members = [
            ("jwks", jwks),
            ("assertion_iss", text(&self.assertion_iss)),
            ("assertion_aud", text(&self.assertion_aud)),
            ("assertion_clients", clients),
            ("subject_claim", text(&self.subject_claim)),
            ("legacy_max_age_seconds", self.legacy_max_age_seconds.map(|seconds| json!(seconds))),
        ];
        let mut members: Map<String, Value> =
            members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        if let Some((path, member)) = self.secret_file() {
            // What a text that stands for bytes may look like is for its own reader.
            let secret = match self.secret_base64 {
                true => read_file(path)?.trim_end().to_owned(),
                false => read_shared_secret(path)?,
            };
            members.insert(member.to_owned(), json!(secret));
        }
        Ok(members)
    }
}

impl IssuerCommand {
    pub(crate) fn run(&self, now: Timestamp) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(),
            Self::List(list) => list.run(Party::Issuer, as_table, |_, _| None),
            Self::Disable(disable) => disable.run(now),
            Self::Enable(enable) => enable.run(now),
            Self::Remove(remove) => remove.run(now),
            Self::RotateSecret(rotate) => rotate.run(Party::Issuer),
            Self::SignIn(sign_in) => sign_in.run(),
        }
    }
}

impl Disable {
    fn run(&self, now: Timestamp) -> Result<(), Failure> {
        let (_, epoch) = self.change.make(|draft| {
            epochs::disable(draft, &self.id);
            let governed = Governed::Of(Party::Issuer, &self.id);
            Ok(self.end_sessions.then(|| epochs::advance(draft, &governed, now.plus(UNTIL_EVERY_INSTANCE_KNOWS))))
        })?;
        let (is, place) = (self.change.verb("is", "would be"), self.change.place());
        eprintln!("issuer {:?} {is} disabled in {place}, and is answered as an unknown issuer", self.id);
        match epoch {
            Some(epoch) => eprintln!(
                "sessions of it that were issued before {epoch} {}",
                self.change.verb("are over", "would be over")
            ),
            None => eprintln!("its sessions go on: --end-sessions ends them"),
        }
        let epoch = epoch.map(|epoch| ("sessions_not_before", json!(epoch.unix_seconds())));
        self.change.tell([("issuer_id", json!(self.id))].into_iter().chain(epoch))
    }
}

impl Enable {
    fn run(&self, now: Timestamp) -> Result<(), Failure> {
        self.change.make(|draft| {
            epochs::enable(draft, &self.id, now);
            Ok(())
        })?;
        let (may, place) = (self.change.verb("may", "could"), self.change.place());
        eprintln!("issuer {:?} {may} issue again, by its registration in {place}", self.id);
        self.change.tell([("issuer_id", json!(self.id))])
    }
}

impl Remove {
    fn run(&self, now: Timestamp) -> Result<(), Failure> {
        self.change.make(|draft| {
            epochs::has_outlived(draft, &self.id, self.absolute_seconds, now);
            edits::remove(draft, Party::Issuer, &self.id);
            Ok(())
        })?;
        let (is, place) = (self.change.verb("is", "would be"), self.change.place());
        eprintln!("issuer {:?} {is} removed from {place}", self.id);
        self.change.tell([("issuer_id", json!(self.id))])
    }
}

impl Add {
    fn run(&self) -> Result<(), Failure> {
        let place = self.location.place();
        let secret = if self.assertions.is_meant() { None } else { Some(new_secret()?) };
        let mut registration =
            Map::from_iter([("issuer_id".to_owned(), json!(self.id)), ("clients".to_owned(), json!(self.client))]);
        registration.extend(secret.as_deref().map(|secret| ("secret_sha256".to_owned(), json!([sha256_hex(secret)]))));
        registration.extend(self.assertions.members()?);
        self.sign_in.put_into(&mut registration);
        place.edit(|draft| {
            edits::add(draft, Party::Issuer, &self.id, Value::Object(registration.clone()));
            Ok(())
        })?;
        match secret {
            Some(secret) => {
                eprintln!("issuer {:?} is registered in {place}; its secret is shown this once:", self.id);
                reveal(Party::Issuer, &self.id, &secret, self.json)
            }
            None => {
                eprintln!("issuer {:?} is registered in {place} and issues by assertion", self.id);
                if self.json { print(&format!("{}\n", json!({"issuer_id": self.id}))) } else { Ok(()) }
            }
        }
    }
}

fn as_table(checked: &Checked<Registrations>) -> String {
    let row = |issuer: &Value| {
        let text = |member| issuer.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
        [
            text("issuer_id"),
            strings(issuer, "secret_sha256").len().to_string(),
            strings(issuer, "clients").join(" "),
            match issuer.get("assertion_clients") {
                Some(_) => strings(issuer, "assertion_clients").join(" "),
                None => "-".to_owned(),
            },
            if issuer.get("disabled") == Some(&Value::Bool(true)) { "disabled" } else { "issues" }.to_owned(),
            text("sign_in_url"),
            text("sign_out_url"),
        ]
    };
    table(
        ["ISSUER", "SECRETS", "CLIENTS", "ASSERTION CLIENTS", "STATE", "SIGN-IN URL", "SIGN-OUT URL"],
        checked.list("issuers").iter().map(row),
    )
}
