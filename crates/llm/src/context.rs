//! The context of one call besides its request, and the count of its retries.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

/// The context of a call: what is not part of the request itself.
#[derive(Debug, Clone, Default)]
pub struct CallContext {
    /// Sent to the provider as the header `traceparent` (W3C Trace Context).
    pub traceparent: Option<String>,
    /// When the caller stops waiting: no delay before a retry goes beyond it. The caller cancels the
    /// call itself by dropping it, which closes the connection.
    pub deadline: Option<Instant>,
    /// The agent's role, for the offline script.
    pub role: String,
    /// The person's own words, for the offline script; the newest user message when `None`.
    pub user_text: Option<String>,
    /// Counts retries and fallbacks. Clones share it, so that it can be read after the call.
    pub tally: Tally,
    /// Counts what the answer holds so far. Clones share it, so that it can be read when the call is
    /// dropped.
    pub received: Received,
}

/// How much of an answer has come, for a call that is dropped or fails: the provider charges for it.
#[derive(Debug, Clone, Default)]
pub struct Received(Arc<AtomicU64>);

/// About this many bytes are a token.
const BYTES_PER_TOKEN: u64 = 4;

impl Received {
    /// About how many tokens have come, of all attempts together.
    pub fn tokens(&self) -> u64 {
        self.0.load(Ordering::Relaxed).div_ceil(BYTES_PER_TOKEN)
    }

    /// Counts a text.
    pub(crate) fn text(&self, text: &str) {
        self.add(text.len() as u64);
    }

    /// Counts an event without text: a piece of a thought or of a call's arguments, about a token.
    pub(crate) fn hidden(&self) {
        self.add(BYTES_PER_TOKEN);
    }

    fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// How often a call was retried or fell back to another model.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<[AtomicU64; 2]>);

impl Tally {
    /// Attempts that followed a delay.
    pub fn retries(&self) -> u64 {
        self.0[0].load(Ordering::Relaxed)
    }

    /// How often the fallback model was called: 0 or 1.
    pub fn fallbacks(&self) -> u64 {
        self.0[1].load(Ordering::Relaxed)
    }

    /// Counts one more retry.
    pub(crate) fn count_retry(&self) {
        self.0[0].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the use of the fallback.
    pub(crate) fn count_fallback(&self) {
        self.0[1].fetch_add(1, Ordering::Relaxed);
    }
}
