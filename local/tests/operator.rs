//! The operator's commands as processes: what they write, what they refuse, and that secrets are printed once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::{fs, path::Path};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use latchkey_token::ports::{Promotion, RingVersions};
use latchkey_token_aws::{RingSecrets, SecretsManagerRing};
use serde_json::{Value, json};
use support::{
    basic,
    files::{Files, words},
    latchkey, output, run,
    secrets_manager::{CURRENT, Fate, Secret, SecretsManager},
};

fn header_of(tokens: &Value) -> Value {
    let token = tokens["access_token"].as_str().unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap()).unwrap()
}

#[test]
fn registrations_made_by_command_serve_and_their_secrets_rotate() {
    let files = Files::new();
    files.done("keys generate --alg RS256 --file keys.json");
    let issuer = files.secret("issuer add portal --file clients.json");
    let first = files.secret(
        "client add librechat --file clients.json --issuer portal --scope openid profile --claim email name \
         --access-token-seconds 3600 --grace-seconds 60",
    );
    let server = files.serve();
    let renews = |secret: &str| {
        let (status, tokens) = server.post("/token", &basic("portal", &issuer), "subject=alice");
        assert_eq!((status, tokens["expires_in"].as_i64()), (200, Some(3600)), "{tokens}");
        let body = format!(
            "refresh_token={}&access_token={}",
            tokens["refresh_token"].as_str().unwrap(),
            tokens["access_token"].as_str().unwrap()
        );
        server.post("/token/renew", &basic("librechat", secret), &body).0
    };
    assert_eq!(renews(&first), 200);

    let second = files.secret("client rotate-secret librechat --file clients.json");
    assert_eq!((renews(&first), renews(&second)), (200, 200), "side by side");
    assert_eq!(files.done("client rotate-secret librechat --file clients.json --finish"), "");
    assert_eq!((renews(&first), renews(&second)), (401, 200), "the newest alone");
    let before = files.read("clients.json");
    assert_eq!(files.done("client rotate-secret librechat --file clients.json --finish"), "");
    assert_eq!(files.read("clients.json"), before, "nothing more to finish");

    let (_, _, said) = files.latchkey("client disable librechat --file clients.json");
    assert!(said.contains("401 invalid_client") && said.contains("sessions are not ended"), "{said}");
    assert_eq!(files.json("clients.json")["issuers"][0]["clients"], json!([]));
    assert_eq!(server.post("/token/renew", &basic("librechat", &second), "refresh_token=x").0, 401);
    let (printed, _) = server.interrupt();
    for secret in [issuer, first, second] {
        assert!(!printed.contains(&secret) && !files.read("clients.json").contains(&secret));
    }
}

