//! Edits of the key ring, and what each of its keys does at a moment.

use std::fmt;

use latchkey_token::{
    failure::Unavailable,
    json::Value,
    keys::{Algorithm, KeyRing, Kid, NOT_YET},
    values::{Seconds, Timestamp},
};

use super::super::document::{Checked, Draft, leniently};
use crate::secrets::{new_audit_key, new_signing_key, new_tag_key};

/// What a key does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Not published yet: tokens that it has signed are not accepted.
    Waits,
    /// Published; tokens that it has signed are accepted.
    Published,
    /// HS256 is never published; tokens that it has signed are accepted.
    Verifies,
    /// As [`Use::Published`] or [`Use::Verifies`], and signs new tokens. HS256: those of the clients that name it.
    Signs,
    /// Makes the tags of new refresh tokens.
    Tags,
    Retired,
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waits => "waits",
            Self::Published => "published",
            Self::Verifies => "verifies",
            Self::Signs => "signs",
            Self::Tags => "tags",
            Self::Retired => "retired",
        })
    }
}

/// A signing key without its material.
pub(super) struct ShownKey {
    pub(super) kid: String,
    pub(super) algorithm: String,
    pub(super) publish_at: i64,
    pub(super) sign_from: i64,
    pub(super) retire_at: Option<i64>,
    pub(super) now: Use,
}

/// A tag key without its secret.
pub(super) struct ShownTagKey {
    pub(super) kid: i64,
    pub(super) use_from: i64,
    pub(super) retire_at: Option<i64>,
    pub(super) now: Use,
}

pub(super) fn signing_keys(ring: &Checked<KeyRing>, now: Timestamp) -> Vec<ShownKey> {
    let seconds = now.unix_seconds();
    let shown = |key: &Value| {
        let kid = text(key, "kid");
        let algorithm = text(key, "alg");
        let (publish_at, sign_from, retire_at) = (time(key, "publish_at"), time(key, "sign_from"), retire_at(key));
        let signer = Algorithm::parse(algorithm).and_then(|algorithm| ring.parsed.signer(algorithm, None, seconds));
        let is_hs256 = algorithm == Algorithm::Hs256.name();
        let now = if retire_at.is_some_and(|retire_at| retire_at <= seconds) {
            Use::Retired
        } else if seconds < publish_at {
            Use::Waits
        } else if is_hs256 && sign_from <= seconds || signer.is_some_and(|signer| signer.kid().as_str() == kid) {
            Use::Signs
        } else if is_hs256 {
            Use::Verifies
        } else {
            Use::Published
        };
        ShownKey { kid: kid.to_owned(), algorithm: algorithm.to_owned(), publish_at, sign_from, retire_at, now }
    };
    ring.list("signing").iter().map(shown).collect()
}

pub(super) fn tag_keys(ring: &Checked<KeyRing>, now: Timestamp) -> Vec<ShownTagKey> {
    let seconds = now.unix_seconds();
    let shown = |key: &Value| {
        let (kid, retire_at) = (time(key, "kid"), retire_at(key));
        let now = if retire_at.is_some_and(|retire_at| retire_at <= seconds) {
            Use::Retired
        } else if ring.parsed.tagger(seconds).is_some_and(|tagger| i64::from(tagger.kid()) == kid) {
            Use::Tags
        } else {
            Use::Verifies
        };
        ShownTagKey { kid, use_from: time(key, "use_from"), retire_at, now }
    };
    ring.list("tagging").iter().map(shown).collect()
}

/// Adds a new key, published now: the first of its algorithm signs at once, any other `publish_seconds` later. Returns
/// its kid and when it signs.
pub(super) fn add_new(
    draft: &mut Draft<KeyRing>,
    mut key: Value,
    publish_seconds: Seconds,
    now: Timestamp,
) -> (String, Timestamp) {
    let is_in_use = |other: &Value| {
        let has_retired = retire_at(other).is_some_and(|at| at <= now.unix_seconds());
        text(other, "alg") == text(&key, "alg") && !has_retired && time(other, "sign_from") < NOT_YET
    };
    // Without another key in use there is nobody's cache to wait for.
    let is_first = !draft.list("signing").iter().any(is_in_use);
    let sign_from = if is_first { now } else { now.plus(publish_seconds) };
    if let Some(members) = key.as_object_mut() {
        members.insert("sign_from".into(), sign_from.unix_seconds().into());
    }
    let kid = text(&key, "kid").to_owned();
    add(draft, key);
    (kid, sign_from)
}

pub(super) fn add(draft: &mut Draft<KeyRing>, key: Value) {
    if let Some(list) = draft.list_mut("signing") {
        list.push(key);
    }
}

/// Without a tag key nothing can be issued: adds one, unless one is there and not retired. Returns its kid.
pub(super) fn ensure_tag_key(draft: &mut Draft<KeyRing>, now: Timestamp) -> Result<Option<u8>, Unavailable> {
    let keys = draft.list("tagging");
    if keys.iter().any(|key| retire_at(key).is_none_or(|at| now.unix_seconds() < at)) {
        return Ok(None);
    }
    let is_free = |kid: &u8| !keys.iter().any(|key| time(key, "kid") == i64::from(*kid));
    let Some(kid) = (1..=u8::MAX).find(is_free) else { return Ok(None) };
    let key = new_tag_key(kid)?;
    if let Some(list) = draft.list_mut("tagging") {
        list.push(key);
    }
    Ok(Some(kid))
}

