//! The JSON of a [`RunAnswer`] (docs/API.md): the one place that knows how an [`Ending`] is spread
//! over the fields of the wire type.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::answer::{Ending, RunAnswer};
use super::output::Output;

impl RunAnswer {
    /// The answer as it is written. It borrows every text.
    pub fn to_wire(&self) -> daemon_api::RunAnswer<'_> {
        fn text(text: &str) -> Option<Cow<'_, str>> {
            Some(Cow::Borrowed(text))
        }
        let is_waiting = matches!(self.ending, Ending::Waits { .. });
        let model = self.model.as_ref();
        let plan = self.stored().and_then(|stored| stored.plan_document_id.as_deref());
        daemon_api::RunAnswer {
            status: self.ending.status(),
            run_id: Cow::Borrowed(&self.run_id),
            task_id: Cow::Borrowed(&self.task_id),
            trace_id: Cow::Borrowed(&self.trace_id),
            message_id: self.message_id().and_then(text),
            response: text(&self.response),
            usage: usage_to_wire(&self.usage),
            cost: cost_to_wire(&self.cost),
            model: model.and_then(|model| text(&model.name)),
            provider: model.and_then(|model| text(model.provider.as_str())),
            finish_reason: self.finish_reason.and_then(|reason| text(reason.as_str())),
            steps: Cow::Borrowed(&self.steps),
            workspace_digest: Cow::Borrowed(&self.workspace_digest),
            plan_document_id: plan.and_then(text),
            context_warning: self.context_warning.as_deref().and_then(text),
            memory_warning: self.memory_warning.as_deref().and_then(text),
            output: self.output.as_ref().map(|output| match output {
                Output::Fits(value) => Cow::Borrowed(value),
                Output::Misfits(_) => Cow::Owned(Value::Null),
            }),
            output_errors: match &self.output {
                Some(Output::Misfits(errors)) => Some(Cow::Borrowed(errors)),
                Some(Output::Fits(_)) | None => None,
            },
            attachments: listed(&self.attachments),
            files: listed(&self.files),
            replayed: matches!(self.ending, Ending::Replayed(_)).then_some(true),
            silent: matches!(self.ending, Ending::Silent).then_some(true),
            run_key: text(&self.run_key),
            tool_requests: is_waiting.then(|| Cow::Borrowed(self.tool_requests())),
            mentions_refused: (!self.mentions_refused.is_empty())
                .then_some(Cow::Borrowed(&self.mentions_refused)),
            workspace: self.workspace.as_deref().and_then(text),
            profile_digest: self.profile_digest.as_deref().and_then(text),
            refused: listed(&self.refused),
        }
    }
}

/// A list, which is left out where there is nothing in it.
fn listed<T: Clone>(items: &[T]) -> Option<Cow<'_, [T]>> {
    (!items.is_empty()).then_some(Cow::Borrowed(items))
}

impl Serialize for RunAnswer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_wire().serialize(serializer)
    }
}

/// Writes a field with tokens.
pub(super) fn write_usage<S: Serializer>(
    usage: &llm::event::Usage,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    usage_to_wire(usage).serialize(serializer)
}

/// Writes a field with a price.
pub(super) fn write_cost<S: Serializer>(
    cost: &llm::Cost,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    cost_to_wire(cost).serialize(serializer)
}

/// Tokens as they are written.
pub fn usage_to_wire(usage: &llm::event::Usage) -> daemon_api::Usage {
    let llm::event::Usage {
        prompt_tokens,
        completion_tokens,
        total_tokens,
        cached_tokens,
        cache_write_tokens,
        reasoning_tokens,
        estimated,
    } = *usage;
    daemon_api::Usage {
        prompt_tokens,
        completion_tokens,
        total_tokens,
        cached_tokens,
        cache_write_tokens,
        reasoning_tokens,
        estimated,
    }
}

/// A price as it is written.
pub fn cost_to_wire(cost: &llm::Cost) -> daemon_api::Cost<'_> {
    daemon_api::Cost {
        model: Cow::Borrowed(&cost.model),
        input_tokens: cost.input_tokens,
        output_tokens: cost.output_tokens,
        input_cost: llm::round_usd(cost.input_cost),
        output_cost: llm::round_usd(cost.output_cost),
        total_cost: llm::round_usd(cost.total_cost),
        currency: Cow::Borrowed(&cost.currency),
        known: cost.known,
    }
}

