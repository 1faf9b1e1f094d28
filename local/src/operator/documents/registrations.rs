//! Edits of the registrations.

use latchkey_token::{
    json::{Map, Value},
    registrations::Registrations,
};

use super::document::{Draft, leniently, strings};

const SECRET_SHA256: &str = "secret_sha256";
const HS256_SECRET: &str = "hs256_secret";

/// Who has a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Party {
    Client,
    Issuer,
}

impl Party {
    pub(super) const fn noun(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Issuer => "issuer",
        }
    }

    pub(super) const fn list(self) -> &'static str {
        match self {
            Self::Client => "clients",
            Self::Issuer => "issuers",
        }
    }

    pub(super) const fn id_member(self) -> &'static str {
        match self {
            Self::Client => "client_id",
            Self::Issuer => "issuer_id",
        }
    }

    pub(super) const fn secret_member(self) -> &'static str {
        match self {
            Self::Client => "client_secret",
            Self::Issuer => "issuer_secret",
        }
    }

    fn is(self, registration: &Value, id: &str) -> bool {
        registration.get(self.id_member()).and_then(Value::as_str) == Some(id)
    }
}

pub(super) fn add(draft: &mut Draft<Registrations>, party: Party, id: &str, registration: Value) {
    if draft.list(party.list()).iter().any(|other| party.is(other, id)) {
        let noun = party.noun();
        draft.fault(format!(
            "{noun} {id:?} is registered already: `latchkey {noun} rotate-secret` gives it another secret, `latchkey \
             {noun} disable` shuts it out"
        ));
    }
    if let Some(list) = draft.list_mut(party.list()) {
        list.push(registration);
    }
}

/// Lets `issuers` act for a client.
pub(super) fn entitle(draft: &mut Draft<Registrations>, issuers: &[String], client_id: &str) {
    for issuer in issuers {
        let Some(registration) = registration(draft, Party::Issuer, issuer) else { continue };
        if !strings(&Value::Object(registration.clone()), "clients").contains(&client_id) {
            push(registration, "clients", client_id);
        }
    }
}

/// Removes a registration, and a client from the issuers' lists as well.
pub(super) fn remove(draft: &mut Draft<Registrations>, party: Party, id: &str) {
    draft.forgive();
    if registration(draft, party, id).is_none() {
        return;
    }
    if let Some(list) = draft.list_mut(party.list()) {
        list.retain(|other| !party.is(other, id));
    }
    if party == Party::Client {
        for issuer in draft.list_mut(Party::Issuer.list()).into_iter().flatten() {
            if let Some(clients) = issuer.get_mut("clients").and_then(Value::as_array_mut) {
                clients.retain(|client| client.as_str() != Some(id));
            }
        }
    }
}

/// Puts a hash after those that are there: the newest stands last.
pub(super) fn add_hash(draft: &mut Draft<Registrations>, party: Party, id: &str, hash: &str) {
    if let Some(registration) = registration(draft, party, id) {
        push(registration, SECRET_SHA256, hash);
    }
}

/// Drops all hashes but the newest; says how many those were.
pub(super) fn keep_newest_hash(draft: &mut Draft<Registrations>, party: Party, id: &str) -> usize {
    draft.forgive();
    let hashes = registration(draft, party, id)
        .and_then(|registration| registration.get_mut(SECRET_SHA256))
        .and_then(Value::as_array_mut);
    let Some(hashes) = hashes else { return 0 };
    let superseded = hashes.len().saturating_sub(1);
    hashes.drain(..superseded);
    superseded
}

/// A registration as it may be shown: how many secrets, not their hashes, and no shared secret.
pub(super) fn shown(registration: &Value) -> Map<String, Value> {
    let mut shown = registration.as_object().cloned().unwrap_or_default();
    shown.remove(SECRET_SHA256);
    shown.remove(HS256_SECRET);
    shown.insert("secrets".into(), strings(registration, SECRET_SHA256).len().into());
    shown
}

/// The registration of `id`. That there is none is a fault.
pub(super) fn registration<'a>(
    draft: &'a mut Draft<Registrations>,
    party: Party,
    id: &str,
) -> Option<&'a mut Map<String, Value>> {
    let Some(index) = draft.list(party.list()).iter().position(|other| party.is(other, id)) else {
        let noun = party.noun();
        let is_unreadable = draft.list(party.list()).iter().any(|other| party.is(&leniently(other), id));
        draft.fault(if is_unreadable {
            format!("the entry of {noun} {id:?} has a member twice: nobody can use it, and only a hand can mend it")
        } else {
            format!("no {noun} {id:?} is registered: see `latchkey {noun} list` and `latchkey {noun} add`")
        });
        return None;
    };
    draft.list_mut(party.list())?.get_mut(index)?.as_object_mut()
}

