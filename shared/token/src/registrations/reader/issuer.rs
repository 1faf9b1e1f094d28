//! Reads an issuer.

use serde_json::value::RawValue;

use super::fields::{moment, read_epoch, read_hashes, read_jwks, read_url, seconds};
use crate::{
    json::{Members, Report, Value},
    keys::{AssertionKeys, SecretHash, secret_bytes},
    policy::MAX_LEGACY_AGE_SECONDS,
    registrations::{
        credentials::SecretHashes,
        faulty::{AssertionIss, FaultyEntry, SignsIn},
        issuer::{AssertionRules, Issuer},
    },
    values::{ClientId, IssuerId},
};

impl From<&Issuer> for FaultyEntry {
    fn from(issuer: &Issuer) -> Self {
        Self {
            id: Some(issuer.issuer_id.as_str().to_owned()),
            epoch: issuer.sessions_not_before.into(),
            is_disabled: issuer.is_disabled,
            assertion_iss: issuer
                .assertions
                .as_ref()
                .map_or(AssertionIss::None, |rules| AssertionIss::Of(rules.iss.clone())),
            signs_in: match issuer.sign_in_url {
                Some(_) => SignsIn::UsersOf(issuer.clients.iter().map(|id| id.as_str().to_owned()).collect()),
                None => SignsIn::Nobody,
            },
        }
    }
}

/// The issuer, if everything of it could be read, and what counts in any case.
pub(super) fn read_issuer(path: String, text: &RawValue, report: &mut Report) -> (Option<Issuer>, FaultyEntry) {
    let Some(mut members) = Members::of_entry(path, text, report) else {
        return (None, FaultyEntry::unreadable_issuer());
    };
    let id = members.required_string("issuer_id");
    let issuer_id = id.as_deref().and_then(|id| members.named(id, "issuer_id", IssuerId::parse(id)));
    let secrets = read_hashes(&mut members);
    let assertion_iss = match members.peek("assertion_iss") {
        _ if members.is_unreadable("assertion_iss") => AssertionIss::Unreadable,
        None | Some(Value::Null) => AssertionIss::None,
        Some(Value::String(iss)) => AssertionIss::Of(iss.clone()),
        Some(_) => AssertionIss::Unreadable,
    };
    let signs_in = whom_it_signs_in(&members);
    let assertions = read_assertion_rules(&mut members);
    if secrets.is_empty() && !assertions.is_meant {
        members.fault(
            "secret_sha256",
            "an issuer needs at least one hash, or jwks or a secret such as hs256_secret for its assertions",
        );
    }
    let clients = read_client_ids(&mut members, "clients");
    let sign_in_url = read_url(&mut members, "sign_in_url");
    let sign_out_url = read_url(&mut members, "sign_out_url");
    let is_disabled = members.truth("disabled").unwrap_or(false);
    let epoch = read_epoch(&mut members);
    members.end();
    let issuer = issuer_id.map(|issuer_id| Issuer {
        issuer_id,
        secrets: SecretHashes(secrets),
        assertions: assertions.rules,
        clients,
        sign_in_url,
        sign_out_url,
        is_disabled,
        sessions_not_before: epoch.moment(),
    });
    (issuer, FaultyEntry { id, epoch, is_disabled, assertion_iss, signs_in })
}

fn read_client_ids(members: &mut Members<'_>, member: &str) -> Vec<ClientId> {
    let ids = members.strings(member);
    let parsed: Vec<ClientId> = ids.iter().filter_map(|id| ClientId::parse(id)).collect();
    if parsed.len() < ids.len() {
        members.fault(member, "holds something that cannot be a client_id");
    }
    parsed
}

/// Asked before the members are taken.
fn whom_it_signs_in(members: &Members<'_>) -> SignsIn {
    let is_absent = |member| !members.is_unreadable(member) && members.peek(member).is_none_or(Value::is_null);
    if is_absent("sign_in_url") || is_absent("clients") {
        return SignsIn::Nobody;
    }
    let ids = members.peek("clients").and_then(Value::as_array);
    let ids = ids.and_then(|ids| ids.iter().map(|id| id.as_str().map(str::to_owned)).collect());
    ids.map_or(SignsIn::Anybody, SignsIn::UsersOf)
}

