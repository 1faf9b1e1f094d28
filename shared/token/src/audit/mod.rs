//! The audit trail: what happened to whom, never a token, a secret or a live hash.

mod event;

pub use self::event::{Event, EventKind};
