//! The fuzz targets on stable Rust: the committed seeds and corpus, and inputs made from them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use fuzz_targets::{MAX_INPUT_BYTES, Outcome, TARGETS, Target};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, TestRunner},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The inputs that people wrote: the seeds, and the sample events of the function at hand.
fn seeds(target: &str) -> Vec<PathBuf> {
    let mut seeds = files(&root().join("fuzz/seeds").join(target));
    let is_event = |name: &str| match target {
        "authorizer_event" => name.starts_with("authorizer-"),
        "lambda_event" => !["authorizer-", "rotate-keys-", "README"].iter().any(|other| name.starts_with(other)),
        _ => false,
    };
    seeds.extend(
        files(&root().join("events")).into_iter().filter(|file| is_event(file.file_name().unwrap().to_str().unwrap())),
    );
    seeds
}

fn inputs(target: &str) -> Vec<Vec<u8>> {
    let corpus = files(&root().join("fuzz/corpus").join(target));
    assert!(!corpus.is_empty(), "{target} has no corpus");
    seeds(target).iter().chain(&corpus).map(|file| fs::read(file).unwrap()).collect()
}

#[test]
fn every_target_has_its_fuzz_binary() {
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        let binary = fs::read_to_string(root().join(format!("fuzz/fuzz_targets/{name}.rs"))).unwrap();
        assert!(binary.contains(&format!("fuzz_targets::{name}(")), "{name}");
    }
    let binaries = files(&root().join("fuzz/fuzz_targets"));
    assert_eq!(binaries.len(), TARGETS.len(), "a fuzz binary without a target");
}

#[test]
fn seeds_are_accepted_and_refused_and_none_is_unused() {
    for (name, target) in TARGETS {
        let mut outcomes = Vec::new();
        for seed in seeds(name) {
            let outcome = target(&fs::read(&seed).unwrap());
            assert_ne!(outcome, Outcome::Unused, "{}", seed.display());
            outcomes.push(outcome);
        }
        assert!(outcomes.contains(&Outcome::Accepted) && outcomes.contains(&Outcome::Refused), "{name}: {outcomes:?}");
    }
}

#[test]
fn the_committed_corpus_holds_every_property() {
    for (name, target) in TARGETS {
        for input in inputs(name) {
            target(&input);
        }
    }
}

#[test]
fn the_corpus_holds_nothing_twice() {
    for (name, _) in TARGETS {
        let inputs = inputs(name);
        assert_eq!(inputs.iter().collect::<BTreeSet<_>>().len(), inputs.len(), "{name}");
    }
}

/// What a fuzzer does to an input, and in that order.
#[derive(Clone, Debug)]
enum Change {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize),
    /// The rest comes from another input.
    Splice(Index, Vec<u8>),
}

fn change(inputs: Vec<Vec<u8>>) -> impl Strategy<Value = Change> {
    let telling = select(&b"\"\\{}[],:.=&%+-_\n\0 0179eE/A\xff\xc3"[..]);
    let byte = prop_oneof![telling, any::<u8>()];
    prop_oneof![
        4 => (any::<Index>(), byte.clone()).prop_map(|(at, byte)| Change::Set(at, byte)),
        3 => (any::<Index>(), vec(byte, 1..8)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        2 => (any::<Index>(), 1_usize..16).prop_map(|(at, length)| Change::Remove(at, length)),
        2 => (any::<Index>(), 1_usize..64).prop_map(|(at, length)| Change::Repeat(at, length)),
        1 => (any::<Index>(), select(inputs)).prop_map(|(at, other)| Change::Splice(at, other)),
    ]
}

fn changed(mut input: Vec<u8>, changes: Vec<Change>) -> Vec<u8> {
    for change in changes {
        match change {
            Change::Set(at, byte) if !input.is_empty() => {
                let at = at.index(input.len());
                input[at] = byte;
            }
            Change::Set(..) => {}
            Change::Insert(at, bytes) => {
                let at = at.index(input.len() + 1);
                input.splice(at..at, bytes);
            }
            Change::Remove(at, length) => {
                let at = at.index(input.len() + 1);
                input.drain(at..(at + length).min(input.len()));
            }
            Change::Repeat(at, length) => {
                let at = at.index(input.len() + 1);
                let piece = input[at..(at + length).min(input.len())].to_vec();
                input.splice(at..at, piece);
            }
            Change::Splice(at, other) => {
                let at = at.index(input.len() + 1);
                input.truncate(at);
                input.extend(other.iter().skip(at));
            }
        }
    }
    input
}

/// `PROPTEST_CASES` says how many inputs; 256 if it says nothing.
fn holds(name: &str) {
    let (_, target): (&str, Target) = TARGETS.into_iter().find(|(own, _)| *own == name).unwrap();
    let inputs = inputs(name);
    let near = (select(inputs.clone()), vec(change(inputs), 1..6)).prop_map(|(input, changes)| changed(input, changes));
    let input =
        prop_oneof![8 => near, 1 => vec(any::<u8>(), 0..200), 1 => any::<String>().prop_map(String::into_bytes)];
    let config = Config { failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&input, |input| {
            target(&input);
            Ok(())
        })
        .unwrap();
}

macro_rules! properties {
    ($($name:ident),+) => {
        $(
            #[test]
            fn $name() {
                holds(stringify!($name));
            }
        )+

        #[test]
        fn every_target_is_a_property_test() {
            assert_eq!([$(stringify!($name)),+].as_slice(), TARGETS.map(|(name, _)| name));
        }
    };
}

properties!(
    access_token,
    assertion,
    authorization_request,
    authorizer_event,
    key_ring,
    lambda_event,
    redirect_pattern,
    refresh_token,
    registrations,
    request_body,
    rotation_event,
    ticket,
    ticket_keys,
    web_url
);

#[test]
fn longer_inputs_are_left_alone() {
    let long = vec![b'j'; MAX_INPUT_BYTES + 1];
    for (name, target) in TARGETS.into_iter().filter(|(name, _)| *name != "refresh_token") {
        assert_eq!(target(&long), Outcome::Unused, "{name}");
    }
}
