//! The retry policy (docs/RUNS.md, "LLM calls"): a pure decision after each failed attempt, and the
//! retry budget that keeps an outage from becoming a retry storm. Nothing else in this crate decides
//! on retries.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use retry::Backoff;
use tokio::time::Instant;

use crate::model::ModelRef;
use crate::provider::Failure;
use crate::settings::RetrySettings;

/// What to do after a failed attempt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Next {
    /// Wait this long, then call the same model again.
    Wait(Duration),
    /// Call the fallback model now.
    FallBack,
    /// Return the error to the caller.
    GiveUp,
}

/// The attempts of one call.
#[derive(Debug)]
pub(crate) struct Attempts {
    settings: RetrySettings,
    /// The model to fall back to, while it has not been called.
    fallback: Option<ModelRef>,
    /// Attempts with the current model.
    attempts: u32,
    /// The sum of the delays so far.
    waited: Duration,
    /// The limit of that sum.
    waits_total: Duration,
    /// When the caller stops waiting.
    deadline: Option<Instant>,
}

impl Attempts {
    pub(crate) fn new(
        settings: RetrySettings,
        fallback: Option<ModelRef>,
        waits_total: Duration,
        deadline: Option<Instant>,
    ) -> Self {
        Self { settings, fallback, attempts: 1, waited: Duration::ZERO, waits_total, deadline }
    }

    /// Switches to the fallback model, after [`Next::FallBack`].
    pub(crate) fn fall_back(&mut self) -> Option<ModelRef> {
        self.attempts = 1;
        self.fallback.take()
    }

    /// Decides. A delay is counted as if it had happened.
    pub(crate) fn after(&mut self, failure: &Failure, budget: &Budget) -> Next {
        if failure.retryable && self.attempts < self.settings.attempts.max(1) {
            let wait = failure.retry_after.unwrap_or_else(|| self.backoff());
            let in_time = self.deadline.is_none_or(|deadline| Instant::now() + wait < deadline);
            if self.waited + wait <= self.waits_total && in_time && budget.take() {
                self.attempts += 1;
                self.waited += wait;
                return Next::Wait(wait);
            }
        }
        if self.fallback.is_some() && failure.may_succeed_elsewhere() {
            return Next::FallBack;
        }
        Next::GiveUp
    }

    fn backoff(&self) -> Duration {
        let RetrySettings { delay, max_delay, jitter, .. } = self.settings;
        Backoff::new(delay, max_delay).with_jitter(jitter).delay(self.attempts)
    }
}

/// The window of the budget.
const WINDOW: Duration = Duration::from_secs(10);
/// One retry is allowed for this many calls within the window.
const CALLS_PER_RETRY: usize = 5;
/// Retries that are always allowed within the window.
const FLOOR: usize = 10;
/// The most calls that are remembered; beyond it the share is that of the newest ones.
const REMEMBERED: usize = 100_000;

/// The retry budget of all calls together: 20 % of the calls of the last ten seconds, plus ten.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    calls: VecDeque<Instant>,
    retries: VecDeque<Instant>,
}

impl Budget {
    /// Counts a new call.
    pub(crate) fn call(&self) {
        let now = Instant::now();
        let mut window = self.lock();
        window.forget(now);
        if window.calls.len() == REMEMBERED {
            window.calls.pop_front();
        }
        window.calls.push_back(now);
    }

