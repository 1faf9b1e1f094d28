//! A session: its record, its renewal, and the decision what a refresh token is worth against it.

mod decide;
mod record;
mod renewal;

pub use self::{
    decide::{Decision, Write, decide},
    record::{Predecessor, Revocation, Session},
    renewal::{Presented, Renewal, RenewalRules, Successor},
};
