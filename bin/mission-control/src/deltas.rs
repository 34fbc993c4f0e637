//! What runs tell while they work: kept in the store's database, or in Redis Streams where a Redis is set.
//! A run, its lease and who may read it are the database's in both cases.

pub(crate) mod streams;

use std::time::Duration;

use mc_client::deltas::{Deltas, DeltasNote, IDS_PER_FENCE};

use self::streams::Streams;
use crate::store::deltas::{Batch, Limits, Teller};
use crate::store::leases::Fence;
use crate::store::told::Place;
use crate::store::{Scope, Store, StoreError};

pub use self::streams::StreamUrl;

/// Where what runs tell is kept, and how much of it.
#[derive(Debug, Clone)]
pub struct DeltasConfig {
    /// The Redis; the store's database when absent.
    pub streams: Option<StreamUrl>,
    /// For how long after the run's last write.
    pub ttl: Duration,
    /// How many bytes of one run.
    pub max_bytes: usize,
}

impl Default for DeltasConfig {
    fn default() -> Self {
        Self { streams: None, ttl: Duration::from_secs(3_600), max_bytes: 4 * 1024 * 1024 }
    }
}

/// What runs tell. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct RunDeltas {
    store: Store,
    streams: Option<Streams>,
    limits: Limits,
}

impl RunDeltas {
    pub(crate) fn new(store: Store, config: &DeltasConfig) -> Self {
        let limits = Limits { ttl: config.ttl, max_bytes: config.max_bytes };
        let streams = config.streams.as_ref().map(|url| Streams::new(url, store.told().clone()));
        Self { store, streams, limits }
    }

    /// Keeps what a run tells under its lease.
    pub(crate) async fn add(
        &self,
        scope: Scope<'_>,
        run_key: &str,
        fence: &Fence,
        batch: &Batch,
    ) -> Result<DeltasNote, StoreError> {
        let Some(streams) = &self.streams else {
            return self.store.add_deltas(scope, run_key, fence, batch, self.limits).await;
        };
        let run = self.store.teller(scope, run_key, fence).await?;
        let noted = self.store.last_delta(&run).await?;
        let told = streams.add(&run.name, fence.fence, batch, noted, self.limits).await?;
        // Once a lease the database notes that the run tells, for when the Redis has nothing of it any more.
        if told > noted && noted <= fence.fence.saturating_mul(IDS_PER_FENCE) {
            self.store.note_told(&run, told).await?;
        }
        let last_seq = told.max(noted);
        Ok(DeltasNote { last_seq, cancel_requested: run.cancel_requested })
    }

    /// A run that somebody wants to hear.
    pub(crate) async fn find(&self, scope: Scope<'_>, run_key: &str) -> Result<Teller, StoreError> {
        self.store.listened(scope, run_key).await
    }

    /// What a run has told after an id.
    pub(crate) async fn read(
        &self,
        run: &Teller,
        after: i64,
        limit: usize,
    ) -> Result<Deltas, StoreError> {
        match &self.streams {
            None => self.store.deltas(run, after, limit, self.limits.ttl).await,
            Some(streams) => {
                let mut found = streams.read(run, after, limit, self.limits.ttl).await?;
                if found.last_seq == 0 {
                    found.last_seq = self.store.last_delta(run).await?;
                    found.expired |= found.last_seq > 0;
                }
                Ok(found)
            }
        }
    }

    /// The id of the newest event that a run has told.
    pub(crate) async fn last(&self, run: &Teller) -> Result<i64, StoreError> {
        match &self.streams {
            None => self.store.last_delta(run).await,
            Some(_) => Ok(self.read(run, i64::MAX - 1, 1).await?.last_seq),
        }
    }

    /// Waits for what a run tells from now on.
    pub(crate) fn listen(&self, run: &Teller) -> Place {
        match &self.streams {
            None => self.store.told().listen(&run.seq.to_string()),
            Some(_) => self.store.told().listen(&streams::key(&run.name)),
        }
    }

    /// Deletes what runs have told, by their names, where that is not in the database.
    pub(crate) async fn forget(&self, names: &[String]) -> Result<(), StoreError> {
        match &self.streams {
            Some(streams) => streams.forget(names).await,
            None => Ok(()),
        }
    }

    /// Deletes what has expired.
    pub(crate) async fn delete_expired(&self) -> Result<(), StoreError> {
        // Redis does so itself; what was kept before it was set is here.
        self.store.delete_old_deltas(self.limits.ttl).await
    }

    /// Hears of what is told by way of other instances, as long as it is polled. In the database that is
    /// the store's own affair.
    pub(crate) async fn follow_others(&self) -> std::convert::Infallible {
        match &self.streams {
            None => std::future::pending().await,
            Some(streams) => streams.follow_others().await,
        }
    }
}
