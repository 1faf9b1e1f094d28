//! Refresh tokens that we never made, or not for whoever presents them. None of them costs a request to the table.

use latchkey_token::{
    keys::KeyRing,
    tokens::{RefreshSecret, RefreshToken},
    values::{ClientId, Generation, SessionKey},
};
use serde_json::{Value, json};
use test_support::{FORM, JSON, Tokens, form, keys, secret_of};

use crate::{
    bench::{Attempt, Bench, Expected, bytes_of, post, refresh_token_of},
    ledger::Row,
    trap,
};

/// The places that read a refresh token, for a client of plain OAuth.
fn everywhere(bench: &Bench, what: &str, token: &str) -> Vec<Attempt> {
    at_renewal(bench, what, token).into_iter().chain(elsewhere(bench, what, token)).collect()
}

fn at_renewal(bench: &Bench, what: &str, token: &str) -> Vec<Attempt> {
    let own = bench.basic(bench.client);
    let (secret, access) = (secret_of(bench.client), bench.tokens.access());
    let in_body = json!({"refresh_token": token, "client_id": bench.client, "client_secret": secret, "grant_type": "refresh_token"});
    vec![
        attempt(
            what,
            "renewal",
            post("/token/renew", Some(&own), FORM, form(&[("refresh_token", token)])),
            Expected::invalid_grant(),
        ),
        attempt(
            what,
            "renewal with an access token",
            post("/token/renew", Some(&own), FORM, form(&[("refresh_token", token), ("access_token", access)])),
            Expected::invalid_grant(),
        ),
        attempt(
            what,
            "renewal by JSON",
            post("/token/renew", None, JSON, in_body.to_string()),
            Expected::invalid_grant(),
        ),
    ]
}

fn elsewhere(bench: &Bench, what: &str, token: &str) -> Vec<Attempt> {
    let (own, issuer) = (bench.basic(bench.client), bench.basic("portal"));
    let asked = form(&[("token", token), ("token_type_hint", "refresh_token")]);
    vec![
        attempt(
            what,
            "introspection by the issuer",
            post("/token/introspect", Some(&issuer), FORM, asked.clone()),
            Expected::inactive(),
        ),
        attempt(
            what,
            "introspection by the client",
            post("/token/introspect", Some(&own), FORM, asked.clone()),
            Expected::inactive(),
        ),
        attempt(
            what,
            "revocation by the issuer",
            post("/token/revoke", Some(&issuer), FORM, asked.clone()),
            Expected::nothing(),
        ),
        attempt(what, "revocation by the client", post("/token/revoke", Some(&own), FORM, asked), Expected::nothing()),
    ]
}

fn attempt(what: &str, place: &str, request: lambda_http::http::Request<Vec<u8>>, expected: Expected) -> Attempt {
    let expected = if request.body().len() > 16 * 1024 { Expected::too_large() } else { expected };
    Attempt::new(format_args!("{what} at {place}"), request, expected)
}

async fn oauth(row: Row) -> Bench {
    Bench::of(row, "librechat-oauth", &[]).await
}

pub async fn altered_bits(row: Row) {
    let bench = oauth(row).await;
    bench.genuine_is_let_in().await;
    let genuine = bytes_of(bench.tokens.refresh());
    let mut attempts = Vec::new();
    for index in 0..genuine.len() {
        for bit in 0..8 {
            let mut altered = genuine.clone();
            altered[index] ^= 1 << bit;
            let (what, token) = (format!("byte {index}, bit {bit}"), refresh_token_of(&altered));
            attempts.extend(at_renewal(&bench, &what, &token).into_iter().take(1));
            if bit == index % 8 {
                attempts.extend(elsewhere(&bench, &what, &token));
            }
        }
    }
    bench.refuse(attempts).await;
    bench.session_has_survived().await;
}

