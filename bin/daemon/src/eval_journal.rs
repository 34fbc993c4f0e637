//! What a run's journal says, read for cases and comparisons.

use evals::{RunView, TurnRole, ViewedCall};
use llm::model::Provider;
use llm::request::{Message, ToolCall};
use mc_client::runs::{Run, RunStatus, RunStep};
use mc_client::steps::{LLM, LLM_REJECTED, LlmStep, REQUEST, THREAD, TOOL, ThreadStep, ToolStep};
use serde::Deserialize as _;
use serde_json::Value;
use wombat_core::heartbeat::{HeartbeatReply, heartbeat_reply};
use wombat_core::untrusted::unfenced;

use crate::agent::journal::RecordedRequest;

/// A journal, step by step.
pub(crate) struct Recorded {
    /// Step 0.
    pub(crate) request: RecordedRequest,
    /// Earlier turns.
    pub(crate) history: Vec<Message>,
    /// The answers of the model.
    pub(crate) turns: Vec<LlmStep<Provider>>,
    /// The tools' results.
    pub(crate) tools: Vec<ToolStep>,
}

impl Recorded {
    /// Reads the journal of a run.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(crate) fn of(run: &Run) -> Result<Self, String> {
        let read = |step: &RunStep| format!("step {} cannot be read", step.index);
        let first = run.steps.iter().find(|step| step.kind == REQUEST);
        let first = first.ok_or_else(|| "it has no journal".to_owned())?;
        let request = RecordedRequest::deserialize(&first.payload)
            .map_err(|error| format!("{}: {error}", read(first)))?;
        let mut recorded = Self {
            history: request.history.clone(),
            request,
            turns: Vec::new(),
            tools: Vec::new(),
        };
        for step in &run.steps {
            let wrong = |error: serde_json::Error| format!("{}: {error}", read(step));
            match step.kind.as_str() {
                THREAD => {
                    let thread =
                        ThreadStep::<Message>::deserialize(&step.payload).map_err(wrong)?;
                    recorded.history = thread.history;
                }
                LLM | LLM_REJECTED => {
                    let turn = LlmStep::deserialize(&step.payload).map_err(wrong)?;
                    recorded.turns.push(turn);
                }
                TOOL => recorded.tools.push(ToolStep::deserialize(&step.payload).map_err(wrong)?),
                _ => {}
            }
        }
        Ok(recorded)
    }

    /// The model that answered last.
    pub(crate) fn model(&self) -> Option<String> {
        let last = self.turns.last()?;
        Some(format!("{}/{}", last.completion.provider, last.completion.model))
    }

    /// Whether it is a heartbeat that had nothing to say.
    fn is_silent(&self, most: usize) -> bool {
        let kind = self.request.metadata.get(daemon_api::metadata::TYPE);
        let most = (kind.and_then(Value::as_str) == Some("heartbeat")).then_some(most);
        // JSON is no acknowledgement.
        let most = most.filter(|_| self.request.output.is_none());
        !self.turns.is_empty()
            && matches!(heartbeat_reply(&self.reply(), most), HeartbeatReply::Silent { .. })
    }

    /// The calls of the last turn that have no result: they wait for a person.
    pub(crate) fn waiting(&self) -> Vec<&ToolCall> {
        let last = self.turns.last();
        let calls = last.into_iter().flat_map(|turn| &turn.completion.message.tool_calls);
        calls.filter(|call| !self.tools.iter().any(|step| step.call_id == call.id)).collect()
    }

    /// What the model said last without calling a tool: the reply.
    pub(crate) fn reply(&self) -> String {
        let said = self.turns.iter().rev().map(|turn| &turn.completion.message);
        let mut ends = said.filter(|message| message.tool_calls.is_empty());
        ends.next().map(|message| message.text.clone()).unwrap_or_default()
    }
}

