//! `mention`: another role is notified, and nobody waits for it.

use futures::FutureExt as _;
use mc_client::steps::RefusedMention;
use mc_client::types::Chain;
use serde_json::{Value, json};

use super::context::ToolContext;
use super::enabled::EnabledTool;
use super::own_call::{Errand, OwnCall};
use super::reply::ToolReply;

/// The tool's name. Whoever has it also mentions by writing `@role` in what is stored.
pub const MENTION: &str = "mention";

/// The longest message, characters.
const MAX_MESSAGE: usize = 100_000;

pub(super) const TOOL: EnabledTool = EnabledTool {
    name: MENTION,
    description: "Write a message into the task's thread that wakes another agent of this workspace. It answers \
                  there later, in its own time: do not wait for it. Writing @role in your reply does the same.",
    parameters,
    needs: &["agent_mentions"],
    approves: true,
    call: |_: &ToolContext<'_>, arguments, _| {
        let errand = Errand::read(arguments);
        async move { ToolReply::OfRun(OwnCall::Mention(Box::new(errand))) }.boxed()
    },
};

fn parameters() -> Value {
    json!({
        "type": "object",
        "properties": {
            "role": { "type": "string", "minLength": 1, "maxLength": 64, "description": "The agent's role." },
            "message": { "type": "string", "minLength": 1, "maxLength": MAX_MESSAGE, "description": "What it is told, Markdown." }
        },
        "required": ["role", "message"],
        "additionalProperties": false
    })
}

/// The roles that a text names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mentions {
    /// Those that are notified.
    pub named: Vec<String>,
    /// Those that are not.
    pub refused: Vec<RefusedMention>,
    /// What goes with the notifications.
    pub chain: Chain,
}
