//! Resources (RFC 8707): access tokens for what is not the client's, under every name that looks like it.

use lambda_http::http::{Method, Request};
use serde_json::{Value, json};
use test_support::{
    FORM, JSON, Tokens, form, keys,
    sign_in::{CALLBACK, SIGN_IN_URL, VERIFIER, authorization},
};

use crate::{
    bench::{Attempt, Bench, Expected, get, post, request},
    ledger::{Fault, Row},
};

const CLIENT: &str = "librechat-oauth";
const TOOLS: &str = "https://tools.example.org/mcp";
const API: &str = "https://api.example.org";
const STATE: Option<&str> = Some("the-clients-state");

/// The client has two audiences beside itself.
async fn start(row: Row) -> Bench {
    let bench = Bench::of(row, CLIENT, &[]).await;
    let registrations = keys::registrations_with(CLIENT, |client| client["audience"] = json!([CLIENT, TOOLS, API]));
    bench.app.rewrite("clients.json", &registrations);
    bench.settle();
    bench
}

fn not_target() -> Expected {
    Expected::error(400, "invalid_target", "not a target that is registered for this client")
}

fn naming(resources: &[&str]) -> String {
    form(&resources.iter().map(|one| ("resource", *one)).collect::<Vec<_>>())
}

/// The address and the form of an authorization request.
fn authorize(resources: &[&str]) -> [Request<Vec<u8>>; 2] {
    let query = format!("{}&{}", authorization(CLIENT, &[]), naming(resources));
    let cookie = format!("__Host-latchkey-sign-in={}", "A".repeat(43));
    let headers = [("cookie", cookie.as_str()), ("content-type", FORM)];
    [get(&format!("/authorize?{query}"), None), request(Method::POST, "/authorize", &headers, query.into())]
}

