//! `latchkey subjects erase` as a process, on the data directory of a running server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::{collections::BTreeSet, fs, time::Instant};

use serde_json::{Value, json};
use support::{demo::Demo, latchkey, records::Records, run};

impl Demo {
    /// `latchkey …` on the data directory: exit code, standard output, standard error.
    fn latchkey(&self, line: &str) -> (i32, String, String) {
        let (done, out, said) = run(latchkey().args(line.split(' ')).args(["--data", &self.data()]), "");
        (done.status.code().unwrap(), out, said)
    }

    fn json(&self, line: &str) -> (Value, String) {
        let (code, out, said) = self.latchkey(&format!("{line} --json"));
        assert_eq!(code, 0, "{line}: {said}");
        (serde_json::from_str(&out).unwrap(), said)
    }

    /// Takes a client out of the registrations, as `latchkey client disable` would.
    fn forget_client(&self, id: &str) {
        let path = self.directory.path().join("data/clients.json");
        let mut clients: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        clients["clients"].as_array_mut().unwrap().retain(|client| client["client_id"] != id);
        clients["issuers"][0]["clients"].as_array_mut().unwrap().retain(|client| client != id);
        fs::write(path, clients.to_string()).unwrap();
    }
}

fn id(tokens: &Value) -> &str {
    tokens["session_id"].as_str().unwrap()
}

#[test]
fn what_a_faulty_client_has_is_erased_and_one_without_an_id_is_not_passed_over() {
    let demo = Demo::start();
    demo.issue("librechat-oauth", "alice");
    let path = demo.directory.path().join("data/clients.json");
    let sound: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let with = |member: &str, value: Value| {
        let mut clients = sound.clone();
        let is_it = |client: &&mut Value| client["client_id"] == "librechat-oauth";
        clients["clients"].as_array_mut().unwrap().iter_mut().find(is_it).unwrap()[member] = value;
        fs::write(&path, clients.to_string()).unwrap();
    };
    with("client_id", 5.into());
    let (code, _, said) = demo.latchkey("subjects erase alice");
    assert!(code != 0 && said.contains("a client's id cannot be read"), "{said}");
    with("alg", "RS512".into());
    assert_eq!(demo.json("subjects erase alice").0["erased"], 1);
}

#[test]
fn every_record_of_the_subject_is_erased_whatever_its_state_and_nobody_elses() {
    let demo = Demo::start();
    let live = demo.issue("librechat", "alice");
    let revoked = demo.issue("librechat", "alice");
    demo.json(&format!("sessions revoke --session {}", id(&revoked)));
    let (unreadable, elsewhere) = (demo.issue("librechat-oauth", "alice"), demo.issue("librechat-oauth", "alice"));
    let bobs = demo.issue("librechat", "bob");
    let records = Records::of(&demo.data());
    records.spoil(id(&unreadable));
    records.put_stranger_beside(id(&elsewhere));
    let all = ["?", "alice", "alice", "alice", "alice", "bob"];
    assert_eq!(records.subjects(), all);

    assert_eq!(demo.json("subjects erase alice --dry-run").0, json!({"would_erase": 5}));
    assert_eq!(records.subjects(), all, "a dry run deletes nothing");
    let (told, said) = demo.json("subjects erase alice");
    assert_eq!(told, json!({"erased": 5, "ended": 3}));
    assert_eq!(records.subjects(), ["bob"]);
    assert_eq!((demo.renew(&live), demo.renew(&bobs)), (400, 200));

    let (_, name, _) =
        run(latchkey().args(["audit", "name", "alice", "--keys", &format!("{}/signing-keys.json", demo.data())]), "");
    let lines: Vec<Value> = said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!(lines.len(), 3, "what was still going, and nothing else: {said}");
    for line in &lines {
        assert_eq!((&line["event"], &line["reason"]), (&"session_revoked".into(), &"operator".into()));
        assert!(line["subject_hash"] == name.trim() && !line.to_string().contains("alice"), "{line}");
    }
    assert_eq!(demo.json("subjects erase alice").0, json!({"erased": 0, "ended": 0}), "again is safe");
}

#[test]
fn a_client_that_is_not_registered_any_more_is_named() {
    let demo = Demo::start();
    for client in ["librechat", "librechat-oauth"] {
        demo.issue(client, "alice");
    }
    demo.forget_client("librechat-oauth");
    let records = Records::of(&demo.data());
    assert_eq!(demo.json("subjects erase alice").0["erased"], 1);
    assert_eq!(records.subjects(), ["alice"], "of the client that nobody has named");
    let (code, out, said) = demo.latchkey("subjects erase alice --client librechat-oauth --client older");
    assert!(code == 0 && out.is_empty() && said.contains("1 record of \"alice\" erased, 1 of them"), "{said}");
    assert!(said.contains("at 4 clients any more"), "{said}");
    assert!(records.subjects().is_empty());
}

#[test]
fn what_clients_have_that_registered_themselves_is_listed_and_erased_with_the_rest() {
    let demo = Demo::start();
    let tokens = demo.issue("librechat", "alice");
    let records = Records::of(&demo.data());
    let clients = ["lkd1_one", "lkd1_two"].map(|client| records.copy_for(id(&tokens), client));
    assert_ne!(clients[0], id(&tokens));
    let listed = demo.json("sessions list --subject alice").0;
    let shown = listed["sessions"].as_array().unwrap().iter().map(|session| session["client_id"].as_str().unwrap());
    // Both copies have one key: the second has replaced the first.
    assert_eq!(shown.collect::<BTreeSet<_>>(), ["librechat", "lkd1_two"].into());
    assert_eq!(demo.json("sessions revoke --subject alice --client lkd1").0["ended"], 1);
    assert_eq!(demo.json("subjects erase alice").0["erased"], 2);
    assert!(records.subjects().is_empty());
}

#[test]
fn errors_say_what_to_do() {
    for (line, code, expected) in [
        ("alice", 2, "--table NAME or --data DIR"),
        ("alice --table a", 2, "--clients FILE"),
        ("alice --table a --client b", 2, "--clients FILE"),
        ("--table a", 2, "<SUBJECT>"),
        ("alice --data no-such-directory --clients no-such-file", 1, "no-such-file"),
    ] {
        let (done, _, said) = run(latchkey().args(["subjects", "erase"]).args(line.split(' ')), "");
        assert!(done.status.code() == Some(code) && said.contains(expected), "{line}: {said}");
    }
    let demo = Demo::start();
    let (code, _, said) = demo.latchkey("subjects erase alice --keys no-such-file");
    assert!(code == 0 && said.contains("no subject_hash: no-such-file"), "a missing audit key stops nothing: {said}");
}

/// `cargo test -p latchkey --test subjects -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, not a rule"]
fn what_sixteen_thousand_sessions_of_one_subject_take() {
    const COUNT: u32 = 16_000;
    let demo = Demo::start();
    let session = demo.issue("librechat", "alice");
    let records = Records::of(&demo.data());
    records.copy(id(&session), COUNT - 1);
    for (line, member) in [("sessions revoke --subject alice", "ended"), ("subjects erase alice", "erased")] {
        let begin = Instant::now();
        assert_eq!(demo.json(line).0[member], COUNT, "{line}");
        println!("latchkey {line}: {COUNT} in {:.1} s", begin.elapsed().as_secs_f64());
    }
    assert!(records.subjects().is_empty());
}
