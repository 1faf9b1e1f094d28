//! OAuth scopes (RFC 6749 §3.3).

use std::{cmp::Ordering, collections::BTreeSet, fmt, mem};

/// The scope that asks for an ID token (OpenID Connect Core §3.1.2.1).
pub(crate) const OPENID: &str = "openid";

/// Longest name that a refusal repeats, in characters, and how many of them.
const MAX_TOLD_CHARACTERS: usize = 64;
const MAX_TOLD_NAMES: usize = 8;

/// An ordered set of scope names. Empty is allowed: a client need not have any.
///
/// A request body has room for thousands of names. So no method compares every name with every other: for n names in all,
/// the work is at most n log n, names being sorted or found by halving.
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
        let mut scope = Vec::new();
        let mut seen = BTreeSet::new();
        for name in names {
            if name.is_empty() || !name.bytes().all(is_scope_character) {
                return None;
            }
            if seen.insert(name) {
                scope.push(name.to_owned());
            }
        }
        Some(Self(scope))
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
        let mut others = Marks::none_of(other);
        self.names().all(|name| others.mark(name.as_bytes()).is_some())
    }

    /// The names of `self` that `other` has too, in the order of `self`.
    pub fn intersection(&self, other: &Self) -> Self {
        self.those_among(other.names().map(str::as_bytes))
    }

    /// What is still allowed of the scope of a token: the names of `scope` that `self` has, separated by spaces.
    pub fn allowed_of(&self, scope: &str) -> String {
        let allowed: Vec<&str> = scope.split_ascii_whitespace().filter(|name| self.contains(name)).collect();
        allowed.join(" ")
    }

    /// The names of `self` that are asked for too, in the order of `self`.
    pub(crate) fn narrowed_to(&self, asked: &AskedScope<'_>) -> Self {
        self.those_among(split(asked.0))
    }

    /// What `text` asks for, if that is well-formed (as for [`Self::parse`]) and within `self`: its names in the order of
    /// `text`. Stops at the first name that is not.
    pub(crate) fn choose(&self, text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        let mut marks = Marks::none_of(self);
        let mut chosen = Vec::new();
        for name in split(text) {
            match marks.mark(name)? {
                Marked::Now(name) => chosen.push(name.to_owned()),
                Marked::Before => {}
            }
        }
        Some(Self(chosen))
    }

    /// The names in `text` that `self` has not, in their order: the first few that are well-formed and of at most 64 characters.
    /// Nothing else of what was asked is worth repeating to whoever asked it.
    pub fn unregistered(&self, text: &str) -> Vec<String> {
        let mut own = Marks::none_of(self);
        let is_told = |name: &&[u8]| {
            (1..=MAX_TOLD_CHARACTERS).contains(&name.len()) && name.iter().copied().all(is_scope_character)
        };
        let strangers = split(text).filter(is_told).filter(|name| own.mark(name).is_none());
        let told = strangers.take(MAX_TOLD_NAMES).filter_map(|name| str::from_utf8(name).ok());
        told.map(str::to_owned).collect()
    }

    fn those_among<'a>(&self, names: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut marks = Marks::none_of(self);
        for name in names {
            marks.mark(name);
        }
        let is_among = |name: &&String| marks.mark(name.as_bytes()) == Some(Marked::Before);
        Self(self.0.iter().filter(is_among).cloned().collect())
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// By bytes: a body has room for eight thousand names, and finding the next space is most of the work with each.
fn split(text: &str) -> impl Iterator<Item = &[u8]> {
    text.as_bytes().split(|byte| *byte == b' ')
}

/// The names of a scope, sorted, to find others among them and to tick off what was found.
struct Marks<'a> {
    names: Vec<(&'a str, bool)>,
    /// One bit for each length and first byte that a name has: they tell most strangers without a search.
    lengths: u64,
    first_bytes: u128,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marked<'a> {
    /// For the first time: the scope's own name.
    Now(&'a str),
    Before,
}

impl<'a> Marks<'a> {
    fn none_of(scope: &'a Scope) -> Self {
        let mut names: Vec<_> = scope.names().map(|name| (name, false)).collect();
        names.sort_unstable_by(|(one, _), (other, _)| Self::order(one.as_bytes(), other.as_bytes()));
        let lengths = scope.names().fold(0, |bits, name| bits | Self::length(name.as_bytes()));
        let first_bytes = scope.names().fold(0, |bits, name| bits | Self::first_byte(name.as_bytes()));
        Self { names, lengths, first_bytes }
    }

    /// `None` if the scope has no such name.
    fn mark(&mut self, name: &[u8]) -> Option<Marked<'a>> {
        if self.lengths & Self::length(name) == 0 || self.first_bytes & Self::first_byte(name) == 0 {
            return None;
        }
        let place = self.names.binary_search_by(|(own, _)| Self::order(own.as_bytes(), name)).ok()?;
        let (own, is_marked) = self.names.get_mut(place)?;
        Some(if mem::replace(is_marked, true) { Marked::Before } else { Marked::Now(own) })
    }

    /// All lengths from 63 up share a bit.
    fn length(name: &[u8]) -> u64 {
        1 << name.len().min(63)
    }

    fn first_byte(name: &[u8]) -> u128 {
        name.first().map_or(0, |byte| 1 << (byte & 127))
    }

    /// Shorter ones first: most comparisons end with the length.
    fn order(one: &[u8], other: &[u8]) -> Ordering {
        one.len().cmp(&other.len()).then_with(|| one.cmp(other))
    }
}

