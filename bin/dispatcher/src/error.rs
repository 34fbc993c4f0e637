//! Why the dispatcher fails.

use daemon_client::InvalidKey;
use mc_client::error::McError;
use service::metrics::BuildError;

/// Why the dispatcher failed.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// `--once` could not deliver everything.
    #[error("not everything could be delivered: {0}")]
    NotDrained(String),
    /// The HTTP client could not be built.
    #[error("the HTTP client could not be set up: {0}")]
    Client(String),
    /// The metrics could not be set up.
    #[error("the metrics could not be set up: {0}")]
    Metrics(#[from] BuildError),
    /// `AGENT_DAEMON_API_KEY` cannot be sent in a header.
    #[error("AGENT_DAEMON_API_KEY {0}")]
    DaemonKey(#[from] InvalidKey),
    /// The agent token for the request of capabilities could not be made.
    #[error(transparent)]
    Backend(#[from] McError),
    /// A worker panicked. Its session would wait for ever, so a restart is better.
    #[error("a worker failed: {0}")]
    Worker(#[from] tokio::task::JoinError),
}
