//! `ask_agent`: another role does a part of the work, and the run waits for its reply.

use futures::FutureExt as _;
use serde_json::{Value, json};

use super::context::ToolContext;
use super::enabled::{EnabledTool, OwnCall};
use super::reply::ToolReply;

/// The longest message for another agent, characters.
const MAX_MESSAGE: usize = 100_000;

pub(super) const TOOL: EnabledTool = EnabledTool {
    name: "ask_agent",
    description: "Ask another agent of this workspace to do a part of the work, and wait for its reply. It has its \
                  own instructions and tools, sees nothing of this conversation but your message, and tells \
                  nobody but you. Several calls in one turn are worked on at the same time.",
    parameters,
    needs: &[],
    approves: true,
    call: |_: &ToolContext<'_>, arguments, _| {
        let errand = Errand::read(arguments);
        async move { ToolReply::OfRun(OwnCall::Agent(Box::new(errand))) }.boxed()
    },
};

fn parameters() -> Value {
    json!({
        "type": "object",
        "properties": {
            "role": { "type": "string", "minLength": 1, "maxLength": 64, "description": "The agent's role." },
            "message": {
                "type": "string", "minLength": 1, "maxLength": MAX_MESSAGE,
                "description": "What it is to do, with everything that it has to know for that."
            }
        },
        "required": ["role", "message"],
        "additionalProperties": false
    })
}

/// What a run hands on, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errand {
    /// The role.
    pub role: String,
    /// The message.
    pub message: String,
}

impl Errand {
    /// Arguments that fit the schema of a tool that has both.
    pub(super) fn read(arguments: &Value) -> Self {
        let text = |name: &str| arguments[name].as_str().unwrap_or_default().to_owned();
        Self { role: text("role").trim_start_matches('@').to_owned(), message: text("message") }
    }
}
