//! What is derived from a key ring in Secrets Manager, and kept in step with it by the commands that change the ring.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use latchkey_token::{keys::KeyRing, ports::DerivedDocument, rotation::Derived};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use support::{
    files::{Files, words},
    output,
    secrets_manager::{Fate, Secret, SecretsManager},
};

/// `keys` with all secrets.
fn keys(line: &str) -> String {
    format!("keys {line} --secret-id latchkey/one {}", SecretsManager::DERIVED)
}

fn generate() -> String {
    keys("generate --alg ES256")
}

/// With one key that signs and one that will.
fn with_two_keys() -> (SecretsManager, String, String) {
    let stub = SecretsManager::start();
    let first = stub.done(&generate()).trim().to_owned();
    let second = stub.done(&generate()).trim().to_owned();
    assert_in_agreement(&stub);
    (stub, first, second)
}

#[track_caller]
fn assert_in_agreement(stub: &SecretsManager) {
    let text = stub.current().to_string();
    let derived = Derived::of(&KeyRing::parse(&text).unwrap(), &text).unwrap();
    for document in DerivedDocument::ALL {
        let wanted: Value = serde_json::from_str(&derived.text(document)).unwrap();
        assert_eq!(stub.derived(document.name()), wanted, "{document:?}");
    }
}

fn kids(document: &Value, list: &str) -> Vec<Value> {
    document[list].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect()
}

#[test]
fn every_command_that_changes_the_ring_writes_what_is_derived_from_it() {
    let (stub, first, _) = with_two_keys();
    let import = stub.latchkey(&keys("import-hs256 --kid hs"), "a test secret of at least 32 bytes");
    assert_eq!(import.0, 0, "{}", import.2);
    assert_in_agreement(&stub);
    stub.done(&keys(&format!("revoke {first}")));
    assert_in_agreement(&stub);
    stub.done(&keys("replace-tag"));
    assert_in_agreement(&stub);
    assert_eq!(kids(&stub.derived("ticket-keys"), "keys"), [json!(2)]);
    for name in ["verification-keys", "ticket-keys", "public-keys"] {
        assert!(!stub.derived(name).to_string().contains("PRIVATE KEY"), "{name}");
    }
}

/// The ids in the ring and in what is derived, as they are when a document is about to be written.
#[derive(Default)]
struct Seen(Arc<Mutex<Vec<(String, usize)>>>);

impl Seen {
    /// Notes each write, with the number of signing keys that are in force in the ring then.
    fn watch(&self, stub: &SecretsManager) {
        let seen = Arc::clone(&self.0);
        stub.meddle(move |operation, secret| {
            if operation.ends_with("PutSecretValue") || operation == "UpdateSecretVersionStage" {
                let count = secret.current()["signing"].as_array().unwrap().len();
                seen.lock().unwrap().push((operation.to_owned(), count));
            }
            Fate::Answered
        });
    }

    fn writes(&self) -> Vec<(String, usize)> {
        self.0.lock().unwrap().clone()
    }
}

#[test]
fn what_is_added_is_derived_before_it_is_in_the_ring() {
    let (stub, ..) = with_two_keys();
    let seen = Seen::default();
    seen.watch(&stub);
    stub.done(&generate());
    let writes = seen.writes();
    let place = |of: &str| writes.iter().position(|(operation, _)| operation == of).unwrap();
    let moved = place("UpdateSecretVersionStage");
    assert!(place("verification-keys PutSecretValue") < moved && place("public-keys PutSecretValue") < moved);
    assert!(writes[..moved].iter().all(|(_, count)| *count == 2), "{writes:?}");
    assert_eq!(writes.len(), 4, "and nothing is written twice: {writes:?}");
    assert_in_agreement(&stub);
}

#[test]
fn what_is_taken_out_leaves_the_ring_first() {
    for place in 0..3 {
        let stub = SecretsManager::start();
        // All of them sign, so that none takes over.
        let kids = [(); 3].map(|()| stub.done(&keys("generate --alg ES256 --publish-seconds 0")).trim().to_owned());
        let seen = Seen::default();
        seen.watch(&stub);
        stub.done(&keys(&format!("revoke {}", kids[place])));
        let writes = seen.writes();
        let names: Vec<&str> = writes.iter().map(|(operation, _)| operation.as_str()).collect();
        assert_eq!(
            names,
            [
                "PutSecretValue",
                "UpdateSecretVersionStage",
                "verification-keys PutSecretValue",
                "public-keys PutSecretValue"
            ],
            "the key at {place}"
        );
        assert_eq!(writes[2].1, 2, "out of the ring by then");
        assert_in_agreement(&stub);
    }
}

/// Somebody else takes a key out just before the ring is swapped, for the first time.
fn revoke_before_the_swap(stub: &SecretsManager, kid: &str) {
    let kid = kid.to_owned();
    stub.meddle_with_moves(move |count, secret| {
        if count == 1 {
            secret.change(|ring| ring["signing"].as_array_mut().unwrap().retain(|key| key["kid"] != kid.as_str()));
        }
        Fate::Answered
    });
}

