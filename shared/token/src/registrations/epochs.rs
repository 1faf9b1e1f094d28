//! Epochs: from when on sessions are good. What was issued earlier is over, for everybody and at once.

use crate::{
    failure::Unavailable,
    values::{IssuerId, Timestamp},
};

/// More issuers with epochs of their own do not fit into a write's condition: then the latest holds for all.
pub const MAX_ISSUER_EPOCHS: usize = 50;

/// What one entry says of the sessions it governs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Epoch {
    /// None of them is too old.
    #[default]
    Never,
    /// Those that were issued earlier are over.
    At(Timestamp),
    /// It says something that is no time: nobody knows which of them are over.
    Unreadable,
}

impl Epoch {
    /// The time, where it could be read and there is one.
    pub const fn moment(self) -> Option<Timestamp> {
        match self {
            Self::At(moment) => Some(moment),
            Self::Never | Self::Unreadable => None,
        }
    }

    /// Where both count.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unreadable, _) | (_, Self::Unreadable) => Self::Unreadable,
            (Self::Never, known) | (known, Self::Never) => known,
            (Self::At(one), Self::At(other)) => Self::At(one.max(other)),
        }
    }
}

impl From<Option<Timestamp>> for Epoch {
    fn from(moment: Option<Timestamp>) -> Self {
        moment.map_or(Self::Never, Self::At)
    }
}

/// The epochs in force for the sessions of one client (`sessions_not_before`: the deployment's, the client's, its issuers').
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Epochs {
    /// For sessions of every issuer; none where nobody has set one.
    floor: Option<Timestamp>,
    /// For sessions of these issuers, where it is later than the floor.
    issuers: Vec<(IssuerId, Timestamp)>,
    /// Issuers whose epoch cannot be read. With those above at most [`MAX_ISSUER_EPOCHS`].
    unreadable: Vec<IssuerId>,
    /// If there are any, the epoch of every other issuer cannot be read; at most [`MAX_ISSUER_EPOCHS`].
    known: Option<Vec<IssuerId>>,
}

/// Whether a session is over by its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochVerdict {
    /// It was issued in time.
    Live,
    /// It was issued before its epoch.
    Over,
    /// The epoch of its issuer cannot be read.
    Unknown,
}

/// Nobody can tell whether a session is over.
pub(crate) fn epoch_unreadable() -> Unavailable {
    Unavailable::new("document", "sessions_not_before cannot be read where it must be")
}

impl Epochs {
    /// Nothing is too old.
    pub const NONE: Self = Self { floor: None, issuers: Vec::new(), unreadable: Vec::new(), known: None };

    /// `floor` for all, and those of `issuers` that are later for theirs.
    pub fn new(floor: Option<Timestamp>, issuers: impl IntoIterator<Item = (IssuerId, Timestamp)>) -> Self {
        let mut epochs = Self { floor, ..Self::NONE };
        for (issuer, epoch) in issuers {
            match epochs.issuers.iter_mut().find(|(own, _)| *own == issuer) {
                Some((_, own)) => *own = epoch.max(*own),
                None if Some(epoch) > floor => epochs.issuers.push((issuer, epoch)),
                None => {}
            }
        }
        epochs.within_a_condition()
    }

    /// The same, but nobody knows the epoch of `issuers`. `None`: they are too many for a condition.
    pub fn without_knowing(self, issuers: impl IntoIterator<Item = IssuerId>) -> Option<Self> {
        let mut epochs = self;
        for issuer in issuers {
            epochs.issuers.retain(|(own, _)| *own != issuer);
            if !epochs.unreadable.contains(&issuer) {
                epochs.unreadable.push(issuer);
            }
        }
        let epochs = epochs.within_a_condition();
        (epochs.unreadable.len() <= MAX_ISSUER_EPOCHS).then_some(epochs)
    }

