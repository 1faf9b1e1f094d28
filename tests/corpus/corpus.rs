//! Inputs as other people's tools write them, one file a case, and what becomes of each.
//!
//! A case is `cases/KIND/NAME.json`:
//!
//! ```json
//! {"why": "who writes such a thing", "input": …, "taken": "as this"}
//! {"why": "who writes such a thing", "input": …, "refused": ["these words", "are in the message"]}
//! ```
//!
//! `input` is whatever the kind's reader takes: mostly text. Bytes that are no text are `"input_base64"`. A new kind is a folder
//! and a line in [`READERS`]. No personal data, no secret that anybody uses, own words.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod files;
mod settings;

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

/// Reads one input: what it is taken as, or why it is refused.
type Reader = fn(&Value) -> Result<String, String>;

const READERS: [(&str, Reader); 5] = [
    ("key-sets", files::key_set),
    ("origins", settings::origins),
    ("registrations", files::registrations),
    ("setting-names", settings::names),
    ("shared-secrets", files::shared_secret),
];

fn cases() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// What went otherwise than the case says.
fn judge(case: &Value, outcome: &Result<String, String>) -> Result<(), String> {
    assert!(case["why"].as_str().is_some_and(|why| !why.is_empty()), "a case says why");
    match (&case["taken"], &case["refused"], outcome) {
        (Value::String(taken), Value::Null, Ok(read)) if taken == read => Ok(()),
        (Value::Null, Value::Array(words), Err(said))
            if !words.is_empty() && words.iter().all(|word| said.contains(word.as_str().unwrap())) =>
        {
            Ok(())
        }
        _ => Err(format!("{outcome:?}")),
    }
}

#[test]
fn every_case_is_taken_or_refused_as_it_says() {
    let mut wrong = Vec::new();
    for (kind, read) in READERS {
        let folder = cases().join(kind);
        for name in names_in(&folder) {
            let case: Value = serde_json::from_slice(&fs::read(folder.join(&name)).unwrap())
                .unwrap_or_else(|error| panic!("{kind}/{name}: {error}"));
            let input = if case["input"].is_null() { &case["input_base64"] } else { &case["input"] };
            assert!(!input.is_null(), "{kind}/{name} has no input");
            if let Err(outcome) = judge(&case, &read(input)) {
                wrong.push(format!("{kind}/{name}: {outcome}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_folder_has_its_reader_and_cases_in_it() {
    let kinds: BTreeSet<String> = READERS.iter().map(|(kind, _)| (*kind).to_owned()).collect();
    assert_eq!(names_in(&cases()), kinds);
    assert!(kinds.iter().all(|kind| !names_in(&cases().join(kind)).is_empty()));
}

/// The first test would hold as well if nothing were compared.
#[test]
fn a_case_that_goes_otherwise_is_found() {
    let taken = serde_json::json!({"why": "a test", "input": "", "taken": "a"});
    let refused = serde_json::json!({"why": "a test", "input": "", "refused": ["b"]});
    assert!(judge(&taken, &Ok("a".into())).is_ok() && judge(&refused, &Err("a b".into())).is_ok());
    for outcome in [Ok("b".into()), Err("a".into())] {
        assert!(judge(&taken, &outcome).is_err() && judge(&refused, &outcome).is_err());
    }
}
