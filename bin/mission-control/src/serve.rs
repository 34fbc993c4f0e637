//! Running the backend, from opening the database to the last answer.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use service::listen::{self, Limits};
use tokio::net::TcpListener;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::app::App;
use crate::config::Config;
use crate::deltas::RunDeltas;
use crate::erasing::Eraser;
use crate::login::Login;
use crate::metrics::Metrics;
use crate::places::{MAX_CALLS, Places, StreamPlaces};
use crate::router::router;
use crate::store::retention::Retention;
use crate::store::{OpenError, Store, StoreError};

/// How long open connections may take to finish at shutdown.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// How often expired rows are deleted.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(3600);

/// How often what runs told is deleted once it has expired; nobody sees it by then.
const DELTAS_CLEANUP_INTERVAL: Duration = Duration::from_secs(300);

/// How often questions whose time is over are looked for.
const QUESTIONS_INTERVAL: Duration = Duration::from_secs(1);

/// How often slots of schedules that are due are looked for.
const SLOTS_INTERVAL: Duration = Duration::from_secs(1);

/// How often observations are folded into the metrics' buckets.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Why the backend stopped without being asked to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The database could not be opened.
    #[error("the database {place} cannot be used: {cause}")]
    Database {
        /// The file, or the server and the name of the database.
        place: String,
        /// Why, and what the operator can do about it.
        cause: OpenError,
    },
    /// The start could not be recorded in the audit log.
    #[error("the start could not be recorded in the audit log: {0}")]
    Audit(#[from] StoreError),
    /// The metrics recorder could not be built.
    #[error("the metrics could not be set up: {0}")]
    Metrics(#[from] service::metrics::BuildError),
    /// The listener failed.
    #[error("serving failed: {0}")]
    Io(#[from] std::io::Error),
}

/// Serves until `shutdown` is cancelled, then lets open requests finish.
pub async fn run(
    listener: TcpListener,
    config: Config,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let store = Store::open(&config.database)
        .await
        .map_err(|cause| RunError::Database { place: config.database.place(), cause })?;
    store
        .check_retention(&config.retention)
        .await
        .map_err(|cause| RunError::Database { place: config.database.place(), cause })?;
    if let Err(error) = store.record_start().await {
        let place = config.database.place();
        return Err(match store.cause_of(error) {
            Ok(cause) => RunError::Database { place, cause },
            Err(error) => RunError::Audit(error),
        });
    }
    let form_key = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    let login = Login::new(
        config.board_password.clone(),
        config.board_proxy.clone(),
        config.board_proxies.clone(),
    );
    let metrics = Arc::new(Metrics::new()?);
    let deltas = RunDeltas::new(store.clone(), &config.deltas);
    let eraser = Eraser::new(store.clone(), deltas.clone());
    let app = App {
        deltas: deltas.clone(),
        eraser: eraser.clone(),
        asked_at: Arc::default(),
        served_roles: Arc::default(),
        metrics: Arc::clone(&metrics),
        login: Arc::new(login),
        config: Arc::new(config),
        store: store.clone(),
        shutdown: shutdown.clone(),
        streams: StreamPlaces::default(),
        calls: Places::new(MAX_CALLS),
        form_key: form_key.into(),
    };
    tracing::info!("listening on http://{}", listener.local_addr()?);
    let config = Arc::clone(&app.config);
    let retention = app.config.retention.clone();
    tracing::info!("time zones: {}", zones::release());
    let router = router(app);
    let service = move |peer| {
        let config = Arc::clone(&config);
        router.clone().map_request(move |request| config.front.enter(peer, request))
    };
    let server = listen::serve(listener, Limits::default(), service, None, shutdown.clone());
    let mut server = std::pin::pin!(server);
    tokio::select! {
        () = &mut server => {}
        never = delete_expired(&store, &retention) => match never {},
        never = delete_deltas(&deltas) => match never {},
        never = expire_questions(&store) => match never {},
        never = make_slots(&store) => match never {},
        never = store.sync_instances() => match never {},
        never = store.follow_erasures() => match never {},
        never = eraser.keep_on() => match never {},
        never = deltas.follow_others() => match never {},
        never = fold_metrics(&metrics) => match never {},
        () = shutdown.cancelled() => {
            if tokio::time::timeout(DRAIN_TIMEOUT, &mut server).await.is_err() {
                tracing::info!("drain timeout reached; closing the remaining connections");
            }
        }
    }
    store.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// Deletes expired rows now and then, as long as it is polled.
async fn delete_expired(store: &Store, retention: &Retention) -> Infallible {
    let mut interval = tokio::time::interval(CLEANUP_INTERVAL);
    loop {
        interval.tick().await;
        if let Err(error) = store.delete_expired().await {
            tracing::warn!(%error, "could not delete expired rows");
        }
        if let Err(error) = store.delete_gone_files().await {
            tracing::warn!(%error, "could not delete files that nothing names");
        }
        if let Err(error) = store.delete_expired_artifacts().await {
            tracing::warn!(%error, "could not delete long results that have expired");
        }
        match store.expire(retention).await {
            Ok(counts) => {
                let many: u64 = counts.values().sum();
                if many > 0 {
                    tracing::info!(many, "deleted what is older than MC_RETENTION says");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "could not delete what is older than MC_RETENTION says; tried again in an hour");
            }
        }
    }
}

/// Ends questions whose time is over, and tells of dead letters, as long as it is polled.
async fn expire_questions(store: &Store) -> Infallible {
    let mut interval = tokio::time::interval(QUESTIONS_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        store.expire_before_reading().await;
        if let Err(error) = store.tell_dead_letters(Utc::now()).await {
            tracing::debug!(%error, "dead letters cannot be told of; tried again each second");
        }
    }
}

/// Makes the slots of schedules when they are due, as long as it is polled. Their next ones are computed anew
/// first.
async fn make_slots(store: &Store) -> Infallible {
    let mut interval = tokio::time::interval(SLOTS_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut is_computed, mut is_told) = (false, false);
    loop {
        interval.tick().await;
        let done = async {
            if !is_computed {
                store.recompute_schedules().await?;
                store.recompute_quiet_hours().await?;
                is_computed = true;
            }
            store.make_due_slots(Utc::now()).await
        };
        match done.await {
            Ok(()) => is_told = false,
            Err(error) if !is_told => {
                is_told = true;
                tracing::warn!(%error, "slots of schedules cannot be made; tried again each second");
            }
            Err(_) => {}
        }
    }
}

/// Deletes what runs told now and then, as long as it is polled.
async fn delete_deltas(deltas: &RunDeltas) -> Infallible {
    let mut interval = tokio::time::interval(DELTAS_CLEANUP_INTERVAL);
    loop {
        interval.tick().await;
        if let Err(error) = deltas.delete_expired().await {
            tracing::warn!(%error, "could not delete what runs told");
        }
    }
}

/// Keeps the metrics' memory bounded where nobody scrapes them, as long as it is polled.
async fn fold_metrics(metrics: &Metrics) -> Infallible {
    let mut interval = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        interval.tick().await;
        metrics.upkeep();
    }
}
