//! Sign-in: an OpenID client's users sign in at the portal, and the portal says by one call who they are (OpenID Connect
//! Core §3.1, RFC 6749 §4.1).
//!
//! `/authorize` seals what is asked for into a ticket and sends the browser to the portal with it. The portal accepts or
//! rejects; what it gets back sends the browser on to the client with a code. Nothing is written before the user is known,
//! and one record afterwards: the code is that session's first token ([`crate::session`]).

mod accept;
mod authorize;
mod direction;
mod finish;
mod inspect;
mod register;
mod reject;
mod request;
mod ticket_holder;

pub use self::{
    accept::{Accept, AcceptRequest, Accepted},
    authorize::{Authorize, Begun, MAX_ADDRESS_BYTES},
    direction::Direction,
    finish::Finish,
    inspect::{Inspect, Inspected},
    register::{Register, RegisterRequest, RegisteredClient},
    reject::{Reject, RejectRequest, Rejection},
    request::MAX_REQUEST_BYTES,
};
