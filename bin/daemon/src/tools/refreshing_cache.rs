//! A value that is fetched, cached, and refreshed in the background.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::source_state::{SourceState, SourceStatus};

/// How long after a failed fetch the next one is made, on demand.
const RETRY_DELAY: Duration = Duration::from_secs(10);

/// How long a run waits for the very first fetch.
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// The timeout of one fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);

type Fetch<T> = Arc<dyn Fn() -> BoxFuture<'static, Result<Arc<T>, String>> + Send + Sync>;

/// The last good value, and the result of the last fetch. While the source is down the old value
/// stays in use.
pub(super) struct RefreshingCache<T> {
    /// What is fetched, for the log.
    what: &'static str,
    fetch: Fetch<T>,
    fresh: Duration,
    state: watch::Sender<State<T>>,
}

struct State<T> {
    value: Option<Arc<T>>,
    error: Option<String>,
    fetched: Option<Instant>,
    fetching: bool,
    /// Whether another fetch has to start, however fresh the value is.
    outdated: bool,
    /// Whether `get` waits for the fetch that this asks for.
    awaited: bool,
}

impl<T> Clone for State<T> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), error: self.error.clone(), ..*self }
    }
}

impl<T: Send + Sync + 'static> RefreshingCache<T> {
    /// An empty cache; nothing is fetched yet. A value is fresh for `fresh`, after that it is fetched
    /// again on demand. A fetch should return the same `Arc` for an unchanged value.
    pub(super) fn new(what: &'static str, fresh: Duration, fetch: Fetch<T>) -> Self {
        let state = State {
            value: None,
            error: None,
            fetched: None,
            fetching: false,
            outdated: false,
            awaited: false,
        };
        Self { what, fetch, fresh, state: watch::Sender::new(state) }
    }

    /// The current value. Waits only for the very first fetch, and for one that [`Self::outdate`] asks for.
    pub(super) async fn get(&self) -> Option<Arc<T>> {
        self.refresh();
        let mut state = self.state.subscribe();
        let settled =
            state.wait_for(|state| (state.value.is_some() && !state.awaited) || !state.fetching);
        // On timeout the caller continues with what there is.
        let _timeout = timeout(FIRST_WAIT, settled).await.map(drop);
        self.state.borrow().value.clone()
    }

    /// Waits for the fetch that is due or in progress, and returns its result.
    pub(super) async fn fetch_result(&self) -> Result<Arc<T>, String> {
        self.refresh();
        let mut state = self.state.subscribe();
        let settled = state.wait_for(|state| !state.fetching).await;
        let state = settled.map_err(|error| error.to_string())?;
        match (&state.error, &state.value) {
            (None, Some(value)) => Ok(value.clone()),
            (Some(error), _) => Err(error.clone()),
            (None, None) => Err("it was never fetched".to_owned()),
        }
    }

    /// Something has changed that the value may not know of: it is fetched now, and once more where a
    /// fetch has begun before.
    pub(super) fn outdate(&self) {
        self.state.send_modify(|state| (state.outdated, state.awaited) = (true, true));
        self.refresh();
    }

    /// Starts a fetch in the background, if one is due.
    pub(super) fn refresh(&self) {
        self.start(|state| if state.error.is_some() { RETRY_DELAY } else { self.fresh });
    }

    /// Starts a fetch in the background, if the last one was that long ago.
    pub(super) fn refresh_older_than(&self, age: Duration) {
        self.start(|_| age);
    }

    fn start(&self, wait: impl FnOnce(&State<T>) -> Duration) {
        let started = self.state.send_if_modified(|state| {
            let wait = wait(state);
            let due = state.outdated || state.fetched.is_none_or(|at| at.elapsed() >= wait);
            let starts = due && !state.fetching;
            state.fetching |= starts;
            state.outdated &= !starts;
            starts
        });
        if !started {
            return;
        }
        let (what, fetch, sender) = (self.what, self.fetch.clone(), self.state.clone());
        tokio::spawn(async move { while fetch_once(what, &fetch, &sender).await {} });
    }

    /// The current value, and the state for `/health`.
    pub(super) fn state(&self) -> (Option<Arc<T>>, SourceState) {
        let state = self.state.borrow();
        let status = match (&state.error, &state.value, state.fetching) {
            (Some(_), _, _) => SourceStatus::Error,
            (None, Some(_), _) => SourceStatus::Ok,
            (None, None, true) => SourceStatus::Loading,
            (None, None, false) => SourceStatus::Unchecked,
        };
        (state.value.clone(), SourceState::new(status, state.error.clone()))
    }
}

