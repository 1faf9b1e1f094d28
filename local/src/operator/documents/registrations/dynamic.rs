//! `latchkey dynamic-clients`: MCP clients that register themselves.

use clap::{Args, Subcommand};
use latchkey_token::{
    json::{Map, Value},
    registrations::Registrations,
    values::Timestamp,
};
use serde_json::json;

use super::{
    edits::{DYNAMIC_MEMBER, SESSIONS_NOT_BEFORE},
    epochs::{CACHE_SECONDS, Governed, advance},
};
use crate::{
    console::Failure,
    operator::documents::{document::Draft, place::Change},
};

#[derive(Subcommand)]
pub(crate) enum DynamicClientsCommand {
    Set(Set),
    Off(Off),
}

/// Let clients register themselves, and say what they may be
///
/// Replaces what was said before; only the time before which their sessions are over stays. The setting
/// LATCHKEY_DYNAMIC_CLIENTS must be true as well. Nothing is kept of such clients: `latchkey client list` cannot list them,
/// the audit trail has an event client_registered for each.
#[derive(Args)]
#[command(after_help = "Examples:
  latchkey dynamic-clients set --file clients.json --issuer portal \\
    --redirect-uri 'https://chat.example.org/api/mcp/*/oauth/callback' http://127.0.0.1/callback \\
    --scope tools --audience https://tools.example.org/mcp
  latchkey dynamic-clients set --secret-id latchkey/clients --issuer portal \\
    --redirect-uri http://localhost/callback --audience https://tools.example.org/mcp --seconds 86400 --dry-run")]
pub(crate) struct Set {
    #[command(flatten)]
    change: Change,
    /// Where a browser may be sent with the code: https, or http on a loopback host with any port; * is one whole segment of the
    /// path
    #[arg(long, value_name = "PATTERN", num_args = 1.., required = true)]
    redirect_uri: Vec<String>,
    /// What their users may be granted; openid adds an ID token
    #[arg(long, num_args = 1.., value_delimiter = ' ')]
    scope: Vec<String>,
    /// Who is to accept their access tokens (aud): the MCP servers' addresses
    #[arg(long, num_args = 1.., required = true)]
    audience: Vec<String>,
    /// Whose portal signs their users in, and asks them first; it also lists and ends their sessions
    #[arg(long, value_name = "ISSUER_ID")]
    issuer: String,
    /// How long a registration is good, in seconds [default: 7776000]
    #[arg(long)]
    seconds: Option<u32>,
}

/// Let no client register itself, and end the sessions of those that have
///
/// All of them are unknown from then on, within the servers' cache time (300 s by default). Their sessions would go on if the
/// switch came back: so they are ended, by a time in the registrations. Access tokens that are out stay good until their
/// exp wherever they are verified offline.
#[derive(Args)]
#[command(after_help = "Example:
  latchkey dynamic-clients off --file clients.json")]
pub(crate) struct Off {
    #[command(flatten)]
    change: Change,
}

impl DynamicClientsCommand {
    pub(crate) fn run(&self, now: Timestamp) -> Result<(), Failure> {
        match self {
            Self::Set(set) => set.run(),
            Self::Off(off) => off.run(now),
        }
    }
}

impl Set {
    fn run(&self) -> Result<(), Failure> {
        let (_, said) = self.change.make(|draft| {
            let mut said = Map::from_iter(
                [
                    ("redirect_uris", json!(self.redirect_uri)),
                    ("scopes", json!(self.scope)),
                    ("audience", json!(self.audience)),
                    ("sign_in_issuer", json!(self.issuer)),
                ]
                .map(|(member, value)| (member.to_owned(), value)),
            );
            said.extend(self.seconds.map(|seconds| ("seconds".to_owned(), json!(seconds))));
            said.extend(epoch(draft).map(|epoch| (SESSIONS_NOT_BEFORE.to_owned(), epoch)));
            let said = Value::Object(said);
            draft.members_mut().insert(DYNAMIC_MEMBER.into(), said.clone());
            Ok(said)
        })?;
        eprintln!(
            "clients {} themselves by the registrations in {}, where LATCHKEY_DYNAMIC_CLIENTS is true",
            self.change.verb("may register", "could register"),
            self.change.place()
        );
        self.change.tell([(DYNAMIC_MEMBER, said)])
    }
}

impl Off {
    fn run(&self, now: Timestamp) -> Result<(), Failure> {
        let to = now.plus(CACHE_SECONDS);
        let (_, epoch) = self.change.make(|draft| {
            let stands = epoch(draft);
            let rest = Map::from_iter(stands.map(|epoch| (SESSIONS_NOT_BEFORE.to_owned(), epoch)));
            draft.members_mut().insert(DYNAMIC_MEMBER.into(), Value::Object(rest));
            Ok(advance(draft, &Governed::Dynamic, to))
        })?;
        let (is, are) = (self.change.verb("is", "would be"), self.change.verb("are", "would be"));
        eprintln!("no client registers itself any more: it {is} off in {}", self.change.place());
        eprintln!("the sessions of those that have, issued before {epoch}, {are} over");
        self.change.tell([(DYNAMIC_MEMBER, json!({SESSIONS_NOT_BEFORE: epoch.unix_seconds()}))])
    }
}

fn epoch(draft: &mut Draft<Registrations>) -> Option<Value> {
    draft.members_mut().get(DYNAMIC_MEMBER)?.get(SESSIONS_NOT_BEFORE).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    #[test]
    fn an_epoch_of_such_clients_is_set_where_there_was_nothing_and_never_moves_back() {
        let mut draft = Draft::<Registrations>::parse(r#"{"issuers":[],"clients":[]}"#).unwrap();
        assert_eq!(advance(&mut draft, &Governed::Dynamic, NOW), NOW);
        assert_eq!(advance(&mut draft, &Governed::Dynamic, NOW.minus(60)), NOW);
        assert_eq!(epoch(&mut draft), Some(json!(NOW.unix_seconds())));
        assert!(draft.as_functions_read_it().unwrap().dynamic_clients().unwrap().is_none(), "an epoch is no switch");
    }

    #[test]
    fn an_epoch_takes_the_place_of_null_and_what_is_no_object_is_never_said_to_be_over() {
        let draft = |dynamic: &str| {
            let text = format!(r#"{{"issuers":[],"clients":[],"dynamic_clients":{dynamic}}}"#);
            Draft::<Registrations>::parse(&text).unwrap()
        };
        let mut null = draft("null");
        advance(&mut null, &Governed::Dynamic, NOW);
        assert_eq!(epoch(&mut null), Some(json!(NOW.unix_seconds())));
        assert!(null.check().is_ok());
        for bad in ["7", "[]", r#""on""#] {
            let mut draft = draft(bad);
            advance(&mut draft, &Governed::Dynamic, NOW);
            let faults = draft.check().err().unwrap_or_default().join("; ");
            assert!(faults.contains("`latchkey dynamic-clients off` replaces it"), "{bad}: {faults}");
        }
    }
}
