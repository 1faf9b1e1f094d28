//! A session: its record, its renewal, and the decision what a refresh token is worth against it.

mod backing;
mod decide;
mod outcome;
mod record;
mod renewal;

pub use self::{
    backing::Backing,
    decide::{Decision, Write, decide},
    outcome::WriteOutcome,
    record::{
        Authentication, Predecessor, Revocation, RevocationId, Session, SignIn, Standing, deletable_after,
        ended_deletable_at,
    },
    renewal::{Presented, Renewal, RenewalRules, Successor},
};
