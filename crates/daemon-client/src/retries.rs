//! The one loop that retries a call.

use std::fmt::Display;
use std::time::Duration;

use retry::Backoff;

/// How often a call is tried, and how long to wait between the attempts.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Attempts in all.
    pub attempts: u32,
    /// The delays between them.
    pub backoff: Backoff,
    /// The longest `Retry-After` that is waited for; a longer one ends the attempts.
    pub max_wait: Duration,
}

impl RetryPolicy {
    /// Calls until it succeeds, the attempts are used up, or a retry is pointless or unsafe.
    /// `retry_after` decides that for an error: `None` gives up, `Some` is the wait that the other
    /// side asks for, zero when it asks for none.
    ///
    /// # Errors
    /// The last attempt's.
    pub async fn run<T, E: Display>(
        &self,
        mut call: impl AsyncFnMut() -> Result<T, E>,
        mut retry_after: impl FnMut(&E) -> Option<Duration>,
    ) -> Result<T, E> {
        let mut attempt = 1;
        loop {
            let error = match call().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            match retry_after(&error) {
                Some(asked) if attempt < self.attempts && asked <= self.max_wait => {
                    let delay = self.backoff.delay_at_least(attempt, Some(asked));
                    let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                    tracing::info!(%error, attempt, delay_ms, "call failed; retrying");
                    tokio::time::sleep(delay).await;
                    attempt += 1;
                }
                Some(_) | None => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        attempts: 3,
        backoff: Backoff::new(Duration::from_millis(1), Duration::from_millis(2)),
        max_wait: Duration::from_millis(5),
    };

    /// How many attempts are made, and the result, when all before the `good`th fail.
    async fn attempts(good: u32, asked: Option<Duration>) -> (u32, Result<(), &'static str>) {
        let mut made = 0;
        let call = async || {
            made += 1;
            if made >= good { Ok(()) } else { Err("no") }
        };
        let result = POLICY.run(call, |_| asked).await;
        (made, result)
    }

    #[tokio::test]
    async fn a_call_is_retried_while_that_helps_and_no_longer() {
        assert_eq!(attempts(1, None).await, (1, Ok(())));
        assert_eq!(attempts(3, Some(Duration::ZERO)).await, (3, Ok(())));
        assert_eq!(attempts(4, Some(Duration::ZERO)).await, (3, Err("no")));
        assert_eq!(attempts(4, None).await, (1, Err("no")));
        assert_eq!(attempts(4, Some(Duration::from_secs(1))).await, (1, Err("no")));
    }
}
