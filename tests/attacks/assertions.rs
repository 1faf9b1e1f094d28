//! Assertions that nobody should believe: of issuers about users, of clients about themselves (RFC 7523).

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use test_support::{FORM, ISSUER, Tokens, form, keys};

use crate::{
    bench::{Attempt, Bench, Expected, post},
    forge::{Forge, asymmetric, attackers, changed, compact, hmac_key, input, ring, with_literal, without},
    ledger::Row,
    trap,
};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const CLIENT_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What the issuer `signing` honestly says of alice.
fn of_issuer(now: i64) -> Forge {
    let pair = keys::signing_issuer();
    Forge {
        header: json!({"alg": "ES256", "typ": "JWT", "kid": pair.kid}),
        claims: json!({"iss": "https://portal.example", "aud": ISSUER, "sub": "alice", "iat": now, "exp": now + 300}),
        key: asymmetric(Algorithm::ES256, &pair.kid, &pair.pem),
    }
}

/// What `legacy` honestly says, in tokens that never expire.
fn of_legacy(now: i64) -> Forge {
    Forge {
        header: json!({"alg": "HS256", "typ": "JWT"}),
        claims: json!({"iss": "old-portal", "user_id": 4711, "iat": now - 1_000}),
        key: hmac_key("", "JWT", keys::LEGACY_SECRET.as_bytes()),
    }
}

/// What the client `keyed` honestly says of itself.
fn of_client(now: i64) -> Forge {
    let pair = keys::keyed_client();
    Forge {
        header: json!({"alg": "RS256", "typ": "JWT", "kid": pair.kid}),
        claims: json!({"iss": "keyed", "sub": "keyed", "aud": ISSUER, "jti": "c", "iat": now, "exp": now + 60}),
        key: asymmetric(Algorithm::RS256, &pair.kid, &pair.pem),
    }
}

fn issue(assertion: &str) -> lambda_http::http::Request<Vec<u8>> {
    post("/token", None, FORM, form(&[("grant_type", GRANT), ("assertion", assertion), ("client_id", "librechat")]))
}

/// Header parameters that are not understood, and so do not count (RFC 7515 4).
fn not_understood() -> [Value; 5] {
    [
        json!({"cty": "JWT"}),
        json!({"typ": "application/jwt"}),
        json!({"nonce": "x"}),
        json!({"url": trap::urls()[0]}),
        json!({"acme_tenant": {"id": 7}}),
    ]
}

/// What is as good as the honest one: headers with more in them, times that are any JSON number (RFC 7519 2).
fn as_good(honest: &Forge, now: i64) -> Vec<String> {
    let times = [("exp", format!("{}.5", now + 50)), ("nbf", "1.5".to_owned()), ("iat", format!("{}.25", now - 100))];
    let times =
        times.map(|(name, literal)| honest.with_payload(with_literal(&honest.claims, name, &literal).as_bytes()));
    not_understood().map(|more| honest.with_header(more)).into_iter().chain(times).collect()
}

