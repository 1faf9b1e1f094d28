//! What is told of a request: log lines, the audit trail among them, and metrics.

mod audit_trail;
mod logs;
pub mod metrics;

pub use self::{
    audit_trail::RequestAudit,
    logs::{init, init_with, subscriber},
};
