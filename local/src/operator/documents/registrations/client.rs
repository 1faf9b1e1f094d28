//! `latchkey client`: the applications that hold tokens and renew them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{Args, Subcommand};
use latchkey_token::{
    documents::Documents,
    json::{Map, Value},
    keys::{Algorithm, KeyRing},
    registrations::Registrations,
    values::Timestamp,
};
use serde_json::json;

use super::{
    edits::{self, Party},
    exchange::{self, ClientExchangeChange},
    key_set::{read_key_set, rsa_algorithm},
    party::{List, RotateSecret, reveal},
    sign_in::{ClientSignIn, ClientSignInChange, sign_in_issuer, warn_if_nobody_signs_in},
};
use crate::{
    console::{Failure, print, table},
    operator::documents::{
        document::{Checked, strings},
        place::{Change, Location, read_file},
    },
    secrets::{new_secret, sha256_hex},
};

#[derive(Subcommand)]
pub(crate) enum ClientCommand {
    Add(Box<Add>),
    /// Show all clients, with the number of their secrets and never their hashes
    ///
    /// Clients that have registered themselves are in no list, for nothing is kept of them: `latchkey audit` shows the events
    /// client_registered.
    #[command(after_help = "Examples:
  latchkey client list --file clients.json
  latchkey client list --secret-id latchkey/clients --json")]
    List(List),
    Disable(Disable),
    /// Give a client a second secret, or drop the old one with --finish
    ///
    /// The new secret is printed once, alone on standard output; only its SHA-256 is kept, as the last of
    /// secret_sha256. Old and new are good side by side until --finish drops all but the newest.
    #[command(after_help = "Example:
  latchkey client rotate-secret librechat --file clients.json
  # when LibreChat uses the new secret:
  latchkey client rotate-secret librechat --file clients.json --finish")]
    RotateSecret(RotateSecret),
    SignIn(ClientSignInChange),
    Exchange(ClientExchangeChange),
}

/// Remove a client's registration
///
/// Renewals of its sessions are then answered with 401 invalid_client, and no issuer can issue for it. Its sessions
/// are not ended: if the same id is registered again before they expire, they can be renewed again. Access tokens that
/// are out stay good until their exp wherever they are verified offline.
#[derive(Args)]
#[command(after_help = "Example:
  latchkey client disable librechat --file clients.json")]
pub(crate) struct Disable {
    /// The client's id
    id: String,
    #[command(flatten)]
    change: Change,
}

/// Register a client and print its secret, once
///
/// A confidential client's secret (256 bits, hex digits) is printed alone on standard output; only its SHA-256 is kept.
/// Register the issuers first and name them here. Options that may be given several times also take several values.
#[derive(Args)]
#[command(after_help = "Examples:
  latchkey client add librechat --file clients.json --issuer portal \\
    --scope openid profile email --claim email name --access-token-seconds 3600
  latchkey client add librechat-oauth --secret-id latchkey/clients --issuer portal \\
    --requires refresh_token
  latchkey client add librechat-openid --file clients.json --issuer portal \\
    --scope openid profile email --requires refresh_token \\
    --redirect-uri https://chat.example.org/oauth/openid/callback \\
    --post-logout-redirect-uri https://chat.example.org/login
  latchkey client add librechat-own --file clients.json --keys signing-keys.json --issuer portal \\
    --profile librechat --kid librechat-hs
  latchkey client add librechat-tools --file clients.json --issuer portal --scope openid \
    --exchange \"https://tools.example.org/mcp tools read\"
  latchkey client add agents --file clients.json --issuer portal --jwks agents-jwks.json")]
