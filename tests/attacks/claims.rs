//! What a token says, even when one of our own keys has signed it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use latchkey_token::values::{ClientId, Owner, Subject};
use serde_json::json;
use test_support::{ISSUER, keys, secret_of};

use crate::{
    bench::{Attempt, Bench, Expected, Place},
    forge::{changed, with_literal},
    ledger::Row,
    trap,
};

pub async fn times(row: Row) {
    let bench = Bench::start(row).await;
    let forge = bench.forge();
    let now = bench.app.now();
    let changes = [
        json!({"exp": now + 604_801}),
        json!({"exp": now + 31_536_000}),
        json!({"exp": now * 1000}),
        json!({"exp": i64::MAX}),
        json!({"exp": u64::MAX}),
        json!({"exp": (1_u64 << 48) + 1}),
        json!({"exp": now - 1}),
        json!({"exp": 1e300}),
        json!({"exp": now as f64 + 100.5}),
        json!({"exp": -1}),
        json!({"exp": 0}),
        json!({"exp": (now + 100).to_string()}),
        json!({"exp": format!("{now}s")}),
        json!({"exp": "never"}),
        json!({"exp": "2099-01-01T00:00:00Z"}),
        json!({"exp": [now + 100]}),
        json!({"exp": {"$gt": 0}}),
        json!({"exp": true}),
        json!({"exp": false}),
        json!({"exp": null}),
        json!({"exp": ""}),
        json!({"iat": 0}),
        json!({"iat": -1}),
        json!({"iat": now as f64 - 0.5}),
        json!({"iat": now.to_string()}),
        json!({"iat": null}),
        json!({"iat": [now]}),
        json!({"iat": u64::MAX}),
        json!({"iat": i64::MAX, "exp": i64::MAX}),
        json!({"iat": u64::MAX, "exp": u64::MAX}),
        json!({"iat": now + 86_401}),
        json!({"iat": 0, "exp": 604_801}),
        json!({"iat": -100, "exp": 100}),
        json!({"iat": now - 700_000}),
    ];
    let mut tokens: Vec<(String, String)> =
        changes.into_iter().map(|change| (change.to_string(), forge.with_claims(change))).collect();
    for name in ["exp", "iat"] {
        tokens.push((format!("{name} missing"), forge.without_claim(name)));
        for literal in [
            "1e400",
            "-1e400",
            "1.8e9",
            "1800086400.0",
            "1800086400.00000001",
            "18000864e2",
            "0x6b49d200",
            "0o15311",
            "1_800_086_400",
            "+1800086400",
            "01800086400",
            "1800086400n",
            "18446744073709551616",
            "99999999999999999999999999",
            "NaN",
            "Infinity",
            "-0",
            "-0.0",
            "0.0",
            "'1800086400'",
            "1800086400,",
            "1800086400/**/",
            "Date(1800086400)",
            "\"1800086400\\u0000\"",
        ] {
            let claims = with_literal(&forge.claims, name, literal);
            tokens.push((format!("{name}: {literal}"), forge.with_payload(claims.as_bytes())));
        }
    }
    bench.refuse_tokens(tokens).await;
    bench.session_has_survived().await;
}

pub async fn future(row: Row) {
    let bench = Bench::start(row).await;
    let forge = bench.forge();
    let now = bench.app.now();
    let ahead = |seconds: i64| forge.with_claims(json!({"iat": now + seconds, "exp": now + 86_400}));
    bench.genuine_is_let_in().await;
    // Clocks differ: nine seconds, and a minute, are no attack.
    for seconds in [9, 10, 60] {
        for place in [Place::Resource, Place::IntrospectionByIssuer, Place::IntrospectionByClient] {
            let answer = bench.app.send(bench.bring(place, &ahead(seconds)).unwrap()).await;
            assert!(answer.status == 200 && !answer.text.contains("false"), "{seconds} s ahead: {answer:?}");
            row.controlled();
        }
        let scratch = bench.app.issue().await;
        let mut claims = scratch.claims();
        claims["iat"] = (now + seconds).into();
        bench.app.renew(&scratch.with_access(&keys::signed_rs256(&claims))).await.tokens();
        row.controlled();
    }
    bench.settle();
    let mut attempts = Vec::new();
    for seconds in [61, 62, 100, 3_600, 86_399] {
        let token = ahead(seconds);
        for place in Place::ALL {
            let expected = match place {
                // Only the times are wrong, which must not hide theft: the record is looked at.
                Place::Renewal | Place::RenewalJson | Place::RenewalBearer => {
                    Expected::invalid_grant().after(&["GetItem"])
                }
                // It names a confidential client, which has to authenticate.
                Place::RenewalUnnamed => Expected::invalid_client(),
                _ => place.refusal(),
            };
            let request = bench.bring(place, &token).unwrap();
            attempts.push(Attempt::new(format_args!("{seconds} s ahead at {place:?}"), request, expected));
        }
    }
    bench.refuse(attempts).await;
    bench.session_has_survived().await;
}

