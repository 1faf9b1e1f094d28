//! Issue, renewal and revocation on any store, at a moment that does not pass.

use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use latchkey_token::{
    audit::{Event, EventKind},
    documents::Documents,
    failure::{Failure, Refusal},
    grants::{ClientIdentification, RenewRequest},
    management::CallerIdentification,
    ports::{Audit, InsertSession, ReadSession, RedeemAssertion, RenewSession, RevokeSession},
};
use latchkey_token_testkit::{FixedDocuments, World, fixture::NOW, statement};

pub trait SessionStore: InsertSession + RedeemAssertion + RenewSession + ReadSession + RevokeSession + 'static {}

impl<S: InsertSession + RedeemAssertion + RenewSession + ReadSession + RevokeSession + 'static> SessionStore for S {}

/// Counts the sessions that a request says it has ended on purpose.
#[derive(Default)]
struct Ended(AtomicUsize);

impl Audit for Ended {
    fn record(&self, event: &Event) {
        self.0.fetch_add(usize::from(event.kind == EventKind::SessionRevoked), Ordering::Relaxed);
    }
}

pub struct Requests<S>(World<S, FixedDocuments>);

const SECRET: &str = "the portal's secret in this test";

impl<S: SessionStore> Requests<S> {
    pub fn on(store: S) -> Self {
        static DOCUMENTS: OnceLock<FixedDocuments> = OnceLock::new();
        let documents = DOCUMENTS.get_or_init(documents).clone();
        Self(World::new(store, documents, "https://latchkey.example", NOW))
    }

    /// The first refresh token of a new session.
    pub async fn issue(&self, client: &str) -> String {
        let request = statement("portal", SECRET, client, "alice");
        match self.0.issue(&Ended::default()).run(request).await {
            Ok(tokens) => tokens.refresh_token,
            Err(failure) => panic!("{failure:?}"),
        }
    }

    /// The successor, or none if the token is refused.
    pub async fn renew(&self, client: &str, refresh_token: &str) -> Option<String> {
        let request = RenewRequest {
            client: ClientIdentification::Named(vec![client.into()]),
            refresh_token: refresh_token.into(),
            access_token: None,
            scope: None,
            resource: Vec::new(),
        };
        match self.0.renew(&Ended::default()).run(request).await {
            Ok(tokens) => Some(tokens.refresh_token),
            Err(Failure::Refused(Refusal::InvalidGrant)) => None,
            Err(failure) => panic!("{failure:?}"),
        }
    }

    /// Whether it was this request that ended the session.
    pub async fn revoke(&self, client: &str, refresh_token: &str) -> bool {
        let ended = Ended::default();
        self.0.revoke(&ended).run(&CallerIdentification::Named(vec![client.into()]), refresh_token).await.unwrap();
        ended.0.load(Ordering::Relaxed) > 0
    }
}

fn documents() -> FixedDocuments {
    let hash: String = digest(&SHA256, SECRET.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    // HS256 is the fastest there is, and signing is not the subject here.
    let keys = r#"{"signing":[{"kid":"hs","alg":"HS256","secret":"a test secret of at least 32 bytes"}],
        "tagging":[{"kid":1,"secret":"CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk"}]}"#;
    let client = |id: &str, more: &str| {
        format!(
            r#"{{"client_id":"{id}","type":"public","audience":["{id}"],"alg":"HS256","kid":"hs",
                "renewal":{{"requires":"refresh_token"{more}}}}}"#
        )
    };
    let clients = format!(
        r#"{{"issuers":[{{"issuer_id":"portal","secret_sha256":["{hash}"],"clients":["spa","strict"]}}],
            "clients":[{},{}]}}"#,
        client("spa", ""),
        client("strict", r#","retry_seconds":0"#)
    );
    FixedDocuments::new(Documents::parse(keys, &clients).unwrap())
}

/// As the layout of the token has it.
pub fn generation_of(refresh_token: &str) -> u32 {
    let bytes = URL_SAFE_NO_PAD.decode(&refresh_token[4..]).unwrap();
    u32::from_be_bytes(bytes[33..37].try_into().unwrap())
}