pub(crate) struct Add {
    /// The client's id: 1 to 255 printable ASCII characters
    id: String,
    #[command(flatten)]
    location: Location,
    /// The client keeps a secret, which is made here (default)
    #[arg(long, conflicts_with = "public")]
    confidential: bool,
    /// The client cannot keep a secret, such as an app in a browser; none is made
    #[arg(long)]
    public: bool,
    /// JWK set with the client's public keys: it authenticates by private_key_jwt, and no secret is made
    #[arg(long, value_name = "FILE", conflicts_with = "public")]
    jwks: Option<PathBuf>,
    /// What RSA keys of that set sign with that do not say: RS256 or PS256
    #[arg(long, value_name = "ALG", default_value = "RS256", value_parser = rsa_algorithm, requires = "jwks")]
    jwks_alg: Algorithm,
    /// What the access token is for: standard (RFC 9068) or librechat (HS256 with LibreChat's own secret)
    #[arg(long, default_value = "standard")]
    profile: String,
    /// RS256, PS256, ES256, EdDSA or HS256 [default: RS256; for the profile librechat HS256]
    #[arg(long)]
    alg: Option<String>,
    /// The signing key by name: for HS256, whose keys are not rotated; otherwise the newest key of the algorithm signs
    #[arg(long, allow_hyphen_values = true)]
    kid: Option<String>,
    /// Who is to accept the access tokens (aud) [default: the client's id]
    #[arg(long, num_args = 1..)]
    audience: Vec<String>,
    /// What the client's users may be granted; openid adds an ID token
    #[arg(long, num_args = 1.., value_delimiter = ' ')]
    scope: Vec<String>,
    /// Names of the claims that an issuer may set
    #[arg(long, num_args = 1..)]
    claim: Vec<String>,
    /// Life of an access token, 1 to 604800; this and the next ones: the deployment's value if left out
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    access_token_seconds: Option<i64>,
    /// What a renewal must bring: access_token (with the refresh token) or refresh_token (alone; plain OAuth)
    #[arg(long, default_value = "access_token")]
    requires: String,
    /// How long an expired access token may still be presented for renewal, 0 to 604800
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    grace_seconds: Option<i64>,
    /// How long before expiry renewal opens, 0 (always open) to 604800
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    window_seconds: Option<i64>,
    /// How long a lost answer can be asked for again, 0 to 86400, for a public client to 300
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    retry_seconds: Option<i64>,
    /// Registered issuers that may issue tokens for this client
    #[arg(long, num_args = 1..)]
    issuer: Vec<String>,
    /// A target that its users' tokens may be exchanged for, and its scopes, in quotes; `latchkey client exchange` says more
    #[arg(long, value_name = "AUDIENCE SCOPES", num_args = 1..)]
    exchange: Vec<String>,
    /// The key ring, to check that it has the key that --kid names
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Print {"client_id":…,"client_secret":…} instead of the secret alone
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    sign_in: ClientSignIn,
}

impl ClientCommand {
    pub(crate) fn run(&self, now: Timestamp) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(now),
            Self::List(list) => list.run(Party::Client, as_table, |checked, client| {
                Some(("issuers", json!(issuers_of(checked, text(client, "client_id", "")))))
            }),
            Self::Disable(disable) => disable.run(),
            Self::RotateSecret(rotate) => rotate.run(Party::Client),
            Self::SignIn(sign_in) => sign_in.run(),
            Self::Exchange(exchange) => exchange.run(),
        }
    }
}

impl Disable {
    fn run(&self) -> Result<(), Failure> {
        self.change.make(|draft| {
            edits::remove(draft, Party::Client, &self.id);
            Ok(())
        })?;
        eprintln!(
            "Removing client {:?} means, within the servers' cache time (300 s by default):
- renewals of its sessions are answered with 401 invalid_client, and no issuer can issue for it
- its sessions are not ended: registered again under this id, it can renew them until they expire
- access tokens that are out stay good until their exp wherever they are verified offline",
            self.id
        );
        let (is, place) = (self.change.verb("is", "would be"), self.change.place());
        eprintln!("client {:?} {is} removed from {place}", self.id);
        self.change.tell([("client_id", json!(self.id))])
    }
}

impl Add {
    fn run(&self, now: Timestamp) -> Result<(), Failure> {
        let place = self.location.place();
        let secret = if self.public || self.jwks.is_some() { None } else { Some(new_secret()?) };
        let jwks = self.jwks.as_deref().map(|path| read_key_set(path, self.jwks_alg)).transpose()?;
        let registration = self.registration(secret.as_deref(), jwks);
        let keys = self.keys.as_deref().map(read_key_ring).transpose()?;
        let (checked, ()) = place.edit_if(
            |draft| {
                edits::add(draft, Party::Client, &self.id, registration.clone());
                edits::entitle(draft, &self.issuer, &self.id);
                Ok(())
            },
            // What no server would start with is refused.
            |registrations| keys.as_ref().map_or(Ok(()), |keys| registrations.check_keys(keys)),
        )?;
        self.warn_of_keys(keys, &checked.parsed, now);

        eprintln!("client {:?} is registered in {place}", self.id);
        if self.issuer.is_empty() && issuers_of(&checked, &self.id).is_empty() {
            eprintln!(
                "warning: no issuer may issue for it yet: put it among the \"clients\" of an issuer that is registered, or \
                 `latchkey issuer add ISSUER_ID --client {}`",
                self.id
            );
        }
        warn_if_nobody_signs_in(&checked.parsed, &self.id);
        match secret {
            Some(secret) => {
                eprintln!("its secret is shown this once:");
                reveal(Party::Client, &self.id, &secret, self.json)
            }
            None if self.json => print(&format!("{}\n", json!({"client_id": self.id}))),
            None => Ok(()),
        }
    }

    fn algorithm(&self) -> &str {
        let default = if self.profile == "librechat" { "HS256" } else { "RS256" };
        self.alg.as_deref().unwrap_or(default)
    }

