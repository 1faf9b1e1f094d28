//! Authorization requests: what strangers put into an address.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use lambda_http::{Body, http};
use latchkey_token::{
    documents::Observer, json::Faults, keys::KeyRing, ports::DerivedDocument, rotation::Derived, values::Timestamp,
};
use latchkey_token_aws::{CachedSignInDocuments, SecretText};
use latchkey_token_lambda::{
    response::{Cors, Page},
    system::SystemRandomness,
};
use latchkey_token_testkit::SettableClock;
use test_support::{
    ISSUER, form, keys,
    sign_in::{CALLBACK, CHALLENGE, SIGN_IN_URL, authorization, query_of},
};

use super::{CLIENT, authorize, come_back, start, stopped};
use crate::{
    bench::{Attempt, Bench, Expected, get},
    ledger::Row,
    trap,
};

const STATE: Option<&str> = Some("the-clients-state");

/// Both ways in which a browser asks.
fn attempts(what: &str, query: &str, expected: &Expected) -> Vec<Attempt> {
    let requests = authorize(query).into_iter().zip(["GET", "POST"]);
    requests.map(|(request, how)| Attempt::new(format_args!("{how} {what}"), request, expected.clone())).collect()
}

/// An honest sign-in goes on, before and after.
async fn honest_is_sent_to_the_portal(bench: &Bench) {
    bench.app.browser().begin(CLIENT, &[]).await.carried_to(SIGN_IN_URL);
    bench.row.controlled();
    bench.settle();
}

