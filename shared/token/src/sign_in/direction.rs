//! Where a sign-in leads.

use std::fmt;

/// Where the browser goes.
#[derive(PartialEq, Eq)]
pub enum Direction {
    /// To an address of a registration, with what it is to be told.
    To(String),
    /// Nowhere: the request does not say where it may be sent. A page says so, and repeats nothing of the request.
    Page,
}

/// The address holds a ticket or a code.
impl fmt::Debug for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::To(_) => "To(…)",
            Self::Page => "Page",
        })
    }
}