/// Forgeries of the form, the header, the key and the times, the same for everybody's assertions.
fn forgeries(honest: &Forge, now: i64) -> Vec<(String, String)> {
    let genuine = honest.key.sign(&honest.header.to_string(), &honest.claims.to_string());
    let (signing_input, signature) = genuine.rsplit_once('.').unwrap();
    let own = honest.header["alg"].as_str().unwrap();
    let mut all: Vec<(String, String)> = vec![
        ("no signature".into(), format!("{signing_input}.")),
        ("two parts".into(), signing_input.to_owned()),
        ("four parts".into(), format!("{genuine}.AA")),
        ("padded".into(), format!("{genuine}=")),
        ("with a space".into(), format!(" {genuine}")),
        ("with a line end".into(), format!("{genuine}\n")),
        ("quoted".into(), format!("\"{genuine}\"")),
        ("twice".into(), format!("{genuine}.{genuine}")),
        ("a short signature".into(), format!("{signing_input}.{}", &signature[..signature.len() - 4])),
        ("another signature".into(), format!("{signing_input}.{}", signature.chars().rev().collect::<String>())),
        ("too long".into(), honest.with_claims(json!({"x": "y".repeat(7_000)}))),
        ("letters".into(), "x".into()),
        ("dots".into(), "..".into()),
    ];
    for alg in
        ["none", "None", "NONE", "nOnE", "", "RS256", "PS256", "ES256", "EdDSA", "HS256", "HS384", "RS512", "ES384"]
    {
        if alg != own {
            all.push((format!("alg {alg:?}"), honest.with_header(json!({"alg": alg}))));
            all.push((
                format!("alg {alg:?}, unsigned"),
                compact(&changed(&honest.header, json!({"alg": alg})), &honest.claims, &[]),
            ));
        }
    }
    for alg in [json!(null), json!(1), json!([own]), json!({"alg": own})] {
        all.push((format!("alg {alg}"), honest.with_header(json!({"alg": alg}))));
    }
    all.push(("alg missing".into(), honest.without_header("alg")));
    for typ in [
        "at+jwt",
        "JWE",
        "application/at+jwt",
        "text/jwt",
        "application/",
        "id_token",
        "dpop+jwt",
        "jwt ",
        "logout+jwt",
    ] {
        all.push((format!("typ {typ}"), honest.with_header(json!({"typ": typ}))));
    }
    for more in [
        json!({"crit": ["exp"]}),
        json!({"b64": false}),
        json!({"zip": "DEF"}),
        json!({"jku": trap::urls()[0]}),
        json!({"x5u": trap::urls()[0]}),
        json!({"jwk": attackers(Algorithm::ES256, "a").jwk()}),
        json!({"x5c": ["AA"]}),
        json!({"enc": "A128GCM"}),
        json!({"iss": "https://elsewhere.example"}),
        json!({"sub": "mallory"}),
        json!({"typ": 5}),
        json!({"x5t": 5}),
        json!({"kid": 5}),
        json!({"kid": null}),
    ] {
        let shown: String = more.to_string().chars().take(40).collect();
        all.push((format!("header {shown}"), honest.with_header(more.clone())));
        let stranger = attackers(Algorithm::ES256, "attacker");
        all.push((
            format!("a stranger's with header {shown}"),
            honest.signed_by(&stranger, &changed(&stranger.header(), more)),
        ));
    }
    for more in not_understood() {
        let stranger = attackers(Algorithm::ES256, "attacker");
        all.push((
            format!("a stranger's with header {more}"),
            honest.signed_by(&stranger, &changed(&stranger.header(), more)),
        ));
    }
    // Our own keys vouch for nobody but ourselves, and nobody's public key is a secret.
    for key in ring() {
        let header = changed(&honest.header, json!({"alg": format!("{:?}", key.algorithm)}));
        all.push((format!("by our {:?} key", key.algorithm), honest.signed_by(&key, &header)));
        let named = changed(&header, json!({"kid": key.kid}));
        all.push((format!("by our {:?} key, named", key.algorithm), honest.signed_by(&key, &named)));
    }
    let publics = [(keys::signing_issuer(), Algorithm::ES256), (keys::keyed_client(), Algorithm::RS256)];
    for (pair, algorithm) in publics {
        for (encoding, bytes) in asymmetric(algorithm, &pair.kid, &pair.pem).public_encodings() {
            let header = changed(&honest.header, json!({"alg": "HS256"}));
            all.push((
                format!("HMAC with a public key, {encoding}"),
                honest.signed_by(&hmac_key(&pair.kid, "JWT", &bytes), &header),
            ));
        }
    }
    for secret in [
        "",
        "secret",
        "old-portal",
        "legacy",
        keys::JWT_SECRET,
        &keys::LEGACY_SECRET[1..],
        &keys::LEGACY_SECRET.to_uppercase(),
    ] {
        let header = changed(&honest.header, json!({"alg": "HS256"}));
        all.push((
            "HMAC with a guessed secret".into(),
            honest.signed_by(&hmac_key("", "JWT", secret.as_bytes()), &header),
        ));
    }
    for (name, literal) in [
        ("exp", "0"),
        ("exp", "-1"),
        ("exp", "null"),
        ("exp", "true"),
        ("exp", "\"4000000000\""),
        ("exp", "1e400"),
        ("exp", "1.5"),
        ("exp", "1e9"),
        ("exp", "-0.5"),
        ("exp", "1e300"),
        ("exp", "18446744073709551615"),
        ("exp", "[4000000000]"),
        ("iat", "-1"),
        ("iat", "null"),
        ("iat", "\"1\""),
        ("iat", "-1.5"),
        ("iat", "4e9"),
        ("iat", "18446744073709551615"),
        ("nbf", "null"),
        ("nbf", "4000000000"),
        ("nbf", "4e9"),
        ("nbf", "-1"),
        ("nbf", "\"0\""),
        ("nbf", "[1]"),
    ] {
        all.push((
            format!("{name} {literal}"),
            honest.with_payload(with_literal(&honest.claims, name, literal).as_bytes()),
        ));
    }
    for change in [
        json!({"exp": now}),
        json!({"exp": now - 1}),
        json!({"iat": now + 61}),
        json!({"nbf": now + 61}),
        json!({"aud": "https://elsewhere.example"}),
        json!({"aud": []}),
        json!({"aud": [ISSUER, "https://elsewhere.example"]}),
        json!({"aud": [ISSUER, ISSUER]}),
        json!({"aud": [1]}),
        json!({"aud": null}),
        json!({"aud": format!("{ISSUER}/")}),
        json!({"aud": format!("{ISSUER}/token")}),
        json!({"aud": ISSUER.to_uppercase()}),
        json!({"aud": "librechat"}),
        json!({"aud": ""}),
        json!({"aud": "*"}),
        json!({"aud": {ISSUER: 1}}),
        json!({"iss": ""}),
        json!({"iss": null}),
        json!({"iss": 5}),
        json!({"iss": [honest.claims["iss"]]}),
        json!({"iss": "portal"}),
        json!({"iss": "signing"}),
        json!({"iss": ISSUER}),
        json!({"iss": "https://portal.example/"}),
        json!({"iss": "https://PORTAL.example"}),
        json!({"iss": trap::urls()[0]}),
    ] {
        all.push((change.to_string(), honest.with_claims(change)));
    }
    let claims = honest.claims.to_string();
    let header = honest.header.to_string();
    for member in [
        "\"iss\":\"https://portal.example\"",
        "\"sub\":\"mallory\"",
        "\"\\u0069ss\":\"x\"",
        "\"exp\":4000000000,\"exp\":4000000000",
    ] {
        all.push((
            format!("{member} again"),
            honest.with_payload(
                format!("{{{member},{}", &claims[1..])
                    .replace("\"sub\":\"mallory\",", "\"sub\":\"mallory\",\"sub\":\"alice\",")
                    .as_bytes(),
            ),
        ));
    }
    all.push(("alg twice".into(), honest.with_header_text(format!("{{\"alg\":\"none\",{}", &header[1..]).as_bytes())));
    all.push(("no JSON".into(), honest.with_payload(b"sub=alice")));
    all.push(("a list".into(), honest.with_payload(format!("[{claims}]").as_bytes())));
    all.push(("not UTF-8".into(), honest.with_payload(b"{\"iss\":\"\xff\"}")));
    all.push(("nested".into(), honest.with_payload(genuine.as_bytes())));
    all.push((
        "17 deep".into(),
        honest.with_payload(
            with_literal(&honest.claims, "x", &format!("{}{}", "[".repeat(16), "]".repeat(16))).as_bytes(),
        ),
    ));
    let unencoded = input(header.as_bytes(), claims.as_bytes());
    all.push((
        "HS384".into(),
        hmac_key("", "JWT", keys::LEGACY_SECRET.as_bytes()).sign_input(&unencoded, Algorithm::HS384),
    ));
    all
}

