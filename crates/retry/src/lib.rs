//! How long to wait before the next attempt: exponential [`Backoff`], and what the other side asks
//! for in [`retry_after`] headers. Whether there is a next attempt is decided by whoever makes the
//! call; how long it waits is computed here, for every crate and program of this workspace.

mod backoff;
mod retry_after;

pub use backoff::Backoff;
pub use retry_after::{MAX_RETRY_AFTER, retry_after, retry_after_seconds};