#[cfg(test)]
mod tests {
    use daemon_api::{AttachmentReport, FileReport, RequestKind, Step, ToolRequest};
    use llm::Cost;
    use llm::event::{FinishReason, Usage};
    use llm::model::{ModelRef, Provider};

    use super::super::answer::StoredReply;
    use super::*;

    fn json(ending: Ending) -> String {
        let answer = RunAnswer {
            ending,
            run_id: "r".to_owned(),
            task_id: "t".to_owned(),
            trace_id: "x".to_owned(),
            run_key: "k".to_owned(),
            response: "hi".to_owned(),
            usage: Usage::default(),
            cost: Cost::unknown("m", &Usage { prompt_tokens: 3, ..Usage::default() }),
            model: Some(ModelRef::new(Provider::OpenAi, "m")),
            finish_reason: None,
            steps: Vec::new(),
            workspace_digest: "d".to_owned(),
            context_warning: None,
            memory_warning: None,
            output: None,
            attachments: Vec::new(),
            files: Vec::new(),
            mentions_refused: Vec::new(),
            workspace: None,
            profile_digest: None,
            refused: Vec::new(),
        };
        serde_json::to_string(&answer).unwrap()
    }

    #[test]
    fn each_ending_has_its_fields_in_the_documented_order() {
        let usage = serde_json::to_string(&Usage::default()).unwrap();
        let common = |status: &str, message_id: &str| {
            format!(
                r#"{{"status":"{status}","run_id":"r","task_id":"t","trace_id":"x","message_id":{message_id},"response":"hi","usage":{usage},"cost":{{"model":"m","inputTokens":3,"outputTokens":0,"inputCost":0.0,"outputCost":0.0,"totalCost":0.0,"currency":"USD","known":false}},"model":"m","provider":"openai","finish_reason":null,"steps":[],"workspace_digest":"d""#
            )
        };
        let stored = |plan: Option<&str>| StoredReply {
            message_id: "m1".to_owned(),
            plan_document_id: plan.map(str::to_owned),
        };
        let request = ToolRequest {
            id: "q".to_owned(),
            tool: "a".to_owned(),
            arguments: 1.into(),
            ..ToolRequest::default()
        };
        let question = ToolRequest {
            id: "p".to_owned(),
            kind: RequestKind::Question,
            tool: "ask_user".to_owned(),
            arguments: serde_json::json!({ "question": "Which?", "options": ["a", "b"] }),
            question: Some("Which?".to_owned()),
            options: Some(vec!["a".to_owned(), "b".to_owned()]),
            parameters: Some(serde_json::json!({ "enum": ["a", "b"] })),
            expires_at: Some("2026-01-01T00:00:00.000Z".to_owned()),
            asked_by: None,
        };
        let asked = r#"{"id":"p","kind":"question","tool":"ask_user","arguments":{"question":"Which?","options":["a","b"]},"question":"Which?","options":["a","b"],"parameters":{"enum":["a","b"]},"expires_at":"2026-01-01T00:00:00.000Z"}"#;
        let waits = |requests: &[&ToolRequest]| Ending::Waits {
            tool_requests: requests.iter().map(|request| (*request).clone()).collect(),
        };
        let call = r#"{"id":"q","kind":"approval","tool":"a","arguments":1}"#;
        let rest =
            |all: &[&str]| format!(r#","run_key":"k","tool_requests":[{}]}}"#, all.join(","));
        let (both, alone) = (rest(&[call, asked]), rest(&[asked]));
        for (ending, status, message_id, rest) in [
            (Ending::Replied(stored(None)), "ok", r#""m1""#, r#","run_key":"k"}"#),
            (
                Ending::Replayed(stored(Some("p"))),
                "ok",
                r#""m1""#,
                r#","plan_document_id":"p","replayed":true,"run_key":"k"}"#,
            ),
            (Ending::Silent, "ok", "null", r#","silent":true,"run_key":"k"}"#),
            (waits(&[&request]), "awaiting_approval", "null", &rest(&[call])),
            (waits(&[&request, &question]), "awaiting_approval", "null", &both),
            (waits(&[&question]), "awaiting_answer", "null", &alone),
        ] {
            assert_eq!(json(ending), common(status, message_id) + rest);
        }
    }

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        let usage = Usage {
            prompt_tokens: 3,
            completion_tokens: 2,
            total_tokens: 5,
            cached_tokens: 1,
            cache_write_tokens: 6,
            reasoning_tokens: 7,
            estimated: true,
        };
        let cost = Cost {
            model: "m".to_owned(),
            input_tokens: 3,
            output_tokens: 2,
            input_cost: 0.5,
            output_cost: 0.25,
            total_cost: 0.75,
            currency: "USD".into(),
            known: true,
        };
        let usage_text = r#"{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"cached_tokens":1,"cache_write_tokens":6,"reasoning_tokens":7,"estimated":true}"#;
        let cost_text = r#"{"model":"m","inputTokens":3,"outputTokens":2,"inputCost":0.5,"outputCost":0.25,"totalCost":0.75,"currency":"USD","known":true}"#;
        let step = Step {
            kind: "tool".into(),
            name: "n".to_owned(),
            arguments: serde_json::json!({ "a": 1 }),
            ok: true,
            duration_ms: 4,
            ..Step::default()
        };
        let answer = RunAnswer {
            ending: Ending::Replied(StoredReply {
                message_id: "m1".to_owned(),
                plan_document_id: Some("p".to_owned()),
            }),
            run_id: "r".to_owned(),
            task_id: "t".to_owned(),
            trace_id: "x".to_owned(),
            run_key: "k".to_owned(),
            response: "hi".to_owned(),
            usage,
            cost,
            model: None,
            finish_reason: Some(FinishReason::Stop),
            steps: vec![step],
            workspace_digest: "d".to_owned(),
            context_warning: Some("near".to_owned()),
            memory_warning: Some("timeout".to_owned()),
            output: Some(Output::Misfits(vec!["a: is no number".to_owned()])),
            attachments: vec![AttachmentReport {
                file_id: Some("f".to_owned()),
                name: "a.png".to_owned(),
                media_type: "image/png".to_owned(),
                size: 7,
                sha256: "s".to_owned(),
                used: "image".to_owned(),
            }],
            files: vec![FileReport {
                file_id: "g".to_owned(),
                name: "b.csv".to_owned(),
                media_type: "text/csv".to_owned(),
                size: 8,
                sha256: "t".to_owned(),
            }],
            mentions_refused: vec![daemon_api::RefusedMention {
                role: "r".to_owned(),
                code: "agent_cycle".to_owned(),
            }],
            workspace: Some("eu".to_owned()),
            profile_digest: Some("p".to_owned()),
            refused: vec![daemon_api::RefusedCall {
                tool: "n".to_owned(),
                arguments: serde_json::json!({}),
                rule: daemon_api::Rule {
                    source: daemon_api::RuleSource::Profile,
                    list: Some("deny".to_owned()),
                    pattern: Some("n".to_owned()),
                    ..daemon_api::Rule::default()
                },
            }],
        };
        let text = serde_json::to_string(&answer).unwrap();
        let expected = format!(
            r#"{{"status":"ok","run_id":"r","task_id":"t","trace_id":"x","message_id":"m1","response":"hi","usage":{usage_text},"cost":{cost_text},"model":null,"provider":null,"finish_reason":"stop","steps":[{{"kind":"tool","name":"n","arguments":{{"a":1}},"ok":true,"duration_ms":4}}],"workspace_digest":"d","plan_document_id":"p","context_warning":"near","memory_warning":"timeout","output":null,"output_errors":["a: is no number"],"attachments":[{{"file_id":"f","name":"a.png","media_type":"image/png","size":7,"sha256":"s","used":"image"}}],"files":[{{"file_id":"g","name":"b.csv","media_type":"text/csv","size":8,"sha256":"t"}}],"run_key":"k","mentions_refused":[{{"role":"r","code":"agent_cycle"}}],"workspace":"eu","profile_digest":"p","refused":[{{"tool":"n","arguments":{{}},"rule":{{"source":"profile","list":"deny","pattern":"n"}}}}]}}"#
        );
        assert_eq!(text, expected);
        let read: daemon_api::RunAnswer<'_> = serde_json::from_str(&text).unwrap();
        assert_eq!(read, answer.to_wire());
    }
}
