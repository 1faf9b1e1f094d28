//! The ticket: an authorization request that has been checked, sealed, on its way to the portal and back.

use serde::{Deserialize, Serialize};

use super::{
    browser::BrowserHash,
    keys::{SealPurpose, TICKET_SALT_BYTES, TicketKeys},
    sealed::{self, text},
};
use crate::{
    failure::Unavailable,
    tokens::CodeChallenge,
    values::{ClientId, IssuerId, Scope, Seconds, Timestamp},
};

/// How long a ticket is good: ten minutes, in which the user signs in at the portal.
pub const TICKET_SECONDS: Seconds = 600;

/// What was asked for at `/authorize`, as far as it has been checked, and by which browser. Has no `Debug`: `state` and
/// `nonce` are the client's secrets.
#[derive(Clone, Serialize, Deserialize)]
pub struct Ticket {
    /// The client that asks.
    #[serde(with = "text")]
    pub client_id: ClientId,
    /// The only issuer that may say who has signed in.
    #[serde(with = "text")]
    pub issuer_id: IssuerId,
    /// One that the client is registered for, as it was asked for.
    pub redirect_uri: String,
    /// What of the scope that was asked for the client is registered for.
    #[serde(with = "text")]
    pub scope: Scope,
    /// Which of the client's audiences the first access token is for, each once; empty: all of them.
    pub resource: Vec<String>,
    /// `state`, byte for byte.
    pub state: Option<String>,
    /// `nonce`, byte for byte.
    pub nonce: Option<String>,
    /// None only for a client that need not send one.
    #[serde(with = "text")]
    pub code_challenge: Option<CodeChallenge>,
    /// `prompt`, as it was asked for: names separated by spaces.
    pub prompt: Option<String>,
    /// `login_hint`, as it was asked for.
    pub login_hint: Option<String>,
    /// `acr_values`, as it was asked for.
    pub acr_values: Option<String>,
    /// `max_age` in seconds.
    pub max_age: Option<Seconds>,
    /// The browser in which the sign-in was begun.
    #[serde(with = "text")]
    pub browser: BrowserHash,
    /// When it was begun.
    #[serde(with = "text")]
    pub begun_at: Timestamp,
}

impl Ticket {
    /// The ticket as it goes through the browser. `salt` must be random.
    pub fn seal(&self, keys: &TicketKeys, issuer: &str, salt: [u8; TICKET_SALT_BYTES]) -> Result<String, Unavailable> {
        sealed::seal(self, SealPurpose::Ticket, keys, issuer, salt, self.begun_at)
    }

    /// Reads a ticket of the deployment of `issuer`; `None` for anything that it did not make. It may be over.
    pub fn open(text: &str, keys: &TicketKeys, issuer: &str, now: Timestamp) -> Result<Option<Self>, Unavailable> {
        sealed::open(text, SealPurpose::Ticket, keys, issuer, now)
    }

    /// Until when it is good.
    pub const fn expires_at(&self) -> Timestamp {
        self.begun_at.plus(TICKET_SECONDS)
    }

    /// Whether the names in `prompt` include this one.
    pub fn prompts(&self, name: &str) -> bool {
        self.prompt.as_deref().is_some_and(|prompt| prompt.split(' ').any(|own| own == name))
    }

    /// The earliest `auth_time` that will do; `None`: any will, and none at all (OpenID Connect Core §3.1.2.1).
    pub fn least_auth_time(&self) -> Option<Timestamp> {
        let max_age = if self.prompts("login") { Some(0) } else { self.max_age };
        // `auth_time` is in whole seconds.
        let begun_at = Timestamp::from_unix_seconds(self.begun_at.unix_seconds());
        max_age.map(|seconds| begun_at.minus(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        testing::{NOW, tag_ring},
        tickets::Browser,
    };

    fn ticket() -> Ticket {
        Ticket {
            client_id: ClientId::parse("librechat").unwrap(),
            issuer_id: IssuerId::parse("portal").unwrap(),
            redirect_uri: "https://chat.example.org/callback".into(),
            scope: Scope::parse("openid email").unwrap(),
            resource: vec!["https://tools.example.org/mcp".into(), "\" \u{fc}".into()],
            state: Some("s\"\\ \u{fc}".into()),
            nonce: None,
            code_challenge: CodeChallenge::parse(&"A".repeat(43)),
            prompt: Some("select_account login".into()),
            login_hint: None,
            acr_values: None,
            max_age: Some(60),
            browser: Browser::from_bytes([3; 32]).hash(),
            begun_at: Timestamp::from_unix_millis(NOW.unix_millis() + 999),
        }
    }

    #[test]
    fn what_was_sealed_is_what_is_opened_and_nobody_else_can_read_it() {
        let keys = TicketKeys::of(&tag_ring());
        let text = ticket().seal(&keys, "https://id.example.org", [1; 16]).unwrap();
        assert!(text.starts_with("lkt1_"));
        let open = |text: &str| Ticket::open(text, &keys, "https://id.example.org", NOW).unwrap();
        let opened = open(&text).unwrap();
        assert_eq!((&opened.state, &opened.resource), (&ticket().state, &ticket().resource));
        assert_eq!((&opened.nonce, opened.code_challenge), (&None, ticket().code_challenge));
        assert_eq!((opened.begun_at, opened.max_age), (ticket().begun_at, Some(60)));
        assert!(opened.browser == ticket().browser && opened.scope == ticket().scope);
        assert!(!text.contains("librechat"));
        let body = &text["lkt1_".len()..];
        for other in ["", "lkt1_", body, &format!("lka1_{body}"), &format!("{text}A"), &format!("{text}=")] {
            assert!(open(other).is_none(), "{other}");
        }
        assert!(Ticket::open(&text, &keys, "https://other.example.org", NOW).unwrap().is_none());
    }

    #[test]
    fn a_prompt_for_a_login_counts_from_the_second_in_which_it_was_asked_for() {
        assert_eq!(ticket().least_auth_time(), Some(NOW));
        let aged = Ticket { prompt: Some("none".into()), ..ticket() };
        assert_eq!(aged.least_auth_time(), Some(NOW.minus(60)));
        assert_eq!(Ticket { max_age: None, ..aged }.least_auth_time(), None);
    }
}
