//! The architecture, held by Cargo's own metadata.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use cargo_metadata::{DepKindInfo, DependencyKind, Metadata, MetadataCommand, PackageId};

fn metadata() -> Metadata {
    MetadataCommand::new().manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml")).exec().unwrap()
}

/// Names of all packages that `package` needs to run, itself included.
fn runtime_dependencies(metadata: &Metadata, package: &str) -> BTreeSet<String> {
    let names: BTreeMap<&PackageId, &str> =
        metadata.packages.iter().map(|package| (&package.id, package.name.as_str())).collect();
    let resolve = metadata.resolve.as_ref().unwrap();
    let root = metadata.packages.iter().find(|own| own.name.as_str() == package).expect(package);
    let mut seen = BTreeSet::new();
    let mut pending = vec![&root.id];
    while let Some(id) = pending.pop() {
        if !seen.insert(id) {
            continue;
        }
        let node = resolve.nodes.iter().find(|node| node.id == *id).unwrap();
        let is_normal = |kinds: &[DepKindInfo]| kinds.iter().any(|kind| kind.kind == DependencyKind::Normal);
        pending.extend(node.deps.iter().filter(|other| is_normal(&other.dep_kinds)).map(|other| &other.pkg));
    }
    seen.into_iter().map(|id| names[id].to_owned()).collect()
}

fn functions() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../functions");
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert!(!names.is_empty());
    names
}

#[test]
fn the_domain_depends_on_no_aws_http_or_async_runtime_crate() {
    let dependencies = runtime_dependencies(&metadata(), "latchkey-token");
    assert!(dependencies.contains("jsonwebtoken"), "the walk finds what is there: {dependencies:?}");
    for dependency in &dependencies {
        // aws-lc is cryptography, not AWS.
        let is_aws =
            dependency.starts_with("aws-") && !dependency.starts_with("aws-lc") || dependency.starts_with("lambda_");
        let is_http = ["http", "hyper", "axum", "reqwest", "tower", "url", "h2"].contains(&dependency.as_str());
        let is_runtime = ["tokio", "async-std", "smol", "mio"].contains(&dependency.as_str());
        assert!(!is_aws && !is_http && !is_runtime, "latchkey-token reaches {dependency}");
    }
}

#[test]
fn no_function_reaches_the_test_kit_or_the_embedded_engine() {
    let metadata = metadata();
    for function in functions() {
        let dependencies = runtime_dependencies(&metadata, &function);
        assert!(dependencies.contains("lambda_http"), "{function}");
        for forbidden in
            ["latchkey-token-testkit", "dynoxide-rs", "rusqlite", "latchkey", "axum", "clap", "aws-sdk-cloudwatchlogs"]
        {
            assert!(!dependencies.contains(forbidden), "{function} reaches {forbidden}");
        }
    }
}

const FORBIDDEN: [&str; 6] =
    ["SystemTime", "Instant::now", "SystemRandom", "std::env", "thread_rng", "aws_lc_rs::rand"];

#[test]
fn the_domain_has_no_clock_randomness_or_environment_of_its_own() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/token/src")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("testing.rs") {
                files += 1;
                let text = fs::read_to_string(&path).unwrap();
                for forbidden in FORBIDDEN {
                    assert!(!text.contains(forbidden), "{} uses {forbidden}", path.display());
                }
            }
        }
    }
    assert!(files > 20, "{files}");
}

#[test]
fn composition_roots_stay_small() {
    for function in functions() {
        let main = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../functions").join(&function).join("src/main.rs");
        let lines = fs::read_to_string(main).unwrap().lines().count();
        assert!(lines <= 40, "{function}/src/main.rs has {lines} lines");
    }
}
