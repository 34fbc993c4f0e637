//! The answer of `POST /api/agents/send`, which is also the `done` event of a stream.
//!
//! The daemon writes an answer that borrows from its run; a client reads one that owns its texts.
//!
//! Each field that a reader can do without has a `serde(default)` of its own: one for the whole
//! struct would put these defaults into the OpenAPI document, as if the daemon could leave out what
//! it always writes.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::attachments::{AttachmentReport, FileReport};
use crate::handing_on::{RefusedMention, RunOfRole};
use crate::or_default;
use crate::rule::{RefusedCall, Rule};
use crate::tool_request::ToolRequest;

/// The answer of `send`, and with a few fields less of `stream`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunAnswer<'a> {
    /// `ok`; `awaiting_approval` where tool calls wait for a person's approval, or `awaiting_answer` where only
    /// questions wait.
    #[serde(default = "RunStatus::unknown")]
    #[cfg_attr(feature = "openapi", schema(required, value_type = String))]
    pub status: RunStatus,
    /// This run.
    #[serde(default, deserialize_with = "or_default")]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub run_id: Cow<'a, str>,
    /// The task that the reply belongs to.
    #[serde(default, deserialize_with = "or_default")]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub task_id: Cow<'a, str>,
    /// The trace of the request.
    #[serde(default, deserialize_with = "or_default")]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub trace_id: Cow<'a, str>,
    /// The stored reply; `null` when nothing was stored (`silent`).
    pub message_id: Option<Cow<'a, str>>,
    /// The reply.
    // The daemon always writes one, though it may be empty.
    #[cfg_attr(feature = "openapi", schema(required, value_type = String))]
    pub response: Option<Cow<'a, str>>,
    /// Tokens of all model calls of the run.
    #[serde(default, deserialize_with = "or_default")]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub usage: Usage,
    /// Their price.
    #[serde(default, deserialize_with = "or_default")]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub cost: Cost<'a>,
    /// The model that wrote the reply; `null` when none was called.
    pub model: Option<Cow<'a, str>>,
    /// Its provider.
    pub provider: Option<Cow<'a, str>>,
    /// Why the model stopped.
    pub finish_reason: Option<Cow<'a, str>>,
    /// The tools that were called, in order.
    #[serde(default, deserialize_with = "or_default")]
    #[cfg_attr(feature = "openapi", schema(required, value_type = Vec<Step>))]
    pub steps: Cow<'a, [Step]>,
    /// The digest of the workspace.
    #[serde(default, deserialize_with = "or_default")]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub workspace_digest: Cow<'a, str>,
    /// The plan document of a kickoff.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_document_id: Option<Cow<'a, str>>,
    /// Set when the prompt is close to the model's context window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_warning: Option<Cow<'a, str>>,
    /// Set when the run went on without memories, because they could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_warning: Option<Cow<'a, str>>,
    /// The reply as JSON, where it had to fit a schema; `null` beside `output_errors`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Value>))]
    pub output: Option<Cow<'a, Value>>,
    /// What of the reply does not fit, where the output was asked for with `strict: false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<String>>))]
    pub output_errors: Option<Cow<'a, [String]>>,
    /// The files that came with the message, and how the model got them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<AttachmentReport>>))]
    pub attachments: Option<Cow<'a, [AttachmentReport]>>,
    /// The files that the agent has made (`save_file`), which are attached to the reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<FileReport>>))]
    pub files: Option<Cow<'a, [FileReport]>>,
    /// The reply had been stored by an earlier run with the same key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replayed: Option<bool>,
    /// There was nothing to say, and nothing was stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent: Option<bool>,
    /// The run's key: what joins and cancels it at any instance, and resumes it (`resume_run_key`) where it
    /// waits for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_key: Option<Cow<'a, str>>,
    /// The tool calls that wait for approval, and the questions that wait for an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<ToolRequest>>))]
    pub tool_requests: Option<Cow<'a, [ToolRequest]>>,
    /// The roles that the agent mentioned and that were not notified; absent when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<RefusedMention>>))]
    pub mentions_refused: Option<Cow<'a, [RefusedMention]>>,
    /// The name of the workspace that the run worked with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<Cow<'a, str>>,
    /// The digest of the customer's profile that narrowed it; absent where the backend has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_digest: Option<Cow<'a, str>>,
    /// The calls that a rule refused; absent when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<RefusedCall>>))]
    pub refused: Option<Cow<'a, [RefusedCall]>>,
}

/// Reads a field that is there, also where it is `null`.
fn present<'de, 'a, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Cow<'a, Value>>, D::Error> {
    Value::deserialize(deserializer).map(|value| Some(Cow::Owned(value)))
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
    /// Questions await a person's answer; the run can be resumed.
    AwaitingAnswer,
    /// A status that this version does not know.
    #[serde(untagged)]
    Other(String),
}

