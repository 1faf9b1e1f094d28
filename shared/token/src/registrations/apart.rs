//! Faulty entries, set apart: what is still known of them. What needs one is answered 503, so that nobody drops tokens.

use super::epochs::Epoch;
use crate::failure::Unavailable;

/// An entry that cannot be used. What an operator ends with it is read all the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Apart {
    /// `None`: it cannot be read, so the entry may be anybody's.
    pub id: Option<String>,
    pub epoch: Epoch,
    /// Of issuers.
    pub is_disabled: bool,
    /// Of issuers: `iss` of its assertions.
    pub assertion_iss: Option<String>,
}

impl Apart {
    fn may_be(&self, id: &str) -> bool {
        self.id.as_deref().is_none_or(|own| own == id)
    }
}

/// The faulty entries of one list.
#[derive(Clone, Debug, Default)]
pub(super) struct Quarantine(pub(super) Vec<Apart>);

impl Quarantine {
    /// Whether an entry with this id may be among them.
    pub fn may_hold(&self, id: &str) -> bool {
        self.0.iter().any(|entry| entry.may_be(id))
    }

    /// The entries that have this id for certain.
    pub fn named<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Apart> {
        self.0.iter().filter(move |entry| entry.id.as_deref() == Some(id))
    }

    /// There is no other entry with this id: then there is none, unless it may be here.
    pub fn check<T>(&self, kind: &'static str, id: &str) -> Result<Option<T>, Unavailable> {
        if self.named(id).any(|entry| entry.is_disabled) || !self.may_hold(id) { Ok(None) } else { Err(faulty(kind)) }
    }

    /// The same for `iss` of an assertion.
    pub fn check_assertion_iss<T>(&self, iss: &str) -> Result<Option<T>, Unavailable> {
        let may_be = |entry: &Apart| !entry.is_disabled && entry.assertion_iss.as_deref() == Some(iss);
        if self.0.iter().any(may_be) { Err(faulty("issuer")) } else { Ok(None) }
    }
}

/// The log has said what is wrong with it, and where.
fn faulty(kind: &'static str) -> Unavailable {
    Unavailable::new("document", format!("the registration of this {kind} is faulty"))
}
