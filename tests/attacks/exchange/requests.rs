//! Requests for an exchange that no honest client sends.

use serde_json::{Value, json};
use test_support::{FORM, JSON, form};

use super::{
    ACCESS_TOKEN, CHAT, FILES, JWT, TOKEN_EXCHANGE, TOOLS, asking, behalf, deputies::invalid_target, exchange,
    exchange_json, own, start,
};
use crate::{
    bench::{Attempt, Expected, post},
    forge::{changed, without},
    ledger::Row,
    trap,
};

/// None of them is `TOOLS`.
fn look_alikes() -> Vec<String> {
    let mut all: Vec<String> = [
        "https://TOOLS.example.org/mcp",
        "HTTPS://tools.example.org/mcp",
        "https://tools.example.org/MCP",
        "http://tools.example.org/mcp",
        "https://tools.example.org",
        "https://tools.example.org/",
        "https://tools.example.org/mcp/",
        "https://tools.example.org//mcp",
        "https://tools.example.org/mcp/x",
        "https://tools.example.org/mcp2",
        "https://tools.example.org/./mcp",
        "https://tools.example.org/x/../mcp",
        "https://tools.example.org/%6dcp",
        "https://tools.example.org%2fmcp",
        "https%3A%2F%2Ftools.example.org%2Fmcp",
        "https://tools.example.org\\mcp",
        "https://tools.example.org:443/mcp",
        "https://tools.example.org:8443/mcp",
        "https://tools.example.org:/mcp",
        "https://tools.example.org./mcp",
        "https://tools.example.org.evil.example/mcp",
        "https://evil.example/tools.example.org/mcp",
        "https://tools.example.org@evil.example/mcp",
        "https://evil.example@tools.example.org/mcp",
        "https://user:password@tools.example.org/mcp",
        "https://xtools.example.org/mcp",
        "https://t\u{43e}\u{43e}ls.example.org/mcp",
        "https://tools\u{3002}example.org/mcp",
        "https://xn--tls-sdda.example.org/mcp",
        "//tools.example.org/mcp",
        "tools.example.org/mcp",
        "/mcp",
        "mcp",
        "*",
        "https://*.example.org/mcp",
        "https://tools.example.org/*",
        "null",
        "undefined",
        "[]",
        "[\"https://tools.example.org/mcp\"]",
        "https://tools.example.org/mcp https://files.example.org/mcp",
        "https://tools.example.org/mcp,https://files.example.org/mcp",
        "javascript:alert(1)",
        "urn:ietf:params:oauth:token-type:access_token",
        "librechat",
        "wide",
        "tools",
    ]
    .map(str::to_owned)
    .to_vec();
    for end in
        ["#", "#x", "?", "?x=1", "%00", "\0", " ", "\t", "\n", "\r\nx: y", ";", ".", "\u{200b}", "\u{feff}", "\u{2028}"]
    {
        all.push(format!("{TOOLS}{end}"));
    }
    all.extend([" ", "\t", "\n", "\u{feff}"].map(|begin| format!("{begin}{TOOLS}")));
    all.extend(trap::urls());
    all
}

pub async fn look_alike_targets(row: Row) {
    let bench = start(row).await;
    let user = bench.tokens.access();
    let mut attempts = Vec::new();
    for target in look_alikes() {
        let what = |how: &str| format!("{how} {target:?}");
        let request = exchange(CHAT, user, &target);
        attempts.push(Attempt::new(what("audience"), request, invalid_target()));
        for named in
            [json!({"resource": target}), json!({"resource": [target]}), json!({"audience": target, "resource": []})]
        {
            let request = exchange_json(CHAT, user, &named);
            attempts.push(Attempt::new(what("JSON"), request, invalid_target()));
        }
        // Beside the registered one, before and behind it.
        for beside in [json!([TOOLS, target]), json!([target, TOOLS]), json!([TOOLS, TOOLS, target])] {
            let request = exchange_json(CHAT, user, &json!({"resource": beside}));
            attempts.push(Attempt::new(what("beside"), request, invalid_target()));
        }
        let pairs = [&asking(user, TOOLS)[..], &[("resource", &target)]].concat();
        let request = post("/token/renew", Some(&own(CHAT)), FORM, form(&pairs));
        attempts.push(Attempt::new(what("as the other member"), request, invalid_target()));
        let pairs = [&behalf(user, "tools")[..], &[("resource", &target)]].concat();
        let request = post("/token/renew", Some(&own(CHAT)), FORM, form(&pairs));
        attempts.push(Attempt::new(what("on behalf"), request, invalid_target()));
    }
    // A hundred of them; two that are both registered; as long as a body may be, and longer.
    let many: Vec<String> = (0..100).map(|number| format!("{TOOLS}/{number}")).collect();
    let registered: Vec<&str> = [TOOLS; 99].into_iter().chain([FILES]).collect();
    for targets in [json!(many), json!(registered), json!([TOOLS, FILES]), json!([FILES, TOOLS])] {
        for name in ["audience", "resource"] {
            let request = exchange_json(CHAT, user, &json!({"resource": [], name: targets}));
            attempts.push(Attempt::new("many targets", request, invalid_target()));
        }
    }
    let room = 16 * 1024 - form(&asking(user, "")).len();
    for (length, expected) in [(room, invalid_target()), (room + 1, Expected::too_large())] {
        let long = "x".repeat(length);
        attempts.push(Attempt::new(format_args!("{length} bytes"), exchange(CHAT, user, &long), expected));
    }
    bench.refuse(attempts).await;
    bench.exchanged(CHAT, user, TOOLS).await;
    bench.session_has_survived().await;
}

