//! What attackers try. Each row of the tables is a test, named by the rules that it proves: sections of RFC 8725 and
//! other RFCs, requirements of OWASP ASVS 5.0 (chapters 7, 9, 10), modes of jwt_tool, PortSwigger's eight JWT labs.
//!
//! Each attempt is a request over real HTTP to a server of its own row. Nobody may be let in, the answer must be the
//! expected one to the byte, the table must stay as it is, and the server must connect to nowhere. The report comes
//! after the last row and fails the run unless all of that holds for every attempt that the tables hold.

// The SDK's futures are nested deeper than the compiler looks by default.
#![recursion_limit = "256"]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod algorithms;
mod assertions;
mod bench;
mod claims;
mod compact_form;
mod forge;
mod headers;
mod lambda_events;
mod ledger;
mod log_lines;
mod refresh_tokens;
mod requests;
mod resources;
mod sessions;
mod sign_in;
mod signatures;
mod trap;
mod vectors;

use std::{process::ExitCode, sync::LazyLock};

use libtest_mimic::{Arguments, Trial};
use test_support::logs;
use tokio::runtime::Runtime;

use crate::ledger::{Kind, Report, Row};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

macro_rules! rows {
    ($kind:ident: $($rule:literal => $attack:path),* $(,)?) => {
        vec![$(Trial::test($rule, || {
            let row = Row::open($rule, Kind::$kind);
            RUNTIME.block_on(Box::pin($attack(row)));
            row.close()
        })),*]
    };
}

