//! What clients, issuers and attackers see. Every test has a server of its own; when it ends, everything that was
//! logged so far is searched for the tokens and secrets it used.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use test_support as support;

mod assertion;
mod audit;
mod clients;
mod containment;
mod discovery;
mod documents;
mod errors;
mod events;
mod hostile;
mod issue;
mod live;
mod other_software;
mod parallel;
mod registering;
mod renewal;
mod resources;
mod restart;
mod scope_cost;
mod sign_in;
mod sign_out;
mod signed_in;
mod theft;
mod times;
mod token_exchange;
mod verifying;
