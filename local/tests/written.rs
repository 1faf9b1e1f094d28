//! Secrets, documents and settings as people's tools write them, given to the command. `tests/corpus` has more of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs;

use latchkey_token::ports::{LibreChatSecret, RingVersions};
use latchkey_token_aws::{RingSecrets, SecretsManagerRing};
use serde_json::{Value, json};
use support::{AwsService, Server, basic, files::Files, secrets_manager::SecretsManager};

const SECRET: &str = "a test secret of at least 32 bytes";
const IMPORT: &str = "keys import-hs256 --kid hs --file keys.json";

fn put_mark_in_front(files: &Files, name: &str) {
    fs::write(files.path(name), format!("\u{feff}{}", files.read(name))).unwrap();
}

#[test]
fn an_imported_secret_has_no_mark_and_no_line_break_and_is_taken_out_of_an_object() {
    let object = json!({"JWT_SECRET": SECRET}).to_string();
    for written in [format!("\u{feff}{SECRET}"), format!("\u{feff}{SECRET}\r\n"), format!("{SECRET}\n"), object] {
        let files = Files::new();
        let (code, _, said) = files.latchkey_fed(IMPORT, &written);
        assert_eq!(code, 0, "{said}");
        assert_eq!(files.json("keys.json")["signing"][0]["secret"], SECRET);
        assert_eq!(said.contains("member JWT_SECRET"), written.starts_with('{'), "{said}");
    }
}

#[test]
fn what_cannot_be_the_secret_is_refused_by_name_and_not_shown() {
    let files = Files::new();
    for (written, named) in [
        (format!("JWT_SECRET={SECRET}\n"), "NAME=VALUE"),
        (format!("export JWT_SECRET='{SECRET}'\n"), "NAME=VALUE"),
        (format!("\"{SECRET}\"\n"), "quotation marks"),
        (format!("'{SECRET}'"), "quotation marks"),
        (json!({"JWT_SECRET": SECRET, "JWT_REFRESH_SECRET": "x"}).to_string(), "JSON object"),
        (json!({"secret": SECRET}).to_string(), "JSON object"),
        (format!("{SECRET}\n{SECRET}\n"), "more than one line"),
        (format!(" {SECRET}"), "white space"),
        ("changeme-changeme-changeme-changeme".into(), "well-known"),
        ("your-super-secret-jwt-token-with-at-least-32-characters-long".into(), "well-known"),
        ("q".repeat(64), "repeats"),
    ] {
        let (code, out, said) = files.latchkey_fed(IMPORT, &written);
        assert_eq!((code, out.as_str()), (1, ""), "{said}");
        assert!(said.contains(named) && !said.contains(SECRET), "{written}: {said}");
        assert!(!fs::exists(files.path("keys.json")).unwrap());
        // A portal's secret is read in the same way.
        fs::write(files.path("secret.txt"), &written).unwrap();
        let add = "issuer add p --file clients.json --hs256-secret-file secret.txt --assertion-iss p --assertion-aud a";
        let said = files.refused(add, "clients.json");
        assert!(said.contains(named) && !said.contains(SECRET), "{written}: {said}");
    }
}

#[test]
fn documents_with_a_mark_are_read_by_commands_and_by_the_server() {
    let files = Files::new();
    files.done("keys generate --alg ES256 --file keys.json");
    let issuer = files.secret("issuer add portal --file clients.json");
    put_mark_in_front(&files, "clients.json");
    put_mark_in_front(&files, "keys.json");
    files.done("client add app --file clients.json --public --issuer portal --alg ES256");
    assert!(files.read("clients.json").starts_with('{'));
    put_mark_in_front(&files, "clients.json");
    let (status, answer) = files.serve().post("/token", &basic("portal", &issuer), "client_id=app&subject=alice");
    assert_eq!(status, 200, "{answer}");

    let key = json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "k", "use": "sig",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    fs::write(files.path("jwks.json"), format!("\u{feff}{}\r\n", json!({"keys": [key]}))).unwrap();
    files.done("issuer add other --file clients.json --jwks jwks.json --assertion-iss o --assertion-aud a");
}

#[test]
fn a_file_in_another_encoding_is_named_as_such() {
    let files = Files::new();
    files.secret("issuer add portal --file clients.json");
    let utf_16: Vec<u8> =
        [0xfeff].into_iter().chain(files.read("clients.json").encode_utf16()).flat_map(u16::to_le_bytes).collect();
    fs::write(files.path("clients.json"), utf_16).unwrap();
    assert!(files.refused("client list --file clients.json", "clients.json").contains("UTF-16"));
    fs::write(files.path("clients.json"), b"{\"\xe9\":1}").unwrap();
    assert!(files.refused("client list --file clients.json", "clients.json").contains("not UTF-8"));
}

