//! The text of a token: exactly three parts of canonical, unpadded base64url, each what it should be.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD},
};
use serde_json::json;

use crate::{
    bench::{Bench, Place},
    forge::{changed, input, with_literal, without},
    ledger::Row,
};

pub async fn altered_characters(row: Row) {
    let bench = Bench::start(row).await;
    let genuine = bench.genuine();
    let altered = |at: usize| {
        let old = genuine.as_bytes()[at];
        // Four further in the alphabet: no two characters of one value, and the last one's spare bits stay.
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let new = match alphabet.iter().position(|letter| *letter == old) {
            Some(index) => alphabet[(index + 4) % 64],
            None => b'A',
        };
        (format!("character {at}"), format!("{}{}{}", &genuine[..at], char::from(new), &genuine[at + 1..]))
    };
    let tokens: Vec<(String, String)> = (0..genuine.len()).map(altered).collect();
    bench.genuine_is_let_in().await;
    let places = [Place::Renewal, Place::IntrospectionByIssuer, Place::RevocationByClient, Place::Resource];
    bench.refuse(tokens.iter().flat_map(|(what, token)| bench.at(&places, what, token)).collect()).await;
    bench.session_has_survived().await;
}

pub async fn malformed(row: Row) {
    let bench = Bench::start(row).await;
    let genuine = bench.genuine();
    let parts: Vec<&str> = genuine.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("three parts") };
    let mut tokens: Vec<(String, String)> = vec![
        ("one part", header.to_owned()),
        ("two parts", format!("{header}.{payload}")),
        ("four parts", format!("{genuine}.AAAA")),
        ("four parts, the last empty", format!("{genuine}.")),
        ("five parts", format!("{genuine}.AAAA.AAAA")),
        ("an empty part in front", format!(".{genuine}")),
        ("no header", format!(".{payload}.{signature}")),
        ("no payload", format!("{header}..{signature}")),
        ("no signature", format!("{header}.{payload}.")),
        ("dots", "..".to_owned()),
        ("a dot", ".".to_owned()),
        ("a hundred dots", ".".repeat(100)),
        ("parts exchanged", format!("{payload}.{header}.{signature}")),
        ("backwards", genuine.chars().rev().collect()),
        ("twice the header", format!("{header}.{header}.{payload}.{signature}")),
        ("capitals", genuine.to_uppercase()),
        ("small letters", genuine.to_lowercase()),
        ("percent-encoded dots", genuine.replace('.', "%2E")),
        ("full-width dots", genuine.replace('.', "\u{ff0e}")),
        ("one-dot leaders", genuine.replace('.', "\u{2024}")),
        ("commas", genuine.replace('.', ",")),
        ("colons", genuine.replace('.', ":")),
        ("slashes", genuine.replace('.', "/")),
        ("JSON pointers", genuine.replace('.', "~1")),
        ("quoted", format!("\"{genuine}\"")),
        ("in angle brackets", format!("<{genuine}>")),
        ("with a BOM", format!("\u{feff}{genuine}")),
        ("with a comment", format!("{genuine}#comment")),
        ("with a query", format!("{genuine}?a=b")),
        ("with a semicolon", format!("{genuine};")),
    ]
    .into_iter()
    .map(|(what, token)| (what.to_owned(), token))
    .collect();
    let insertions = [
        "=",
        "==",
        " ",
        "  ",
        "\t",
        "\n",
        "\r\n",
        "\0",
        "\u{b}",
        "\u{85}",
        "\u{a0}",
        "\u{200b}",
        "\u{2028}",
        "\u{feff}",
        "\u{1b}",
        "%20",
        "%00",
        "+",
        "/",
        "!",
        "*",
        "~",
        "\\",
        "'",
        "\"",
        "é",
        "\u{1f600}",
        "\u{202e}",
    ];
    let boundaries = [
        0,
        1,
        header.len() / 2,
        header.len(),
        header.len() + 1,
        header.len() + payload.len() / 2,
        header.len() + payload.len() + 1,
        genuine.len() - 1,
        genuine.len(),
    ];
    for insertion in insertions {
        for boundary in boundaries {
            let token = format!("{}{insertion}{}", &genuine[..boundary], &genuine[boundary..]);
            tokens.push((format!("{insertion:?} at {boundary}"), token));
        }
    }
    for (name, encoded) in [
        (
            "standard alphabet",
            [header, payload, signature].map(|part| STANDARD.encode(URL_SAFE_NO_PAD.decode(part).unwrap())),
        ),
        ("padded", [header, payload, signature].map(|part| URL_SAFE.encode(URL_SAFE_NO_PAD.decode(part).unwrap()))),
        (
            "hex",
            [header, payload, signature]
                .map(|part| URL_SAFE_NO_PAD.decode(part).unwrap().iter().map(|byte| format!("{byte:02x}")).collect()),
        ),
        ("base64 twice", [header, payload, signature].map(|part| URL_SAFE_NO_PAD.encode(part))),
    ] {
        for at in 0..3 {
            let mut mixed = [header, payload, signature].map(str::to_owned);
            mixed[at] = encoded[at].clone();
            let token = mixed.join(".");
            if token != genuine {
                tokens.push((format!("part {at}: {name}"), token));
            }
        }
        if encoded.join(".") != genuine {
            tokens.push((format!("all parts: {name}"), encoded.join(".")));
        }
    }
    // The same bytes in a text that is not the canonical one: spare bits of a part's last character.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for at in 0..3 {
        let part = parts[at];
        let spare_bits = [0, 0, 4, 2][part.len() % 4];
        let last = alphabet.find(part.chars().last().unwrap()).unwrap();
        for spare in 1..(1 << spare_bits) {
            let other = alphabet.chars().nth(last | spare).unwrap();
            let mut mixed = [header, payload, signature].map(str::to_owned);
            mixed[at] = format!("{}{other}", &part[..part.len() - 1]);
            if mixed[at] != part {
                tokens.push((format!("part {at}: spare bits {spare}"), mixed.join(".")));
            }
        }
    }
    // Every length that base64 cannot have, and every early end.
    for length in (0..genuine.len()).step_by(7) {
        tokens.push((format!("cut after {length}"), genuine[..length].to_owned()));
    }
    tokens.retain(|(_, token)| !token.is_empty());
    bench.refuse_tokens(tokens).await;
    bench.session_has_survived().await;
}

