#![doc = include_str!("README.md")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod histories;
mod life;
mod model;

use std::str::FromStr;

/// A number from the environment, if it is set.
fn setting<T: FromStr>(name: &str, usual: T) -> T {
    match std::env::var(name) {
        Err(_) => usual,
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")),
    }
}