pub async fn wider_scope(row: Row) {
    const MALFORMED: &str = "the scope is malformed or not allowed for this client";
    let bench = start(row).await;
    let user = bench.tokens.access();
    let mut attempts = Vec::new();
    for (scope, told) in [
        ("files", Some("files")),
        ("tools files", Some("files")),
        ("openid", Some("openid")),
        ("openid profile email", Some("openid, profile, email")),
        ("admin", Some("admin")),
        ("tools admin", Some("admin")),
        ("*", Some("*")),
        ("Tools", Some("Tools")),
        ("tools,read", Some("tools,read")),
        ("tools  read", None),
        (" tools", None),
        ("tools ", None),
        ("tools\tread", None),
        ("to\"ols", None),
        ("tools\\", None),
        ("t\u{f6}ols", None),
        ("tools\0", None),
        ("tools\n", None),
    ] {
        let text =
            told.map_or(MALFORMED.to_owned(), |told| format!("not among this client's registered scopes: {told}"));
        let expected = Expected::error(400, "invalid_scope", &text);
        let pairs = [&asking(user, TOOLS)[..], &[("scope", scope)]].concat();
        let request = post("/token/renew", Some(&own(CHAT)), FORM, form(&pairs));
        attempts.push(Attempt::new(format_args!("{scope:?}"), request, expected.clone()));
        let pairs = [&behalf(user, scope)[..], &[("audience", TOOLS)]].concat();
        let request = post("/token/renew", Some(&own(CHAT)), FORM, form(&pairs));
        attempts.push(Attempt::new(format_args!("{scope:?} on behalf"), request, expected));
        // Without a target, no target has it; or there are several.
        if scope != "files" {
            let request = post("/token/renew", Some(&own(CHAT)), FORM, form(&behalf(user, scope)));
            attempts.push(Attempt::new(format_args!("{scope:?} says no target"), request, invalid_target()));
        }
    }
    for scope in ["read", ""] {
        let request = post("/token/renew", Some(&own(CHAT)), FORM, form(&behalf(user, scope)));
        attempts.push(Attempt::new(format_args!("{scope:?} is of two targets"), request, invalid_target()));
    }
    bench.refuse(attempts).await;
    bench.session_has_survived().await;
}

