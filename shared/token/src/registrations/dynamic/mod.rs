//! Clients that register themselves (RFC 7591): nothing of them is stored. What a registration has fixed stands in the
//! client's id, under a tag; the rest is `dynamic_clients` of the document, the same for all of them.

mod id;
mod pattern;

use self::id::RedirectHashes;
pub use self::id::{AuthenticationMethod, MAX_REDIRECTS, RegisteredId};
pub(super) use self::{id::UnverifiedId, pattern::RedirectPattern};
use super::epochs::Epoch;
use crate::values::{IssuerId, Scope, Seconds, Timestamp, WebUrl};

/// What clients may be that register themselves: `dynamic_clients` of the registrations.
#[derive(Clone, Debug)]
pub struct DynamicClients {
    pub(super) redirects: Vec<RedirectPattern>,
    /// The scopes that their sessions may have.
    pub scope: Scope,
    /// `aud` of their access tokens; at least one, none empty.
    pub audience: Vec<String>,
    /// Which issuer signs their users in. For listing and ending sessions they are its clients.
    pub sign_in_issuer: IssuerId,
    /// How long a registration is good: 1 to 31536000.
    pub seconds: Seconds,
}

impl DynamicClients {
    /// Whether a client may register for this address.
    pub fn admit(&self, redirect: &WebUrl) -> bool {
        self.redirects.iter().any(|pattern| pattern.admits(redirect))
    }

    /// Where browsers may be sent to of the client of this registration.
    pub(super) fn redirects_of(&self, registered: &RegisteredId) -> RegisteredRedirects {
        RegisteredRedirects { hashes: registered.redirects().clone(), patterns: self.redirects.clone() }
    }

    /// When a registration of `registered_at` is over.
    pub const fn expiry_of(&self, registered_at: Timestamp) -> Timestamp {
        registered_at.plus(self.seconds)
    }
}

/// Where browsers may be sent to of a client that has registered itself.
#[derive(Clone, Debug)]
pub(super) struct RegisteredRedirects {
    hashes: RedirectHashes,
    /// What is allowed now; the registration may be older.
    patterns: Vec<RedirectPattern>,
}

impl RegisteredRedirects {
    /// Whether the client has registered for this address, and may today.
    pub fn admit(&self, uri: &str) -> bool {
        WebUrl::parse(uri)
            .is_some_and(|asked| self.hashes.has(&asked) && self.patterns.iter().any(|pattern| pattern.admits(&asked)))
    }
}

/// `dynamic_clients` as it was read.
#[derive(Clone, Debug, Default)]
pub(super) struct DynamicEntry {
    pub clients: Registering,
    /// Of all their sessions; read whatever else is wrong.
    pub epoch: Epoch,
    /// Whose clients they are, as far as that can be read, whatever else is wrong.
    pub sign_in_issuer: Option<IssuerId>,
}

/// Whether clients may register themselves.
#[derive(Clone, Debug, Default)]
pub(super) enum Registering {
    /// They may not, and there are none.
    #[default]
    Off,
    On(DynamicClients),
    /// What is registered is faulty: nobody knows.
    Faulty,
}
