//! How long to wait before the next attempt: exponential [`Backoff`], and what the other side asks
//! for in [`retry_after`] headers. Callers decide whether to retry; the delay is computed here, for
//! every crate and program of this workspace.

mod backoff;
mod retry_after;

pub use backoff::Backoff;
pub use retry_after::{MAX_RETRY_AFTER, retry_after, retry_after_seconds};
