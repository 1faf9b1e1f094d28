//! Faulty entries: what is still known of them. What needs one is answered 503, so that nobody drops tokens.

use super::epochs::Epoch;
use crate::{failure::Unavailable, values::ClientId};

/// An entry that cannot be used. What an operator ends with it is read all the same.
#[derive(Clone, Debug, Default)]
pub(super) struct FaultyEntry {
    /// `None`: it cannot be read, so the entry may be anybody's.
    pub id: Option<String>,
    pub epoch: Epoch,
    /// Of issuers.
    pub is_disabled: bool,
    pub assertion_iss: AssertionIss,
    pub signs_in: SignsIn,
}

/// `iss` of an issuer's assertions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum AssertionIss {
    /// It has no assertions, or is no issuer.
    #[default]
    None,
    Of(String),
    /// It says something that is no text: the assertions may be any.
    Unreadable,
}

/// Whose users an issuer may sign in, by its `clients` and its `sign_in_url`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum SignsIn {
    /// It has no `sign_in_url` or no clients, or is no issuer.
    #[default]
    Nobody,
    /// Those of the clients with these ids.
    UsersOf(Vec<String>),
    /// Its clients cannot be read.
    Anybody,
}

impl FaultyEntry {
    /// An issuer's of which nothing can be read.
    pub fn unreadable_issuer() -> Self {
        Self {
            epoch: Epoch::Unreadable,
            assertion_iss: AssertionIss::Unreadable,
            signs_in: SignsIn::Anybody,
            ..Self::default()
        }
    }

    fn may_be(&self, id: &str) -> bool {
        self.id.as_deref().is_none_or(|own| own == id)
    }

    fn may_assert(&self, iss: &str) -> bool {
        match &self.assertion_iss {
            AssertionIss::None => false,
            AssertionIss::Of(own) => own == iss,
            AssertionIss::Unreadable => true,
        }
    }
}

impl SignsIn {
    fn includes(&self, client: &ClientId) -> bool {
        match self {
            Self::Nobody => false,
            Self::UsersOf(clients) => clients.iter().any(|id| id == client.as_str()),
            Self::Anybody => true,
        }
    }
}

/// The faulty entries of one list.
#[derive(Clone, Debug, Default)]
pub(super) struct Quarantine(pub(super) Vec<FaultyEntry>);

impl Quarantine {
    /// Whether an entry with this id may be among them.
    pub fn may_hold(&self, id: &str) -> bool {
        self.0.iter().any(|entry| entry.may_be(id))
    }

    /// The entries that have this id for certain.
    pub fn named<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a FaultyEntry> {
        self.0.iter().filter(move |entry| entry.id.as_deref() == Some(id))
    }

    /// There is no other entry with this id: then there is none, unless it may be here.
    pub fn check<T>(&self, kind: &'static str, id: &str) -> Result<Option<T>, Unavailable> {
        if self.named(id).any(|entry| entry.is_disabled) || !self.may_hold(id) { Ok(None) } else { Err(faulty(kind)) }
    }

    /// The same for `iss` of an assertion.
    pub fn check_assertion_iss<T>(&self, iss: &str) -> Result<Option<T>, Unavailable> {
        if self.0.iter().any(|entry| !entry.is_disabled && entry.may_assert(iss)) {
            Err(faulty("issuer"))
        } else {
            Ok(None)
        }
    }

    /// The same for the issuer that signs in the users of `client`.
    pub fn check_sign_in<T>(&self, client: &ClientId) -> Result<Option<T>, Unavailable> {
        if self.0.iter().any(|entry| !entry.is_disabled && entry.signs_in.includes(client)) {
            Err(faulty("issuer"))
        } else {
            Ok(None)
        }
    }
}

/// The log has said what is wrong with it, and where.
pub(super) fn faulty(kind: &'static str) -> Unavailable {
    Unavailable::new("document", format!("the registration of this {kind} is faulty"))
}