#[test]
fn a_key_that_others_have_revoked_meanwhile_does_not_come_back() {
    // The only key: the command publishes its successor beside it, and finds then that it is gone.
    let stub = SecretsManager::start();
    let only = stub.done(&generate()).trim().to_owned();
    revoke_before_the_swap(&stub, &only);
    let (code, _, said) = stub.latchkey(&keys(&format!("revoke {only}")), "");
    assert_eq!(code, 1);
    assert!(said.contains("no key") && !said.contains("keys publish"), "{said}");
    assert_in_agreement(&stub);

    // Beside a command that adds a key, and is made at its second try.
    let (stub, first, _) = with_two_keys();
    revoke_before_the_swap(&stub, &first);
    stub.done(&generate());
    assert!(!stub.current().to_string().contains(&first));
    assert_in_agreement(&stub);
}

#[test]
fn a_command_that_fails_leaves_nothing_derived_of_what_it_wanted() {
    let failing: [fn(&str, &mut Secret) -> Fate; 3] = [
        // The swap.
        |operation, _| match operation {
            "UpdateSecretVersionStage" => Fate::Refused("AccessDeniedException"),
            _ => Fate::Answered,
        },
        // Others are always faster.
        |operation, secret| {
            if operation == "UpdateSecretVersionStage" {
                secret.change(|ring| {
                    let tag_key = &mut ring["tagging"][0];
                    tag_key["use_from"] = (tag_key["use_from"].as_i64().unwrap() + 1).into();
                });
            }
            Fate::Answered
        },
        // Only the first document is written ahead.
        |operation, secret| {
            if operation == "public-keys PutSecretValue" && secret.puts.len() == 2 {
                return Fate::Refused("AccessDeniedException");
            }
            Fate::Answered
        },
    ];
    for (case, fails) in failing.into_iter().enumerate() {
        let (stub, ..) = with_two_keys();
        stub.meddle(fails);
        let (code, _, said) = stub.latchkey(&generate(), "");
        assert_eq!(code, 1, "{case}: {said}");
        stub.meddle(|_, _| Fate::Answered);
        assert_in_agreement(&stub);
    }
}

#[test]
fn a_revocation_that_is_made_without_an_answer_reaches_what_is_derived() {
    let (stub, _, second) = with_two_keys();
    let mut is_lost = false;
    stub.meddle(move |operation, _| match operation {
        "UpdateSecretVersionStage" => {
            is_lost = true;
            Fate::AnswerLost
        }
        // Which version is in force cannot be read either.
        "GetSecretValue" if std::mem::take(&mut is_lost) => Fate::Refused("AccessDeniedException"),
        _ => Fate::Answered,
    });
    let (code, _, said) = stub.latchkey(&keys(&format!("revoke {second}")), "");
    assert!(code == 1 && said.contains("not certain"), "{said}");
    assert!(!stub.current().to_string().contains(&second));
    assert_in_agreement(&stub);
}

