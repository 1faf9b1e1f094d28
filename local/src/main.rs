//! The `latchkey` command.

use std::process::ExitCode;

/// The server's threads ask for memory at the same time, and get it sooner from this one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    latchkey::cli::run()
}
