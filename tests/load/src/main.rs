//! Load on the local server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod deployment;
mod http;
mod quick;
mod soak;

use clap::{Parser, Subcommand};

/// Measure renewals per second and their latency at the local server.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    quick: quick::Arguments,
}

#[derive(Subcommand)]
enum Command {
    Soak(soak::Arguments),
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    match arguments.command {
        Some(Command::Soak(soak)) => soak::run(soak).await,
        None => quick::run(arguments.quick).await,
    }
}
