//! Input that nobody sends by accident. Nothing of it changes a record.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use lambda_http::http::{HeaderValue, Request};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{App, FORM, JSON, Tokens, basic, form, keys, logs, part, secret_of};

fn with_refresh(tokens: &Tokens, refresh_token: &str) -> Tokens {
    let mut changed = tokens.0.clone();
    changed["refresh_token"] = refresh_token.into();
    Tokens(changed)
}

#[tokio::test]
async fn forged_refresh_tokens_reach_no_store() {
    let app = App::start().await;
    let tokens = app.issue().await;
    let other = app.issue().await;
    let records = app.records().await;
    app.operations();
    let decode = |token: &str| URL_SAFE_NO_PAD.decode(&token[4..]).unwrap();
    let encode = |bytes: &[u8]| format!("lk1_{}", URL_SAFE_NO_PAD.encode(bytes));
    let bytes = decode(tokens.refresh());
    let altered = |range: std::ops::Range<usize>| {
        let mut altered = bytes.clone();
        altered[range].iter_mut().for_each(|byte| *byte ^= 0x55);
        encode(&altered)
    };
    let tag_of_another = [&bytes[..69], &decode(other.refresh())[69..]].concat();
    let text = tokens.refresh();
    for forged in [
        altered(0..1),   // tag key
        altered(1..17),  // owner
        altered(17..33), // sid
        altered(33..37), // generation
        altered(37..69), // secret
        altered(69..85), // tag
        encode(&tag_of_another),
        encode(&[0; 85]),
        encode(&[0xff; 85]),
        encode(&bytes[..84]),
        encode(&[&bytes[..], &[0]].concat()),
        format!("{text} "),
        format!("{text}="),
        format!("lk2_{}", &text[4..]),
        text.to_uppercase(),
        "lk1_".into(),
        "\u{0}".into(),
        "é".repeat(59),
        "x".repeat(15_000),
        tokens.access().into(),
    ] {
        app.renew(&with_refresh(&tokens, &forged)).await.invalid_grant();
    }
    assert_eq!(app.operations(), Vec::<String>::new(), "no request at all");
    assert_eq!(app.records().await, records);
    app.renew(&tokens).await.tokens();
}

