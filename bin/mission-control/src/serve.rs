//! The backend from its start to its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use service::listen::{self, Limits};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::app::App;
use crate::config::Config;
use crate::login::Login;
use crate::metrics::Metrics;
use crate::router::router;
use crate::routes::events::MAX_LISTENERS;
use crate::store::Store;

/// How long open connections may take to end.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// How often what is no longer kept is dropped.
const TIDY_EVERY: Duration = Duration::from_secs(3600);

/// How often what was observed is folded into the metrics' buckets.
const FOLD_EVERY: Duration = Duration::from_secs(5);

/// Why the backend stopped other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The database.
    #[error("the database {place} cannot be used: {cause}; {advice}")]
    Database {
        /// Its file, or its server and name.
        place: String,
        /// What a person can do.
        advice: &'static str,
        /// What happened.
        cause: sqlx::Error,
    },
    /// The metrics.
    #[error("the metrics could not be set up: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    /// The listener.
    #[error("serving failed: {0}")]
    Io(#[from] std::io::Error),
}

/// Serves until told to stop.
pub async fn run(
    listener: TcpListener,
    config: Config,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let store = Store::open(&config.database).await.map_err(|cause| RunError::Database {
        place: config.database.place(),
        advice: config.database.advice(&cause),
        cause,
    })?;
    let form_token = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    let login = Arc::new(Login::new(config.board_password.clone(), config.board_proxy.clone()));
    let metrics = Arc::new(Metrics::new()?);
    let app = App {
        metrics: Arc::clone(&metrics),
        login,
        config: Arc::new(config),
        store: store.clone(),
        shutdown: shutdown.clone(),
        listeners: Arc::new(Semaphore::new(MAX_LISTENERS)),
        form_token: form_token.into(),
    };
    tracing::info!("listening on http://{}", listener.local_addr()?);
    let router = router(app);
    let service = move |peer| router.clone().map_request(move |request| from(peer, request));
    let server = listen::serve(listener, Limits::default(), service, shutdown.clone());
    let mut server = std::pin::pin!(server);
    tokio::select! {
        () = &mut server => {}
        never = tidy(&store) => match never {},
        never = store.sync_instances() => match never {},
        never = fold(&metrics) => match never {},
        () = shutdown.cancelled() => {
            if tokio::time::timeout(LAST_ANSWERS, &mut server).await.is_err() {
                tracing::info!("connections that were still open are closed");
            }
        }
    }
    store.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// Tells the handlers who calls.
fn from<B>(peer: SocketAddr, mut request: http::Request<B>) -> http::Request<B> {
    request.extensions_mut().insert(ConnectInfo(peer));
    request
}

/// Drops now and then what is old, as long as it is polled.
async fn tidy(store: &Store) -> Infallible {
    let mut turn = tokio::time::interval(TIDY_EVERY);
    loop {
        turn.tick().await;
        if let Err(error) = store.forget().await {
            tracing::warn!(%error, "what is old could not be dropped");
        }
    }
}

/// Keeps the metrics small where nobody asks for them.
async fn fold(metrics: &Metrics) -> Infallible {
    let mut turn = tokio::time::interval(FOLD_EVERY);
    loop {
        turn.tick().await;
        metrics.upkeep();
    }
}
