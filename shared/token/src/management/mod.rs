//! What is asked about sessions that there are, and how they end: introspection, revocation, an issuer's view, and
//! whether an access token lets its bearer in.

mod admit;
mod caller;
mod ending;
mod introspect;
mod recognise;
mod revoke;
mod sign_out;
mod subject_sessions;
mod userinfo;

pub use self::{
    admit::{Admit, Admitted},
    caller::{Caller, CallerIdentification},
    ending::{EndSessions, Ended},
    introspect::Introspect,
    revoke::Revoke,
    sign_out::{SignOut, SignOutRequest, SignedOut},
    subject_sessions::{ListedPage, PageLimit, SessionFilter, SubjectSessions},
    userinfo::{Userinfo, UserinfoAnswer},
};
pub(crate) use self::{
    caller::identify,
    recognise::{Mentioning, scope_of},
};
