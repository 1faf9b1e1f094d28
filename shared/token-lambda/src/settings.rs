//! `LATCHKEY_*`: read once at start, checked completely, every fault in one message (docs/configuration.md).
//!
//! To add one: a member with its range here, its name in `settings/names.rs`, an environment variable in `template.yaml`, a row in docs/configuration.md.

mod names;

use std::fmt;

use latchkey_token::{
    documents::Documents,
    policy::{
        MAX_ACCESS_TOKEN_SECONDS, MAX_GRACE_SECONDS, MAX_RETRY_CONFIDENTIAL_SECONDS, MAX_RETRY_PUBLIC_SECONDS,
        MAX_SESSION_SECONDS, Policy,
    },
    rotation::RotationLimits,
    values::Seconds,
};

pub use self::names::{UnknownName, unknown_name, warn_of_unknown_names};
use crate::response::Cors;

/// Everything that is wrong with the configuration, one line each. Never empty.
#[derive(Clone, PartialEq, Eq)]
pub struct SettingsFaults(Vec<String>);

impl fmt::Display for SettingsFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration is not usable:")?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

/// As [`fmt::Display`]: a process that ends with it shows text to an operator.
impl fmt::Debug for SettingsFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for SettingsFaults {}

/// What every function and the local server have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Lifetimes, limits and `iss`: what decides what is issued and renewed.
    pub policy: Policy,
    /// The origins whose pages may read the answers; none by default.
    pub cors: Cors,
    /// How long key ring and registrations are cached, in seconds.
    pub secrets_ttl_seconds: Seconds,
    /// `max-age` of the JWKS, in seconds.
    pub jwks_seconds: Seconds,
    /// Name of the session table.
    pub table: String,
}

/// The settings of discovery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoverySettings {
    /// `iss`, byte for byte.
    pub issuer: String,
    /// The origins whose pages may read the answers; none by default.
    pub cors: Cors,
    /// How long the published keys are cached, in seconds.
    pub secrets_ttl_seconds: Seconds,
    /// `max-age` of every answer, in seconds.
    pub jwks_seconds: Seconds,
    /// Whether the metadata announce where clients register themselves.
    pub dynamic_clients: bool,
}

/// The settings of the function that begins and finishes sign-ins. It has neither a table nor a key that signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInSettings {
    /// `iss`, byte for byte.
    pub issuer: String,
    /// The secret with the keys that sign-ins are sealed with: ARN or name, or `file:PATH` for local runs.
    pub ticket_keys: String,
    /// The secret with the registrations, as `ticket_keys`.
    pub clients: String,
    /// How long both are cached, in seconds.
    pub secrets_ttl_seconds: Seconds,
    /// The origins whose pages may read what a registration is answered; none by default.
    pub cors: Cors,
    /// Whether clients may register themselves, as far as the registrations allow it.
    pub dynamic_clients: bool,
}

impl SignInSettings {
    /// Reads the process's environment.
    pub fn from_env() -> Result<Self, SettingsFaults> {
        Self::read(names::of_process())
    }

    /// Reads the variables that `lookup` gives.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsFaults> {
        let mut environment = Environment { lookup: &lookup, faults: Vec::new() };
        let settings = Self {
            issuer: environment.issuer(None),
            ticket_keys: environment.secret("LATCHKEY_TICKET_KEYS"),
            clients: environment.secret("LATCHKEY_CLIENTS"),
            secrets_ttl_seconds: environment.secrets_ttl(),
            cors: environment.cors(),
            dynamic_clients: environment.dynamic_clients(false),
        };
        environment.finish(settings)
    }

    /// The local server's: whether clients may register themselves.
    pub fn local(lookup: impl Fn(&str) -> Option<String>, default: bool) -> Result<bool, SettingsFaults> {
        let mut environment = Environment { lookup: &lookup, faults: Vec::new() };
        let dynamic_clients = environment.dynamic_clients(default);
        environment.finish(dynamic_clients)
    }
}

/// The settings of the key rotation. Secrets by ARN or name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationSettings {
    /// The secret with the key ring, which is rotated.
    pub signing_keys: String,
    /// The secret for what functions that only verify need of it.
    pub verification_keys: String,
    /// The secret for the keys of sign-ins and of registered clients.
    pub ticket_keys: String,
    /// The secret that the public keys are published in.
    pub public_keys: String,
    /// LibreChat's own `JWT_SECRET`, if its HS256 tokens are wanted.
    pub librechat_secret: Option<String>,
    /// How long the ring and the JWKS are cached; a new key does not sign before that.
    pub limits: RotationLimits,
}

