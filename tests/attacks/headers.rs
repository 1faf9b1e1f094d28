//! What a header may hold: exactly `alg`, `kid` and `typ`.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use test_support::keys;

use crate::{
    bench::Bench,
    forge::{Forge, attackers, changed, hmac_key, input, without},
    ledger::Row,
    trap,
};

pub async fn kid(row: Row) {
    let bench = Bench::start(row).await;
    let forge = bench.forge();
    let own = forge.key.kid.clone();
    let mut kids: Vec<String> = [
        "",
        " ",
        "0",
        "1",
        "-1",
        "unknown",
        "null",
        "undefined",
        "default",
        "attacker",
        "librechat",
        "*",
        "%",
        "_",
        ".",
        "..",
        "/",
        "\\",
        "/dev/null",
        "../../../../../../dev/null",
        "..\\..\\..\\windows\\win.ini",
        "....//....//dev/null",
        "%2e%2e%2fdev%2fnull",
        "..%252f..%252fdev%252fnull",
        "file:///dev/null",
        "/proc/sys/kernel/randomize_va_space",
        "/proc/self/environ",
        "/etc/passwd",
        "keys.json",
        "./keys.json",
        "php://filter/resource=/etc/passwd",
        "key\0.pem",
        "\0",
        "\u{1b}[31m",
        "\r\n",
        "\u{2028}",
        "\u{feff}",
        "' OR '1'='1",
        "x' UNION SELECT 'key' -- ",
        "'; DROP TABLE keys; --",
        "\" OR \"\"=\"",
        "1; SELECT pg_sleep(5)",
        "' || '1",
        "{\"$gt\":\"\"}",
        "*)(uid=*))(|(uid=*",
        "${jndi:ldap://127.0.0.1/a}",
        "{{7*7}}",
        "#{7*7}",
        "<%= 7*7 %>",
        "$(id)",
        "`id`",
        "|id",
        ";id",
        "& ping -c 1 127.0.0.1 &",
        "<script>alert(1)</script>",
        "<!ENTITY x SYSTEM \"file:///etc/passwd\">",
        "arn:aws:secretsmanager:::secret:x",
    ]
    .map(str::to_owned)
    .to_vec();
    kids.extend([
        own.to_uppercase(),
        own.to_lowercase(),
        format!("{own} "),
        format!(" {own}"),
        format!("{own}\0"),
        format!("{own}\n"),
        format!("{own}/"),
        format!("./{own}"),
        format!("{own}#"),
        format!("{own}%00"),
        own[1..].to_owned(),
        own[..own.len() - 1].to_owned(),
        format!("{own}{own}"),
        own.chars().rev().collect(),
        format!("{own},{own}"),
        format!("{own}' OR '1'='1"),
        "k".repeat(255),
        "k".repeat(256),
        "k".repeat(10_000),
        "\u{1f511}".repeat(100),
        own.replace('a', "\u{430}").replace('e', "\u{435}") + "\u{200d}",
    ]);
    kids.extend(trap::urls());
    let mut tokens: Vec<(String, String)> = Vec::new();
    for kid in &kids {
        let shown: String = kid.chars().take(40).collect();
        tokens.push((format!("kid {shown:?}"), forge.with_header(json!({"kid": kid}))));
        // What a server would read from there: nothing, or the number that Linux has in randomize_va_space.
        for secret in ["", "2", "2\n", "key"] {
            let key = hmac_key(kid, "at+jwt", secret.as_bytes());
            let header = forge.header_for(&key);
            tokens.push((format!("kid {shown:?}, secret {secret:?}"), forge.signed_by(&key, &header)));
        }
    }
    for literal in
        [json!(null), json!(true), json!(0), json!(1.5), json!([]), json!({}), json!([own]), json!({"kid": own})]
    {
        tokens.push((format!("kid {literal}"), forge.with_header(json!({"kid": literal}))));
    }
    tokens.push(("kid missing".into(), forge.without_header("kid")));
    for other in [keys::ps256(), keys::es256(), keys::eddsa()] {
        tokens.push(("another key's kid".into(), forge.with_header(json!({"kid": other.kid}))));
    }
    tokens.push(("LibreChat's kid".into(), forge.with_header(json!({"kid": "librechat-hs"}))));
    for name in ["KID", "Kid", "kid ", "k\u{131}d", "x5t"] {
        let header = changed(&without(&forge.header, "kid"), json!({name: own}));
        tokens.push((format!("{name:?} for kid"), forge.signed_by(&forge.key, &header)));
    }
    bench.refuse_tokens(tokens).await;
    bench.session_has_survived().await;
}