pub async fn altered_text(row: Row) {
    let bench = oauth(row).await;
    bench.genuine_is_let_in().await;
    let genuine = bench.tokens.refresh().to_owned();
    let mut tokens: Vec<(String, String)> = Vec::new();
    for at in 0..genuine.len() {
        let new = if genuine.as_bytes()[at] == b'A' { 'B' } else { 'A' };
        tokens.push((format!("character {at}"), format!("{}{new}{}", &genuine[..at], &genuine[at + 1..])));
        tokens.push((format!("without character {at}"), format!("{}{}", &genuine[..at], &genuine[at + 1..])));
        if at > 0 {
            tokens.push((format!("cut after {at}"), genuine[..at].to_owned()));
        }
    }
    for more in ["A", "=", "==", ".", " ", "\n", "\0", "%", "%00", "\u{feff}", "é", "AAAA", "lk1_", &genuine] {
        tokens.push((format!("{more:?} behind"), format!("{genuine}{more}")));
        tokens.push((format!("{more:?} in front"), format!("{more}{genuine}")));
        tokens.push((format!("{more:?} in the middle"), format!("{}{more}{}", &genuine[..60], &genuine[60..])));
    }
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = alphabet.find(genuine.chars().last().unwrap()).unwrap();
    for spare in 1..16 {
        let other = alphabet.chars().nth(last | spare).unwrap();
        tokens.push((format!("spare bits {spare}"), format!("{}{other}", &genuine[..genuine.len() - 1])));
    }
    tokens.extend([
        ("capitals".to_owned(), genuine.to_uppercase()),
        ("small letters".to_owned(), genuine.to_lowercase()),
        ("standard alphabet".to_owned(), genuine.replace('-', "+").replacen('_', "/", 9)),
        ("another version".to_owned(), genuine.replacen("lk1_", "lk2_", 1)),
        ("version 0".to_owned(), genuine.replacen("lk1_", "lk0_", 1)),
        ("no prefix".to_owned(), genuine[4..].to_owned()),
        ("backwards".to_owned(), genuine.chars().rev().collect()),
        ("full-width".to_owned(), genuine.replacen('1', "\u{ff11}", 1)),
    ]);
    tokens.retain(|(_, token)| *token != genuine);
    tokens.sort_by(|one, other| one.1.cmp(&other.1));
    tokens.dedup_by(|one, other| one.1 == other.1);
    let attempts = tokens.iter().flat_map(|(what, token)| {
        at_renewal(&bench, what, token).into_iter().take(1).chain(elsewhere(&bench, what, token).into_iter().skip(2))
    });
    bench.refuse(attempts.collect()).await;
    bench.session_has_survived().await;
}

pub async fn mixed(row: Row) {
    const FIELDS: [std::ops::Range<usize>; 5] = [1..17, 17..33, 33..37, 37..69, 69..85];
    let bench = oauth(row).await;
    bench.genuine_is_let_in().await;
    let own = bytes_of(bench.tokens.refresh());
    let same_subject = bench.app.issue_for("librechat-oauth").await;
    let next_generation = bench.app.renew_oauth("librechat-oauth", same_subject.refresh()).await.tokens();
    let pairs = [("client_id", "librechat-oauth"), ("subject", "bob")];
    let another_subject = bench.app.issue_form(&pairs).await.tokens();
    let another_client = bench.app.issue_for("librechat").await;
    bench.settle();
    let mut attempts = Vec::new();
    for (whose, other) in [
        ("the same subject's", &same_subject),
        ("the same subject's next", &next_generation),
        ("another subject's", &another_subject),
        ("another client's", &another_client),
    ] {
        let other = bytes_of(other.refresh());
        for subset in 1..32_u32 {
            let mut bytes = own.clone();
            for (_, field) in FIELDS.into_iter().enumerate().filter(|(index, _)| subset >> index & 1 == 1) {
                bytes[field.clone()].copy_from_slice(&other[field]);
            }
            // Equal owners and generations make some mixtures a token of somebody's own.
            if bytes == own || bytes == other {
                continue;
            }
            attempts.extend(everywhere(&bench, &format!("{whose}, fields {subset:05b}"), &refresh_token_of(&bytes)));
        }
    }
    bench.refuse(attempts).await;
    bench.session_has_survived().await;
}

