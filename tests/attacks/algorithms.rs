//! Which algorithm and which key: nothing that the token says decides it.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use test_support::{ISSUER, keys};

use crate::{
    bench::{Attempt, Bench, Expected, Place},
    forge::{attackers, changed, compact, hmac_key, ring, without},
    ledger::{Kind, Row},
};

/// LibreChat ships this value in its example environment; installations that keep it are an old finding.
const LIBRECHATS_EXAMPLE: &str = concat!("16f8c0ef4a5d391b26034086c628469d", "3f9f497f08163ab9b40137092f2909ef");

pub async fn none(row: Row) {
    let bench = Bench::start(row).await;
    let forge = bench.forge();
    let genuine: Vec<u8> = signature_of(bench.genuine());
    let mut spellings: Vec<String> = (0..16)
        .map(|upper| {
            "none"
                .char_indices()
                .map(|(at, letter)| if upper >> at & 1 == 1 { letter.to_ascii_uppercase() } else { letter })
                .collect()
        })
        .collect();
    let odd = [
        "none ",
        " none",
        "none\0",
        "no\u{0}ne",
        "n\u{43e}ne",
        "\u{ff4e}one",
        "null",
        "NULL",
        "nil",
        "undefined",
        "unsigned",
        "-",
    ];
    spellings.extend(odd.map(str::to_owned));
    let mut tokens = Vec::new();
    for spelling in &spellings {
        let header = changed(&forge.header, json!({"alg": spelling}));
        for (what, signature) in [("no signature", &[][..]), ("one byte", &[0]), ("the genuine signature", &genuine)] {
            tokens.push((format!("alg {spelling:?}, {what}"), compact(&header, &forge.claims, signature)));
        }
        let bare = json!({"alg": spelling});
        tokens.push((format!("alg {spelling:?} and nothing else"), compact(&bare, &forge.claims, &[])));
        let without_dot = compact(&header, &forge.claims, &[]);
        tokens.push((format!("alg {spelling:?}, two parts"), without_dot.trim_end_matches('.').to_owned()));
        tokens.push((format!("alg {spelling:?}, signed after all"), forge.signed_by(&forge.key, &header)));
    }
    let escalated = changed(&forge.claims, json!({"sub": "admin", "scope": "openid admin"}));
    tokens.push(("escalated".into(), compact(&json!({"alg": "none", "typ": "at+jwt"}), &escalated, &[])));
    bench.refuse_tokens(tokens).await;
    bench.session_has_survived().await;
}

fn signature_of(token: &str) -> Vec<u8> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.decode(token.rsplit('.').next().unwrap()).unwrap()
}

pub async fn unknown(row: Row) {
    let bench = Bench::start(row).await;
    let forge = bench.forge();
    let names = [
        "",
        " ",
        "rs256",
        "Rs256",
        "RS256 ",
        " RS256",
        "RS256\0",
        "RS256\n",
        "RS",
        "RSA256",
        "RS2566",
        "RS128",
        "RS1",
        "SHA256",
        "SHA256withRSA",
        "sha256",
        "MD5",
        "RS384",
        "RS512",
        "PS256",
        "PS384",
        "PS512",
        "ES256",
        "ES384",
        "ES512",
        "ES256K",
        "EdDSA",
        "Ed25519",
        "Ed448",
        "HS256",
        "HS384",
        "HS512",
        "HS1",
        "dir",
        "RSA1_5",
        "RSA-OAEP",
        "RSA-OAEP-256",
        "A128KW",
        "A256GCMKW",
        "ECDH-ES",
        "PBES2-HS256+A128KW",
        "A256GCM",
        "ML-DSA-44",
        "ESB256",
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
        "\u{ff32}S256",
        "R\u{200b}S256",
        "RS256,RS256",
        "RS256/none",
        "[\"RS256\"]",
    ];
    let literals = [
        json!(null),
        json!(true),
        json!(256),
        json!(-1),
        json!(0.5),
        json!([]),
        json!({}),
        json!(["RS256"]),
        json!([["RS256"]]),
        json!({"alg": "RS256"}),
    ];
    let values = names.map(Value::from).into_iter().chain(literals);
    let mut tokens: Vec<(String, String)> =
        values.map(|alg| (format!("alg {alg}"), forge.with_header(json!({"alg": alg})))).collect();
    tokens.push(("alg missing".into(), forge.without_header("alg")));
    for name in ["Alg", "ALG", "alg ", "\u{0}alg", "al\u{445}"] {
        let header = changed(&without(&forge.header, "alg"), json!({name: "RS256"}));
        tokens.push((format!("{name:?} for alg"), forge.signed_by(&forge.key, &header)));
    }
    // With the algorithm that the header claims, where the same key can do it.
    for algorithm in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512] {
        let header = changed(&forge.header, json!({"alg": format!("{algorithm:?}")}));
        let input = crate::forge::input(header.to_string().as_bytes(), forge.claims.to_string().as_bytes());
        tokens.push((format!("signed with {algorithm:?}"), forge.key.sign_input(&input, algorithm)));
        let input = crate::forge::input(forge.header.to_string().as_bytes(), forge.claims.to_string().as_bytes());
        tokens.push((format!("signed with {algorithm:?}, said to be RS256"), forge.key.sign_input(&input, algorithm)));
    }
    bench.refuse_tokens(tokens).await;
}

