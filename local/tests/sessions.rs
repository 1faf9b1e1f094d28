//! `latchkey sessions` as a process, on the data directory of a running server and on a table.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::path::Path;

use serde_json::Value;
use support::{demo::Demo, latchkey, records::Records, run};

impl Demo {
    /// `latchkey sessions …` on the data directory: exit code, standard output, standard error.
    fn sessions(&self, arguments: &str) -> (i32, String, String) {
        sessions(&format!("{arguments} --data {}", self.data()), &[])
    }

    fn json(&self, arguments: &str) -> Value {
        let (code, out, said) = self.sessions(&format!("{arguments} --json"));
        assert_eq!(code, 0, "{arguments}: {said}");
        serde_json::from_str(&out).unwrap()
    }
}

fn sessions(arguments: &str, variables: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = latchkey();
    command.arg("sessions").args(arguments.split_whitespace()).envs(variables.iter().copied());
    let (done, out, said) = run(&mut command, "");
    (done.status.code().unwrap(), out, said)
}

fn id(tokens: &Value) -> &str {
    tokens["session_id"].as_str().unwrap()
}

#[test]
fn a_subjects_sessions_are_listed_at_all_registered_clients_while_the_server_runs() {
    let demo = Demo::start();
    let (first, second) = (demo.issue("librechat", "alice"), demo.issue("librechat-oauth", "alice"));
    demo.issue("librechat", "bob");
    assert_eq!(demo.renew(&first), 200);
    let listed = demo.json("list --subject alice");
    let listed = listed["sessions"].as_array().unwrap();
    let ids: Vec<&str> = listed.iter().map(|session| session["session_id"].as_str().unwrap()).collect();
    assert_eq!(ids, [id(&first), id(&second)], "oldest first");
    assert_eq!((&listed[0]["state"], &listed[0]["generation"]), (&"live".into(), &1.into()));
    assert_eq!((&listed[1]["client_id"], &listed[1]["subject"]), (&"librechat-oauth".into(), &"alice".into()));
    assert_eq!(listed[0]["session"].as_str().unwrap().len(), 16, "the audit trail's name");
    let (_, table, _) = demo.sessions("list --subject alice --client librechat");
    assert_eq!(table.lines().count(), 2, "{table}");
    assert!(table.starts_with("SESSION_ID") && table.contains(id(&first)) && table.contains("live"), "{table}");
    let (code, out, said) = demo.sessions("list --subject carol");
    assert!(code == 0 && out.is_empty() && said.contains("no session of \"carol\""), "{said}");
}

#[test]
fn a_revoked_session_cannot_be_renewed_and_the_others_can() {
    let demo = Demo::start();
    let (one, other, bobs) =
        (demo.issue("librechat", "alice"), demo.issue("librechat", "alice"), demo.issue("librechat", "bob"));
    let (code, out, said) = demo.sessions(&format!("revoke --session {}", id(&one)));
    assert_eq!(code, 0, "{said}");
    assert!(
        out.contains(id(&one)) && out.contains("revoked (operator)") && said.contains("1 session ended"),
        "{out}{said}"
    );
    assert_eq!((demo.renew(&one), demo.renew(&other), demo.renew(&bobs)), (400, 200, 200));

    let audit = said.lines().find(|line| line.starts_with('{')).expect("the audit line");
    let audit: Value = serde_json::from_str(audit).unwrap();
    assert_eq!((&audit["event"], &audit["reason"]), (&"session_revoked".into(), &"operator".into()));
    let listed = demo.json(&format!("list --session {}", id(&one)));
    let record = &listed["sessions"][0];
    assert_eq!((&record["state"], &record["revoked_reason"]), (&"revoked".into(), &"operator".into()));
    assert_eq!((&audit["session"], &audit["client_id"]), (&record["session"], &"librechat".into()));
    let keys = format!("audit name alice --keys {}/signing-keys.json", demo.data());
    let (_, name, _) = run(latchkey().args(keys.split(' ')), "");
    assert_eq!(audit["subject_hash"], name.trim(), "by the audit key beside the data");

    let (code, out, said) = demo.sessions(&format!("revoke --session {}", id(&one)));
    assert!(code == 0 && out.is_empty() && said.contains("over already: revoked (operator)"), "{said}");
    assert_eq!(demo.json("list --subject alice")["sessions"].as_array().unwrap().len(), 1, "live ones");
    assert_eq!(demo.json("list --subject alice --all")["sessions"].as_array().unwrap().len(), 2);
}