fn rows() -> Vec<Trial> {
    rows![AccessTokens:
        "alg none, in every spelling (RFC 8725 3.1, ASVS 9.1.2, PortSwigger 2, jwt_tool -X a)" => algorithms::none,
        "alg is unknown, missing or no string (RFC 8725 3.1, ASVS 9.1.2)" => algorithms::unknown,
        "a weak or blank HMAC secret (RFC 8725 3.5, PortSwigger 3, jwt_tool -X b, -C)" => algorithms::weak_secrets,
        "HMAC with a public key, in every encoding (RFC 8725 2.1, ASVS 9.1.2, PortSwigger 7 and 8, jwt_tool -X k)"
            => algorithms::public_key_as_secret,
        "one key, one algorithm: every key as every other (RFC 8725 3.1 and 3.2, ASVS 9.1.2)" => algorithms::confusion,
        "LibreChat's secret vouches for LibreChat alone (ASVS 9.1.2)" => algorithms::shared_secret,
        "a key that nobody configured (RFC 8725 3.10, ASVS 9.1.3, jwt_tool -X s)" => algorithms::strangers_keys,
        "a key that is too weak never comes into force (RFC 8725 3.5, RFC 7518 3.3)" => algorithms::weak_ring,
        "kid: traversal, injection, confusion (RFC 8725 3.10, ASVS 9.1.3, PortSwigger 6, jwt_tool -I)" => headers::kid,
        "jku, x5u, jwk, x5c: keys that the token brings (RFC 8725 3.10, ASVS 9.1.3, PortSwigger 4 and 5, jwt_tool -X i, -X s)"
            => headers::key_in_token,
        "crit, b64, zip and whatever else a header may hold (RFC 7515 4.1.11, RFC 7797, RFC 8725 3.6)"
            => headers::extensions,
        "typ: another kind of token (RFC 8725 3.11 and 3.12, RFC 9068 4, ASVS 9.2.2)" => headers::typ,
        "JWE, nested, JSON serialisation, detached (RFC 8725 3.3, RFC 7515 7.2)" => headers::other_serialisations,
        "no signature, or that of another token (RFC 8725 3.3, ASVS 9.1.1, PortSwigger 1, jwt_tool -X n)"
            => signatures::missing_or_foreign,
        "ECDSA: r and s at the edges, DER (RFC 8725 3.4, jwt_tool -X p, CVE-2022-21449)" => signatures::ecdsa,
        "RSA and Ed25519: signatures at the edges (RFC 8725 3.4)" => signatures::rsa_and_ed25519,
        "every byte of every algorithm's signature altered (RFC 8725 3.3, ASVS 9.1.1)" => signatures::altered_bytes,
        "every character of a token altered (ASVS 9.1.1)" => compact_form::altered_characters,
        "compact form: parts, padding, white space, spare bits, alphabet (RFC 7515 7.1, RFC 8725 3.7)"
            => compact_form::malformed,
        "too long a token, too deep JSON (ASVS 9.1.1)" => compact_form::oversized,
        "header and claims that are no JSON object in UTF-8 (RFC 8725 3.7)" => compact_form::not_json,
        "members that stand twice, at any level (RFC 8725 2.4, RFC 7519 4)" => compact_form::duplicates,
        "exp and iat: missing, no integer, beyond policy (RFC 8725 3.10, ASVS 9.2.1)" => claims::times,
        "iat in the future: nine seconds, a minute, more (ASVS 9.2.1, FAPI 2.0 5.3)" => claims::future,
        "iss, aud, sub, client_id, sid, jti, scope (RFC 8725 3.8 and 3.9, RFC 9068 4, ASVS 9.2.3, 10.3.1, 10.3.3)"
            => claims::identity,
        "every claim as null, true, number, list, object (RFC 8725 3.10, jwt_tool -M er)" => claims::forced_errors,
        "what is no access token in its place (RFC 8725 3.12, ASVS 9.2.2, 10.4.5)" => claims::other_tokens,
        "expired and in grace, revoked, of another audience (ASVS 7.3.1, 7.4.1, 9.2.1, 10.3.1)" => claims::no_longer_good,
        "refresh token: every bit altered (RFC 6749 10.10, ASVS 7.2.3)" => refresh_tokens::altered_bits,
        "refresh token: every character, every length (RFC 6749 10.10)" => refresh_tokens::altered_text,
        "refresh token: parts of two tokens mixed (RFC 9700 4.14)" => refresh_tokens::mixed,
        "refresh token: made with a stolen tag key (RFC 9700 4.14)" => refresh_tokens::stolen_tag_key,
        "refresh token: another client's, for every pair of clients (RFC 6749 6, ASVS 10.4.5)" => refresh_tokens::of_another_client,
        "refresh token: random, foreign, no token at all (RFC 6749 10.10)" => refresh_tokens::invented,
        "session: access token of one, refresh token of another (RFC 9700 4.14, ASVS 10.4.5)" => sessions::mixed,
        "session: theft ends it, for thief and victim (RFC 9700 4.14.2, ASVS 10.4.5)" => sessions::theft,
        "session: an old token is shown to nobody (RFC 7662 2.2)" => sessions::old_token_is_good_for_a_sign_out_alone,
        "session: nothing lives on after sign-out (RFC 7009 2.2, ASVS 7.4.1, 10.4.9)" => sessions::after_revocation,
        "session: idle and absolute expiry, deletion days late (ASVS 7.3.1, 7.3.2, 10.4.8)" => sessions::expiry,
        "session: one token many times at once, one successor (RFC 9700 4.14.2)" => sessions::in_parallel,
        "session: clocks half a minute apart, no false theft (FAPI 2.0 5.3)" => sessions::clocks,
        "session: keys before they are published and after they retire (RFC 7517 5, ASVS 9.1.3)" => sessions::key_rotation,
        "session: scope never widens (RFC 6749 6, ASVS 10.3.2, 10.4.11)" => sessions::wider_scope,
        "request: malformed, repeated, oversized, of another type (RFC 6749 3.2, RFC 8259 4)" => requests::bodies,
        "request: parameters in the query string (RFC 6750 5.3, RFC 9700 4.3.2)" => requests::query_strings,
        "request: credentials wrong, missing, doubled, in other headers (RFC 6749 2.3, ASVS 10.4.10)" => requests::credentials,
        "request: routes and methods that are not there" => requests::routes_and_methods,
        "request: smuggled, folded, broken off (RFC 9112 6.3 and 11.2)" => requests::smuggling,
        "request: what an issuer may not put into a token (RFC 9068 2.2, ASVS 10.4.4, 10.4.11)" => requests::issuing,
        "request: sessions of others (ASVS 7.4.1, 10.4.9)" => requests::others_sessions,
        "request: who exists is not found out (RFC 7009 2.2, RFC 7662 4)" => requests::enumeration,
        "resource: another's, a look-alike, a hundred (RFC 8707 2, RFC 9700 2.3)" => resources::not_registered,
        "resource: a token is for what was asked for and nothing else, however often (RFC 8707 2)" => resources::never_wider,
        "lambda: isBase64Encoded lies, joined headers, query strings" => lambda_events::hostile,
        "lambda: the authorizer's headers (RFC 6750 2.1)" => lambda_events::authorizer_events,
        "assertion: of an issuer, forged, expired, for others, used twice (RFC 7523 3, RFC 8725 3)" => assertions::by_issuers,
        "assertion: of a client, forged, expired, for others (RFC 7523 3, ASVS 10.4.10, 10.4.16)" => assertions::by_clients,
        "log: nothing is injected, nothing is told (ASVS 16.4.1)" => log_lines::injection,
        "Wycheproof: HMAC-SHA-256 (RFC 8725 3.2)" => vectors::hmac,
        "Wycheproof: RSA PKCS1 and PSS (RFC 8725 3.2)" => vectors::rsa,
        "Wycheproof: ECDSA P-256 (RFC 8725 3.2)" => vectors::ecdsa_p256,
        "Wycheproof: Ed25519 (RFC 8725 3.2)" => vectors::ed25519,
    ]
}

