//! The records of a data directory, as they are, to look at and to spoil.

use std::path::Path;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use dynoxide::Database;
use latchkey::serve::dynamodb::perform;
use latchkey_token::values::{ClientId, Owner, Subject};
use serde_json::{Value, json};

pub struct Records(Database);

impl Records {
    /// Those of a server that may be running.
    pub fn of(data: &str) -> Self {
        Self(Database::new(Path::new(data).join("sessions.sqlite").to_str().unwrap()).unwrap())
    }

    fn perform(&self, operation: &str, mut request: Value) -> Value {
        request["TableName"] = "latchkey".into();
        serde_json::from_str(&perform(&self.0, operation, request.to_string().as_bytes()).unwrap()).unwrap()
    }

    fn key(session_id: &str) -> Value {
        let bytes = URL_SAFE_NO_PAD.decode(session_id).unwrap();
        let binary = |bytes: &[u8]| json!({"B": STANDARD.encode(bytes)});
        json!({"owner": binary(&bytes[..16]), "sid": binary(&bytes[16..])})
    }

    /// Whose records there are; "?" where the record does not say it.
    pub fn subjects(&self) -> Vec<String> {
        let scanned = self.perform("Scan", json!({}));
        let items = scanned["Items"].as_array().unwrap().iter();
        let mut subjects: Vec<String> =
            items.map(|item| item["subject"]["S"].as_str().unwrap_or("?").to_owned()).collect();
        subjects.sort();
        subjects
    }

    /// Makes the session's record one that cannot be read.
    pub fn spoil(&self, session_id: &str) {
        self.perform(
            "UpdateItem",
            json!({
                "Key": Self::key(session_id), "UpdateExpression": "SET #scope = :number",
                "ExpressionAttributeNames": {"#scope": "scope"}, "ExpressionAttributeValues": {":number": {"N": "1"}},
            }),
        );
    }

    /// A record beside the session's that is none of ours.
    pub fn put_stranger_beside(&self, session_id: &str) {
        let mut item = Self::key(session_id);
        item["sid"] = json!({"B": STANDARD.encode(b"short")});
        self.perform("PutItem", json!({"Item": item}));
    }

    /// A copy of the session's record that is another client's; the id of that session.
    pub fn copy_for(&self, session_id: &str, client: &str) -> String {
        let mut item = self.perform("GetItem", json!({"Key": Self::key(session_id)}))["Item"].take();
        let subject = Subject::parse(item["subject"]["S"].as_str().unwrap()).unwrap();
        let owner = Owner::of(&ClientId::parse(client).unwrap(), &subject);
        let sid = STANDARD.decode(item["sid"]["B"].as_str().unwrap()).unwrap();
        item["owner"] = json!({"B": STANDARD.encode(owner.as_bytes())});
        item["client_id"] = json!({"S": client});
        self.perform("PutItem", json!({"Item": item}));
        URL_SAFE_NO_PAD.encode([&owner.as_bytes()[..], &sid].concat())
    }

    /// So many copies of the session's record, each with an id of its own.
    pub fn copy(&self, session_id: &str, count: u32) {
        let asked = json!({"Key": Self::key(session_id)});
        let mut item = self.perform("GetItem", asked)["Item"].take();
        let sid = STANDARD.decode(item["sid"]["B"].as_str().unwrap()).unwrap();
        for number in 0..count {
            let mut sid = sid.clone();
            sid[12..].copy_from_slice(&number.to_be_bytes());
            item["sid"] = json!({"B": STANDARD.encode(sid)});
            self.perform("PutItem", json!({"Item": item}));
        }
    }
}