#[test]
fn an_idle_session_is_listed_and_ended_by_id_and_by_subject() {
    let demo = Demo::start_in(&[], &[("LATCHKEY_IDLE_SECONDS", "1")]);
    let (one, other) = (demo.issue("librechat", "alice"), demo.issue("librechat-oauth", "alice"));
    let states = || -> Vec<Value> {
        let listed = demo.json("list --subject alice");
        listed["sessions"].as_array().unwrap().iter().map(|session| session["state"].clone()).collect()
    };
    while states().iter().any(|state| state == "live") {}
    assert_eq!(states(), ["idle", "idle"]);
    assert_eq!(demo.json(&format!("revoke --session {}", id(&one)))["ended"], 1);
    assert_eq!(demo.json(&format!("list --session {}", id(&one)))["sessions"][0]["state"], "revoked");
    let ended = demo.json("revoke --subject alice");
    assert_eq!((&ended["ended"], &ended["sessions"][0]["session_id"]), (&1.into(), &id(&other).into()));
    assert_eq!(demo.json("revoke --subject alice")["ended"], 0);
}

#[test]
fn a_session_is_shown_and_ended_by_the_audit_trails_name_for_it() {
    let demo = Demo::start();
    let (one, other) = (demo.issue("librechat", "alice"), demo.issue("librechat-oauth", "alice"));
    let listed = demo.json(&format!("list --session {}", id(&one)));
    let name = listed["sessions"][0]["session"].as_str().unwrap();
    let by_name = format!("--subject alice --session {name}");
    assert_eq!(demo.json(&format!("list {by_name}")), listed);
    assert_eq!(demo.json(&format!("revoke {by_name} --dry-run"))["would_end"], 1);
    let ended = demo.json(&format!("revoke {by_name}"));
    assert_eq!((&ended["ended"], &ended["sessions"][0]["session_id"]), (&1.into(), &id(&one).into()));
    assert_eq!(demo.renew(&one), 400);
    assert_eq!(demo.json("list --subject alice")["sessions"][0]["session_id"], id(&other), "the other one goes on");
    assert_eq!(demo.json(&format!("revoke {by_name}"))["ended"], 0);
    assert_eq!(demo.json(&format!("list {by_name}"))["sessions"][0]["state"], "revoked", "whatever its state");
    assert_eq!(demo.json(&format!("list --subject bob --session {name}"))["sessions"], serde_json::json!([]));
    let (code, _, said) = demo.sessions(&format!("revoke --session {name}"));
    assert!(code == 2 && said.contains("--subject SUBJECT"), "no id can be made of a name: {said}");
}

#[test]
fn a_record_that_cannot_be_read_is_told_of_and_ended_like_any_other() {
    let demo = Demo::start();
    let issue = || demo.issue("librechat", "alice");
    let (good, spoilt, by_name, by_id) = (issue(), issue(), issue(), issue());
    let name = demo.json(&format!("list --session {}", id(&by_name)))["sessions"][0]["session"].clone();
    let records = Records::of(&demo.data());
    for tokens in [&spoilt, &by_name, &by_id] {
        records.spoil(id(tokens));
    }
    let (code, out, said) = demo.sessions("list --subject alice --json");
    let listed: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, listed["sessions"].as_array().unwrap().len()), (0, 1), "the list goes on");
    for tokens in [&spoilt, &by_name, &by_id] {
        assert!(said.contains(&format!("session {} cannot be read", id(tokens))), "{said}");
    }
    let one = format!("revoke --subject alice --session {}", name.as_str().unwrap());
    assert_eq!(demo.json(&format!("{one} --dry-run"))["would_end"], 1);
    let ended = demo.json(&one);
    assert_eq!((&ended["ended"], &ended["sessions"][0]["session_id"]), (&1.into(), &id(&by_name).into()));
    assert_eq!(ended["sessions"][0]["client_id"], "librechat", "known from where it was found");
    let one = format!("--session {}", id(&by_id));
    let (code, _, said) = demo.sessions(&format!("list {one}"));
    assert!(code == 1 && said.contains("cannot be read") && said.contains("`sessions revoke` ends it"), "{said}");
    assert!(!said.contains("AWS_REGION") && !said.contains("LATCHKEY_TABLE"), "the table is not at fault: {said}");
    let (code, _, said) = demo.sessions(&format!("revoke {one} --dry-run"));
    assert!(code == 0 && said.contains("its record cannot be read") && said.contains("without --dry-run"), "{said}");
    assert_eq!(demo.json(&format!("revoke {one}"))["ended"], 1);
    assert_eq!(demo.json("revoke --subject alice --dry-run")["would_end"], 2, "the good one and the one that is left");
    let (_, _, said) = demo.sessions("revoke --subject alice --dry-run");
    assert!(said.contains(&format!("session {} would be ended as well", id(&spoilt))), "{said}");
    let ended = demo.json("revoke --subject alice");
    let ids: Vec<&Value> = ended["sessions"].as_array().unwrap().iter().map(|session| &session["session_id"]).collect();
    assert!(ids.len() == 2 && ids.contains(&&id(&good).into()) && ids.contains(&&id(&spoilt).into()), "{ended}");
    assert_eq!(demo.json("revoke --subject alice")["ended"], 0, "once");
}

