//! Reads a client.

use std::collections::BTreeSet;

use serde_json::value::RawValue;

use super::fields::{read_epoch, read_hashes, read_jwks, read_urls, seconds};
use crate::{
    json::{Members, Report},
    keys::{Algorithm, Kid},
    policy::{MAX_ACCESS_TOKEN_SECONDS, MAX_GRACE_SECONDS, MAX_RETRY_CONFIDENTIAL_SECONDS, MAX_RETRY_PUBLIC_SECONDS},
    registrations::{
        client::{Client, ClientType, ExchangeTarget, Pkce, Profile, RenewalRequirement, RenewalSettings},
        credentials::SecretHashes,
        epochs::Epoch,
        faulty::FaultyEntry,
    },
    values::{ClientId, DYNAMIC_CLIENTS, IssuerId, Scope, is_reserved_claim},
};

/// The claims that LibreChat reads in its own tokens; allowed for every client of the `librechat` profile.
const LIBRECHAT_CLAIMS: [&str; 4] = ["id", "username", "provider", "email"];

impl From<&Client> for FaultyEntry {
    fn from(client: &Client) -> Self {
        let id = Some(client.client_id.as_str().to_owned());
        Self { id, epoch: client.sessions_not_before.into(), ..Self::default() }
    }
}

/// The client, if everything of it could be read, and what counts in any case.
pub(super) fn read_client(path: String, text: &RawValue, report: &mut Report) -> (Option<Client>, FaultyEntry) {
    let Some(mut members) = Members::of_entry(path, text, report) else { return (None, FaultyEntry::default()) };
    let id = members.required_string("client_id");
    let epoch = read_epoch(&mut members);
    let if_faulty = FaultyEntry { id: id.clone(), epoch, ..FaultyEntry::default() };
    (read_the_rest_of_a_client(members, id, epoch), if_faulty)
}

