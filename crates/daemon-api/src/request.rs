//! The body of `POST /api/agents/send` and `POST /api/agents/stream`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One message to an agent, or the resumption of a run. The fields `stream` and `webhook` are left
/// out: a client chooses between the two endpoints instead of the first, and no client waits for a
/// webhook.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SendRequest<'a> {
    /// The tenant; the user of `session_key`.
    pub user_id: Cow<'a, str>,
    /// `user:{userId}:{role}`.
    pub session_key: Cow<'a, str>,
    /// What the user said. May be empty when a run is resumed.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub message: Cow<'a, str>,
    /// Earlier turns; without them the daemon loads the task's thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<Cow<'a, [Turn]>>,
    /// An existing task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_id: Option<Cow<'a, str>>,
    /// A task to find by its exact title, or to create.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_title: Option<Cow<'a, str>>,
    /// The description of a task that is created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_description: Option<Cow<'a, str>>,
    /// The metadata of a task that is created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_metadata: Option<Map<String, Value>>,
    /// Options of the run, and whatever else is to be kept with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
    /// Makes it safe to repeat the request: a repeat gets the first run's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<Cow<'a, str>>,
    /// Resumes a journaled run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume_run_key: Option<Cow<'a, str>>,
    /// Answers to questions of the run that is resumed, by the ids of their requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<Map<String, Value>>,
    /// Limits of the run, below the daemon's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// The reply has to be JSON of a schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Output>,
}

/// The output that a reply has to have.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Output {
    /// The JSON Schema that the reply has to fit: at most 64 KiB, 32 levels deep.
    #[cfg_attr(feature = "openapi", schema(required, value_type = Object))]
    pub schema: Value,
    /// Its name for the model's provider: letters, digits, `_` and `-`, 64 at most; `result` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether the run fails when no reply fits (`true` when absent), or answers with text and
    /// `output_errors`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

/// One earlier turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Who said it.
    pub role: TurnRole,
    /// What was said.
    pub content: String,
}

/// Who said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnRole {
    /// The user.
    User,
    /// The agent.
    Assistant,
    /// Neither: instructions.
    System,
}

/// Limits of a run. What is absent is the daemon's own limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Turns with tool calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<u32>,
    /// Tokens of one answer of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u32>,
    /// The price of all model calls together, US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_cost_usd: Option<f64>,
    /// The run's time, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_secs: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_fields_are_not_written() {
        let request = SendRequest {
            user_id: "ann".into(),
            session_key: "user:ann:scout".into(),
            messages: Some(vec![Turn { role: TurnRole::User, content: "hi".into() }].into()),
            task_id: Some("t".into()),
            limits: Some(Limits { max_steps: Some(2), ..Limits::default() }),
            ..SendRequest::default()
        };
        let text = concat!(
            r#"{"user_id":"ann","session_key":"user:ann:scout","#,
            r#""messages":[{"role":"user","content":"hi"}],"task_id":"t","limits":{"max_steps":2}}"#
        );
        assert_eq!(serde_json::to_string(&request).unwrap(), text);
        assert_eq!(serde_json::from_str::<SendRequest<'_>>(text).unwrap(), request);
    }
}
