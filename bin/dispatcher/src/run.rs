//! Sets up the HTTP client, `/livez`, `/metrics` and webhooks, and runs the event loop.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::backend::Backend;
use crate::daemon::Daemon;
use crate::error::DispatchError;
use crate::event_loop::Dispatcher;
use crate::hooks::Hooks;
use crate::http;
use crate::metrics::Metrics;
use crate::orphans::Orphans;
use crate::settings::Settings;

/// Dispatches until `stop`, or with `once` until everything is delivered. `listener` serves `/livez`
/// and `/metrics`, and webhooks where this goes on.
///
/// # Errors
/// See [`DispatchError`].
pub async fn run(
    settings: &Settings,
    once: bool,
    listener: Option<TcpListener>,
    stop: CancellationToken,
) -> Result<(), DispatchError> {
    let http = service::http::client()
        .map_err(|error| DispatchError::Client(service::http::explain(&error)))?;
    let metrics = Arc::new(Metrics::new()?);
    let backend = Arc::new(Backend::new(settings, http.clone())?);
    let served = CancellationToken::new();
    let _stop_serving = served.clone().drop_guard();
    let hooks = Arc::new(Hooks::new(settings, Arc::clone(&backend), Arc::clone(&metrics)));
    if !once {
        tokio::spawn(Arc::clone(&hooks).introduce(listener.is_some()));
    }
    if let Some(listener) = listener {
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "serving /livez and /metrics");
        }
        let token = settings.metrics_token.clone();
        let hooks = Some(hooks).filter(|_| !once);
        tokio::spawn(http::serve(listener, Arc::clone(&metrics), token, hooks, served));
    }
    let daemon = Arc::new(Daemon::new(settings, http.library().clone())?);
    let parts = (Arc::clone(&backend), Arc::clone(&daemon), Arc::clone(&metrics));
    // Whichever ends first ends the other: the dispatcher by its error, both by the signal.
    let both = stop.child_token();
    let mut orphans = Orphans::new(settings, parts.0, parts.1, parts.2, both.clone());
    let dispatcher = Dispatcher::new(settings, once, backend, daemon, metrics);
    tracing::info!(
        backend = %shown::url(&settings.backend.control_plane),
        daemon = %shown::url(&settings.daemon_url),
        concurrency = settings.concurrency,
        "dispatcher started"
    );
    if once {
        let ended = dispatcher.run(once, stop.clone()).await;
        // The polls have asked what the backend can do.
        orphans.once().await;
        return ended;
    }
    let dispatched = async {
        let ended = dispatcher.run(once, both.clone()).await;
        both.cancel();
        ended
    };
    let (ended, ()) = tokio::join!(dispatched, orphans.run());
    ended
}
