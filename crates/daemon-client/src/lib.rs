//! The client of the daemon's HTTP API (docs/API.md): the client itself with its timeouts and size
//! limits, the classes of its errors, and the one loop that retries a call. The wire types are those
//! of `daemon-api`.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod body;
mod client;
mod error;
mod retries;
mod stream;

pub use client::{CallOptions, DaemonClient, InvalidKey, key_header};
pub use daemon_api::{
    AgentInfo, Compatibility, Cost, ErrorBody, Limits, ListedTool, MayCall, Output, Pages,
    RequestKind, RunStatus, SendRequest, Step, ToolLists, ToolRequest, ToolVerdict, Turn, TurnRole,
    Usage, metadata,
};
pub use error::DaemonError;
pub use retries::RetryPolicy;
pub use stream::EventStream;

/// A run's answer as it is read.
pub type RunAnswer = daemon_api::RunAnswer<'static>;

/// A stream's event as it is read.
pub type StreamEvent = daemon_api::StreamEvent<'static>;
