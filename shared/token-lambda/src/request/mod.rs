//! What is asked, and by whom: parameters, credentials, and where a request came from.

pub mod credentials;
mod invocation;
mod parameters;

pub use self::{
    invocation::Invocation,
    parameters::{MAX_BODY_BYTES, Parameters, RequestFault},
};
