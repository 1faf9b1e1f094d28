//! Epochs: from when on sessions are good. What was issued earlier is over, for everybody and at once.

use crate::values::{IssuerId, Timestamp};

/// More issuers with epochs of their own do not fit into a write's condition: then the latest holds for all.
pub const MAX_ISSUER_EPOCHS: usize = 50;

/// The epochs in force for the sessions of one client (`sessions_not_before`: the deployment's, the client's, its issuers').
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Epochs {
    /// For sessions of every issuer; none where nobody has set one.
    floor: Option<Timestamp>,
    /// For sessions of these issuers, where it is later than the floor; at most [`MAX_ISSUER_EPOCHS`].
    issuers: Vec<(IssuerId, Timestamp)>,
}

impl Epochs {
    /// Nothing is too old.
    pub const NONE: Self = Self { floor: None, issuers: Vec::new() };

    /// `floor` for all, and those of `issuers` that are later for theirs.
    pub fn new(floor: Option<Timestamp>, issuers: impl IntoIterator<Item = (IssuerId, Timestamp)>) -> Self {
        let mut issuers: Vec<_> = issuers.into_iter().filter(|(_, epoch)| Some(*epoch) > floor).collect();
        if issuers.len() > MAX_ISSUER_EPOCHS {
            let latest = issuers.drain(..).map(|(_, epoch)| epoch).max();
            return Self { floor: latest.max(floor), issuers };
        }
        Self { floor, issuers }
    }

    /// The epoch of every issuer's sessions.
    pub const fn floor(&self) -> Option<Timestamp> {
        self.floor
    }

    /// Issuers whose sessions have a later epoch than the floor.
    pub fn issuers(&self) -> &[(IssuerId, Timestamp)] {
        &self.issuers
    }

    /// The epoch of the sessions of `issuer`.
    pub fn of(&self, issuer: &IssuerId) -> Option<Timestamp> {
        self.issuers.iter().find(|(own, _)| own == issuer).map(|(_, epoch)| *epoch).or(self.floor)
    }

    /// Whether a session of `issuer` that was issued at this time is over.
    pub fn have_ended(&self, issuer: &IssuerId, issued_at: Timestamp) -> bool {
        self.of(issuer).is_some_and(|epoch| issued_at < epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(number: usize) -> IssuerId {
        IssuerId::parse(&format!("portal-{number}")).unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    #[test]
    fn a_session_is_over_when_it_is_older_than_the_later_of_both_epochs() {
        let epochs = Epochs::new(Some(at(10)), [(issuer(1), at(20)), (issuer(2), at(5))]);
        for (number, issued, is_over) in [(1, 19, true), (1, 20, false), (2, 9, true), (2, 10, false), (3, 9, true)] {
            assert_eq!(epochs.have_ended(&issuer(number), at(issued)), is_over, "{number}, {issued}");
        }
        assert!(!Epochs::NONE.have_ended(&issuer(1), at(0)));
    }

    #[test]
    fn of_more_issuers_than_a_condition_holds_the_latest_counts_for_all() {
        let many = |count: usize| Epochs::new(None, (0..count).map(|number| (issuer(number), at(number as i64 + 1))));
        assert_eq!(many(MAX_ISSUER_EPOCHS).of(&issuer(0)), Some(at(1)));
        assert_eq!(many(MAX_ISSUER_EPOCHS + 1).of(&issuer(0)), Some(at(51)));
    }
}
