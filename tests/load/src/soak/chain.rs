//! One session and its client.

use std::{collections::HashSet, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use latchkey_token::values::SessionKey;
use serde_json::{Value, json};

use super::server::Servers;
use crate::{
    deployment::SECRET,
    http::{HttpClient, client, post},
};

/// Between two tries of the same request.
const PAUSE: Duration = Duration::from_millis(50);
/// A request that is not answered in so many tries never will be.
const MOST_TRIES: u32 = 2_000;

pub struct Chain {
    servers: Servers,
    client: HttpClient,
    pub session: SessionKey,
    before: Option<Tokens>,
    current: Tokens,
    /// The secrets of all successors so far.
    successors: HashSet<[u8; 32]>,
    pub resent: u64,
}

struct Tokens {
    refresh_token: String,
    access_token: String,
}

impl Chain {
    pub async fn issue(number: usize, servers: Servers) -> Self {
        let client = client();
        let body = json!({
            "issuer_id": "portal", "issuer_secret": SECRET, "client_id": "soak", "subject": format!("user-{number}"),
            "scope": "profile",
        });
        let (status, answer) = post(&client, &servers.url(), "/token", &body).await.unwrap();
        assert_eq!(status, 200, "{}", answer["error"]);
        let session = SessionKey::parse(answer["session_id"].as_str().unwrap()).unwrap();
        let current = Tokens::of(&answer);
        assert_eq!(current.generation_and_secret().0, 0);
        Self { servers, client, session, before: None, current, successors: HashSet::new(), resent: 0 }
    }

    /// How many successors the client has seen, no two of them the same.
    pub fn renewals(&self) -> u64 {
        self.successors.len() as u64
    }

    /// Renews, whatever happens to the server meanwhile. The successor is new and one generation on.
    pub async fn renew(&mut self) {
        let request = self.current.request();
        let successor = self.until_answered(&request).await;
        let (generation, secret) = successor.generation_and_secret();
        assert_eq!(u64::from(generation), self.renewals() + 1, "not the next generation");
        assert!(self.successors.insert(secret), "a successor seen before");
        self.before = Some(std::mem::replace(&mut self.current, successor));
    }

    /// The tokens before the last still give the last.
    pub async fn retry_the_one_before(&mut self) {
        let Some(before) = &self.before else { return };
        let request = before.request();
        let again = self.until_answered(&request).await;
        assert!(again.refresh_token == self.current.refresh_token, "a retry gave another successor");
    }

    /// Sends the same request until there is an answer, as clients do after a lost one.
    async fn until_answered(&mut self, request: &Value) -> Tokens {
        for _ in 0..MOST_TRIES {
            match post(&self.client, &self.servers.url(), "/token/renew", request).await {
                Ok((200, answer)) => return Tokens::of(&answer),
                Ok((503, _)) | Err(_) => {
                    self.resent += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                Ok((status, answer)) => panic!("{status} in generation {}: {}", self.renewals(), answer["error"]),
            }
        }
        panic!("no answer in {MOST_TRIES} tries");
    }
}

impl Tokens {
    fn of(answer: &Value) -> Self {
        let text = |name: &str| answer[name].as_str().unwrap().to_owned();
        Self { refresh_token: text("refresh_token"), access_token: text("access_token") }
    }

    fn request(&self) -> Value {
        json!({
            "refresh_token": self.refresh_token, "access_token": self.access_token,
            "client_id": "soak", "client_secret": SECRET,
        })
    }

    /// Opaque to clients; here the account is kept by them.
    fn generation_and_secret(&self) -> (u32, [u8; 32]) {
        let bytes = URL_SAFE_NO_PAD.decode(self.refresh_token.strip_prefix("lk1_").unwrap()).unwrap();
        (u32::from_be_bytes(bytes[33..37].try_into().unwrap()), bytes[37..69].try_into().unwrap())
    }
}
