//! One client for all LLM providers. It knows nothing of agents or Mission Control and reads no
//! environment variables: the program that builds an [`LlmClient`] passes it [`LlmSettings`].
//!
//! Policy (retries, fallback, deadlines) lives in `client` and `retry_policy` only; `provider` is pure
//! translation between [`request`] and [`event`] and the wire formats.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod client;
pub mod cost;
pub mod error;
pub mod event;
mod final_tool;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod media;
pub mod model;
pub mod request;
pub mod settings;

mod cassette;
mod catalog;
mod context;
mod media_plan;
mod offline;
mod provider;
mod retry_policy;
mod sentence;
mod server;
mod thought_text;
mod wildcard;

pub use client::LlmClient;
pub use context::{Attempt, CallContext, Received, Shown, Tally};
pub use cost::{Cost, cost, cost_or_unknown, round_usd};
pub use error::{LlmError, LlmErrorKind};
pub use media::{Media, MediaKind, MediaSupport, MediaUse, NotSent, is_shown};
pub use model::{ModelError, ModelRef, Provider, Tier};
pub use sentence::cut_at_sentence;
pub use server::{ServerFinding, ServerFindingKind};
pub use settings::{Endpoint, LlmConfigError, LlmSettings, OpenAiApi, RetrySettings, Timeouts};
pub use thought_text::thought_text;