#[test]
fn what_could_not_be_put_right_after_a_failure_is_said() {
    let (stub, ..) = with_two_keys();
    let before = stub.current();
    let mut puts = 0;
    stub.meddle(move |operation, _| {
        puts += usize::from(operation == "verification-keys PutSecretValue");
        match operation {
            "UpdateSecretVersionStage" => Fate::Refused("LimitExceededException"),
            "verification-keys PutSecretValue" if puts > 1 => Fate::Refused("AccessDeniedException"),
            _ => Fate::Answered,
        }
    });
    let (code, _, said) = stub.latchkey(&generate(), "");
    assert_eq!((code, stub.current()), (1, before));
    for part in ["LimitExceededException", "AccessDeniedException", "latchkey keys publish"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    stub.meddle(|_, _| Fate::Answered);
    stub.done(&keys("publish"));
    assert_in_agreement(&stub);
}

#[test]
fn commands_at_once_leave_what_is_derived_from_the_ring_in_force() {
    for other in ["revoke", "generate"] {
        let stub = SecretsManager::start();
        let only = stub.done(&generate()).trim().to_owned();
        let revoke = keys(&format!("revoke {only}"));
        let beside = if other == "revoke" { revoke.clone() } else { generate() };
        let codes = std::thread::scope(|scope| {
            let commands = [&revoke, &beside].map(|line| scope.spawn(|| stub.latchkey(line, "").0));
            commands.map(|command| command.join().unwrap())
        });
        assert!(codes.contains(&0), "{codes:?}");
        assert!(!stub.current().to_string().contains(&only));
        assert_in_agreement(&stub);
    }
}

#[test]
fn a_key_that_takes_over_is_derived_before_and_the_one_it_replaces_leaves_last() {
    let stub = SecretsManager::start();
    let only = stub.done(&generate()).trim().to_owned();
    let published = Arc::new(Mutex::new(Vec::new()));
    let (noted, revoked) = (Arc::clone(&published), only.clone());
    stub.meddle(move |operation, secret| {
        if operation == "public-keys PutSecretValue" {
            let kid = secret.current()["signing"][0]["kid"].clone();
            noted.lock().unwrap().push(kid == revoked.as_str());
        }
        Fate::Answered
    });
    stub.done(&keys(&format!("revoke {only}")));
    assert_eq!(*published.lock().unwrap(), [true, false], "both while the old one is in force, then the new one alone");
    assert_in_agreement(&stub);
    assert!(!stub.derived("public-keys").to_string().contains(&only));
}

#[test]
fn a_ring_that_others_change_meanwhile_is_derived_from_again() {
    let (stub, first, _) = with_two_keys();
    let mut is_first = true;
    stub.meddle(move |operation, secret| {
        // The command has changed the ring, and derives; somebody else takes another key out.
        if operation == "verification-keys PutSecretValue" && std::mem::take(&mut is_first) {
            secret.change(|ring| ring["signing"].as_array_mut().unwrap().retain(|key| key["kid"] != first.as_str()));
        }
        Fate::Answered
    });
    stub.done(&keys("replace-tag"));
    assert_eq!(stub.current()["signing"].as_array().unwrap().len(), 1);
    assert_in_agreement(&stub);

    // Again and again: given up, and said.
    stub.meddle(|operation, secret| {
        if operation.ends_with("PutSecretValue") && operation != "PutSecretValue" {
            secret.change(|ring| {
                let tag_key = &mut ring["tagging"][0];
                tag_key["use_from"] = (tag_key["use_from"].as_i64().unwrap() + 1).into();
            });
        }
        Fate::Answered
    });
    let (code, _, said) = stub.latchkey(&keys("import-hs256 --kid hs"), "a test secret of at least 32 bytes");
    assert_eq!(code, 1);
    assert!(said.contains("at the same time") || said.contains("in a row"), "{said}");
}

#[test]
fn where_nothing_can_be_derived_ahead_nothing_is_changed() {
    let (stub, ..) = with_two_keys();
    let before = stub.current();
    let mistyped = generate().replace("latchkey/public-keys", "latchkey/mistyped");
    let (code, out, said) = stub.latchkey(&mistyped, "");
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(said.contains("latchkey/mistyped") && said.contains("It was not changed"), "{said}");
    assert_eq!(stub.current(), before);
}

#[test]
fn a_command_that_could_not_derive_afterwards_says_so_and_another_one_does_it() {
    let (stub, _, second) = with_two_keys();
    stub.meddle(|operation, _| match operation {
        "verification-keys PutSecretValue" => Fate::Refused("AccessDeniedException"),
        _ => Fate::Answered,
    });
    let (code, _, said) = stub.latchkey(&keys(&format!("revoke {second}")), "");
    assert_eq!(code, 1);
    assert!(said.contains("AccessDeniedException") && said.contains("latchkey keys publish"), "{said}");
    assert_eq!(stub.current()["signing"].as_array().unwrap().len(), 1, "out of the ring");
    assert!(stub.derived("verification-keys").to_string().contains(&second));

    stub.meddle(|_, _| Fate::Answered);
    stub.done(&keys("publish"));
    assert_in_agreement(&stub);
    let puts = stub.derived_puts();
    stub.done(&keys("publish"));
    assert_eq!(stub.derived_puts(), puts, "what is written already is left alone");
}

#[test]
fn a_dry_run_derives_nothing() {
    let (stub, first, _) = with_two_keys();
    let (before, puts) = (stub.current(), stub.derived_puts());
    stub.done(&keys(&format!("revoke {first} --dry-run")));
    stub.done(&keys("replace-tag --dry-run"));
    assert_eq!((stub.current(), stub.derived_puts()), (before, puts));
}

#[test]
fn a_file_has_nothing_derived_beside_it_unless_that_is_asked_for() {
    let files = Files::new();
    files.done("keys generate --alg ES256 --file keys.json");
    let places = ["verification", "ticket", "public"].map(|name| format!("--{name}-keys {name}-keys.json"));
    files.done(&format!("keys publish --file keys.json {}", places.join(" ")));
    let text = files.read("keys.json");
    let derived = Derived::of(&KeyRing::parse(&text).unwrap(), &text).unwrap();
    for document in DerivedDocument::ALL {
        let wanted: Value = serde_json::from_str(&derived.text(document)).unwrap();
        assert_eq!(files.json(&format!("{}.json", document.name())), wanted);
    }
}

#[test]
fn a_ring_in_secrets_manager_is_changed_with_what_is_derived_from_it_or_not_at_all() {
    for line in [
        "keys generate --alg ES256 --secret-id a",
        "keys import-hs256 --kid hs --secret-id a",
        "keys revoke KID --secret-id a",
        "keys replace-tag --secret-id a",
        "keys replace-tag --secret-id a --verification-keys b --ticket-keys c",
        "keys replace-tag --file keys.json --verification-keys b --ticket-keys c --public-keys d",
        "keys publish --secret-id a",
    ] {
        let (done, _, said) = output(&words(line));
        assert_eq!(done.status.code(), Some(2), "{line}: {said}");
        assert!(said.contains("-keys"), "{line}: {said}");
    }
}