/// What each member must be, in both forms.
pub async fn members(row: Row) {
    let bench = start(row).await;
    let user = bench.tokens.access().to_owned();
    let exchange = json!({"grant_type": TOKEN_EXCHANGE, "subject_token": user, "subject_token_type": ACCESS_TOKEN,
        "audience": TOOLS, "client_id": CHAT, "client_secret": test_support::secret_of(CHAT)});
    let behalf = json!({"grant_type": super::JWT_BEARER, "assertion": user, "requested_token_use": "on_behalf_of",
        "audience": TOOLS, "client_id": CHAT, "client_secret": test_support::secret_of(CHAT)});
    let mut attempts = Vec::new();
    let mut attempt = |what: String, body: &Value, text: &str| {
        let request = post("/token/renew", None, JSON, body.to_string());
        attempts.push(Attempt::new(what, request, Expected::invalid_request(text)));
    };
    for (honest, needed) in [
        (&exchange, &["subject_token", "subject_token_type"][..]),
        (&behalf, &["assertion", "requested_token_use"][..]),
    ] {
        let texts = ["grant_type", "actor_token", "actor_token_type", "requested_token_type", "scope", "client_id"];
        for name in texts.iter().chain(needed) {
            for value in wrong_types().into_iter().chain([json!([user]), json!([[user]])]) {
                let text = format!("{name} must be a string");
                attempt(format!("{name}: {value}"), &changed(honest, json!({*name: value})), &text);
            }
        }
        for name in ["audience", "resource"] {
            let text = format!("{name} must be a string or a list of strings");
            for value in wrong_types().into_iter().filter(|value| *value != json!([])) {
                attempt(format!("{name}: {value}"), &changed(honest, json!({name: value})), &text);
                attempt(format!("{name}: [{value}]"), &changed(honest, json!({name: [TOOLS, value]})), &text);
            }
        }
        for name in needed {
            let text = format!("{name} is missing");
            attempt(format!("no {name}"), &without(honest, name), &text);
            attempt(format!("an empty {name}"), &changed(honest, json!({*name: ""})), &text);
        }
        for (name, value) in [("actor_token", user.as_str()), ("actor_token", "x"), ("actor_token_type", ACCESS_TOKEN)]
        {
            let text = format!("{name} is not supported: the client itself acts");
            attempt(name.to_owned(), &changed(honest, json!({name: value})), &text);
        }
        let text = format!("requested_token_type must be {ACCESS_TOKEN} or {JWT}");
        for kind in other_types() {
            attempt(kind.clone(), &changed(honest, json!({"requested_token_type": kind})), &text);
        }
    }
    let text = format!("subject_token_type must be {ACCESS_TOKEN} or {JWT}");
    for kind in other_types() {
        attempt(kind.clone(), &changed(&exchange, json!({"subject_token_type": kind})), &text);
    }
    for used in ["on-behalf-of", "ON_BEHALF_OF", "on_behalf_of ", "impersonation", "true", "*"] {
        let text = "requested_token_use must be on_behalf_of";
        attempt(used.to_owned(), &changed(&behalf, json!({"requested_token_use": used})), text);
    }
    let text = "audience or resource is missing: it names the target of the new token";
    for nothing in [json!({"audience": ""}), json!({"audience": []}), json!({"audience": ["", ""], "resource": [""]})] {
        attempt(nothing.to_string(), &changed(&exchange, nothing), text);
    }
    attempt("no target".to_owned(), &without(&exchange, "audience"), text);
    // One form's members in the other's place.
    attempt(
        "an assertion to exchange".into(),
        &changed(&behalf, json!({"grant_type": TOKEN_EXCHANGE})),
        "subject_token is missing",
    );
    let text = "requested_token_use is missing";
    attempt("a subject token on behalf".into(), &changed(&exchange, json!({"grant_type": super::JWT_BEARER})), text);

    for (name, value) in [
        ("subject_token", user.as_str()),
        ("subject_token", "x"),
        ("subject_token_type", JWT),
        ("scope", "x"),
        ("grant_type", "refresh_token"),
    ] {
        let body = form(&[&asking(&user, TOOLS)[..], &[(name, value)], &[("scope", "tools")]].concat());
        let request = post("/token/renew", Some(&own(CHAT)), FORM, body);
        attempts.push(Attempt::new(
            format_args!("{name} twice"),
            request,
            Expected::invalid_request("a parameter stands twice"),
        ));
    }
    let query = form(&asking(&user, TOOLS));
    let request = post(&format!("/token/renew?{query}"), Some(&own(CHAT)), FORM, "");
    let text = "parameters belong in the body, not in the query string";
    attempts.push(Attempt::new("in the query string", request, Expected::invalid_request(text)));
    bench.refuse(attempts).await;
    bench.session_has_survived().await;
}

fn wrong_types() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(1.5),
        json!([]),
        json!({}),
        json!({"a": "b"}),
        json!([null]),
    ]
}

fn other_types() -> Vec<String> {
    let kinds = [
        "refresh_token",
        "id_token",
        "saml1",
        "saml2",
        "id-jag",
        "ACCESS_TOKEN",
        "Jwt",
        "access_token ",
        "access-token",
        "",
    ];
    let others = ["access_token", "jwt", "JWT", "at+jwt", "*", "https://tools.example.org/mcp"].map(str::to_owned);
    kinds.iter().map(|kind| format!("urn:ietf:params:oauth:token-type:{kind}")).chain(others).collect()
}
