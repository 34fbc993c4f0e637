//! Exponential backoff with jitter.

use std::time::Duration;

/// Exponential backoff: the delay before an attempt doubles with each failure, from `min` up to
/// `max`, and is spread by `jitter` so that many clients do not come back at the same moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// The delay after the first failure.
    pub min: Duration,
    /// The longest delay, before jitter.
    pub max: Duration,
    /// The largest change of a delay by chance, as a fraction of it, in either direction: with 0.1
    /// ten seconds become nine to eleven. 0 for none; values outside of 0 to 1 are clamped.
    pub jitter: f64,
}

impl Backoff {
    /// Backoff without jitter.
    pub const fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, jitter: 0.0 }
    }

    /// The same with jitter, a fraction of 0 to 1.
    #[must_use]
    pub const fn with_jitter(self, jitter: f64) -> Self {
        Self { jitter, ..self }
    }

    /// The delay before the next attempt, after `failures` failures in a row. Zero failures count
    /// as one.
    pub fn delay(self, failures: u32) -> Duration {
        let factor = 2_u32.saturating_pow(failures.saturating_sub(1));
        let delay = self.min.saturating_mul(factor).min(self.max);
        if self.jitter <= 0.0 {
            return delay;
        }
        delay.mul_f64(1.0 + self.jitter.min(1.0) * (2.0 * fastrand::f64() - 1.0))
    }

    /// The same, but at least what the other side asked for (`Retry-After`), without jitter on
    /// top of that.
    pub fn delay_at_least(self, failures: u32, asked: Option<Duration>) -> Duration {
        self.delay(failures).max(asked.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn delays_double_up_to_the_longest() {
        let backoff = Backoff::new(2 * SECOND, 30 * SECOND);
        let delays: Vec<_> = (0..8).map(|failures| backoff.delay(failures).as_secs()).collect();
        assert_eq!(delays, [2, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(backoff.delay(u32::MAX), 30 * SECOND);
    }

    #[test]
    fn jitter_moves_a_delay_by_its_fraction_at_most_and_really_moves_it() {
        let backoff = Backoff::new(SECOND, SECOND).with_jitter(0.5);
        let delays: Vec<_> = (0..100).map(|_| backoff.delay(1)).collect();
        assert!(delays.iter().all(|delay| (SECOND / 2..=SECOND * 3 / 2).contains(delay)));
        assert!(delays.iter().any(|delay| *delay < SECOND));
        assert!(delays.iter().any(|delay| *delay > SECOND));
    }

    #[test]
    fn jitter_of_any_size_never_makes_a_negative_delay() {
        for jitter in [-1.0, 7.0, f64::INFINITY, f64::NAN] {
            let backoff = Backoff::new(SECOND, SECOND).with_jitter(jitter);
            assert!((0..100).all(|_| backoff.delay(1) <= 2 * SECOND), "{jitter}");
        }
    }

    #[test]
    fn a_longer_wait_that_was_asked_for_is_kept() {
        let backoff = Backoff::new(SECOND, 8 * SECOND);
        assert_eq!(backoff.delay_at_least(1, Some(45 * SECOND)), 45 * SECOND);
        assert_eq!(backoff.delay_at_least(3, Some(SECOND)), 4 * SECOND);
        assert_eq!(backoff.delay_at_least(3, None), 4 * SECOND);
    }
}
