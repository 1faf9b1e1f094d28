//! Reads members that issuers and clients, or several of them, have in common.

use crate::{
    json::Members,
    keys::{AssertionKeys, NOT_YET},
    registrations::epochs::Epoch,
    values::{Seconds, Timestamp, WebUrl, sha256},
};

/// `None` if there is no JWK set; `Some(None)` if it is of no use, which has been reported.
pub(super) fn read_jwks(members: &mut Members<'_>) -> Option<Option<AssertionKeys>> {
    let (_, value) = members.object("jwks")?;
    let keys = AssertionKeys::of_jwks(&value);
    Some(keys.map_err(|faults| faults.iter().for_each(|what| members.fault("jwks", what))).ok())
}

pub(super) fn read_hashes(members: &mut Members<'_>) -> Vec<[u8; 32]> {
    let texts = members.strings("secret_sha256");
    let hashes: Vec<[u8; 32]> = texts.iter().filter_map(|text| read_hex(text)).collect();
    if hashes.len() < texts.len() {
        members.fault("secret_sha256", "must hold SHA-256 hashes of 64 hex digits");
    }
    if hashes.iter().any(|hash| HASHES_OF_NOTHING.iter().any(|nothing| sha256(nothing) == *hash)) {
        members.fault("secret_sha256", "holds the hash of nothing: the secret was empty when it was hashed");
    }
    hashes
}

/// What an unset variable becomes, hashed with `printf` and with `echo`.
const HASHES_OF_NOTHING: [&[u8]; 3] = [b"", b"\n", b"\r\n"];

fn read_hex(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, index) in hash.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(text.get(index..index + 2)?, 16).ok()?;
    }
    Some(hash)
}

/// `sessions_not_before`, of whatever it stands in.
pub(super) fn read_epoch(members: &mut Members<'_>) -> Epoch {
    let member = "sessions_not_before";
    let is_unreadable = members.is_unreadable(member);
    let (moment, is_sound) = members.judged(|members| moment(members, member));
    if is_unreadable {
        return Epoch::Unreadable;
    }
    if is_sound { moment.into() } else { Epoch::Unreadable }
}

/// A point in time in Unix seconds, up to the end of the year 9999; 0 is none.
pub(super) fn moment(members: &mut Members<'_>, member: &str) -> Option<Timestamp> {
    members.integer(member, 0..=NOT_YET).filter(|seconds| *seconds > 0).map(Timestamp::from_unix_seconds)
}

pub(super) fn seconds(members: &mut Members<'_>, member: &str, least: Seconds, most: Seconds) -> Option<Seconds> {
    members.integer(member, i64::from(least)..=i64::from(most)).and_then(|seconds| Seconds::try_from(seconds).ok())
}

/// An address that browsers are sent to. A fault does not quote it.
pub(super) fn read_url(members: &mut Members<'_>, member: &str) -> Option<WebUrl> {
    let text = members.string(member)?;
    read_one_url(members, member, &text)
}

/// A list of such addresses.
pub(super) fn read_urls(members: &mut Members<'_>, member: &str) -> Vec<WebUrl> {
    let texts = members.strings(member);
    let read = |(index, text): (usize, &String)| read_one_url(members, &format!("{member}[{index}]"), text);
    texts.iter().enumerate().filter_map(read).collect()
}

fn read_one_url(members: &mut Members<'_>, member: &str, text: &str) -> Option<WebUrl> {
    let url = WebUrl::parse(text);
    if url.is_none() {
        members.fault(member, format_args!("must be {}", WebUrl::RULE));
    }
    url
}