pub async fn oversized(row: Row) {
    let bench = Bench::start(row).await;
    let forge = bench.forge();
    let padded = |length: usize| forge.with_claims(json!({"padding": "x".repeat(length)}));
    // The longest that is looked at is good; from there on, the length alone decides.
    let at_limit = (5_200..5_700).rev().map(padded).find(|token| token.len() <= 8192).unwrap();
    assert!(at_limit.len() > 8188, "{}", at_limit.len());
    for place in [Place::Resource, Place::IntrospectionByIssuer] {
        let answer = bench.app.send(bench.bring(place, &at_limit).unwrap()).await;
        assert!(answer.status == 200 && !answer.text.contains("false"), "{answer:?}");
        row.controlled();
    }
    bench.settle();
    let mut tokens: Vec<(String, String)> = Vec::new();
    for length in [5_800, 6_000, 7_000, 10_000, 11_000, 20_000, 100_000] {
        let token = padded(length);
        assert!(token.len() > 8192, "{}", token.len());
        tokens.push((format!("{} bytes", token.len()), token));
    }
    for (what, token) in [
        ("letters", "x".repeat(9_000)),
        ("dots", ".".repeat(16_000)),
        ("three parts", format!("{0}.{0}.{0}", "A".repeat(5_000))),
        ("a long signature", format!("{}{}", bench.tokens.access(), "A".repeat(8_000))),
    ] {
        tokens.push((what.to_owned(), token));
    }
    tokens.push(("a long kid".into(), forge.with_header(json!({"kid": "k".repeat(10_000)}))));
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for depth in [16, 17, 100, 1_000, 2_500] {
        tokens.push((
            format!("claims {depth} deep"),
            forge.with_payload(with_literal(&forge.claims, "deep", &nested(depth)).as_bytes()),
        ));
        tokens.push((
            format!("header {depth} deep"),
            forge.with_header_text(with_literal(&forge.header, "deep", &nested(depth)).as_bytes()),
        ));
        tokens.push((format!("claims of {depth} lists"), forge.with_payload(nested(depth).as_bytes())));
    }
    let objects = format!("{}1{}", "{\"a\":".repeat(400), "}".repeat(400));
    tokens.push((
        "objects in objects".into(),
        forge.with_payload(with_literal(&forge.claims, "deep", &objects).as_bytes()),
    ));
    let many: String = (0..1_000).map(|number| format!(",\"a{number}\":1")).collect();
    tokens.push((
        "too many members".into(),
        forge.with_payload(with_literal(&forge.claims, "first", &format!("1{many}")).as_bytes()),
    ));
    bench.refuse_tokens(tokens).await;
    bench.session_has_survived().await;
}

