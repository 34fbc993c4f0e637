//! Webhooks in: `POST /hooks/{name}` of another service becomes a notification, as the workspace's
//! `hooks/{name}.md` says.
//!
//! The dispatcher keeps nothing of it: the backend stores the notification under a key of what the
//! service has sent, so that it is stored once however often, and to whichever dispatcher, it is sent.

mod answer;
mod catalogue;
mod event;
mod receive;
mod signature;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::routing::post;
use service::settings::Variables;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::backend::Backend;
use crate::log_dedup::LogDedup;
use crate::metrics::Metrics;
use crate::settings::Settings;

/// The most webhooks that are received at the same time. Each holds a body of at most
/// [`receive::MAX_BODY_BYTES`].
const MAX_AT_A_TIME: usize = 64;

/// What receives webhooks.
pub(crate) struct Hooks {
    workspace: PathBuf,
    variables: Variables,
    backend: Arc<Backend>,
    metrics: Arc<Metrics>,
    log: Mutex<LogDedup>,
    places: Semaphore,
}

impl Hooks {
    /// Receives for the workspace of the settings.
    pub(crate) fn new(settings: &Settings, backend: Arc<Backend>, metrics: Arc<Metrics>) -> Self {
        Self {
            workspace: settings.workspace.clone(),
            variables: settings.variables.clone(),
            backend,
            metrics,
            log: Mutex::default(),
            places: Semaphore::new(MAX_AT_A_TIME),
        }
    }

    /// `POST /hooks/{name}`.
    pub(crate) fn router(self: &Arc<Self>) -> Router {
        Router::new().route("/hooks/{name}", post(receive::receive)).with_state(Arc::clone(self))
    }

    /// Whether this is to be logged, or has been a while ago: who sends what is not under control.
    fn is_news(&self, what: &str) -> bool {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.should_log(what, "", Instant::now())
    }
}
