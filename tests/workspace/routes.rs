//! The table of routes (`shared/token/src/routes.rs`) is the only place: what else must know a route is held against it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod template;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use latchkey_token::routes::{self, Route, Who};
use serde_json::Value;

use template::{of_type, read, resources, root, yaml};

/// What is missing and what is too much, in words that say where.
fn compare(place: &str, there: &BTreeSet<String>) {
    let table: BTreeSet<String> = routes::ALL.iter().map(Route::to_string).collect();
    let missing: Vec<_> = table.difference(there).collect();
    let unknown: Vec<_> = there.difference(&table).collect();
    assert!(missing.is_empty(), "{place}: add {missing:?}");
    assert!(unknown.is_empty(), "{place}: {unknown:?} is not in the table of routes, shared/token/src/routes.rs");
}

#[test]
fn the_template_has_every_route_for_its_function_and_no_other() {
    let resources = resources();
    let routes = of_type(&resources, "AWS::ApiGatewayV2::Route");
    let keys = routes.values().map(|route| route["RouteKey"].as_str().unwrap().to_owned());
    compare("template.yaml", &keys.collect());

    let functions = of_type(&resources, "AWS::Serverless::Function");
    let integrations = of_type(&resources, "AWS::ApiGatewayV2::Integration");
    for route in &routes::ALL {
        let key = route.to_string();
        let (_, deployed) = routes.iter().find(|(_, deployed)| deployed["RouteKey"] == key.as_str()).unwrap();
        let target = deployed["Target"]["Fn::Sub"].as_str().unwrap();
        let integration = target.strip_prefix("integrations/${").unwrap().trim_end_matches('}');
        let alias = integrations[integration]["IntegrationUri"]["Ref"].as_str().unwrap();
        let function = alias.strip_suffix("Aliaslive").unwrap();
        let folder = format!("functions/{}", route.function.folder());
        assert_eq!(functions[function]["CodeUri"], folder.as_str(), "template.yaml: the function of {key}");
        let permission = |permission: &&Value| {
            let source = permission["SourceArn"]["Fn::Sub"][0].as_str().unwrap_or_default();
            let (_, allowed) = source.split_once("${Api}/").unwrap_or_default();
            permission["FunctionName"]["Ref"] == alias && allows(allowed, route)
        };
        let permissions = of_type(&resources, "AWS::Lambda::Permission");
        assert!(permissions.values().any(permission), "template.yaml: API Gateway may not call {key}");
    }
}

#[test]
fn the_rest_api_has_the_same_routes_for_the_same_functions() {
    let resources = resources();
    let functions = of_type(&resources, "AWS::Serverless::Function");
    let paths = resources["RestApi"]["Properties"]["DefinitionBody"]["paths"].as_object().unwrap();
    let methods = paths.iter().flat_map(|(path, methods)| {
        let named = move |(method, item): (&String, _)| (format!("{} {path}", method.to_uppercase()), item);
        methods.as_object().unwrap().iter().map(named)
    });
    let deployed: BTreeMap<String, &Value> = methods.collect();
    compare("template.yaml, RestApi", &deployed.keys().cloned().collect());
    for route in &routes::ALL {
        let uri = deployed[&route.to_string()]["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"].as_str().unwrap();
        let alias = uri.split_once("/functions/${").unwrap().1.strip_suffix("}/invocations").unwrap();
        let folder = format!("functions/{}", route.function.folder());
        let function = alias.strip_suffix("Aliaslive").unwrap();
        assert_eq!(functions[function]["CodeUri"], folder.as_str(), "template.yaml, RestApi: the function of {route}");
    }
}

/// `*/POST/token`: stage, method and path, a star for anything.
fn allows(pattern: &str, route: &Route) -> bool {
    let (_, below) = pattern.split_once('/').unwrap_or_default();
    let (method, path) = below.split_once('/').unwrap_or_default();
    let own = route.path.trim_start_matches('/');
    let has_path = path.split_once('*').map_or(path == own, |(start, _)| own.starts_with(start));
    (method == route.method.name() || method == "*") && has_path
}

#[test]
fn the_stage_waits_for_every_route_and_throttles_each_that_is_not_cacheable() {
    let resources = resources();
    let awaited: BTreeSet<&str> =
        resources["Stage"]["DependsOn"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for name in of_type(&resources, "AWS::ApiGatewayV2::Route").keys() {
        assert!(awaited.contains(name), "template.yaml, Stage, DependsOn: add {name}");
    }
    let throttled = resources["Stage"]["Properties"]["RouteSettings"].as_object().unwrap();
    for route in routes::ALL.iter().filter(|route| !route.is_cacheable) {
        assert!(throttled.contains_key(&route.to_string()), "template.yaml, Stage, RouteSettings: add {route}");
    }
}

#[test]
fn the_openapi_document_has_every_route_for_the_same_callers_and_no_other() {
    let document = yaml(&read("docs/openapi.yaml"));
    let mut documented = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        // What only the local server has names its server.
        for (method, operation) in item.as_object().unwrap().iter().filter(|_| item.get("servers").is_none()) {
            if ["get", "post", "delete", "put", "patch"].contains(&method.as_str()) {
                documented.insert(format!("{} {path}", method.to_uppercase()), operation.clone());
            }
        }
    }
    compare("docs/openapi.yaml", &documented.keys().cloned().collect());
    for route in &routes::ALL {
        let operation = &documented[&route.to_string()];
        let schemes = operation["security"].as_array().cloned().unwrap_or_default();
        let names = |scheme: &str| schemes.iter().any(|one| one.get(scheme).is_some());
        let who = match (names("issuerBasic"), names("clientBasic")) {
            (true, true) => Who::IssuerOrClient,
            (true, false) => Who::Issuer,
            (false, true) => Who::Client,
            (false, false) if names("accessToken") => Who::Bearer,
            (false, false) => Who::Anyone,
        };
        assert_eq!(who, route.who, "docs/openapi.yaml: security of {route}");
        let headers = operation["responses"]["200"]["headers"].as_object();
        let is_cacheable = headers.is_some_and(|headers| headers.contains_key("ETag"));
        assert_eq!(is_cacheable, route.is_cacheable, "docs/openapi.yaml: headers of {route}");
    }
}

#[test]
fn the_document_for_people_names_every_path() {
    let text = read("docs/api.md");
    for route in &routes::ALL {
        assert!(text.contains(route.path), "docs/api.md: add {route}");
    }
}

#[test]
fn every_route_has_a_sample_event_named_after_its_function() {
    let mut sampled = BTreeSet::new();
    for entry in fs::read_dir(root().join("events")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let event: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let http = &event["requestContext"]["http"];
        let (Some(method), Some(path)) = (http["method"].as_str(), http["path"].as_str()) else { continue };
        if let routes::Found::Route(route) = routes::find(method, path) {
            assert!(name.starts_with(route.function.folder()), "events/{name}.json is for {route}");
            sampled.insert(route.to_string());
        }
    }
    compare("events", &sampled);
}

#[test]
fn every_function_of_the_table_has_a_folder() {
    for route in &routes::ALL {
        let main = format!("functions/{}/src/main.rs", route.function.folder());
        assert!(root().join(&main).exists(), "{main}: {route}");
    }
}
