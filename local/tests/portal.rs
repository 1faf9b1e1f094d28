//! The demo's portal and client over HTTP: a sign-in from the first click to the sign-out, and who is kept out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use support::{
    Server,
    browser::{Browser, Page, parameter},
    output,
};

const SIGN_IN: &str = "/demo/client/sign-in";
const PORTAL: &str = "/demo/portal";
const SIGN_OUT: &str = "/demo/portal/sign-out";

fn demo() -> (Server, Browser) {
    let server = Server::start_with(&["--data", ":memory:"], &[]);
    let browser = Browser::at(server.address());
    (server, browser)
}

/// From the client's button to the portal's form; `more` is appended to the authorization request.
fn at_the_portal(browser: &mut Browser, more: &str) -> Page {
    let authorize = browser.open(SIGN_IN).redirect().to_owned();
    browser.follow(&format!("{authorize}{more}"))
}

/// Sends the form as a user does, and goes on to the client.
fn act(browser: &mut Browser, page: &Page, action: &str) -> Page {
    let sent = browser.submit(PORTAL, &format!("form={}&{action}", page.form()));
    assert_eq!(sent.status, 303, "{}", sent.body);
    browser.follow(sent.redirect())
}

fn signed_in(browser: &mut Browser, name: &str) {
    let page = at_the_portal(browser, "");
    assert_eq!(act(browser, &page, &format!("action=sign-in&name={name}")).status, 200);
}

