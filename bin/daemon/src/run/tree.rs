//! What a run shares with the runs below it: one limit on the cost of all their model calls.

use std::sync::{Arc, Mutex, PoisonError};

use llm::Cost;
use tokio::sync::Notify;

use super::meter::Meter;

/// A run with all below it.
#[derive(Debug)]
pub struct Tree {
    /// The meter of the run at the top, which has what all of them use.
    meter: Arc<Meter>,
    held: Mutex<Holds>,
    /// A call has ended.
    freed: Notify,
}

/// What the calls that are being made may cost at most.
#[derive(Debug, Default)]
struct Holds {
    calls: usize,
    usd: f64,
}

/// What one call may cost, held until this is dropped.
#[derive(Debug)]
pub struct Held {
    tree: Arc<Tree>,
    usd: f64,
}

impl Tree {
    /// The tree of a run at the top, which has this meter.
    pub fn new(meter: Arc<Meter>) -> Self {
        Self { meter, held: Mutex::default(), freed: Notify::new() }
    }

    /// What the finished calls have cost.
    pub fn spent(&self) -> Cost {
        self.meter.read().cost
    }

    /// Holds what a call may cost at most. `fit` gets what other calls hold, USD, and says what is left for
    /// this one, or that it is too little; then the call waits for the others, whose answers may be
    /// shorter than they might have been.
    ///
    /// # Errors
    /// Why nothing is left, while no other call holds anything.
    pub async fn hold<T, E>(
        self: &Arc<Self>,
        fit: impl Fn(f64) -> Result<(T, f64), E>,
    ) -> Result<(T, Held), E> {
        loop {
            // Made before the look, so that no end of a call in between is missed.
            let freed = self.freed.notified();
            {
                let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
                match fit(held.usd) {
                    Ok((value, usd)) => {
                        held.calls += 1;
                        held.usd += usd;
                        return Ok((value, Held { tree: Arc::clone(self), usd }));
                    }
                    Err(error) if held.calls == 0 => return Err(error),
                    Err(_) => {}
                }
            }
            freed.await;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        {
            let mut held = self.tree.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.calls -= 1;
            // Sums of floats leave a rest.
            held.usd = if held.calls == 0 { 0.0 } else { held.usd - self.usd };
        }
        self.tree.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `usd` of a limit of 1.
    async fn take(tree: &Arc<Tree>, usd: f64) -> Result<Held, f64> {
        let fit = |held: f64| if held + usd <= 1.0 { Ok(((), usd)) } else { Err(held) };
        tree.hold(fit).await.map(|((), held)| held)
    }

    #[tokio::test]
    async fn calls_together_never_hold_more_than_the_limit() {
        let tree = Arc::new(Tree::new(Arc::new(Meter::default())));
        let first = take(&tree, 0.7).await.unwrap();
        let waiting = tokio::spawn({
            let tree = tree.clone();
            async move { take(&tree, 0.7).await.is_ok() }
        });
        let small = take(&tree, 0.3).await.unwrap();
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(small);
        drop(first);
        assert!(waiting.await.unwrap());
        assert_eq!(take(&tree, 1.5).await.unwrap_err(), 0.0);
    }
}
