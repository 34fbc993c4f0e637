//! The run as a pure state machine: the conversation so far, and what to do next. No IO.
//!
//! The driver takes [`RunState::next`], does it, and reports back with
//! [`RunState::on_completion`] or [`RunState::on_tool_results`]. The state is plain data and can be
//! serialised.

use std::collections::HashMap;

use llm::Media;
use llm::event::{Completion, FinishReason};
use llm::request::{AssistantMessage, Message, ToolCall, ToolChoice};
use mc_client::idempotency::canonical_json;
use serde::{Deserialize, Serialize};

/// The instruction after an answer that hit the output limit.
const CONTINUE: &str = "Your answer was cut off at the output limit. Go on exactly where it stopped, \
                     without repeating anything.";

/// The instruction once all turns with tools are used up.
const SUM_UP: &str = "You have used all your tool calls for this message. Answer now with what you \
                      have; say plainly what could not be finished.";

/// The instruction once answers were cut off within their tool calls too often.
const GIVE_UP: &str = "Your answers were cut off at the output limit again and again, and these \
                       tool calls were not made. Call no more tools. Answer now in a few sentences; \
                       say plainly what could not be finished.";

/// The same for a run whose reply has to fit a schema.
const SUM_UP_TYPED: &str = "You have used all your tool calls for this message. Answer now with what \
                            you have: JSON that fits the schema.";

/// How often a final text that does not fit its schema is sent back.
const MAX_REPAIRS: u32 = 2;

/// How often in a row an answer may be cut off within its tool calls before the model has to end
/// without tools.
const MAX_CUTS: u32 = 3;

/// A run between two steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// The conversation so far, system prompt first.
    messages: Vec<Message>,
    /// How many of the messages the run started with.
    opening: usize,
    /// The limit on turns with tools.
    max_steps: u32,
    /// Turns so far.
    steps: u32,
    /// The text of a turn that hit the output limit; the next turn continues it.
    cut_off: Option<String>,
    /// Whether the one continuation has been used.
    continued: bool,
    /// How often in a row an answer was cut off within its tool calls.
    #[serde(default)]
    cuts: u32,
    /// The length of the last answer that was cut off so, tokens.
    #[serde(default)]
    cut_at: u64,
    /// Whether the reply has to fit a schema.
    #[serde(default)]
    typed: bool,
    /// How often a final text was sent back.
    #[serde(default)]
    repairs: u32,
    /// How often each call (tool and canonical arguments) has been made.
    seen: HashMap<String, u32>,
    /// The next step.
    phase: Phase,
}

/// The next step of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Phase {
    /// Call the model.
    Ask,
    /// Make these tool calls.
    Tools(Vec<PlannedCall>),
    /// Store this reply.
    Reply { text: String, finish_reason: FinishReason },
    /// The model ended without a usable reply.
    Failed(FailReason),
}

/// What the driver has to do next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Next<'a> {
    /// Call the model with these messages.
    Ask {
        /// The conversation.
        messages: &'a [Message],
        /// Whether tools may be called in this turn.
        tool_choice: ToolChoice,
    },
    /// Make these calls, together.
    CallTools(&'a [PlannedCall]),
    /// Store this reply.
    Reply {
        /// The text.
        text: &'a str,
        /// Why the model stopped.
        finish_reason: FinishReason,
    },
    /// End the run without a reply.
    Fail(FailReason),
}

/// Why a run ends without a reply although the model answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailReason {
    /// The model's answer was empty.
    EmptyReply,
    /// A content filter stopped the model.
    ContentFiltered,
    /// Each answer was cut off at the output limit within its tool calls.
    CutOff {
        /// The length of the last one, tokens.
        tokens: u64,
    },
    /// All turns with tools are used up, and the model wrote no final answer.
    NoSummary,
}

/// A tool call to make, with its position among equal calls of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedCall {
    /// What the model asked for.
    pub call: ToolCall,
    /// 1 for the first call of this tool with these arguments in the run, 2 for the second, …
    /// Part of the key of its write and of the request for its approval.
    pub nth: u32,
}