pub async fn nobody_is_sent_elsewhere(row: Row) {
    let bench = start(row).await;
    honest_is_sent_to_the_portal(&bench).await;
    let mut all = Vec::new();
    let clients = [
        "nobody",
        "",
        " ",
        "LIBRECHAT-OAUTH",
        "librechat-oauth ",
        "librechat-oauth\0",
        "librechat-oaut",
        "librechat-oauth2",
        "portal",
        "second",
        "librechat",
        "hs",
        "other",
        "*",
        "null",
        "\u{29f}ibrechat-oauth",
        "' OR '1'='1",
        "<script>alert(1)</script>",
        "https://evil.example",
        "lkd1_AAAA",
    ];
    for client in clients {
        all.extend(attempts(&format!("client {client:?}"), &authorization(client, &[]), &stopped()));
    }
    let (scheme, rest) = CALLBACK.split_at("https://".len());
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let mut uris: Vec<String> = vec![
        String::new(),
        format!("{CALLBACK}/"),
        format!("{CALLBACK}?"),
        format!("{CALLBACK}?x=1"),
        format!("{CALLBACK}?code=x"),
        format!("{CALLBACK}#"),
        format!("{CALLBACK}#x"),
        format!("{CALLBACK}/.."),
        format!("{CALLBACK}/../../evil"),
        format!("{CALLBACK}%2f"),
        format!("{CALLBACK}%00"),
        format!("{CALLBACK}%20"),
        format!("{CALLBACK} "),
        format!(" {CALLBACK}"),
        format!("{CALLBACK}\n"),
        format!("{CALLBACK}\r\nx: y"),
        format!("{CALLBACK}\t"),
        format!("{CALLBACK}\0"),
        format!("{CALLBACK};x"),
        format!("{CALLBACK}\u{2028}"),
        format!("{CALLBACK},https://evil.example/"),
        format!("{CALLBACK} https://evil.example/"),
        format!("{scheme}{host}"),
        format!("{scheme}{host}/"),
        format!("{scheme}{host}:443{path}"),
        format!("{scheme}{host}:8443{path}"),
        format!("{scheme}{host}:{path}"),
        format!("{scheme}{host}.{path}"),
        format!("{scheme}{host}.evil.example{path}"),
        format!("{scheme}evil.{host}{path}"),
        format!("{scheme}evil.example{path}"),
        format!("{scheme}evil.example/{host}{path}"),
        format!("{scheme}evil.example?{CALLBACK}"),
        format!("{scheme}evil.example#{CALLBACK}"),
        format!("{scheme}user@{host}{path}"),
        format!("{scheme}user:word@{host}{path}"),
        format!("{scheme}{host}@evil.example{path}"),
        format!("{scheme}{host}%40evil.example{path}"),
        format!("{scheme}{host}\\@evil.example{path}"),
        format!("{scheme}{host}%5c@evil.example{path}"),
        format!("{scheme}evil.example\\.{host}{path}"),
        format!("{scheme}evil.example%23.{host}{path}"),
        format!("{scheme}evil.example%00.{host}{path}"),
        format!("{scheme}evil.example\u{ff0f}.{host}{path}"),
        format!("{scheme}{}{path}", host.to_uppercase()),
        format!("{scheme}{host}{}", path.to_uppercase()),
        format!("{scheme}{host}{}", path.replacen("callback", "Callback", 1)),
        format!("{scheme}{host}{}", path.replacen('c', "%63", 1)),
        format!("{scheme}{host}{}", path.replacen("/openid", "%2Fopenid", 1)),
        format!("{scheme}{host}{}", path.replacen("/openid", "/./openid", 1)),
        format!("{scheme}{host}{}", path.replacen("/openid", "/x/../openid", 1)),
        format!("{scheme}{host}{}", path.replacen("/openid", "/x/%2e%2e/openid", 1)),
        format!("{scheme}{host}{}", path.replacen("/openid", "//openid", 1)),
        format!("{scheme}{host}{}", path.replacen("/openid", "\\openid", 1)),
        format!("{scheme}ch\u{430}t.example.org{path}"),
        format!("{scheme}xn--cht-5cd.example.org{path}"),
        format!("HTTPS://{rest}"),
        format!("http://{rest}"),
        format!("ftp://{rest}"),
        format!("https:{rest}"),
        format!("https:/{rest}"),
        format!("https:///{rest}"),
        format!("//{rest}"),
        rest.to_owned(),
        path.to_owned(),
        "javascript:alert(1)".into(),
        format!("javascript://{rest}%0aalert(1)"),
        "JaVaScRiPt:alert(1)".into(),
        "data:text/html,<script>alert(1)</script>".into(),
        "vbscript:x".into(),
        "about:blank".into(),
        "file:///etc/passwd".into(),
        "com.example.app:/callback".into(),
        "http://127.0.0.1/callback/".into(),
        "http://127.0.0.1/Callback".into(),
        "http://127.0.0.1/callback?x".into(),
        "http://127.0.0.1:0/callback".into(),
        "http://127.0.0.1:65536/callback".into(),
        "http://127.0.0.1:080/callback".into(),
        "http://127.0.0.1:80:80/callback".into(),
        "http://127.0.0.1:80@evil.example/callback".into(),
        "http://127.0.0.1.evil.example/callback".into(),
        "http://127.0.0.2/callback".into(),
        "http://127.1/callback".into(),
        "http://2130706433/callback".into(),
        "http://0x7f000001/callback".into(),
        "http://0177.0.0.1/callback".into(),
        "http://localhost/callback".into(),
        "http://[::1]/callback".into(),
        "http://[::ffff:127.0.0.1]/callback".into(),
        "https://127.0.0.1/callback".into(),
        format!("{ISSUER}/authorize/return"),
        SIGN_IN_URL.to_owned(),
        "*".into(),
        "null".into(),
    ];
    uris.extend(trap::urls());
    for uri in &uris {
        let query = authorization(CLIENT, &[("redirect_uri", uri)]);
        all.extend(attempts(&format!("to {uri:?}"), &query, &stopped()));
    }
    let honest = authorization(CLIENT, &[]);
    let encoded = form(&[("redirect_uri", CALLBACK)]);
    for (what, query) in [
        ("nothing", String::new()),
        ("the client twice", format!("{honest}&client_id={CLIENT}")),
        ("two clients", format!("{honest}&client_id=spa-oauth")),
        ("two clients, ours behind", format!("client_id=spa-oauth&{honest}")),
        ("the redirect twice", format!("{honest}&{encoded}")),
        ("two redirects", format!("{honest}&redirect_uri=https%3A%2F%2Fevil.example%2F")),
        ("two redirects, ours behind", format!("redirect_uri=https%3A%2F%2Fevil.example%2F&{honest}")),
        ("an empty redirect before", format!("redirect_uri=&{honest}")),
        ("a list of redirects", honest.replace("redirect_uri", "redirect_uri[]")),
        ("names in capitals", honest.to_uppercase()),
        ("semicolons", honest.replace('&', ";")),
        ("a broken escape", format!("{honest}&x=%zz")),
        ("no UTF-8", format!("{honest}&x=%ff")),
        ("JSON", r#"{"client_id":"librechat-oauth"}"#.replace('"', "%22").replace(['{', '}'], "")),
        ("4 KiB and more", format!("{honest}&x={}", "x".repeat(4_096))),
    ] {
        all.extend(attempts(what, &query, &stopped()));
    }
    bench.refuse(all).await;
    honest_is_sent_to_the_portal(&bench).await;
    bench.session_has_survived().await;
}

pub async fn faults_go_back_to_the_client(row: Row) {
    let bench = start(row).await;
    honest_is_sent_to_the_portal(&bench).await;
    let mut all = Vec::new();
    let long = "x".repeat(1_025);
    let trap = trap::urls().remove(0);
    let mut changes: Vec<(&str, &str, &'static str)> = vec![
        ("response_type", "", "invalid_request"),
        ("response_mode", "fragment", "invalid_request"),
        ("response_mode", "form_post", "invalid_request"),
        ("response_mode", "query.jwt", "invalid_request"),
        ("response_mode", "Query", "invalid_request"),
        ("response_mode", "web_message", "invalid_request"),
        ("request", "eyJhbGciOiJub25lIn0.e30.", "request_not_supported"),
        ("request", "x", "request_not_supported"),
        ("request_uri", &trap, "request_uri_not_supported"),
        ("request_uri", "urn:ietf:params:oauth:request_uri:x", "request_uri_not_supported"),
        ("registration", "{}", "registration_not_supported"),
        ("code_challenge", "", "invalid_request"),
        ("code_challenge_method", "", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("code_challenge_method", "s256", "invalid_request"),
        ("code_challenge_method", "S512", "invalid_request"),
        ("code_challenge_method", "none", "invalid_request"),
        ("scope", "admin", "invalid_scope"),
        ("scope", "openid\tadmin", "invalid_scope"),
        ("scope", "openid \"", "invalid_scope"),
        ("scope", "openid \\", "invalid_scope"),
        ("scope", "OPENID", "invalid_scope"),
        ("scope", " ", "invalid_scope"),
        ("prompt", "none login", "invalid_request"),
        ("prompt", "login none", "invalid_request"),
        ("prompt", "none none", "invalid_request"),
        ("max_age", "-1", "invalid_request"),
        ("max_age", "1.0", "invalid_request"),
        ("max_age", "+1", "invalid_request"),
        ("max_age", "1e3", "invalid_request"),
        ("max_age", " 1", "invalid_request"),
        ("max_age", "0x10", "invalid_request"),
        ("max_age", "\u{661}", "invalid_request"),
        ("nonce", &long, "invalid_request"),
        ("nonce", "a\nb", "invalid_request"),
        ("login_hint", "a\r\nset-cookie: x", "invalid_request"),
        ("acr_values", "a\0b", "invalid_request"),
        ("ui_locales", "\u{85}", "invalid_request"),
    ];
    for types in [
        "token",
        "id_token",
        "none",
        "code token",
        "code id_token",
        "code id_token token",
        "id_token token",
        "Code",
        "code ",
        " code",
        "code code",
        "device_code",
    ] {
        changes.push(("response_type", types, "unsupported_response_type"));
    }
    let challenges = [
        CHALLENGE[1..].to_owned(),
        format!("{CHALLENGE}A"),
        format!("{CHALLENGE}="),
        format!("{}N", &CHALLENGE[..42]),
        CHALLENGE.replace('-', "+"),
        "A".to_owned(),
        "~".repeat(43),
        "é".repeat(43),
    ];
    changes.extend(challenges.iter().map(|challenge| ("code_challenge", challenge.as_str(), "invalid_request")));
    for (name, value, error) in &changes {
        let query = authorization(CLIENT, &[(name, value)]);
        let shown: String = value.chars().take(40).collect();
        all.extend(attempts(&format!("{name} {shown:?}"), &query, &Expected::back(error, STATE)));
    }
    let neither = authorization(CLIENT, &[("code_challenge", ""), ("code_challenge_method", "")]);
    all.extend(attempts("no PKCE", &neither, &Expected::back("invalid_request", STATE)));
    let query = authorization("spa-oauth", &[("code_challenge", ""), ("code_challenge_method", "")]);
    all.extend(attempts("no PKCE, public", &query, &Expected::back("invalid_request", STATE)));
    let honest = authorization(CLIENT, &[]);
    for name in [
        "response_type",
        "scope",
        "nonce",
        "code_challenge",
        "code_challenge_method",
        "prompt",
        "max_age",
        "login_hint",
        "ui_locales",
        "acr_values",
        "response_mode",
        "request",
        "request_uri",
        "unknown",
        "",
    ] {
        let query = format!("{honest}&{name}=a&{name}=b");
        all.extend(attempts(&format!("{name} again"), &query, &Expected::back("invalid_request", STATE)));
        let query = format!("{honest}&{name}=&{name}=");
        all.extend(attempts(&format!("{name} again, empty"), &query, &Expected::back("invalid_request", STATE)));
    }
    // Which of two states is the client's, nobody knows: neither is sent back.
    all.extend(attempts("two states", &format!("{honest}&state=x"), &Expected::back("invalid_request", None)));
    for state in [long.as_str(), "a\u{1}b", "a\r\nb"] {
        let query = authorization(CLIENT, &[("state", state)]);
        all.extend(attempts("a state that no client has", &query, &Expected::back("invalid_request", None)));
    }
    bench.refuse(all).await;
    honest_is_sent_to_the_portal(&bench).await;
    bench.session_has_survived().await;
}

/// What would be markup, a header's end or another parameter, wherever somebody would like to see it again.
fn payloads() -> Vec<&'static str> {
    vec![
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "'-alert(1)-'",
        "javascript:alert(1)",
        "</title><script>alert(1)</script>",
        "{{7*7}}",
        "${7*7}",
        "\u{202e}evil",
        "%3Cscript%3E",
        "&amp;code=x",
        "&code=x&iss=https://evil.example",
        "#code=x",
        "x;iss=y",
        "\u{10ffff}",
        "<!--",
        "]]>",
        "+ADw-script+AD4-",
    ]
}

pub async fn injection(row: Row) {
    let bench = start(row).await;
    honest_is_sent_to_the_portal(&bench).await;
    let mut all = Vec::new();
    for payload in payloads().into_iter().chain(["\r\nSet-Cookie: a=b", "\n", "\0"]) {
        for name in ["client_id", "redirect_uri"] {
            let query = authorization(CLIENT, &[(name, payload)]);
            all.extend(attempts(&format!("{payload:?} for {name}"), &query, &stopped()));
        }
        let name = form(&[(payload, payload)]);
        all.extend(attempts(&format!("{payload:?} for everything"), &name, &stopped()));
        for (path, page) in [("/authorize/return", Page::SignInStops), ("/sign-out", Page::SignOutStops)] {
            for name in ["answer", "id_token_hint", "client_id", "state", "error", payload] {
                let request = get(&format!("{path}?{}", form(&[(name, payload)])), None);
                all.push(Attempt::new(format_args!("{name} {payload:?} at {path}"), request, Expected::page(page)));
            }
        }
        for name in ["scope", "response_type", "code_challenge", "code_challenge_method", "max_age", "response_mode"] {
            let query = authorization(CLIENT, &[(name, payload)]);
            let error = match name {
                // A scope that is not registered is dropped, and nothing else is asked for.
                "scope" => "invalid_scope",
                "response_type" => "unsupported_response_type",
                _ => "invalid_request",
            };
            all.extend(attempts(&format!("{payload:?} for {name}"), &query, &Expected::back(error, STATE)));
        }
    }
    bench.refuse(all).await;
    // What goes on to the portal and back to the client is the same text, and nothing but text.
    for payload in payloads() {
        let browser = bench.app.browser();
        let asked = ["state", "nonce", "login_hint", "ui_locales", "acr_values", "prompt"].map(|name| (name, payload));
        let begun = browser.begin(CLIENT, &asked).await;
        let carried = begun.carried_to(SIGN_IN_URL);
        let is_plain =
            |location: &str| location.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"'\\".contains(&byte));
        let is_same = ["login_hint", "ui_locales", "acr_values", "prompt"].iter().all(|name| carried[*name] == payload);
        bench.judge_by(payload, is_same && carried.len() == 6 && is_plain(&begun.location()));
        let told = [("ticket", carried["ticket"].as_str()), ("error", "access_denied")];
        let back = bench.app.portal("reject", &told).await.json()["redirect_to"].as_str().unwrap().to_owned();
        let answer = browser.get(&back).await;
        let carried = answer.carried_to(CALLBACK);
        let is_same = carried["state"] == payload && carried["iss"] == ISSUER && !carried.contains_key("code");
        bench.judge_by(payload, is_same && carried.len() == 3 && is_plain(&answer.location()));
    }
    bench.settle();
    bench.session_has_survived().await;
}

