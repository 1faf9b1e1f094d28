//! Measures Latchkey: how fast it starts, renews and serves, what that costs, and beside what.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod cloud;
pub mod counts;
pub mod figures;
pub mod guard;
pub mod installation;
pub mod limits;
pub mod plot;
pub mod prices;
pub mod process;
pub mod quota;
pub mod report;
pub mod runtime_api;
pub mod serving;
pub mod sign_in;
pub mod warm;
