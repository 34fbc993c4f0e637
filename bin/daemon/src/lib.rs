//! The agent runtime as a library: settings in, a listener served until told to stop.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod agent;
pub mod api;
pub mod backend;
pub mod check;
mod compact;
mod errand;
pub mod init;
mod llm_task;
pub mod metrics;
pub mod protocols;
pub mod runs;
pub mod sessions;
pub mod settings;
pub mod state;
pub mod tools;
pub mod usage;
pub mod webhook;

use std::time::Duration;

use service::listen::{self, Limits};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::settings::Settings;
use crate::state::{App, SetupError};

/// How often what was observed is folded into the metrics' buckets, and the sources of tools are
/// looked at.
const UPKEEP: Duration = Duration::from_secs(5);

/// How often the end of the runs is looked for while draining.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

/// How long answers that are ready may take to leave, once all runs have ended.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Why the daemon stopped other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// It could not be put together.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The listener failed.
    #[error("serving failed: {0}")]
    Io(#[from] std::io::Error),
}

impl ServeError {
    /// Whether a setting is at fault, so that a restart does not help.
    pub fn is_a_setting(&self) -> bool {
        matches!(self, Self::Setup(SetupError::Llm(_)))
    }
}

/// Serves until `shutdown`, then lets the runs in flight finish for as long as the settings allow.
pub async fn run(
    listener: TcpListener,
    settings: Settings,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let drain = settings.drain;
    let app = App::new(settings)?;
    let watch = app.workspace.watch();
    app.tools.warm_up(&app.workspace.snapshot());
    for warning in &app.settings.warnings {
        tracing::warn!("{warning}");
    }
    if !app.llm.configured() {
        tracing::warn!("no model can be asked yet: its provider needs a key (see /health)");
    }
    let upkeep = {
        let app = app.clone();
        tokio::spawn(async move {
            loop {
                sleep(UPKEEP).await;
                app.metrics.upkeep();
                app.tools.warm_up(&app.workspace.snapshot());
            }
        })
    };
    tracing::info!("listening on http://{}", listener.local_addr()?);
    let close = CancellationToken::new();
    let router = api::router(app.clone());
    let server = listen::serve(listener, Limits::default(), move |_| router.clone(), close.clone());
    let mut server = std::pin::pin!(server);
    tokio::select! {
        () = &mut server => {}
        () = shutdown.cancelled() => {
            // The listener stays open, so that new runs are told to go elsewhere.
            tokio::select! {
                () = &mut server => {}
                () = finish_runs(&app, drain) => {}
            }
            close.cancel();
            if timeout(LAST_ANSWERS, &mut server).await.is_err() {
                tracing::info!("connections that were still open are closed");
            }
        }
    }
    upkeep.abort();
    app.tools.close().await;
    tokio::task::spawn_blocking(move || drop(watch)).await.ok();
    tracing::info!("stopped");
    Ok(())
}

/// No new runs; those in flight get their time, then are dropped.
async fn finish_runs(app: &App, drain: Duration) {
    app.runs.start_draining();
    let in_flight = app.runs.in_flight();
    tracing::info!(in_flight, "stopping: no new runs are taken");
    let end = Instant::now() + drain;
    while app.runs.in_flight() > 0 && Instant::now() < end {
        sleep(DRAIN_LOOK).await;
    }
    if app.runs.in_flight() > 0 {
        tracing::warn!(in_flight = app.runs.in_flight(), "dropping the runs that did not finish");
        app.runs.interrupt();
    }
    app.runs.tracker().close();
    if timeout(LAST_ANSWERS, app.runs.tracker().wait()).await.is_err() {
        tracing::warn!("some runs did not stop in time");
    }
}