pub async fn by_issuers(row: Row) {
    let bench = Bench::start(row).await;
    let now = bench.app.now();
    let mut attempts = Vec::new();
    for (who, honest) in [("signing", of_issuer(now)), ("legacy", of_legacy(now))] {
        // What is waived for tokens of the old kind: times and an audience that are missing.
        let token = honest.key.sign(&honest.header.to_string(), &honest.claims.to_string());
        for token in as_good(&honest, now).iter().chain([&token]) {
            bench.app.send(issue(token)).await.tokens();
            row.controlled();
        }
        for (what, token) in forgeries(&honest, now) {
            let request = issue(&token);
            let expected =
                if request.body().len() > 16 * 1024 { Expected::too_large() } else { Expected::invalid_grant() };
            attempts.push(Attempt::new(format_args!("{who}: {what}"), request, expected));
        }
        let renamed = if who == "signing" { "sub" } else { "user_id" };
        for subject in [
            json!(null),
            json!(""),
            json!("a\nb"),
            json!("\0"),
            json!("alice "),
            json!("ali\u{200b}ce"),
            json!("\u{202e}ecila"),
            json!("x".repeat(256)),
            json!(-1),
            json!(1.5),
            json!(true),
            json!([]),
            json!(["alice"]),
            json!({"a": 1}),
        ] {
            let token = honest.with_claims(json!({renamed: subject}));
            attempts.push(Attempt::new(
                format_args!("{who}: {renamed} {subject}"),
                issue(&token),
                Expected::invalid_grant(),
            ));
        }
        attempts.push(Attempt::new(
            format_args!("{who}: no {renamed}"),
            issue(&honest.without_claim(renamed)),
            Expected::invalid_grant(),
        ));
        for jti in [json!(null), json!(5), json!([]), json!(""), json!("j".repeat(1_025))] {
            let token = honest.with_claims(json!({"jti": jti}));
            attempts.push(Attempt::new(format_args!("{who}: jti {jti:.20}"), issue(&token), Expected::invalid_grant()));
        }
    }
    let (signing, legacy) = (of_issuer(now), of_legacy(now));
    for (what, token) in [
        ("signing without exp", signing.without_claim("exp")),
        ("signing with exp too far ahead", signing.with_claims(json!({"exp": now + 604_801}))),
        ("signing with exp at 4e9", signing.with_payload(with_literal(&signing.claims, "exp", "4e9").as_bytes())),
        ("signing for another client", signing.with_claims(json!({"azp": "hs"}))),
        ("signing for the client of another issuer", signing.with_claims(json!({"client_id": "spa"}))),
        ("signing for two clients", signing.with_claims(json!({"azp": "librechat", "client_id": "hs"}))),
        ("signing for a list of clients", signing.with_claims(json!({"azp": ["librechat"]}))),
        ("signing for no client", signing.with_claims(json!({"client_id": ""}))),
        ("legacy for another client", legacy.with_claims(json!({"azp": "hs"}))),
        ("signing without aud", signing.without_claim("aud")),
        ("signing, another kid", signing.with_header(json!({"kid": "another"}))),
        ("legacy past its age", legacy.with_claims(json!({"iat": now - 31_536_000}))),
        ("legacy without iat", legacy.without_claim("iat")),
        ("legacy in the name of signing", legacy.with_claims(json!({"iss": "https://portal.example", "sub": "alice"}))),
        ("signing in the name of legacy", signing.with_claims(json!({"iss": "old-portal", "user_id": 1}))),
        ("the access token", bench.tokens.access().to_owned()),
        ("the refresh token", bench.tokens.refresh().to_owned()),
        ("the ID token", bench.tokens.0["id_token"].as_str().unwrap().to_owned()),
        ("a client's assertion", of_client(now).with_claims(json!({}))),
    ] {
        attempts.push(Attempt::new(what, issue(&token), Expected::invalid_grant()));
    }
    let genuine = signing.with_claims(json!({}));
    for more in [
        [("client_id", "librechat"), ("client_secret", "wrong")],
        [("client_id", "hs"), ("client_secret", "wrong")],
        [("issuer_id", "signing"), ("issuer_secret", "wrong")],
        [("issuer_id", "nobody"), ("issuer_secret", "wrong")],
        [("client_assertion_type", CLIENT_ASSERTION), ("client_assertion", genuine.as_str())],
    ] {
        let pairs = [&[("grant_type", GRANT), ("assertion", genuine.as_str())], &more[..]].concat();
        let request = post("/token", None, FORM, form(&pairs));
        attempts.push(Attempt::new(
            format_args!("beside wrong credentials, {}", more[0].1),
            request,
            Expected::invalid_client(),
        ));
    }
    bench.settle();
    bench.refuse(attempts).await;
    // Used once, and never again: not in another assertion with the same jti either.
    let once = signing.with_claims(json!({"jti": "once"}));
    bench.app.send(issue(&once)).await.tokens();
    row.controlled();
    bench.settle();
    let others = [
        json!({"jti": "once"}),
        json!({"jti": "once", "sub": "mallory"}),
        json!({"jti": "once", "exp": now + 600}),
        json!({"jti": "once", "iat": now - 1}),
    ];
    let replays = others.into_iter().map(|change| {
        Attempt::new(
            format!("replay {change}"),
            issue(&signing.with_claims(change)),
            Expected::invalid_grant().after(&["TransactWriteItems"]),
        )
    });
    bench.refuse(replays.collect()).await;
    bench.session_has_survived().await;
}

