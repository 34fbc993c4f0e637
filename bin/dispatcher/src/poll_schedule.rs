//! When to poll the backend next.

use std::time::Duration;

use retry::Backoff;
use tokio::time::Instant;

/// The longest `Retry-After` that is honoured.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Between two polls that find nothing while the event stream is open.
const STREAMING_INTERVAL: Duration = Duration::from_secs(30);

/// The delay before the next attempt after `failures` failures in a row: at least the `Retry-After`
/// that was asked for, up to an hour.
pub(crate) fn delay(backoff: Backoff, failures: u32, retry_after: Option<Duration>) -> Duration {
    backoff.delay_at_least(failures, retry_after.map(|asked| asked.min(MAX_RETRY_AFTER)))
}

/// The intervals between polls: short at work, doubling while idle or failing.
#[derive(Debug)]
pub(crate) struct PollSchedule {
    backoff: Backoff,
    /// Polls in a row that found nothing or failed.
    idle: u32,
    next: Instant,
}

impl PollSchedule {
    /// The first poll is due at once.
    pub(crate) fn new(backoff: Backoff, now: Instant) -> Self {
        Self { backoff, idle: 0, next: now }
    }

    /// When the next poll is due.
    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    /// A poll was answered. `busy`: it found something, or there is still work to do. `streaming`:
    /// the event stream is open, so that polls only cover what the stream misses.
    pub(crate) fn succeeded(&mut self, busy: bool, streaming: bool, now: Instant) {
        self.idle = if busy { 0 } else { self.idle.saturating_add(1) };
        let delay = match busy || !streaming {
            true => self.backoff.delay(self.idle),
            false => self.backoff.max.max(STREAMING_INTERVAL),
        };
        self.next = now + delay;
    }

    /// The event stream is lost: polls are frequent again.
    pub(crate) fn stream_lost(&mut self, now: Instant) {
        self.idle = 0;
        self.next = self.next.min(now + self.backoff.delay(0));
    }

    /// A poll failed.
    pub(crate) fn failed(&mut self, retry_after: Option<Duration>, now: Instant) {
        self.idle = self.idle.saturating_add(1);
        self.next = now + delay(self.backoff, self.idle, retry_after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(30));

    #[test]
    fn a_wait_that_was_asked_for_is_kept_within_an_hour() {
        for (asked, expected) in [(1, 2), (45, 45), (100_000, 3600)] {
            let asked = Some(Duration::from_secs(asked));
            assert_eq!(delay(BACKOFF, 1, asked), Duration::from_secs(expected));
        }
    }

    #[test]
    fn polls_are_rarer_when_idle_and_frequent_again_when_busy() {
        let now = Instant::now();
        let mut schedule = PollSchedule::new(BACKOFF, now);
        let mut delay_after = |busy| {
            schedule.succeeded(busy, false, now);
            (schedule.next() - now).as_secs()
        };
        assert_eq!(
            [delay_after(false), delay_after(false), delay_after(false), delay_after(true)],
            [2, 4, 8, 2]
        );
        schedule.failed(Some(Duration::from_secs(9)), now);
        assert_eq!((schedule.next() - now).as_secs(), 9);
    }

    #[test]
    fn polls_are_rare_while_the_event_stream_is_open() {
        let now = Instant::now();
        let often = Backoff::new(Duration::from_millis(10), Duration::from_millis(50));
        let rarely = Backoff::new(Duration::from_secs(60), Duration::from_secs(90));
        for (backoff, idle, busy) in
            [(BACKOFF, 30_000, 2_000), (often, 30_000, 10), (rarely, 90_000, 60_000)]
        {
            let mut schedule = PollSchedule::new(backoff, now);
            schedule.succeeded(false, true, now);
            assert_eq!((schedule.next() - now).as_millis(), idle);
            schedule.stream_lost(now);
            assert_eq!((schedule.next() - now).as_millis(), busy, "without the stream");
            schedule.succeeded(true, true, now);
            assert_eq!((schedule.next() - now).as_millis(), busy, "at work");
        }
    }
}
