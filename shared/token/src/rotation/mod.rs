//! Key rotation: Secrets Manager's four steps on the key ring (docs/deployment.md, Key rotation).

mod derived;
mod plan;
mod steps;

pub use self::{
    derived::{Derived, PublicationFault, publish_derived},
    plan::{NewSigningKey, NewTagKey, Plan, RingDocument, RotationLimits, SigningEntry, TagEntry, plan},
    steps::{Rotation, RotationFault, Step},
};