#[tokio::test]
async fn forged_access_tokens_reach_no_store() {
    let app = App::start().await;
    let tokens = app.issue().await;
    let records = app.records().await;
    app.operations();
    let claims = tokens.claims();
    let header = part(tokens.access(), 0);
    let (input, signature) = tokens.access().rsplit_once('.').unwrap();
    let raw = |header: &Value, claims: &str, signature: &str| {
        format!("{}.{}.{signature}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims))
    };
    let rsa = EncodingKey::from_rsa_pem(keys::rs256().pem.as_bytes()).unwrap();
    let with_header = |changes: Value| {
        let mut header = header.clone();
        for (name, value) in changes.as_object().unwrap() {
            header[name] = value.clone();
        }
        keys::signed(&header, &claims, Algorithm::RS256, &rsa)
    };
    let with_claims = |changes: Value| {
        let mut claims = claims.clone();
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        keys::signed_rs256(&claims)
    };
    let hmac = |secret: &[u8]| {
        let header = json!({"alg": "HS256", "kid": keys::rs256().kid, "typ": "at+jwt"});
        keys::signed(&header, &claims, Algorithm::HS256, &EncodingKey::from_secret(secret))
    };
    let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&rsa, Algorithm::RS256).unwrap();
    let jwk = serde_json::to_value(jwk).unwrap();
    let now = app.now();
    let mut attacks = vec![
        raw(&json!({"alg": "none", "kid": keys::rs256().kid, "typ": "at+jwt"}), &claims.to_string(), ""),
        raw(&json!({"alg": "nOnE", "kid": keys::rs256().kid, "typ": "at+jwt"}), &claims.to_string(), "AA"),
        raw(&header, &claims.to_string(), ""),
        raw(&header, &claims.to_string(), signature),
        format!("{input}."),
        format!("{input}.{signature}."),
        format!("{input}.{signature}="),
        format!(" {input}.{signature}"),
        format!("{input}.{}", signature.replace(['-', '_'], "+")),
        input.to_owned(),
        "..".into(),
        "a.b.c.d.e".into(),
        json!({"payload": input, "signatures": []}).to_string(),
        hmac(jwk["n"].as_str().unwrap().as_bytes()),
        hmac(jwk.to_string().as_bytes()),
        hmac(b""),
        format!("{}.{}", "x".repeat(9_000), "y.z"),
    ];
    for changes in [
        json!({"alg": ""}),
        json!({"alg": 5}),
        json!({"alg": "PS256"}),
        json!({"alg": "rs256"}),
        json!({"kid": "unknown"}),
        json!({"kid": ""}),
        json!({"kid": 5}),
        json!({"kid": "../../dev/null"}),
        json!({"kid": "a\u{0}b"}),
        json!({"kid": "x' UNION SELECT 'x"}),
        json!({"kid": "k".repeat(10_000)}),
        json!({"kid": keys::es256().kid}),
        json!({"typ": "JWT"}),
        json!({"typ": null}),
        json!({"typ": "at+jwt "}),
        json!({"crit": ["exp"]}),
        json!({"b64": false}),
        json!({"zip": "DEF"}),
        json!({"jwk": jwk}),
        json!({"jku": "http://127.0.0.1:1/"}),
        json!({"x5u": "http://127.0.0.1:1/"}),
        json!({"x5c": ["AA"]}),
        json!({"cty": "JWT"}),
    ] {
        attacks.push(with_header(changes));
    }
    for changes in [
        json!({"exp": null}),
        json!({"exp": (now + 100).to_string()}),
        json!({"exp": -1}),
        json!({"exp": now as f64 + 0.5}),
        json!({"exp": u64::MAX}),
        json!({"exp": now + 604_801}),
        json!({"exp": 1e300}),
        json!({"iat": null}),
        json!({"iat": "1"}),
        json!({"iss": [crate::support::ISSUER]}),
        json!({"iss": null}),
        json!({"iss": "https://latchkey.example/"}),
        json!({"aud": []}),
        json!({"aud": null}),
        json!({"sub": "mallory"}),
        json!({"client_id": "spa"}),
        json!({"client_id": "nobody"}),
        json!({"sid": "x"}),
        json!({"sid": "A".repeat(43)}),
        json!({"jti": ""}),
        json!({"jti": null}),
        json!({"scope": null}),
        json!({"scope": ["openid"]}),
        json!({"iat": now + 61, "exp": now + 100}),
    ] {
        attacks.push(with_claims(changes));
    }
    let duplicate = claims.to_string().replacen('{', r#"{"sub":"alice","#, 1);
    let signing_input = format!("{}.{}", input.split('.').next().unwrap(), URL_SAFE_NO_PAD.encode(duplicate));
    let signed = jsonwebtoken::crypto::sign(signing_input.as_bytes(), &rsa, Algorithm::RS256).unwrap();
    attacks.push(format!("{signing_input}.{signed}"));
    let count = attacks.len();
    for attack in attacks {
        let answer = app.renew(&tokens.with_access(&attack)).await;
        assert_eq!(answer.text, crate::support::INVALID_GRANT, "{attack}");
    }
    assert!(count >= 60, "{count}");
    let reads = app.operations();
    assert!(reads.iter().all(|operation| operation == "GetItem" || operation == "UpdateItem"), "{reads:?}");
    assert_eq!(app.records().await, records);
    // Nine seconds ahead is a clock, not an attack.
    let ahead = with_claims(json!({"iat": now + 9, "exp": now + 100}));
    app.renew(&tokens.with_access(&ahead)).await.tokens();
}

#[tokio::test]
async fn hostile_bodies_get_their_answer_and_change_nothing() {
    let app = App::start().await;
    let tokens = app.issue().await;
    let records = app.records().await;
    let client = basic("librechat", &secret_of("librechat"));
    let refresh = format!("refresh_token={}", tokens.refresh());
    let deep = format!(r#"{{"refresh_token":"{}","x":{}{}}}"#, tokens.refresh(), "[".repeat(16), "]".repeat(16));
    for (status, content_type, body) in [
        (400, FORM, format!("{refresh}&{refresh}").into_bytes()),
        (400, FORM, [refresh.as_bytes(), b"&x=\xff"].concat()),
        (400, FORM, format!("{refresh}&x=%ff").into_bytes()),
        (400, FORM, format!("{refresh}&x=%").into_bytes()),
        (400, FORM, json!({"refresh_token": tokens.refresh()}).to_string().into_bytes()),
        (400, JSON, refresh.clone().into_bytes()),
        (400, JSON, deep.into_bytes()),
        (400, JSON, "[".repeat(10_000).into_bytes()),
        (400, JSON, b"{\"refresh_token\":\"\xff\"}".to_vec()),
        (400, JSON, json!({"refresh_token": [tokens.refresh()]}).to_string().into_bytes()),
        (400, JSON, json!({"refresh_token": {"a": 1}}).to_string().into_bytes()),
        (400, JSON, json!({"refresh_token": null}).to_string().into_bytes()),
        (400, JSON, format!(r#"{{"refresh_token":"{0}","refresh_token":"{0}"}}"#, tokens.refresh()).into_bytes()),
        (400, FORM, vec![]),
        (400, JSON, vec![]),
        (413, FORM, format!("{refresh}&x={}", "y".repeat(16_384)).into_bytes()),
        (413, JSON, vec![b' '; 200_000]),
        (413, "text/plain", vec![0; 17_000]),
        (415, "multipart/form-data; boundary=x", format!("--x\r\n\r\n{refresh}\r\n--x--").into_bytes()),
        (415, "text/plain", refresh.clone().into_bytes()),
        (415, "application/json; charset=utf-16", refresh.clone().into_bytes()),
    ] {
        for path in ["/token", "/token/renew"] {
            let answer = app.post(path, Some(&client), content_type, body.clone()).await;
            assert_eq!(
                answer.status,
                status,
                "{path} {content_type} {:?}",
                String::from_utf8_lossy(&body[..body.len().min(80)])
            );
            assert_eq!(answer.error(), "invalid_request");
        }
    }
    assert_eq!(app.records().await, records);
    app.renew(&tokens).await.tokens();
}

#[tokio::test]
async fn hostile_headers_stay_in_one_log_line() {
    let app = App::start().await;
    let tokens = app.issue().await;
    let body = form(&[("refresh_token", tokens.refresh()), ("access_token", tokens.access())]);
    let user_agent = HeaderValue::from_bytes("evil\u{2028}\u{9b}31m\t{\"event\":\"x\"}".as_bytes()).unwrap();
    let request = Request::post("/token/renew")
        .header("content-type", FORM)
        .header("authorization", basic("librechat", &secret_of("librechat")))
        .header("user-agent", user_agent);
    app.send(request.body(body.into_bytes()).unwrap()).await.tokens();
    let lines = logs::audit_of(tokens.0["session_id"].as_str().unwrap());
    assert_eq!(lines.last().unwrap()["user_agent"], r#"evil???31m?{"event":"x"}"#.replace("???", "??"));
}

#[tokio::test]
async fn who_sends_no_whole_headers_is_disconnected_after_10_s() {
    let app = App::start().await;
    let address = app.url.strip_prefix("http://").unwrap().to_owned();
    let mut connections = Vec::new();
    for bytes in [&b""[..], b"POST /tok", b"POST /token HTTP/1.1\r\nHost: x\r\nAuthorization: Basic "] {
        let mut connection = tokio::net::TcpStream::connect(&address).await.unwrap();
        connection.write_all(bytes).await.unwrap();
        connections.push(connection);
    }
    app.issue().await;
    // From here on time passes only when it is told to.
    tokio::time::pause();
    let is_closed = |connection: &tokio::net::TcpStream| matches!(connection.try_read(&mut [0]), Ok(0));
    tokio::time::advance(Duration::from_secs(6)).await;
    assert!(!connections.iter().any(is_closed));
    tokio::time::advance(Duration::from_secs(5)).await;
    for _ in 0..100_000 {
        tokio::task::yield_now().await;
    }
    assert!(connections.iter().all(is_closed));
    tokio::time::resume();
    app.issue().await;
}

#[tokio::test]
async fn broken_off_and_nonsense_requests_leave_the_server_alive() {
    let app = App::start().await;
    let address = app.url.strip_prefix("http://").unwrap().to_owned();
    for bytes in [
        &b"POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc"[..],
        b"POST /token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"\x16\x03\x01\x00\x00",
        b"GET / HTTP/9.9\r\n\r\n",
    ] {
        let mut connection = tokio::net::TcpStream::connect(&address).await.unwrap();
        connection.write_all(bytes).await.unwrap();
        connection.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = connection.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&answer));
    }
    let mut connection = tokio::net::TcpStream::connect(&address).await.unwrap();
    connection.write_all(b"POST /token HTTP/1.1\r\nHost: x\r\nUser-Agent: ").await.unwrap();
    let megabyte = vec![b'x'; 1024 * 1024];
    let _ = connection.write_all(&megabyte).await;
    drop(connection);
    app.issue().await;
}
