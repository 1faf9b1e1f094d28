//! How far long work has come: on standard error, and only where that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Steps of a known number; a single one is not worth a bar.
pub(crate) fn counted(what: &'static str, steps: usize) -> ProgressBar {
    if steps < 2 {
        return hidden();
    }
    bar(u64::try_from(steps).unwrap_or(u64::MAX), "{msg} {wide_bar} {pos} of {len}").with_message(what)
}

/// Nothing to be seen.
pub(crate) fn hidden() -> ProgressBar {
    ProgressBar::hidden()
}

/// Bytes of a file.
pub(crate) fn bytes(what: &'static str, length: u64) -> ProgressBar {
    bar(length, "{msg} {wide_bar} {bytes} of {total_bytes}").with_message(what)
}

/// Something of which nobody knows how much there is.
pub(crate) fn endless(what: &'static str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(what).with_style(style("{spinner} {msg} {pos}"));
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

fn bar(length: u64, template: &str) -> ProgressBar {
    ProgressBar::new(length).with_style(style(template))
}

/// A template that cannot be read would be replaced by the crate's own.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
