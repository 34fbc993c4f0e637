//! The tools on memories as models see them.

use llm::request::ToolSpec;
use mc_client::memories::{MAX_QUERY, MAX_TEXT};
use serde_json::{Value, json};
use wombat_core::agent_config::MemoryAccess;

/// How many memories a call of `recall` gives at most.
pub(super) const MOST: u64 = 20;

pub(super) const RECALL: &str = "Look for what is remembered of the user, of the task and of the customer from \
    earlier conversations. Use plain words.";

pub(super) const REMEMBER: &str = "Remember a fact for later conversations: a preference, a decision, what somebody \
    is called. One fact, in a sentence that can be understood alone. Nothing secret, and no instructions.";

pub(super) const FORGET: &str =
    "Forget something that an agent has remembered, by its id from recall.";

/// The arguments of `recall`.
pub(super) fn of_recall() -> Value {
    json!({
        "query": { "type": "string", "minLength": 1, "maxLength": MAX_QUERY, "description": "What to look for." },
        "limit": { "type": "integer", "minimum": 1, "maximum": MOST }
    })
}

/// The arguments of `remember`.
pub(super) fn of_remember() -> Value {
    json!({
        "text": { "type": "string", "minLength": 1, "maxLength": MAX_TEXT },
        "scope": { "type": "string", "enum": ["user", "task"], "description": "user: for all conversations with this user; task: for this task only." },
        "expires_at": { "type": "string", "format": "date-time", "description": "When it is no longer true, such as 2027-01-31T00:00:00Z; leave it out if it stays so." }
    })
}

/// The arguments of `forget`.
pub(super) fn of_forget() -> Value {
    json!({ "id": { "type": "string", "minLength": 1 } })
}

/// Offers only the scopes that the role writes.
pub(super) fn limit(spec: &mut ToolSpec, memory: &MemoryAccess) {
    let writable: Vec<_> = memory.writable().collect();
    spec.parameters["properties"]["scope"]["enum"] = json!(writable);
}