/// What a renewal asks for: names that only narrow, so those that the session has not are passed over.
///
/// It is not taken apart before there is a session: whoever names a public client may have sent it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AskedScope<'a>(&'a str);

impl<'a> AskedScope<'a> {
    /// `None` when a character is outside RFC 6749's `scope-token`. Clients are careless with the spaces between names:
    /// any number will do.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        text.bytes().all(|byte| byte == b' ' || is_scope_character(byte)).then_some(Self(text))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

/// `NQCHAR` (RFC 6749 appendix A): printable ASCII without space, `"` and `\`.
fn is_scope_character(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_names_once_each_and_refuses_what_rfc_6749_does() {
        assert_eq!(Scope::parse("openid email openid").unwrap().to_string(), "openid email");
        assert!(Scope::parse("").unwrap().is_empty());
        for bad in [" openid", "openid ", "a  b", "a\tb", "a\"b", "a\\b", "é", "a\u{7f}"] {
            assert!(Scope::parse(bad).is_none(), "{bad:?}");
        }
    }

    /// What the contract says, name by name: every name compared with every other.
    mod by_definition {
        pub fn each_once<'a>(names: &[&'a str]) -> Vec<&'a str> {
            let is_first = |(place, name): &(usize, &&str)| !names[..*place].contains(*name);
            names.iter().enumerate().filter(is_first).map(|(_, name)| *name).collect()
        }

        pub fn both<'a>(first: &[&'a str], second: &[&str]) -> Vec<&'a str> {
            each_once(first).into_iter().filter(|name| second.contains(name)).collect()
        }

        pub fn is_within(first: &[&str], second: &[&str]) -> bool {
            first.iter().all(|name| second.contains(name))
        }
    }

    proptest! {
        /// Of few letters, so that names stand twice and scopes have some in common.
        #[test]
        fn scopes_are_the_sets_of_their_definition(
            first in proptest::collection::vec("[abA]{1,2}", 0..12),
            second in proptest::collection::vec("[abA]{1,2}", 0..12),
        ) {
            let [first, second] = [&first, &second].map(|names| names.iter().map(String::as_str).collect::<Vec<_>>());
            let [one, other] = [&first, &second].map(|names| Scope::from_names(names.iter().copied()).unwrap());
            let [asked, text] = [second.join("  "), second.join(" ")];
            let each_once = by_definition::each_once(&second);
            let both = by_definition::both(&first, &second);
            let is_within = by_definition::is_within(&second, &first);
            prop_assert_eq!(other.names().collect::<Vec<_>>(), &each_once[..]);
            prop_assert_eq!(&Scope::parse(&text).unwrap(), &other);
            let common = one.intersection(&other);
            prop_assert_eq!(common.names().collect::<Vec<_>>(), &both[..]);
            prop_assert_eq!(&one.narrowed_to(&AskedScope::parse(&asked).unwrap()), &common);
            prop_assert_eq!(other.is_within(&one), is_within);
            prop_assert_eq!(one.choose(&text), is_within.then_some(other));
        }
    }

    #[test]
    fn what_is_chosen_is_as_well_formed_as_what_is_parsed() {
        let registered = Scope::parse("openid email").unwrap();
        assert_eq!(registered.choose("email openid email").unwrap().to_string(), "email openid");
        for bad in [" openid", "openid ", "openid  email", "openid\temail", "openid admin", "Openid", "é"] {
            assert!(registered.choose(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn of_what_is_not_registered_only_short_names_are_told() {
        let registered = Scope::parse("openid email").unwrap();
        let longest = "x".repeat(64);
        for (text, told) in [
            ("openid admin email agents", "admin agents"),
            ("Openid", "Openid"),
            (" openid  admin ", "admin"),
            ("a\"b a\\b a\tb é \u{7f} c", "c"),
            (&format!("{longest} {longest}y"), &longest),
            ("1 2 3 4 5 6 7 8 9", "1 2 3 4 5 6 7 8"),
            ("openid", ""),
            ("", ""),
        ] {
            assert_eq!(registered.unregistered(text).join(" "), told, "{text:?}");
        }
    }

    #[test]
    fn what_a_renewal_asks_for_may_have_any_spaces_but_no_other_characters() {
        let session = Scope::parse("openid profile email").unwrap();
        let asked = AskedScope::parse("  email unknown   openid email ").unwrap();
        assert_eq!(session.narrowed_to(&asked).to_string(), "openid email");
        assert!(session.narrowed_to(&AskedScope::parse(" ").unwrap()).is_empty());
        for bad in ["a\tb", "a\"b", "a\\b", "é", "a\u{7f}", "\0"] {
            assert!(AskedScope::parse(bad).is_none(), "{bad:?}");
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
