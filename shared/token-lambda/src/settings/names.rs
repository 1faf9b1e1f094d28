//! The names of all settings. A name that is none is warned of: a setting that nobody reads looks like one that works.

use std::fmt;

const PREFIX: &str = "LATCHKEY_";

/// Every setting, of any function and of the local server.
const NAMES: [&str; 23] = [
    "LATCHKEY_ABSOLUTE_SECONDS",
    "LATCHKEY_ACCESS_TOKEN_SECONDS",
    "LATCHKEY_AUDIENCE",
    "LATCHKEY_AUTHORIZER_CACHE_SECONDS",
    "LATCHKEY_CLIENTS",
    "LATCHKEY_CLOCK_SKEW_SECONDS",
    "LATCHKEY_CORS_ORIGINS",
    "LATCHKEY_DYNAMIC_CLIENTS",
    "LATCHKEY_GRACE_SECONDS",
    "LATCHKEY_IDLE_SECONDS",
    "LATCHKEY_ISSUER",
    "LATCHKEY_JWKS_SECONDS",
    "LATCHKEY_JWT_SECRET",
    "LATCHKEY_PREVIOUS_ISSUERS",
    "LATCHKEY_PUBLIC_KEYS",
    "LATCHKEY_RETRY_CONFIDENTIAL_SECONDS",
    "LATCHKEY_RETRY_SECONDS",
    "LATCHKEY_SECRETS_TTL_SECONDS",
    "LATCHKEY_SIGNING_KEYS",
    "LATCHKEY_TABLE",
    "LATCHKEY_TICKET_KEYS",
    "LATCHKEY_VERIFICATION_KEYS",
    "LATCHKEY_WINDOW_SECONDS",
];

/// A variable that is named like a setting and is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName {
    name: String,
    nearest: Option<&'static str>,
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown setting {}", self.name)?;
        self.nearest.map_or(Ok(()), |nearest| write!(f, "; did you mean {nearest}?"))
    }
}

/// Judges the name of an environment variable; `None` if it is a setting's, or none of ours.
pub fn unknown_name(name: &str) -> Option<UnknownName> {
    let upper = name.to_ascii_uppercase();
    let own = upper.strip_prefix(PREFIX).or_else(|| upper.strip_prefix("LATCHKEY"))?;
    if NAMES.contains(&name) {
        return None;
    }
    let distance = |known: &str| distance(own, known.strip_prefix(PREFIX).unwrap_or(known));
    let is_near = |known: &&str| distance(known) <= own.len() / 3 || known.strip_prefix(&*upper) == Some("_SECONDS");
    let nearest = NAMES.into_iter().filter(is_near).min_by_key(|known| distance(known));
    Some(UnknownName { name: name.to_owned(), nearest })
}

/// Logs a warning for every variable of the process that is named like a setting and is none.
pub fn warn_of_unknown_names() {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for unknown in names.filter_map(|name| unknown_name(&name)) {
        tracing::warn!("{unknown}");
    }
}

/// The variables of the process, by name. What is unknown among them is warned of, once.
pub(super) fn of_process() -> impl Fn(&str) -> Option<String> {
    warn_of_unknown_names();
    |name| std::env::var(name).ok()
}

/// How many letters have to be put in, taken out or replaced to come from one to the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.bytes().enumerate() {
        let mut diagonal = index;
        let mut left = index + 1;
        for (above, other) in row.iter_mut().skip(1).zip(other.bytes()) {
            let replaced = diagonal + usize::from(letter != other);
            diagonal = *above;
            *above = replaced.min(left + 1).min(diagonal + 1);
            left = *above;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: &str) -> Option<String> {
        unknown_name(name).map(|unknown| unknown.to_string())
    }

    #[test]
    fn a_name_that_is_no_settings_is_named_with_the_nearest_one() {
        for (name, nearest) in [
            ("LATCHKEY_ACCES_TOKEN_SECONDS", "LATCHKEY_ACCESS_TOKEN_SECONDS"),
            ("LATCHKEY_IDLE", "LATCHKEY_IDLE_SECONDS"),
            ("LATCHKEY_CORS_ORIGIN", "LATCHKEY_CORS_ORIGINS"),
            ("latchkey_issuer", "LATCHKEY_ISSUER"),
            ("LATCHKEYTABLE", "LATCHKEY_TABLE"),
        ] {
            assert_eq!(said(name).unwrap(), format!("unknown setting {name}; did you mean {nearest}?"));
        }
        assert_eq!(said("LATCHKEY_FAVOURITE_COLOUR").unwrap(), "unknown setting LATCHKEY_FAVOURITE_COLOUR");
        assert!(NAMES.iter().chain(&["PATH", "LATCH"]).all(|name| said(name).is_none()));
    }

    /// A setting that is added to the reader is added here too.
    #[test]
    fn every_name_that_is_read_is_known() {
        let source = include_str!("../settings.rs").split("#[cfg(test)]").next().unwrap();
        let read: std::collections::BTreeSet<&str> =
            source.split('"').filter(|text| text.strip_prefix(PREFIX).is_some_and(|rest| !rest.is_empty())).collect();
        assert_eq!(read, NAMES.into_iter().collect());
    }

    #[test]
    fn distances_are_those_of_the_definition() {
        for (one, other, expected) in
            [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("abc", "abc", 0), ("ab", "ba", 2)]
        {
            assert_eq!(distance(one, other), expected);
            assert_eq!(distance(other, one), expected);
        }
    }
}
