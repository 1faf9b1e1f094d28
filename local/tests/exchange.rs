//! For which targets tokens may be exchanged, by command: registered, shown, replaced, taken out, and refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::{Value, json};
use support::files::Files;

const TOOLS: &str = "https://tools.example.org/mcp";
const FILES: &str = "https://files.example.org/mcp";

fn entry(audience: &str, scopes: Value, seconds: i64) -> Value {
    json!({"audience": audience, "scopes": scopes, "access_token_seconds": seconds})
}

fn exchange(files: &Files) -> Value {
    files.json("clients.json")["clients"][0]["exchange"].clone()
}

#[test]
fn a_target_is_registered_replaced_and_taken_out_by_one_command_each() {
    let files = Files::new();
    files.secret("issuer add portal --file clients.json");
    files.secret("client add librechat --file clients.json --issuer portal");
    let command = format!("client exchange librechat {TOOLS} --file clients.json");
    let tried: Value = serde_json::from_str(&files.done(&format!("{command} --scope tools --dry-run --json"))).unwrap();
    let one = json!([entry(TOOLS, json!(["tools"]), 300)]);
    assert_eq!(tried, json!({"client_id": "librechat", "exchange": one, "dry_run": true}));
    assert_eq!(exchange(&files), json!(null));
    files.done(&format!("{command} --scope tools"));
    assert_eq!(exchange(&files), one, "and it need not last");
    files.done(&format!("client exchange librechat {FILES} --file clients.json --scope files"));
    files.done(&format!("{command} --scope tools read --access-token-seconds 60"));
    let both = json!([entry(FILES, json!(["files"]), 300), entry(TOOLS, json!(["tools", "read"]), 60)]);
    assert_eq!(exchange(&files), both, "replaced, not added to");
    assert!(files.done("client list --file clients.json").contains(&format!("{FILES} {TOOLS}")));
    files.done(&format!("{command} --remove"));
    assert_eq!(exchange(&files), json!([entry(FILES, json!(["files"]), 300)]));
    assert!(files.refused(&format!("{command} --remove"), "clients.json").contains("exchanges nothing for"));
    let nobody = format!("client exchange nobody {TOOLS} --file clients.json --scope tools");
    assert!(files.refused(&nobody, "clients.json").contains(r#"no client "nobody" is registered"#));
}

#[test]
fn who_could_not_prove_to_be_the_one_exchanges_nothing() {
    let files = Files::new();
    files.secret("issuer add portal --file clients.json");
    files.done("client add spa --public --file clients.json --issuer portal");
    let said = files.refused(&format!("client exchange spa {TOOLS} --file clients.json --scope tools"), "clients.json");
    assert!(said.contains("exchange: a public client cannot prove"), "{said}");
    let hs =
        format!("client add own --file clients.json --issuer portal --profile librechat --kid hs --exchange {TOOLS}");
    assert!(files.refused(&hs, "clients.json").contains("exchange: a client of HS256 exchanges nothing"));
    let command = format!("client add tools --file clients.json --issuer portal --exchange {TOOLS} {TOOLS}");
    assert!(files.refused(&command, "clients.json").contains("stands twice"));
    let seconds = format!("client exchange spa {TOOLS} --file clients.json --access-token-seconds 604801");
    assert!(files.refused(&seconds, "clients.json").contains("from 1 to 604800"));
}
