//! The latest of something that takes long to make.

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};

/// Made by one at a time, on another thread, and to its end even if nobody waits any more: what was begun
/// is there for the next one.
#[derive(Debug)]
pub(super) struct Latest<T> {
    kept: Arc<Mutex<Option<Arc<T>>>>,
    making: Arc<tokio::sync::Mutex<()>>,
}

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self { kept: Arc::default(), making: Arc::default() }
    }
}

impl<T: Send + Sync + 'static> Latest<T> {
    /// What was made last.
    pub(super) fn get(&self) -> Option<Arc<T>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was made last if it fits; else it is made.
    pub(super) async fn get_or_make(
        &self,
        fits: impl Fn(&T) -> bool,
        make: impl FnOnce() -> T + Send + 'static,
    ) -> Arc<T> {
        let known = || self.get().filter(|kept| fits(kept));
        if let Some(known) = known() {
            return known;
        }
        let one = self.making.clone().lock_owned().await;
        if let Some(known) = known() {
            return known;
        }
        let kept = self.kept.clone();
        let make = move || {
            let _one = one;
            let made = Arc::new(make());
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(made.clone());
            made
        };
        apart(make).await
    }
}

/// Does what takes long on a thread of its own: nobody else's run waits for it.
pub(super) async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime shuts down, and ends this, too.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_caller_that_left_began_is_finished_and_made_once() {
        let latest = Arc::new(Latest::<u32>::default());
        let (begun, is_begun) = tokio::sync::oneshot::channel();
        let (go, may_go) = std::sync::mpsc::channel::<()>();
        let first = tokio::spawn({
            let latest = latest.clone();
            async move {
                let make = move || {
                    begun.send(()).unwrap();
                    may_go.recv().unwrap();
                    7
                };
                latest.get_or_make(|_| true, make).await
            }
        });
        is_begun.await.unwrap();
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        let second = latest.get_or_make(|_| true, || panic!("made twice"));
        let (second, ()) = tokio::join!(second, async { go.send(()).unwrap() });
        assert_eq!((*second, latest.get()), (7, Some(Arc::new(7))));
        let other = latest.get_or_make(|kept| *kept == 8, || 8).await;
        assert_eq!((*other, latest.get()), (8, Some(other.clone())));
    }
}