pub async fn not_json(row: Row) {
    let bench = Bench::start(row).await;
    let forge = bench.forge();
    let utf16 = |text: &str, order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<u8>>();
    let spoilt = |text: &str| {
        let inner = &text[1..text.len() - 1];
        let mut all: Vec<(&str, Vec<u8>)> = vec![
            ("nothing", vec![]),
            ("a space", b" ".to_vec()),
            ("null", b"null".to_vec()),
            ("true", b"true".to_vec()),
            ("a number", b"1".to_vec()),
            ("a string", json!(text).to_string().into_bytes()),
            ("a list", format!("[{text}]").into_bytes()),
            ("an empty object", b"{}".to_vec()),
            ("two documents", format!("{text}{text}").into_bytes()),
            ("two documents, a line each", format!("{text}\n{text}").into_bytes()),
            ("a document and more", format!("{text}x").into_bytes()),
            ("a document and NUL", format!("{text}\0").into_bytes()),
            ("a BOM", format!("\u{feff}{text}").into_bytes()),
            ("a comma too many", format!("{{{inner},}}").into_bytes()),
            ("a comma in front", format!("{{,{inner}}}").into_bytes()),
            ("a comment", format!("/**/{text}").into_bytes()),
            ("a line comment", format!("{text}//").into_bytes()),
            ("single quotes", text.replace('"', "'").into_bytes()),
            ("no quotes", text.replace('"', "").into_bytes()),
            ("no closing brace", text.as_bytes()[..text.len() - 1].to_vec()),
            ("no opening brace", text.as_bytes()[1..].to_vec()),
            ("form encoding", b"sub=alice&exp=1".to_vec()),
            ("XML", b"<claims/>".to_vec()),
            ("CBOR", vec![0xa1, 0x61, 0x61, 0x01]),
            ("a vertical tab", text.replace(',', "\u{b},").into_bytes()),
            ("a no-break space", text.replace(',', "\u{a0},").into_bytes()),
            ("NaN", format!("{{\"x\":NaN,{inner}}}").into_bytes()),
            ("Infinity", format!("{{\"x\":Infinity,{inner}}}").into_bytes()),
            ("1e400", format!("{{\"x\":1e400,{inner}}}").into_bytes()),
            ("hex", format!("{{\"x\":0x1,{inner}}}").into_bytes()),
            ("a leading zero", format!("{{\"x\":01,{inner}}}").into_bytes()),
            ("a bare line end in a string", format!("{{\"x\":\"\n\",{inner}}}").into_bytes()),
            ("a bare NUL in a string", format!("{{\"x\":\"\0\",{inner}}}").into_bytes()),
            ("a lone surrogate", format!("{{\"x\":\"\\ud800\",{inner}}}").into_bytes()),
            ("half a pair", format!("{{\"x\":\"\\udc00\\ud800\",{inner}}}").into_bytes()),
            ("an unknown escape", format!("{{\"x\":\"\\x41\",{inner}}}").into_bytes()),
            ("a number for a name", format!("{{1:1,{inner}}}").into_bytes()),
            ("UTF-16 LE", utf16(text, u16::to_le_bytes)),
            ("UTF-16 BE", utf16(text, u16::to_be_bytes)),
        ];
        for (what, bytes) in [
            ("0xff", &[0xff][..]),
            ("an overlong quote", &[0xc0, 0xa2]),
            ("an overlong NUL", &[0xc0, 0x80]),
            ("a surrogate in UTF-8", &[0xed, 0xa0, 0x80]),
            ("beyond Unicode", &[0xf4, 0x90, 0x80, 0x80]),
            ("a broken sequence", &[0xe2, 0x82]),
            ("Latin-1", &[0xe9]),
        ] {
            all.push((what, [b"{\"x\":\"", bytes, b"\",", inner.as_bytes(), b"}"].concat()));
        }
        all
    };
    let mut tokens: Vec<(String, String)> = Vec::new();
    for (what, bytes) in spoilt(&forge.claims.to_string()) {
        tokens.push((format!("claims: {what}"), forge.with_payload(&bytes)));
    }
    for (what, bytes) in spoilt(&forge.header.to_string()) {
        tokens.push((format!("header: {what}"), forge.with_header_text(&bytes)));
    }
    bench.refuse_tokens(tokens).await;
    bench.session_has_survived().await;
}