pub async fn by_clients(row: Row) {
    let bench = Bench::start(row).await;
    let now = bench.app.now();
    let tokens: Tokens = bench.app.issue_for("keyed").await;
    let honest = of_client(now);
    let routes = [("/token/renew", "refresh_token"), ("/token/revoke", "token"), ("/token/introspect", "token")];
    let send = |path: &str, member: &str, assertion: &str, token: &str| {
        let pairs = [("client_assertion_type", CLIENT_ASSERTION), ("client_assertion", assertion), (member, token)];
        post(path, None, FORM, form(&pairs))
    };
    let mut forged = forgeries(&honest, now);
    for change in [
        json!({"iss": "librechat"}),
        json!({"sub": "librechat"}),
        json!({"iss": "librechat", "sub": "librechat"}),
        json!({"iss": "spa", "sub": "spa"}),
        json!({"iss": "portal", "sub": "portal"}),
        json!({"exp": now + 3_601}),
        json!({"exp": now as f64 + 3_601.5}),
        json!({"sub": "KEYED", "iss": "KEYED"}),
        json!({"sub": ["keyed"]}),
        json!({"sub": null}),
        json!({"sub": "keyed ", "iss": "keyed "}),
    ] {
        forged.push((change.to_string(), honest.with_claims(change)));
    }
    for name in ["iss", "sub", "aud", "exp"] {
        forged.push((format!("no {name}"), honest.without_claim(name)));
    }
    for assertion in as_good(&honest, now) {
        let introspected = bench.app.send(send("/token/introspect", "token", &assertion, tokens.access())).await;
        assert_eq!(introspected.json()["active"], true);
        row.controlled();
    }
    forged.push(("another kid".into(), honest.with_header(json!({"kid": "another"}))));
    forged.push(("an issuer's assertion".into(), of_issuer(now).with_claims(json!({}))));
    forged.push(("an access token".into(), tokens.access().to_owned()));
    forged.push(("a refresh token".into(), tokens.refresh().to_owned()));
    let untyped = changed(&without(&honest.header, "typ"), json!({"kid": "another"}));
    forged.push(("no typ, another kid".into(), honest.signed_by(&honest.key, &untyped)));
    let mut attempts = Vec::new();
    for (what, assertion) in &forged {
        for (path, member) in routes {
            let request = send(path, member, assertion, tokens.refresh());
            let expected =
                if request.body().len() > 16 * 1024 { Expected::too_large() } else { Expected::invalid_client() };
            attempts.push(Attempt::new(format_args!("{what} at {path}"), request, expected));
        }
    }
    // Authentic, and the client is another than the token's.
    let genuine = honest.with_claims(json!({}));
    for (what, token) in
        [("librechat's refresh token", bench.tokens.refresh()), ("librechat's access token", bench.tokens.access())]
    {
        for (path, member, expected) in [
            ("/token/renew", "refresh_token", Expected::invalid_grant()),
            ("/token/revoke", "token", Expected::nothing()),
            ("/token/introspect", "token", Expected::inactive()),
        ] {
            attempts.push(Attempt::new(
                format_args!("keyed with {what} at {path}"),
                send(path, member, &genuine, token),
                expected,
            ));
        }
    }
    let said_twice = |more: &[(&str, &str)], expected: &str| {
        let pairs = [
            &[
                ("client_assertion_type", CLIENT_ASSERTION),
                ("client_assertion", genuine.as_str()),
                ("refresh_token", tokens.refresh()),
            ],
            more,
        ]
        .concat();
        Attempt::new(
            format!("{more:?}"),
            post("/token/renew", None, FORM, form(&pairs)),
            Expected::invalid_request(expected),
        )
    };
    attempts.push(said_twice(
        &[("client_id", "keyed"), ("client_secret", "x")],
        "client_secret and client_assertion are both there: use one",
    ));
    let pairs = [
        ("client_assertion_type", "other"),
        ("client_assertion", genuine.as_str()),
        ("refresh_token", tokens.refresh()),
    ];
    let wrong_type = format!("client_assertion_type must be {CLIENT_ASSERTION}");
    attempts.push(Attempt::new(
        "another type",
        post("/token/renew", None, FORM, form(&pairs)),
        Expected::invalid_request(&wrong_type),
    ));
    bench.settle();
    bench.refuse(attempts).await;
    let renewed: Value =
        bench.app.send(send("/token/renew", "refresh_token", &genuine, tokens.refresh())).await.tokens().0;
    assert_eq!(renewed["session_id"], tokens.0["session_id"]);
    row.controlled();
    bench.settle();
    bench.session_has_survived().await;
}