/// The settings of a Lambda function that issues or renews.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionSettings {
    /// What it has in common with every function and the local server.
    pub settings: Settings,
    /// The secret with the key ring, private keys included: ARN or name, or `file:PATH` for local runs.
    pub signing_keys: String,
    /// The secret with the registrations, as `signing_keys`.
    pub clients: String,
}

/// The settings of a Lambda function that works on sessions and signs nothing. It has no name for the key ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingSettings {
    /// What it has in common with every function and the local server.
    pub settings: Settings,
    /// The secret with the keys to verify with: ARN or name, or `file:PATH` for local runs.
    pub verification_keys: String,
    /// The secret with the registrations, as `verification_keys`.
    pub clients: String,
}

impl VerifyingSettings {
    /// Reads the process's environment.
    pub fn from_env() -> Result<Self, SettingsFaults> {
        Self::read(names::of_process())
    }

    /// Reads the variables that `lookup` gives.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsFaults> {
        let mut environment = Environment { lookup: &lookup, faults: Vec::new() };
        let settings = environment.verifying();
        environment.finish(settings)
    }
}

impl FunctionSettings {
    /// Reads the process's environment.
    pub fn from_env() -> Result<Self, SettingsFaults> {
        Self::read(names::of_process())
    }

    /// Reads the variables that `lookup` gives.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsFaults> {
        let mut environment = Environment { lookup: &lookup, faults: Vec::new() };
        let settings = Self {
            settings: environment.settings(None, None),
            signing_keys: environment.secret("LATCHKEY_SIGNING_KEYS"),
            clients: environment.secret("LATCHKEY_CLIENTS"),
        };
        environment.finish(settings)
    }
}

/// The settings of the authorizer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizerSettings {
    /// What it has in common with the functions that sign nothing.
    pub function: VerifyingSettings,
    /// The `aud` that it lets in.
    pub audience: String,
    /// How long a session that was found live is not looked up again, in seconds: that long, a revoked session's tokens
    /// still pass.
    pub cache_seconds: Seconds,
}

impl AuthorizerSettings {
    /// Reads the process's environment.
    pub fn from_env() -> Result<Self, SettingsFaults> {
        Self::read(names::of_process())
    }

    /// Reads the variables that `lookup` gives.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsFaults> {
        let mut environment = Environment { lookup: &lookup, faults: Vec::new() };
        let function = environment.verifying();
        let audience = environment.required("LATCHKEY_AUDIENCE", None);
        let cache_seconds = environment.authorizer_cache(30);
        environment.finish(Self { function, audience, cache_seconds })
    }

    /// The local server's: audience and cache time. Its demo clients' tokens are for `librechat`.
    /// Nothing is remembered unless that is asked for: a read costs nothing here, and a sign-out is seen at once.
    pub fn local(lookup: impl Fn(&str) -> Option<String>) -> Result<(String, Seconds), SettingsFaults> {
        let mut environment = Environment { lookup: &lookup, faults: Vec::new() };
        let audience = environment.required("LATCHKEY_AUDIENCE", Some("librechat"));
        let cache_seconds = environment.authorizer_cache(0);
        environment.finish((audience, cache_seconds))
    }
}

impl DiscoverySettings {
    /// Reads the process's environment; the settings, and where the published keys are.
    pub fn from_env() -> Result<(Self, String), SettingsFaults> {
        Self::read(names::of_process())
    }

    /// Reads the variables that `lookup` gives.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<(Self, String), SettingsFaults> {
        let mut environment = Environment { lookup: &lookup, faults: Vec::new() };
        let settings = Self {
            issuer: environment.issuer(None),
            cors: environment.cors(),
            secrets_ttl_seconds: environment.secrets_ttl(),
            jwks_seconds: environment.jwks_seconds(),
            dynamic_clients: environment.dynamic_clients(false),
        };
        let public_keys = environment.secret("LATCHKEY_PUBLIC_KEYS");
        environment.finish((settings, public_keys))
    }
}