pub async fn identity(row: Row) {
    let bench = Bench::start(row).await;
    let forge = bench.forge();
    let sid = forge.claims["sid"].as_str().unwrap().to_owned();
    let mut changes = vec![
        json!({"sub": "mallory"}),
        json!({"sub": "Alice"}),
        json!({"sub": "alice "}),
        json!({"sub": "alice\0"}),
        json!({"sub": "alice\n"}),
        json!({"sub": "\u{430}lice"}),
        json!({"sub": "alic\u{435}"}),
        json!({"sub": "a\u{301}lice"}),
        json!({"sub": "admin"}),
        json!({"sub": "x".repeat(256)}),
        json!({"client_id": "librechat-oauth"}),
        json!({"client_id": "spa"}),
        json!({"client_id": "hs"}),
        json!({"client_id": "nobody"}),
        json!({"client_id": "LIBRECHAT"}),
        json!({"client_id": "librechat "}),
        json!({"client_id": "librechat\0"}),
        json!({"client_id": "portal"}),
        json!({"client_id": "\u{29f}ibrechat"}),
        json!({"client_id": "c".repeat(256)}),
        json!({"client_id": "spa", "sub": "librechat\0alice"}),
        json!({"client_id": "librechat\0alice", "sub": ""}),
        json!({"client_id": "libre", "sub": "chat\0alice"}),
        json!({"sid": "x"}),
        json!({"sid": "A".repeat(43)}),
        json!({"sid": sid[1..]}),
        json!({"sid": format!("{sid}A")}),
        json!({"sid": format!("{sid}=")}),
        json!({"sid": format!(" {sid}")}),
        json!({"sid": sid.to_uppercase()}),
        json!({"sid": format!("{}+", &sid[..42])}),
        json!({"sid": "\u{0}".repeat(43)}),
        json!({"jti": ""}),
        json!({"aud": []}),
        json!({"aud": [1]}),
        json!({"aud": ["librechat", 1]}),
        json!({"aud": ["librechat", null]}),
        json!({"aud": {"librechat": true}}),
        json!({"aud": [["librechat"]]}),
        json!({"scope": ["openid"]}),
        json!({"scope": {"openid": true}}),
    ];
    let issuers = [
        "",
        "/",
        "https://evil.example",
        "http://latchkey.example",
        "https://latchkey.example/",
        "https://latchkey.example.evil.example",
        "https://LATCHKEY.example",
        "https://latchkey.example:443",
        "https://latchkey.example#",
        "https://latchkey.example?x",
        " https://latchkey.example",
        "https://latchkey.example\0",
        "https://latchkey%2eexample",
        "https://user@latchkey.example",
        "latchkey.example",
        "https://latchkey\u{2024}example",
        "self",
        "null",
    ];
    changes.extend(issuers.map(|iss| json!({"iss": iss})));
    changes.extend(trap::urls().into_iter().map(|iss| json!({"iss": iss})));
    changes.extend([
        json!({"iss": [ISSUER]}),
        json!({"iss": [ISSUER, "https://evil.example"]}),
        json!({"iss": {"iss": ISSUER}}),
    ]);
    let last = sid.as_bytes()[42];
    // The two spare bits of the last character.
    let spare = format!("{}{}", &sid[..42], char::from(last + 1));
    changes.push(json!({"sid": spare}));
    let mut tokens: Vec<(String, String)> =
        changes.into_iter().map(|change| (change.to_string(), forge.with_claims(change))).collect();
    for name in ["iss", "sub", "aud", "client_id", "exp", "iat", "jti", "sid", "scope"] {
        tokens.push((format!("{name} missing"), forge.without_claim(name)));
        let renamed =
            changed(&crate::forge::without(&forge.claims, name), json!({name.to_uppercase(): forge.claims[name]}));
        tokens.push((format!("{name} in capitals"), forge.with_payload(renamed.to_string().as_bytes())));
    }
    bench.refuse_tokens(tokens).await;

    // One of our keys has signed another audience: good for nothing at the resource. A renewal does not ask for it.
    let mut attempts = Vec::new();
    for aud in [
        json!("other"),
        json!(["librechat", "other"]),
        json!(["other"]),
        json!(""),
        json!("LIBRECHAT"),
        json!("librechat "),
        json!(["librechat", "librechat"]),
        json!("*"),
    ] {
        let token = forge.with_claims(json!({"aud": aud}));
        if aud.as_array().is_some_and(|all| all.contains(&"librechat".into())) {
            continue;
        }
        let place = Place::Resource;
        let request = bench.bring(place, &token).unwrap();
        attempts.push(Attempt::new(format_args!("aud {aud} at {place:?}"), request, place.refusal()));
    }
    // A session of the same subject that never was.
    let mut bytes = URL_SAFE_NO_PAD.decode(&sid).unwrap();
    bytes[31] ^= 1;
    let unknown = forge.with_claims(json!({"sid": URL_SAFE_NO_PAD.encode(bytes)}));
    for place in Place::ALL {
        let expected = match place {
            Place::RenewalUnnamed => Expected::invalid_client(),
            Place::Renewal | Place::RenewalJson | Place::RenewalBearer => place.refusal(),
            // An update that must not create the record.
            Place::RevocationByIssuer | Place::RevocationByClient => place.refusal().after(&["UpdateItem", "GetItem"]),
            _ => place.refusal().after(&["GetItem"]),
        };
        attempts.push(Attempt::new(
            format_args!("unknown session at {place:?}"),
            bench.bring(place, &unknown).unwrap(),
            expected,
        ));
    }
    // A client that is not registered any more, and a subject that fits.
    let owner = Owner::of(&ClientId::parse("gone").unwrap(), &Subject::parse("alice").unwrap());
    let gone = URL_SAFE_NO_PAD.encode([&owner.as_bytes()[..], &[7; 16]].concat());
    let gone = forge.with_claims(json!({"client_id": "gone", "sid": gone}));
    for place in Place::ALL {
        let expected = if place == Place::RenewalUnnamed { Expected::invalid_client() } else { place.refusal() };
        attempts.push(Attempt::new(
            format_args!("a client that is gone at {place:?}"),
            bench.bring(place, &gone).unwrap(),
            expected,
        ));
    }
    bench.refuse(attempts).await;
    bench.session_has_survived().await;
}

