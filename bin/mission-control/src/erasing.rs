//! Erasing what there is of a user, wherever it is kept, and taking it up again where it was interrupted.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use mc_client::owned_data::{Erasure, Messages};
use tokio::sync::Mutex;
use tokio::time::MissedTickBehavior;

use crate::deltas::RunDeltas;
use crate::store::audit::{Actor, By};
use crate::store::{Store, StoreError};

/// How often what was interrupted is taken up.
const RESUME_INTERVAL: Duration = Duration::from_secs(60);

/// Erases users' data, one user at a time. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Eraser {
    store: Store,
    deltas: RunDeltas,
    one: Arc<Mutex<()>>,
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
        Self { store, deltas, one: Arc::default() }
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
            let _one = eraser.one.lock().await;
            let actor = asker.person.as_deref().map_or(Actor::Service, Actor::Person);
            let by = By { actor, trace_id: asker.trace_id.as_deref() };
            let counted = eraser.store.begin_erasure(&user_id, messages, by).await?;
            eraser.finish(&user_id, messages).await?;
            eraser.store.scrub().await?;
            Ok(counted)
        });
        done.await.unwrap_or_else(|_| Err(StoreError::Interrupted))
    }

    async fn finish(&self, user_id: &str, messages: Messages) -> Result<(), StoreError> {
        self.deltas.forget(&self.store.names_of_runs(user_id).await?).await?;
        self.store.end_erasure(user_id, messages).await
    }

    /// Completes what was begun.
    async fn resume(&self) -> Result<(), StoreError> {
        let _one = self.one.lock().await;
        for (user_id, messages) in self.store.begun_erasures().await? {
            self.finish(&user_id, messages).await?;
        }
        match self.store.is_scrub_due().await? {
            true => self.store.scrub().await,
            false => Ok(()),
        }
    }

    /// Takes up what was interrupted, as long as it is polled.
    pub(crate) async fn keep_on(&self) -> Infallible {
        let mut interval = tokio::time::interval(RESUME_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            if let Err(error) = self.resume().await {
                tracing::warn!(%error, "an erasure that has begun cannot be completed; tried again each minute");
            }
        }
    }
}
