//! The audit trail: what happened to whom, and why; never a token, a secret or a live hash.

mod event;
mod reason;

pub use self::{
    event::{Event, EventKind},
    reason::Reason,
};
