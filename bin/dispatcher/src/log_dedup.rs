//! Keeps a problem that persists from filling the log: it is logged once, and again after a while.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// After this the same problem is logged again, for whoever reads the newest lines only.
const REPEAT_AFTER: Duration = Duration::from_secs(600);

/// How many problems are remembered.
const MAX_PROBLEMS: usize = 1_000;

/// When each problem was logged last.
#[derive(Debug, Default)]
pub(crate) struct LogDedup(HashMap<String, Instant>);

impl LogDedup {
    /// Whether a problem is to be logged now. Two errors of the same `operation` are the same
    /// problem when they agree up to the first colon: what follows is the other side's own text,
    /// which may differ each time.
    pub(crate) fn should_log(&mut self, operation: &str, error: &str, now: Instant) -> bool {
        let problem = format!("{operation}: {}", error.split(':').next().unwrap_or_default());
        if self.0.get(&problem).is_some_and(|logged| now < *logged + REPEAT_AFTER) {
            return false;
        }
        if self.0.len() >= MAX_PROBLEMS {
            self.0.clear();
        }
        self.0.insert(problem, now);
        true
    }

    /// The operation works again: its next problem is logged whatever it is.
    pub(crate) fn reset(&mut self, operation: &str) {
        self.0.retain(|problem, _| {
            !problem.strip_prefix(operation).is_some_and(|rest| rest.starts_with(':'))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_problem_is_logged_once_until_it_is_over() {
        let now = Instant::now();
        let mut dedup = LogDedup::default();
        assert!(dedup.should_log("poll", "the backend answered 500: request 1", now));
        assert!(!dedup.should_log("poll", "the backend answered 500: request 2", now));
        assert!(dedup.should_log("poll", "the backend answered 401: who are you", now));
        assert!(dedup.should_log("ack", "the backend answered 500: request 3", now));
        dedup.reset("poll");
        assert!(dedup.should_log("poll", "the backend answered 500: request 4", now));
        assert!(!dedup.should_log("ack", "the backend answered 500: request 5", now));
        let later = now + REPEAT_AFTER;
        assert!(dedup.should_log("ack", "the backend answered 500: request 6", later));
    }
}
