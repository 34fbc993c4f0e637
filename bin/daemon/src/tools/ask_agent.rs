//! `ask_agent`: another role does a part of the work, and the run waits for its reply.

use futures::FutureExt as _;
use serde_json::{Value, json};

use super::context::ToolContext;
use super::enabled::EnabledTool;
use super::own_call::{Errand, OwnCall};
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