#[test]
fn a_dry_run_tells_and_ends_nothing() {
    let demo = Demo::start();
    let (one, other) = (demo.issue("librechat", "alice"), demo.issue("librechat-oauth", "alice"));
    let told = demo.json("revoke --subject alice --dry-run");
    assert_eq!((&told["would_end"], told.get("ended")), (&2.into(), None));
    let (_, _, said) = demo.sessions("revoke --subject alice --dry-run");
    assert!(said.contains("2 sessions would be ended") && !said.contains("session_revoked"), "{said}");
    assert_eq!(demo.renew(&one), 200);
    let told = demo.json("revoke --subject alice");
    assert_eq!(told["ended"], 2);
    let ended: Vec<&str> =
        told["sessions"].as_array().unwrap().iter().map(|session| session["session_id"].as_str().unwrap()).collect();
    assert_eq!(ended, [id(&one), id(&other)]);
    assert_eq!(demo.json("revoke --subject alice")["ended"], 0, "once");
}

#[test]
fn a_table_is_reached_as_the_sdk_finds_it() {
    let demo = Demo::start_in(&["--dynamodb-listen", "127.0.0.1:0"], &[]);
    let session = demo.issue("librechat", "alice");
    let dynamodb = demo.server.dynamodb();
    let variables = [
        ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.as_str()),
        ("AWS_REGION", "local"),
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
    ];
    let clients = Path::new(&demo.data()).join("clients.json");
    for whose in [
        format!("--session {}", id(&session)),
        "--subject alice --client librechat".into(),
        format!("--subject alice --clients {}", clients.display()),
    ] {
        let (code, out, said) = sessions(&format!("list --table latchkey {whose}"), &variables);
        assert!(code == 0 && out.contains(id(&session)), "{whose}: {said}");
    }
    assert_eq!(sessions("revoke --table latchkey --subject alice --client librechat", &variables).0, 0);
    assert_eq!(demo.renew(&session), 400);

    let (code, _, said) = sessions("list --table other --subject a --client b", &variables);
    assert!(code == 1 && said.contains("table other") && said.contains("check --table"), "{said}");
    let nowhere = [("AWS_EC2_METADATA_DISABLED", "true")];
    let (code, _, said) = sessions("list --table latchkey --subject a --client b", &nowhere);
    assert!(code == 1 && said.contains("AWS_REGION"), "{said}");
}

#[test]
fn errors_say_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    let (code, _, said) = sessions(&format!("list --data {data} --subject alice --client a"), &[]);
    assert!(code == 1 && said.contains("has no sessions.sqlite"), "{said}");
    assert_eq!(std::fs::read_dir(data).unwrap().count(), 0, "looking makes nothing");
    let (code, _, said) = sessions("list --table latchkey --subject alice", &[]);
    assert!(code == 2 && said.contains("--client CLIENT_ID") && said.contains("--clients-secret"), "{said}");
    let demo = Demo::start();
    let (code, _, said) = demo.sessions(&format!("revoke --session {}", "A".repeat(43)));
    assert!(code == 1 && said.contains("there is no session"), "{said}");
    for wrong in [
        "list --table a",
        "list --subject a",
        "list --table a --data b --subject c",
        "list --table a --subject b --session AQEBAQEBAQEBAQEBAQEBAQICAgICAgICAgICAgICAgI",
        "revoke --table a --session short",
        "revoke --table a --session AQEBAQEBAQEBAQEBAQEBAQICAgICAgICAgICAgICAgI --client b",
        "revoke --table a",
    ] {
        assert_eq!(sessions(wrong, &[]).0, 2, "{wrong}");
    }
}
