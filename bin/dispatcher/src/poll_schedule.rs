//! When to ask the backend next.

use std::time::Duration;

use retry::Backoff;
use tokio::time::Instant;

/// The longest `Retry-After` that is obeyed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Between two polls that bring nothing while events tell of what is new.
const LISTENING: Duration = Duration::from_secs(30);

/// The delay before the next attempt after `failures` failures in a row, at least what was asked
/// for, within an hour.
pub(crate) fn delay(backoff: Backoff, failures: u32, retry_after: Option<Duration>) -> Duration {
    backoff.delay_at_least(failures, retry_after.map(|asked| asked.min(MAX_RETRY_AFTER)))
}

/// The rhythm of the polls.
#[derive(Debug)]
pub(crate) struct Pace {
    backoff: Backoff,
    /// Polls in a row that brought nothing or failed.
    idle: u32,
    next: Instant,
}

impl Pace {
    /// The first poll is due at once.
    pub(crate) fn new(backoff: Backoff, now: Instant) -> Self {
        Self { backoff, idle: 0, next: now }
    }

    /// When the next poll is due.
    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    /// A poll was answered. `busy` when it brought something or work is still being done;
    /// `listening` when events tell of what is new, so that polls only cover what they miss.
    pub(crate) fn polled(&mut self, busy: bool, listening: bool, now: Instant) {
        self.idle = if busy { 0 } else { self.idle.saturating_add(1) };
        let wait = match busy || !listening {
            true => self.backoff.delay(self.idle),
            false => self.backoff.max.max(LISTENING),
        };
        self.next = now + wait;
    }

    /// There are no events any more: polls are as if work had just been done.
    pub(crate) fn hurry(&mut self, now: Instant) {
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
        let mut pace = Pace::new(BACKOFF, now);
        let mut wait = |busy| {
            pace.polled(busy, false, now);
            (pace.next() - now).as_secs()
        };
        assert_eq!([wait(false), wait(false), wait(false), wait(true)], [2, 4, 8, 2]);
        pace.failed(Some(Duration::from_secs(9)), now);
        assert_eq!((pace.next() - now).as_secs(), 9);
    }

    #[test]
    fn polls_are_rare_while_events_tell_of_what_is_new() {
        let now = Instant::now();
        let often = Backoff::new(Duration::from_millis(10), Duration::from_millis(50));
        let rarely = Backoff::new(Duration::from_secs(60), Duration::from_secs(90));
        for (backoff, idle, busy) in
            [(BACKOFF, 30_000, 2_000), (often, 30_000, 10), (rarely, 90_000, 60_000)]
        {
            let mut pace = Pace::new(backoff, now);
            pace.polled(false, true, now);
            assert_eq!((pace.next() - now).as_millis(), idle);
            pace.hurry(now);
            assert_eq!((pace.next() - now).as_millis(), busy, "without events");
            pace.polled(true, true, now);
            assert_eq!((pace.next() - now).as_millis(), busy, "at work");
        }
    }
}
