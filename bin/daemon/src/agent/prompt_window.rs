//! How much of a conversation the model gets to see (docs/RUNS.md, "Long conversations").

use llm::error::LlmErrorKind;
use serde_json::{Value, json};

use super::context::RunContext;
use crate::run::context_window::{Fitted, fit, old_results, prompt_room};
use crate::run::error::{RunError, RunErrorKind};
use crate::run::meter::estimate_message;
use crate::run::state_machine::{Next, RunState};

impl RunContext<'_> {
    /// The room for prompts in the model's context window, where that is known.
    pub(super) fn prompt_room(&self) -> Option<u64> {
        let llm = &self.run.app.llm;
        let window = llm.context_window(&self.model)?;
        let limits = [self.run.request.limits.max_output_tokens, llm.max_output(&self.model)];
        let answer = limits.into_iter().flatten().min().map_or(0, u64::from);
        Some(prompt_room(window, answer))
    }

    /// The warning of a prompt that fills most of the model's context window, or from which something
    /// was left out.
    pub(super) fn context_warning(&self, fitted: &Fitted<'_>) -> Option<String> {
        let model = &self.model.name;
        if fitted.left_out + fitted.results_left_out > 0 {
            return Some(format!(
                "the conversation does not fit into the context window of {model}: {} earlier messages \
                 and {} tool results were left out",
                fitted.left_out, fitted.results_left_out
            ));
        }
        let window = self.run.app.llm.context_window(&self.model)?;
        let tokens = fitted.tokens;
        let percent = tokens.saturating_mul(100) / window.max(1);
        (percent >= u64::from(self.run.app.settings.context_warning_percent)).then(|| {
            format!(
                "the prompt has about {tokens} tokens, {percent} % of the context window of {model} \
                 ({window} tokens)"
            )
        })
    }
}

/// The size of a prompt, for the journal.
pub(super) fn prompt_report(fitted: &Fitted<'_>) -> Value {
    let mut report = json!({
        "messages": fitted.messages.len(),
        "estimated_tokens": fitted.tokens,
    });
    if fitted.left_out + fitted.results_left_out > 0 {
        report["left_out_messages"] = json!(fitted.left_out);
        report["left_out_results"] = json!(fitted.results_left_out);
    }
    report
}

/// How much of the conversation the model gets to see.
pub(super) struct Window {
    /// The room for the prompt, tokens; `None` while no limit is known.
    room: Option<u64>,
    /// The size of the tools, tokens.
    tools: u64,
}

/// The least history, tokens, that is worth another try without it.
const LEAST_HISTORY: u64 = 2_000;

impl Window {
    pub(super) fn new(room: Option<u64>, tools: u64) -> Self {
        Self { room, tools }
    }

    pub(super) fn fit<'a>(&self, state: &'a RunState) -> Fitted<'a> {
        let messages = match state.next() {
            Next::Ask { messages, .. } => messages,
            _ => &[],
        };
        fit(messages, state.history(), self.tools, self.room.unwrap_or(u64::MAX))
    }

    /// After the provider found the prompt too long: halves the room, if there are earlier turns or old
    /// tool results that can be left out.
    pub(super) fn shrink(
        &mut self,
        error: &RunError,
        state: &RunState,
        fitted: &Fitted<'_>,
    ) -> bool {
        let is_too_long = matches!(error.kind, RunErrorKind::Llm(LlmErrorKind::ContextTooLong, _));
        let Next::Ask { messages, .. } = state.next() else { return false };
        let history = messages.get(state.history()).unwrap_or_default();
        let left = history.get(fitted.left_out..).unwrap_or_default();
        let left = left.iter().map(estimate_message).sum::<u64>();
        if !is_too_long || left + old_results(&fitted.messages) < LEAST_HISTORY {
            return false;
        }
        self.room = Some(fitted.tokens / 2);
        true
    }
}
