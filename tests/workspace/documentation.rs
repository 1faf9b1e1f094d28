//! Every link in the documents that leads to a file or a heading of this project finds it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod template;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use latchkey_token::audit::{EventKind, Reason};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

#[test]
fn every_relative_link_and_anchor_resolves() {
    let documents = documents();
    assert!(documents.iter().any(|path| path.ends_with("docs/README.md")), "{documents:?}");
    let mut checked = 0;
    let mut broken = Vec::new();
    for document in &documents {
        for link in links(&fs::read_to_string(document).unwrap()) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            checked += 1;
            if !resolves(document, &link) {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(checked > 10, "{checked}");
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_test_that_the_threat_model_names_is_there() {
    let text = fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    let names = Parser::new_ext(&text, Options::ENABLE_TABLES).filter_map(|event| match event {
        Event::Code(code) if code.len() > 20 && code.matches('_').count() > 1 => Some(code.into_string()),
        _ => None,
    });
    let names: BTreeSet<String> = names.filter(|name| name.bytes().all(|byte| !byte.is_ascii_uppercase())).collect();
    assert!(names.len() > 50, "{names:?}");
    let sources: String = files("rs").iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let missing: Vec<&String> = names.iter().filter(|name| !sources.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_reason_of_the_audit_trail_is_explained_and_no_other() {
    let text = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let rows = table_under(&text, "Every reason");
    let explained: Vec<&str> = rows.iter().map(|row| row[0].as_str()).filter(|name| !name.is_empty()).collect();
    let reasons = Reason::ALL.map(Reason::name);
    let missing: Vec<&&str> = reasons.iter().filter(|name| !explained.contains(name)).collect();
    let unknown: Vec<&&str> = explained.iter().filter(|name| !reasons.contains(name)).collect();
    assert!(missing.is_empty(), "docs/operations.md, Every reason: add {missing:?}");
    assert!(unknown.is_empty(), "docs/operations.md, Every reason: no code gives {unknown:?}");
    assert_eq!(explained, reasons, "the same order, none twice");
    for row in rows.iter().filter(|row| !row[0].is_empty()) {
        assert!(row.len() == 3 && row.iter().all(|cell| !cell.trim().is_empty()), "{row:?}");
    }
}

#[test]
fn every_event_of_the_audit_trail_is_among_the_metrics() {
    let text = fs::read_to_string(root().join("docs/monitoring.md")).unwrap();
    for event in EventKind::ALL.map(EventKind::name) {
        assert!(text.contains(&format!("`{event}`")), "docs/monitoring.md, Metrics: add {event}");
    }
}

#[test]
fn every_alarm_links_to_its_runbook_and_every_runbook_is_an_alarms() {
    let text = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let (_, section) = text.split_once("\n## Alarms\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let runbooks: BTreeSet<&str> = section.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let resources = template::resources();
    let alarms = template::of_type(&resources, "AWS::CloudWatch::Alarm");
    assert_eq!(runbooks, alarms.keys().copied().collect(), "docs/operations.md, Alarms");
    for (name, alarm) in &alarms {
        let description = alarm["AlarmDescription"]["Fn::Sub"].as_str().unwrap_or_default();
        let link = format!(" ${{RunbookUrl}}#{}", anchor(name));
        assert!(description.ends_with(&link), "template.yaml, {name}: its description ends with {link}");
    }
    let monitored = fs::read_to_string(root().join("docs/monitoring.md")).unwrap();
    for name in alarms.keys() {
        assert!(monitored.contains(&format!("`{name}`")), "docs/monitoring.md, Alarms: add {name}");
    }
}

#[test]
fn every_parameter_of_the_template_is_documented() {
    let text: String = documents().iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let template = template::yaml(&template::read("template.yaml"));
    for name in template["Parameters"].as_object().unwrap().keys() {
        // `AccessTokenSeconds` is `LATCHKEY_ACCESS_TOKEN_SECONDS`.
        let words = name.chars().map(|letter| if letter.is_uppercase() { format!("_{letter}") } else { letter.into() });
        let setting = format!("`LATCHKEY{}`", words.collect::<String>().to_uppercase());
        assert!(text.contains(&format!("`{name}`")) || text.contains(&setting), "docs/configuration.md: add {name}");
    }
}

#[test]
fn every_suite_is_on_the_map_with_a_command_that_is_there() {
    let text = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let rows = table_under(&text, "The map of the tests");
    let mapped: BTreeSet<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    let below = |folder: &str| {
        let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap());
        let folders = entries.filter(|entry| entry.path().is_dir());
        folders.map(|entry| format!("{folder}/{}", entry.file_name().to_str().unwrap())).collect::<Vec<_>>()
    };
    let crates = [below("shared"), below("functions"), vec!["local".to_owned()]].concat();
    let own = crates.iter().map(|folder| format!("{folder}/tests")).filter(|folder| root().join(folder).is_dir());
    let suites: Vec<String> = below("tests").into_iter().chain(own).chain(["fuzz".to_owned()]).collect();
    for suite in &suites {
        assert!(mapped.contains(suite.as_str()), "CONTRIBUTING.md, The map of the tests: add {suite}");
    }
    let packages: String = files("toml").iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    for row in &rows {
        assert!(row[0] == "shared/*/src" || suites.contains(&row[0]), "CONTRIBUTING.md: there is no {}", row[0]);
        for command in row[3].split(", ").filter(|command| !command.is_empty()) {
            let mut words = command.split(' ');
            let is_there = match words.next().unwrap() {
                "cargo" => packages.contains(&format!("name = \"{}\"\n", words.nth(2).unwrap())),
                script => root().join(script).is_file(),
            };
            assert!(is_there, "CONTRIBUTING.md, {}: {command}", row[0]);
        }
    }
}

/// The cells of the first table below a heading, as plain text; a cell in bold, which groups rows, is left empty.
fn table_under(text: &str, heading: &str) -> Vec<Vec<String>> {
    let (mut rows, mut is_heading, mut is_below, mut is_bold) = (Vec::<Vec<String>>::new(), false, false, false);
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => is_heading = true,
            Event::End(TagEnd::Heading(_)) => is_heading = false,
            Event::Text(text) if is_heading => is_below |= text.as_ref() == heading,
            Event::Start(Tag::TableRow) if is_below => rows.push(Vec::new()),
            Event::Start(Tag::TableCell) => rows.last_mut().into_iter().for_each(|row| row.push(String::new())),
            Event::Start(Tag::Strong) => is_bold = true,
            Event::End(TagEnd::Strong) => is_bold = false,
            Event::Text(text) | Event::Code(text) if is_below && !is_bold => {
                rows.last_mut().and_then(|row| row.last_mut()).into_iter().for_each(|cell| cell.push_str(&text));
            }
            Event::End(TagEnd::Table) if is_below => break,
            _ => {}
        }
    }
    assert!(!rows.is_empty(), "no table below {heading:?}");
    rows
}

#[test]
fn a_heading_is_found_under_the_name_that_it_gets_on_github() {
    let text =
        "# A `--flag`, twice\n## A --flag twice\n## Über_all: 2nd\n## A `--flag`, twice\n```\n# no heading\n```\n";
    let expected = ["a---flag-twice", "a---flag-twice-1", "über_all-2nd", "a---flag-twice-2"];
    assert_eq!(anchors(text), BTreeSet::from(expected.map(str::to_owned)));
}

/// Every Markdown file of the project; what is built or installed is not.
fn documents() -> Vec<PathBuf> {
    files("md")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn files(extension: &str) -> Vec<PathBuf> {
    let mut folders = vec![root()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                if !name.starts_with('.') && name != "target" && name != "node_modules" {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|own| own == extension) {
                found.push(path);
            }
        }
    }
    found
}

fn resolves(document: &Path, link: &str) -> bool {
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = match path {
        "" => document.to_owned(),
        path => document.parent().unwrap().join(path),
    };
    match anchor {
        "" => target.exists(),
        anchor => fs::read_to_string(target).is_ok_and(|text| anchors(&text).contains(anchor)),
    }
}

fn links(text: &str) -> Vec<String> {
    let links = Parser::new_ext(text, Options::ENABLE_TABLES).filter_map(|event| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => Some(dest_url.into_string()),
        _ => None,
    });
    links.collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut heading = None;
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                let anchor = anchor(&heading.take().unwrap());
                let repeated = (1..).map(|count| format!("{anchor}-{count}"));
                let mut names = std::iter::once(anchor.clone()).chain(repeated);
                anchors.insert(names.find(|name| !anchors.contains(name)).unwrap());
            }
            _ => {}
        }
    }
    anchors
}

fn anchor(heading: &str) -> String {
    let letters = heading.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    letters.map(|letter| if letter == ' ' { '-' } else { letter }).flat_map(char::to_lowercase).collect()
}
