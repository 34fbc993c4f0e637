//! The detached runs that this instance works on or waits with, and who reads them here: a reader of
//! such a run needs no other instance to hear what it tells.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mc_client::idempotency::RunKey;
use tokio::sync::watch;

use super::told::Told;

/// The most events that are kept of one run. Older ones are in the backend, with the steps of the
/// journal that they belong to.
const MAX_EVENTS: usize = 20_000;

/// What one run tells while it is here.
#[derive(Debug, Default)]
pub struct Feed {
    events: Mutex<VecDeque<Told>>,
    progress: watch::Sender<Progress>,
}

/// How far a run here is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// The newest event.
    pub newest: i64,
    /// Whether the run is no longer here.
    pub is_over: bool,
}

impl Feed {
    /// Tells readers of these events.
    pub fn tell(&self, news: Vec<Told>) {
        let Some(newest) = news.last().map(|told| told.id) else { return };
        {
            let mut events = self.events();
            events.extend(news);
            while events.len() > MAX_EVENTS {
                events.pop_front();
            }
        }
        self.progress.send_modify(|progress| progress.newest = newest);
    }

    /// The events after one.
    pub fn after(&self, id: i64) -> Vec<Told> {
        let events = self.events();
        let first = events.partition_point(|told| told.id <= id);
        events.range(first..).cloned().collect()
    }

    /// Tells of each new event, and of the end of the run here.
    pub fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// The run is another instance's by now: readers hear no more of it here.
    pub fn close(&self) {
        self.progress.send_modify(|progress| progress.is_over = true);
    }

    fn events(&self) -> MutexGuard<'_, VecDeque<Told>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The runs that are here, and the readers of each run.
#[derive(Debug, Clone, Default)]
pub struct Feeds(Arc<Mutex<HashMap<RunKey, Entry>>>);

#[derive(Debug, Default)]
struct Entry {
    feed: Option<Arc<Feed>>,
    readers: usize,
}

impl Entry {
    fn is_empty(&self) -> bool {
        self.feed.is_none() && self.readers == 0
    }
}

/// A run that is here until this is dropped.
#[derive(Debug)]
pub struct OpenFeed {
    feeds: Feeds,
    key: RunKey,
    feed: Arc<Feed>,
}

impl OpenFeed {
    /// Where it tells.
    pub fn feed(&self) -> Arc<Feed> {
        self.feed.clone()
    }
}

impl Drop for OpenFeed {
    fn drop(&mut self) {
        self.feeds.change(&self.key, |entry| {
            // Unless the run has come back already.
            entry.feed.take_if(|feed| Arc::ptr_eq(feed, &self.feed));
        });
        self.feed.close();
    }
}

/// A reader's place until this is dropped.
#[derive(Debug)]
pub struct Reader {
    feeds: Feeds,
    key: RunKey,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.feeds.change(&self.key, |entry| entry.readers = entry.readers.saturating_sub(1));
    }
}

impl Feeds {
    /// The run is here from now on.
    pub fn open(&self, key: &RunKey) -> OpenFeed {
        let feed = Arc::new(Feed::default());
        self.change(key, |entry| entry.feed = Some(feed.clone()));
        OpenFeed { feeds: self.clone(), key: key.clone(), feed }
    }

    /// What the run tells here, if it is here.
    pub fn of(&self, key: &RunKey) -> Option<Arc<Feed>> {
        let feed = self.entries().get(key)?.feed.clone()?;
        let is_over = feed.progress.borrow().is_over;
        (!is_over).then_some(feed)
    }

    /// A place for one more reader of a run; `None` when it has as many as may be.
    pub fn read(&self, key: &RunKey, most: usize) -> Option<Reader> {
        self.change(key, |entry| {
            let has_room = entry.readers < most;
            entry.readers += usize::from(has_room);
            has_room
        })
        .then(|| Reader { feeds: self.clone(), key: key.clone() })
    }

    fn change<T>(&self, key: &RunKey, change: impl FnOnce(&mut Entry) -> T) -> T {
        let mut entries = self.entries();
        let entry = entries.entry(key.clone()).or_default();
        let changed = change(entry);
        if entry.is_empty() {
            entries.remove(key);
        }
        changed
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<RunKey, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::events::RunEvent;

    fn chunk(id: i64) -> Told {
        Told { id, event: RunEvent::Chunk { data: id.to_string(), step: Some(2) } }
    }

    #[tokio::test]
    async fn readers_hear_what_is_told_until_the_run_leaves() {
        let (feeds, key) = (Feeds::default(), RunKey::random());
        let open = feeds.open(&key);
        let feed = open.feed();
        let mut watch = feeds.of(&key).map(|feed| feed.watch()).unwrap();
        feed.tell(vec![chunk(1_000_001), chunk(1_000_002)]);
        watch.changed().await.unwrap();
        assert_eq!(feed.after(1_000_001), [chunk(1_000_002)]);
        assert_eq!(feed.after(0).len(), 2);
        drop((feed, open));
        assert!(watch.wait_for(|progress| progress.is_over).await.is_ok());
        assert!(feeds.of(&key).is_none() && feeds.entries().is_empty());
    }

    #[tokio::test]
    async fn a_run_that_another_instance_has_taken_is_not_here() {
        let (feeds, key) = (Feeds::default(), RunKey::random());
        let lost = feeds.open(&key);
        let mut watch = lost.feed().watch();
        lost.feed().close();
        assert!(watch.wait_for(|progress| progress.is_over).await.is_ok());
        assert!(feeds.of(&key).is_none());
        let again = feeds.open(&key);
        drop(lost);
        assert!(Arc::ptr_eq(&feeds.of(&key).unwrap(), &again.feed()));
    }

    #[test]
    fn a_run_has_so_many_readers_and_no_more() {
        let (feeds, key) = (Feeds::default(), RunKey::random());
        let one = feeds.read(&key, 1);
        assert!(one.is_some() && feeds.read(&key, 1).is_none());
        assert!(feeds.read(&RunKey::random(), 1).is_some());
        drop(one);
        assert!(feeds.read(&key, 1).is_some() && feeds.entries().is_empty());
    }
}
