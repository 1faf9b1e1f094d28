//! For which targets a client may have its users' tokens exchanged: given with `add`, changed with `exchange`.

use clap::Args;
use latchkey_token::json::{Map, Value};
use serde_json::json;

use super::edits::{self, Party};
use crate::{console::Failure, operator::documents::place::Change};

pub(super) const EXCHANGE: &str = "exchange";
const AUDIENCE: &str = "audience";
const SCOPES: &str = "scopes";
const ACCESS_TOKEN_SECONDS: &str = "access_token_seconds";

/// A tool is used at once: its token need not last.
const DEFAULT_SECONDS: i64 = 300;

/// Change for which targets a client may have its users' tokens exchanged
///
/// An exchange (RFC 8693, and what LibreChat calls on behalf of) turns a user's access token into one that opens the target and
/// nothing else, and ends with the user's session. AUDIENCE is the aud of the new tokens: for an MCP server its URL. What is given
/// replaces the entry that is there. The client must be confidential, and its tokens not of HS256; the servers know of a change
/// within their cache time (300 s by default), and tokens that are out are judged by the entry as it is then.
#[derive(Args)]
#[command(after_help = "Examples:
  latchkey client exchange librechat https://tools.example.org/mcp --file clients.json --scope tools
  latchkey client exchange librechat https://tools.example.org/mcp --secret-id latchkey/clients \\
    --scope tools read --access-token-seconds 60
  latchkey client exchange librechat https://tools.example.org/mcp --file clients.json --remove")]
pub(crate) struct ClientExchangeChange {
    /// The client's id
    id: String,
    /// The target
    audience: String,
    #[command(flatten)]
    change: Change,
    /// What the new tokens may be granted at the target, which are its own scopes and not the client's
    #[arg(long, num_args = 1.., value_delimiter = ' ', conflicts_with = "remove")]
    scope: Vec<String>,
    /// Life of the new tokens, 1 to 604800; never longer than the user's token
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, default_value_t = DEFAULT_SECONDS)]
    access_token_seconds: i64,
    /// No longer exchange for this target: tokens that are out are over as well
    #[arg(long)]
    remove: bool,
}

impl ClientExchangeChange {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let (_, told) = self.change.make(|draft| {
            if self.remove {
                draft.forgive();
            }
            let Some(registration) = edits::registration(draft, Party::Client, &self.id) else { return Ok(None) };
            let was_there = take(registration, &self.audience);
            if !self.remove {
                put(registration, entry(&self.audience, &self.scope, self.access_token_seconds));
            }
            let told = registration.get(EXCHANGE).cloned();
            if self.remove && !was_there {
                draft.fault(format!(
                    "client {:?} exchanges nothing for {:?}: see `latchkey client list --json`",
                    self.id, self.audience
                ));
            }
            Ok(told)
        })?;
        let (is, place) = (self.change.verb("is", "would be"), self.change.place());
        eprintln!("what client {:?} may exchange tokens for {is} changed in {place}", self.id);
        let targets = told.unwrap_or_else(|| json!([]));
        self.change.tell([(Party::Client.id_member(), json!(self.id)), (EXCHANGE, targets)])
    }
}

/// Entries as `add` is given them: a target and its scopes, with spaces between them. The parser judges what they hold.
pub(super) fn put_all_into(registration: &mut Map<String, Value>, entries: &[String]) {
    for text in entries {
        let mut words = text.split_ascii_whitespace();
        let audience = words.next().unwrap_or_default();
        put(registration, entry(audience, &words.map(str::to_owned).collect::<Vec<_>>(), DEFAULT_SECONDS));
    }
}

fn entry(audience: &str, scopes: &[String], seconds: i64) -> Value {
    json!({AUDIENCE: audience, SCOPES: scopes, ACCESS_TOKEN_SECONDS: seconds})
}

fn put(registration: &mut Map<String, Value>, entry: Value) {
    let list = registration.entry(EXCHANGE).or_insert(Value::Null);
    if list.is_null() {
        *list = Value::Array(Vec::new());
    }
    // Anything but a list is the parser's to refuse.
    if let Some(list) = list.as_array_mut() {
        list.push(entry);
    }
}

/// Takes the entry of a target out; whether there was one.
fn take(registration: &mut Map<String, Value>, audience: &str) -> bool {
    let Some(list) = registration.get_mut(EXCHANGE).and_then(Value::as_array_mut) else { return false };
    let before = list.len();
    list.retain(|entry| entry.get(AUDIENCE).and_then(Value::as_str) != Some(audience));
    list.len() < before
}
