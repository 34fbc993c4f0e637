//! Erasing what there is of a user, wherever it is kept, and taking it up again where it was interrupted.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use mc_client::owned_data::{Erasure, Messages};
use tokio::sync::Mutex;

use crate::deltas::RunDeltas;
use crate::store::audit::{Actor, By};
use crate::store::{Store, StoreError};

/// How often what was interrupted is taken up; each time that it fails again it takes twice as long, up to an hour.
const RESUME_INTERVAL: Duration = Duration::from_secs(60);
const LONGEST_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Erases users' data, one user at a time. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Eraser {
    store: Store,
    deltas: RunDeltas,
    one: Arc<Mutex<()>>,
    scrubs: Arc<Mutex<()>>,
}

/// Who asks for an erasure.
#[derive(Debug)]
pub(crate) struct Asker {
    /// The person; a service when absent.
    pub(crate) person: Option<String>,
    /// The trace of the request.
    pub(crate) trace_id: Option<String>,
}

impl Eraser {
    pub(crate) fn new(store: Store, deltas: RunDeltas) -> Self {
        Self { store, deltas, one: Arc::default(), scrubs: Arc::default() }
    }

    /// Erases a user's data. It goes on when whoever asks for it does not wait.
    pub(crate) async fn erase(
        &self,
        user_id: String,
        messages: Messages,
        asker: Asker,
    ) -> Result<Erasure, StoreError> {
        let eraser = self.clone();
        let done = tokio::spawn(async move {
            let actor = asker.person.as_deref().map_or(Actor::Service, Actor::Person);
            let by = By { actor, trace_id: asker.trace_id.as_deref() };
            let counted = eraser.erase_rows(&user_id, messages, by).await?;
            eraser.scrub().await?;
            Ok(counted)
        });
        done.await.unwrap_or_else(|_| Err(StoreError::Interrupted))
    }

    async fn erase_rows(
        &self,
        user_id: &str,
        messages: Messages,
        by: By<'_>,
    ) -> Result<Erasure, StoreError> {
        let _one = self.one.lock().await;
        let begun = self.store.begin_erasure(user_id, messages, by).await?;
        if let Some(messages) = begun.messages {
            self.finish(user_id, messages).await?;
        }
        Ok(begun.counted)
    }

    async fn finish(&self, user_id: &str, messages: Messages) -> Result<(), StoreError> {
        let names = self.store.names_of_runs(user_id).await?;
        self.deltas.forget(&names).await?;
        self.store.end_erasure(user_id, messages).await?;
        // Whoever had found a run by then may have written once more.
        self.deltas.forget(&names).await
    }

    /// Leaves nothing of what was erased among the bytes: once for all who wait for it, and not where nothing was.
    async fn scrub(&self) -> Result<(), StoreError> {
        let _scrubs = self.scrubs.lock().await;
        match self.store.is_scrub_due().await? {
            true => self.store.scrub().await,
            false => Ok(()),
        }
    }

    /// Completes what was begun: what one user's fails at keeps no other's.
    async fn resume(&self) -> Result<(), StoreError> {
        let mut ended = Ok(());
        let begun = self.store.begun_erasures().await?;
        for (user_id, messages) in begun {
            let _one = self.one.lock().await;
            ended = ended.and(self.finish(&user_id, messages).await);
        }
        ended.and(self.scrub().await)
    }

    /// Takes up what was interrupted, as long as it is polled.
    pub(crate) async fn keep_on(&self) -> Infallible {
        let mut wait = RESUME_INTERVAL;
        loop {
            let eraser = self.clone();
            // Not to be given up halfway.
            let done = tokio::spawn(async move { eraser.resume().await }).await;
            match done.unwrap_or(Err(StoreError::Interrupted)) {
                Ok(()) => wait = RESUME_INTERVAL,
                Err(error) => {
                    wait = (wait * 2).min(LONGEST_INTERVAL);
                    tracing::warn!(%error, again_s = wait.as_secs(), "an erasure that has begun cannot be completed; tried again");
                }
            }
            tokio::time::sleep(wait).await;
        }
    }
}
