//! The wire types of the daemon's HTTP API (docs/API.md): what the daemon writes, and what its
//! clients read. There is one type for each shape, so that the two cannot drift apart.
//!
//! The types describe the wire and nothing else, and implement both `Serialize` and `Deserialize`
//! with the daemon's field names and order. Reading is lenient: unknown fields are ignored, and
//! missing ones and `null` get their default, because the daemon may be newer or older than its client.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod answer;
mod attachments;
mod error;
mod event;
mod handing_on;
mod info;
pub mod metadata;
mod request;
mod rule;
mod run;
mod tool_request;

pub use answer::{Cost, RunAnswer, RunStatus, Step, Usage};
pub use attachments::{Attachment, AttachmentReport, FileReport};
pub use error::{ErrorBody, FieldProblems};
pub use event::StreamEvent;
pub use handing_on::{ChildRun, RefusedMention, RunOfRole};
pub use info::{
    AgentInfo, Agents, Compatibility, ListedTool, MayCall, Pages, RoleTools, RunningTools,
    ToolInfo, ToolLists, ToolVerdict,
};
pub use request::{Limits, Output, SendRequest, Turn, TurnRole};
pub use rule::{CallDecision, Can, CanAnswer, RefusedCall, Rule, RuleSource};
pub use run::{Accepted, RunReport};
pub use tool_request::{RequestKind, ToolRequest};

/// Reads `null` as the default.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + serde::Deserialize<'de>,
{
    Ok(<Option<T> as serde::Deserialize>::deserialize(deserializer)?.unwrap_or_default())
}
