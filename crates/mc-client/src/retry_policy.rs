//! How often a failed call is retried, and after which delays.

use std::time::Duration;

use retry::Backoff;
use tokio::time::Instant;

use crate::error::McError;

/// The longest `Retry-After` that is honoured, or the policy's longest delay if that is longer. After
/// a longer one the call fails, and the caller decides.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// How often a call is retried, and after which delays.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Attempts in all, at least 1.
    pub attempts: usize,
    /// The delay before the second attempt; doubles with each further one.
    pub delay: Duration,
    /// The longest delay between two attempts.
    pub max_delay: Duration,
    /// The jitter: by which fraction of itself a delay may be shorter or longer, 0 to 1.
    pub jitter: f64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 3,
            delay: Duration::from_millis(250),
            max_delay: Duration::from_secs(5),
            jitter: 0.5,
        }
    }
}

impl RetryPolicy {
    /// The delays between attempts.
    fn backoff(&self) -> Backoff {
        Backoff::new(self.delay, self.max_delay).with_jitter(self.jitter)
    }

    /// The delay before the next attempt, after this many failures; `None` when there is no next one:
    /// no attempts are left, the error is permanent, the backend asks for too long a wait, or the
    /// delay would end after the deadline.
    pub(crate) fn wait(
        &self,
        failures: u32,
        error: &McError,
        deadline: Option<Instant>,
    ) -> Option<Duration> {
        let attempts_left = usize::try_from(failures).is_ok_and(|made| made < self.attempts);
        let asked = error.retry_after();
        let too_long = asked.is_some_and(|asked| asked > MAX_WAIT.max(self.max_delay));
        if !attempts_left || !error.is_retryable() || too_long {
            return None;
        }
        let wait = self.backoff().delay_at_least(failures, asked);
        let too_late = deadline.is_some_and(|deadline| Instant::now() + wait >= deadline);
        (!too_late).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn policy() -> RetryPolicy {
        RetryPolicy { attempts: 3, delay: SECOND, max_delay: 4 * SECOND, jitter: 0.0 }
    }

    fn status(status: u16, retry_after: Option<Duration>) -> McError {
        let message = String::new();
        McError::Status {
            status,
            code: None,
            message,
            details: None,
            retry_after,
            clock_ahead: None,
            wants_bearer: false,
            caller: None,
            address: None,
        }
    }

    #[test]
    fn waits_double_until_the_attempts_are_used_up() {
        let waits = [1, 2, 3].map(|failures| policy().wait(failures, &McError::Timeout, None));
        assert_eq!(waits, [Some(SECOND), Some(2 * SECOND), None]);
        let once = RetryPolicy { attempts: 1, ..policy() };
        assert_eq!(once.wait(1, &McError::Timeout, None), None);
    }

    #[test]
    fn an_error_that_stays_is_not_retried() {
        for error in [status(400, None), status(404, None), status(501, None)] {
            assert_eq!(policy().wait(1, &error, None), None, "{error}");
        }
        assert_eq!(policy().wait(1, &status(503, None), None), Some(SECOND));
    }

    #[test]
    fn a_wait_that_the_backend_asks_for_is_kept_unless_it_is_too_long() {
        let asks = |secs| status(429, Some(secs * SECOND));
        assert_eq!(policy().wait(1, &asks(5), None), Some(5 * SECOND));
        assert_eq!(policy().wait(1, &asks(6), None), None);
        let patient = RetryPolicy { max_delay: 10 * SECOND, ..policy() };
        assert_eq!(patient.wait(1, &asks(10), None), Some(10 * SECOND));
    }

    #[test]
    fn jitter_at_the_longest_delay_ends_no_attempts() {
        let policy =
            RetryPolicy { delay: 5 * SECOND, max_delay: 5 * SECOND, jitter: 0.5, ..policy() };
        assert!((0..100).all(|_| policy.wait(1, &McError::Timeout, None).is_some()));
    }

    #[tokio::test(start_paused = true)]
    async fn no_wait_goes_beyond_the_deadline() {
        let deadline = |secs| Some(Instant::now() + secs * SECOND);
        assert_eq!(policy().wait(1, &McError::Timeout, deadline(1)), None);
        assert_eq!(policy().wait(1, &McError::Timeout, deadline(2)), Some(SECOND));
    }
}
