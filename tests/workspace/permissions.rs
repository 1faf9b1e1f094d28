//! What a role may do is what its function sends. The emulator cannot show this: it fills `dynamodb:Attributes` from
//! projections alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod template;

use std::{collections::BTreeSet, sync::Arc};

use latchkey_token::{ports::RevokeSession, session::WriteOutcome};
use latchkey_token_aws::{DynamoDbSessions, sdk};
use latchkey_token_testkit::fixture;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::Mutex,
};

/// An operation and its input.
type Request = (String, Value);

/// Every request that ending a session can take, as it is sent: the condition does not hold, so there are as many as there
/// can be.
async fn requests_of_a_revocation() -> Vec<Request> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&requests);
    let serving = tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let request = read(&mut connection).await;
            let answer = match request.0.as_str() {
                "UpdateItem" => ("400 Bad Request", r#"{"__type":"ConditionalCheckFailedException"}"#),
                _ => ("200 OK", "{}"),
            };
            noted.lock().await.push(request);
            let (status, body) = answer;
            let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            connection.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        }
    });
    let sdk = sdk::loader()
        .region(aws_config::Region::new("local"))
        .credentials_provider(aws_sdk_dynamodb::config::Credentials::new("local", "local", None, None, "test"))
        .endpoint_url(url)
        .load()
        .await;
    let (key, revocation) = (fixture::session(1).key, fixture::revocation(1));
    let outcome = DynamoDbSessions::new(&sdk, "sessions").revoke(&key, &revocation).await.unwrap();
    assert_eq!(outcome, WriteOutcome::ByAnother(()));
    serving.abort();
    let requests = requests.lock().await;
    requests.clone()
}

async fn read(connection: &mut tokio::net::TcpStream) -> Request {
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 4096];
        let length = connection.read(&mut part).await.unwrap();
        bytes.extend_from_slice(&part[..length]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let header = |name: &str| {
            let line = head.lines().find(|line| line.to_lowercase().starts_with(name)).unwrap();
            line.split_once(": ").unwrap().1.to_owned()
        };
        if body.len() >= header("content-length").parse().unwrap() {
            let operation = header("x-amz-target").rsplit('.').next().unwrap().to_owned();
            return (operation, serde_json::from_str(body).unwrap());
        }
    }
}

/// Every attribute that an update touches: its key's, and those of its expressions.
fn attributes(update: &Value) -> BTreeSet<String> {
    let mut found: BTreeSet<String> = update["Key"].as_object().unwrap().keys().cloned().collect();
    for expression in ["UpdateExpression", "ConditionExpression"] {
        let text = update[expression].as_str().unwrap().replace('(', "( ");
        for word in text.split(|letter: char| letter.is_whitespace() || ",=<>+-)".contains(letter)) {
            let is_keyword = ["", "SET", "REMOVE", "ADD", "DELETE", "AND", "OR", "NOT"].contains(&word);
            if is_keyword || word.starts_with(':') || word.ends_with('(') {
                continue;
            }
            let name =
                if word.starts_with('#') { update["ExpressionAttributeNames"][word].as_str() } else { Some(word) };
            // A path's first part is the top-level attribute.
            found.insert(name.unwrap().split(['.', '[']).next().unwrap().to_owned());
        }
    }
    found
}

fn statements(role: &str) -> Vec<Value> {
    let role = &template::resources()[role]["Properties"];
    let policies = role["Policies"].as_array().unwrap();
    policies.iter().flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().unwrap().clone()).collect()
}

fn allows(statement: &Value, action: &str) -> bool {
    match &statement["Action"] {
        Value::Array(actions) => actions.iter().any(|allowed| allowed == action),
        allowed => allowed == action,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_ends_sessions_may_touch_the_attributes_of_that_update_and_no_others() {
    let requests = requests_of_a_revocation().await;
    let operations: Vec<&str> = requests.iter().map(|(operation, _)| operation.as_str()).collect();
    assert_eq!(operations, ["UpdateItem", "GetItem"], "what stood in the way is asked for with a read");
    let (_, update) = &requests[0];
    assert_eq!(update["ReturnValues"], "NONE");
    assert!(update.get("ReturnValuesOnConditionCheckFailure").is_none(), "a role may not be allowed that");

    for role in ["RevokeRole", "SubjectSessionsRole"] {
        let statements = statements(role);
        let updating: Vec<&Value> =
            statements.iter().filter(|statement| allows(statement, "dynamodb:UpdateItem")).collect();
        let [statement] = updating.as_slice() else { panic!("{role}: one statement for UpdateItem") };
        assert_eq!(statement["Action"], "dynamodb:UpdateItem", "{role}: of its own");
        let conditions = statement["Condition"].as_object().unwrap();
        assert_eq!(conditions.keys().collect::<Vec<_>>(), ["ForAllValues:StringEquals", "StringEqualsIfExists"]);
        assert_eq!(
            statement["Condition"]["StringEqualsIfExists"],
            json!({"dynamodb:ReturnValues": ["NONE"]}),
            "{role}"
        );
        let allowed = statement["Condition"]["ForAllValues:StringEquals"]["dynamodb:Attributes"].as_array().unwrap();
        let names: BTreeSet<String> = allowed.iter().map(|name| name.as_str().unwrap().to_owned()).collect();
        assert_eq!(names.len(), allowed.len(), "{role}: none twice");
        assert_eq!(names, attributes(update), "{role}: template.yaml and shared/token-aws/src/store.rs");
    }
}

#[test]
fn what_strangers_reach_first_has_neither_the_table_nor_keys_that_verify_or_tag() {
    let resources = template::resources();
    for resource in ["AuthorizeFunction", "AuthorizeRole"] {
        let text = resources[resource].to_string();
        for name in ["Sessions", "TableName", "dynamodb", "SigningKeys", "VerificationKeys", "PublicKeys"] {
            assert!(!text.contains(name), "{resource}: {name}");
        }
    }
}

#[test]
fn who_signs_nothing_has_no_name_of_the_key_ring_and_no_permission_on_it() {
    let resources = template::resources();
    for function in ["Authorize", "Revoke", "Introspect", "SubjectSessions", "Authorizer", "Discovery"] {
        for kind in ["Function", "Role"] {
            let resource = &resources[&format!("{function}{kind}")];
            assert!(!resource.to_string().contains("SigningKeys"), "{function}{kind}");
        }
    }
    for function in ["Issue", "Renew", "RotateKeys"] {
        assert!(resources[&format!("{function}Role")].to_string().contains("SigningKeys"), "{function}");
    }
}