#[test]
fn a_document_with_a_mark_in_secrets_manager_is_edited() {
    let stub = SecretsManager::start();
    stub.done("issuer add portal --secret-id latchkey/one");
    stub.secret().mark();
    stub.done("client add app --secret-id latchkey/one --public --issuer portal");
    assert_eq!(stub.current()["clients"][0]["client_id"], "app");
}

#[test]
fn a_registry_that_a_secret_cannot_hold_is_refused_with_how_many_clients_fit() {
    let client = |number: usize, length: usize| json!({"client_id": format!("client-{number:04}"), "type": "public", "audience": ["a".repeat(length)]});
    // Full but for some bytes.
    let registry = |last: usize| {
        let mut clients: Vec<Value> = (0..300).map(|number| client(number, 120)).collect();
        clients.push(client(300, last));
        json!({"issuers": [], "clients": clients})
    };
    let registry = registry(65_530 - registry(0).to_string().len());
    let stub = SecretsManager::holding(&registry);
    for line in ["client add one-more --public --secret-id latchkey/one", "client add other --secret-id latchkey/one"] {
        let (code, out, said) = stub.latchkey(line, "");
        assert_eq!((code, out.as_str()), (1, ""), "{said}");
        assert!(said.contains("holds 65536") && said.contains("of 302 clients like these, about 30"), "{said}");
        assert_eq!(stub.current(), registry);
    }
    let files = Files::new();
    fs::write(files.path("clients.json"), registry.to_string()).unwrap();
    files.done("client add one-more --public --file clients.json");
}

#[test]
fn an_unknown_setting_is_warned_of_at_start_with_the_nearest_one() {
    let server = Server::start_with(
        &["--data", ":memory:"],
        &[
            ("LATCHKEY_ACCES_TOKEN_SECONDS", "60"),
            ("LATCHKEY_FAVOURITE_COLOUR", "red"),
            ("LATCHKEY_GRACE_SECONDS", "5"),
        ],
    );
    let warnings: Vec<&str> = server.welcome.lines().filter(|line| line.contains("unknown setting")).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    let nearest = "unknown setting LATCHKEY_ACCES_TOKEN_SECONDS; did you mean LATCHKEY_ACCESS_TOKEN_SECONDS?";
    assert!(warnings.iter().any(|line| line.contains(nearest) && line.contains(r#""level":"WARN""#)), "{warnings:?}");
    assert!(warnings.iter().any(|line| line.contains("LATCHKEY_FAVOURITE_COLOUR\"")), "{warnings:?}");
}

/// What a rotation reads of LibreChat's secret, if Secrets Manager answers so.
async fn librechat_secret(status: &'static str, answer: Value) -> Result<Option<LibreChatSecret>, String> {
    let service = AwsService::start(move |operation, input| {
        assert_eq!((operation, input["SecretId"].as_str()), ("GetSecretValue", Some("librechat/jwt-secret")));
        (status, answer.clone())
    });
    let sdk = latchkey_token_aws::sdk::loader()
        .region(aws_config::Region::new("local"))
        .credentials_provider(aws_sdk_secretsmanager::config::Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(service.url())
        .load()
        .await;
    let secrets = RingSecrets {
        signing_keys: "signing-keys".into(),
        verification_keys: "verification-keys".into(),
        ticket_keys: "ticket-keys".into(),
        public_keys: "public-keys".into(),
        librechat_secret: Some("librechat/jwt-secret".into()),
    };
    SecretsManagerRing::new(&sdk, secrets).librechat_secret().await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_secret_that_may_not_be_read_is_named_and_one_that_cannot_be_had_now_is_tried_again() {
    let bad = "400 Bad Request";
    let denied = json!({"__type": "AccessDeniedException", "Message": "Access to KMS is not allowed"});
    for (answer, named) in [
        (denied, "Access to KMS is not allowed (is it under a KMS key"),
        (json!({"__type": "DecryptionFailure"}), "JwtSecretKmsKeyArn"),
        (json!({"__type": "ResourceNotFoundException"}), "does not exist"),
        (json!({"__type": "InvalidRequestException", "Message": "scheduled for deletion"}), "scheduled for deletion"),
    ] {
        match librechat_secret(bad, answer).await {
            Ok(Some(LibreChatSecret::Unreadable(why))) => {
                assert!(why.contains(named) && why.starts_with("librechat/jwt-secret: "), "{why}");
            }
            _ => panic!("{named}"),
        }
    }
    let bytes = librechat_secret("200 OK", json!({"SecretBinary": "AAAA"})).await;
    assert!(matches!(bytes, Ok(Some(LibreChatSecret::Unreadable(why))) if why.contains("no text")));
    let text = librechat_secret("200 OK", json!({"SecretString": SECRET})).await;
    assert!(matches!(text, Ok(Some(LibreChatSecret::Text(text))) if text == SECRET));
    for code in ["ThrottlingException", "InternalServiceError"] {
        assert!(librechat_secret(bad, json!({"__type": code})).await.is_err_and(|said| said.contains(code)));
    }
}