fn exchanging(code: &str) -> Vec<(&str, &str)> {
    vec![("grant_type", "authorization_code"), ("code", code), ("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)]
}

/// A grant with these resources, as a form and as JSON.
fn grants(bench: &Bench, pairs: &[(&str, &str)], resources: &[&str]) -> [Request<Vec<u8>>; 2] {
    let own = bench.basic(CLIENT);
    let body = format!("{}&{}", form(pairs), naming(resources));
    let mut members: Value = pairs.iter().copied().collect();
    members["resource"] = json!(resources);
    [
        post("/token/renew", Some(&own), FORM, body),
        post("/token/renew", Some(&own), JSON, members.to_string().into_bytes()),
    ]
}

/// Wherever a resource may be asked for.
fn everywhere(bench: &Bench, code: &str, what: &str, resources: &[&str]) -> Vec<Attempt> {
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", bench.tokens.refresh())];
    let back = Expected::back("invalid_target", STATE);
    let begin = authorize(resources).into_iter().map(|request| ("at /authorize", request, back.clone()));
    let at_exchange = grants(bench, &exchanging(code), resources);
    let at_exchange = at_exchange.into_iter().map(|request| ("at the exchange", request, not_target()));
    let at_renewal = grants(bench, &refresh, resources);
    let at_renewal = at_renewal.into_iter().map(|request| ("at renewal", request, not_target()));
    let all = begin.chain(at_exchange).chain(at_renewal);
    all.map(|(place, request, expected)| Attempt::new(format_args!("{what} {place}"), request, expected)).collect()
}

pub async fn not_registered(row: Row) {
    let bench = start(row).await;
    let code = bench.app.browser().code(CLIENT).await;
    bench.settle();
    let long = format!("{TOOLS}{}", "x".repeat(3_000));
    let both = [format!("{TOOLS} {API}"), format!("{TOOLS},{API}"), format!("[\"{TOOLS}\",\"{API}\"]")];
    let mut others = vec![
        "librechat",
        "other",
        "portal",
        "strict",
        "LIBRECHAT-OAUTH",
        "librechat-oauth ",
        "librechat-oaut",
        "*",
        "null",
        "[]",
        " ",
        "HTTPS://tools.example.org/mcp",
        "https://TOOLS.example.org/mcp",
        "https://tools.example.org/MCP",
        "https://tools.example.org/mcp/",
        "https://api.example.org/",
        "https://tools.example.org",
        "https://tools.example.org/",
        "https://tools.example.org/mcp2",
        "https://tools.example.org/mc",
        "https://tools.example.org//mcp",
        "https://tools.example.org/./mcp",
        "https://tools.example.org/x/../mcp",
        "https://tools.example.org/mcp/..",
        "https://tools.example.org/%6dcp",
        "https://tools.example.org%2fmcp",
        "https://tools.example.org\\mcp",
        "https://tools.example.org:443/mcp",
        "https://tools.example.org./mcp",
        "https://tools.example.org/mcp#",
        "https://tools.example.org/mcp#x",
        "https://tools.example.org/mcp?",
        "https://tools.example.org/mcp?x=1",
        "http://tools.example.org/mcp",
        "tools.example.org/mcp",
        "//tools.example.org/mcp",
        "https:tools.example.org/mcp",
        "https://evil@tools.example.org/mcp",
        "https://tools.example.org@evil.example/mcp",
        "https://tools.example.org.evil.example/mcp",
        "https://eviltools.example.org/mcp",
        "https://evil.example/https://tools.example.org/mcp",
        "https://*.example.org/mcp",
        "https://tools.example.org/*",
        // Look-alikes: Cyrillic, full width, an ideographic full stop, what nobody sees.
        "https://t\u{43e}\u{43e}ls.example.org/mcp",
        "https://xn--tls-xfda.example.org/mcp",
        "https://\u{ff54}ools.example.org/mcp",
        "https://tools\u{3002}example.org/mcp",
        "https://to\u{200b}ols.example.org/mcp",
        "https://tools.example.org/\u{ad}mcp",
        "\u{feff}https://tools.example.org/mcp",
        "\u{202e}https://tools.example.org/mcp",
        " https://tools.example.org/mcp",
        "https://tools.example.org/mcp ",
        "https://tools.example.org/mcp\0",
        "https://tools.example.org/mcp\n",
        "https://tools.example.org/mcp\r\nset-cookie: x",
        "https://tools.example.org/\tmcp",
        "https://tools.example.org/mcp\u{85}",
        "https://tools.example.org/mcp\u{2028}",
        "https://tools.example.org/mcp\u{1b}[2J",
        "https://latchkey.example",
        "https://latchkey.example/token/renew",
        "http://127.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "<script>alert(1)</script>",
        "' OR '1'='1",
        "${jndi:ldap://127.0.0.1/x}",
        "urn:example:tools",
        &long,
    ];
    others.extend(both.iter().map(String::as_str));
    let mut attempts = Vec::new();
    for other in &others {
        let shown: String = other.chars().take(60).collect();
        attempts.extend(everywhere(&bench, &code, &format!("{shown:?}"), &[other]));
        attempts.extend(everywhere(&bench, &code, &format!("{shown:?} behind an own one"), &[TOOLS, other]));
        attempts.extend(
            everywhere(&bench, &code, &format!("{shown:?} before an own one"), &[other, API]).into_iter().skip(3),
        );
    }
    let mut hundred = [TOOLS; 100];
    hundred[99] = "https://evil.example";
    let strangers: Vec<String> = (0..100).map(|number| format!("https://{number}.evil.example")).collect();
    let strangers: Vec<&str> = strangers.iter().map(String::as_str).collect();
    attempts.extend(everywhere(&bench, &code, "the last of thirty", &hundred[70..]));
    attempts.extend(everywhere(&bench, &code, "a hundred others", &strangers));
    // So many are too long for an authorization request.
    attempts.extend(everywhere(&bench, &code, "the last of a hundred", &hundred).into_iter().skip(2));
    for bad in [json!(1), json!(null), json!(true), json!({}), json!([1]), json!([TOOLS, null]), json!([[TOOLS]])] {
        let own = bench.basic(CLIENT);
        let body = json!({"refresh_token": bench.tokens.refresh(), "resource": bad}).to_string();
        let request = post("/token/renew", Some(&own), JSON, body.into_bytes());
        let text = "resource must be a string or a list of strings";
        attempts.push(Attempt::new(format_args!("{bad}"), request, Expected::invalid_request(text)));
    }
    bench.refuse(attempts).await;
    // The client's own are good, a hundred times as well, and the code is not used up.
    let browser = bench.app.browser();
    let query = format!("{}&{}", authorization(CLIENT, &[]), naming(&[TOOLS; 30]));
    browser.get(&format!("/authorize?{query}")).await.carried_to(SIGN_IN_URL);
    let [exchange, _] = grants(&bench, &exchanging(&code), &[TOOLS; 100]);
    assert_eq!(bench.app.send(exchange).await.tokens().claims()["aud"], TOOLS);
    row.controlled();
    bench.session_has_survived().await;
}

/// Whatever a client asks for of its own: never more than that, and the session never loses any.
pub async fn never_wider(row: Row) {
    let bench = start(row).await;
    let own = [CLIENT, TOOLS, API];
    let mut tokens: Tokens = bench.app.browser().sign_in(CLIENT).await;
    for choice in 0_usize..8 {
        let asked: Vec<&str> = (0..3).filter(|index| choice & (1 << index) != 0).map(|index| own[index]).collect();
        let expected = match asked.as_slice() {
            [] => json!(own),
            [one] => json!(one),
            several => json!(several),
        };
        let twice_backwards: Vec<&str> = asked.iter().rev().chain(&asked).copied().collect();
        let refresh = tokens.refresh().to_owned();
        let [as_form, as_json] = grants(&bench, &[("refresh_token", &refresh)], &twice_backwards);
        // The second is a retry of the first: the same token.
        let [answer, again] = [bench.app.send(as_form).await.tokens(), bench.app.send(as_json).await.tokens()];
        bench.row.plan(2);
        for one in [&answer, &again] {
            bench.row.attempted();
            if one.claims()["aud"] != expected || one.claims() != answer.claims() {
                bench.row.fault(Fault::LetIn, format_args!("{asked:?}: {}", one.claims()["aud"]));
            }
        }
        tokens = answer;
    }
    bench.settle();
    bench.session_has_survived().await;
}