pub async fn key_in_token(row: Row) {
    let bench = Bench::start(row).await;
    let forge = bench.forge();
    let mut tokens: Vec<(String, String)> = Vec::new();
    let mut members: Vec<(String, Value)> = Vec::new();
    for url in trap::urls() {
        for name in ["jku", "x5u", "jwks_uri", "url", "kid_url", "JKU"] {
            members.push((name.to_owned(), url.clone().into()));
        }
    }
    for name in ["jku", "x5u"] {
        for value in [
            json!(null),
            json!([]),
            json!([trap::urls()[0]]),
            json!({"url": trap::urls()[0]}),
            json!("file:///etc/hostname"),
        ] {
            members.push((name.to_owned(), value));
        }
    }
    for algorithm in [Algorithm::RS256, Algorithm::ES256] {
        for kid in [forge.key.kid.as_str(), "attacker"] {
            let key = attackers(algorithm, kid);
            let mut members = members.clone();
            for jwk in [
                key.jwk(),
                without(&key.jwk(), "kid"),
                json!(key.jwk().to_string()),
                json!([key.jwk()]),
                json!({"keys": [key.jwk()]}),
            ] {
                members.push(("jwk".into(), jwk.clone()));
                members.push(("JWK".into(), jwk));
            }
            members.push(("jwk".into(), json!({"kty": "oct", "k": ""})));
            members.push(("jwk".into(), json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode("known")})));
            members.push(("jwks".into(), json!({"keys": [key.jwk()]})));
            members.push(("epk".into(), key.jwk()));
            for (encoding, bytes) in key.public_encodings().into_iter().filter(|(name, _)| name.starts_with("spki")) {
                let text = String::from_utf8(bytes).unwrap_or(encoding);
                members.push(("x5c".into(), json!([text])));
                members.push(("pem".into(), json!(text)));
            }
            for thumbprint in ["x5t", "x5t#S256", "x5t#s256"] {
                members.push((thumbprint.into(), json!(URL_SAFE_NO_PAD.encode([0; 32]))));
            }
            for (name, value) in &members {
                let shown: String = value.to_string().chars().take(48).collect();
                let header = changed(&forge.header_for(&key), json!({name: value}));
                tokens.push((format!("{algorithm:?}, kid {kid}, {name}: {shown}"), forge.signed_by(&key, &header)));
            }
        }
    }
    // Even where the signature is our own, nothing of it is looked at.
    for (name, value) in &members {
        tokens.push((format!("ours with {name}"), forge.with_header(json!({name: value}))));
    }
    let claims = [json!({"iss": trap::urls()[0]}), json!({"jwks_uri": trap::urls()[0], "iss": trap::urls()[0]})];
    let key = attackers(Algorithm::RS256, "attacker");
    for claims in claims {
        let claims = changed(&forge.claims, claims);
        tokens
            .push(("an issuer to discover".into(), key.sign(&forge.header_for(&key).to_string(), &claims.to_string())));
    }
    bench.refuse_tokens(tokens).await;
    bench.session_has_survived().await;
}

pub async fn extensions(row: Row) {
    let bench = Bench::start(row).await;
    let forge = bench.forge();
    let additions = [
        json!({"crit": ["exp"]}),
        json!({"crit": []}),
        json!({"crit": null}),
        json!({"crit": "exp"}),
        json!({"crit": ["alg"]}),
        json!({"crit": ["b64"], "b64": true}),
        json!({"crit": ["b64"], "b64": false}),
        json!({"b64": true}),
        json!({"b64": false}),
        json!({"crit": ["http://example.org/x"], "http://example.org/x": true}),
        json!({"crit": ["bork"], "bork": false}),
        json!({"zip": "DEF"}),
        json!({"zip": "def"}),
        json!({"zip": null}),
        json!({"enc": "A128GCM"}),
        json!({"enc": "none"}),
        json!({"cty": "JWT"}),
        json!({"cty": "json"}),
        json!({"cty": ""}),
        json!({"p2c": 2_147_483_647_u64, "p2s": "AA"}),
        json!({"apu": "AA"}),
        json!({"iv": "AA", "tag": "AA"}),
        json!({"nonce": "x"}),
        json!({"iss": test_support::ISSUER}),
        json!({"sub": "admin"}),
        json!({"exp": 99_999_999_999_u64}),
        json!({"iat": 0}),
        json!({"aud": "librechat"}),
        json!({"ppt": "shaken"}),
        json!({"svt": ["x"]}),
        json!({"trust_chain": ["x"]}),
        json!({"client_id": "librechat"}),
        json!({"": ""}),
        json!({"a": {"b": {"c": 1}}}),
        json!({"\u{0}": 1}),
        json!({"__proto__": {"alg": "none"}}),
        json!({"constructor": {"prototype": {"verified": true}}}),
        json!({"admin": true}),
    ];
    let tokens = additions.into_iter().map(|more| (more.to_string(), forge.with_header(more))).collect();
    bench.refuse_tokens(tokens).await;
    let detached = changed(&forge.header, json!({"b64": false, "crit": ["b64"]}));
    let unencoded = format!("{}.{}", URL_SAFE_NO_PAD.encode(detached.to_string()), forge.claims);
    let tokens =
        vec![("an unencoded payload (RFC 7797)".to_owned(), forge.key.sign_input(&unencoded, forge.key.algorithm))];
    bench.refuse_tokens(tokens).await;
    bench.session_has_survived().await;
}

