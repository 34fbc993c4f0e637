//! `mention`: another role is notified, and nobody waits for it.

use futures::FutureExt as _;
use mc_client::raw::RawBody;
use mc_client::steps::RefusedMention;
use mc_client::types::Chain;
use serde_json::{Value, json};
use wombat_core::endpoint::folded_text;

use super::context::ToolContext;
use super::enabled::EnabledTool;
use super::own_call::{Errand, OwnCall};
use super::reply::ToolReply;

/// The tool's name. Whoever has it also mentions by writing `@role` in what is stored.
pub const MENTION: &str = "mention";

/// The fields of a message by which the daemon names agents in it.
const FIELDS: [&str; 2] = ["mentions", "chain"];

/// Which of these fields a body has, in any spelling that a server may take for it.
pub(super) fn field_of(body: Option<&RawBody>) -> Option<&'static str> {
    let is_field = |name: &str, field: &str| {
        let name = folded_text(name);
        // A form's lists and objects have keys (`mentions[]`).
        name.split(['[', '.']).next().is_some_and(|name| name.trim() == field)
    };
    let has = |field: &str| match body {
        Some(RawBody::Json(Value::Object(fields)) | RawBody::JsonAs(_, Value::Object(fields))) => {
            fields.keys().any(|name| is_field(name, field))
        }
        Some(RawBody::Form(form)) => {
            url::form_urlencoded::parse(form.as_bytes()).any(|(name, _)| is_field(&name, field))
        }
        Some(RawBody::Multipart(fields)) => fields.iter().any(|one| is_field(&one.name, field)),
        // A text may be JSON, whatever its type says.
        Some(RawBody::Text(_, text)) => {
            text.to_lowercase().contains(&format!("\"{field}\"")) || text.contains("\\u")
        }
        Some(RawBody::Json(_) | RawBody::JsonAs(..)) | None => false,
    };
    FIELDS.into_iter().find(|field| has(field))
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_names_agents_is_found() {
        for (body, field) in [
            (json!({ "content": "x", "mentions": ["jarvis"] }), Some("mentions")),
            (json!({ "Chain": {} }), Some("chain")),
            (json!({ "content": "mentions" }), None),
            (json!(["mentions"]), None),
        ] {
            assert_eq!(field_of(Some(&RawBody::Json(body.clone()))), field, "{body}");
        }
        assert_eq!(field_of(Some(&RawBody::Form("mentions%5B%5D=a".to_owned()))), Some("mentions"));
        assert_eq!(field_of(None), None);
    }
}
