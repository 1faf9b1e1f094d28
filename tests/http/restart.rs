//! What a restart leaves.

use std::sync::Arc;

use dynoxide::Database;
use latchkey::serve::{AuditFeed, DataLocation, Options, Server};
use latchkey_token_lambda::system::SystemClock;

use crate::support::App;

#[tokio::test]
async fn sessions_live_on_after_a_restart() {
    let app = App::start().await;
    let first = app.issue().await;
    let second = app.renew(&first).await.tokens();
    let app = app.restart().await;
    assert_eq!(app.renew(&first).await.tokens().refresh(), second.refresh(), "even a lost answer can be retried");
    app.renew(&second).await.tokens();
}

fn options(directory: &std::path::Path) -> Options {
    Options {
        listen: "127.0.0.1:0".parse().unwrap(),
        data: DataLocation::Directory(directory.to_owned()),
        keys: None,
        clients: None,
        dynamodb_listen: None,
        mcp: None,
        clock: Arc::new(SystemClock),
        environment: Arc::new(|_| None),
        observer: None,
        audit_feed: AuditFeed::default(),
    }
}

#[tokio::test]
async fn the_data_directory_keeps_keys_clients_and_sessions() {
    let directory = tempfile::tempdir().unwrap();
    let first = Server::start(options(directory.path())).await.unwrap();
    let made = first.demo().unwrap();
    assert!(made.is_new && first.welcome().contains(&made.credentials.issuer_secret), "shown once");
    let secret = made.credentials.issuer_secret.clone();
    first.stop().await;
    let second = Server::start(options(directory.path())).await.unwrap();
    let kept = second.demo().unwrap();
    assert!(!kept.is_new && kept.credentials.issuer_secret == secret);
    assert!(!second.welcome().contains(&secret), "and never again");
    second.stop().await;
    let database = Database::new(directory.path().join("sessions.sqlite").to_str().unwrap()).unwrap();
    assert_eq!(database.table_count().unwrap(), 1);
    #[cfg(unix)]
    for file in ["signing-keys.json", "clients.json", "demo-credentials.json"] {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(directory.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file} is its owner's alone");
    }
}

#[tokio::test]
async fn a_bad_file_stops_the_start_and_is_named_with_each_fault() {
    let directory = tempfile::tempdir().unwrap();
    let started = async |change: &dyn Fn(&mut Options)| {
        let mut options = options(directory.path());
        change(&mut options);
        Server::start(options).await.err().unwrap().to_string()
    };
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let ring =
        file("ring.json", r#"{"signing":[{"kid":"a","alg":"X"},{"kid":"b","alg":"HS256","secret":"x"}],"tagging":[]}"#);
    let said = started(&|options| options.keys = Some(ring.clone())).await;
    assert!(said.contains("ring.json") && said.contains(r#"("a").alg"#) && said.contains(r#"("b").secret"#), "{said}");

    let registrations = file("registrations.json", r#"{"issuers":[{"issuer_id":"p"}],"clients":[{"client_id":"c"}]}"#);
    let said = started(&|options| options.clients = Some(registrations.clone())).await;
    assert!(
        said.contains("registrations.json")
            && said.contains(r#"("p").secret_sha256"#)
            && said.contains(r#"("c").type"#),
        "{said}"
    );

    let missing = directory.path().join("missing.json");
    let said = started(&|options| options.keys = Some(missing.clone())).await;
    assert!(said.contains("missing.json"), "{said}");

    let said = started(&|options| {
        options.environment = Arc::new(|name| match name {
            "LATCHKEY_GRACE_SECONDS" => Some("soon".into()),
            "LATCHKEY_RETRY_SECONDS" => Some("1000".into()),
            _ => None,
        });
    })
    .await;
    assert!(said.contains("LATCHKEY_GRACE_SECONDS") && said.contains("LATCHKEY_RETRY_SECONDS"), "{said}");

    let occupied = file("occupied", "");
    let said = started(&|options| options.data = DataLocation::Directory(occupied.clone())).await;
    assert!(said.contains("data directory") && said.contains("occupied"), "{said}");

    std::fs::write(directory.path().join("sessions.sqlite"), "not a database, but long enough to look like a file")
        .unwrap();
    let said = started(&|_| ()).await;
    assert!(said.contains("sessions.sqlite"), "{said}");

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap();
    let said = started(&|options| options.listen = taken).await;
    assert!(said.contains(&taken.to_string()), "{said}");
}
