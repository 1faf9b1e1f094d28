//! What a rotation makes of a key ring: a pure function of the ring, the time and the limits.
//!
//! The life of a signing key: it is made as the *next* key, published and not signing; the next rotation promotes it,
//! and from `sign_from` on it signs; the rotation after that gives it a `retire_at`, until which it verifies. So every
//! key has been published for a whole rotation interval before it signs, and longer than any cache of the JWKS.

use super::document::{RingDocument, SigningEntry, TagEntry};
use crate::{
    keys::{Algorithm, NOT_YET},
    policy::{MAX_ACCESS_TOKEN_SECONDS, MAX_GRACE_SECONDS, MAX_SESSION_SECONDS},
    values::Seconds,
};

/// The kid under which LibreChat's own secret enters the ring.
pub(super) const LIBRECHAT_KID: &str = "librechat-hs";

/// How long functions may work with a ring that they cannot refresh.
const STALE_RING_SECONDS: Seconds = 86_400;

/// The caches that a new key must outwait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotationLimits {
    /// How long functions cache the ring.
    pub secrets_ttl_seconds: Seconds,
    /// How long verifiers cache the JWKS.
    pub jwks_seconds: Seconds,
}

/// The ring after a rotation, with room for keys that are still to be made.
pub struct Plan {
    /// What stays, with its new times; what has retired is gone.
    pub ring: RingDocument,
    /// The signing keys that are to be made and added.
    pub new_signing: Vec<NewSigningKey>,
    /// The tag key that is to be made and added; `None` if no number is free for it.
    pub new_tagging: Option<NewTagKey>,
}

/// A signing key to be made. `kid` is its thumbprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewSigningKey {
    /// Its algorithm, never HS256.
    pub algorithm: Algorithm,
    /// From this time it is published and verifies: the time of the plan, in Unix seconds.
    pub publish_at: i64,
    /// From this time it signs, in Unix seconds; [`NOT_YET`] for the next key.
    pub sign_from: i64,
}

/// A tag key to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewTagKey {
    /// The lowest number from 1 to 255 that the ring does not use.
    pub kid: u8,
    /// From this time it tags new refresh tokens, in Unix seconds: at once in a ring without tag keys, else after twice
    /// the secrets' cache time.
    pub use_from: i64,
}

fn is_in_use(retire_at: Option<i64>, now: i64) -> bool {
    retire_at.is_none_or(|retire_at| now < retire_at)
}

/// A key, or another member, that tells that `coming` was not made from `current`: in use now and not there as a rotation
/// leaves it, or taken out since and there all the same. LibreChat's secret has its own source.
pub(super) fn key_changed_by_hand(current: &RingDocument, coming: &RingDocument, now: i64) -> Option<String> {
    // What the rotation has made itself was published last; its tag key is the one that is not to retire.
    let made_at = coming.signing.iter().map(|key| key.publish_at).max().unwrap_or_default();
    let must_stay = current.signing.iter().filter(|key| is_in_use(key.retire_at, now));
    let must_have_been = coming.signing.iter().filter(|key| key.publish_at < made_at && key.kid != LIBRECHAT_KID);
    let tag_must_stay = current.tagging.iter().filter(|key| is_in_use(key.retire_at, now));
    let tag_must_have_been = coming.tagging.iter().filter(|key| key.retire_at.is_some());

    let signing = missing(must_stay, &coming.signing, is_left_by_a_rotation).or(missing(
        must_have_been,
        &current.signing,
        |coming, current| is_left_by_a_rotation(current, coming),
    ));
    let tagging = missing(tag_must_stay, &coming.tagging, is_tag_left_by_a_rotation).or(missing(
        tag_must_have_been,
        &current.tagging,
        |coming, current| is_tag_left_by_a_rotation(current, coming),
    ));
    let audit = (current.audit.is_some() && current.audit != coming.audit).then(|| "audit".to_owned());
    let other = [current, coming].into_iter().flat_map(|ring| ring.other.keys());
    let other = other.into_iter().find(|name| current.other.get(*name) != coming.other.get(*name)).cloned();
    let faulty = (current.faulty_texts_but(LIBRECHAT_KID) != coming.faulty_texts_but(LIBRECHAT_KID))
        .then(|| "that is faulty".to_owned());
    let signing = signing.map(|key| key.kid.clone()).or(tagging.map(|key| key.kid.to_string()));
    signing.or(audit).or(other).or(faulty)
}

