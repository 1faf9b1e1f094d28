//! Key rotation: Secrets Manager's four steps on the key ring (docs/deployment.md, Key rotation).

mod plan;
mod steps;

pub use self::{
    plan::{NewSigningKey, NewTagKey, Plan, RingDocument, RotationLimits, SigningEntry, TagEntry, plan},
    steps::{Rotation, RotationFault, Step},
};
