//! The answer: what the portal has said of a sign-in, sealed, on its way through the browser to the client.

use serde::{Deserialize, Serialize};

use super::{
    browser::BrowserHash,
    keys::{SealPurpose, TICKET_SALT_BYTES, TicketKeys},
    sealed::{self, text},
    ticket::Ticket,
};
use crate::{
    failure::Unavailable,
    values::{ClientId, Seconds, Timestamp},
};

/// How long an answer is good, and the code in it.
pub const ANSWER_SECONDS: Seconds = 60;

/// What the portal has said. Has no `Debug`: it may hold a code.
#[derive(Serialize, Deserialize)]
pub struct Answer {
    /// The client that has asked.
    #[serde(with = "text")]
    pub client_id: ClientId,
    /// Where the browser goes; checked again when it does.
    pub redirect_uri: String,
    /// `state`, byte for byte.
    pub state: Option<String>,
    /// What the client is told.
    pub verdict: Verdict,
    /// The only browser in which the answer is good: the one in which the sign-in was begun.
    #[serde(with = "text")]
    pub browser: BrowserHash,
    /// When the portal has answered.
    #[serde(with = "text")]
    pub given_at: Timestamp,
}

/// What the client is told of a sign-in. Has no `Debug`.
#[derive(Serialize, Deserialize)]
pub enum Verdict {
    /// An authorization code.
    Code(String),
    /// An error (RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6), and what the portal says of it.
    Error {
        /// The error's code.
        error: String,
        /// For the client's developer.
        description: Option<String>,
    },
}

impl Answer {
    /// The answer to `ticket`.
    pub fn to(ticket: Ticket, verdict: Verdict, given_at: Timestamp) -> Self {
        let Ticket { client_id, redirect_uri, state, browser, .. } = ticket;
        Self { client_id, redirect_uri, state, verdict, browser, given_at }
    }

    /// The answer as it goes through the browser. `salt` must be random.
    pub fn seal(&self, keys: &TicketKeys, issuer: &str, salt: [u8; TICKET_SALT_BYTES]) -> Result<String, Unavailable> {
        sealed::seal(self, SealPurpose::Answer, keys, issuer, salt, self.given_at)
    }

    /// Reads an answer of the deployment of `issuer`; `None` for anything that it did not make. It may be over.
    pub fn open(text: &str, keys: &TicketKeys, issuer: &str, now: Timestamp) -> Result<Option<Self>, Unavailable> {
        sealed::open(text, SealPurpose::Answer, keys, issuer, now)
    }

    /// Until when it is good.
    pub const fn expires_at(&self) -> Timestamp {
        self.given_at.plus(ANSWER_SECONDS)
    }
}