/// How a run ended, as `expect.status` has it. `most` is what a heartbeat may say and still be silent.
pub(crate) fn status_of(run: &Run, recorded: &Recorded, most: usize) -> String {
    let code = || run.extra.get("error_code").and_then(Value::as_str).map(str::to_owned);
    match run.known_status() {
        Some(RunStatus::Completed) if recorded.is_silent(most) => "silent".to_owned(),
        Some(RunStatus::Completed) => "ok".to_owned(),
        Some(RunStatus::Failed) => code().unwrap_or_else(|| "internal_error".to_owned()),
        Some(RunStatus::Cancelled) => "run_cancelled".to_owned(),
        Some(
            RunStatus::Running
            | RunStatus::Interrupted
            | RunStatus::AwaitingApproval
            | RunStatus::AwaitingAnswer,
        )
        | None => run.status.clone(),
    }
}

/// The arguments that the model gave a call.
pub(crate) fn asked_for(step: &ToolStep) -> &Value {
    step.requested_arguments.as_ref().unwrap_or(&step.arguments)
}

/// Whether a rule or a schema refused a call, or it could not be made as it was asked for: what is said of that
/// are the daemon's own words, without marks around them.
pub(crate) fn is_refused(step: &ToolStep) -> bool {
    let is_made = step.key.is_some() || step.tool_request_id.is_some();
    if step.rule.is_some() || is_made {
        return step.rule.is_some();
    }
    let said = serde_json::from_str::<Value>(&step.content).unwrap_or_default();
    said["error"].is_string() && said["code"].is_null()
}

/// What a tool answered, without the marks around it.
pub(crate) fn answer_of(step: &ToolStep) -> String {
    unfenced(&step.content).unwrap_or(&step.content).to_owned()
}

/// A run as it is compared.
pub(crate) fn view(run: &Run, most: usize) -> Result<RunView, String> {
    let recorded = Recorded::of(run)?;
    let call = |step: &ToolStep| ViewedCall {
        tool: step.name.clone(),
        arguments: asked_for(step).clone(),
        refused: is_refused(step),
    };
    let usage = recorded.turns.iter().map(|turn| turn.completion.usage.total_tokens);
    let costs = recorded.turns.iter().map(|turn| turn.cost.as_ref().filter(|cost| cost.known));
    let costs: Option<Vec<f64>> = costs.map(|cost| Some(cost?.total_cost)).collect();
    Ok(RunView {
        name: run.run_key.clone(),
        status: status_of(run, &recorded, most),
        calls: recorded.tools.iter().map(call).collect(),
        response: recorded.reply(),
        model: recorded.model(),
        workspace_digest: run.workspace_digest.clone(),
        turns: u32::try_from(recorded.turns.len()).unwrap_or(u32::MAX),
        tokens: usage.sum(),
        cost_usd: costs.map(|all| llm::round_usd(all.iter().sum())),
    })
}

/// An earlier turn as a case has it; none of what a model has called.
pub(crate) fn turn_of(message: &Message) -> Option<(TurnRole, String)> {
    match message {
        Message::System { content } => Some((TurnRole::System, content.clone())),
        Message::User { content, .. } => Some((TurnRole::User, content.clone())),
        Message::Assistant(turn) => Some((TurnRole::Assistant, turn.text.clone())),
        Message::Tool { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use mc_client::steps::{Rule, RuleSource};
    use wombat_core::untrusted::FenceKey;

    use super::*;

    #[test]
    fn a_call_was_refused_made_or_decided_by_a_person() {
        let fenced = FenceKey::new(b"x").mark("run").fence("pay", "{\"error\":\"no\"}");
        let rule =
            Rule { source: RuleSource::Schema, list: None, pattern: None, file: None, line: None };
        let own = || "{\"error\":\"no such path\"}".to_owned();
        let step = |content: String| ToolStep { content, ..ToolStep::default() };
        let made = ToolStep { key: Some("k".to_owned()), ..step(own()) };
        let denied = ToolStep { tool_request_id: Some("r".to_owned()), ..step(fenced.clone()) };
        let coded = step("{\"error\":\"no\",\"code\":\"ask_depth\"}".to_owned());
        let ruled = ToolStep { rule: Some(rule), ..step(own()) };
        for (step, expected) in [
            (&ruled, true),
            (&step(own()), true),
            (&made, false),
            (&denied, false),
            (&coded, false),
            (&step(fenced.clone()), false),
        ] {
            assert_eq!(is_refused(step), expected, "{step:?}");
        }
        assert_eq!(answer_of(&denied), "{\"error\":\"no\"}");
    }
}
