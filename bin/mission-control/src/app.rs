//! The state that all requests share.

use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::deltas::RunDeltas;
use crate::erasing::Eraser;
use crate::login::Login;
use crate::metrics::Metrics;
use crate::places::{Places, StreamPlaces};
use crate::store::Store;

/// The state that all requests share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    /// The configuration.
    pub config: Arc<Config>,
    /// The database.
    pub store: Store,
    /// What runs tell while they work.
    pub(crate) deltas: RunDeltas,
    /// Erases what there is of a user.
    pub(crate) eraser: Eraser,
    /// Cancelled at shutdown, which ends the event streams.
    pub(crate) shutdown: CancellationToken,
    /// Limits how many event streams are open.
    pub(crate) streams: StreamPlaces,
    /// Limits how many calls of a user's agents are answered at once.
    pub(crate) calls: Places,
    /// When a dispatcher last asked for notifications, in milliseconds since 1970; 0 when none has.
    pub(crate) asked_at: Arc<AtomicI64>,
    /// The roles that a daemon has said it serves, when it last asked for the capabilities.
    pub(crate) served_roles: Arc<Mutex<Vec<String>>>,
    /// Metrics for Prometheus.
    pub(crate) metrics: Arc<Metrics>,
    /// The login of the page.
    pub(crate) login: Arc<Login>,
    /// The key of the tokens in the page's forms, which a foreign page cannot know (CSRF).
    pub(crate) form_key: Arc<str>,
}