/// What a tool call came to, for the model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ToolResult {
    /// The text.
    pub content: String,
    /// The files beside it.
    pub media: Vec<Media>,
}

/// A result of text only.
impl From<String> for ToolResult {
    fn from(content: String) -> Self {
        Self { content, media: Vec::new() }
    }
}

impl From<&str> for ToolResult {
    fn from(content: &str) -> Self {
        content.to_owned().into()
    }
}

/// Two calls are equal when this text is.
pub fn identity(call: &ToolCall) -> String {
    format!("{}\n{}", call.name, canonical_json(&call.arguments))
}

impl RunState {
    /// A run that starts with this conversation.
    pub fn new(messages: Vec<Message>, max_steps: u32) -> Self {
        Self {
            opening: messages.len(),
            messages,
            max_steps,
            steps: 0,
            cut_off: None,
            continued: false,
            cuts: 0,
            cut_at: 0,
            typed: false,
            repairs: 0,
            seen: HashMap::new(),
            phase: Phase::Ask,
        }
    }

    /// The same run, whose reply has to fit a schema. A reply that is cut off is not continued: the
    /// beginning of another one would not fit to it.
    #[must_use]
    pub fn typed(self) -> Self {
        Self { typed: true, continued: true, ..self }
    }

    /// What to do next.
    pub fn next(&self) -> Next<'_> {
        match &self.phase {
            Phase::Ask => Next::Ask { messages: &self.messages, tool_choice: self.tool_choice() },
            Phase::Tools(calls) => Next::CallTools(calls),
            Phase::Reply { text, finish_reason } => {
                Next::Reply { text, finish_reason: *finish_reason }
            }
            Phase::Failed(why) => Next::Fail(*why),
        }
    }

    /// The text that the next answer of the model goes on with, where the one before was cut off.
    pub fn cut_off(&self) -> &str {
        self.cut_off.as_deref().unwrap_or_default()
    }

    /// Whether an answer of text alone that is cut off now would be gone on with.
    pub fn may_go_on(&self) -> bool {
        !self.continued && self.cuts < MAX_CUTS
    }

    /// The text of the newest turn of the model that had any, for a run that ends early.
    pub fn text_so_far(&self) -> &str {
        self.messages[self.opening.min(self.messages.len())..]
            .iter()
            .rev()
            .find_map(|message| match message {
                Message::Assistant(turn) if !turn.text.is_empty() => Some(turn.text.as_str()),
                Message::Assistant(_)
                | Message::System { .. }
                | Message::User { .. }
                | Message::Tool { .. } => None,
            })
            .unwrap_or_default()
    }

    /// Processes the model's answer.
    pub fn on_completion(&mut self, completion: Completion) {
        let Completion { message, finish_reason, usage, .. } = completion;
        if finish_reason == FinishReason::ContentFilter {
            self.phase = Phase::Failed(FailReason::ContentFiltered);
            return;
        }
        let tools_allowed = self.tool_choice() == ToolChoice::Auto;
        self.steps += 1;
        if tools_allowed && !message.tool_calls.is_empty() {
            self.cut_off = None;
            if finish_reason == FinishReason::Length {
                self.on_cut_calls(message.text, usage.completion_tokens);
            } else {
                self.cuts = 0;
                self.plan_tools(message);
            }
            return;
        }
        let had_calls = !message.tool_calls.is_empty();
        let text = match self.cut_off.take() {
            Some(beginning) => beginning + &message.text,
            None => message.text,
        };
        if finish_reason == FinishReason::Length && self.may_go_on() && !text.trim().is_empty() {
            self.continued = true;
            self.messages.push(Message::assistant(text.clone()));
            self.messages.push(Message::user(CONTINUE));
            self.cut_off = Some(text);
            return;
        }
        self.phase = if !text.trim().is_empty() {
            Phase::Reply { text, finish_reason }
        } else if had_calls {
            Phase::Failed(self.no_summary())
        } else if self.cuts >= MAX_CUTS {
            Phase::Failed(FailReason::CutOff { tokens: self.cut_at })
        } else {
            Phase::Failed(FailReason::EmptyReply)
        };
    }

    /// The earlier turns of the conversation: between the system prompt and the newest turn.
    pub fn history(&self) -> std::ops::Range<usize> {
        let end = self.opening.saturating_sub(1);
        1.min(end)..end
    }

    /// Whether the model is asked to end the run without tools after it has called some.
    pub fn is_summing_up(&self) -> bool {
        self.phase == Phase::Ask && self.steps > 0 && self.tool_choice() == ToolChoice::None
    }

    /// The model could not be made to sum up without tools.
    pub fn on_no_summary(&mut self) {
        self.phase = Phase::Failed(self.no_summary());
    }

    /// Processes what is wrong with the reply. Whether the model is asked for another one: that is done
    /// twice, without tools.
    pub fn on_misfit(&mut self, errors: &[String]) -> bool {
        let Phase::Reply { text, .. } = &self.phase else { return false };
        if self.repairs >= MAX_REPAIRS {
            return false;
        }
        self.repairs += 1;
        self.messages.push(Message::assistant(text.clone()));
        self.messages.push(Message::user(format!(
            "That does not fit the schema:\n- {}\nAnswer again, with JSON alone that fits. Call no \
             tools.",
            errors.join("\n- ")
        )));
        self.phase = Phase::Ask;
        true
    }

    /// Why there is no answer without tools. It is the cuts where these made the run end.
    fn no_summary(&self) -> FailReason {
        if self.cuts >= MAX_CUTS {
            FailReason::CutOff { tokens: self.cut_at }
        } else {
            FailReason::NoSummary
        }
    }

    /// Processes an answer that was cut off at the output limit within its tool calls. None is made:
    /// what the model wanted is not known.
    fn on_cut_calls(&mut self, text: String, tokens: u64) {
        self.cuts += 1;
        self.cut_at = tokens;
        if !text.trim().is_empty() {
            self.messages.push(Message::assistant(text));
        }
        self.messages.push(Message::user(if self.tool_choice() == ToolChoice::Auto {
            format!(
                "Your answer was cut off at the output limit (after {tokens} tokens), before its \
                 tool calls were complete, so none of them was made. Split the work: make shorter \
                 calls, one per answer, and write a long text in several parts."
            )
        } else if self.cuts >= MAX_CUTS {
            GIVE_UP.to_owned()
        } else {
            self.sum_up().to_owned()
        }));
    }

    /// Puts other items in the place of files of the conversation. Whether any was.
    pub fn replace_media(&mut self, other: impl Fn(&Media) -> Option<Media>) -> bool {
        let mut any = false;
        for message in &mut self.messages {
            let (Message::User { media, .. } | Message::Tool { media, .. }) = message else {
                continue;
            };
            for item in media {
                if let Some(other) = other(item) {
                    *item = other;
                    any = true;
                }
            }
        }
        any
    }

    /// Processes the results of the calls of [`Next::CallTools`], in the same order.
    pub fn on_tool_results(&mut self, results: Vec<ToolResult>) {
        let Phase::Tools(calls) = std::mem::replace(&mut self.phase, Phase::Ask) else {
            return;
        };
        for (planned, result) in calls.into_iter().zip(results) {
            let (id, name) = (planned.call.id, planned.call.name);
            self.messages.push(Message::tool_with(id, name, result.content, result.media));
        }
        if self.tool_choice() == ToolChoice::None {
            self.messages.push(Message::user(self.sum_up()));
        }
    }

    fn plan_tools(&mut self, turn: AssistantMessage) {
        let calls = turn
            .tool_calls
            .iter()
            .map(|call| {
                let nth = self.seen.entry(identity(call)).or_default();
                *nth += 1;
                PlannedCall { call: call.clone(), nth: *nth }
            })
            .collect();
        self.messages.push(Message::Assistant(turn));
        self.phase = Phase::Tools(calls);
    }

    fn sum_up(&self) -> &'static str {
        if self.typed { SUM_UP_TYPED } else { SUM_UP }
    }

    fn tool_choice(&self) -> ToolChoice {
        let may_call = self.steps < self.max_steps && self.cuts < MAX_CUTS && self.repairs == 0;
        if may_call { ToolChoice::Auto } else { ToolChoice::None }
    }
}

#[cfg(test)]
mod tests;
