//! Settings of runs that outlive their callers.

use std::time::Duration;

use service::settings::Reader;

/// How long such runs may take, and how many wait and are read.
#[derive(Debug, Clone, Copy)]
pub struct Background {
    /// `WOMBAT_BACKGROUND_TIMEOUT_SECS`: the time of a run, from each take-up.
    pub timeout: Duration,
    /// `WOMBAT_MAX_QUEUED_PER_SESSION`.
    pub max_queued: usize,
    /// `WOMBAT_MAX_READERS_PER_RUN`.
    pub max_readers: usize,
    /// `WOMBAT_STREAM_IDLE_SECS`: after how long without a sign of life a run counts as stalled, where
    /// the backend does not hand on runs of dead instances.
    pub stream_idle: Duration,
    /// `WOMBAT_QUESTION_TTL_SECS`: how long a question to a person waits for the answer.
    pub question_ttl: Duration,
}

impl Background {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        Self {
            timeout: r.seconds("WOMBAT_BACKGROUND_TIMEOUT_SECS", 3_600, 1..=604_800),
            max_queued: r.number("WOMBAT_MAX_QUEUED_PER_SESSION", 32_usize, 1..=10_000),
            max_readers: r.number("WOMBAT_MAX_READERS_PER_RUN", 64_usize, 1..=10_000),
            stream_idle: r.seconds("WOMBAT_STREAM_IDLE_SECS", 660, 1..=86_400),
            question_ttl: r.seconds("WOMBAT_QUESTION_TTL_SECS", 604_800, 1..=31_622_400),
        }
    }
}
