//! Why the dispatcher ends.

use daemon_client::InvalidKey;
use mc_client::error::McError;

/// Why the dispatcher ended other than as it should.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// `--once` could not deliver everything.
    #[error("the queue is not drained: {0}")]
    NotDrained(String),
    /// The HTTP client could not be built.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(String),
    /// `AGENT_DAEMON_API_KEY` cannot be sent in a header.
    #[error("AGENT_DAEMON_API_KEY {0}")]
    DaemonKey(#[from] InvalidKey),
    /// No token for asking what the backend offers.
    #[error(transparent)]
    Backend(#[from] McError),
    /// A worker died. Its session would wait for ever, so a restart is better.
    #[error("a worker failed: {0}")]
    Worker(#[from] tokio::task::JoinError),
}
