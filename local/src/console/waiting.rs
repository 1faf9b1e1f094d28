//! Work that waits for the network.

use std::future::Future;

use latchkey_token::failure::Unavailable;

use super::failure::Failure;

/// Runs what waits for the network.
pub(crate) fn block_on<T>(task: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Unavailable::new("runtime", error.to_string()))?.block_on(task)
}
