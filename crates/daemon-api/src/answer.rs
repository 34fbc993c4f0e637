//! The answer of `POST /api/agents/send`, which is also the `done` event of a stream.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A run that ended without an error.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunAnswer {
    /// How the run ended.
    pub status: RunStatus,
    /// The run's id.
    pub run_id: String,
    /// The task that the reply belongs to.
    pub task_id: String,
    /// The trace of the request.
    pub trace_id: String,
    /// The stored reply; `None` when nothing was stored.
    pub message_id: Option<String>,
    /// The reply. The daemon always sends one, though it may be empty.
    pub response: Option<String>,
    /// Tokens of all model calls of the run.
    pub usage: Usage,
    /// The price of these calls; `None` when a model's price is not known.
    pub cost: Option<Cost>,
    /// The model that wrote the reply; `None` when no model was called.
    pub model: Option<String>,
    /// The model's provider.
    pub provider: Option<String>,
    /// Why the model stopped.
    pub finish_reason: Option<String>,
    /// The tool calls, in order.
    pub steps: Vec<Step>,
    /// The digest of the workspace when the run began.
    pub workspace_digest: String,
    /// The plan document that a kickoff made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_document_id: Option<String>,
    /// Set when the prompt comes close to the model's context window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_warning: Option<String>,
    /// True when the reply had been stored by an earlier run with the same key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replayed: Option<bool>,
    /// True when there was nothing to say and nothing was stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent: Option<bool>,
    /// The key that resumes the run (`resume_run_key`), where it awaits approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_key: Option<String>,
    /// The tool calls that await approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_requests: Option<Vec<ToolRequest>>,
}

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// The run is complete.
    #[default]
    Ok,
    /// Tool calls await a person's approval; the run can be resumed.
    AwaitingApproval,
    /// A status that this version does not know.
    #[serde(untagged)]
    Other(String),
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Other(text) => text,
        })
    }
}

/// Tokens used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Tokens of the prompts, cached ones included.
    pub prompt_tokens: u64,
    /// Tokens of the answers, reasoning included.
    pub completion_tokens: u64,
    /// Both together.
    pub total_tokens: u64,
    /// Tokens of the prompts that the provider read from its cache.
    pub cached_tokens: u64,
    /// Tokens of the prompts that the provider wrote to its cache, where it charges for that.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_write_tokens: u64,
    /// Hidden reasoning tokens of the answers, where the provider reports them.
    #[serde(skip_serializing_if = "is_zero")]
    pub reasoning_tokens: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// The price of a run's model calls.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Cost {
    /// The model; of several, the last.
    pub model: String,
    /// Tokens of the prompts.
    pub input_tokens: u64,
    /// Tokens of the answers.
    pub output_tokens: u64,
    /// The price of the prompts, in `currency`.
    pub input_cost: f64,
    /// The price of the answers, in `currency`.
    pub output_cost: f64,
    /// Both, in `currency`.
    pub total_cost: f64,
    /// An ISO 4217 code; the daemon sends `USD`.
    pub currency: Cow<'static, str>,
}

/// One tool call of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Step {
    /// `tool`.
    pub kind: Cow<'static, str>,
    /// The tool's name.
    pub name: String,
    /// What it was called with.
    pub arguments: Value,
    /// Whether the call succeeded.
    pub ok: bool,
    /// How long it took, milliseconds.
    pub duration_ms: u64,
}

/// A tool call that awaits a person's approval.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ToolRequest {
    /// The backend's id of the request.
    pub id: String,
    /// The tool's name.
    pub tool: String,
    /// What it would be called with.
    pub arguments: Value,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_is_written_as_the_daemon_writes_it() {
        // The order of the fields counts, too.
        let text = concat!(
            r#"{"status":"ok","run_id":"r","task_id":"t","trace_id":"x","message_id":null,"#,
            r#""response":"Hi","usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"#,
            r#""cached_tokens":0},"cost":{"model":"m","inputTokens":3,"outputTokens":2,"#,
            r#""inputCost":0.5,"outputCost":0.25,"totalCost":0.75,"currency":"USD"},"model":"m","#,
            r#""provider":"p","finish_reason":"stop","steps":[{"kind":"tool","name":"n","#,
            r#""arguments":{"a":1},"ok":true,"duration_ms":4}],"workspace_digest":"d","#,
            r#""silent":true}"#
        );
        let answer: RunAnswer = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&answer).unwrap(), text);
    }

    #[test]
    fn missing_and_unknown_fields_are_no_error() {
        let answer: RunAnswer = serde_json::from_value(json!({
            "status": "parked", "response": null, "future": [1],
            "tool_requests": [{"id": "q", "tool": "order"}],
        }))
        .unwrap();
        assert_eq!(answer.status, RunStatus::Other("parked".to_owned()));
        assert_eq!(answer.status.to_string(), "parked");
        assert_eq!(answer.tool_requests.unwrap()[0].arguments, Value::Null);
        let waits: RunAnswer =
            serde_json::from_value(json!({"status": "awaiting_approval"})).unwrap();
        assert_eq!(waits.status, RunStatus::AwaitingApproval);
        assert_eq!(serde_json::to_value(&waits.status).unwrap(), "awaiting_approval");
    }
}
