//! Reads `dynamic_clients`: what clients may be that register themselves.

use serde_json::value::RawValue;

use super::fields::{read_epoch, read_urls, seconds};
use crate::{
    json::{Members, Report, Value},
    policy::{DYNAMIC_CLIENT_SECONDS, MAX_DYNAMIC_CLIENT_SECONDS},
    registrations::{
        dynamic::{DynamicClients, DynamicEntry, RedirectPattern, Registering},
        epochs::Epoch,
    },
    values::{IssuerId, Scope},
};

const MEMBER: &str = "dynamic_clients";
/// What it has besides an epoch. Without any of it, it is an epoch and nothing else: the switch is off.
const MEMBERS: [&str; 5] = ["redirect_uris", "scopes", "audience", "sign_in_issuer", "seconds"];

/// `is_usable`: whether the document may be used at all.
pub(super) fn read_dynamic(text: Option<&RawValue>, is_usable: bool, report: &mut Report) -> DynamicEntry {
    let Some(text) = text else { return DynamicEntry::default() };
    let (read, is_sound) = report.judged(|report| {
        let mut members = Members::of_entry(MEMBER.to_owned(), text, report)?;
        let sign_in_issuer = members.peek("sign_in_issuer").and_then(Value::as_str).and_then(IssuerId::parse);
        let is_switch = MEMBERS.iter().any(|member| members.is_there(member));
        let epoch = read_epoch(&mut members);
        let clients = if is_switch { read_rest(members) } else { members.end().then_some(Registering::Off) };
        Some((clients, epoch, sign_in_issuer))
    });
    let (clients, epoch, sign_in_issuer) = read.unwrap_or((None, Epoch::Unreadable, None));
    let clients = clients.filter(|_| is_sound && is_usable).unwrap_or(Registering::Faulty);
    DynamicEntry { clients, epoch, sign_in_issuer }
}

fn read_rest(mut members: Members<'_>) -> Option<Registering> {
    let redirects: Vec<_> = read_urls(&mut members, "redirect_uris").into_iter().map(RedirectPattern::parse).collect();
    if redirects.is_empty() {
        members.fault("redirect_uris", "must name at least one address");
    }
    if redirects.contains(&None) {
        members
            .fault("redirect_uris", format_args!("holds one that is none: an address here {}", RedirectPattern::RULE));
    }
    let scopes = members.strings("scopes");
    let scope = Scope::from_names(scopes.iter().map(String::as_str));
    if scope.is_none() {
        members.fault("scopes", "holds something that is not a scope name (RFC 6749 §3.3)");
    }
    let audience = members.strings("audience");
    if audience.is_empty() || audience.iter().any(String::is_empty) {
        members.fault("audience", "must name at least one audience, none of them empty");
    }
    let sign_in_issuer = members.required_string("sign_in_issuer").and_then(|id| {
        let parsed = IssuerId::parse(&id);
        if parsed.is_none() {
            members.fault("sign_in_issuer", "must be 1 to 255 printable ASCII characters");
        }
        parsed
    });
    let seconds = seconds(&mut members, "seconds", 1, MAX_DYNAMIC_CLIENT_SECONDS).unwrap_or(DYNAMIC_CLIENT_SECONDS);
    members.end();
    let redirects = redirects.into_iter().flatten().collect();
    Some(Registering::On(DynamicClients {
        redirects,
        scope: scope?,
        audience,
        sign_in_issuer: sign_in_issuer?,
        seconds,
    }))
}
