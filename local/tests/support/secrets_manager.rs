//! Secrets Manager with one secret: its versions, their labels, and the rules by which labels move. Beside it, the secrets of
//! what is derived from a key ring.

use std::{
    collections::BTreeMap,
    process::Command,
    sync::{Arc, Mutex, MutexGuard},
};

use serde_json::{Value, json};

use super::{AwsService, run};

pub const CURRENT: &str = "AWSCURRENT";
pub const PREVIOUS: &str = "AWSPREVIOUS";
pub const EDIT: &str = "latchkey-edit";

type Answer = (&'static str, Value);

/// The secret's versions.
#[derive(Default)]
pub struct Secret {
    /// By version.
    values: BTreeMap<String, String>,
    /// By label: one version at most carries it.
    labels: BTreeMap<String, String>,
    /// Every request that has put a version.
    pub puts: Vec<Value>,
    /// How often a request has moved a label.
    pub moves: usize,
    others: usize,
}

impl Secret {
    pub fn labelled(&self, label: &str) -> Option<&str> {
        self.labels.get(label).map(String::as_str)
    }

    /// The document in force.
    pub fn current(&self) -> Value {
        serde_json::from_str(&self.values[&self.labels[CURRENT]]).unwrap()
    }

    /// Somebody else writes a version with a label.
    pub fn put(&mut self, document: &Value, label: &str) -> String {
        self.others += 1;
        let version = format!("version-of-somebody-else-{:032}", self.others);
        self.values.insert(version.clone(), document.to_string());
        self.attach(label, &version);
        version
    }

    /// Somebody else changes the document in force, in the same way as commands do.
    pub fn change(&mut self, change: impl FnOnce(&mut Value)) {
        let mut document = self.current();
        change(&mut document);
        let version = self.put(&document, EDIT);
        self.attach(CURRENT, &version);
    }

    /// Secrets Manager may do so at any time.
    /// Puts a byte order mark in front of every value.
    pub fn mark(&mut self) {
        self.values.values_mut().for_each(|text| text.insert(0, '\u{feff}'));
    }

    pub fn remove_what_has_no_label(&mut self) {
        self.values.retain(|version, _| self.labels.values().any(|labelled| labelled == version));
    }

    /// A version that loses `AWSCURRENT` gets `AWSPREVIOUS`.
    fn attach(&mut self, label: &str, version: &str) {
        let before = self.labels.insert(label.to_owned(), version.to_owned());
        if let (CURRENT, Some(before)) = (label, before.filter(|before| before != version)) {
            self.labels.insert(PREVIOUS.to_owned(), before);
        }
    }

    fn labels_of(&self, version: &str) -> Vec<&String> {
        self.labels.iter().filter(|(_, labelled)| *labelled == version).map(|(label, _)| label).collect()
    }

    fn answer(&mut self, operation: &str, request: &Value) -> Answer {
        match operation {
            "GetSecretValue" => self.get(request),
            "DescribeSecret" => {
                let labels = self.values.keys().map(|version| (version.clone(), json!(self.labels_of(version))));
                ("200 OK", json!({"VersionIdsToStages": labels.collect::<serde_json::Map<_, _>>()}))
            }
            "PutSecretValue" => self.put_by_request(request),
            "UpdateSecretVersionStage" => self.move_by_request(request),
            _ => panic!("{operation}"),
        }
    }

    fn get(&self, request: &Value) -> Answer {
        let by_label = self.labelled(request["VersionStage"].as_str().unwrap_or(CURRENT));
        let found = request["VersionId"].as_str().or(by_label).and_then(|version| self.values.get_key_value(version));
        let Some((version, text)) = found else { return not_found() };
        let labels = self.labels_of(version);
        ("200 OK", json!({"VersionId": version, "SecretString": text, "VersionStages": labels}))
    }

    fn put_by_request(&mut self, request: &Value) -> Answer {
        let version = request["ClientRequestToken"].as_str().unwrap();
        assert_eq!(version.len(), 36, "a repeated request is known");
        let text = request["SecretString"].as_str().unwrap();
        let is_first = self.values.is_empty();
        match self.values.get(version) {
            Some(there) if there == text => {}
            Some(_) => return ("400 Bad Request", json!({"__type": "ResourceExistsException"})),
            None => {
                self.puts.push(request.clone());
                self.values.insert(version.to_owned(), text.to_owned());
                let labels = request["VersionStages"].as_array().cloned().unwrap_or_else(|| vec![json!(CURRENT)]);
                labels.iter().for_each(|label| self.attach(label.as_str().unwrap(), version));
                if is_first {
                    self.attach(CURRENT, version);
                }
            }
        }
        ("200 OK", json!({"VersionId": version, "VersionStages": self.labels_of(version)}))
    }

    fn move_by_request(&mut self, request: &Value) -> Answer {
        let text = |name: &str| request[name].as_str();
        let (label, to, from) =
            (text("VersionStage").unwrap(), text("MoveToVersionId").unwrap(), text("RemoveFromVersionId"));
        if [Some(to), from].into_iter().flatten().any(|version| !self.values.contains_key(version)) {
            return not_found();
        }
        let on = self.labelled(label);
        // Moving a label to where it is needs no other version; moving it from another one needs exactly that.
        if from != on && (from.is_some() || on != Some(to)) {
            let message = format!("label {label} is on {on:?}, not on {from:?}");
            return ("400 Bad Request", json!({"__type": "InvalidParameterException", "Message": message}));
        }
        self.attach(label, to);
        self.moves += 1;
        ("200 OK", json!({}))
    }
}

fn not_found() -> Answer {
    ("400 Bad Request", json!({"__type": "ResourceNotFoundException", "Message": "not found"}))
}

/// What becomes of a request.
pub enum Fate {
    Answered,
    /// It is carried out, and the answer is lost.
    AnswerLost,
    /// It never arrives.
    RequestLost,
    Refused(&'static str),
}

type Meddler = Box<dyn FnMut(&str, &mut Secret) -> Fate + Send>;

pub struct SecretsManager {
    service: AwsService,
    secret: Arc<Mutex<Secret>>,
    /// By name.
    derived: Arc<Mutex<BTreeMap<String, Secret>>>,
    meddler: Arc<Mutex<Option<Meddler>>>,
}

impl SecretsManager {
    pub const SECRET_ID: &str = "latchkey/one";
    /// The secrets of what is derived, as a command is told of them.
    pub const DERIVED: &str = "--verification-keys latchkey/verification-keys --ticket-keys latchkey/ticket-keys \
         --public-keys latchkey/public-keys";

    /// With a secret that has no value.
    pub fn start() -> Self {
        let (secret, meddler) = (Arc::<Mutex<Secret>>::default(), Arc::<Mutex<Option<Meddler>>>::default());
        let (held, asked) = (Arc::clone(&secret), Arc::clone(&meddler));
        let names = ["verification-keys", "ticket-keys", "public-keys"];
        let derived: Arc<Mutex<BTreeMap<_, _>>> =
            Arc::new(Mutex::new(names.map(|name| (name.to_owned(), Secret::default())).into()));
        let others = Arc::clone(&derived);
        let service = AwsService::start(move |operation, request| {
            let mut secret = held.lock().unwrap();
            let name = request["SecretId"].as_str().unwrap().trim_start_matches("latchkey/").to_owned();
            let what = if name == "one" { operation.to_owned() } else { format!("{name} {operation}") };
            let fate = asked.lock().unwrap().as_mut().map_or(Fate::Answered, |meddle| meddle(&what, &mut secret));
            let mut others = others.lock().unwrap();
            let mut answer = || match others.get_mut(&name) {
                Some(other) => other.answer(operation, &request),
                None if name == "one" => secret.answer(operation, &request),
                None => not_found(),
            };
            match fate {
                Fate::Answered => answer(),
                Fate::AnswerLost => {
                    answer();
                    (AwsService::LOST, Value::Null)
                }
                Fate::RequestLost => (AwsService::LOST, Value::Null),
                Fate::Refused(code) => ("400 Bad Request", json!({"__type": code})),
            }
        });
        Self { service, secret, derived, meddler }
    }

    pub fn holding(document: &Value) -> Self {
        let stub = Self::start();
        stub.secret().put(document, CURRENT);
        stub
    }

    pub fn secret(&self) -> MutexGuard<'_, Secret> {
        self.secret.lock().unwrap()
    }

    pub fn current(&self) -> Value {
        self.secret().current()
    }

    /// What is derived and in force under a name.
    pub fn derived(&self, name: &str) -> Value {
        self.derived.lock().unwrap()[name].current()
    }

    /// How many versions of what is derived were put.
    pub fn derived_puts(&self) -> usize {
        self.derived.lock().unwrap().values().map(|secret| secret.puts.len()).sum()
    }

    /// Lets `meddle` do something before each request, and say what becomes of the request. Of requests for what is derived
    /// it is told with the name in front: `public-keys PutSecretValue`.
    pub fn meddle(&self, meddle: impl FnMut(&str, &mut Secret) -> Fate + Send + 'static) {
        *self.meddler.lock().unwrap() = Some(Box::new(meddle));
    }

    /// The same, before each move of a label; `meddle` gets the number of the move, from 1.
    pub fn meddle_with_moves(&self, mut meddle: impl FnMut(usize, &mut Secret) -> Fate + Send + 'static) {
        let mut count = 0;
        self.meddle(move |operation, secret| {
            if operation != "UpdateSecretVersionStage" {
                return Fate::Answered;
            }
            count += 1;
            meddle(count, secret)
        });
    }

    /// `line` of words, on this Secrets Manager.
    pub fn command(&self, line: &str) -> Command {
        let mut command = self.service.command("SECRETS_MANAGER");
        command.args(line.split_whitespace());
        command
    }

    pub fn latchkey(&self, line: &str, input: &str) -> (i32, String, String) {
        let (done, out, said) = run(&mut self.command(line), input);
        (done.status.code().unwrap(), out, said)
    }

    pub fn done(&self, line: &str) -> String {
        let (code, out, said) = self.latchkey(line, "");
        assert_eq!(code, 0, "{line}: {said}");
        out
    }

    pub fn url(&self) -> &str {
        self.service.url()
    }
}