    /// Takes one retry out of the budget; `false` when it is used up.
    fn take(&self) -> bool {
        let now = Instant::now();
        let mut window = self.lock();
        window.forget(now);
        if window.retries.len() >= FLOOR + window.calls.len() / CALLS_PER_RETRY {
            return false;
        }
        window.retries.push_back(now);
        true
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Window> {
        // Nothing that holds the lock can panic in the middle of a change.
        self.window.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Window {
    fn forget(&mut self, now: Instant) {
        let is_old = |at: &Instant| now.duration_since(*at) > WINDOW;
        while self.calls.front().is_some_and(is_old) {
            self.calls.pop_front();
        }
        while self.retries.front().is_some_and(is_old) {
            self.retries.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::LlmErrorKind;
    use crate::model::Provider;

    const SECOND: Duration = Duration::from_secs(1);

    fn settings(jitter: f64) -> RetrySettings {
        RetrySettings { attempts: 4, delay: SECOND, max_delay: 3 * SECOND, jitter }
    }

    fn fallback() -> Option<ModelRef> {
        Some(ModelRef::new(Provider::Anthropic, "other"))
    }

    #[tokio::test(start_paused = true)]
    async fn waits_double_up_to_the_longest_and_then_the_fallback_is_asked() {
        let (settings, budget) = (settings(0.0), Budget::default());
        let mut attempts = Attempts::new(settings.clone(), fallback(), 60 * SECOND, None);
        let down = Failure::unavailable("down");
        for wait in [1, 2, 3] {
            assert_eq!(attempts.after(&down, &budget), Next::Wait(wait * SECOND));
        }
        assert_eq!(attempts.after(&down, &budget), Next::FallBack);
        assert_eq!(attempts.fall_back(), fallback());
        assert_eq!(attempts.after(&down, &budget), Next::Wait(SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn jitter_moves_a_wait_by_its_fraction_at_most() {
        let (settings, budget) = (settings(0.5), Budget::default());
        for _ in 0..10 {
            let mut attempts = Attempts::new(settings.clone(), None, 60 * SECOND, None);
            let Next::Wait(wait) = attempts.after(&Failure::unavailable("down"), &budget) else {
                panic!("no wait")
            };
            assert!(wait >= SECOND / 2 && wait <= SECOND * 3 / 2, "{wait:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_longer_wait_of_the_providers_own_is_kept_unless_it_is_too_long() {
        let (settings, budget) = (settings(0.0), Budget::default());
        let mut attempts = Attempts::new(settings.clone(), None, 60 * SECOND, None);
        let asked =
            |secs| Failure { retry_after: Some(secs * SECOND), ..Failure::unavailable("429") };
        assert_eq!(attempts.after(&asked(40), &budget), Next::Wait(40 * SECOND));
        assert_eq!(attempts.after(&asked(40), &budget), Next::GiveUp);
        let soon = Some(Instant::now() + 5 * SECOND);
        let mut attempts = Attempts::new(settings.clone(), None, 60 * SECOND, soon);
        assert_eq!(attempts.after(&asked(4), &budget), Next::Wait(4 * SECOND));
        assert_eq!(attempts.after(&asked(6), &budget), Next::GiveUp);
    }

    #[test]
    fn what_stays_wrong_is_not_tried_again_anywhere() {
        let (settings, budget) = (settings(0.0), Budget::default());
        let mut attempts = Attempts::new(settings.clone(), fallback(), 60 * SECOND, None);
        for kind in [LlmErrorKind::ContextTooLong, LlmErrorKind::ContentFiltered] {
            assert_eq!(attempts.after(&Failure::new(kind, ""), &budget), Next::GiveUp);
        }
        // Another provider has other accounts and other rules.
        for kind in [
            LlmErrorKind::QuotaExhausted,
            LlmErrorKind::Auth { variable: None },
            LlmErrorKind::Rejected,
            LlmErrorKind::InvalidRequest,
        ] {
            assert_eq!(attempts.after(&Failure::new(kind, ""), &budget), Next::FallBack);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn in_an_outage_retries_stay_a_fifth_of_the_calls() {
        let budget = Budget::default();
        for _ in 0..100 {
            budget.call();
        }
        assert_eq!((0..100).filter(|_| budget.take()).count(), FLOOR + 20);
        tokio::time::advance(WINDOW + SECOND).await;
        assert_eq!((0..100).filter(|_| budget.take()).count(), FLOOR);
    }
}