/// Whether a rotation may have made `after` of `before`: it promotes the next key, and lets one retire that was not to.
fn is_left_by_a_rotation(before: &SigningEntry, after: &SigningEntry) -> bool {
    let has_its_material =
        before.kid == LIBRECHAT_KID || before.private_key == after.private_key && before.secret == after.secret;
    before.kid == after.kid
        && has_its_material
        && (&before.alg, before.publish_at, &before.other) == (&after.alg, after.publish_at, &after.other)
        && (before.sign_from == after.sign_from || before.sign_from >= NOT_YET)
        && (before.retire_at == after.retire_at || before.retire_at.is_none())
}

fn is_tag_left_by_a_rotation(before: &TagEntry, after: &TagEntry) -> bool {
    (before.kid, &before.secret, before.use_from, &before.other)
        == (after.kid, &after.secret, after.use_from, &after.other)
        && (before.retire_at == after.retire_at || before.retire_at.is_none())
}

/// The first of `wanted` that is not in `ring`.
fn missing<'a, K>(
    mut wanted: impl Iterator<Item = &'a K>,
    ring: &[K],
    is_same: impl Fn(&K, &K) -> bool,
) -> Option<&'a K> {
    wanted.find(|key| !ring.iter().any(|other| is_same(key, other)))
}

/// Plans one rotation at `now` (Unix seconds).
pub fn plan(ring: &RingDocument, now: i64, limits: RotationLimits) -> Plan {
    let mut ring = ring.clone();
    ring.signing.retain(|key| is_in_use(key.retire_at, now));
    ring.tagging.retain(|key| is_in_use(key.retire_at, now));
    let mut new_signing = Vec::new();
    for algorithm in algorithms(&ring) {
        rotate_algorithm(&mut ring, algorithm, now, limits, &mut new_signing);
    }
    let new_tagging = rotate_tagging(&mut ring, now, limits);
    Plan { ring, new_signing, new_tagging }
}

/// The asymmetric algorithms of the ring; RS256, which every library verifies, is always among them.
fn algorithms(ring: &RingDocument) -> Vec<Algorithm> {
    let is_used =
        |algorithm: &Algorithm| *algorithm == Algorithm::Rs256 || ring.signing.iter().any(|key| key.is_of(*algorithm));
    Algorithm::ALL.into_iter().filter(|algorithm| !algorithm.is_symmetric()).filter(is_used).collect()
}

fn rotate_algorithm(
    ring: &mut RingDocument,
    algorithm: Algorithm,
    now: i64,
    limits: RotationLimits,
    new_signing: &mut Vec<NewSigningKey>,
) {
    let ttl = i64::from(limits.secrets_ttl_seconds);
    let published_long_enough = |publish_at: i64| publish_at + i64::from(limits.jwks_seconds) + ttl;
    let sign_from = |publish_at: i64| (now + 2 * ttl).max(published_long_enough(publish_at));
    let mut keys = ring.signing.iter_mut().filter(|key| key.is_of(algorithm));
    let promoted_from = match keys.find(|key| key.sign_from >= NOT_YET) {
        Some(next) => {
            next.sign_from = sign_from(next.publish_at);
            next.sign_from
        }
        None => {
            let is_first = !ring.signing.iter().any(|key| key.is_of(algorithm));
            let sign_from = if is_first { now } else { sign_from(now) };
            new_signing.push(NewSigningKey { algorithm, publish_at: now, sign_from });
            sign_from
        }
    };
    new_signing.push(NewSigningKey { algorithm, publish_at: now, sign_from: NOT_YET });
    // By hard limits, not by today's settings: those may have been longer when the tokens were made.
    let last_use = STALE_RING_SECONDS + MAX_ACCESS_TOKEN_SECONDS + MAX_GRACE_SECONDS;
    let retire_at = promoted_from + i64::from(last_use);
    let older =
        |key: &&mut SigningEntry| key.is_of(algorithm) && key.sign_from < promoted_from && key.retire_at.is_none();
    ring.signing.iter_mut().filter(older).for_each(|key| key.retire_at = Some(retire_at));
}

