//! A model's turn as it is written down: what it said and called, which tokens it used, what that cost.
//!
//! The daemon writes these into a run's journal; the reference backend's page reads them there. Both use
//! these types, so that no field has two names.

mod cost;
mod message;
mod usage;

pub use cost::{Cost, round_usd};
pub use message::{AssistantMessage, Completion, FinishReason, Thoughts, ToolCall};
pub use usage::Usage;
