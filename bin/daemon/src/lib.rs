//! The agent runtime as a library.
//!
//! Its rooms, from the ground up: `run` (what a run is), then `tools`, `webhook`, `sessions` and
//! `backend` (what a run uses), `state` (all of them together), `agent` and `model_task` (executing a
//! run, or a single model call), `api` (HTTP). Imports only go down.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod agent;
pub mod api;
pub mod backend;
mod call_log;
pub mod can;
pub mod check;
pub mod eval;
mod eval_case;
mod eval_compare;
mod eval_expected;
mod eval_export;
mod eval_journal;
mod eval_judge;
mod eval_run;
pub mod init;
pub mod metrics;
mod model_task;
pub mod protocols;
pub mod run;
pub mod sessions;
pub mod settings;
pub mod state;
pub mod token;
pub mod tools;
pub mod webhook;
pub mod workspaces;

use std::time::Duration;

use service::cores::Cores;
use service::listen::{self, Limits};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::settings::Settings;
use crate::state::{App, SetupError};

/// The interval of background work: metrics are folded into buckets, tool sources are refreshed.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// How often the number of runs in flight is checked while draining.
const DRAIN_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How long the last responses may take to be sent, and background tasks to end, once all runs have
/// ended.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the daemon stopped without a stop signal.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// It could not be set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The listener failed.
    #[error("serving failed: {0}")]
    Io(#[from] std::io::Error),
}

impl ServeError {
    /// Whether a setting is wrong, so that a restart does not help.
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::Setup(SetupError::Llm(_)))
    }
}

/// Serves until `shutdown`, then lets the runs in flight finish for as long as the settings allow.
///
/// # Errors
/// When the daemon cannot be set up, or the listener fails.
pub async fn serve(
    listener: TcpListener,
    settings: Settings,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let drain = settings.drain;
    let app = App::new(settings)?;
    let cores = Cores::start(app.settings.threads)?;
    let watch = app.workspaces.watch();
    app.workspaces.warm_up();
    for warning in &app.settings.warnings {
        tracing::warn!("{warning}");
    }
    if !app.llm.configured() {
        let model = &app.settings.llm.default;
        let (provider, key) = (model.provider, model.provider.key_variable().unwrap_or("a key"));
        tracing::warn!("LLM_PROVIDER={provider} needs {key}; runs fail until it is set");
    }
    let upkeep = {
        let app = app.clone();
        tokio::spawn(async move {
            loop {
                sleep(UPKEEP_INTERVAL).await;
                app.metrics.upkeep();
                app.workspaces.warm_up();
            }
        })
    };
    let started = {
        let app = app.clone();
        tokio::spawn(async move { agent::audit::started(&app).await })
    };
    tracing::info!("listening on http://{}", listener.local_addr()?);
    tracing::info!("time zones: {}", zones::release());
    let close = CancellationToken::new();
    let router = api::router(app.clone());
    let entered = app.clone();
    let service = move |peer| {
        let app = entered.clone();
        router.clone().map_request(move |request| app.settings.front.enter(peer, request))
    };
    let mut server =
        Box::pin(listen::serve(listener, Limits::default(), service, Some(&cores), close.clone()));
    tokio::select! {
        () = &mut server => {}
        () = shutdown.cancelled() => {
            // The listener stays open, so that new runs get the error `draining`.
            tokio::select! {
                () = &mut server => {}
                () = drain_runs(&app, drain) => {}
            }
            close.cancel();
            if timeout(CLOSE_TIMEOUT, &mut server).await.is_err() {
                tracing::info!("closing connections that are still open");
            }
        }
    }
    upkeep.abort();
    started.abort();
    app.workspaces.close().await;
    drop(server);
    tokio::task::spawn_blocking(move || drop((watch, cores))).await.ok();
    tracing::info!("stopped");
    Ok(())
}

/// Stops admitting runs, gives those in flight their time, then drops them.
async fn drain_runs(app: &App, drain: Duration) {
    app.runs.start_draining();
    let in_flight = app.runs.in_flight();
    tracing::info!(in_flight, "shutting down: draining runs, no new ones are admitted");
    let end = Instant::now() + drain;
    while app.runs.in_flight() > 0 && Instant::now() < end {
        sleep(DRAIN_POLL_INTERVAL).await;
    }
    if app.runs.in_flight() > 0 {
        tracing::warn!(in_flight = app.runs.in_flight(), "drain timeout: dropping unfinished runs");
        app.runs.interrupt();
    }
    app.runs.tracker().close();
    if timeout(CLOSE_TIMEOUT, app.runs.tracker().wait()).await.is_err() {
        tracing::warn!("background tasks did not stop in time");
    }
}