/// Whoever has the tag key can make tokens that look like ours. They open nothing, and change nothing unless they are
/// behind the record.
pub async fn stolen_tag_key(row: Row) {
    let bench = oauth(row).await;
    let renewed = bench.app.renew_oauth("librechat-oauth", bench.tokens.refresh()).await.tokens();
    let current = Tokens(renewed.0.clone());
    bench.settle();
    let ring = KeyRing::parse(&keys::ring()).unwrap();
    let client = ClientId::parse("librechat-oauth").unwrap();
    let session = SessionKey::parse(current.0["session_id"].as_str().unwrap()).unwrap();
    let made = |session: SessionKey, generation: u32, secret: [u8; 32], client: &ClientId| {
        let token = RefreshToken::new(session, Generation::new(generation), RefreshSecret::from_bytes(secret));
        token.expose(ring.tag_key(1, bench.app.now()).unwrap().unwrap(), client)
    };
    let mut attempts = Vec::new();
    let unknown = SessionKey::parse(&"A".repeat(43)).unwrap();
    let forged = [
        ("the current generation", made(session, 1, [0; 32], &client), &["UpdateItem"][..]),
        ("the current generation, another secret", made(session, 1, [0xff; 32], &client), &["UpdateItem"]),
        ("the next generation", made(session, 2, [1; 32], &client), &["UpdateItem"]),
        ("a far generation", made(session, 1_000_000, [1; 32], &client), &["UpdateItem"]),
        ("the last generation but one", made(session, u32::MAX - 1, [1; 32], &client), &["UpdateItem"]),
        ("the last generation", made(session, u32::MAX, [1; 32], &client), &[]),
        ("an unknown session", made(unknown, 0, [1; 32], &client), &["UpdateItem"]),
    ];
    for (what, token, operations) in &forged {
        let own = bench.basic(bench.client);
        let request = post("/token/renew", Some(&own), FORM, form(&[("refresh_token", token)]));
        attempts.push(attempt(what, "renewal", request, Expected::invalid_grant().after(operations)));
        for other in elsewhere(&bench, what, token) {
            // Whoever has the tag key can sign people out: at revocation the tag is all that is asked for.
            if other.what.contains("revocation") {
                continue;
            }
            // The client is not shown refresh tokens; everybody else's question costs a read.
            let reads: &[&str] = if other.what.contains("introspection by the client") { &[] } else { &["GetItem"] };
            attempts.push(Attempt { expected: other.expected.after(reads), ..other });
        }
    }
    // Made for another client, whose own session it is not: the tag is wrong for whoever presents it.
    for other in ["librechat", "librechat-oaut", "librechat-oauth2", "LIBRECHAT-OAUTH", "spa"] {
        let other = ClientId::parse(other).unwrap();
        let token = made(session, 1, [0; 32], &other);
        let request = post("/token/renew", Some(&bench.basic(bench.client)), FORM, form(&[("refresh_token", &token)]));
        attempts.push(attempt(&format!("made for {other}"), "renewal", request, Expected::invalid_grant()));
    }
    bench.refuse(attempts).await;
    bench.app.renew_oauth("librechat-oauth", current.refresh()).await.tokens();
    row.controlled();
}

pub async fn of_another_client(row: Row) {
    let bench = Bench::start(row).await;
    let clients: Vec<String> = keys::clients()
        .iter()
        .map(|client| client["client_id"].as_str().unwrap().to_owned())
        // Another issuer's, and one that has no secret to be wrong about.
        .filter(|client| client != "other" && client != "keyed")
        .collect();
    let mut sessions = Vec::new();
    for client in &clients {
        sessions.push(bench.app.issue_for(client).await);
    }
    bench.settle();
    let mut attempts = Vec::new();
    for (owner, tokens) in clients.iter().zip(&sessions) {
        for (thief, own) in clients.iter().zip(&sessions).filter(|(thief, _)| *thief != owner) {
            for (how, access) in
                [("and their access token", tokens.access()), ("and the thief's own access token", own.access())]
            {
                let secret = secret_of(thief);
                let mut pairs =
                    vec![("refresh_token", tokens.refresh()), ("access_token", access), ("client_id", thief)];
                if !thief.starts_with("spa") {
                    pairs.push(("client_secret", &secret));
                }
                let request = post("/token/renew", None, FORM, form(&pairs));
                attempts.push(attempt(
                    &format!("{owner}'s {how} by {thief}"),
                    "renewal",
                    request,
                    Expected::invalid_grant(),
                ));
            }
            if !thief.starts_with("spa") {
                let asked = form(&[("token", tokens.refresh())]);
                let request = post("/token/introspect", Some(&bench.basic(thief)), FORM, asked.clone());
                attempts.push(attempt(
                    &format!("{owner}'s by {thief}"),
                    "introspection",
                    request,
                    Expected::inactive(),
                ));
                let request = post("/token/revoke", Some(&bench.basic(thief)), FORM, asked);
                attempts.push(attempt(&format!("{owner}'s by {thief}"), "revocation", request, Expected::nothing()));
                let asked = form(&[("token", tokens.access())]);
                let request = post("/token/introspect", Some(&bench.basic(thief)), FORM, asked.clone());
                attempts.push(attempt(
                    &format!("{owner}'s access token by {thief}"),
                    "introspection",
                    request,
                    Expected::inactive(),
                ));
                let request = post("/token/revoke", Some(&bench.basic(thief)), FORM, asked);
                attempts.push(attempt(
                    &format!("{owner}'s access token by {thief}"),
                    "revocation",
                    request,
                    Expected::nothing(),
                ));
            }
        }
        // An issuer that may not act for the client.
        for token in [tokens.refresh(), tokens.access()] {
            let asked = form(&[("token", token)]);
            let second = bench.basic("second");
            let request = post("/token/introspect", Some(&second), FORM, asked.clone());
            attempts.push(attempt(
                &format!("{owner}'s by a foreign issuer"),
                "introspection",
                request,
                Expected::inactive(),
            ));
            let request = post("/token/revoke", Some(&second), FORM, asked);
            attempts.push(attempt(
                &format!("{owner}'s by a foreign issuer"),
                "revocation",
                request,
                Expected::nothing(),
            ));
        }
    }
    bench.refuse(attempts).await;
    // All of them still renew, each for its own client.
    for (client, tokens) in clients.iter().zip(&sessions).filter(|(client, _)| *client != "windowed") {
        bench.app.renew_as(client, tokens).await.tokens();
        row.controlled();
    }
}

