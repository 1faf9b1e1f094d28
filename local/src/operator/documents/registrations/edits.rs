//! Edits of the registrations.

use latchkey_token::{
    json::{Map, Value},
    registrations::Registrations,
};

use crate::operator::documents::document::{Draft, leniently, strings};

/// What is said of clients that register themselves.
pub(super) const DYNAMIC_MEMBER: &str = "dynamic_clients";
pub(super) const SESSIONS_NOT_BEFORE: &str = "sessions_not_before";
const SECRET_SHA256: &str = "secret_sha256";
const CLIENT_LISTS: [&str; 2] = ["clients", "assertion_clients"];
/// Secrets that an issuer's assertions are verified with.
const SHARED_SECRETS: [&str; 6] = [
    "hs256_secret",
    "hs384_secret",
    "hs512_secret",
    "hs256_secret_base64",
    "hs384_secret_base64",
    "hs512_secret_base64",
];

/// Who has a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Party {
    Client,
    Issuer,
}

impl Party {
    pub(crate) const fn noun(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Issuer => "issuer",
        }
    }

    pub(crate) const fn list(self) -> &'static str {
        match self {
            Self::Client => "clients",
            Self::Issuer => "issuers",
        }
    }

    pub(crate) const fn id_member(self) -> &'static str {
        match self {
            Self::Client => "client_id",
            Self::Issuer => "issuer_id",
        }
    }

    pub(crate) const fn secret_member(self) -> &'static str {
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
             {noun} sign-in` changes its sign-in, `latchkey {noun} disable` shuts it out"
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
        push_if_missing(registration, "clients", client_id);
    }
}

/// Removes a registration: a client from the issuers' lists as well, an issuer from the clients whose users it signs in.
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
            for list in CLIENT_LISTS {
                if let Some(clients) = issuer.get_mut(list).and_then(Value::as_array_mut) {
                    clients.retain(|client| client.as_str() != Some(id));
                }
            }
        }
    }
    if party == Party::Issuer {
        for client in draft.list_mut(Party::Client.list()).into_iter().flatten().filter_map(Value::as_object_mut) {
            if client.get("sign_in_issuer").and_then(Value::as_str) == Some(id) {
                client.remove("sign_in_issuer");
            }
        }
        // Clients that register themselves have no other: that is off. What has ended stays so.
        if let Some(dynamic) = draft.members_mut().get_mut(DYNAMIC_MEMBER).and_then(Value::as_object_mut)
            && dynamic.get("sign_in_issuer").and_then(Value::as_str) == Some(id)
        {
            dynamic.retain(|member, _| member == SESSIONS_NOT_BEFORE);
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
    for member in SHARED_SECRETS {
        shown.remove(member);
    }
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

/// Puts `item` at the end of a list that does not have it.
pub(super) fn push_if_missing(registration: &mut Map<String, Value>, member: &str, item: &str) {
    let has_it =
        registration.get(member).and_then(Value::as_array).is_some_and(|list| list.iter().any(|own| own == item));
    if !has_it {
        push(registration, member, item);
    }
}

/// Takes `item` out of a list; whether it was there.
pub(super) fn pull(registration: &mut Map<String, Value>, member: &str, item: &str) -> bool {
    let Some(list) = registration.get_mut(member).and_then(Value::as_array_mut) else { return false };
    let before = list.len();
    list.retain(|own| own != item);
    list.len() < before
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
            r#"{{"issuers":[{{"issuer_id":"portal","secret_sha256":["{hash}"],"clients":["a","b"],
                              "hs256_secret":"an example secret of 32+ bytes, not real","assertion_iss":"p","assertion_aud":"a",
                              "assertion_clients":["a","b"]}},
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
        assert_eq!(after["issuers"][0]["assertion_clients"], serde_json::json!(["a"]));
        assert_eq!(after["clients"].as_array().unwrap().len(), 1);
        assert_eq!(after["clients"][0]["access_token_seconds"], 60);
    }

    #[test]
    fn a_removed_issuer_is_named_by_no_client() {
        let mut draft = registrations();
        let names = |draft: &mut Draft<Registrations>, issuer: &str| {
            let client = registration(draft, Party::Client, "a").unwrap();
            client.insert("sign_in_issuer".into(), issuer.into());
        };
        names(&mut draft, "portal");
        remove(&mut draft, Party::Issuer, "portal");
        assert!(checked(draft)["clients"][0].get("sign_in_issuer").is_none());
        let mut draft = registrations();
        let dynamic = serde_json::json!({"redirect_uris": ["https://a.example/"], "audience": ["a"],
            "sign_in_issuer": "portal", "sessions_not_before": 5});
        draft.members_mut().insert("dynamic_clients".into(), dynamic);
        remove(&mut draft, Party::Issuer, "portal");
        assert_eq!(checked(draft)["dynamic_clients"], serde_json::json!({"sessions_not_before": 5}));
        let mut draft = registrations();
        names(&mut draft, "portal");
        remove(&mut draft, Party::Issuer, "office");
        assert!(faults(draft).contains(r#"names the sign_in_issuer "portal""#), "another one stays");
    }

    #[test]
    fn an_item_is_added_to_a_list_once_and_taken_out() {
        let mut registration = Map::new();
        for item in ["x", "y", "x"] {
            push_if_missing(&mut registration, "list", item);
        }
        assert_eq!(registration["list"], serde_json::json!(["x", "y"]));
        assert!(pull(&mut registration, "list", "x") && !pull(&mut registration, "list", "x"));
        assert!(!pull(&mut registration, "other", "x"));
        assert_eq!(registration["list"], serde_json::json!(["y"]));
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
        for member in SHARED_SECRETS {
            let asserting = serde_json::json!({"issuer_id": "p", member: "shared", "assertion_iss": "p"});
            assert!(!Value::Object(shown(&asserting)).to_string().contains("shared"));
        }
    }
}
