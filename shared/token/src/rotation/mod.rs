//! Key rotation: Secrets Manager's four steps on the key ring (docs/deployment.md, Key rotation).

mod derived;
mod document;
mod plan;
mod steps;

pub use self::{
    derived::{Derived, PublicationFault, publish_derived},
    document::{RingDocument, SigningEntry, TagEntry},
    plan::{NewSigningKey, NewTagKey, Plan, RotationLimits, plan},
    steps::{Rotation, RotationFault, Step},
};