pub async fn weak_secrets(row: Row) {
    let zeros = "\0".repeat(32);
    let long_zeros = "0".repeat(64);
    for client in ["librechat", "hs"] {
        let bench = Bench::of(row, client, &[]).await;
        let forge = bench.forge();
        let secrets = [
            "",
            " ",
            "\n",
            "\0",
            &zeros,
            &long_zeros,
            "secret",
            "Secret",
            "SECRET",
            "password",
            "123456",
            "changeme",
            "test",
            "key",
            "jwt",
            "jwt_secret",
            "JWT_SECRET",
            "your-256-bit-secret",
            "your_jwt_secret",
            "my$ecretK3y",
            "secretkey",
            "gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr9C",
            "null",
            "undefined",
            "none",
            "true",
            "[object Object]",
            "librechat",
            "latchkey",
            "LibreChat",
            "librechat-hs",
            "portal",
            "alice",
            ISSUER,
            LIBRECHATS_EXAMPLE,
            &keys::rs256().kid,
            &keys::JWT_SECRET[..31],
            &keys::JWT_SECRET.to_uppercase(),
            &format!("{} ", keys::JWT_SECRET),
            &format!("{}\n", keys::JWT_SECRET),
            &keys::tag_secret(),
        ];
        let mut tokens = Vec::new();
        for secret in secrets {
            for (kid, typ) in
                [(keys::rs256().kid.as_str(), "at+jwt"), ("librechat-hs", "JWT"), ("librechat-hs", "at+jwt")]
            {
                let key = hmac_key(kid, typ, secret.as_bytes());
                let header = forge.header_for(&key);
                // A secret of this run is not to be printed.
                let shown = if keys::JWT_SECRET.contains(secret.trim()) { "nearly ours" } else { secret };
                tokens.push((format!("{client}: secret {shown:?}, kid {kid}"), forge.signed_by(&key, &header)));
            }
        }
        bench.refuse_tokens(tokens).await;
        bench.session_has_survived().await;
    }
}

pub async fn public_key_as_secret(row: Row) {
    let bench = Bench::start(row).await;
    let forge = bench.forge();
    let mut tokens = Vec::new();
    for key in ring().into_iter().filter(|key| key.algorithm != Algorithm::HS256) {
        for (encoding, bytes) in key.public_encodings() {
            for (kid, typ) in [(key.kid.as_str(), "at+jwt"), (key.kid.as_str(), "JWT"), ("librechat-hs", "JWT")] {
                let hmac = hmac_key(kid, typ, &bytes);
                let header = json!({"alg": "HS256", "kid": kid, "typ": typ});
                tokens.push((
                    format!("{:?} {encoding}, kid {kid}, {typ}", key.algorithm),
                    forge.signed_by(&hmac, &header),
                ));
            }
            let hmac = hmac_key(&key.kid, "at+jwt", &bytes);
            for algorithm in [Algorithm::HS384, Algorithm::HS512] {
                let header = json!({"alg": format!("{algorithm:?}"), "kid": key.kid, "typ": "at+jwt"});
                let input = crate::forge::input(header.to_string().as_bytes(), forge.claims.to_string().as_bytes());
                tokens.push((
                    format!("{:?} {encoding}, {algorithm:?}", key.algorithm),
                    hmac.sign_input(&input, algorithm),
                ));
            }
            // The header still claims the public key's own algorithm.
            tokens.push((
                format!("{:?} {encoding}, header untouched", key.algorithm),
                forge.signed_by(&hmac, &forge.header_for(&key)),
            ));
        }
    }
    // The whole published document, byte for byte, as an attacker would download it.
    let document = bench.app.send(crate::bench::get("/.well-known/jwks.json", None)).await.text;
    let hmac = hmac_key(&forge.key.kid, "at+jwt", document.as_bytes());
    let header = json!({"alg": "HS256", "kid": forge.key.kid, "typ": "at+jwt"});
    tokens.push(("the published JWKS".into(), forge.signed_by(&hmac, &header)));
    bench.genuine_is_let_in().await;
    let places = [
        Place::Renewal,
        Place::RenewalUnnamed,
        Place::IntrospectionByIssuer,
        Place::RevocationByClient,
        Place::Resource,
    ];
    bench.refuse(tokens.iter().flat_map(|(what, token)| bench.at(&places, what, token)).collect()).await;
    bench.session_has_survived().await;
}