fn read_the_rest_of_a_client(mut members: Members<'_>, id: Option<String>, epoch: Epoch) -> Option<Client> {
    let client_id = id.and_then(|id| members.named(&id, "client_id", ClientId::parse(&id)));
    if client_id.as_ref().is_some_and(ClientId::is_dynamic) {
        members.fault(
            "client_id",
            format_args!("must not begin with {DYNAMIC_CLIENTS}: such ids are for clients that register themselves"),
        );
    }
    let assertion_keys = read_jwks(&mut members);
    let client_type = read_client_type(&mut members, assertion_keys.is_some());
    let profile = match members.string("profile").as_deref() {
        None | Some("standard") => Profile::Standard,
        Some("librechat") => Profile::LibreChat,
        Some(_) => {
            members.fault("profile", r#"must be "standard" or "librechat""#);
            Profile::Standard
        }
    };
    let (algorithm, kid) = read_key_choice(&mut members, profile);
    let previous_kids = read_previous_kids(&mut members);
    let audience = members.strings("audience");
    if audience.is_empty() || audience.iter().any(String::is_empty) {
        members.fault("audience", "must name at least one audience, none of them empty");
    }
    let scope = read_scopes(&mut members);
    let claims = read_claim_names(&mut members, profile);
    let access_token_seconds = seconds(&mut members, "access_token_seconds", 1, MAX_ACCESS_TOKEN_SECONDS);
    let redirect_uris = read_urls(&mut members, "redirect_uris");
    let post_logout_redirect_uris = read_urls(&mut members, "post_logout_redirect_uris");
    let pkce = read_pkce(&mut members, client_type.as_ref());
    let sign_in_issuer = members.string("sign_in_issuer").and_then(|id| {
        let parsed = IssuerId::parse(&id);
        if parsed.is_none() {
            members.fault("sign_in_issuer", "must be 1 to 255 printable ASCII characters");
        }
        parsed
    });
    let renewal = members.object("renewal");
    let renewal = match renewal {
        Some((path, value)) => read_renewal(members.inner(path, value)?, client_type.as_ref()),
        None => RenewalSettings::default(),
    };
    let exchange = read_exchange(&mut members, client_type.as_ref(), algorithm);
    members.end();
    Some(Client {
        client_id: client_id?,
        client_type: client_type?,
        assertion_keys: assertion_keys.flatten(),
        profile,
        algorithm,
        kid,
        previous_kids,
        audience,
        scope,
        claims,
        access_token_seconds,
        renewal,
        redirect_uris,
        registered: None,
        post_logout_redirect_uris,
        pkce,
        sign_in_issuer,
        exchange,
        sessions_not_before: epoch.moment(),
    })
}

fn read_scopes(members: &mut Members<'_>) -> Scope {
    let scopes = members.strings("scopes");
    Scope::from_names(scopes.iter().map(String::as_str)).unwrap_or_else(|| {
        members.fault("scopes", "holds something that is not a scope name (RFC 6749 §3.3)");
        Scope::default()
    })
}

fn read_client_type(members: &mut Members<'_>, has_jwks: bool) -> Option<ClientType> {
    let kind = members.required_string("type");
    let hashes = read_hashes(members);
    match kind?.as_str() {
        "public" => {
            if !hashes.is_empty() {
                members.fault("secret_sha256", "a public client has no secret");
            }
            if has_jwks {
                members.fault("jwks", "a public client has no key of its own");
            }
            Some(ClientType::Public)
        }
        "confidential" => {
            if hashes.is_empty() && !has_jwks {
                members.fault("secret_sha256", "a confidential client needs at least one hash, or jwks");
            }
            Some(ClientType::Confidential(SecretHashes(hashes)))
        }
        _ => {
            members.fault("type", r#"must be "public" or "confidential""#);
            None
        }
    }
}

fn read_key_choice(members: &mut Members<'_>, profile: Profile) -> (Algorithm, Option<Kid>) {
    let algorithm = match members.string("alg") {
        None => Algorithm::Rs256,
        Some(name) => Algorithm::parse(&name).unwrap_or_else(|| {
            members.fault("alg", "is not one of RS256, PS256, ES256, EdDSA, HS256");
            Algorithm::Rs256
        }),
    };
    if profile == Profile::LibreChat && algorithm != Algorithm::Hs256 {
        members.fault("alg", "the profile librechat needs HS256");
    }
    let kid = members.string("kid").and_then(|kid| {
        let parsed = Kid::parse(&kid);
        if parsed.is_none() {
            members.fault("kid", "must be 1 to 255 printable ASCII characters");
        }
        parsed
    });
    if algorithm.is_symmetric() && kid.is_none() {
        members.fault("kid", "an HS256 client must name its key");
    }
    (algorithm, kid)
}

/// They need not be in the ring: a key goes when its last tokens are over.
fn read_previous_kids(members: &mut Members<'_>) -> Vec<Kid> {
    let names = members.strings("previous_kids");
    let kids: Vec<Kid> = names.iter().filter_map(|name| Kid::parse(name)).collect();
    if kids.len() < names.len() {
        members.fault("previous_kids", "must be 1 to 255 printable ASCII characters each");
    }
    kids
}

fn read_claim_names(members: &mut Members<'_>, profile: Profile) -> Vec<String> {
    let mut names = members.strings("claims");
    for name in names.iter().filter(|name| is_reserved_claim(name)) {
        members.fault("claims", format_args!("{name:?} is reserved"));
    }
    if profile == Profile::LibreChat {
        for name in LIBRECHAT_CLAIMS {
            if !names.iter().any(|own| own == name) {
                names.push(name.to_owned());
            }
        }
    }
    names
}

fn read_pkce(members: &mut Members<'_>, client_type: Option<&ClientType>) -> Pkce {
    match members.string("pkce").as_deref() {
        None | Some("required") => Pkce::Required,
        Some("optional") => {
            if client_type == Some(&ClientType::Public) {
                members.fault("pkce", "a public client needs PKCE: nothing else binds a code to it");
            }
            Pkce::Optional
        }
        Some(_) => {
            members.fault("pkce", r#"must be "required" or "optional""#);
            Pkce::Required
        }
    }
}

fn read_exchange(
    members: &mut Members<'_>,
    client_type: Option<&ClientType>,
    algorithm: Algorithm,
) -> Vec<ExchangeTarget> {
    let targets: Vec<ExchangeTarget> = members
        .objects("exchange")
        .into_iter()
        .filter_map(|(path, value)| read_target(members.inner(path, value)?))
        .collect();
    if !targets.is_empty() && client_type == Some(&ClientType::Public) {
        members.fault("exchange", "a public client cannot prove that it is the one that may exchange");
    }
    if !targets.is_empty() && algorithm.is_symmetric() {
        members
            .fault("exchange", "a client of HS256 exchanges nothing: whoever knows its secret could forge its tokens");
    }
    let mut audiences = BTreeSet::new();
    for target in &targets {
        if !audiences.insert(&target.audience) {
            members.fault("exchange", format_args!("the audience {:?} stands twice", target.audience));
        }
    }
    targets
}

fn read_target(mut members: Members<'_>) -> Option<ExchangeTarget> {
    let audience = members.required_string("audience");
    if audience.as_ref().is_some_and(String::is_empty) {
        members.fault("audience", "must not be empty");
    }
    let scope = read_scopes(&mut members);
    let access_token_seconds = seconds(&mut members, "access_token_seconds", 1, MAX_ACCESS_TOKEN_SECONDS);
    members.end();
    Some(ExchangeTarget { audience: audience?, scope, access_token_seconds })
}

fn read_renewal(mut members: Members<'_>, client_type: Option<&ClientType>) -> RenewalSettings {
    let requires = match members.string("requires").as_deref() {
        None | Some("access_token") => RenewalRequirement::AccessToken,
        Some("refresh_token") => RenewalRequirement::RefreshToken,
        Some(_) => {
            members.fault("requires", r#"must be "access_token" or "refresh_token""#);
            RenewalRequirement::AccessToken
        }
    };
    let max_retry = match client_type {
        Some(ClientType::Public) => MAX_RETRY_PUBLIC_SECONDS,
        Some(ClientType::Confidential(_)) | None => MAX_RETRY_CONFIDENTIAL_SECONDS,
    };
    let settings = RenewalSettings {
        requires,
        grace_seconds: seconds(&mut members, "grace_seconds", 0, MAX_GRACE_SECONDS),
        window_seconds: seconds(&mut members, "window_seconds", 0, MAX_GRACE_SECONDS),
        retry_seconds: seconds(&mut members, "retry_seconds", 0, max_retry),
    };
    members.end();
    settings
}
