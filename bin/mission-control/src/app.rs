//! What all requests share.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::login::Login;
use crate::metrics::Metrics;
use crate::store::Store;

/// What all requests share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    /// The settings.
    pub config: Arc<Config>,
    /// The database.
    pub store: Store,
    /// Tells streams to end.
    pub(crate) shutdown: CancellationToken,
    /// Places for those who listen to events.
    pub(crate) listeners: Arc<Semaphore>,
    /// What Prometheus is told.
    pub(crate) metrics: Arc<Metrics>,
    /// Who may see the page.
    pub(crate) login: Arc<Login>,
    /// Proves that a form was sent from our own page.
    pub(crate) form_token: Arc<str>,
}