/// Without an audit key the audit trail leaves subjects out: adds one, unless one is there. Returns whether it did.
pub(super) fn ensure_audit_key(draft: &mut Draft<KeyRing>) -> Result<bool, Unavailable> {
    let audit = draft.members_mut().entry("audit").or_insert(Value::Null);
    if !audit.is_null() {
        return Ok(false);
    }
    *audit = new_audit_key()?;
    Ok(true)
}

/// Removes a signing key. If none of its algorithm signs then, the one that was to be the next does so at once, or a new
/// one. Returns the kid of that; never for HS256, whose keys are imported.
pub(super) fn revoke(draft: &mut Draft<KeyRing>, kid: &str, now: Timestamp) -> Result<Option<String>, Unavailable> {
    draft.forgive();
    let is_named = |key: &Value| text(key, "kid") == kid;
    let revoked: Vec<Value> = draft.list("signing").iter().map(leniently).filter(is_named).collect();
    if revoked.is_empty() {
        draft.fault(format!("no key {kid:?} is in it: see `latchkey keys show`"));
    }
    if let Some(list) = draft.list_mut("signing") {
        list.retain(|key| !is_named(&leniently(key)));
    }
    let algorithm = revoked.iter().find_map(|key| Algorithm::parse(text(key, "alg")));
    let Some(algorithm) = algorithm.filter(|algorithm| *algorithm != Algorithm::Hs256) else { return Ok(None) };
    let seconds = now.unix_seconds();
    // Functions sign with sound keys alone. A key may be sound now that shared its material with the one that is gone.
    let ring = draft.as_functions_read_it().unwrap_or_default();
    let is_sound = |key: &Value| Kid::parse(text(key, "kid")).is_some_and(|kid| ring.named(&kid).is_some());
    let is_left = |key: &&Value| {
        text(key, "alg") == algorithm.name()
            && retire_at(key).is_none_or(|retire_at| seconds < retire_at)
            && is_sound(key)
    };
    let signs = |key: &Value| time(key, "publish_at").max(time(key, "sign_from")) <= seconds;
    let left = draft.list("signing").iter().filter(is_left);
    if left.clone().any(signs) {
        return Ok(None);
    }
    // The one that has been published for the longest is in most caches.
    let next = left.min_by_key(|key| time(key, "publish_at")).map(|key| text(key, "kid").to_owned());
    let Some(list) = draft.list_mut("signing") else { return Ok(None) };
    let Some(next) = next else {
        let key = new_signing_key(algorithm, seconds, seconds)?;
        let kid = text(&key, "kid").to_owned();
        list.push(key);
        return Ok(Some(kid));
    };
    for key in list.iter_mut().filter(|key| text(key, "kid") == next) {
        let publish_at = time(key, "publish_at").min(seconds);
        if let Some(members) = key.as_object_mut() {
            members.insert("publish_at".into(), publish_at.into());
            members.insert("sign_from".into(), seconds.into());
        }
    }
    Ok(Some(next))
}

/// One new tag key in the place of all: its number is the next one, so that no old tag is asked of it.
pub(super) fn replace_tag_keys(draft: &mut Draft<KeyRing>) -> Result<u8, Unavailable> {
    draft.forgive();
    let last = draft.list("tagging").iter().map(|key| time(&leniently(key), "kid")).max().unwrap_or(0);
    let kid = u8::try_from(last).ok().and_then(|last| last.checked_add(1)).unwrap_or(1);
    let key = new_tag_key(kid)?;
    if let Some(list) = draft.list_mut("tagging") {
        *list = vec![key];
    }
    Ok(kid)
}

fn text<'a>(key: &'a Value, member: &str) -> &'a str {
    key.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// Times left out are 0.
fn time(key: &Value, member: &str) -> i64 {
    key.get(member).and_then(Value::as_i64).unwrap_or(0)
}