pub async fn duplicates(row: Row) {
    let bench = Bench::start(row).await;
    let forge = bench.forge();
    let twice = |text: &str, member: &str, is_first: bool| {
        let inner = &text[1..text.len() - 1];
        if is_first { format!("{{{member},{inner}}}") } else { format!("{{{inner},{member}}}") }
    };
    let mut tokens = Vec::new();
    let claims = forge.claims.to_string();
    let names = ["iss", "sub", "aud", "client_id", "exp", "iat", "jti", "sid", "scope"];
    for name in names.into_iter().filter(|name| forge.claims.get(name).is_some()) {
        let escaped = format!("\\u{:04x}{}", name.as_bytes()[0], &name[1..]);
        for spelling in [name, &escaped] {
            for value in [
                forge.claims[name].to_string(),
                json!("mallory").to_string(),
                "null".to_owned(),
                "99999999999".to_owned(),
            ] {
                for is_first in [true, false] {
                    let member = format!("\"{spelling}\":{value}");
                    tokens.push((
                        format!("{member} again"),
                        forge.with_payload(twice(&claims, &member, is_first).as_bytes()),
                    ));
                }
            }
        }
    }
    let header = forge.header.to_string();
    for name in ["alg", "kid", "typ"] {
        let escaped = format!("\\u{:04x}{}", name.as_bytes()[0], &name[1..]);
        for spelling in [name, &escaped] {
            for value in [forge.header[name].to_string(), json!("none").to_string(), "null".to_owned()] {
                for is_first in [true, false] {
                    let member = format!("\"{spelling}\":{value}");
                    let text = twice(&header, &member, is_first);
                    tokens.push((format!("header: {member} again"), forge.with_header_text(text.as_bytes())));
                    let unsigned = format!("{}.", input(text.as_bytes(), claims.as_bytes()));
                    tokens.push((format!("header: {member} again, unsigned"), unsigned));
                }
            }
        }
    }
    for nested in [
        r#"{"a":1,"a":1}"#,
        r#"[{"a":1,"a":2}]"#,
        r#"{"b":{"c":[{"d":0,"d":0}]}}"#,
        r#"{"":1,"":2}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"é":1,"\u00e9":2}"#,
    ] {
        tokens.push((
            format!("nested {nested}"),
            forge.with_payload(with_literal(&forge.claims, "groups", nested).as_bytes()),
        ));
    }
    let foreign = changed(&without(&forge.claims, "sub"), json!({"sub": "mallory"})).to_string();
    tokens.push((
        "claims within claims".into(),
        forge.with_payload(twice(&claims, &foreign[1..foreign.len() - 1], true).as_bytes()),
    ));
    bench.refuse_tokens(tokens).await;
    bench.session_has_survived().await;
}
