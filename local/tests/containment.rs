//! The commands for an incident, on the documents of a running server: what an operator ends is over.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::{Value, json};
use support::{
    Server, basic,
    files::{Files, words},
    output,
};

/// A portal and a client, registered by command, and a server that reads the documents anew for each request.
struct Incident {
    files: Files,
    server: Server,
    portal: String,
    client: String,
}

impl Incident {
    fn new() -> Self {
        let files = Files::new();
        files.done("keys generate --alg ES256 --file keys.json");
        let portal = files.secret("issuer add portal --file clients.json");
        let client =
            files.secret("client add app --alg ES256 --requires refresh_token --issuer portal --file clients.json");
        let server = files.serve();
        Self { files, server, portal: basic("portal", &portal), client: basic("app", &client) }
    }

    fn issue(&self) -> (u16, Value) {
        self.server.post("/token", &self.portal, "subject=alice")
    }

    fn tokens(&self) -> Value {
        let (status, tokens) = self.issue();
        assert_eq!(status, 200, "{tokens}");
        tokens
    }

    fn renews(&self, tokens: &Value) -> bool {
        let body = format!("refresh_token={}", tokens["refresh_token"].as_str().unwrap());
        let (status, answer) = self.server.post("/token/renew", &self.client, &body);
        assert!(status == 200 || (status == 400 && answer["error"] == "invalid_grant"), "{status} {answer}");
        status == 200
    }

    fn is_active(&self, tokens: &Value) -> bool {
        let body = format!("token={}", tokens["access_token"].as_str().unwrap());
        let (status, answer) = self.server.post("/token/introspect", &self.client, &body);
        assert_eq!(status, 200, "{answer}");
        answer["active"] == true
    }

    fn said(&self, line: &str) -> String {
        let (code, _, said) = self.files.latchkey(line);
        assert_eq!(code, 0, "{line}: {said}");
        said
    }
}

#[test]
fn all_sessions_of_a_client_an_issuer_or_everybody_are_ended_by_an_epoch() {
    for (whose, place) in [("--client app", "/clients/0"), ("--issuer portal", "/issuers/0"), ("--all", "")] {
        let incident = Incident::new();
        let tokens = incident.tokens();
        assert!(incident.renews(&tokens) && incident.is_active(&tokens));
        let revoke = format!("sessions revoke {whose} --file clients.json");

        let before = incident.files.read("clients.json");
        let tried: Value = serde_json::from_str(&incident.files.done(&format!("{revoke} --dry-run --json"))).unwrap();
        assert_eq!(tried["dry_run"], true);
        assert_eq!(incident.files.read("clients.json"), before, "a dry run changes nothing");

        let told: Value = serde_json::from_str(&incident.files.done(&format!("{revoke} --json"))).unwrap();
        assert!(!incident.renews(&tokens) && !incident.is_active(&tokens), "{whose}");
        assert_eq!(incident.issue().0, 503, "an instance that does not know of it yet may still issue");
        let epoch = incident.files.json("clients.json").pointer(place).unwrap()["sessions_not_before"].clone();
        assert_eq!(told["epochs"][0]["sessions_not_before"], epoch, "{told}");

        // Never back: what has ended stays so.
        incident.files.done(&format!("{revoke} --before 12h"));
        assert_eq!(incident.files.json("clients.json").pointer(place).unwrap()["sessions_not_before"], epoch);
    }
}