pub async fn forced_errors(row: Row) {
    let bench = Bench::start(row).await;
    let forge = bench.forge();
    let values = [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1e308),
        json!(u64::MAX),
        json!(""),
        json!([]),
        json!({}),
        json!(["x"]),
        json!([null]),
        json!({"a": 1}),
        json!([[[[[[[["x"]]]]]]]]),
    ];
    let mut tokens = Vec::new();
    for name in ["iss", "sub", "aud", "client_id", "exp", "iat", "jti", "sid", "scope"] {
        for value in &values {
            // No scope at all, and another audience, are things that a token may say.
            if name == "scope" && *value == "" || name == "aud" && (*value == "" || *value == json!(["x"])) {
                continue;
            }
            tokens.push((format!("{name}: {value}"), forge.with_claims(json!({name: value}))));
        }
    }
    bench.refuse_tokens(tokens).await;
    bench.session_has_survived().await;
}

pub async fn other_tokens(row: Row) {
    let bench = Bench::start(row).await;
    let id_token = bench.tokens.0["id_token"].as_str().unwrap().to_owned();
    let mut tokens: Vec<(String, String)> = vec![
        ("the ID token".into(), id_token.clone()),
        ("the session's id".into(), bench.tokens.0["session_id"].as_str().unwrap().to_owned()),
        ("the token's jti".into(), bench.tokens.claims()["jti"].as_str().unwrap().to_owned()),
        ("the client's secret".into(), secret_of("librechat")),
        ("the issuer's secret".into(), secret_of("portal")),
        ("the client's id".into(), "librechat".into()),
        ("null".into(), "null".into()),
        ("undefined".into(), "undefined".into()),
        ("true".into(), "true".into()),
        ("an asterisk".into(), "*".into()),
        ("Basic credentials".into(), bench.basic("librechat")),
    ];
    // An ID token in an access token's clothes: its claims, signed again with the access token's header.
    let forge = bench.forge();
    tokens.push((
        "ID token's claims, at+jwt".into(),
        forge.with_payload(test_support::part(&id_token, 1).to_string().as_bytes()),
    ));
    bench.refuse_tokens(tokens).await;
    let places = [Place::Renewal, Place::RenewalJson, Place::RenewalBearer, Place::RenewalUnnamed, Place::Resource];
    bench.refuse(bench.at(&places, "the refresh token", bench.tokens.refresh())).await;
    bench.session_has_survived().await;
}

