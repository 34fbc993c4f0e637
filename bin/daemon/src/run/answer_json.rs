//! The JSON of a [`RunAnswer`] (docs/API.md): the one place that knows how an [`Ending`] is spread
//! over its fields.

use std::borrow::Cow;

use llm::Cost;
use llm::event::Usage;
use serde::{Serialize, Serializer};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::answer::{Ending, RunAnswer, StepReport, ToolRequestReport, UsageShape};

/// The answer of `send`, and with a few fields less of `stream`.
#[derive(Serialize, ToSchema)]
struct RunAnswerJson<'a> {
    /// `ok`, or `awaiting_approval` where tool calls wait for a person's approval.
    status: &'static str,
    /// This run.
    run_id: &'a str,
    /// The task that the reply belongs to.
    task_id: &'a str,
    /// The trace of the request.
    trace_id: &'a str,
    /// The stored reply; `null` when nothing was stored (`silent`).
    message_id: Option<&'a str>,
    /// The reply.
    response: &'a str,
    /// Tokens of all model calls of the run.
    #[schema(value_type = UsageShape)]
    usage: &'a Usage,
    /// Their price; `null` when a model's price is not known.
    #[schema(value_type = Option<Object>)]
    cost: Option<&'a Cost>,
    /// The model that wrote the reply; `null` when none was called.
    model: Option<&'a str>,
    /// Its provider.
    provider: Option<&'a str>,
    /// Why the model stopped.
    finish_reason: Option<&'a str>,
    /// The tools that were called, in order.
    #[schema(value_type = Vec<StepReport>)]
    steps: &'a [StepReport],
    /// The digest of the workspace.
    workspace_digest: &'a str,
    /// The plan document of a kickoff.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan_document_id: Option<&'a str>,
    /// Set when the prompt is close to the model's context window.
    #[serde(skip_serializing_if = "Option::is_none")]
    context_warning: Option<&'a str>,
    /// The reply had been stored by an earlier run with the same key.
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed: Option<bool>,
    /// There was nothing to say, and nothing was stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    silent: Option<bool>,
    /// What resumes the run (`resume_run_key`), where it waits for approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    run_key: Option<&'a str>,
    /// The tool calls that wait for approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<ToolRequestReport>>)]
    tool_requests: Option<&'a [ToolRequestReport]>,
}

impl<'a> From<&'a RunAnswer> for RunAnswerJson<'a> {
    fn from(answer: &'a RunAnswer) -> Self {
        let is_waiting = matches!(answer.ending, Ending::AwaitingApproval { .. });
        let model = answer.model.as_ref();
        Self {
            status: if is_waiting { "awaiting_approval" } else { "ok" },
            run_id: &answer.run_id,
            task_id: &answer.task_id,
            trace_id: &answer.trace_id,
            message_id: answer.message_id(),
            response: &answer.response,
            usage: &answer.usage,
            cost: answer.cost.as_ref(),
            model: model.map(|model| model.name.as_str()),
            provider: model.map(|model| model.provider.as_str()),
            finish_reason: answer.finish_reason.map(|reason| reason.as_str()),
            steps: &answer.steps,
            workspace_digest: &answer.workspace_digest,
            plan_document_id: answer.stored().and_then(|stored| stored.plan_document_id.as_deref()),
            context_warning: answer.context_warning.as_deref(),
            replayed: matches!(answer.ending, Ending::Replayed(_)).then_some(true),
            silent: matches!(answer.ending, Ending::Silent).then_some(true),
            run_key: answer.run_key(),
            tool_requests: is_waiting.then(|| answer.tool_requests()),
        }
    }
}

impl Serialize for RunAnswer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RunAnswerJson::from(self).serialize(serializer)
    }
}

impl PartialSchema for RunAnswer {
    fn schema() -> RefOr<Schema> {
        RunAnswerJson::schema()
    }
}

impl ToSchema for RunAnswer {
    fn name() -> Cow<'static, str> {
        "RunAnswer".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        RunAnswerJson::schemas(schemas);
    }
}

#[cfg(test)]
mod tests {
    use llm::model::{ModelRef, Provider};

    use super::super::answer::StoredReply;
    use super::*;

    fn json(ending: Ending) -> String {
        let answer = RunAnswer {
            ending,
            run_id: "r".to_owned(),
            task_id: "t".to_owned(),
            trace_id: "x".to_owned(),
            response: "hi".to_owned(),
            usage: Usage::default(),
            cost: None,
            model: Some(ModelRef::new(Provider::OpenAi, "m")),
            finish_reason: None,
            steps: Vec::new(),
            workspace_digest: "d".to_owned(),
            context_warning: None,
        };
        serde_json::to_string(&answer).unwrap()
    }

    #[test]
    fn each_ending_has_its_fields_in_the_documented_order() {
        let usage = serde_json::to_string(&Usage::default()).unwrap();
        let common = |status: &str, message_id: &str| {
            format!(
                r#"{{"status":"{status}","run_id":"r","task_id":"t","trace_id":"x","message_id":{message_id},"response":"hi","usage":{usage},"cost":null,"model":"m","provider":"openai","finish_reason":null,"steps":[],"workspace_digest":"d""#
            )
        };
        let stored = |plan: Option<&str>| StoredReply {
            message_id: "m1".to_owned(),
            plan_document_id: plan.map(str::to_owned),
        };
        let request =
            ToolRequestReport { id: "q".to_owned(), tool: "a".to_owned(), arguments: 1.into() };
        let waiting =
            Ending::AwaitingApproval { run_key: "k".to_owned(), tool_requests: vec![request] };
        for (ending, status, message_id, rest) in [
            (Ending::Replied(stored(None)), "ok", r#""m1""#, "}"),
            (
                Ending::Replayed(stored(Some("p"))),
                "ok",
                r#""m1""#,
                r#","plan_document_id":"p","replayed":true}"#,
            ),
            (Ending::Silent, "ok", "null", r#","silent":true}"#),
            (
                waiting,
                "awaiting_approval",
                "null",
                r#","run_key":"k","tool_requests":[{"id":"q","tool":"a","arguments":1}]}"#,
            ),
        ] {
            assert_eq!(json(ending), common(status, message_id) + rest);
        }
    }
}
