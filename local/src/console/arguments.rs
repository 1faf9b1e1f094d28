//! Values as they are given on the command line; the error says what would be right.

use latchkey_token::values::{ClientId, SessionKey, Subject};

/// A subject as it is given on the command line.
pub(crate) fn subject(text: &str) -> Result<Subject, String> {
    Subject::parse(text).ok_or_else(|| format!("a subject has {}", Subject::RULE))
}

/// A session by its id.
pub(crate) fn session_key(text: &str) -> Result<SessionKey, &'static str> {
    SessionKey::parse(text).ok_or("a session's id has 43 characters, all of A-Z a-z 0-9 - _")
}

/// A client by its id.
pub(crate) fn client_id(text: &str) -> Result<ClientId, &'static str> {
    ClientId::parse(text).ok_or("a client's id has 1 to 255 printable ASCII characters")
}