impl RunStatus {
    /// The status of an answer that names none. It is not taken for a success.
    fn unknown() -> Self {
        Self::Other(String::new())
    }

    /// Whether the run waits for a person.
    pub fn is_waiting(&self) -> bool {
        matches!(self, Self::AwaitingApproval | Self::AwaitingAnswer)
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::AwaitingApproval => "awaiting_approval",
            Self::AwaitingAnswer => "awaiting_answer",
            Self::Other(text) => text,
        })
    }
}

/// Tokens used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = UsageShape))]
pub struct Usage {
    /// Tokens of the prompts, cached ones included.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub prompt_tokens: u64,
    /// Tokens of the answers, reasoning included.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub completion_tokens: u64,
    /// Both together.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub total_tokens: u64,
    /// Tokens of the prompts that the provider read from its cache.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub cached_tokens: u64,
    /// Tokens of the prompts that the provider wrote to its cache, where it charges for that.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_write_tokens: u64,
    /// Hidden reasoning tokens of the answers, where the provider reports them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reasoning_tokens: u64,
    /// Whether some of these counts are estimates, because a provider did not report them or a call was
    /// dropped; absent when none is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// The price of a run's model calls.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = CostShape))]
pub struct Cost<'a> {
    /// The model; of several, the last.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub model: Cow<'a, str>,
    /// Tokens of the prompts.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub input_tokens: u64,
    /// Tokens of the answers.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub output_tokens: u64,
    /// The price of the prompts, in `currency`.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub input_cost: f64,
    /// The price of the answers, in `currency`.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub output_cost: f64,
    /// Both, in `currency`.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub total_cost: f64,
    /// An ISO 4217 code; the daemon sends `USD`.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub currency: Cow<'a, str>,
    /// Whether the prices of all models are known; where not, the costs are 0.
    #[serde(default = "yes")]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub known: bool,
}

/// Older daemons wrote a cost without this field only where it was known.
fn yes() -> bool {
    true
}

/// One tool call as the answer reports it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = StepReport))]
pub struct Step {
    /// `tool`.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub kind: Cow<'static, str>,
    /// The tool.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub name: String,
    /// Its arguments; those that a person gave it, where it was approved with others.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub arguments: Value,
    /// The arguments that the model asked for, where a person gave it others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_arguments: Option<Value>,
    /// Whether the call succeeded.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub ok: bool,
    /// Where the backend answered 401 or 403: its words, and the user and role that it refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Why the call failed, in one line; absent when it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How long it took, milliseconds.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub duration_ms: u64,
    /// The run that the call was handed on to (`ask_agent`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child: Option<RunOfRole>,
    /// The request that a person decided, or the question that one answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_request_id: Option<String>,
    /// Who decided it: `type` (`person`, `agent` or `system`) and `id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub decided_by: Option<Value>,
    /// The standing rule by which it was made without asking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_id: Option<String>,
    /// The rule by which it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rule>,
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
            r#""inputCost":0.5,"outputCost":0.25,"totalCost":0.75,"currency":"USD","known":true},"model":"m","#,
            r#""provider":"p","finish_reason":"stop","steps":[{"kind":"tool","name":"n","#,
            r#""arguments":{"a":1},"ok":true,"duration_ms":4}],"workspace_digest":"d","#,
            r#""silent":true}"#
        );
        let answer: RunAnswer<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&answer).unwrap(), text);
    }

    #[test]
    fn missing_and_unknown_fields_are_no_error() {
        let answer: RunAnswer<'_> = serde_json::from_value(json!({
            "status": "parked", "response": null, "future": [1],
            "tool_requests": [{"id": "q", "tool": "order"}],
        }))
        .unwrap();
        assert_eq!(answer.status, RunStatus::Other("parked".to_owned()));
        assert_eq!(answer.status.to_string(), "parked");
        assert_eq!(answer.tool_requests.unwrap()[0].arguments, Value::Null);
        let odd: RunAnswer<'_> = serde_json::from_value(json!({
            "run_id": null, "task_id": null, "trace_id": null, "usage": null, "steps": null,
            "workspace_digest": null, "cost": null,
        }))
        .unwrap();
        assert_eq!(odd, RunAnswer { status: RunStatus::unknown(), ..RunAnswer::default() });
        assert!(!odd.cost.known);
        let older = json!({ "model": "m", "totalCost": 0.5, "currency": "USD" });
        let older: Cost<'_> = serde_json::from_value(older).unwrap();
        assert_eq!((older.total_cost, older.known), (0.5, true));
        let waits: RunAnswer<'_> =
            serde_json::from_value(json!({"status": "awaiting_approval"})).unwrap();
        assert_eq!(waits.status, RunStatus::AwaitingApproval);
        assert_eq!(serde_json::to_value(&waits.status).unwrap(), "awaiting_approval");
    }
}
