//! For tests, benchmarks and the demo: the real programs as processes, a scripted LLM server, a
//! fault-injecting proxy, PostgreSQL, PgBouncer, Redis, an address that moves, and Chromium. Nothing that is shipped depends on it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so and stops"
)]

pub mod browser;
pub mod chaos;
pub mod gate;
pub mod llm;
pub mod local_model;
pub mod original;
pub mod pooler;
mod ports;
pub mod postgres;
pub mod program;
pub mod redis;
mod skip;
pub mod stack;
pub mod strict;
pub mod strict_llm;
pub mod wire;

use std::time::Duration;

pub use ports::free_port;
pub use skip::{lacks, lacks_package, skip};
use tokio::time::Instant;

/// Timeout for something that must happen: long enough for a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Polls a condition until it returns a value.
///
/// # Panics
/// After [`PATIENCE`]; `what` says in the message what was awaited.
pub async fn wait_for<T>(what: &str, condition: impl AsyncFnMut() -> Option<T>) -> T {
    wait_within(PATIENCE, what, condition).await
}

/// The same with a timeout of its own, for what computes for a while.
///
/// # Panics
/// After `timeout`.
pub async fn wait_within<T>(
    timeout: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < deadline, "timed out after {} s: {what}", timeout.as_secs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