impl RotationSettings {
    /// Reads the process's environment.
    pub fn from_env() -> Result<Self, SettingsFaults> {
        Self::read(names::of_process())
    }

    /// Reads the variables that `lookup` gives.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsFaults> {
        let mut environment = Environment { lookup: &lookup, faults: Vec::new() };
        let settings = Self {
            signing_keys: environment.required("LATCHKEY_SIGNING_KEYS", None),
            verification_keys: environment.required("LATCHKEY_VERIFICATION_KEYS", None),
            ticket_keys: environment.required("LATCHKEY_TICKET_KEYS", None),
            public_keys: environment.required("LATCHKEY_PUBLIC_KEYS", None),
            librechat_secret: environment.text("LATCHKEY_JWT_SECRET"),
            limits: RotationLimits {
                secrets_ttl_seconds: environment.secrets_ttl(),
                jwks_seconds: environment.jwks_seconds(),
            },
        };
        environment.finish(settings)
    }
}

impl Settings {
    /// What discovery needs of them, and whether clients may register themselves.
    pub fn discovery(&self, dynamic_clients: bool) -> DiscoverySettings {
        DiscoverySettings {
            issuer: self.policy.issuer.clone(),
            cors: self.cors.clone(),
            secrets_ttl_seconds: self.secrets_ttl_seconds,
            jwks_seconds: self.jwks_seconds,
            dynamic_clients,
        }
    }

    /// The table of a local server whose environment names none.
    pub const LOCAL_TABLE: &str = "latchkey";

    /// Reads the variables of a local server, which knows its own URL and needs no secrets' names.
    pub fn local(lookup: impl Fn(&str) -> Option<String>, own_url: &str) -> Result<Self, SettingsFaults> {
        let mut environment = Environment { lookup: &lookup, faults: Vec::new() };
        let settings = environment.settings(Some(own_url), Some(Self::LOCAL_TABLE));
        environment.finish(settings)
    }

    /// Logs what these settings and the registrations of `documents` allow together, and yet is rarely meant.
    pub fn log_warnings(&self, documents: &Documents) {
        for warning in documents.warnings(&self.policy) {
            tracing::warn!("{warning}");
        }
    }
}

struct Environment<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    faults: Vec<String>,
}