pub async fn typ(row: Row) {
    for client in ["librechat", "spa", "hs"] {
        let bench = Bench::of(row, client, &[]).await;
        let forge = bench.forge();
        let right = forge.header["typ"].as_str().unwrap().to_owned();
        let names = [
            "at+jwt",
            "AT+JWT",
            "At+Jwt",
            "application/at+jwt",
            "at+jwt ",
            " at+jwt",
            "at+jwt\0",
            "at-jwt",
            "at",
            "jwt",
            "JWT",
            "Jwt",
            "JWT ",
            "application/jwt",
            "id+jwt",
            "rt+jwt",
            "dpop+jwt",
            "logout+jwt",
            "secevent+jwt",
            "token-introspection+jwt",
            "client-authentication+jwt",
            "kb+jwt",
            "JOSE",
            "JOSE+JSON",
            "JWE",
            "",
            "at+jwt,JWT",
            "a\u{442}+jwt",
        ];
        let literals = [json!(null), json!(true), json!(1), json!([]), json!({}), json!(["at+jwt"])];
        let values = names.into_iter().filter(|name| *name != right).map(Value::from).chain(literals);
        let mut tokens: Vec<(String, String)> =
            values.map(|typ| (format!("{client}: typ {typ}"), forge.with_header(json!({"typ": typ})))).collect();
        tokens.push((format!("{client}: typ missing"), forge.without_header("typ")));
        let renamed = changed(&without(&forge.header, "typ"), json!({"Typ": right}));
        tokens.push((format!("{client}: Typ"), forge.signed_by(&forge.key, &renamed)));
        let id_token = bench.tokens.0["id_token"].as_str().unwrap();
        let other = if bench.genuine() == id_token { bench.tokens.access() } else { id_token };
        tokens.push((format!("{client}: the other token"), other.to_owned()));
        bench.refuse_tokens(tokens).await;
        bench.session_has_survived().await;
    }
}

pub async fn other_serialisations(row: Row) {
    let bench = Bench::start(row).await;
    let forge = bench.forge();
    let genuine = bench.genuine();
    let parts: Vec<&str> = genuine.split('.').collect();
    let [protected, payload, signature] = parts[..] else { panic!("three parts") };
    let flattened = json!({"protected": protected, "payload": payload, "signature": signature});
    let general = json!({"payload": payload, "signatures": [{"protected": protected, "signature": signature}]});
    let unprotected = json!({"header": forge.header, "payload": payload, "signature": signature});
    let jwe = |alg: &str, enc: &str| {
        let header = json!({"alg": alg, "enc": enc, "kid": forge.key.kid, "typ": "at+jwt"}).to_string();
        let header = URL_SAFE_NO_PAD.encode(header);
        format!("{header}.AAAA.AAAAAAAAAAAAAAAA.{payload}.AAAAAAAAAAAAAAAAAAAAAA")
    };
    let nested = |times: usize, forge: &Forge| {
        let header = changed(&forge.header, json!({"cty": "JWT"})).to_string();
        (0..times).fold(genuine.to_owned(), |inner, _| {
            forge.key.sign_input(&input(header.as_bytes(), inner.as_bytes()), forge.key.algorithm)
        })
    };
    let quoted = forge.with_payload(json!(genuine).to_string().as_bytes());
    let bare_header_nested = forge.with_payload(genuine.as_bytes());
    let tokens = vec![
        ("flattened JSON", flattened.to_string()),
        ("general JSON", general.to_string()),
        ("unprotected header", unprotected.to_string()),
        ("flattened JSON, base64url", URL_SAFE_NO_PAD.encode(flattened.to_string())),
        ("JSON string", json!(genuine).to_string()),
        ("JSON list", json!([genuine]).to_string()),
        ("JWE dir", jwe("dir", "A128GCM")),
        ("JWE RSA-OAEP", jwe("RSA-OAEP", "A256GCM")),
        ("JWE PBES2", jwe("PBES2-HS256+A128KW", "A128CBC-HS256")),
        ("JWE none", jwe("none", "none")),
        ("JWE of a genuine header", format!("{protected}.AAAA.AAAA.{payload}.{signature}")),
        ("nested", nested(1, &forge)),
        ("nested twice", nested(2, &forge)),
        ("a token as a JSON string for claims", quoted),
        ("a token for claims", bare_header_nested),
        ("detached", format!("{protected}..{signature}")),
        ("SD-JWT", format!("{genuine}~")),
        ("SD-JWT with a disclosure", format!("{genuine}~{}~", URL_SAFE_NO_PAD.encode(r#"["salt","sub","admin"]"#))),
        ("two tokens", format!("{genuine}.{genuine}")),
        ("two tokens with a space", format!("{genuine} {genuine}")),
        ("two tokens with a comma", format!("{genuine},{genuine}")),
        ("two tokens with a line end", format!("{genuine}\n{genuine}")),
        ("PASETO", format!("v4.public.{payload}{signature}")),
        ("SAML", URL_SAFE_NO_PAD.encode("<saml:Assertion/>")),
        ("with a scheme", format!("Bearer {genuine}")),
        ("a URL", format!("https://latchkey.example/?access_token={genuine}")),
        ("form", format!("access_token={genuine}")),
    ];
    bench.refuse_tokens(tokens.into_iter().map(|(what, token)| (what.to_owned(), token)).collect()).await;
    bench.session_has_survived().await;
}
