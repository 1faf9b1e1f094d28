//! Where a sign-in leads.

/// Where the browser goes.
#[derive(Debug, PartialEq, Eq)]
pub enum Direction {
    /// To an address of a registration, with what it is to be told.
    To(String),
    /// Nowhere: what came is nothing that may send it anywhere. A page says so, and repeats nothing.
    Page,
}
