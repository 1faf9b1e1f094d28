//! Log lines as JSON on standard output.

use std::io::stdout;

use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// The target of audit lines.
pub(super) const AUDIT: &str = "audit";

/// Starts logging to standard output. The level comes from `RUST_LOG`, or else from Lambda's
/// `AWS_LAMBDA_LOG_LEVEL`, or is `info`.
pub fn init() {
    init_with(stdout);
}

/// The same to `writer`.
pub fn init_with<W>(writer: W)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let set = |name| std::env::var(name).ok().filter(|level| !level.is_empty());
    let level = ["RUST_LOG", "AWS_LAMBDA_LOG_LEVEL"].into_iter().find_map(set);
    // A subscriber that somebody has set already is left alone.
    let _ = tracing::subscriber::set_global_default(subscriber(writer, level.as_deref().unwrap_or("info")));
}

/// One JSON object a line: RFC 3339 `timestamp`, `level`, then the event's own members, not nested. Audit lines are
/// written whatever the level.
pub fn subscriber<W>(writer: W, level: &str) -> impl tracing::Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(filter(level))
        .with_writer(writer)
        .finish()
}

fn filter(level: &str) -> EnvFilter {
    let level = match level.to_lowercase() {
        fatal if fatal == "fatal" => "error".to_owned(),
        level => level,
    };
    EnvFilter::try_new(format!("{level},{AUDIT}=info")).unwrap_or_else(|_| EnvFilter::new("info"))
}
