//! What goes wrong is said once, not each time it is found out again.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// After this the same is said again, for whoever looks at the newest lines only.
const QUIET: Duration = Duration::from_secs(600);

/// How many causes are kept in mind.
const MAX_CAUSES: usize = 1_000;

/// What was said already.
#[derive(Debug, Default)]
pub(crate) struct Causes(HashMap<String, Instant>);

impl Causes {
    /// Whether this is to be said. What follows the first colon, the other side's own words, does
    /// not make another cause of it.
    pub(crate) fn is_news(&mut self, what: &str, error: &str, now: Instant) -> bool {
        let cause = format!("{what}: {}", error.split(':').next().unwrap_or_default());
        if self.0.get(&cause).is_some_and(|said| now < *said + QUIET) {
            return false;
        }
        if self.0.len() >= MAX_CAUSES {
            self.0.clear();
        }
        self.0.insert(cause, now);
        true
    }

    /// It is over: the next time is news again.
    pub(crate) fn is_over(&mut self, what: &str) {
        self.0
            .retain(|cause, _| !cause.strip_prefix(what).is_some_and(|rest| rest.starts_with(':')));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_said_once_until_it_is_over() {
        let now = Instant::now();
        let mut causes = Causes::default();
        assert!(causes.is_news("poll", "the backend answered 500: request 1", now));
        assert!(!causes.is_news("poll", "the backend answered 500: request 2", now));
        assert!(causes.is_news("poll", "the backend answered 401: who are you", now));
        assert!(causes.is_news("tell", "the backend answered 500: request 3", now));
        causes.is_over("poll");
        assert!(causes.is_news("poll", "the backend answered 500: request 4", now));
        assert!(!causes.is_news("tell", "the backend answered 500: request 5", now));
        assert!(causes.is_news("tell", "the backend answered 500: request 6", now + QUIET));
    }
}