impl Environment<'_> {
    /// A variable that is set; an empty one counts as not set.
    fn text(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|text| !text.is_empty())
    }

    fn fault(&mut self, name: &str, what: impl fmt::Display) {
        self.faults.push(format!("{name}: {what}"));
    }

    fn required(&mut self, name: &str, default: Option<&str>) -> String {
        self.text(name).or_else(|| default.map(str::to_owned)).unwrap_or_else(|| {
            self.fault(name, "is not set");
            String::new()
        })
    }

    fn seconds(&mut self, name: &str, default: Seconds, least: Seconds, most: Seconds) -> Seconds {
        let Some(text) = self.text(name) else { return default };
        match text.parse::<Seconds>() {
            Ok(seconds) if (least..=most).contains(&seconds) => seconds,
            _ => {
                self.fault(name, format_args!("must be a whole number of seconds from {least} to {most}"));
                default
            }
        }
    }

    fn url(&mut self, name: &str, url: &str) {
        let is_url = url.parse::<lambda_http::http::Uri>().is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("https" | "http")) && uri.host().is_some_and(|host| !host.is_empty())
        });
        if !is_url || url.contains(['?', '#', '@']) {
            self.fault(name, "must be an https (or http) URL without query, fragment or user");
        }
    }

    fn secret(&mut self, name: &str) -> String {
        let location = self.required(name, None);
        if location == "file:" {
            self.fault(name, "file: needs a path");
        }
        location
    }

    fn verifying(&mut self) -> VerifyingSettings {
        VerifyingSettings {
            settings: self.settings(None, None),
            verification_keys: self.secret("LATCHKEY_VERIFICATION_KEYS"),
            clients: self.secret("LATCHKEY_CLIENTS"),
        }
    }

    fn authorizer_cache(&mut self, default: Seconds) -> Seconds {
        self.seconds("LATCHKEY_AUTHORIZER_CACHE_SECONDS", default, 0, 60)
    }

    fn dynamic_clients(&mut self, default: bool) -> bool {
        self.truth("LATCHKEY_DYNAMIC_CLIENTS", default)
    }

    fn truth(&mut self, name: &str, default: bool) -> bool {
        match self.text(name).as_deref() {
            None => default,
            Some("true") => true,
            Some("false") => false,
            Some(_) => {
                self.fault(name, "must be true or false");
                default
            }
        }
    }

    fn issuer(&mut self, own_url: Option<&str>) -> String {
        let issuer = self.required("LATCHKEY_ISSUER", own_url);
        if !issuer.is_empty() {
            self.url("LATCHKEY_ISSUER", &issuer);
        }
        issuer
    }

    /// Byte for byte, as `iss` was.
    fn previous_issuers(&mut self) -> Vec<String> {
        let listed = self.text("LATCHKEY_PREVIOUS_ISSUERS").unwrap_or_default();
        let issuers: Vec<String> =
            listed.split(',').map(str::trim).filter(|issuer| !issuer.is_empty()).map(str::to_owned).collect();
        for issuer in &issuers {
            self.url("LATCHKEY_PREVIOUS_ISSUERS", issuer);
        }
        issuers
    }

    fn cors(&mut self) -> Cors {
        Cors::parse(&self.text("LATCHKEY_CORS_ORIGINS").unwrap_or_default()).unwrap_or_else(|bad| {
            self.fault("LATCHKEY_CORS_ORIGINS", bad);
            Cors::default()
        })
    }

    fn secrets_ttl(&mut self) -> Seconds {
        self.seconds("LATCHKEY_SECRETS_TTL_SECONDS", 300, 0, 86_400)
    }

    fn jwks_seconds(&mut self) -> Seconds {
        self.seconds("LATCHKEY_JWKS_SECONDS", 300, 0, 86_400)
    }

    fn settings(&mut self, own_url: Option<&str>, table: Option<&str>) -> Settings {
        let defaults = Policy::new(self.issuer(own_url));
        let retry_confidential = MAX_RETRY_CONFIDENTIAL_SECONDS;
        let policy = Policy {
            access_token_seconds: self.seconds(
                "LATCHKEY_ACCESS_TOKEN_SECONDS",
                defaults.access_token_seconds,
                1,
                MAX_ACCESS_TOKEN_SECONDS,
            ),
            grace_seconds: self.seconds("LATCHKEY_GRACE_SECONDS", defaults.grace_seconds, 0, MAX_GRACE_SECONDS),
            window_seconds: self.seconds("LATCHKEY_WINDOW_SECONDS", defaults.window_seconds, 0, MAX_GRACE_SECONDS),
            idle_seconds: self.seconds("LATCHKEY_IDLE_SECONDS", defaults.idle_seconds, 1, MAX_SESSION_SECONDS),
            absolute_seconds: self.seconds(
                "LATCHKEY_ABSOLUTE_SECONDS",
                defaults.absolute_seconds,
                1,
                MAX_SESSION_SECONDS,
            ),
            retry_public_seconds: self.seconds(
                "LATCHKEY_RETRY_SECONDS",
                defaults.retry_public_seconds,
                0,
                MAX_RETRY_PUBLIC_SECONDS,
            ),
            retry_confidential_seconds: self.seconds(
                "LATCHKEY_RETRY_CONFIDENTIAL_SECONDS",
                defaults.retry_confidential_seconds,
                0,
                retry_confidential,
            ),
            clock_skew_seconds: self.seconds("LATCHKEY_CLOCK_SKEW_SECONDS", defaults.clock_skew_seconds, 0, 60),
            previous_issuers: self.previous_issuers(),
            issuer: defaults.issuer,
        };
        Settings {
            policy,
            cors: self.cors(),
            secrets_ttl_seconds: self.secrets_ttl(),
            jwks_seconds: self.jwks_seconds(),
            table: self.required("LATCHKEY_TABLE", table),
        }
    }

    fn finish<T>(self, settings: T) -> Result<T, SettingsFaults> {
        if self.faults.is_empty() { Ok(settings) } else { Err(SettingsFaults(self.faults)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<FunctionSettings, SettingsFaults> {
        FunctionSettings::read(|name| {
            variables.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned())
        })
    }

    const NEEDED: [(&str, &str); 4] = [
        ("LATCHKEY_ISSUER", "https://id.example.org/prod"),
        ("LATCHKEY_TABLE", "sessions"),
        ("LATCHKEY_SIGNING_KEYS", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:signing-keys"),
        ("LATCHKEY_CLIENTS", "file:clients.json"),
    ];

    #[test]
    fn defaults_are_the_contracts() {
        let read = read(&NEEDED).unwrap();
        let policy = &read.settings.policy;
        assert_eq!(policy.issuer, "https://id.example.org/prod");
        assert_eq!(policy.access_token_seconds, 86_400);
        assert_eq!((policy.grace_seconds, policy.window_seconds), (0, 0));
        assert_eq!((policy.idle_seconds, policy.absolute_seconds), (604_800, 2_592_000));
        assert_eq!((policy.retry_public_seconds, policy.retry_confidential_seconds), (60, 86_400));
        assert_eq!(policy.clock_skew_seconds, 0);
        assert_eq!((read.settings.secrets_ttl_seconds, read.settings.jwks_seconds), (300, 300));
        assert_eq!(read.settings.cors, Cors::default());
        assert_eq!(read.clients, "file:clients.json");
        assert!(read.signing_keys.starts_with("arn:"));
    }

    #[test]
    fn every_bad_variable_is_named_in_one_message() {
        let faults = read(&[
            ("LATCHKEY_ISSUER", "https://id.example.org?x"),
            ("LATCHKEY_TABLE", ""),
            ("LATCHKEY_ACCESS_TOKEN_SECONDS", "604801"),
            ("LATCHKEY_GRACE_SECONDS", "-1"),
            ("LATCHKEY_WINDOW_SECONDS", "1h"),
            ("LATCHKEY_IDLE_SECONDS", "0"),
            ("LATCHKEY_ABSOLUTE_SECONDS", "31536001"),
            ("LATCHKEY_RETRY_SECONDS", "301"),
            ("LATCHKEY_RETRY_CONFIDENTIAL_SECONDS", "86401"),
            ("LATCHKEY_CLOCK_SKEW_SECONDS", "61"),
            ("LATCHKEY_CORS_ORIGINS", "*"),
            ("LATCHKEY_SECRETS_TTL_SECONDS", "1.5"),
            ("LATCHKEY_JWKS_SECONDS", " 5"),
            ("LATCHKEY_CLIENTS", "file:"),
        ])
        .unwrap_err()
        .to_string();
        for name in [
            "ISSUER",
            "TABLE",
            "ACCESS_TOKEN_SECONDS",
            "GRACE_SECONDS",
            "WINDOW_SECONDS",
            "IDLE_SECONDS",
            "ABSOLUTE_SECONDS",
            "RETRY_SECONDS",
            "RETRY_CONFIDENTIAL_SECONDS",
            "CLOCK_SKEW_SECONDS",
            "CORS_ORIGINS",
            "SECRETS_TTL_SECONDS",
            "JWKS_SECONDS",
            "SIGNING_KEYS",
            "CLIENTS",
        ] {
            assert!(faults.contains(&format!("\n  LATCHKEY_{name}: ")), "{name} in {faults}");
        }
        assert_eq!(faults.lines().count(), 16);
    }

    #[test]
    fn who_signs_nothing_is_given_another_secret_and_does_not_ask_for_the_key_ring() {
        let lookup = |name: &str| {
            let name = if name == "LATCHKEY_VERIFICATION_KEYS" { "LATCHKEY_SIGNING_KEYS" } else { name };
            NEEDED.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned())
        };
        assert!(VerifyingSettings::read(lookup).unwrap().verification_keys.starts_with("arn:"));
        let asked = std::cell::RefCell::new(Vec::new());
        let faults = VerifyingSettings::read(|name| {
            asked.borrow_mut().push(name.to_owned());
            NEEDED.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned())
        });
        assert!(faults.unwrap_err().to_string().contains("LATCHKEY_VERIFICATION_KEYS: is not set"));
        assert!(!asked.borrow().iter().any(|name| name == "LATCHKEY_SIGNING_KEYS"));
    }

    #[test]
    fn the_local_server_needs_nothing() {
        let settings = Settings::local(|_| None, "http://127.0.0.1:9000").unwrap();
        assert_eq!(settings.policy.issuer, "http://127.0.0.1:9000");
        assert_eq!(settings.table, "latchkey");
    }
}
