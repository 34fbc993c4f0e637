//! What a run shares with the runs below it: one limit on the cost of all their model calls, and one on how many
//! they are.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use llm::Cost;
use tokio::sync::Notify;

use super::meter::Meter;

/// How many runs may be in flight below one at the top. They take no place among those of
/// `WOMBAT_MAX_CONCURRENT_RUNS`.
pub const MOST_AT_ONCE: usize = 16;

/// How many runs there may be below one at the top in all.
pub const MOST_IN_ALL: usize = 64;

/// A run with all below it.
#[derive(Debug)]
pub struct Tree {
    /// The meter of the run at the top, which has what all of them use.
    meter: Arc<Meter>,
    held: Mutex<Holds>,
    /// A call has ended.
    freed: Notify,
    below: Mutex<Below>,
}

/// The runs below the one at the top.
#[derive(Debug, Default)]
struct Below {
    /// How many are in flight.
    now: usize,
    /// The keys of all that there were.
    known: HashSet<String>,
}

/// Why no run is begun below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// Too many are in flight.
    AtOnce,
    /// There were too many.
    InAll,
}

impl Full {
    /// A sentence for the model.
    pub fn sentence(self) -> String {
        match self {
            Self::AtOnce => format!(
                "{MOST_AT_ONCE} runs of agents that were asked are in flight for this message, which is the most at \
                 once; do it yourself, or ask again when others have replied"
            ),
            Self::InAll => format!(
                "agents were asked {MOST_IN_ALL} times for this message, which is the most in all; go on with what \
                 you have"
            ),
        }
    }
}

/// A run's place below the one at the top, held until this is dropped.
#[derive(Debug)]
pub struct PlaceBelow(Arc<Tree>);

impl Drop for PlaceBelow {
    fn drop(&mut self) {
        self.0.below().now -= 1;
    }
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
        Self { meter, held: Mutex::default(), freed: Notify::new(), below: Mutex::default() }
    }

    fn below(&self) -> MutexGuard<'_, Below> {
        self.below.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts runs that an earlier attempt has begun, by their keys.
    pub fn recall<'a>(&self, keys: impl Iterator<Item = &'a str>) {
        self.below().known.extend(keys.map(str::to_owned));
    }

    /// Takes a place for a run below. One that is known goes on whatever there is.
    ///
    /// # Errors
    /// Which limit is reached.
    pub fn enter(self: &Arc<Self>, key: &str) -> Result<PlaceBelow, Full> {
        let mut below = self.below();
        if !below.known.contains(key) {
            if below.known.len() >= MOST_IN_ALL {
                return Err(Full::InAll);
            }
            if below.now >= MOST_AT_ONCE {
                return Err(Full::AtOnce);
            }
            below.known.insert(key.to_owned());
        }
        below.now += 1;
        Ok(PlaceBelow(Arc::clone(self)))
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

    #[test]
    fn runs_below_are_limited_at_once_and_in_all() {
        let tree = Arc::new(Tree::new(Arc::new(Meter::default())));
        let enter = |n: usize| tree.enter(&n.to_string());
        let mut places: Vec<_> = (0..MOST_AT_ONCE).map(|n| enter(n).unwrap()).collect();
        assert_eq!(enter(MOST_AT_ONCE).unwrap_err(), Full::AtOnce);
        let again = enter(0).unwrap();
        drop((places.pop(), again));
        drop(enter(MOST_AT_ONCE).unwrap());
        drop(places);
        (MOST_AT_ONCE..MOST_IN_ALL).for_each(|n| drop(enter(n).unwrap()));
        assert_eq!(enter(MOST_IN_ALL).unwrap_err(), Full::InAll);
        assert!(enter(1).is_ok());
        let resumed = Arc::new(Tree::new(Arc::new(Meter::default())));
        resumed.recall((0..MOST_IN_ALL).map(|_| "one"));
        assert!(resumed.enter("two").is_ok());
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