    /// The same, but nobody knows the epoch of issuers other than `known`. `None`: they are too many for a condition.
    pub fn knowing_only(self, known: Vec<IssuerId>) -> Option<Self> {
        (known.len() <= MAX_ISSUER_EPOCHS).then_some(Self { known: Some(known), ..self })
    }

    fn within_a_condition(mut self) -> Self {
        if self.issuers.len() + self.unreadable.len() > MAX_ISSUER_EPOCHS {
            let latest = self.issuers.drain(..).map(|(_, epoch)| epoch).max();
            self.floor = self.floor.max(latest);
        }
        self
    }

    /// The epoch of every issuer's sessions.
    pub const fn floor(&self) -> Option<Timestamp> {
        self.floor
    }

    /// Issuers whose sessions have a later epoch than the floor.
    pub fn issuers(&self) -> &[(IssuerId, Timestamp)] {
        &self.issuers
    }

    /// Issuers whose epoch cannot be read: of their sessions nobody knows whether they are over.
    pub fn unreadable(&self) -> &[IssuerId] {
        &self.unreadable
    }

    /// The only issuers whose epochs are known; `None`: all are, but for [`Epochs::unreadable`].
    pub fn known(&self) -> Option<&[IssuerId]> {
        self.known.as_deref()
    }

    fn is_unreadable(&self, issuer: &IssuerId) -> bool {
        self.unreadable.contains(issuer) || self.known.as_ref().is_some_and(|known| !known.contains(issuer))
    }

    /// What they say of a session of `issuer` that was issued at this time.
    pub fn verdict(&self, issuer: &IssuerId, issued_at: Timestamp) -> EpochVerdict {
        let own = self.issuers.iter().find(|(own, _)| own == issuer).map(|(_, epoch)| *epoch);
        if own.or(self.floor).is_some_and(|epoch| issued_at < epoch) {
            EpochVerdict::Over
        } else if self.is_unreadable(issuer) {
            EpochVerdict::Unknown
        } else {
            EpochVerdict::Live
        }
    }

    /// Whether a session of `issuer` that was issued at this time is known to be over.
    pub fn have_ended(&self, issuer: &IssuerId, issued_at: Timestamp) -> bool {
        self.verdict(issuer, issued_at) == EpochVerdict::Over
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
        let is_over = |count, issued| many(count).have_ended(&issuer(0), at(issued));
        assert!(!is_over(MAX_ISSUER_EPOCHS, 1) && is_over(MAX_ISSUER_EPOCHS, 0));
        assert!(!is_over(MAX_ISSUER_EPOCHS + 1, 51) && is_over(MAX_ISSUER_EPOCHS + 1, 50));
    }

    #[test]
    fn what_cannot_be_read_is_unknown_for_its_issuer_alone_unless_the_floor_says_more() {
        let epochs = Epochs::new(Some(at(10)), [(issuer(1), at(20)), (issuer(2), at(20))]);
        let epochs = epochs.without_knowing([issuer(1), issuer(1)]).unwrap();
        assert_eq!(epochs.verdict(&issuer(1), at(9)), EpochVerdict::Over);
        assert_eq!(epochs.verdict(&issuer(1), at(10)), EpochVerdict::Unknown);
        assert_eq!(epochs.verdict(&issuer(2), at(20)), EpochVerdict::Live);
        let known = epochs.clone().knowing_only(vec![issuer(2)]).unwrap();
        assert_eq!(known.verdict(&issuer(2), at(20)), EpochVerdict::Live);
        assert_eq!(known.verdict(&issuer(3), at(20)), EpochVerdict::Unknown, "an entry without an id may be its");
        assert_eq!(known.verdict(&issuer(3), at(9)), EpochVerdict::Over);
        let all = |count| Epochs::NONE.without_knowing((0..count).map(issuer));
        assert!(all(MAX_ISSUER_EPOCHS).is_some() && all(MAX_ISSUER_EPOCHS + 1).is_none());
    }
}