/// What an access token must not be, an ID token must not be either where it says whose session a browser ends.
fn rows_of_hints() -> Vec<Trial> {
    rows![Hints:
        "hint: alg none, in every spelling (RFC 8725 3.1, RP-Initiated Logout 2)" => algorithms::none,
        "hint: alg is unknown, missing or no string (RFC 8725 3.1)" => algorithms::unknown,
        "hint: a weak or blank HMAC secret (RFC 8725 3.5)" => algorithms::weak_secrets,
        "hint: HMAC with a public key, in every encoding (RFC 8725 2.1)" => algorithms::public_key_as_secret,
        "hint: one key, one algorithm; no HMAC key vouches (RFC 8725 3.1 and 3.2)" => algorithms::confusion,
        "hint: a key that nobody configured (RFC 8725 3.10)" => algorithms::strangers_keys,
        "hint: kid: traversal, injection, confusion (RFC 8725 3.10)" => headers::kid,
        "hint: jku, x5u, jwk, x5c: keys that the token brings (RFC 8725 3.10)" => headers::key_in_token,
        "hint: crit, b64, zip and whatever else a header may hold (RFC 7515 4.1.11)" => headers::extensions,
        "hint: typ: another kind of token (RFC 8725 3.11 and 3.12)" => headers::typ,
        "hint: JWE, nested, JSON serialisation, detached (RFC 8725 3.3, RFC 7515 7.2)" => headers::other_serialisations,
        "hint: no signature, or that of another token (RFC 8725 3.3)" => signatures::missing_or_foreign,
        "hint: ECDSA: r and s at the edges, DER (RFC 8725 3.4)" => signatures::ecdsa,
        "hint: RSA and Ed25519: signatures at the edges (RFC 8725 3.4)" => signatures::rsa_and_ed25519,
        "hint: every byte of every algorithm's signature altered (RFC 8725 3.3)" => signatures::altered_bytes,
        "hint: every character altered (RFC 8725 3.3)" => compact_form::altered_characters,
        "hint: compact form: parts, padding, white space, spare bits, alphabet (RFC 7515 7.1)" => compact_form::malformed,
        "hint: header and claims that are no JSON object in UTF-8 (RFC 8725 3.7)" => compact_form::not_json,
        "hint: members that stand twice, at any level (RFC 8725 2.4, RFC 7519 4)" => compact_form::duplicates,
        "hint: iss, aud, sub, sid, of another client or deployment (RP-Initiated Logout 2)" => sign_in::sign_out::identity,
    ]
}

