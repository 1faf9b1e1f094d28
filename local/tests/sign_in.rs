//! How users sign in, by command: registered, shown, changed, and refused where browsers would be sent astray.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::{Value, json};
use support::{
    Server,
    demo::Demo,
    files::{Files, words},
};

const CALLBACK: &str = "https://chat.example.org/oauth/openid/callback";
const LOGIN: &str = "https://chat.example.org/login";
const SIGN_IN: &str = "https://portal.example.org/sign-in";
const SIGN_OUT: &str = "https://portal.example.org/sign-out";

fn with_a_portal() -> Files {
    let files = Files::new();
    files.secret(&format!("issuer add portal --file clients.json --sign-in-url {SIGN_IN} --sign-out-url {SIGN_OUT}"));
    files
}

fn add_client(files: &Files) {
    files.secret(&format!(
        "client add librechat --file clients.json --issuer portal --redirect-uri {CALLBACK} http://localhost:3080/callback \
         --post-logout-redirect-uri {LOGIN} --pkce optional --sign-in-issuer portal"
    ));
}

fn client(files: &Files) -> Value {
    files.json("clients.json")["clients"][0].clone()
}

#[test]
fn a_sign_in_is_registered_and_shown() {
    let files = with_a_portal();
    add_client(&files);
    let client = client(&files);
    assert_eq!(client["redirect_uris"], json!([CALLBACK, "http://localhost:3080/callback"]));
    assert_eq!(client["post_logout_redirect_uris"], json!([LOGIN]));
    assert_eq!((&client["pkce"], &client["sign_in_issuer"]), (&json!("optional"), &json!("portal")));
    let table = files.done("client list --file clients.json");
    let row = words(table.lines().nth(1).unwrap());
    assert!(
        row.ends_with(&["portal", "portal", "optional", CALLBACK, "http://localhost:3080/callback", LOGIN]),
        "{table}"
    );
    let table = files.done("issuer list --file clients.json");
    assert!(words(table.lines().nth(1).unwrap()).ends_with(&["issues", SIGN_IN, SIGN_OUT]), "{table}");
    let shown = |party: &str| -> Value {
        serde_json::from_str(&files.done(&format!("{party} list --file clients.json --json"))).unwrap()
    };
    assert_eq!(shown("client")["clients"][0]["redirect_uris"][0], CALLBACK);
    assert_eq!(shown("issuer")["issuers"][0]["sign_in_url"], SIGN_IN);
    files.done("keys generate --alg RS256 --file keys.json");
    files.serve();
}

