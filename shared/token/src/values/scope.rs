//! OAuth scopes (RFC 6749 §3.3).

use std::fmt;

/// The scope that asks for an ID token (OpenID Connect Core §3.1.2.1).
pub(crate) const OPENID: &str = "openid";

/// An ordered set of scope names. Empty is allowed: a client need not have any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope(Vec<String>);

impl Scope {
    /// Reads space-separated scope names; a name that stands twice counts once.
    ///
    /// `None` when a character is outside RFC 6749's `scope-token` or names are not separated by
    /// exactly one space.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        Self::from_names(text.split(' '))
    }

    /// Builds a scope from single names; `None` when one is not a `scope-token`.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut scope = Self::default();
        for name in names {
            if name.is_empty() || !name.bytes().all(is_scope_character) {
                return None;
            }
            if !scope.contains(name) {
                scope.0.push(name.to_owned());
            }
        }
        Some(scope)
    }

    /// Whether `name` is one of the names; upper and lower case differ.
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|own| own == name)
    }

    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `other` has every name of `self`. An empty scope is within every other.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.iter().all(|name| other.contains(name))
    }

    /// The names of `self` that `other` has too, in the order of `self`.
    pub fn intersection(&self, other: &Self) -> Self {
        Self(self.0.iter().filter(|name| other.contains(name)).cloned().collect())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

/// `NQCHAR`: printable ASCII without space, `"` and `\`.
fn is_scope_character(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_once_each_and_refuses_what_rfc_6749_does() {
        assert_eq!(Scope::parse("openid email openid").unwrap().to_string(), "openid email");
        assert!(Scope::parse("").unwrap().is_empty());
        for bad in [" openid", "openid ", "a  b", "a\tb", "a\"b", "a\\b", "é", "a\u{7f}"] {
            assert!(Scope::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn intersection_keeps_the_order_of_the_first() {
        let session = Scope::parse("openid profile email").unwrap();
        let asked = Scope::parse("email openid admin").unwrap();
        assert_eq!(session.intersection(&asked).to_string(), "openid email");
        assert!(!asked.is_within(&session));
        assert!(session.intersection(&asked).is_within(&session));
    }
}
