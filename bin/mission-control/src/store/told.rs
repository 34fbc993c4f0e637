//! Who waits for what a run tells: only these are woken, as most readers wait for something else.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, watch};

/// The readers of this instance, by run, and the runs of which other instances are to be told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    readers: Mutex<HashMap<String, watch::Sender<()>>>,
    others: Mutex<BTreeSet<i64>>,
    wake: Notify,
}

/// A reader's place; gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    run: String,
    news: watch::Receiver<()>,
    told: Told,
}

impl Told {
    /// Waits for a run from now on.
    pub(crate) fn listen(&self, run: &str) -> Place {
        let mut readers = self.0.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let news = readers.entry(run.to_owned()).or_default().subscribe();
        drop(readers);
        Place { run: run.to_owned(), news, told: self.clone() }
    }

    /// Wakes the readers of a run.
    pub(crate) fn tell(&self, run: &str) {
        let readers = self.0.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(news) = readers.get(run) {
            news.send_replace(());
        }
    }

    /// Notes that other instances are to be told of a run.
    pub(super) fn tell_others(&self, seq: i64) {
        self.0.others.lock().unwrap_or_else(PoisonError::into_inner).insert(seq);
        self.0.wake.notify_one();
    }

    /// Waits until other instances are to be told of runs, and takes these.
    pub(super) async fn to_tell(&self) -> BTreeSet<i64> {
        loop {
            let taken =
                std::mem::take(&mut *self.0.others.lock().unwrap_or_else(PoisonError::into_inner));
            if !taken.is_empty() {
                return taken;
            }
            self.0.wake.notified().await;
        }
    }
}

impl Place {
    /// Waits until the run has told something since the last call of [`Place::seen`].
    pub(crate) async fn changed(&mut self) {
        // The sender is in the map as long as this place is there.
        let _changed = self.news.changed().await;
    }

    /// Marks what was told so far as seen.
    pub(crate) fn seen(&mut self) {
        self.news.borrow_and_update();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut readers = self.told.0.readers.lock().unwrap_or_else(PoisonError::into_inner);
        // Its own receiver is still there.
        if readers.get(&self.run).is_some_and(|news| news.receiver_count() <= 1) {
            readers.remove(&self.run);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_readers_of_a_run_are_woken_and_leave_nothing_behind() {
        let told = Told::default();
        let (mut one, mut other) = (told.listen("1"), told.listen("2"));
        let second = told.listen("1");
        told.tell("1");
        told.tell("3");
        one.changed().await;
        assert!(!other.news.has_changed().unwrap());
        other.seen();
        drop((one, other));
        assert_eq!(told.0.readers.lock().unwrap().len(), 1);
        drop(second);
        assert!(told.0.readers.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn other_instances_are_told_of_each_run_once() {
        let told = Told::default();
        for seq in [7, 3, 7] {
            told.tell_others(seq);
        }
        assert_eq!(told.to_tell().await, BTreeSet::from([3, 7]));
        told.tell_others(1);
        assert_eq!(told.to_tell().await, BTreeSet::from([1]));
    }
}