fn push(registration: &mut Map<String, Value>, member: &str, item: &str) {
    let list = registration.entry(member).or_insert(Value::Null);
    if list.is_null() {
        *list = Value::Array(Vec::new());
    }
    // Anything but a list is the parser's to refuse.
    if let Some(list) = list.as_array_mut() {
        list.push(item.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::sha256_hex;

    fn registrations() -> Draft<Registrations> {
        let hash = sha256_hex("first");
        Draft::parse(&format!(
            r#"{{"issuers":[{{"issuer_id":"portal","secret_sha256":["{hash}"],"clients":["a","b"]}},
                            {{"issuer_id":"office","secret_sha256":["{hash}"]}}],
                "clients":[{{"client_id":"a","type":"confidential","secret_sha256":["{hash}"],"audience":["a"],
                             "access_token_seconds":60}},
                           {{"client_id":"b","type":"public","audience":["b"]}}]}}"#
        ))
        .unwrap()
    }

    fn checked(draft: Draft<Registrations>) -> Value {
        let checked = draft.check().map_err(|faults| panic!("{faults:?}")).ok().unwrap();
        serde_json::from_str(checked.text()).unwrap()
    }

    fn faults(draft: Draft<Registrations>) -> String {
        draft.check().err().unwrap().join("; ")
    }

    #[test]
    fn a_removed_client_is_in_no_list_and_the_others_are_as_they_were() {
        let mut draft = registrations();
        remove(&mut draft, Party::Client, "b");
        let after = checked(draft);
        assert_eq!(after["issuers"][0]["clients"], serde_json::json!(["a"]));
        assert_eq!(after["clients"].as_array().unwrap().len(), 1);
        assert_eq!(after["clients"][0]["access_token_seconds"], 60);
    }

    #[test]
    fn hashes_stand_in_their_order_until_the_newest_is_kept_alone() {
        let mut draft = registrations();
        assert_eq!(keep_newest_hash(&mut draft, Party::Client, "a"), 0);
        for secret in ["second", "third"] {
            add_hash(&mut draft, Party::Client, "a", &sha256_hex(secret));
        }
        assert_eq!(draft.list("clients")[0]["secret_sha256"][2], sha256_hex("third"));
        assert_eq!(keep_newest_hash(&mut draft, Party::Client, "a"), 2);
        let after = checked(draft);
        assert_eq!(after["clients"][0]["secret_sha256"], serde_json::json!([sha256_hex("third")]));
        assert_eq!(after["issuers"], checked(registrations())["issuers"]);
    }

    #[test]
    fn a_client_is_added_to_issuers_once_and_only_to_those_there_are() {
        let mut draft = registrations();
        entitle(&mut draft, &["portal".into(), "office".into()], "a");
        let after = checked(draft);
        assert_eq!(after["issuers"][0]["clients"], serde_json::json!(["a", "b"]));
        assert_eq!(after["issuers"][1]["clients"], serde_json::json!(["a"]));
        let mut draft = registrations();
        entitle(&mut draft, &["x".into(), "y".into()], "a");
        let said = faults(draft);
        assert!(said.contains(r#"no issuer "x""#) && said.contains(r#"no issuer "y""#), "{said}");
    }

    #[test]
    fn who_is_unknown_registered_already_or_without_a_secret_is_refused() {
        let mut draft = registrations();
        remove(&mut draft, Party::Issuer, "x");
        assert!(faults(draft).contains(r#"no issuer "x" is registered"#));
        let mut draft = registrations();
        add(&mut draft, Party::Client, "b", serde_json::json!({"client_id":"b","type":"public","audience":["b"]}));
        assert!(faults(draft).contains(r#""b" is registered already"#));
        let mut draft = registrations();
        add_hash(&mut draft, Party::Client, "b", &sha256_hex("secret"));
        assert!(faults(draft).contains("a public client has no secret"));
    }

    #[test]
    fn what_is_shown_has_no_hash_and_no_secret() {
        let first = shown(&registrations().list("clients")[0]);
        assert_eq!(first["secrets"], 1);
        assert!(!Value::Object(first).to_string().contains(&sha256_hex("first")));
        let asserting = serde_json::json!({"issuer_id": "p", "hs256_secret": "shared", "assertion_iss": "p"});
        assert!(!Value::Object(shown(&asserting)).to_string().contains("shared"));
    }
}
