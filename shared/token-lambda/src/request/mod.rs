//! What is asked, and by whom: parameters, credentials, and where a request came from.

mod browser;
pub mod credentials;
mod invocation;
mod parameters;

pub use self::{
    browser::{BrowserCookie, browser_parameters, only},
    invocation::Invocation,
    parameters::{MAX_BODY_BYTES, Parameters, RequestFault},
};