/// What was read about an issuer's assertions.
struct ReadAssertionRules {
    /// Something stood there, right or wrong.
    is_meant: bool,
    rules: Option<AssertionRules>,
}

/// Shared secrets: as text or, when they are bytes, in base64.
const SECRETS: [(&str, SecretHash, bool); 6] = [
    ("hs256_secret", SecretHash::Sha256, false),
    ("hs384_secret", SecretHash::Sha384, false),
    ("hs512_secret", SecretHash::Sha512, false),
    ("hs256_secret_base64", SecretHash::Sha256, true),
    ("hs384_secret_base64", SecretHash::Sha384, true),
    ("hs512_secret_base64", SecretHash::Sha512, true),
];

/// A key set or a secret of which there may be one. `None` if there is none; `Some(None)` if it is of no use, which has been
/// reported.
fn read_assertion_keys(members: &mut Members<'_>) -> Option<Option<AssertionKeys>> {
    let mut read = read_jwks(members).map(|keys| ("jwks", keys));
    for (member, hash, is_base64) in SECRETS {
        let Some(text) = members.string(member) else { continue };
        if let Some((other, keys)) = &mut read {
            members.fault(member, format_args!("stands beside {other}: an issuer has one key set or one secret"));
            *keys = None;
            continue;
        }
        let bytes = if is_base64 { secret_bytes(&text) } else { Some(text.into_bytes()) };
        let keys = bytes.ok_or_else(|| "is not base64".to_owned());
        let keys = keys.and_then(|bytes| AssertionKeys::of_secret(hash, &bytes));
        read = Some((member, keys.map_err(|what| members.fault(member, what)).ok()));
    }
    read.map(|(_, keys)| keys)
}

fn read_assertion_rules(members: &mut Members<'_>) -> ReadAssertionRules {
    let keys = read_assertion_keys(members);
    let iss = members.string("assertion_iss").filter(|iss| !iss.is_empty());
    let aud = members.string("assertion_aud").filter(|aud| !aud.is_empty());
    let subject_claim = members.string("subject_claim").filter(|name| !name.is_empty());
    let legacy_max_age_seconds = seconds(members, "legacy_max_age_seconds", 1, MAX_LEGACY_AGE_SECONDS);
    let not_before = moment(members, "assertions_not_before");
    let is_narrowed = members.peek("assertion_clients").is_some_and(|value| !value.is_null());
    let clients = read_client_ids(members, "assertion_clients");
    let clients = is_narrowed.then_some(clients);
    let Some(keys) = keys else {
        for (member, is_there) in [
            ("assertion_iss", iss.is_some()),
            ("assertion_aud", aud.is_some()),
            ("assertion_clients", clients.is_some()),
            ("subject_claim", subject_claim.is_some()),
            ("legacy_max_age_seconds", legacy_max_age_seconds.is_some()),
            ("assertions_not_before", not_before.is_some()),
        ] {
            if is_there {
                members.fault(member, "is for assertions, which need jwks or a secret such as hs256_secret");
            }
        }
        return ReadAssertionRules { is_meant: false, rules: None };
    };
    if iss.is_none() {
        members.fault("assertion_iss", "is missing: the exact iss of this issuer's assertions");
    }
    if aud.is_none() && legacy_max_age_seconds.is_none() {
        members.fault("assertion_aud", "is missing: the exact aud of this issuer's assertions");
    }
    let rules = keys.zip(iss).map(|(keys, iss)| AssertionRules {
        keys,
        iss,
        aud,
        subject_claim: subject_claim.unwrap_or_else(|| "sub".to_owned()),
        legacy_max_age_seconds,
        not_before,
        clients,
    });
    ReadAssertionRules { is_meant: true, rules }
}