#[test]
fn librechats_own_secret_signs_for_the_client_that_names_it() {
    let files = Files::new();
    let secret = "librechat's own secret, of a test";
    let import = "keys import-hs256 --kid librechat-hs --file keys.json";
    let (code, _, said) = files.latchkey_fed(import, &format!("{secret}\n"));
    assert_eq!(code, 0, "{said}");
    assert_eq!(files.json("keys.json")["signing"][0]["secret"], secret, "verbatim, without the newline");
    let issuer = files.secret("issuer add portal --file clients.json");
    let said = files.refused(
        "client add own --file clients.json --issuer portal --profile librechat --kid other --keys keys.json",
        "clients.json",
    );
    assert!(said.contains(r#""own" names the key "other""#), "{said}");
    files.secret(
        "client add own --file clients.json --issuer portal --profile librechat --kid librechat-hs --keys keys.json",
    );
    let body = "subject=alice&claims=%7B%22id%22%3A%2265a1b2c3d4e5f60718293a4b%22%7D";
    let (status, tokens) = files.serve().post("/token", &basic("portal", &issuer), body);
    assert_eq!(status, 200, "{tokens}");
    assert_eq!(header_of(&tokens)["kid"], "librechat-hs");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the command reads the real clock as well")]
fn an_issuer_registered_by_command_issues_with_the_tokens_that_it_signs_today() {
    const SECRET: &str = "test-hs256-secret-of-an-old-portal-0123456789";
    let files = Files::new();
    fs::write(files.path("secret.txt"), format!("{SECRET}\n")).unwrap();
    files.done("keys generate --alg RS256 --file keys.json");
    assert_eq!(
        files.done(
            "issuer add old-portal --file clients.json --hs256-secret-file secret.txt --assertion-iss old-portal \
             --subject-claim user_id --legacy-max-age-seconds 7776000"
        ),
        "",
        "there is no secret to show"
    );
    files.done("client add librechat --file clients.json --public --issuer old-portal");
    let listed = files.done("issuer list --file clients.json --json");
    assert!(listed.contains("old-portal") && !listed.contains(SECRET), "{listed}");

    let part = |text: String| URL_SAFE_NO_PAD.encode(text);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({"iss": "old-portal", "user_id": 4711, "iat": now - 5_000_000});
    let input = format!("{}.{}", part(json!({"alg": "HS256", "typ": "JWT"}).to_string()), part(claims.to_string()));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, input.as_bytes()));
    let body = format!("grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion={input}.{signature}");
    let server = files.serve();
    let (status, tokens) = server.post("/token", "", &body);
    assert_eq!((status, tokens["expires_in"].as_i64()), (200, Some(86_400)), "{tokens}");
    let (printed, _) = server.interrupt();
    assert!(!printed.contains(SECRET));

    let said =
        files.refused("issuer add second --file clients.json --jwks clients.json --assertion-iss x", "clients.json");
    assert!(said.contains("jwks: must be a JWK set") && said.contains("assertion_aud: is missing"), "{said}");
}

#[test]
fn a_key_set_is_registered_as_it_is_used_and_what_is_left_out_is_said() {
    let files = Files::new();
    let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let modulus = aws_lc_rs::signature::KeyPair::public_key(&pair).modulus().big_endian_without_leading_zero().to_vec();
    let encode = |octets: &[u8]| URL_SAFE_NO_PAD.encode(octets);
    let rsa = |kid: &str| json!({"kty": "RSA", "kid": kid, "n": encode(&[&[0], &*modulus].concat()), "e": "AQAB"});
    let (mut encryption, weak) = (rsa("for-encryption"), json!({"kty": "RSA", "kid": "weak", "n": "AQAB", "e": "AQ"}));
    encryption["use"] = "enc".into();
    fs::write(files.path("jwks.json"), json!({"keys": [encryption, rsa("signing")]}).to_string()).unwrap();
    let assertions = "--file clients.json --jwks jwks.json --assertion-iss";
    for (id, flag, alg) in [("one", "", "RS256"), ("two", "--alg PS256", "PS256")] {
        let (code, _, said) = files.latchkey(&format!("issuer add {id} {assertions} {id} --assertion-aud a {flag}"));
        assert_eq!(code, 0, "{said}");
        assert!(said.contains(r#"keys[0] ("for-encryption") is passed over"#), "{said}");
        assert!(said.contains(&format!(r#"keys[1] ("signing") has no alg: {alg} is assumed"#)), "{said}");
        let registered = files.json("clients.json")["issuers"].as_array().unwrap().last().unwrap()["jwks"].clone();
        assert_eq!(
            registered,
            json!({"keys": [{"kty": "RSA", "kid": "signing", "n": encode(&modulus), "e": "AQAB", "alg": alg, "use": "sig"}]})
        );
    }
    files.done("client add agents --file clients.json --jwks jwks.json --jwks-alg PS256 --issuer one");
    assert_eq!(files.json("clients.json")["clients"][0]["jwks"]["keys"][0]["alg"], "PS256");
    fs::write(files.path("jwks.json"), json!({"keys": [rsa("signing"), weak]}).to_string()).unwrap();
    let said = files.refused(&format!("issuer add three {assertions} three --assertion-aud a"), "clients.json");
    assert!(said.contains(r#"jwks: keys[1] ("weak") has an e"#), "{said}");
    assert_eq!(files.latchkey(&format!("issuer add four {assertions} four --assertion-aud a --alg ES256")).0, 2);
}

#[test]
fn a_secret_that_is_bytes_is_registered_for_some_of_the_issuers_clients_and_not_shown() {
    let files = Files::new();
    let secret = base64::engine::general_purpose::STANDARD.encode([0xfb; 64]);
    fs::write(files.path("secret.b64"), format!("{secret}\r\n")).unwrap();
    for client in ["a", "b"] {
        files.done(&format!("client add {client} --file clients.json --public"));
    }
    let add = "issuer add office --file clients.json --assertion-iss office --assertion-aud a --client a b";
    files.done(&format!("{add} --hs512-secret-file secret.b64 --secret-base64 --assertion-client a"));
    let issuer = &files.json("clients.json")["issuers"][0];
    assert_eq!((&issuer["hs512_secret_base64"], &issuer["assertion_clients"]), (&json!(secret), &json!(["a"])));
    for line in ["issuer list --file clients.json", "issuer list --file clients.json --json"] {
        assert!(!files.done(line).contains(&secret));
    }
    assert!(files.done("issuer list --file clients.json --json").contains(r#""assertion_clients":["a"]"#));
    files.done("client disable a --file clients.json");
    assert_eq!(files.json("clients.json")["issuers"][0]["assertion_clients"], json!([]));
    let twice = add.replace("office", "second") + " --hs384-secret-file secret.b64 --hs256-secret-file secret.b64";
    assert_eq!(files.latchkey(&twice).0, 2, "one of them");
    let short = add.replace("office", "second").replace("a b", "b") + " --hs512-secret-file short.txt";
    fs::write(files.path("short.txt"), "a secret of a test that is not long enough for HS512, not real").unwrap();
    assert!(files.refused(&short, "clients.json").contains("hs512_secret: is shorter than the 64 bytes"));
}

#[test]
fn a_weak_or_second_hs256_secret_is_refused_and_never_shown() {
    let files = Files::new();
    let import = "keys import-hs256 --kid hs --file keys.json";
    let weak = "0th weak secret of just 31 byte";
    let (code, out, said) = files.latchkey_fed(import, &format!("{weak}\n"));
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(said.contains("shorter than the 32 bytes") && !said.contains(weak), "{said}");
    assert!(!Path::new(&files.path("keys.json")).exists());
    let strong = "a test secret of at least 32 bytes";
    assert_eq!(files.latchkey_fed(import, strong).0, 0);
    let before = files.read("keys.json");
    let (code, _, said) = files.latchkey_fed(import, "a second secret of at least 32 bytes");
    assert!(code == 1 && said.contains(r#"kid "hs" stands twice"#), "{said}");
    assert_eq!(files.read("keys.json"), before);
    for line in ["keys show --file keys.json", "keys show --file keys.json --json"] {
        let shown = files.done(line);
        assert!(shown.contains("HS256") && !shown.contains(strong), "{shown}");
    }
}

#[test]
fn the_first_key_signs_at_once_and_the_second_later() {
    let files = Files::new();
    let first = files.done("keys generate --alg ES256 --file keys.json");
    let second = files.done("keys generate --alg ES256 --file keys.json --publish-seconds 600");
    let ring = files.json("keys.json");
    assert_eq!(ring["tagging"].as_array().unwrap().len(), 1);
    let audit_secret = ring["audit"]["secret"].as_str().expect("made once, and kept by the second command");
    let times = |index: usize, name: &str| ring["signing"][index][name].as_i64().unwrap();
    assert_eq!(times(0, "publish_at"), times(0, "sign_from"));
    assert_eq!(times(1, "publish_at") + 600, times(1, "sign_from"));

    let shown: Value = serde_json::from_str(&files.done("keys show --file keys.json --json")).unwrap();
    let used = |index: usize| (shown["signing"][index]["kid"].as_str(), shown["signing"][index]["now"].as_str());
    assert_eq!(used(0), (Some(first.trim()), Some("signs")));
    assert_eq!(used(1), (Some(second.trim()), Some("published")));
    assert_eq!(shown["tagging"][0]["now"], "tags");
    assert_eq!(shown["audit"], true);
    assert_eq!(shown["signing"][0]["publish_at"].as_str().unwrap().len(), "2026-01-31T09:30:00Z".len());
    let table = files.done("keys show --file keys.json");
    assert!(table.contains(first.trim()) && table.contains("never"), "{table}");
    for material in ["private_key", "PRIVATE", ring["tagging"][0]["secret"].as_str().unwrap(), audit_secret] {
        assert!(!table.contains(material) && !shown.to_string().contains(material), "{material}");
    }
    assert_eq!(files.latchkey("keys generate --alg HS256 --file keys.json").0, 2);
}

#[test]
fn every_bad_value_is_named_and_nothing_is_written() {
    let files = Files::new();
    let bad = "client add x --file clients.json --public --profile other --alg none --audience= --scope \" \
               --claim sub --access-token-seconds 0 --requires nothing --grace-seconds -1 --window-seconds 604801 \
               --retry-seconds 301 --issuer nobody";
    let said = files.refused(bad, "clients.json");
    for part in [
        r#"no issuer "nobody""#,
        "profile: must be",
        "alg: is not one of",
        "audience: must name",
        "scopes: holds",
        r#"claims: "sub" is reserved"#,
        "access_token_seconds: must be",
        "renewal.requires: must be",
        "renewal.grace_seconds: must be",
        "renewal.window_seconds: must be",
        "renewal.retry_seconds: must be",
        "clients.json is left as it was",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let registered = "issuer add portal --file clients.json";
    files.secret(registered);
    assert!(files.refused(registered, "clients.json").contains("rotate-secret"), "says what to do");
    assert!(files.refused("issuer add other --file clients.json --client x", "clients.json").contains(r#"client "x""#));
    assert!(files.refused("client disable x --file clients.json", "clients.json").contains("client list"));
    assert!(files.refused("issuer rotate-secret x --file clients.json", "clients.json").contains("issuer list"));
    files.done("client add spa --public --file clients.json --issuer portal");
    let said = files.refused("client rotate-secret spa --file clients.json", "clients.json");
    assert!(said.contains("a public client has no secret"), "{said}");
    let said = files.refused("keys generate --alg RS256 --file clients.json", "clients.json");
    assert!(said.contains("issuers: is not a known member"), "{said}");
    fs::write(files.path("broken.json"), "[").unwrap();
    assert!(files.refused("client list --file broken.json", "broken.json").contains("not a JSON object"));
    assert!(files.refused("issuer add a --file missing/clients.json", "missing/clients.json").contains("directory"));
}

#[test]
fn every_command_that_prints_prints_json() {
    let files = Files::new();
    let json = |line: &str| -> Value {
        let out = files.done(&format!("{line} --json"));
        serde_json::from_str(&out).unwrap_or_else(|_| panic!("{line}: {out}"))
    };
    let key = json("keys generate --alg ES256 --file keys.json");
    assert_eq!(key["kid"], files.json("keys.json")["signing"][0]["kid"]);
    assert_eq!(key["sign_from"].as_str().unwrap().len(), "2026-01-31T09:30:00Z".len());
    let (_, out, _) =
        files.latchkey_fed("keys import-hs256 --kid hs --file keys.json --json", "a test secret of at least 32 bytes");
    assert_eq!(out, "{\"kid\":\"hs\"}\n");
    files.secret("issuer add portal --file clients.json");
    files.secret("client add app --file clients.json --issuer portal");
    let rotated = json("client rotate-secret app --file clients.json");
    assert_eq!((&rotated["client_id"], rotated["client_secret"].as_str().unwrap().len()), (&json!("app"), 64));
    let finish = "client rotate-secret app --file clients.json --finish";
    assert_eq!(json(finish), json!({"client_id": "app", "dropped": 1}));
    assert_eq!(json(finish), json!({"client_id": "app", "dropped": 0}));
    assert_eq!(json("client disable app --file clients.json"), json!({"client_id": "app"}));
    assert_eq!(json("issuer disable portal --file clients.json"), json!({"issuer_id": "portal"}));
}

#[test]
fn lists_show_registrations_and_no_hash_and_members_are_kept() {
    let files = Files::new();
    // Members that no command sets stay; this one is the parser's to know and nobody's to lose.
    let issuer = json!({"issuer_id": "old", "secret_sha256": ["0".repeat(64)], "clients": []});
    fs::write(files.path("clients.json"), json!({"issuers": [issuer], "clients": []}).to_string()).unwrap();
    let created: Value =
        serde_json::from_str(&files.done("issuer add portal --file clients.json --json")).expect("one JSON object");
    assert_eq!((created["issuer_id"].as_str(), created["issuer_secret"].as_str().unwrap().len()), (Some("portal"), 64));
    let (_, out, said) =
        files.latchkey("client add app --file clients.json --alg EdDSA --kid k --requires refresh_token");
    assert!(said.contains("no issuer may issue for it yet") && said.contains(r#"key "k" was not checked"#), "{said}");
    let created = files.done("client add spa --public --file clients.json --issuer portal old --scope openid --json");
    assert_eq!(created, "{\"client_id\":\"spa\"}\n");
    assert_eq!(files.json("clients.json")["issuers"][0]["secret_sha256"], issuer["secret_sha256"]);

    let table = files.done("client list --file clients.json");
    let rows: Vec<Vec<&str>> = table.lines().map(words).collect();
    assert_eq!(
        rows[1],
        ["app", "confidential", "standard", "EdDSA", "k", "app", "refresh_token", "1", "-", "required"]
    );
    assert_eq!(rows[2][..6], ["spa", "public", "standard", "RS256", "-", "spa"]);
    assert_eq!(rows[2][rows[2].len() - 4..], ["old", "portal", "-", "required"]);
    let shown = files.done("client list --file clients.json --json");
    let listed: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(listed["clients"][1]["issuers"], json!(["old", "portal"]));
    assert_eq!((&listed["clients"][0]["secrets"], &listed["clients"][1]["secrets"]), (&json!(1), &json!(0)));
    let issuers = files.done("issuer list --file clients.json") + &files.done("issuer list --file clients.json --json");
    let hash = files.json("clients.json")["clients"][0]["secret_sha256"][0].as_str().unwrap().to_owned();
    for text in [table, shown, issuers] {
        assert!(!text.contains(&hash) && !text.contains(&"0".repeat(64)) && !text.contains(out.trim()), "{text}");
    }
    let (code, shown, said) = files.latchkey("client list --file nowhere.json");
    assert!(code == 1 && shown.is_empty() && said.contains("does not exist"), "{shown}{said}");
}

#[cfg(unix)]
#[test]
fn what_is_written_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let files = Files::new();
    files.done("keys generate --alg EdDSA --file keys.json");
    files.secret("issuer add portal --file clients.json");
    for name in ["keys.json", "clients.json"] {
        assert_eq!(fs::metadata(files.path(name)).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn help_teaches_and_wrong_usage_is_told_apart() {
    for line in [
        "client add",
        "client list",
        "client disable",
        "client rotate-secret",
        "client sign-in",
        "client exchange",
        "issuer add",
        "issuer list",
        "issuer disable",
        "issuer rotate-secret",
        "issuer sign-in",
        "keys show",
        "keys generate",
        "keys import-hs256",
        "keys publish",
    ] {
        let (_, shown, _) = output(&words(&format!("{line} --help")));
        assert!(shown.contains("Example") && shown.contains(&format!("latchkey {line} ")), "{shown}");
        assert!(shown.contains("--file") && shown.contains("--secret-id"), "{shown}");
    }
    for line in [
        "client list",
        "client list --file a --secret-id b",
        "client add --file a",
        "client add x --file a --public --confidential",
        "client sign-in x --file a",
        "client exchange x --file a",
        "client exchange x y --file a --scope b --remove",
        "client sign-in x --file a --sign-in-issuer b --no-sign-in-issuer",
        "issuer sign-in x --file a",
        "issuer sign-in x --file a --sign-out-url https://a.example/ --no-sign-out-url",
        "keys import-hs256 --file a",
        "keys generate --file a",
    ] {
        assert_eq!(output(&words(line)).0.status.code(), Some(2), "{line}");
    }
}

#[test]
fn registrations_are_edited_in_secrets_manager() {
    let stub = SecretsManager::start();
    let (code, shown, said) = stub.latchkey("client list --secret-id latchkey/one", "");
    assert!(code == 1 && shown.is_empty() && said.contains("no value yet"), "{said}");
    let secret = stub.done("issuer add portal --secret-id latchkey/one");
    stub.done("client add librechat --secret-id latchkey/one --issuer portal");
    assert_eq!(stub.current()["issuers"][0]["clients"], json!(["librechat"]));
    stub.done("client rotate-secret librechat --secret-id latchkey/one");
    assert_eq!(stub.current()["clients"][0]["secret_sha256"].as_array().unwrap().len(), 2);
    let finish = "client rotate-secret librechat --secret-id latchkey/one --finish";
    stub.done(finish);
    assert_eq!(stub.done(finish), "");
    assert!(stub.done("client list --secret-id latchkey/one").contains("librechat"));
    stub.done("client disable librechat --secret-id latchkey/one");
    assert_eq!(stub.current()["clients"], json!([]));

    let puts = stub.secret().puts.clone();
    assert_eq!(puts.len(), 5, "one a change");
    for put in &puts {
        assert_eq!(put["VersionStages"], json!(["latchkey-edit"]), "what is in force changes by a move alone");
        assert!(!put["SecretString"].as_str().unwrap().contains(secret.trim()));
    }
    assert_eq!(stub.latchkey("client add x --secret-id latchkey/one --requires nothing", "").0, 1);
    let (code, out, said) = stub.latchkey("issuer add other --secret-id latchkey/mistyped", "");
    assert_eq!((code, out.as_str()), (1, ""), "no secret is shown that is not in force");
    assert!(said.contains("create-secret"), "{said}");
    assert_eq!(stub.secret().puts.len(), puts.len());

    let mut nowhere = latchkey();
    nowhere.args(words("client list --secret-id latchkey/one")).env("AWS_EC2_METADATA_DISABLED", "true");
    let (done, _, said) = run(&mut nowhere, "");
    assert!(done.status.code() == Some(1) && said.contains("AWS_REGION"), "{said}");
}

#[test]
fn keys_are_added_in_secrets_manager() {
    let stub = SecretsManager::start();
    let places = format!("--secret-id latchkey/one {}", SecretsManager::DERIVED);
    let first = stub.done(&format!("keys generate --alg ES256 {places}"));
    let weak = stub.latchkey(&format!("keys import-hs256 --kid hs {places}"), "short");
    assert_eq!(weak.0, 1, "{}", weak.2);
    assert_eq!(
        stub.latchkey(&format!("keys import-hs256 --kid hs {places}"), "a test secret of at least 32 bytes").0,
        0
    );
    assert_eq!(stub.current()["signing"][0]["kid"], first.trim());
    let shown: Value =
        serde_json::from_str(&stub.done("keys show --secret-id latchkey/one --json")).expect("one JSON object");
    let now: Vec<&Value> = shown["signing"].as_array().unwrap().iter().map(|key| &key["now"]).collect();
    assert_eq!(now, ["signs", "signs"]);
}

const ROTATE_SECRET: &str = "client rotate-secret librechat --secret-id latchkey/one";

/// Registrations with members that no command sets.
fn registrations() -> Value {
    json!({
        "issuers": [
            {"issuer_id": "portal", "secret_sha256": ["0".repeat(64)], "clients": ["librechat"]},
            {"issuer_id": "office", "secret_sha256": ["1".repeat(64)], "clients": []},
        ],
        "clients": [{
            "client_id": "librechat", "type": "confidential", "secret_sha256": ["2".repeat(64)], "audience": ["a", "b"],
            "scopes": ["openid"], "claims": ["email"], "access_token_seconds": 777, "kid": null,
            "renewal": {"requires": "refresh_token", "grace_seconds": 7, "window_seconds": 0, "retry_seconds": 9},
        }],
    })
}

/// Somebody else adds an issuer.
fn add_issuer(document: &mut Value, id: &str) {
    let issuer = json!({"issuer_id": id, "secret_sha256": ["3".repeat(64)], "clients": []});
    document["issuers"].as_array_mut().unwrap().push(issuer);
}

/// As the document keeps it.
fn hash_of(printed: &str) -> Value {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, printed.trim().as_bytes());
    json!(digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// `before` with the secret that was printed, which was added to it once.
fn with_new_secret(mut before: Value, printed: &str) -> Value {
    before["clients"][0]["secret_sha256"].as_array_mut().unwrap().push(hash_of(printed));
    before
}

#[test]
fn of_two_changes_made_at_once_both_are_there() {
    let stub = SecretsManager::holding(&registrations());
    let mut before = registrations();
    for round in 0..20 {
        let id = format!("passing-{round}");
        stub.secret().change(|document| add_issuer(document, &id));
        let lines = [&format!("issuer disable {id} --secret-id latchkey/one"), ROTATE_SECRET];
        let [disabled, rotated] = lines.map(|line| {
            let mut command = stub.command(line);
            std::thread::spawn(move || run(&mut command, ""))
        });
        let (disabled, rotated) = (disabled.join().unwrap(), rotated.join().unwrap());
        for (done, _, said) in [&disabled, &rotated] {
            assert!(done.status.success(), "{said}");
        }
        add_issuer(&mut before, &id);
        before["issuers"].as_array_mut().unwrap().last_mut().unwrap()["disabled"] = true.into();
        before = with_new_secret(before, &rotated.1);
        assert_eq!(stub.current(), before, "round {round}");
    }
}

#[test]
fn what_somebody_else_changes_between_read_and_move_is_kept_with_all_its_members() {
    let stub = SecretsManager::holding(&registrations());
    stub.meddle_with_moves(|count, secret| {
        if count < 5 {
            secret.change(|document| add_issuer(document, &format!("other-{count}")));
            // The version that the command has put has lost its label, and may be gone any time.
            secret.remove_what_has_no_label();
        }
        Fate::Answered
    });
    let printed = stub.done(ROTATE_SECRET);
    let mut expected = registrations();
    for count in 1..5 {
        add_issuer(&mut expected, &format!("other-{count}"));
    }
    assert_eq!(stub.current(), with_new_secret(expected, &printed));
    let secret = stub.secret();
    assert_eq!((secret.puts.len(), secret.moves), (5, 1));
    for put in &secret.puts {
        let document: Value = serde_json::from_str(put["SecretString"].as_str().unwrap()).unwrap();
        assert_eq!(document["clients"][0]["secret_sha256"][1], hash_of(&printed), "drawn once");
    }
}

#[test]
fn a_change_that_comes_too_late_five_times_is_not_made_and_the_command_says_so() {
    let stub = SecretsManager::holding(&registrations());
    stub.meddle_with_moves(|count, secret| {
        secret.change(|document| add_issuer(document, &format!("other-{count}")));
        Fate::Answered
    });
    let (code, out, said) = stub.latchkey(ROTATE_SECRET, "");
    assert_eq!((code, out.as_str()), (1, ""), "no secret is shown that is not in force");
    assert!(said.contains("as they have written it, without this change: run the command again"), "{said}");
    let mut expected = registrations();
    for count in 1..=5 {
        add_issuer(&mut expected, &format!("other-{count}"));
    }
    assert_eq!(stub.current(), expected, "the others' changes are there");
    assert_eq!(stub.secret().puts.len(), 5);
}

#[test]
fn what_somebody_else_has_done_already_is_judged_anew() {
    let stub = SecretsManager::holding(&registrations());
    stub.meddle_with_moves(|count, secret| {
        if count == 1 {
            secret.change(|document| drop(document["issuers"].as_array_mut().unwrap().remove(1)));
        }
        Fate::Answered
    });
    let (code, _, said) = stub.latchkey("issuer disable office --secret-id latchkey/one", "");
    assert!(code == 1 && said.contains(r#"no issuer "office" is registered"#), "{said}");
}

#[test]
fn a_move_whose_answer_is_lost_is_made() {
    for built_upon in [false, true] {
        let stub = SecretsManager::holding(&registrations());
        let mut is_left_alone = !built_upon;
        stub.meddle(move |operation, secret| {
            if operation == "UpdateSecretVersionStage" {
                return Fate::AnswerLost;
            }
            if secret.moves == 1 && !std::mem::replace(&mut is_left_alone, true) {
                secret.change(|document| add_issuer(document, "other"));
            }
            Fate::Answered
        });
        let printed = stub.done(ROTATE_SECRET);
        let mut expected = registrations();
        if built_upon {
            add_issuer(&mut expected, "other");
        }
        assert_eq!(stub.current(), with_new_secret(expected, &printed));
        let secret = stub.secret();
        assert_eq!((secret.puts.len(), secret.moves), (1, 1), "it is not made twice");
    }
}

#[test]
fn a_move_that_never_arrives_is_sent_again() {
    let stub = SecretsManager::holding(&registrations());
    stub.meddle_with_moves(|count, _| match count {
        1 => Fate::RequestLost,
        2 => Fate::Refused("ThrottlingException"),
        _ => Fate::Answered,
    });
    let printed = stub.done(ROTATE_SECRET);
    assert_eq!(stub.current(), with_new_secret(registrations(), &printed));
    assert_eq!(stub.secret().puts.len(), 1, "the same version");

    stub.meddle_with_moves(|_, _| Fate::RequestLost);
    let (code, out, said) = stub.latchkey(ROTATE_SECRET, "");
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(said.contains("is not certain: look at it"), "{said}");
}

#[test]
fn a_version_whose_answer_is_lost_is_put_once() {
    for stub in [SecretsManager::start(), SecretsManager::holding(&registrations())] {
        let mut is_first = true;
        stub.meddle(move |operation, _| {
            let is_lost = operation == "PutSecretValue" && std::mem::take(&mut is_first);
            if is_lost { Fate::AnswerLost } else { Fate::Answered }
        });
        stub.done("issuer add new --secret-id latchkey/one");
        assert!(stub.current()["issuers"].to_string().contains("new"));
        assert_eq!(stub.secret().puts.len(), 1);
    }
}

/// One move by somebody else tells that ours was not made; after two, nobody can tell.
#[test]
fn a_lost_move_that_others_have_overtaken_is_made_again_only_if_it_was_not_made() {
    for others in [1, 2] {
        let stub = SecretsManager::holding(&registrations());
        stub.meddle_with_moves(move |count, secret| {
            if count > 1 {
                return Fate::Answered;
            }
            for number in 0..others {
                secret.change(|document| add_issuer(document, &format!("other-{number}")));
            }
            Fate::RequestLost
        });
        let (code, out, said) = stub.latchkey(ROTATE_SECRET, "");
        let mut expected = registrations();
        for number in 0..others {
            add_issuer(&mut expected, &format!("other-{number}"));
        }
        if others == 1 {
            assert_eq!(code, 0, "{said}");
            assert_eq!(stub.current(), with_new_secret(expected, &out));
        } else {
            assert_eq!((code, out.as_str()), (1, ""));
            assert!(said.contains("is not certain: look at it"), "{said}");
            assert_eq!(stub.current(), expected);
        }
    }
}

#[test]
fn a_move_that_is_not_allowed_is_not_tried_again() {
    let stub = SecretsManager::holding(&registrations());
    stub.meddle_with_moves(|count, _| {
        assert_eq!(count, 1);
        Fate::Refused("AccessDeniedException")
    });
    let (code, out, said) = stub.latchkey(ROTATE_SECRET, "");
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(said.contains("AccessDeniedException. Nothing was changed"), "{said}");
    assert_eq!(stub.current(), registrations());
}

/// What a rotation does in its last step, on the same Secrets Manager.
#[tokio::test]
async fn a_rotation_replaces_exactly_the_ring_that_it_compared() {
    let promoted = async |meddle: fn(&mut Secret) -> Fate| {
        let stub = SecretsManager::holding(&json!({"signing": [], "tagging": []}));
        let pending = stub.secret().put(&json!({"signing": [], "tagging": [], "new": true}), "AWSPENDING");
        let sdk = latchkey_token_aws::sdk::loader()
            .region(aws_config::Region::new("local"))
            .credentials_provider(aws_sdk_secretsmanager::config::Credentials::new("test", "test", None, None, "test"))
            .endpoint_url(stub.url())
            .load()
            .await;
        let secrets = RingSecrets {
            signing_keys: SecretsManager::SECRET_ID.into(),
            verification_keys: "verification-keys".into(),
            ticket_keys: "ticket-keys".into(),
            public_keys: "public-keys".into(),
            librechat_secret: None,
        };
        let ring = SecretsManagerRing::new(&sdk, secrets);
        let compared = ring.current().await.unwrap();
        stub.meddle_with_moves(move |count, secret| if count == 1 { meddle(secret) } else { Fate::Answered });
        let promotion = ring.make_current(&pending, &compared.version).await;
        (promotion, stub.current())
    };
    let (promotion, ring) = promoted(|_| Fate::Answered).await;
    assert_eq!((promotion.unwrap(), &ring["new"]), (Promotion::Promoted, &json!(true)));
    let (promotion, ring) = promoted(|_| Fate::AnswerLost).await;
    assert_eq!((promotion.unwrap(), &ring["new"]), (Promotion::Promoted, &json!(true)));
    let (promotion, ring) = promoted(|secret| {
        secret.change(|ring| ring["by hand"] = json!(true));
        Fate::Answered
    })
    .await;
    assert_eq!(
        (promotion.unwrap(), ring),
        (Promotion::RingChanged, json!({"signing": [], "tagging": [], "by hand": true}))
    );
    let (promotion, ring) = promoted(|_| Fate::Refused("AccessDeniedException")).await;
    assert!(promotion.unwrap_err().to_string().contains("AccessDeniedException"));
    assert_eq!(ring, json!({"signing": [], "tagging": []}));
}

#[test]
fn a_first_value_is_written_whoever_comes_first_and_beside_a_rotation() {
    let stub = SecretsManager::start();
    let mut is_first = true;
    stub.meddle(move |operation, secret| {
        if operation == "PutSecretValue" && std::mem::take(&mut is_first) {
            secret.put(&registrations(), CURRENT);
        }
        Fate::Answered
    });
    stub.done("issuer add late --secret-id latchkey/one");
    let issuers = stub.current()["issuers"].clone();
    let ids: Vec<&Value> = issuers.as_array().unwrap().iter().map(|issuer| &issuer["issuer_id"]).collect();
    assert_eq!(ids, ["portal", "office", "late"]);

    // A version that is pending is not in force; the next one is not the first, and is put in force by a move alone.
    let stub = SecretsManager::start();
    let pending = stub.secret().put(&json!({"signing": [], "tagging": []}), "AWSPENDING");
    let kid = stub.done(&format!("keys generate --alg ES256 --secret-id latchkey/one {}", SecretsManager::DERIVED));
    assert_eq!(stub.current()["signing"][0]["kid"], kid.trim());
    assert_eq!(stub.secret().labelled("AWSPENDING"), Some(pending.as_str()), "it is the rotation's");
}