pub async fn no_longer_good(row: Row) {
    const RENEWALS: [Place; 3] = [Place::Renewal, Place::RenewalJson, Place::RenewalBearer];
    let at = |bench: &Bench, what: &str, renewal: Expected, unnamed: Expected, others: &dyn Fn(Place) -> Expected| {
        let token = bench.tokens.access();
        let attempts = Place::ALL.into_iter().map(|place| {
            let expected = match place {
                place if RENEWALS.contains(&place) => renewal.clone(),
                Place::RenewalUnnamed => unnamed.clone(),
                place => others(place),
            };
            Attempt::new(format_args!("{what} at {place:?}"), bench.bring(place, token).unwrap(), expected)
        });
        attempts.collect::<Vec<_>>()
    };

    let expired = Bench::start(row).await;
    for seconds in [86_400, 1, 3_599, 86_400] {
        expired.app.clock.advance(seconds);
        let renewal = Expected::invalid_grant().after(&["GetItem"]);
        expired.refuse(at(&expired, "expired", renewal, Expected::invalid_client(), &|place| place.refusal())).await;
    }

    // The grace period is for renewal only.
    let graceful = Bench::of(row, "graceful", &[]).await;
    graceful.app.clock.advance(86_400);
    let in_grace = Place::ALL.into_iter().filter(|place| !RENEWALS.contains(place) && *place != Place::RenewalUnnamed);
    let attempts = in_grace.map(|place| {
        let request = graceful.bring(place, graceful.tokens.access()).unwrap();
        Attempt::new(format_args!("in grace at {place:?}"), request, place.refusal())
    });
    graceful.refuse(attempts.collect()).await;
    graceful.session_has_survived().await;

    let revoked = Bench::start(row).await;
    let token = test_support::form(&[("token", revoked.tokens.refresh())]);
    revoked.app.post("/token/revoke", Some(&revoked.basic("portal")), test_support::FORM, token).await;
    revoked.settle();
    let others = |place: Place| match place {
        Place::RevocationByIssuer | Place::RevocationByClient => place.refusal().after(&["UpdateItem", "GetItem"]),
        place => place.refusal().after(&["GetItem"]),
    };
    let renewal = Expected::invalid_grant().after(&["UpdateItem"]);
    revoked.refuse(at(&revoked, "revoked", renewal, Expected::invalid_client(), &others)).await;

    let foreign = Bench::of(row, "librechat", &[("LATCHKEY_AUTHORIZER_CACHE_SECONDS", "30")]).await;
    for client in ["librechat-oauth", "spa", "ps", "ed", "hs", "wide", "short", "graceful"] {
        let tokens = foreign.app.issue_for(client).await;
        foreign.settle();
        let request = foreign.bring(Place::Resource, tokens.access()).unwrap();
        foreign
            .refuse(vec![Attempt::new(format_args!("{client}'s audience"), request, Expected::invalid_token())])
            .await;
    }
}
