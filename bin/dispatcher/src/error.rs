//! Why the dispatcher fails.

use daemon_client::InvalidKey;
use mc_client::error::McError;

/// Why the dispatcher failed.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// `--once` could not deliver everything.
    #[error("not everything could be delivered: {0}")]
    NotDrained(String),
    /// The HTTP client could not be built.
    #[error("the HTTP client could not be set up: {0}")]
    Client(String),
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