/// Every answer says whose it is, once (RFC 9207 §2): a client that checks it sends our code to nobody else.
pub async fn mix_up(row: Row) {
    let bench = start(row).await;
    let browser = bench.app.browser();
    let issuers = |location: &str| -> Vec<String> {
        let query = location.split_once('?').map_or("", |(_, query)| query).to_owned();
        query.split('&').filter(|pair| pair.starts_with("iss=")).map(str::to_owned).collect()
    };
    let own = vec![form(&[("iss", ISSUER)])];
    // Whatever the client's state looks like.
    for state in
        ["s", "&iss=https://evil.example", "s&iss=x", "iss=https%3A%2F%2Fevil.example", "s#iss=x", "%26iss%3Dx"]
    {
        let back = browser.accepted(CLIENT, &[("state", state), ("iss", "https://evil.example")]).await;
        let answer = browser.get(&back).await;
        let carried = answer.carried_to(CALLBACK);
        let is_own = issuers(&answer.location()) == own && carried["iss"] == ISSUER && carried["state"] == state;
        bench.judge_by(state, is_own && carried.len() == 3);
        for error in [
            "access_denied",
            "login_required",
            "interaction_required",
            "consent_required",
            "account_selection_required",
            "temporarily_unavailable",
        ] {
            let ticket = browser.ticket(CLIENT, &[("state", state)]).await;
            let told = [("ticket", ticket.as_str()), ("error", error), ("error_description", "x&iss=y")];
            let back = bench.app.portal("reject", &told).await.json()["redirect_to"].as_str().unwrap().to_owned();
            let answer = browser.get(&back).await;
            let carried = query_of(&answer.location());
            let is_told = carried["error"] == error && carried["error_description"] == "x&iss=y";
            bench.judge_by(error, is_told && issuers(&answer.location()) == own && carried.len() == 4);
        }
        for fault in [("response_type", "token"), ("scope", "admin"), ("request", "x"), ("max_age", "x")] {
            let answer = browser.begin(CLIENT, &[fault, ("state", state)]).await;
            bench
                .judge_by(fault.0, issuers(&answer.location()) == own && answer.carried_to(CALLBACK)["state"] == state);
        }
    }
    bench.settle();
    bench.session_has_survived().await;
}

