//! Clients that act for users whom nobody has entrusted to them.

use serde_json::{Value, json};
use test_support::{FORM, basic, form, keys, part, secret_of};

use super::{CHAT, FILES, TOOL, TOOLS, asking, entry, exchange, on_behalf_of, own, start};
use crate::{
    bench::{Attempt, Bench, Expected, post},
    forge::changed,
    ledger::Row,
};

const NOT_REGISTERED: &str = "not a target that is registered for this client";
const MAY_NOT_EXCHANGE: &str = "only a confidential client whose tokens are not of HS256 may exchange tokens";

pub fn invalid_target() -> Expected {
    Expected::error(400, "invalid_target", NOT_REGISTERED)
}

/// Everybody may exchange for both targets, and shows everybody's token: nobody gets one for a token that is not its own and
/// not meant for it.
pub async fn confused(row: Row) {
    let bench = start(row).await;
    let mut clients: Vec<Value> = keys::clients();
    for client in &mut clients {
        let id = client["client_id"].as_str().unwrap().to_owned();
        let audience = match id.as_str() {
            TOOL => json!([TOOLS]),
            "strict" => json!([FILES]),
            _ => client["audience"].clone(),
        };
        let may_exchange = client["type"] == "confidential" && client["alg"] != "HS256";
        let entries = json!([entry(TOOLS, &["tools"]), entry(FILES, &["files"])]);
        let exchange = if may_exchange { entries } else { json!([]) };
        *client = changed(client, json!({"audience": audience, "exchange": exchange}));
    }
    bench.app.rewrite("clients.json", &keys::registrations_of(&clients));
    let [tool, files] = bench.chain().await;
    let mut all = vec![("a tool's".to_owned(), tool), ("a second tool's".to_owned(), files)];
    for client in &clients {
        let id = client["client_id"].as_str().unwrap();
        if id != "other" {
            all.push((format!("a user's of {id}"), bench.app.issue_for(id).await));
        }
    }
    bench.settle();
    let mut attempts = Vec::new();
    for caller in clients.iter().filter(|client| client["exchange"] != json!([]) && client.get("jwks").is_none()) {
        let id = caller["client_id"].as_str().unwrap();
        for (whose, tokens) in &all {
            let claims = part(tokens.access(), 1);
            let aud = if claims["aud"].is_array() { claims["aud"].clone() } else { json!([claims["aud"]]) };
            let names = |audience: &Value| aud.as_array().unwrap().contains(audience);
            let is_meant = claims["client_id"] == id
                || names(&caller["client_id"])
                || caller["audience"].as_array().unwrap().iter().any(names);
            let requests = [exchange(id, tokens.access(), TOOLS), on_behalf_of(id, tokens.access(), "files")];
            for request in requests {
                if is_meant && claims["client_id"] != "hs" {
                    bench.app.send(request).await.tokens();
                    row.controlled();
                } else {
                    attempts.push(Attempt::new(format_args!("{whose} by {id}"), request, Expected::invalid_grant()));
                }
            }
        }
    }
    bench.settle();
    bench.refuse(attempts).await;
    bench.session_has_survived().await;
}

pub async fn not_entitled(row: Row) {
    let bench = start(row).await;
    let [tool, files] = bench.chain().await;
    let user = bench.tokens.access();
    let mut attempts = Vec::new();
    // The tool sends on what is meant for it, to where it is registered; to itself or back it does not.
    for target in [TOOLS, CHAT, TOOL, "strict", "https://api.example.org"] {
        for token in [tool.access(), user, files.access()] {
            attempts.push(Attempt::new(
                format_args!("the tool asks for {target}"),
                exchange(TOOL, token, target),
                invalid_target(),
            ));
        }
    }
    for client in ["librechat-oauth", "strict", "short", "ps", "ed", "scopeless"] {
        for target in [TOOLS, FILES, CHAT, client] {
            for token in [user, tool.access(), files.access()] {
                let what = format!("{client}, registered for nothing, asks for {target}");
                attempts.push(Attempt::new(what, exchange(client, token, target), invalid_target()));
            }
        }
        attempts.push(Attempt::new(client, on_behalf_of(client, user, "tools"), invalid_target()));
    }
    let may_not = Expected::error(400, "unauthorized_client", MAY_NOT_EXCHANGE);
    let hs = bench.app.issue_for("hs").await;
    bench.settle();
    for token in [hs.access(), user] {
        attempts.push(Attempt::new("a client of HS256", exchange("hs", token, TOOLS), may_not.clone()));
        let pairs = [&asking(token, TOOLS)[..], &[("client_id", "spa")]].concat();
        attempts.push(Attempt::new("a public client", post("/token/renew", None, FORM, form(&pairs)), may_not.clone()));
    }
    attempts.extend(impostors(&bench, tool.access()));
    bench.refuse(attempts).await;
    bench.session_has_survived().await;
}

/// Who only says that it is the tool.
fn impostors(bench: &Bench, tool: &str) -> Vec<Attempt> {
    let user = bench.tokens.access();
    let asked = |token, more: &[(&str, &str)]| form(&[&asking(token, FILES)[..], more].concat());
    let mut attempts = Vec::new();
    let secrets =
        [secret_of(CHAT), secret_of("portal"), "wrong".into(), keys::sha256(&secret_of(TOOL)), tool.into(), "*".into()];
    for secret in &secrets {
        let request = post("/token/renew", Some(&basic(TOOL, secret)), FORM, asked(tool, &[]));
        attempts.push(Attempt::new("a wrong secret", request, Expected::invalid_client_basic()));
        let request = post("/token/renew", None, FORM, asked(tool, &[("client_id", TOOL), ("client_secret", secret)]));
        attempts.push(Attempt::new("a wrong secret in the body", request, Expected::invalid_client()));
    }
    let alone = post("/token/renew", None, FORM, asked(tool, &[("client_id", TOOL)]));
    attempts.push(Attempt::new("no secret", alone, Expected::invalid_client()));
    let empty = post("/token/renew", Some(&basic(TOOL, "")), FORM, asked(tool, &[]));
    attempts.push(Attempt::new("an empty secret", empty, Expected::invalid_client_basic()));
    let other = "the Authorization header and the body name different callers";
    let request = post("/token/renew", Some(&own(CHAT)), FORM, asked(tool, &[("client_id", TOOL)]));
    attempts.push(Attempt::new("two clients", request, Expected::invalid_request(other)));
    let issuer = post("/token/renew", Some(&basic("portal", &secret_of("portal"))), FORM, asked(user, &[]));
    attempts.push(Attempt::new("an issuer", issuer, Expected::invalid_client_basic()));
    // A bearer's token is no authentication.
    for token in [user, tool] {
        let body = asked(token, &[("client_id", TOOL)]);
        let request = post("/token/renew", Some(&format!("Bearer {token}")), FORM, body);
        attempts.push(Attempt::new("a bearer", request, Expected::invalid_client()));
    }
    attempts
}