fn retire_at(key: &Value) -> Option<i64> {
    key.get("retire_at").and_then(Value::as_i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::new_signing_key;
    use latchkey_token::values::Subject;
    use serde_json::json;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    fn empty() -> Draft<KeyRing> {
        Draft::parse("").unwrap()
    }

    /// When the new key signs.
    fn generate(draft: &mut Draft<KeyRing>, algorithm: Algorithm, now: Timestamp) -> Timestamp {
        let key = new_signing_key(algorithm, now.unix_seconds(), now.unix_seconds()).unwrap();
        add_new(draft, key, 900, now).1
    }

    fn checked(draft: Draft<KeyRing>) -> Checked<KeyRing> {
        draft.check().map_err(|faults| panic!("{faults:?}")).ok().unwrap()
    }

    fn uses(ring: &Checked<KeyRing>, now: Timestamp) -> Vec<Use> {
        signing_keys(ring, now).iter().map(|key| key.now).collect()
    }

    #[test]
    fn the_first_key_of_an_algorithm_signs_at_once_and_the_next_when_it_is_known() {
        let mut draft = empty();
        assert_eq!(generate(&mut draft, Algorithm::Es256, NOW), NOW);
        assert_eq!(generate(&mut draft, Algorithm::EdDsa, NOW), NOW, "another algorithm");
        assert_eq!(generate(&mut draft, Algorithm::Es256, NOW), NOW.plus(900));
        let ring = checked(draft);
        assert_eq!(uses(&ring, NOW.minus(1)), [Use::Waits; 3]);
        assert_eq!(uses(&ring, NOW), [Use::Signs, Use::Signs, Use::Published]);
        assert_eq!(uses(&ring, NOW.plus(900)), [Use::Published, Use::Signs, Use::Signs]);
    }

    #[test]
    fn a_retired_key_neither_counts_as_first_nor_as_tag_key() {
        let mut draft = empty();
        generate(&mut draft, Algorithm::Es256, NOW);
        assert_eq!(ensure_tag_key(&mut draft, NOW).unwrap(), Some(1));
        assert_eq!(ensure_tag_key(&mut draft, NOW).unwrap(), None);
        for list in ["signing", "tagging"] {
            draft.list_mut(list).unwrap()[0]["retire_at"] = json!(NOW.unix_seconds() + 10);
        }
        let later = NOW.plus(10);
        assert_eq!(generate(&mut draft, Algorithm::Es256, later), later);
        assert_eq!(ensure_tag_key(&mut draft, later).unwrap(), Some(2));
        let ring = checked(draft);
        assert_eq!(uses(&ring, later), [Use::Retired, Use::Signs]);
        let tags: Vec<Use> = tag_keys(&ring, later).iter().map(|key| key.now).collect();
        assert_eq!(tags, [Use::Retired, Use::Tags]);
    }

    #[test]
    fn an_audit_key_is_made_once_and_a_faulty_one_is_refused_and_not_replaced() {
        let mut draft = empty();
        assert!(ensure_audit_key(&mut draft).unwrap());
        assert!(!ensure_audit_key(&mut draft).unwrap());
        let ring = checked(draft);
        assert!(ring.parsed.audit_name(&Subject::parse("alice").unwrap()).is_some());
        for faulty in [r#"{"audit":{"secret":"HIDDEN"}}"#, r#"{"audit":{"secret":"HIDDEN","secret":"HIDDEN"}}"#] {
            let mut faulty = Draft::<KeyRing>::parse(faulty).unwrap();
            let _ = ensure_audit_key(&mut faulty).unwrap();
            let faults = faulty.check().err().unwrap();
            assert!(faults.len() == 1 && faults[0].starts_with("audit: "), "{faults:?}");
            assert!(!faults[0].contains("HIDDEN"), "{faults:?}");
        }
    }

    #[test]
    fn a_key_that_functions_cannot_use_does_not_take_over_from_a_revoked_one() {
        let mut draft = empty();
        generate(&mut draft, Algorithm::Es256, NOW);
        let sound = text(&draft.list("signing")[0], "kid").to_owned();
        add(&mut draft, json!({"kid": "signs", "alg": "ES256", "private_key": "p"}));
        add(&mut draft, json!({"kid": "waits", "alg": "ES256", "private_key": "p", "sign_from": NOT_YET}));
        let mut draft = Draft::parse(&Value::Object(draft.members_mut().clone()).to_string()).unwrap();
        let made = revoke(&mut draft, &sound, NOW).unwrap().unwrap();
        assert!(made != "signs" && made != "waits");
        let ring = checked(draft);
        assert!(
            ring.parsed
                .signer(Algorithm::Es256, None, NOW.unix_seconds())
                .is_some_and(|key| key.kid().as_str() == made)
        );
    }

    #[test]
    fn a_key_that_shared_its_material_with_the_revoked_one_takes_over() {
        let mut draft = empty();
        let key = new_signing_key(Algorithm::Rs256, NOW.unix_seconds(), NOW.unix_seconds()).unwrap();
        let mut same = key.clone();
        same["kid"] = "same".into();
        add(&mut draft, key.clone());
        add(&mut draft, same);
        let mut draft = Draft::parse(&Value::Object(draft.members_mut().clone()).to_string()).unwrap();
        let _ = revoke(&mut draft, "same", NOW).unwrap();
        let ring = checked(draft);
        let signer = ring.parsed.signer(Algorithm::Rs256, None, NOW.unix_seconds()).unwrap();
        assert_eq!(signer.kid().as_str(), text(&key, "kid"));
    }

    #[test]
    fn hs256_keys_sign_from_their_time_and_are_never_published() {
        let mut draft = empty();
        let secret = "-".repeat(32);
        add(&mut draft, json!({"kid": "hs", "alg": "HS256", "secret": secret, "sign_from": NOW.unix_seconds()}));
        let ring = checked(draft);
        assert_eq!(uses(&ring, NOW.minus(1)), [Use::Verifies]);
        assert_eq!(uses(&ring, NOW), [Use::Signs]);
    }
}
