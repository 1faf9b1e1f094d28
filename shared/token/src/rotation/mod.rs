//! Key rotation: Secrets Manager's four steps on the key ring (docs/deployment.md, Key rotation).

mod document;
mod plan;
mod steps;

pub use self::{
    document::{RingDocument, SigningEntry, TagEntry},
    plan::{NewSigningKey, NewTagKey, Plan, RotationLimits, plan},
    steps::{Rotation, RotationFault, Step},
};
