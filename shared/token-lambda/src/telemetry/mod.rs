//! What is told of a request: log lines, the audit trail among them, and metrics.

mod audit_trail;
mod documents;
mod logs;
pub mod metrics;

pub use self::{
    audit_trail::RequestAudit,
    documents::OBSERVER,
    logs::{init, init_with, subscriber},
};