#[test]
fn a_client_that_moves_is_changed_in_one_command() {
    let files = with_a_portal();
    add_client(&files);
    let moved = "https://ai.example.org/oauth/openid/callback";
    let change = format!(
        "client sign-in librechat --file clients.json --redirect-uri {moved} {moved} --remove-redirect-uri {CALLBACK} \
         --remove-post-logout-redirect-uri {LOGIN} --pkce required --no-sign-in-issuer --json"
    );
    let before = client(&files);
    let tried: Value = serde_json::from_str(&files.done(&format!("{change} --dry-run"))).unwrap();
    assert_eq!((client(&files), &tried["dry_run"]), (before.clone(), &json!(true)));
    let told: Value = serde_json::from_str(&files.done(&change)).unwrap();
    let uris = json!(["http://localhost:3080/callback", moved]);
    let expected =
        json!({"client_id": "librechat", "redirect_uris": uris, "post_logout_redirect_uris": [], "pkce": "required"});
    assert_eq!(told, expected);
    let after = client(&files);
    assert_eq!((&after["redirect_uris"], &after["pkce"]), (&uris, &json!("required")));
    assert!(after.get("sign_in_issuer").is_none());
    assert_eq!(after["secret_sha256"], before["secret_sha256"], "nothing else has changed");
    let (_, out, said) = files.latchkey("client sign-in librechat --file clients.json --sign-in-issuer portal");
    assert!(out.is_empty() && said.contains("is changed in clients.json"), "{said}");
    let gone = format!("client sign-in librechat --file clients.json --remove-redirect-uri {CALLBACK}");
    assert!(files.refused(&gone, "clients.json").contains("client list"), "it is not there");
    let nobody = "client sign-in nobody --file clients.json --pkce required";
    assert!(files.refused(nobody, "clients.json").contains(r#"no client "nobody" is registered"#));
}

#[test]
fn a_portal_that_moves_is_changed_by_command() {
    let files = with_a_portal();
    let moved = "https://new.example.org/sign-in";
    let told = files
        .done(&format!("issuer sign-in portal --file clients.json --sign-in-url {moved} --no-sign-out-url --json"));
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told, json!({"issuer_id": "portal", "sign_in_url": moved}));
    let issuer = &files.json("clients.json")["issuers"][0];
    assert!(issuer["sign_in_url"] == moved && issuer.get("sign_out_url").is_none());
    files.done("issuer sign-in portal --file clients.json --no-sign-in-url");
    assert!(files.json("clients.json")["issuers"][0].get("sign_in_url").is_none());
}

#[test]
fn addresses_that_browsers_must_not_be_sent_to_are_refused() {
    let files = with_a_portal();
    let bad = "client add spa --public --file clients.json --issuer portal --redirect-uri http://chat.example.org/cb \
               https://chat.example.org/#x --post-logout-redirect-uri javascript:alert(1) --pkce optional --sign-in-issuer x";
    let said = files.refused(bad, "clients.json");
    for part in [
        r#"("spa").redirect_uris[0]: must be an absolute URL"#,
        r#"("spa").redirect_uris[1]: must be"#,
        r#"("spa").post_logout_redirect_uris[0]: must be"#,
        r#"("spa").pkce: a public client needs PKCE"#,
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    add_client(&files);
    for (change, part) in [
        ("client sign-in librechat --redirect-uri //chat.example.org/cb", "redirect_uris[2]: must be"),
        ("client sign-in librechat --pkce never", "pkce: must be"),
        ("client sign-in librechat --sign-in-issuer other", r#"names the sign_in_issuer "other""#),
        ("issuer sign-in portal --sign-in-url http://portal.example.org/", "sign_in_url: must be"),
        ("issuer sign-in portal --no-sign-in-url", r#"names the sign_in_issuer "portal""#),
    ] {
        let said = files.refused(&format!("{change} --file clients.json"), "clients.json");
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[test]
fn whose_portal_signs_in_is_asked_for_where_several_could() {
    let files = with_a_portal();
    let second = "issuer add second --file clients.json --sign-in-url https://second.example.org/";
    files.secret(second);
    let add = format!("client add librechat --file clients.json --issuer portal second --redirect-uri {CALLBACK}");
    let said = files.refused(&add, "clients.json");
    assert!(said.contains(r#"["portal", "second"]: say which with sign_in_issuer"#), "{said}");
    files.secret(&format!("{add} --sign-in-issuer second"));
    files.done("issuer disable second --file clients.json");
    let (code, _, said) = files.latchkey("client sign-in librechat --file clients.json --pkce required");
    assert!(code == 0 && said.contains("nobody can sign in to it yet"), "{said}");
    files.done("client sign-in librechat --file clients.json --no-sign-in-issuer");
    let table = files.done("client list --file clients.json");
    let (_, row) = table.lines().nth(1).unwrap().split_once("portal second").unwrap();
    assert_eq!(words(row)[0], "portal", "the only one that is enabled");
    let said = files.refused("issuer enable second --file clients.json", "clients.json");
    assert!(said.contains("say which with sign_in_issuer"), "{said}");
}

#[test]
fn a_client_that_nobody_can_sign_in_to_is_told_of() {
    let files = Files::new();
    files.secret("issuer add portal --file clients.json");
    let add = format!("client add librechat --file clients.json --issuer portal --redirect-uri {CALLBACK}");
    let (code, _, said) = files.latchkey(&add);
    assert!(code == 0 && said.contains("`latchkey issuer sign-in ISSUER_ID --sign-in-url URL`"), "{said}");
    files.done(&format!("issuer sign-in portal --file clients.json --sign-in-url {SIGN_IN}"));
    let (_, _, said) = files.latchkey("client sign-in librechat --file clients.json --pkce required");
    assert!(!said.contains("nobody"), "{said}");
}

#[test]
fn an_address_is_taken_out_whatever_is_wrong_with_other_entries() {
    let files = with_a_portal();
    add_client(&files);
    let mut document = files.json("clients.json");
    document["clients"].as_array_mut().unwrap().push(json!({"client_id": "faulty", "type": "neither"}));
    std::fs::write(files.path("clients.json"), document.to_string()).unwrap();
    let (code, _, said) =
        files.latchkey(&format!("client sign-in librechat --file clients.json --remove-redirect-uri {CALLBACK}"));
    assert!(code == 0 && said.contains("which stays as it is"), "{said}");
    assert_eq!(client(&files)["redirect_uris"], json!(["http://localhost:3080/callback"]));
    let add = format!("client sign-in librechat --file clients.json --redirect-uri {CALLBACK}");
    assert!(files.refused(&add, "clients.json").contains("faulty"), "what adds waits for a sound document");
}

#[test]
fn a_demo_that_starts_at_another_port_finds_its_portal_there() {
    let Demo { directory, server, .. } = Demo::start();
    let data = directory.path().join("data");
    let registrations =
        || -> Value { serde_json::from_str(&std::fs::read_to_string(data.join("clients.json")).unwrap()).unwrap() };
    let pages = |address: &str| {
        (json!(format!("http://{address}/demo/portal")), json!(format!("http://{address}/demo/portal/sign-out")))
    };
    let registered =
        |all: &Value| (all["issuers"][0]["sign_in_url"].clone(), all["issuers"][0]["sign_out_url"].clone());
    let first = registrations();
    assert_eq!(registered(&first), pages(server.address()));
    // Its port is taken while the second one looks for a free one.
    let second = Server::start(&data, &[]);
    assert_ne!(server.address(), second.address());
    let now = registrations();
    assert_eq!(registered(&now), pages(second.address()));
    assert_eq!(now["clients"][0], first["clients"][0], "nothing else has changed");
    assert_eq!(now["issuers"][0]["secret_sha256"], first["issuers"][0]["secret_sha256"]);
}
