//! What attackers would like to write into the log, and to read there.

use lambda_http::http::HeaderValue;
use test_support::{FORM, form, logs, secret_of};

use crate::{
    bench::{Attempt, Bench, Expected, post},
    ledger::{Fault, Row},
};

const FORGED: &str = r#"{"event":"token_issued","level":"INFO","service":"latchkey"}"#;

pub async fn injection(row: Row) {
    let bench = Bench::start(row).await;
    let texts = [
        FORGED.to_owned(),
        format!("a\u{2028}{FORGED}"),
        format!("a\u{2029}{FORGED}"),
        format!("a\u{85}{FORGED}"),
        format!("a\u{9b}31m{FORGED}"),
        format!("\"}},{FORGED}"),
        format!("\\\",{FORGED}"),
        "\\u000a\\r\\n".to_owned(),
        "${jndi:ldap://127.0.0.1/a}".to_owned(),
        "%0d%0aSet-Cookie: a=b".to_owned(),
        "\u{202e}gnitset".to_owned(),
        "x".repeat(8_000),
        "\u{1f600}".repeat(1_000),
    ];
    let marker = logs::length();
    let mut attempts = Vec::new();
    for text in &texts {
        for (header, path) in [
            ("user-agent", "/token/renew"),
            ("user-agent", "/token"),
            ("x-forwarded-for", "/token/revoke"),
            ("x-request-id", "/token/introspect"),
        ] {
            let mut request = post(
                path,
                None,
                FORM,
                form(&[("refresh_token", "x"), ("client_id", "nobody"), ("subject", "a"), ("token", "x")]),
            );
            let value = HeaderValue::from_bytes(text.as_bytes()).unwrap();
            request.headers_mut().insert(header, value);
            attempts.push(Attempt::new(format_args!("{header} at {path}"), request, Expected::invalid_client()));
        }
    }
    for text in ["a\nb", "a\r\nb", "\u{1b}[2J", "a\u{2028}b", "\0", FORGED, &format!("librechat\n{FORGED}")] {
        for (path, member) in [
            ("/token/renew", "client_id"),
            ("/token/revoke", "client_id"),
            ("/token/introspect", "issuer_id"),
            ("/token", "issuer_id"),
        ] {
            let pairs = [
                ("refresh_token", "x"),
                ("subject", "a"),
                ("token", "x"),
                (member, text),
                ("client_secret", "x"),
                ("issuer_secret", "x"),
            ];
            let pairs: Vec<(&str, &str)> = pairs
                .into_iter()
                .filter(|(name, _)| *name != if member == "client_id" { "issuer_secret" } else { "client_secret" })
                .collect();
            attempts.push(Attempt::new(
                format_args!("{member} {text:?} at {path}"),
                post(path, None, FORM, form(&pairs)),
                Expected::invalid_client(),
            ));
        }
    }
    // A secret where an id belongs.
    let secret = secret_of("librechat");
    for id in [secret.as_str(), bench.tokens.access(), bench.tokens.refresh()] {
        let pairs = [("refresh_token", bench.tokens.refresh()), ("client_id", id), ("client_secret", "librechat")];
        attempts.push(Attempt::new(
            "a secret for an id",
            post("/token/renew", None, FORM, form(&pairs)),
            Expected::invalid_client(),
        ));
        let pairs = [("client_id", id), ("subject", "alice")];
        let expected = Expected::error(400, "unauthorized_client", "this issuer may not act for that client");
        attempts.push(Attempt::new(
            "a secret for a client",
            post("/token", Some(&bench.basic("portal")), FORM, form(&pairs)),
            expected,
        ));
    }
    bench.genuine_is_let_in().await;
    bench.refuse(attempts).await;
    bench.session_has_survived().await;
    if let Err(fault) = logs::check(&logs::text()[marker..]) {
        row.fault(Fault::WrongAnswer, fault);
    }
}