pub async fn confusion(row: Row) {
    const CLAIMED: [&str; 17] = [
        "RS256", "PS256", "ES256", "EdDSA", "HS256", "RS384", "RS512", "PS384", "PS512", "ES384", "ES512", "ES256K",
        "HS384", "HS512", "Ed25519", "none", "",
    ];
    let keys = ring();
    for client in ["librechat", "ps", "spa", "ed", "hs"] {
        let bench = Bench::of(row, client, &[]).await;
        let forge = bench.forge();
        let mut tokens = Vec::new();
        for signer in &keys {
            for named in &keys {
                for claimed in CLAIMED {
                    // An asymmetric key vouches for every client but hs, and hs's own key for hs; for ID tokens no other.
                    let is_genuine = signer.kid == named.kid && named.header()["alg"] == claimed;
                    let is_hs = client == "hs" && row.kind() != Kind::Hints;
                    if is_genuine && is_hs == (named.kid == "librechat-hs") {
                        continue;
                    }
                    let header = changed(&forge.header_for(named), json!({"alg": claimed}));
                    let what = format!(
                        "{client}: {:?} signs, header says {claimed} and {:?}'s kid",
                        signer.algorithm, named.algorithm
                    );
                    tokens.push((what, forge.signed_by(signer, &header)));
                }
            }
        }
        bench.genuine_is_let_in().await;
        let places = [Place::Renewal, Place::IntrospectionByIssuer, Place::Resource];
        bench.refuse(tokens.iter().flat_map(|(what, token)| bench.at(&places, what, token)).collect()).await;
        bench.session_has_survived().await;
    }
}

/// LibreChat knows its own secret, and so does whoever steals it there.
pub async fn shared_secret(row: Row) {
    let shared = ring().pop().unwrap();
    for client in ["librechat", "librechat-oauth", "spa", "spa-oauth", "graceful", "ps", "ed", "wide", "short"] {
        let bench = Bench::of(row, client, &[]).await;
        let forge = bench.forge();
        let mut tokens = vec![(format!("{client}: LibreChat's secret"), forge.signed_by(&shared, &shared.header()))];
        let at_jwt = changed(&shared.header(), json!({"typ": "at+jwt"}));
        tokens.push((format!("{client}: LibreChat's secret, at+jwt"), forge.signed_by(&shared, &at_jwt)));
        let hs = changed(&forge.claims, json!({"client_id": "hs"}));
        tokens
            .push((format!("{client}: in the name of hs"), shared.sign(&shared.header().to_string(), &hs.to_string())));
        bench.refuse_tokens(tokens).await;
        bench.session_has_survived().await;
    }
    // And its own tokens verify under no other key.
    let bench = Bench::of(row, "hs", &[]).await;
    let forge = bench.forge();
    let others = ring().into_iter().filter(|key| key.algorithm != Algorithm::HS256);
    let tokens =
        others.map(|key| (format!("hs by {:?}", key.algorithm), forge.signed_by(&key, &key.header()))).collect();
    bench.refuse_tokens(tokens).await;
    bench.session_has_survived().await;
}

pub async fn strangers_keys(row: Row) {
    for (client, algorithm) in [("librechat", Algorithm::RS256), ("spa", Algorithm::ES256)] {
        let bench = Bench::of(row, client, &[]).await;
        let forge = bench.forge();
        let own = attackers(algorithm, &forge.key.kid);
        let mut tokens = vec![(format!("{client}: our kid"), forge.signed_by(&own, &forge.header_for(&own)))];
        for kid in ["attacker", "", "librechat-hs", &own.jwk()["kid"].as_str().unwrap().to_uppercase()] {
            let key = attackers(algorithm, kid);
            tokens.push((format!("{client}: kid {kid:?}"), forge.signed_by(&key, &forge.header_for(&key))));
        }
        let without_kid = without(&forge.header_for(&own), "kid");
        tokens.push((format!("{client}: no kid"), forge.signed_by(&own, &without_kid)));
        bench.refuse_tokens(tokens).await;
        bench.session_has_survived().await;
    }
}

pub async fn weak_ring(row: Row) {
    let bench = Bench::start(row).await;
    let forge = bench.forge();
    let weak = "0123456789012345678901234567890"; // 31 bytes
    let more = vec![json!({"kid": "weak", "alg": "HS256", "secret": weak})];
    let tagging = json!([{"kid": 1, "secret": keys::tag_secret()}]);
    bench.app.rewrite("keys.json", &keys::ring_with(tagging, more));
    let key = hmac_key("weak", "JWT", weak.as_bytes());
    let token = forge.signed_by(&key, &key.header());
    bench.genuine_is_let_in().await;
    // A ring that cannot be read leaves the old one in force, and does not tell whether it would have known the key.
    let attempt = |place: Place| {
        let request = bench.bring(place, &token).unwrap();
        Attempt::new(format_args!("signed by the weak key at {place:?}"), request, Expected::unavailable())
    };
    bench.refuse(Place::ALL.into_iter().map(attempt).collect()).await;
    bench.app.rewrite("keys.json", &keys::ring());
    bench.refuse_tokens(vec![("signed by the weak key".to_owned(), token)]).await;
    bench.session_has_survived().await;
}