/// How often a document was served that was not read at the flood's first request.
static READ_AGAIN: AtomicUsize = AtomicUsize::new(0);

const FLOOD_AT: Timestamp = Timestamp::from_unix_seconds(1_900_000_000);

fn served(loaded_at: Timestamp, _: Timestamp, _: usize) {
    READ_AGAIN.fetch_add(usize::from(loaded_at != FLOOD_AT), Ordering::SeqCst);
}

/// As many requests as strangers like: none reaches the table, and none has a secret read again, whatever key it names.
pub async fn flood(row: Row) {
    let bench = start(row).await;
    honest_is_sent_to_the_portal(&bench).await;
    let ring = keys::ring();
    let derived = Derived::of(&KeyRing::parse(&ring).unwrap(), &ring).unwrap();
    let ticket_keys = SecretText::Inline(derived.text(DerivedDocument::TicketKeys));
    let clients = SecretText::Inline(keys::registrations());
    let observer = Observer { served, ring_served: |_: &KeyRing, _| {}, faulty: |_, _: &Faults| {} };
    let clock = Arc::new(SettableClock::at(FLOOD_AT));
    let sign_ins = authorize::SignIns {
        clients_register: false,
        cors: Cors::default(),
        documents: CachedSignInDocuments::new(ticket_keys, clients, 300).observed(observer),
        issuer: ISSUER.into(),
        clock: clock.clone(),
        randomness: Arc::new(SystemRandomness),
    };
    let honest = authorization(CLIENT, &[]);
    let stranger = authorization("nobody", &[]);
    let mut statuses = [0_usize; 2];
    for number in 0..10_000_usize {
        // Not the moment of the load.
        if number == 1 {
            clock.advance(1);
        }
        let path = match number % 4 {
            0 => format!("/authorize?{honest}"),
            1 => format!("/authorize?{stranger}"),
            2 => format!("/authorize?{honest}&max_age=x"),
            _ => {
                let sealed = [&[(number / 4 % 256) as u8][..], &[7; 60]].concat();
                let text = crate::bench::refresh_token_of(&sealed).replacen("lk1_", "lka1_", 1);
                format!("/authorize/return?answer={text}")
            }
        };
        let request = http::Request::get(path).body(Body::Empty).unwrap();
        let answer = authorize::handle(&sign_ins, request).await;
        statuses[usize::from(answer.status() == 400)] += 1;
        bench.row.plan(1);
        bench.row.attempted();
    }
    bench.judge_by("the answers of a flood", statuses == [5_000, 5_000]);
    bench.judge_by("a secret was read again", READ_AGAIN.load(Ordering::SeqCst) == 0);
    // And over HTTP: not one operation on the table.
    let mut all = Vec::new();
    for number in 0..250 {
        all.extend(attempts("a stranger", &authorization(&format!("nobody-{number}"), &[]), &stopped()));
        let sealed = crate::bench::refresh_token_of(&[number as u8; 61]).replacen("lk1_", "lka1_", 1);
        all.push(Attempt::new("an answer of nobody's", come_back(&sealed, None), stopped()));
    }
    bench.refuse(all).await;
    for number in 0..500 {
        let state = number.to_string();
        bench.app.browser().begin(CLIENT, &[("state", &state)]).await.carried_to(SIGN_IN_URL);
    }
    bench.judge_by("500 begins", bench.app.operations().is_empty());
    bench.session_has_survived().await;
}
