//! How much of a conversation the model gets to see (docs/RUNS.md, "Long conversations").

use llm::MediaSupport;
use llm::error::LlmErrorKind;
use mc_client::steps::PromptReport;

use super::context::RunContext;
use crate::run::context_window::{Fitted, fit, prompt_room};
use crate::run::error::{RunError, RunErrorKind};
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
        if fitted.left_out + fitted.results_left_out + fitted.shortened > 0 {
            let mut warning = format!(
                "the conversation does not fit into the context window of {model}; left out: {}, {}",
                shown::counted(fitted.left_out, "earlier message"),
                shown::counted(fitted.results_left_out, "tool result")
            );
            if fitted.shortened > 0 {
                let shortened = shown::counted(fitted.shortened, "long text");
                warning += &format!("; shortened: {shortened}");
            }
            return Some(warning);
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

/// The size of a prompt, and the room that it had, for the journal.
pub(super) fn prompt_report(fitted: &Fitted<'_>, room: Option<u64>) -> PromptReport {
    let is_cut = fitted.left_out + fitted.results_left_out > 0;
    PromptReport {
        messages: fitted.messages.len(),
        estimated_tokens: fitted.tokens,
        room,
        left_out_messages: is_cut.then_some(fitted.left_out),
        left_out_results: is_cut.then_some(fitted.results_left_out),
        shortened: (fitted.shortened > 0).then_some(fitted.shortened),
    }
}

/// How much of the conversation the model gets to see.
pub(super) struct Window {
    /// The room for the prompt, tokens; `None` while no limit is known.
    room: Option<u64>,
    /// The size of the tools, tokens.
    tools: u64,
    /// How often the room was made smaller.
    halvings: u32,
    /// What the model gets of images and PDFs, and what they cost.
    media: MediaSupport,
}

/// How often the room is made smaller in one run: from a million tokens to a thousand.
const MAX_HALVINGS: u32 = 10;

impl Window {
    pub(super) fn new(room: Option<u64>, tools: u64, media: MediaSupport) -> Self {
        Self { room, tools, halvings: 0, media }
    }

    /// Counts with other tools from now on.
    pub(super) fn set_tools(&mut self, tools: u64) {
        self.tools = tools;
    }

    /// The room for the prompt, tokens.
    pub(super) fn room(&self) -> Option<u64> {
        self.room
    }

    /// Leaves no more room than an earlier attempt of the run found, by the report of its prompt.
    pub(super) fn resume(&mut self, prompt: &PromptReport) {
        let limits = [self.room, prompt.room];
        self.room = limits.into_iter().flatten().min();
    }

    pub(super) fn fit<'a>(&self, state: &'a RunState) -> Fitted<'a> {
        self.fit_into(state, self.room.unwrap_or(u64::MAX))
    }

    fn fit_into<'a>(&self, state: &'a RunState, room: u64) -> Fitted<'a> {
        let messages = match state.next() {
            Next::Ask { messages, .. } => messages,
            Next::CallTools(_) | Next::Reply { .. } | Next::Fail(_) => &[],
        };
        fit(messages, state.history(), self.tools, room, &self.media)
    }

    /// After the provider found the prompt too long: halves the room, while there is anything that can
    /// be left out. Where most of the prompt has to stay, a quarter of the rest stays, too.
    pub(super) fn shrink(
        &mut self,
        error: &RunError,
        state: &RunState,
        fitted: &Fitted<'_>,
    ) -> bool {
        let is_too_long = matches!(error.kind, RunErrorKind::Llm(LlmErrorKind::ContextTooLong, _));
        if !is_too_long || self.halvings >= MAX_HALVINGS {
            return false;
        }
        let least = self.fit_into(state, 0).tokens;
        if least >= fitted.tokens {
            return false;
        }
        self.halvings += 1;
        self.room = Some((fitted.tokens / 2).max(least + (fitted.tokens - least) / 4));
        true
    }
}
