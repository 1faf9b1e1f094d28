//! Registrations.

use std::collections::BTreeSet;

use latchkey_token::{
    json::Value,
    keys::{Algorithm, KeyRing},
    policy::{MAX_ACCESS_TOKEN_SECONDS, MAX_GRACE_SECONDS, MAX_RETRY_CONFIDENTIAL_SECONDS, MAX_RETRY_PUBLIC_SECONDS},
    registrations::{Client, Credentials, Pkce, Profile, Registrations},
    values::{DYNAMIC_CLIENTS, WebUrl},
};

use crate::{Outcome, text};

/// Registrations that are taken mean the same when they are written anew, keep every limit, show no hash, and admit nobody
/// whose secret is not known. One that is refused is refused with the same reasons every time.
pub fn registrations(data: &[u8]) -> Outcome {
    let Some(text) = text(data) else { return Outcome::Unused };
    match Registrations::parse(text) {
        Ok(registrations) => {
            let document: Value = serde_json::from_str(text).unwrap();
            let shown = format!("{registrations:?}");
            assert_eq!(format!("{:?}", Registrations::parse(&document.to_string()).unwrap()), shown);
            assert_shows_no_hash(&document, &shown);
            let ids: BTreeSet<&str> = registrations.clients().iter().map(|client| client.client_id.as_str()).collect();
            assert_eq!(ids.len(), registrations.clients().len(), "an id stands twice");
            for client in registrations.clients() {
                assert_within_limits(client);
                assert_admits_no_guess(&registrations, client);
                assert_sends_browsers_to_sound_addresses_only(&registrations, client);
            }
            let no_keys = KeyRing::parse(r#"{"signing":[],"tagging":[]}"#).unwrap();
            let names_a_key = registrations.clients().iter().any(|client| client.kid.is_some());
            assert_eq!(registrations.check_keys(&no_keys).is_err(), names_a_key);
            Outcome::Accepted
        }
        Err(faults) => {
            assert_eq!(Registrations::parse(text).unwrap_err(), faults);
            assert!(faults.lines().iter().all(|line| !line.is_empty()) && !faults.lines().is_empty());
            match Registrations::read(text) {
                Ok(reading) => {
                    assert_eq!(reading.faults, faults);
                    assert_asks_of_faulty_clients_in_vain(text, &reading.value);
                }
                Err(no_document) => {
                    assert_eq!(no_document, faults);
                    assert_eq!(
                        faults,
                        Registrations::parse("").unwrap_err(),
                        "nothing of what is no document is quoted"
                    );
                }
            }
            Outcome::Refused
        }
    }
}

/// Of every client that the document names, sound or not: it is there, or nobody can tell; it never passes for unknown.
fn assert_asks_of_faulty_clients_in_vain(text: &str, registrations: &Registrations) {
    let Ok(document) = serde_json::from_str::<Value>(text) else { return };
    for client in document["clients"].as_array().into_iter().flatten() {
        // No client has such an id: what is registered under one is nobody.
        let Some(id) = client["client_id"].as_str().filter(|id| !id.starts_with(DYNAMIC_CLIENTS)) else { continue };
        assert!(!matches!(registrations.client(id), Ok(None)), "{id:?} passes for unknown");
    }
}

fn assert_shows_no_hash(document: &Value, shown: &str) {
    let hashes = |party: &Value| party.get("secret_sha256").map(Value::to_string).unwrap_or_default();
    let parties = ["issuers", "clients"].into_iter().flat_map(|list| document[list].as_array().unwrap());
    let hashes: String = parties.map(hashes).collect();
    // The same text may stand elsewhere, in a name or an audience, which is shown.
    let everything = document.to_string();
    let stands_elsewhere = |hash: &str| everything.matches(hash).count() > hashes.matches(hash).count();
    for hash in hashes.split('"').filter(|text| text.len() == 64 && !stands_elsewhere(text)) {
        assert!(!shown.contains(hash), "a hash in Debug");
    }
}

fn assert_within_limits(client: &Client) {
    let (renewal, is_symmetric) = (&client.renewal, client.algorithm == Algorithm::Hs256);
    let max_retry = if client.is_public() { MAX_RETRY_PUBLIC_SECONDS } else { MAX_RETRY_CONFIDENTIAL_SECONDS };
    assert!(renewal.retry_seconds.is_none_or(|seconds| seconds <= max_retry));
    assert!(renewal.grace_seconds.is_none_or(|seconds| seconds <= MAX_GRACE_SECONDS));
    assert!(renewal.window_seconds.is_none_or(|seconds| seconds <= MAX_GRACE_SECONDS));
    assert!(client.access_token_seconds.is_none_or(|seconds| (1..=MAX_ACCESS_TOKEN_SECONDS).contains(&seconds)));
    assert!(!is_symmetric || client.kid.is_some());
    assert!(client.profile == Profile::Standard || is_symmetric);
    assert!(!client.audience.is_empty());
    assert!(!client.claims.iter().any(|name| latchkey_token::values::is_reserved_claim(name)));
}

/// Of a client whose registration is sound it is known who signs its users in, if anybody does.
fn assert_sends_browsers_to_sound_addresses_only(registrations: &Registrations, client: &Client) {
    assert!(client.pkce == Pkce::Required || !client.is_public());
    let issuer = registrations.sign_in_issuer(client).unwrap();
    assert!(issuer.is_none_or(|issuer| issuer.clients.contains(&client.client_id) && !issuer.is_disabled));
    assert!(issuer.is_none_or(|issuer| client.sign_in_issuer.as_ref().is_none_or(|id| *id == issuer.issuer_id)));
    let addresses = issuer.into_iter().flat_map(|issuer| issuer.sign_in_url.iter().chain(&issuer.sign_out_url));
    for address in addresses.chain(&client.redirect_uris).chain(&client.post_logout_redirect_uris) {
        assert_eq!(WebUrl::parse(address.as_str()).as_ref(), Some(address));
    }
    for uri in &client.redirect_uris {
        assert!(client.redirects_to(uri.as_str()));
        for other in
            [format!("{}/", uri.as_str()), format!("{}#", uri.as_str()), uri.as_str().replacen("//", "//x@", 1)]
        {
            assert!(!client.redirects_to(&other) || client.redirect_uris.iter().any(|own| own.as_str() == other));
        }
    }
}

fn assert_admits_no_guess(registrations: &Registrations, client: &Client) {
    let id = client.client_id.as_str().to_owned();
    for secret in ["", "0", &id] {
        let guess = [Credentials { id: id.clone(), secret: secret.to_owned() }];
        let admitted = registrations.authenticate_client(&guess);
        // Of these three the input may know the hash; nobody else's secret will do.
        assert!(admitted.unwrap().is_none_or(|admitted| admitted.client_id == client.client_id && !client.is_public()));
    }
}
