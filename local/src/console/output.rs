//! What a command prints.

use std::io::{self, Write};

use super::failure::Failure;

/// Prints a command's result.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    write_out(text).map_err(Failure::Output)
}

/// Shows a new secret, or what holds it. A failure says that the secret is in force and unseen.
pub(crate) fn reveal(secret: &str) -> Result<(), Failure> {
    write_out(&format!("{secret}\n")).map_err(Failure::Unseen)
}

fn write_out(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