/// The log message of a failed fetch.
fn failed(what: &str, error: &str) -> String {
    let again = RETRY_DELAY.as_secs();
    format!("{what} could not be read: {error}; it is tried again, at the earliest after {again} s")
}

/// Fetches, and stores what came of it. Returns whether it has to be done again: something has changed
/// since it began.
async fn fetch_once<T>(
    what: &'static str,
    fetch: &Fetch<T>,
    sender: &watch::Sender<State<T>>,
) -> bool {
    let fetched = timeout(FETCH_TIMEOUT, fetch()).await;
    let fetched = fetched.unwrap_or_else(|_| Err("timeout".to_owned()));
    let mut again = false;
    sender.send_modify(|state| {
        again = std::mem::take(&mut state.outdated);
        state.fetching = again;
        state.awaited &= again;
        state.fetched = Some(Instant::now());
        match fetched {
            Ok(value) => {
                if state.error.take().is_some() {
                    tracing::info!("{what}: read now");
                }
                state.value = Some(value);
            }
            Err(error) => {
                // Each outage is logged once.
                if state.error.as_ref() != Some(&error) {
                    tracing::warn!("{}", failed(what, &error));
                }
                state.error = Some(error);
            }
        }
    });
    again
}

impl<T> std::fmt::Debug for RefreshingCache<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RefreshingCache").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_outage_keeps_what_was_there_and_ends_by_itself() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let fetch: Fetch<usize> = Arc::new(move || {
            let n = count.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(10)).await;
                if n == 1 { Err("down".to_owned()) } else { Ok(Arc::new(n)) }
            })
        });
        let cache = RefreshingCache::new("it", Duration::from_secs(60), fetch);
        assert_eq!(cache.state().1.status, SourceStatus::Unchecked);
        assert_eq!(cache.get().await.as_deref(), Some(&0));
        assert_eq!(cache.get().await.as_deref(), Some(&0));
        assert_eq!(asked.load(Ordering::Relaxed), 1, "fresh values are not fetched again");
        tokio::time::sleep(Duration::from_secs(61)).await;
        assert_eq!(cache.fetch_result().await.unwrap_err(), "down");
        assert_eq!(cache.get().await.as_deref(), Some(&0), "what was there goes on to hold");
        let down = SourceState::new(SourceStatus::Error, Some("down".to_owned()));
        assert_eq!(cache.state().1, down);
        assert_eq!(asked.load(Ordering::Relaxed), 2, "a failure is not tried again at once");
        tokio::time::sleep(RETRY_DELAY).await;
        assert_eq!(cache.fetch_result().await.as_deref(), Ok(&2));
        assert_eq!(cache.state().1, SourceState::new(SourceStatus::Ok, None));
    }

    /// A fetch that began before the change does not count: `get` waits for one that began after it.
    #[tokio::test(start_paused = true)]
    async fn what_is_outdated_is_fetched_once_more_and_waited_for() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let fetch: Fetch<usize> = Arc::new(move || {
            let n = count.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(10)).await;
                Ok(Arc::new(n))
            })
        });
        let cache = RefreshingCache::new("it", Duration::from_secs(60), fetch);
        assert_eq!(cache.get().await.as_deref(), Some(&0));
        cache.outdate();
        tokio::time::sleep(Duration::from_millis(5)).await;
        cache.outdate();
        assert_eq!(cache.get().await.as_deref(), Some(&2), "the one in progress began too early");
        assert_eq!(cache.get().await.as_deref(), Some(&2));
        cache.refresh_older_than(Duration::from_secs(1));
        assert_eq!(cache.fetch_result().await.as_deref(), Ok(&2));
        tokio::time::sleep(Duration::from_secs(2)).await;
        cache.refresh_older_than(Duration::from_secs(1));
        assert_eq!(cache.fetch_result().await.as_deref(), Ok(&3));
    }

    #[test]
    fn the_log_says_that_it_is_tried_again() {
        let told = failed("document", "connection refused");
        let again = "document could not be read: connection refused; it is tried again, at the earliest after 10 s";
        assert_eq!(told, again);
    }

    #[tokio::test]
    async fn a_crowd_fetches_once_and_a_failure_is_told() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let fetch: Fetch<()> = Arc::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
            Box::pin(async {
                tokio::task::yield_now().await;
                Err("down".to_owned())
            })
        });
        let cache = RefreshingCache::new("it", Duration::ZERO, fetch);
        let all = futures::future::join_all((0..50).map(|_| cache.get())).await;
        assert!(all.iter().all(Option::is_none));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert_eq!(cache.fetch_result().await.unwrap_err(), "down");
        let down = SourceState::new(SourceStatus::Error, Some("down".to_owned()));
        assert_eq!(cache.state().1, down);
    }
}