/// What the client's page is told.
fn told(browser: &mut Browser, action: &str) -> Value {
    let answer = browser.submit(&format!("/demo/client/{action}"), "");
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

fn claims(told: &Value, token: &str) -> Value {
    let text = told["tokens"][token].as_str().unwrap_or_else(|| panic!("{told}"));
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

#[test]
fn a_user_signs_in_at_the_portal_lands_at_the_client_renews_and_signs_out() {
    let (server, mut browser) = demo();
    let page = at_the_portal(&mut browser, "");
    assert!(page.status == 200 && page.body.contains("Who are you?") && page.body.contains("librechat-oauth"));
    let landed = act(&mut browser, &page, "action=sign-in&name=alice");
    assert!(landed.status == 200 && landed.body.contains("<title>Demo client</title>"), "{}", landed.body);
    let first = told(&mut browser, "session");
    let id_token = claims(&first, "id_token");
    assert_eq!((&id_token["sub"], &id_token["name"]), (&"alice".into(), &"Alice".into()));
    assert_eq!(id_token["email"], "alice@example.org");
    assert!(id_token["auth_time"].is_i64() && id_token["nonce"].is_string(), "{id_token}");
    assert_eq!(told(&mut browser, "userinfo")["userinfo"]["sub"], "alice");

    let renewed = told(&mut browser, "renew");
    assert_ne!(renewed["tokens"]["refresh_token"], first["tokens"]["refresh_token"]);
    assert_eq!(claims(&renewed, "id_token")["auth_time"], id_token["auth_time"]);

    let out = told(&mut browser, "sign-out")["redirect_to"].as_str().unwrap().to_owned();
    let asked = browser.follow(&out);
    assert!(asked.status == 200 && asked.body.contains("Sign out?"), "{}", asked.body);
    let client = format!("{}/demo/client", browser.url());
    let gone = browser.submit(SIGN_OUT, &format!("form={}&return_to={client}", asked.form()));
    assert_eq!(gone.redirect(), client);
    assert!(!browser.cookies.contains_key("latchkey-demo-portal"), "signed out of the portal too");
    let after = told(&mut browser, "session");
    assert!(after["tokens"].is_null() && after["said"].as_str().unwrap().contains("signed out"), "{after}");
    let (printed, ended_well) = server.interrupt();
    for event in ["sign_in_accepted", "token_issued", "token_renewed", "session_revoked"] {
        assert!(printed.contains(&format!("\"event\":\"{event}\"")), "{event} in {printed}");
    }
    assert!(ended_well);
}

#[test]
fn the_ticket_goes_into_the_portals_session_and_out_of_the_address() {
    let (_server, mut browser) = demo();
    let authorize = browser.open(SIGN_IN).redirect().to_owned();
    let to_the_portal = browser.open(&authorize).redirect().to_owned();
    let ticket = parameter(&to_the_portal, "ticket").unwrap().to_owned();
    let arrived = browser.open(&to_the_portal);
    assert_eq!((arrived.status, arrived.redirect()), (303, PORTAL));
    assert!(arrived.head.contains("referrer-policy: no-referrer"), "{}", arrived.head);
    let set = arrived.head.lines().find(|line| line.starts_with("set-cookie: latchkey-demo-portal=")).unwrap();
    assert!(set.ends_with("; path=/demo/portal; httponly; samesite=lax"), "{set}");
    let page = browser.open(PORTAL);
    assert!(!page.body.contains(&ticket) && page.body.contains("Who are you?"));
    for part in
        ["default-src 'none'", "frame-ancestors 'none'", "referrer-policy: same-origin", "cache-control: no-store"]
    {
        assert!(page.head.contains(part), "{part} in {}", page.head);
    }
}

#[test]
fn nobody_elses_page_can_send_the_form() {
    let (_server, mut browser) = demo();
    let page = at_the_portal(&mut browser, "");
    let mut thief = browser.another();
    let own = at_the_portal(&mut thief, "");
    for form in [own.form(), String::new(), "x".to_owned()] {
        let refused = browser.submit(PORTAL, &format!("form={form}&action=sign-in&name=alice"));
        assert!(refused.status == 400 && refused.location.is_none(), "{}", refused.body);
        assert!(refused.body.contains("no longer good"), "{}", refused.body);
    }
    let sent = format!("form={}&action=sign-in&name=alice", page.form());
    let host = browser.host().to_owned();
    for (name, value) in [
        ("Origin", "http://latchkey.example"),
        ("Origin", "null"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Via", "proxy"),
    ] {
        let refused = browser.send("POST", PORTAL, &[("Host", &host), (name, value)], &sent);
        assert_eq!(refused.status, 403, "{name}: {value}");
    }
    assert_eq!(act(&mut browser, &page, "action=sign-in&name=alice").status, 200, "the form itself is still good");
    assert_eq!(browser.submit(PORTAL, &sent).status, 400, "once");
}

#[test]
fn an_mcp_client_registers_itself_and_the_portal_asks_before_it_signs_anybody_in() {
    let (_server, mut browser) = demo();
    signed_in(&mut browser, "alice");
    let callback = "http://127.0.0.1:49152/callback";
    let metadata =
        format!(r#"{{"redirect_uris":["{callback}"],"token_endpoint_auth_method":"none","client_name":"LibreChat"}}"#);
    let registered = browser.another().send("POST", "/register", &[("Host", "localhost")], &metadata);
    assert_eq!(registered.status, 201, "{}", registered.body);
    let client = registered.json()["client_id"].as_str().unwrap().to_owned();
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let authorize = format!(
        "/authorize?response_type=code&client_id={client}&redirect_uri={callback}&code_challenge={challenge}\
         &code_challenge_method=S256&scope=tools"
    );
    let page = browser.follow(&authorize);
    let asks = page.status == 200 && page.body.contains("nobody here knows") && page.body.contains(callback);
    assert!(asks && !page.body.contains("LibreChat") && page.body.contains("Continue as alice"), "{}", page.body);
    let silent = browser.follow(&format!("{authorize}&prompt=none"));
    assert_eq!(
        parameter(silent.location.as_deref().unwrap(), "error"),
        Some("login_required"),
        "nobody is signed in unasked"
    );
    let landed = act(&mut browser, &page, "action=continue");
    let location = landed.location.unwrap();
    assert!(location.starts_with(callback) && parameter(&location, "code").is_some(), "{location}");
}

#[test]
fn who_cancels_is_not_signed_in() {
    let (_server, mut browser) = demo();
    let page = at_the_portal(&mut browser, "");
    let landed = act(&mut browser, &page, "action=cancel&name=");
    assert_eq!(landed.status, 200);
    let told = told(&mut browser, "session");
    assert!(told["tokens"].is_null() && told["said"].as_str().unwrap().contains("access_denied"), "{told}");
}

#[test]
fn a_name_that_cannot_be_a_subject_is_asked_for_again() {
    let (_server, mut browser) = demo();
    let page = at_the_portal(&mut browser, "");
    for name in ["", "++", "a%00b"] {
        let again = browser.submit(PORTAL, &format!("form={}&action=sign-in&name={name}", page.form()));
        assert!(again.status == 400 && again.body.contains("role=\"alert\""), "{name}: {}", again.body);
        assert_eq!(again.form(), page.form(), "the same sign-in");
    }
    let hostile = at_the_portal(&mut browser, "&login_hint=%22%3E%3Cscript%3E");
    assert!(hostile.body.contains("value=\"&quot;&gt;&lt;script&gt;\""), "{}", hostile.body);
}

#[test]
fn who_is_signed_in_at_the_portal_goes_on_without_typing() {
    let (_server, mut browser) = demo();
    signed_in(&mut browser, "alice");
    let page = at_the_portal(&mut browser, "");
    assert!(page.body.contains("Continue as alice"), "{}", page.body);
    assert_eq!(act(&mut browser, &page, "action=continue").status, 200);
    assert_eq!(claims(&told(&mut browser, "session"), "id_token")["sub"], "alice");
    for asks in ["&prompt=login", "&prompt=select_account+login"] {
        let page = at_the_portal(&mut browser, asks);
        assert!(!page.body.contains("Continue as"), "{asks}");
        let refused = browser.submit(PORTAL, &format!("form={}&action=continue", page.form()));
        assert!(refused.status == 400 && refused.location.is_none(), "an old sign-in is not enough");
    }
    let mut other = browser.another();
    assert!(!at_the_portal(&mut other, "").body.contains("Continue as"), "in this browser alone");
}

#[test]
fn without_a_prompt_only_who_is_signed_in_gets_on() {
    let (_server, mut browser) = demo();
    let landed = at_the_portal(&mut browser, "&prompt=none");
    assert!(landed.body.contains("<title>Demo client</title>"), "no page of the portal");
    assert!(told(&mut browser, "session")["said"].as_str().unwrap().contains("login_required"));
    signed_in(&mut browser, "bob");
    let landed = at_the_portal(&mut browser, "&prompt=none");
    assert!(landed.body.contains("<title>Demo client</title>"));
    let told = told(&mut browser, "session");
    assert_eq!(claims(&told, "id_token")["sub"], "bob");
    assert_eq!(told["said"], "You are signed in.");
}

#[test]
fn the_portal_sends_browsers_to_its_own_list_only() {
    let (_server, mut browser) = demo();
    let client = format!("{}/demo/client", browser.url());
    let login = "http://localhost:3080/login?state=x";
    for return_to in [client.as_str(), login] {
        let encoded = return_to.replace('?', "%3F").replace('=', "%3D");
        let link = format!("{SIGN_OUT}?return_to={encoded}");
        signed_in(&mut browser, "alice");
        let form = browser.open(&link).form();
        let gone = browser.submit(SIGN_OUT, &format!("form={form}&return_to={encoded}"));
        assert_eq!((gone.status, gone.redirect()), (303, return_to));
        assert!(!browser.cookies.contains_key("latchkey-demo-portal"));
        let asked = browser.open(&link);
        assert!(asked.status == 200 && asked.location.is_none(), "nobody is signed in any more");
        assert!(asked.body.contains(&format!("href=\"{return_to}\"")), "{}", asked.body);
    }
    for astray in ["https://latchkey.example/", "//latchkey.example", "javascript:alert(1)"] {
        let link = format!("{SIGN_OUT}?return_to={astray}");
        signed_in(&mut browser, "alice");
        let form = browser.open(&link).form();
        let gone = browser.submit(SIGN_OUT, &format!("form={form}&return_to={astray}"));
        for (page, says) in [(gone, "You are signed out"), (browser.open(&link), "You are not signed in")] {
            assert!(page.status == 200 && page.location.is_none(), "{astray}");
            assert!(page.body.contains(says) && !page.body.contains(astray), "{}", page.body);
        }
    }
}

#[test]
fn a_link_signs_nobody_out_of_the_portal() {
    let (_server, mut browser) = demo();
    signed_in(&mut browser, "alice");
    let link = format!("{SIGN_OUT}?return_to={}/demo/client", browser.url());
    assert!(browser.open(&link).location.is_none());
    let mut thief = browser.another();
    signed_in(&mut thief, "bob");
    let stolen = thief.open(SIGN_OUT).form();
    for form in [stolen.as_str(), "", "x"] {
        let asked = browser.submit(SIGN_OUT, &format!("form={form}"));
        assert!(asked.status == 200 && asked.body.contains("Sign out?"), "asked again: {}", asked.body);
    }
    let host = browser.host().to_owned();
    let form = format!("form={}", browser.open(SIGN_OUT).form());
    let forged = browser.send("POST", SIGN_OUT, &[("Host", &host), ("Origin", "http://latchkey.example")], &form);
    assert_eq!(forged.status, 403);
    assert!(at_the_portal(&mut browser, "").body.contains("Continue as alice"), "still signed in");
}

#[test]
fn an_answer_that_this_browser_has_not_asked_for_is_not_redeemed() {
    let (_server, mut browser) = demo();
    let page = at_the_portal(&mut browser, "");
    let sent = browser.submit(PORTAL, &format!("form={}&action=sign-in&name=alice", page.form()));
    let back = browser.open(sent.redirect()).redirect().to_owned();
    let mut thief = browser.another();
    thief.follow(&back);
    let told_thief = told(&mut thief, "session");
    assert!(told_thief["tokens"].is_null() && told_thief["said"].as_str().unwrap().contains("no such sign-in"));
    let other_issuer = back.replace("iss=", "iss=x");
    let mut other = browser.clone();
    other.follow(&other_issuer);
    assert!(told(&mut other, "session")["said"].as_str().unwrap().contains("issuer"));
    assert_eq!(other.follow(&back).status, 200);
    assert!(told(&mut other, "session")["tokens"].is_null(), "its sign-in is over");
}

#[test]
fn the_tokens_go_to_the_clients_page_alone_and_to_one_holder() {
    let (_server, mut browser) = demo();
    signed_in(&mut browser, "alice");
    let (host, own) = (browser.host().to_owned(), browser.url());
    let host = ("Host", host.as_str());
    for action in ["session", "hand-over", "renew", "userinfo", "sign-out"] {
        for headers in [
            vec![host],
            vec![host, ("Origin", "http://latchkey.example")],
            vec![host, ("Origin", &own), ("Sec-Fetch-Site", "cross-site")],
            vec![("Host", "latchkey.example"), ("Origin", "http://latchkey.example")],
        ] {
            let refused = browser.send("POST", &format!("/demo/client/{action}"), &headers, "");
            assert_eq!(refused.status, 403, "{action}");
        }
        assert_eq!(browser.open(&format!("/demo/client/{action}")).status, 404, "{action}: by no address");
    }
    let page = browser.open("/demo/client");
    assert!(!page.body.contains("lk1_") && page.head.contains("frame-ancestors 'none'"));
    assert!(told(&mut browser, "hand-over")["tokens"].is_null(), "they are the client's");
    let authorize = browser.open(&format!("{SIGN_IN}?then=playground")).redirect().to_owned();
    let form = browser.follow(&authorize);
    let landed = act(&mut browser, &form, "action=continue");
    assert!(landed.body.contains("<h1>Latchkey playground</h1>"), "{}", landed.body);
    let clients = told(&mut browser, "session")["tokens"]["refresh_token"].clone();
    let handed = told(&mut browser, "hand-over")["tokens"]["refresh_token"].clone();
    assert!(clients.is_string() && handed.is_string() && clients != handed, "each has a session of its own");
    assert!(told(&mut browser, "hand-over")["tokens"].is_null(), "once");
}

#[test]
fn pages_are_shown_to_browsers_on_this_machine_in_windows_of_their_own() {
    let (_server, mut browser) = demo();
    let host = browser.host().to_owned();
    let port = host.rsplit(':').next().unwrap().to_owned();
    for path in [PORTAL, SIGN_OUT, "/demo/client", SIGN_IN] {
        for headers in [
            vec![("Host", "latchkey.example")],
            vec![("Host", host.as_str()), ("X-Forwarded-For", "192.0.2.1")],
            vec![("Host", host.as_str()), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")],
            vec![("Host", host.as_str()), ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image")],
        ] {
            let refused = browser.send("GET", path, &headers, "");
            assert!(refused.status == 403 && !refused.head.contains("set-cookie"), "{path} {headers:?}");
        }
        let moved = browser.send("GET", path, &[("Host", &format!("localhost:{port}"))], "");
        assert_eq!(moved.redirect(), format!("{}{path}", browser.url()), "cookies are those of one name");
        let from_elsewhere =
            [("Host", host.as_str()), ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")];
        assert!(browser.send("GET", path, &from_elsewhere, "").status < 400, "{path}: a link leads there");
        assert_eq!(browser.send("PUT", path, &[("Host", &host)], "").status, 405, "{path}");
    }
}

#[test]
fn with_other_registrations_the_pages_say_that_they_are_off_and_how_to_get_them() {
    let directory = tempfile::tempdir().unwrap();
    let clients = directory.path().join("clients.json");
    let clients = clients.to_str().unwrap();
    assert!(output(&["issuer", "add", "portal", "--file", clients]).0.status.success());
    let server = Server::start_with(&["--data", ":memory:", "--clients", clients], &[]);
    let mut browser = Browser::at(server.address());
    for (path, name) in [(PORTAL, "portal"), (SIGN_OUT, "portal"), ("/demo/client", "client"), (SIGN_IN, "client")] {
        let host = ("Host", server.address());
        let page = browser.send("GET", path, &[host, ("Accept", "text/html,*/*")], "");
        assert!(page.status == 404 && page.head.contains("text/html"), "{path}: {}", page.head);
        assert!(page.body.contains(&format!("The {name} is off: ")) && page.body.contains("without --clients"));
        let told = browser.send("GET", path, &[host, ("Accept", "*/*")], "");
        assert_eq!((told.status, &told.json()[name]), (404, &"off".into()), "{path}");
    }
    for path in ["/demo/client/session", "/demo/client/renew"] {
        assert_eq!(browser.submit(path, "").status, 404, "{path}");
    }
}

#[test]
fn the_lines_for_librechat_are_those_of_the_readme() {
    let readme = include_str!("../../README.md");
    let (_, lines) = readme.split_once("DOMAIN_CLIENT=").unwrap();
    let lines: Vec<&str> = lines.split("```").next().unwrap().lines().skip(1).collect();
    assert!(lines.len() > 8, "{lines:?}");
    let issuer = "https://localhost:9443";
    let said = |variables: &[(&str, &str)]| Server::start_with(&["--data", ":memory:"], variables).welcome.clone();
    for welcome in [said(&[("LATCHKEY_ISSUER", issuer)]), said(&[])] {
        for line in lines.iter().filter(|line| !line.contains("CLIENT_SECRET=")) {
            assert!(welcome.lines().any(|own| own == *line), "{line} in {welcome}");
        }
        assert!(welcome.contains("and click: sign in"), "{welcome}");
    }
    let other = said(&[("LATCHKEY_ISSUER", "https://id.example.org")]);
    assert!(other.contains("\nOPENID_ISSUER=https://id.example.org\n") && !other.contains(issuer), "{other}");
    let directory = tempfile::tempdir().unwrap();
    let [first, second] = [(); 2].map(|()| Server::start(directory.path(), &[]).welcome.clone());
    let secret = first.lines().find_map(|line| line.strip_prefix("OPENID_CLIENT_SECRET=")).unwrap();
    assert!(secret.len() == 64 && !second.contains(secret), "secrets are shown once");
    assert!(second.contains("OPENID_CLIENT_SECRET=(oauth_client_secret in "), "{second}");
}
