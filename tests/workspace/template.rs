//! `template.yaml` and other YAML as JSON.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use saphyr::{LoadableYamlNode, Yaml};
use serde_json::{Map, Value, json};

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// A YAML document as JSON. CloudFormation's short forms become their long ones: `!Ref X` is `{"Ref": "X"}`.
pub fn yaml(text: &str) -> Value {
    let documents = Yaml::load_from_str(text).unwrap();
    assert_eq!(documents.len(), 1);
    plain(&documents[0])
}

fn plain(node: &Yaml<'_>) -> Value {
    if let (Some(tag), Some(inner)) = (node.get_tag(), node.get_tagged_node()) {
        let name = if tag.suffix == "Ref" { "Ref".to_owned() } else { format!("Fn::{}", tag.suffix) };
        return json!({name: plain(inner)});
    }
    if let Some(mapping) = node.as_mapping() {
        let member = |(name, value): (&Yaml<'_>, &Yaml<'_>)| (scalar(name), plain(value));
        return Value::Object(mapping.iter().map(member).collect());
    }
    match node.as_sequence() {
        Some(items) => items.iter().map(plain).collect(),
        None => scalar(node).into(),
    }
}

fn scalar(node: &Yaml<'_>) -> String {
    let texts = [node.as_str().map(str::to_owned), node.as_integer().map(|number| number.to_string())];
    texts.into_iter().flatten().next().unwrap_or_default()
}

pub fn resources() -> Map<String, Value> {
    yaml(&read("template.yaml"))["Resources"].as_object().unwrap().clone()
}

/// All resources of a type, by their logical ids.
pub fn of_type<'a>(resources: &'a Map<String, Value>, kind: &str) -> BTreeMap<&'a str, &'a Value> {
    let is_kind = |(_, resource): &(&String, &Value)| resource["Type"] == kind;
    resources.iter().filter(is_kind).map(|(name, resource)| (name.as_str(), &resource["Properties"])).collect()
}
