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
    record::{Predecessor, Revocation, RevocationId, Session, Standing, ended_deletable_at},
    renewal::{Presented, Renewal, RenewalRules, Successor},
};
