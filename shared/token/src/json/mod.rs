//! JSON read strictly: what strangers send, and documents that operators write.

mod members;
mod strict;

pub(crate) use self::{
    members::{Document, Members, Report},
    strict::readable_members,
};
pub use self::{
    members::{Faults, Reading},
    strict::{MAX_DEPTH, Malformed, Map, Value, members, parse, parse_object},
};
