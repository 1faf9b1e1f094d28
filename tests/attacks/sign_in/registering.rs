//! Clients that register themselves: ids that nobody was given, and addresses that nobody may register.

use serde_json::{Value, json};
use test_support::{
    FORM, JSON, form, keys,
    sign_in::{SIGN_IN_URL, authorization},
};

use super::{CLIENT, altered, authorize, stopped};
use crate::{
    bench::{Attempt, Bench, Expected, post},
    ledger::Row,
};

const ADDRESS: &str = "https://chat.example.org/api/mcp/github/oauth/callback";

async fn start(row: Row) -> Bench {
    let bench = Bench::of(row, CLIENT, &[("LATCHKEY_DYNAMIC_CLIENTS", "true")]).await;
    let mut document: Value = serde_json::from_str(&keys::registrations()).unwrap();
    document["dynamic_clients"] = json!({
        "redirect_uris": ["https://chat.example.org/api/mcp/*/oauth/callback", "http://127.0.0.1/callback"],
        "scopes": ["openid"], "audience": ["librechat"], "sign_in_issuer": "portal",
    });
    bench.app.rewrite("clients.json", &document.to_string());
    bench
}

fn metadata(redirect: &str) -> String {
    json!({"redirect_uris": [redirect], "token_endpoint_auth_method": "none"}).to_string()
}

/// Registers a client, and sees that it is one.
async fn registered(bench: &Bench) -> String {
    let answer = bench.app.post("/register", None, JSON, metadata(ADDRESS)).await;
    let id = answer.json()["client_id"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned();
    bench.app.browser().begin(&id, &[("redirect_uri", ADDRESS)]).await.carried_to(SIGN_IN_URL);
    bench.row.controlled();
    bench.settle();
    id
}

pub async fn altered_ids(row: Row) {
    let bench = start(row).await;
    let id = registered(&bench).await;
    let mut all = Vec::new();
    for (what, other) in altered(&id) {
        let [asked, sent] = authorize(&authorization(&other, &[("redirect_uri", ADDRESS)]));
        let pairs = [("client_id", other.as_str()), ("refresh_token", bench.tokens.refresh())];
        let named = post("/token/renew", None, FORM, form(&pairs));
        all.push(Attempt::new(format_args!("{what} at GET"), asked, stopped()));
        all.push(Attempt::new(format_args!("{what} at POST"), sent, stopped()));
        all.push(Attempt::new(format_args!("{what} at renewal"), named, Expected::invalid_client()));
    }
    bench.refuse(all).await;
    registered(&bench).await;
}

pub async fn hostile_addresses(row: Row) {
    let bench = start(row).await;
    registered(&bench).await;
    let (origin, at_star) = ("https://chat.example.org", |segment: &str| ADDRESS.replace("github", segment));
    let path = &ADDRESS[origin.len()..];
    let mut addresses: Vec<String> = [
        "",
        ".",
        "..",
        "...",
        "*",
        "**",
        "a/b",
        "a%2fb",
        "a%2Fb",
        "%2e",
        "%2e%2e",
        "%2E%2E",
        ".%2e",
        "%252e%252e",
        "%252f",
        "a\\b",
        "a%5cb",
        "..;",
        "..%3b",
        "a;b",
        "%00",
        "%0d%0a",
        "%7f",
        "%",
        "%4",
        "%zz",
        "%u002e",
        "a?b",
        "a#b",
        "a@b",
        "a:b",
        "\u{ff0e}\u{ff0e}",
        "\u{2025}",
        "é",
        " ",
        "\t",
        "\n",
        "{x}",
        "[x]",
        "'\"<>",
    ]
    .map(at_star)
    .into();
    addresses.extend([
        format!("{ADDRESS}/"),
        format!("{ADDRESS}?"),
        format!("{ADDRESS}?next=https://evil.example"),
        format!("{ADDRESS}#"),
        format!("{ADDRESS}#x"),
        format!("{ADDRESS}/.."),
        format!("{ADDRESS};x"),
        format!("{ADDRESS}%00"),
        format!("{ADDRESS}\r\nx: y"),
        format!(" {ADDRESS}"),
        format!("{origin}/{path}"),
        format!("{origin}:443{path}"),
        format!("{origin}:8443{path}"),
        format!("{origin}:{path}"),
        format!("{origin}.{path}"),
        format!("{origin}.evil.example{path}"),
        format!("{origin}@evil.example{path}"),
        format!("{origin}\\@evil.example{path}"),
        format!("{origin}%40evil.example{path}"),
        format!("https://user@chat.example.org{path}"),
        format!("https://user:word@chat.example.org{path}"),
        format!("https://evil.chat.example.org{path}"),
        format!("https://evil.example{path}"),
        format!("https://evil.example/chat.example.org{path}"),
        format!("https://CHAT.example.org{path}"),
        format!("https://ch\u{430}t.example.org{path}"),
        format!("https://xn--cht-5cd.example.org{path}"),
        format!("HTTPS://chat.example.org{path}"),
        format!("http://chat.example.org{path}"),
        format!("//chat.example.org{path}"),
        format!("{origin}{}", path.to_uppercase()),
        format!("{origin}{}", path.replace("callback", "c%61llback")),
        format!("{origin}{}", path.replace("/oauth/", "/./oauth/")),
        format!("{origin}{}", path.replace("/oauth/", "//oauth/")),
    ]);
    addresses.extend(
        [
            "http://127.0.0.1/callback/",
            "http://127.0.0.1/callback?x",
            "http://127.0.0.1:0/callback",
            "http://127.0.0.1:65536/callback",
            "http://127.0.0.1:1:2/callback",
            "http://127.0.0.1@evil.example/callback",
            "http://127.0.0.1.evil.example/callback",
            "http://127.1/callback",
            "http://2130706433/callback",
            "http://0x7f.0.0.1/callback",
            "http://127.0.0.2/callback",
            "http://[::1]/callback",
            "http://[::ffff:127.0.0.1]/callback",
            "http://localhost/callback",
            "http://0.0.0.0/callback",
            "https://127.0.0.1/callback",
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "cursor://anysphere.cursor-retrieval/oauth/callback",
            "urn:ietf:wg:oauth:2.0:oob",
            "x",
        ]
        .map(str::to_owned),
    );
    let text = "redirect_uris names an address that clients may not register here";
    let attempts = addresses.iter().map(|address| {
        let request = post("/register", None, JSON, metadata(address));
        Attempt::new(format_args!("{address:?}"), request, Expected::error(400, "invalid_redirect_uri", text))
    });
    bench.refuse(attempts.collect()).await;
    // Beside one that is good, and at the end of many.
    let both = addresses.iter().map(|address| {
        let body = json!({"redirect_uris": [ADDRESS, address]}).to_string();
        let expected = Expected::error(400, "invalid_redirect_uri", text);
        Attempt::new(format_args!("{address:?} beside a good one"), post("/register", None, JSON, body), expected)
    });
    bench.refuse(both.collect()).await;
    registered(&bench).await;
}