/// Sign-in: what a browser, a portal and a client are tricked into.
fn rows_of_sign_in() -> Vec<Trial> {
    rows![AccessTokens:
        "sign-in: who is no client, or wants the browser elsewhere, gets a page (RFC 9700 2.1, RFC 6749 10.15)"
            => sign_in::requests::nobody_is_sent_elsewhere,
        "sign-in: twice, other response types, request objects, PKCE (RFC 9700 2.1.1, OpenID Connect Core 3.1.2.1)"
            => sign_in::requests::faults_go_back_to_the_client,
        "sign-in: script, headers and markup in every parameter (RFC 9700 4.2, ASVS 3.2.2)" => sign_in::requests::injection,
        "sign-in: two authorization servers mixed up (RFC 9207, RFC 9700 4.4)" => sign_in::requests::mix_up,
        "sign-in: a flood writes nothing and reads no secret (ASVS 2.4.1)" => sign_in::requests::flood,
        "sign-in: login CSRF, answers in another browser (RFC 6749 10.12, RFC 9700 4.7)" => sign_in::browsers::login_csrf,
        "sign-in: a cookie that somebody planted (ASVS 3.3.3, 7.2.4)" => sign_in::browsers::planted_cookies,
        "registration: every character of an id altered (RFC 7591 5)" => sign_in::registering::altered_ids,
        "registration: addresses beside the patterns (RFC 7591 5, RFC 9700 4.1)" => sign_in::registering::hostile_addresses,
        "ticket: every bit altered" => sign_in::tickets::altered_bits,
        "ticket: every character, every length" => sign_in::tickets::altered_text,
        "ticket: of another deployment, of other keys, after its time, after its key's" => sign_in::tickets::not_ours_now,
        "ticket: by another issuer, by a client, by nobody (RFC 6749 10.1)" => sign_in::tickets::by_others,
        "ticket: accepted again: another code, and the first dies unused" => sign_in::tickets::replayed,
        "answer: every bit and character altered" => sign_in::browsers::altered_answers,
        "answer: replayed, of another deployment, a minute old, another kind of text" => sign_in::browsers::old_answers,
        "code: every bit altered (RFC 6749 10.10, ASVS 10.4.2)" => sign_in::codes::altered_bits,
        "code: every character, every length; guessed (RFC 6749 10.10)" => sign_in::codes::altered_text,
        "code: by another client, verifier or redirect (RFC 6749 4.1.3, RFC 7636 4.6, ASVS 10.4.6)" => sign_in::codes::misfits,
        "code: for a refresh token, and a refresh token for a code (RFC 8725 3.12)" => sign_in::codes::other_kinds,
        "code: made with a stolen tag key (RFC 9700 4.14)" => sign_in::codes::stolen_tag_key,
        "code: used twice, whoever is first (RFC 6749 4.1.2, RFC 9700 4.5, ASVS 10.4.2)" => sign_in::codes::used_twice,
        "code: sixteen times at once, tokens once (RFC 6749 4.1.2)" => sign_in::codes::raced,
        "code: a minute old (RFC 6749 4.1.2, ASVS 10.4.3)" => sign_in::codes::old,
        "sign-out: to registered addresses only (RP-Initiated Logout 3, RFC 9700 4.11)" => sign_in::sign_out::addresses,
        "sign-out: a link ends nobody's session (RP-Initiated Logout 6)" => sign_in::sign_out::links,
    ]
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let is_complete = arguments.filter.is_none() && arguments.skip.is_empty() && !arguments.list;
    let all = [rows(), rows_of_hints(), rows_of_sign_in()].into_iter().flatten().collect();
    let conclusion = libtest_mimic::run(&arguments, all);
    if arguments.list {
        return ExitCode::SUCCESS;
    }
    let report = Report::of_run(trap::connections());
    println!("{:#}", report.summary);
    let log = logs::check(&logs::text());
    println!("log: {log:?}");
    if is_complete {
        println!("written to {}", report.write().display());
    }
    match conclusion.has_failed() || !report.is_clean || log.is_err() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}
