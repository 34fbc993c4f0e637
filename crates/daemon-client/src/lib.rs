//! The client of the daemon's HTTP API (docs/API.md): the wire types, the client itself with its
//! timeouts and size limits, the classes of its errors, and the one loop that retries a call.
//!
//! The types describe the wire and nothing else, and implement both `Serialize` and `Deserialize`
//! with the daemon's field names and order. Reading is lenient: unknown fields are ignored and
//! missing ones get their default, because the daemon may be newer or older than its client.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod answer;
mod body;
mod client;
mod error;
mod event;
mod info;
mod request;
mod retries;
mod stream;

pub use answer::{Cost, RunAnswer, RunStatus, Step, ToolRequest, Usage};
pub use client::{CallOptions, DaemonClient, InvalidKey, key_header};
pub use error::{DaemonError, ErrorBody};
pub use event::StreamEvent;
pub use info::{AgentInfo, Compatibility, ToolLists};
pub use request::{Limits, SendRequest, Turn, TurnRole};
pub use retries::RetryPolicy;
pub use stream::EventStream;
