//! Questions, and what a person says to a tool request (feature `decisions`).

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::approval_rules::CreateApprovalRule;
use crate::audit::ActorKind;
use crate::tool_requests::ToolRequestStatus;

/// The longest question, in characters.
pub const MAX_QUESTION: usize = 2_000;

/// The largest schema of an answer, in bytes of JSON.
pub const MAX_ANSWER_SCHEMA: usize = 8 * 1024;

/// How many options a question has.
pub const OPTIONS: std::ops::RangeInclusive<usize> = 2..=20;

/// The longest option, in characters.
pub const MAX_OPTION: usize = 1_000;

/// For how long a question waits at most, and so long a rule holds, in seconds: 366 days.
pub const MAX_TTL_SECS: u64 = 366 * 86_400;

/// For how long a question waits where nobody says, in seconds: a week.
pub const DEFAULT_TTL_SECS: u64 = 7 * 86_400;

/// A question, as the arguments of its tool request have it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Question {
    /// What is asked, Markdown.
    pub question: String,
    /// The JSON Schema that the answer has to fit; a text without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// What can be answered, instead of a schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<Vec<String>>,
}

impl Question {
    /// The schema that an answer has to fit.
    pub fn answer_schema(&self) -> Value {
        match (&self.options, &self.schema) {
            (Some(options), _) => json!({ "enum": options }),
            (None, Some(schema)) => schema.clone(),
            (None, None) => json!({ "type": "string" }),
        }
    }
}

/// The run of another role that asks, below the run that waits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AskedBy {
    /// Its key.
    pub run_key: String,
    /// Its role.
    pub role: String,
}

/// What is to be called instead of what was asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Edited {
    /// All arguments of the call.
    pub arguments: Map<String, Value>,
}

/// Who decided, or wrote a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DecidedBy {
    /// `person`, `agent`, or `system` for the backend itself.
    #[serde(rename = "type")]
    pub kind: ActorKind,
    /// A person's user id, or an agent's role; absent where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// A decision: `POST /tool-requests/{id}/decision` (feature `decisions`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Decide {
    /// Of an approval: `approved` or `denied`. Of a question: `denied`, when nobody is going to answer it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ToolRequestStatus>,
    /// A comment for the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What is to be called instead of what was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited: Option<Edited>,
    /// The answer to a question: any JSON, `null` too.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub answer: Option<Value>,
    /// A rule for further calls of the tool (feature `approval_rules`); role and tool are those of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<CreateApprovalRule>,
}

/// A value that is there, though it may be `null`.
pub(crate) fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