pub async fn invented(row: Row) {
    let bench = oauth(row).await;
    bench.genuine_is_let_in().await;
    let genuine = bytes_of(bench.tokens.refresh());
    let mut tokens: Vec<(String, String)> = Vec::new();
    for fill in [0, 1, 0x41, 0x7f, 0x80, 0xff] {
        for length in [1, 84, 85, 86, 170] {
            tokens.push((format!("{length} bytes of {fill}"), refresh_token_of(&vec![fill; length])));
        }
        let mut known_session = genuine.clone();
        known_session[37..].fill(fill);
        tokens.push((format!("a known session, the rest {fill}"), refresh_token_of(&known_session)));
    }
    for kid in (0..=255_u8).filter(|kid| *kid != 1) {
        let mut other_key = genuine.clone();
        other_key[0] = kid;
        tokens.push((format!("tag key {kid}"), refresh_token_of(&other_key)));
    }
    let mut scrambled = genuine.clone();
    for round in 0..64_u32 {
        // Numbers that look random and are the same in every run.
        for (index, byte) in scrambled.iter_mut().enumerate().skip(1) {
            *byte = byte.wrapping_mul(197).wrapping_add((round as u8).wrapping_mul(31) ^ index as u8);
        }
        tokens.push((format!("random {round}"), refresh_token_of(&scrambled)));
    }
    let others: Vec<(&str, String)> = vec![
        ("the session's id", bench.tokens.0["session_id"].as_str().unwrap().to_owned()),
        ("the client's secret", secret_of("librechat-oauth")),
        ("an authorization code", "SplxlOBeZQQYbYS6WxSbIA".into()),
        ("another product's", "tGzv3JOkF0XG5Qx2TlKWIA".into()),
        ("NUL", "\0".into()),
        ("null", "null".into()),
        ("SQL", "' OR 1=1 --".into()),
        ("a query", "{\"$ne\":null}".into()),
        ("an expression", "attribute_exists(sid)".into()),
        ("an environment variable", "${LATCHKEY_TABLE}".into()),
        ("a path", "../../../../etc/passwd".into()),
        ("a wildcard", "lk1_*".into()),
        ("emoji", "\u{1f511}".repeat(59)),
        ("letters of two bytes", "é".repeat(59)),
        ("118 characters, more bytes", format!("lk1_{}é", "A".repeat(113))),
        ("right to left", format!("\u{202e}{}", bench.tokens.refresh())),
        ("10 kB", "x".repeat(10_000)),
        ("20 kB", "x".repeat(20_000)),
    ];
    tokens.extend(others.into_iter().map(|(what, token)| (what.to_owned(), token)));
    tokens.extend(trap::urls().into_iter().map(|url| ("a URL".to_owned(), url)));
    bench.refuse(tokens.iter().flat_map(|(what, token)| everywhere(&bench, what, token)).collect()).await;
    // The wrong kind of token, where a refresh token belongs.
    let access = bench.tokens.access();
    let id_token = bench.tokens.0["id_token"].as_str().unwrap();
    for (what, token) in [("the access token", access), ("the ID token", id_token)] {
        bench.refuse(at_renewal(&bench, what, token)).await;
    }
    let bodies: [Value; 8] = [
        json!(null),
        json!(true),
        json!(1),
        json!([]),
        json!({}),
        json!([bench.tokens.refresh()]),
        json!({"$gt": ""}),
        json!(1e308),
    ];
    let attempts = bodies.into_iter().map(|value| {
        let request =
            post("/token/renew", Some(&bench.basic(bench.client)), JSON, json!({"refresh_token": value}).to_string());
        attempt(&value.to_string(), "renewal", request, Expected::invalid_request("refresh_token must be a string"))
    });
    bench.refuse(attempts.collect()).await;
    bench.session_has_survived().await;
}