fn rotate_tagging(ring: &mut RingDocument, now: i64, limits: RotationLimits) -> Option<NewTagKey> {
    let kid = (1..=u8::MAX).find(|kid| !ring.has_tag_kid(*kid))?;
    let is_first = ring.tagging.is_empty();
    let use_from = if is_first { now } else { now + 2 * i64::from(limits.secrets_ttl_seconds) };
    // A refresh token lives no longer than its session.
    let retire_at = use_from + i64::from(STALE_RING_SECONDS + MAX_SESSION_SECONDS);
    ring.tagging.iter_mut().filter(|key| key.retire_at.is_none()).for_each(|key| key.retire_at = Some(retire_at));
    Some(NewTagKey { kid, use_from })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Map;

    const NOW: i64 = 1_800_000_000;
    const LIMITS: RotationLimits = RotationLimits { secrets_ttl_seconds: 300, jwks_seconds: 300 };
    const MONTH: i64 = 30 * 86_400;
    /// A day, and twice seven days.
    const OVERLAP: i64 = 86_400 + 2 * 604_800;

    #[test]
    fn a_ring_may_say_null_for_a_time_that_it_leaves_out() {
        let ring = |times: &str| {
            let signing =
                format!(r#"{{"kid":"a","alg":"HS256","secret":"s","publish_at":{times},"sign_from":{times}}}"#);
            let tagging = format!(r#"{{"kid":1,"secret":"s","use_from":{times}}}"#);
            let (signing, tagging) = (serde_json::from_str(&signing).unwrap(), serde_json::from_str(&tagging).unwrap());
            RingDocument::of(vec![signing], vec![tagging])
        };
        let text = |times| serde_json::to_string(&ring(times)).unwrap();
        assert_eq!(text("null"), text("0"));
    }

    #[test]
    fn members_that_a_rotation_does_not_know_are_kept_verbatim() {
        let key = serde_json::json!({"kid": "a", "alg": "RS256", "private_key": "p", "publish_at": 0, "sign_from": 0,
            "retire_at": null, "note": {"deep": [1, 2.5, null]}});
        let tag_key = serde_json::json!({"kid": 1, "secret": "s", "use_from": 0, "retire_at": null, "since": "x"});
        let entries = (serde_json::from_value(key.clone()).unwrap(), serde_json::from_value(tag_key).unwrap());
        let mut ring = RingDocument::of(vec![entries.0], vec![entries.1]);
        ring.other.insert("critical".to_owned(), serde_json::json!(["note"]));
        let ring = plan(&ring, NOW, LIMITS).ring;
        let kept = serde_json::to_value(&ring).unwrap();
        assert_eq!(kept["critical"], serde_json::json!(["note"]));
        assert_eq!(kept["signing"][0]["note"], key["note"]);
        assert_eq!(kept["tagging"][0]["since"], "x");
    }

    /// Carries a plan out with keys named by a counter.
    fn carried_out(plan: Plan, made: &mut u32) -> RingDocument {
        let mut ring = plan.ring;
        for key in plan.new_signing {
            *made += 1;
            ring.signing.push(SigningEntry {
                kid: format!("key-{made}"),
                alg: key.algorithm.name().into(),
                private_key: Some("pem".into()),
                secret: None,
                publish_at: key.publish_at,
                sign_from: key.sign_from,
                retire_at: None,
                other: Map::new(),
            });
        }
        if let Some(key) = plan.new_tagging {
            ring.tagging.push(TagEntry {
                kid: key.kid,
                secret: "secret".into(),
                use_from: key.use_from,
                retire_at: None,
                other: Map::new(),
            });
        }
        ring
    }

    fn times(ring: &RingDocument) -> Vec<(&str, i64, i64, Option<i64>)> {
        ring.signing.iter().map(|key| (key.kid.as_str(), key.publish_at, key.sign_from, key.retire_at)).collect()
    }

    #[test]
    fn an_empty_ring_gets_a_key_that_signs_at_once_and_a_next_one() {
        let ring = carried_out(plan(&RingDocument::default(), NOW, LIMITS), &mut 0);
        assert_eq!(times(&ring), [("key-1", NOW, NOW, None), ("key-2", NOW, NOT_YET, None)]);
        assert!(ring.signing.iter().all(|key| key.alg == "RS256"));
        assert_eq!((ring.tagging[0].kid, ring.tagging[0].use_from), (1, NOW));
    }

    #[test]
    fn a_rotation_promotes_the_next_key_and_retires_the_old_by_hard_limits() {
        let mut made = 0;
        let first = carried_out(plan(&RingDocument::default(), NOW, LIMITS), &mut made);
        let later = NOW + MONTH;
        let second = carried_out(plan(&first, later, LIMITS), &mut made);
        let sign_from = later + 600;
        assert_eq!(
            times(&second),
            [
                ("key-1", NOW, NOW, Some(sign_from + OVERLAP)),
                ("key-2", NOW, sign_from, None),
                ("key-3", later, NOT_YET, None),
            ]
        );
        assert_eq!((second.tagging[1].kid, second.tagging[1].use_from), (2, later + 600));
        assert_eq!(second.tagging[0].retire_at, Some(later + 600 + 86_400 + 31_536_000));
        let third = carried_out(plan(&second, later + MONTH, LIMITS), &mut made);
        let kids: Vec<&str> = third.signing.iter().map(|key| key.kid.as_str()).collect();
        assert_eq!(kids, ["key-2", "key-3", "key-4"], "what has retired is gone");
    }

    #[test]
    fn two_rotations_in_a_row_never_sign_with_an_unpublished_key() {
        let mut made = 0;
        let first = carried_out(plan(&RingDocument::default(), NOW, LIMITS), &mut made);
        let second = carried_out(plan(&first, NOW + 1, LIMITS), &mut made);
        let third = carried_out(plan(&second, NOW + 2, LIMITS), &mut made);
        for key in &third.signing {
            let published_for = key.sign_from - key.publish_at;
            assert!(key.kid == "key-1" || published_for >= 600, "{}: {published_for} s", key.kid);
        }
        let signs_from: Vec<i64> = third.signing.iter().map(|key| key.sign_from).collect();
        assert!(signs_from.is_sorted(), "{signs_from:?}");
    }

    #[test]
    fn a_ring_without_a_next_key_gets_a_new_signer_in_time_and_a_next_one() {
        let mut ring = carried_out(plan(&RingDocument::default(), NOW, LIMITS), &mut 0);
        ring.signing.truncate(1);
        let planned = plan(&ring, NOW + MONTH, LIMITS);
        assert_eq!(
            planned.new_signing,
            [
                NewSigningKey { algorithm: Algorithm::Rs256, publish_at: NOW + MONTH, sign_from: NOW + MONTH + 600 },
                NewSigningKey { algorithm: Algorithm::Rs256, publish_at: NOW + MONTH, sign_from: NOT_YET },
            ]
        );
        assert_eq!(planned.ring.signing[0].retire_at, Some(NOW + MONTH + 600 + OVERLAP));
    }

    #[test]
    fn long_caches_delay_the_new_signer() {
        let limits = RotationLimits { secrets_ttl_seconds: 60, jwks_seconds: 86_400 };
        let ring = carried_out(plan(&RingDocument::default(), NOW, limits), &mut 0);
        let planned = plan(&ring, NOW + 100, limits);
        assert_eq!(planned.ring.signing[1].sign_from, NOW + 86_400 + 60);
    }

    #[test]
    fn every_algorithm_of_the_ring_rotates_and_hs256_is_left_alone() {
        let mut ring = RingDocument::default();
        for (kid, alg) in [("es", "ES256"), ("hs", "HS256")] {
            ring.signing.push(SigningEntry {
                kid: kid.into(),
                alg: alg.into(),
                private_key: (alg == "ES256").then(|| "pem".into()),
                secret: (alg == "HS256").then(|| " verbatim ".into()),
                publish_at: 0,
                sign_from: 0,
                retire_at: None,
                other: Map::new(),
            });
        }
        let planned = plan(&ring, NOW, LIMITS);
        let algorithms: Vec<&str> = planned.new_signing.iter().map(|key| key.algorithm.name()).collect();
        assert_eq!(algorithms, ["RS256", "RS256", "ES256", "ES256"]);
        let hs = &planned.ring.signing[1];
        assert_eq!((hs.secret.as_deref(), hs.retire_at), (Some(" verbatim "), None));
    }

    #[test]
    fn a_year_of_rotations_keeps_the_ring_small() {
        let mut made = 0;
        let mut ring = RingDocument::default();
        for month in 0..24 {
            ring = carried_out(plan(&ring, NOW + month * MONTH, LIMITS), &mut made);
            let signers = ring.signing.iter().filter(|key| key.sign_from <= NOW + month * MONTH).count();
            assert!(signers >= 1 && ring.signing.len() <= 3 && ring.tagging.len() <= 14);
        }
    }
}
