#![doc = include_str!("../README.md")]
#![warn(missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod contract;
pub mod fixture;
mod machine;
mod memory;
mod world;

pub use self::{
    machine::{SeededRandomness, SettableClock},
    memory::InMemorySessions,
    world::{FixedDocuments, World, statement},
};
