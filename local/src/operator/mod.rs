//! The operator's commands: registrations and keys, in a file or in Secrets Manager; sessions and subjects, in their
//! table; the audit trail, in log lines.
//!
//! An edit of registrations or keys works on the document as it stands, so that what a command does not know is kept.
//! It is written only after the domain's own parser has accepted the result, and in Secrets Manager only in the place of
//! the version that it was made from.

mod audit;
mod documents;
mod sessions;
mod subjects;
mod table;

pub(crate) use self::{
    audit::AuditCommand,
    documents::{ClientCommand, DynamicClientsCommand, IssuerCommand, KeysCommand},
    sessions::SessionsCommand,
    subjects::SubjectsCommand,
};
