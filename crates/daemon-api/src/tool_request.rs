//! What a run waits for: a person's approval of a tool call, or the answer to a question.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::handing_on::RunOfRole;

/// What a person is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    /// A tool call is approved or denied.
    #[default]
    Approval,
    /// A question is answered.
    Question,
    /// Something that this version does not know.
    #[serde(untagged)]
    Other(String),
}

/// A tool call that waits for a person's approval, or a question that waits for the answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ToolRequestReport))]
pub struct ToolRequest {
    /// The backend's id of the request.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub id: String,
    /// What a person is asked for.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required, value_type = String))]
    pub kind: RequestKind,
    /// The tool; `ask_user` for a question.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub tool: String,
    /// The arguments of the call.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub arguments: Value,
    /// The question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// The answers to choose from, where the question has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<Vec<String>>,
    /// The JSON Schema of the answer, or of the call's arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub parameters: Option<Value>,
    /// When the question is given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// The run that asks, where that is one below this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<RunOfRole>,
}