    /// Values as they were given: the parser judges them, all at once.
    fn registration(&self, secret: Option<&str>, jwks: Option<Value>) -> Value {
        let mut renewal = Map::from_iter([("requires".to_owned(), json!(self.requires))]);
        for (member, seconds) in [
            ("grace_seconds", self.grace_seconds),
            ("window_seconds", self.window_seconds),
            ("retry_seconds", self.retry_seconds),
        ] {
            renewal.extend(seconds.map(|seconds| (member.to_owned(), json!(seconds))));
        }
        let audience = if self.audience.is_empty() { std::slice::from_ref(&self.id) } else { &self.audience };
        let mut registration = Map::from_iter(
            [
                ("client_id", json!(self.id)),
                ("type", json!(if self.public { "public" } else { "confidential" })),
                ("profile", json!(self.profile)),
                ("alg", json!(self.algorithm())),
                ("audience", json!(audience)),
                ("scopes", json!(self.scope)),
                ("claims", json!(self.claim)),
                ("renewal", Value::Object(renewal)),
            ]
            .map(|(member, value)| (member.to_owned(), value)),
        );
        for (member, value) in [
            ("secret_sha256", secret.map(|secret| json!([sha256_hex(secret)]))),
            ("jwks", jwks),
            ("kid", self.kid.as_ref().map(|kid| json!(kid))),
            ("access_token_seconds", self.access_token_seconds.map(|seconds| json!(seconds))),
        ] {
            registration.extend(value.map(|value| (member.to_owned(), value)));
        }
        exchange::put_all_into(&mut registration, &self.exchange);
        self.sign_in.put_into(&mut registration);
        Value::Object(registration)
    }

    /// What is right as it stands, and may not be served.
    fn warn_of_keys(&self, keys: Option<KeyRing>, registrations: &Registrations, now: Timestamp) {
        if let (Some(kid), false) = (&self.kid, self.algorithm() == "HS256") {
            eprintln!(
                "warning: rotation will retire the key {kid:?} and then remove it, and no client can be served while one names \
                 a key that is gone: leave --kid out, unless you never rotate"
            );
        }
        match (keys, &self.kid) {
            (Some(keys), _) => {
                let fitted = Documents::of(Arc::new(keys), Arc::new(registrations.clone()));
                for missing in fitted.value.missing_keys(now) {
                    eprintln!("warning: {missing}: its requests will be answered with 503");
                }
            }
            (None, Some(kid)) => {
                eprintln!("warning: whether the key ring has the key {kid:?} was not checked: --keys FILE does");
            }
            (None, None) => {}
        }
    }
}

fn read_key_ring(path: &Path) -> Result<KeyRing, Failure> {
    KeyRing::parse(&read_file(path)?)
        .map_err(|faults| Failure::Unusable { place: path.display().to_string(), faults: faults.lines().to_vec() })
}

fn as_table(checked: &Checked<Registrations>) -> String {
    let row = |client: &Value| {
        let id = text(client, "client_id", "");
        let requires =
            client.get("renewal").map_or("access_token", |renewal| text(renewal, "requires", "access_token"));
        [
            id.to_owned(),
            text(client, "type", "").to_owned(),
            text(client, "profile", "standard").to_owned(),
            text(client, "alg", "RS256").to_owned(),
            text(client, "kid", "-").to_owned(),
            strings(client, "audience").join(" "),
            strings(client, "scopes").join(" "),
            requires.to_owned(),
            strings(client, "secret_sha256").len().to_string(),
            issuers_of(checked, id).join(" "),
            sign_in_issuer(&checked.parsed, id).unwrap_or("-").to_owned(),
            text(client, "pkce", "required").to_owned(),
            strings(client, "redirect_uris").join(" "),
            strings(client, "post_logout_redirect_uris").join(" "),
            targets(client).join(" "),
        ]
    };
    let heading = [
        "CLIENT",
        "TYPE",
        "PROFILE",
        "ALG",
        "KID",
        "AUDIENCE",
        "SCOPES",
        "RENEWAL REQUIRES",
        "SECRETS",
        "ISSUERS",
        "SIGN-IN ISSUER",
        "PKCE",
        "REDIRECT URIS",
        "AFTER SIGN-OUT",
        "EXCHANGES FOR",
    ];
    table(heading, checked.list("clients").iter().map(row))
}

fn issuers_of<'a>(checked: &'a Checked<Registrations>, client_id: &str) -> Vec<&'a str> {
    let issuers = checked.list("issuers").iter().filter(|issuer| strings(issuer, "clients").contains(&client_id));
    issuers.map(|issuer| text(issuer, "issuer_id", "")).collect()
}

/// What its users' tokens may be exchanged for.
fn targets(client: &Value) -> Vec<&str> {
    let entries = client.get(exchange::EXCHANGE).and_then(Value::as_array).into_iter().flatten();
    entries.map(|entry| text(entry, "audience", "")).collect()
}

fn text<'a>(object: &'a Value, member: &str, default: &'a str) -> &'a str {
    object.get(member).and_then(Value::as_str).unwrap_or(default)
}
