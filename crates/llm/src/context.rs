//! What belongs to one call besides its request, and what the call went through.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

/// What belongs to a call and not to its request.
#[derive(Debug, Clone, Default)]
pub struct CallContext {
    /// Goes to the provider as the header `traceparent` (W3C Trace Context).
    pub traceparent: Option<String>,
    /// When the caller stops listening: no wait goes beyond. The caller ends the call itself by
    /// dropping it, which drops the connection.
    pub deadline: Option<Instant>,
    /// The agent's role, for the offline script.
    pub role: String,
    /// The person's own words, for the offline script; the newest user message when absent.
    pub user_text: Option<String>,
    /// What the call went through. Clones share it, so that it can be read when the call is over.
    pub tally: Tally,
}

/// How often a call was tried again or handed on.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<[AtomicU64; 2]>);

impl Tally {
    /// Tries that followed a wait.
    pub fn retries(&self) -> u64 {
        self.0[0].load(Ordering::Relaxed)
    }

    /// How often the fallback took over: 0 or 1.
    pub fn fallbacks(&self) -> u64 {
        self.0[1].load(Ordering::Relaxed)
    }

    /// Another try follows a wait.
    pub(crate) fn count_retry(&self) {
        self.0[0].fetch_add(1, Ordering::Relaxed);
    }

    /// The fallback takes over.
    pub(crate) fn count_fallback(&self) {
        self.0[1].fetch_add(1, Ordering::Relaxed);
    }
}