#[test]
fn sessions_from_before_a_time_are_ended_and_later_ones_go_on() {
    let incident = Incident::new();
    let tokens = incident.tokens();
    let said = incident.said("sessions revoke --client app --before 1h --file clients.json");
    assert!(said.contains(r#"client "app""#) && said.contains("before 20"), "{said}");
    assert!(incident.renews(&tokens) && incident.is_active(&tokens), "issued later than that");
    assert_eq!(incident.issue().0, 200);
}

#[test]
fn a_disabled_issuer_is_unknown_and_its_sessions_end_only_if_that_was_asked_for() {
    let incident = Incident::new();
    let tokens = incident.tokens();
    let said = incident.said("issuer disable portal --file clients.json");
    assert!(said.contains("--end-sessions ends them"), "{said}");
    assert_eq!(incident.issue().0, 401);
    assert!(incident.renews(&tokens) && incident.is_active(&tokens), "its sessions go on");
    assert!(incident.files.done("issuer list --file clients.json").contains("disabled"));

    incident.said("issuer disable portal --end-sessions --file clients.json");
    assert!(!incident.renews(&tokens) && !incident.is_active(&tokens));
    assert_eq!(incident.issue().0, 401);

    incident.said("issuer enable portal --file clients.json");
    // An epoch is in whole seconds, and until the next one nothing is issued. Asked seldom, since nobody reads the log.
    while incident.issue().0 == 503 {
        std::thread::park_timeout(std::time::Duration::from_millis(100));
    }
    let later = incident.tokens();
    assert!(incident.renews(&later) && !incident.renews(&tokens), "what has ended stays so");
    let said = incident.files.refused("issuer enable portal --file clients.json", "clients.json");
    assert!(said.contains("not disabled"), "{said}");
}

#[test]
fn an_issuer_is_removed_when_none_of_its_sessions_can_be_left() {
    let incident = Incident::new();
    let remove = "issuer remove portal --absolute-seconds 3600 --file clients.json";
    let said = incident.files.refused(remove, "clients.json");
    assert!(said.contains("--end-sessions"), "says what to do: {said}");
    incident.said("issuer disable portal --end-sessions --file clients.json");
    let said = incident.files.refused(remove, "clients.json");
    assert!(said.contains("may be removed from 20"), "{said}");

    let mut document = incident.files.json("clients.json");
    document["issuers"][0]["sessions_not_before"] = 1_700_000_000.into();
    std::fs::write(incident.files.path("clients.json"), document.to_string()).unwrap();
    assert_eq!(
        incident.files.done(&format!("{remove} --dry-run --json")),
        "{\"dry_run\":true,\"issuer_id\":\"portal\"}\n"
    );
    incident.said(remove);
    assert_eq!(incident.files.json("clients.json")["issuers"], json!([]));
}

#[test]
fn a_revoked_key_is_gone_and_the_next_one_signs() {
    let incident = Incident::new();
    let tokens = incident.tokens();
    let kid = incident.files.json("keys.json")["signing"][0]["kid"].as_str().unwrap().to_owned();
    let next = incident.files.done("keys generate --alg ES256 --file keys.json").trim().to_owned();
    let revoke = |kid: &str| format!("keys revoke {kid} --file keys.json --clients clients.json --json");
    assert!(incident.files.refused(&revoke("misspelt"), "keys.json").contains(r#"no key "misspelt""#));

    let before = incident.files.read("keys.json");
    incident.files.done(&format!("{} --dry-run", revoke(&kid)));
    assert_eq!(incident.files.read("keys.json"), before);

    let told: Value = serde_json::from_str(&incident.files.done(&revoke(&kid))).unwrap();
    assert_eq!(told, json!({"kid": kid, "signs": next}), "it waited for its time");
    assert!(!incident.is_active(&tokens), "nothing that the key has signed is accepted");
    assert!(incident.renews(&tokens), "the session goes on");
    let tokens = incident.tokens();
    assert!(incident.is_active(&tokens));

    // The last of its algorithm: a new one is made, and the clients of the algorithm are served.
    let told: Value = serde_json::from_str(&incident.files.done(&revoke(&next))).unwrap();
    let made = told["signs"].as_str().unwrap();
    assert!(made != kid && made != next);
    assert!(incident.is_active(&incident.tokens()));
}

#[test]
fn a_key_that_a_client_names_is_revoked_and_the_client_waits_for_another_one() {
    let incident = Incident::new();
    let kid = incident.files.json("keys.json")["signing"][0]["kid"].as_str().unwrap().to_owned();
    incident.files.secret(&format!("client add pinned --alg ES256 --kid {kid} --keys keys.json --file clients.json"));
    let revoke = format!("keys revoke {kid} --file keys.json");
    let said = incident.said(&format!("{revoke} --dry-run"));
    assert!(said.contains("was not checked"), "{said}");
    let said = incident.said(&format!("{revoke} --clients clients.json"));
    assert!(said.contains(r#"client "pinned" names the key"#) && said.contains("are answered with 503"), "{said}");
    let said =
        incident.files.refused("client add another --public --keys keys.json --file clients.json", "clients.json");
    assert!(said.contains(r#""pinned" names the key"#), "what adds something is strict: {said}");
    let tokens = incident.tokens();
    assert!(incident.renews(&tokens), "the other clients go on");
}

#[test]
fn a_key_whose_id_looks_like_an_option_is_named_like_any_other() {
    let incident = Incident::new();
    let secret = "a test secret of at least 32 bytes";
    for kid in ["--odd", "-dry"] {
        let (code, _, said) =
            incident.files.latchkey_fed(&format!("keys import-hs256 --kid {kid} --file keys.json"), secret);
        assert_eq!(code, 0, "{said}");
        incident
            .files
            .done(&format!("client add odd --public --alg HS256 --kid {kid} --keys keys.json --file of{kid}.json"));
        incident.files.done(&format!("keys revoke {kid} --dry-run --file keys.json"));
        incident.files.done(&format!("keys revoke --file keys.json {kid}"));
        assert!(!incident.files.read("keys.json").contains(kid));
    }
}

#[test]
fn what_ends_something_does_not_wait_for_a_sound_document() {
    let incident = Incident::new();
    let tokens = incident.tokens();
    let mut clients = incident.files.json("clients.json");
    clients["clients"].as_array_mut().unwrap().push(json!({"client_id": "broken", "of_a_newer_version": true}));
    std::fs::write(incident.files.path("clients.json"), clients.to_string()).unwrap();
    let refused = incident.files.refused("client add another --public --file clients.json", "clients.json");
    assert!(refused.contains(r#"("broken").type: is missing"#), "{refused}");
    let said = incident.said("issuer disable portal --end-sessions --file clients.json");
    assert!(said.contains(r#"a fault, which stays as it is: clients"#) && said.contains("broken"), "{said}");
    let after = incident.files.json("clients.json");
    assert_eq!(after["issuers"][0]["disabled"], true);
    assert_eq!(after["clients"].as_array().unwrap().last(), clients["clients"].as_array().unwrap().last());
    assert!(!incident.renews(&tokens) && !incident.is_active(&tokens), "and it counts, whatever else is wrong");
}

#[test]
fn new_tag_keys_void_every_refresh_token_and_no_access_token() {
    let incident = Incident::new();
    let tokens = incident.tokens();
    let audit = incident.files.json("keys.json")["audit"].clone();
    assert_eq!(incident.files.done("keys replace-tag --file keys.json --json"), "{\"kid\":2}\n");
    assert!(audit.is_object() && incident.files.json("keys.json")["audit"] == audit, "everybody keeps their name");
    assert_eq!(incident.files.json("keys.json")["tagging"].as_array().unwrap().len(), 1);
    assert!(!incident.renews(&tokens) && incident.is_active(&tokens));
    let later = incident.tokens();
    assert!(incident.renews(&later));
}

#[test]
fn what_does_not_say_whose_sessions_and_where_is_wrong_usage() {
    for line in [
        "sessions revoke",
        "sessions revoke --table t",
        "sessions revoke --client app",
        "sessions revoke --client app --table t",
        "sessions revoke --all",
        "sessions revoke --file clients.json",
        "sessions revoke --all --client app --file clients.json",
        "sessions revoke --all --issuer portal --file clients.json",
        "sessions revoke --subject alice --file clients.json",
        "sessions revoke --all --file a --secret-id b",
        "sessions revoke --all --before never --file a",
        "sessions list --subject alice",
        "keys revoke --file keys.json",
        "keys replace-tag",
        "issuer enable portal",
    ] {
        assert_eq!(output(&words(line)).0.status.code(), Some(2), "{line}");
    }
    for line in
        ["sessions revoke", "keys revoke", "keys replace-tag", "issuer disable", "issuer enable", "issuer remove"]
    {
        let (_, shown, _) = output(&words(&format!("{line} --help")));
        for part in ["Example", &format!("latchkey {line} "), "--dry-run", "--json", "--file", "--secret-id"] {
            assert!(shown.contains(part), "{line}: {part} in {shown}");
        }
    }
}

/// Puts `entry` in front of a list of a document, letter for letter.
fn spoil(files: &Files, file: &str, list: &str, entry: &str) {
    let text = files.read(file);
    let place = text.find(&format!("\"{list}\": [")).unwrap() + list.len() + "\"\": [".len();
    std::fs::write(files.path(file), [&text[..place], entry, ",", &text[place..]].concat()).unwrap();
}

#[test]
fn what_is_ended_does_not_wait_for_an_entry_with_a_member_twice() {
    let client = r#"{"client_id":"twice",  "type":"public","type":"public"}"#;
    let key = r#"{"kid":"x", "kid":"x"}"#;
    for line in [
        "issuer disable portal --file clients.json",
        "client disable app --file clients.json",
        "client rotate-secret app --finish --file clients.json",
        "sessions revoke --all --file clients.json",
        "keys revoke KID --file keys.json",
        "keys revoke x --file keys.json",
    ] {
        let files = Files::new();
        let kid = files.done("keys generate --alg ES256 --file keys.json");
        files.secret("issuer add portal --file clients.json");
        files.secret("client add app --alg ES256 --requires refresh_token --issuer portal --file clients.json");
        files.secret("client rotate-secret app --file clients.json");
        spoil(&files, "clients.json", "clients", client);
        spoil(&files, "keys.json", "signing", key);
        let line = line.replace("KID", kid.trim());
        let said = files.latchkey(&line);
        assert_eq!(said.0, 0, "{line}: {}", said.2);
        assert!(files.read("clients.json").contains(client), "{line}");
        assert_eq!(
            files.read("keys.json").contains(key),
            !line.contains("revoke x "),
            "{line}: but for what is revoked"
        );
        let is_kept = files.read("keys.json").contains(kid.trim());
        assert_eq!(is_kept, !line.contains(kid.trim()), "{line}");

        // What ends nothing is refused, with the fault and its place.
        let said = files.refused("issuer add other --file clients.json", "clients.json");
        assert!(said.contains("clients[0].type: stands twice"), "{said}");
        let said = files.refused("client disable twice --file clients.json", "clients.json");
        assert!(said.contains(r#"the entry of client "twice" has a member twice"#), "{said}");
    }
}

#[test]
fn a_leaked_key_is_taken_out_whatever_is_wrong_with_the_registrations() {
    let files = Files::new();
    let kid = files.done("keys generate --alg ES256 --file keys.json").trim().to_owned();
    files.secret("client add app --alg ES256 --file clients.json");
    spoil(&files, "clients.json", "clients", &format!(r#"{{"client_id":"faulty","kid":"{kid}","alg":"none"}}"#));
    let tried = format!("keys revoke {kid} --file keys.json --dry-run --clients");
    let (code, _, said) = files.latchkey(&format!("{tried} clients.json"));
    assert!(code == 0 && said.contains(r#"client "faulty" names the key"#) && !said.contains(r#""app""#), "{said}");
    for (name, text) in [("missing.json", None), ("broken.json", Some("no document"))] {
        text.iter().for_each(|text| std::fs::write(files.path(name), text).unwrap());
        let (code, _, said) = files.latchkey(&format!("{tried} {name}"));
        assert!(code == 0 && said.contains("could not be checked") && said.contains(name), "{said}");
        assert!(said.contains("would be taken out"), "{said}");
    }
    files.done(&format!("keys revoke {kid} --file keys.json --clients broken.json"));
    assert!(!files.read("keys.json").contains(&kid));
}

#[test]
fn clients_register_themselves_until_an_operator_ends_it_and_what_they_have_is_over() {
    let files = Files::new();
    files.secret("issuer add portal --sign-in-url https://portal.example.org/sign-in --file clients.json");
    let set = "dynamic-clients set --redirect-uri https://chat.example.org/*/cb http://localhost/cb --scope tools \
               --audience https://tools.example.org/mcp --issuer portal --file clients.json";
    files.done(&format!("{set} --dry-run"));
    assert!(files.json("clients.json").get("dynamic_clients").is_none(), "a dry run changes nothing");
    files.done(set);
    let expected = json!({
        "redirect_uris": ["https://chat.example.org/*/cb", "http://localhost/cb"], "scopes": ["tools"],
        "audience": ["https://tools.example.org/mcp"], "sign_in_issuer": "portal",
    });
    assert_eq!(files.json("clients.json")["dynamic_clients"], expected);
    for (bad, fault) in [
        (set.replace("/*/", "/x*/"), "redirect_uris"),
        (set.replace("https://chat", "http://chat"), "redirect_uris[0]"),
        (set.replace("--issuer portal", "--issuer nobody"), "names the sign_in_issuer"),
        (format!("{set} --seconds 31536001"), "seconds: must be a whole number from 1 to 31536000"),
    ] {
        let said = files.refused(&bad, "clients.json");
        assert!(said.contains(fault), "{bad}: {said}");
    }
    files.done("sessions revoke --client lkd1 --before 1700000000 --file clients.json");
    assert_eq!(files.json("clients.json")["dynamic_clients"]["sessions_not_before"], 1_700_000_000);
    let (code, _, said) = files.latchkey("sessions revoke --client lkd1_x --file clients.json");
    assert!(code == 2 && said.contains("--client lkd1 ends the sessions of all of them"), "{said}");
    files.done(&format!("{set} --seconds 60"));
    let changed = files.json("clients.json")["dynamic_clients"].clone();
    assert_eq!((&changed["seconds"], &changed["sessions_not_before"]), (&json!(60), &json!(1_700_000_000)));

    let told: Value = serde_json::from_str(&files.done("dynamic-clients off --json --file clients.json")).unwrap();
    let left = files.json("clients.json")["dynamic_clients"].clone();
    assert_eq!(told["dynamic_clients"], left);
    assert!(left["sessions_not_before"].as_i64().unwrap() > 1_790_000_000 && left.as_object().unwrap().len() == 1);
}
