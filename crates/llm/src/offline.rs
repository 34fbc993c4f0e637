//! The offline provider: answers from a script, without a network and without a key.

mod script;
mod template;

use std::time::Duration;

use crate::context::CallContext;
use crate::event::{FinishReason, Usage};
use crate::offline::template::Facts;
use crate::provider::{Answer, Failure, Piece};
use crate::request::{AssistantMessage, LlmRequest, Message, ToolCall, ToolChoice};

pub(crate) use script::Script;

impl Script {
    /// The answer to a request, by the first rule that fits.
    pub(crate) async fn answer(
        &self,
        request: &LlmRequest,
        call: &CallContext,
    ) -> Result<Answer, Failure> {
        let facts = Facts::new(request, call);
        let may_call = request.tool_choice == ToolChoice::Auto;
        // In a turn without tools, the text of a rule that calls one would promise too much, unless
        // no tool has been called yet: then it is the best there is.
        let is_last = !may_call && facts.last_tool().is_some();
        let mut rules = self.rules().filter(|rule| !is_last || rule.call.is_empty());
        let fitting = rules.find_map(|rule| Some((rule, rule.fits(&facts)?)));
        let Some((rule, captures)) = fitting else {
            return Ok(answer(request, nothing_fits(&facts), Vec::new()));
        };
        if rule.delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(rule.delay_ms)).await;
        }
        if let Some(fail) = &rule.fail {
            return Err(Failure::scripted(fail.status, fail.retry_after));
        }
        let text = rule.say.as_deref().map(|say| facts.text(say, &captures)).unwrap_or_default();
        let calls: Vec<ToolCall> = match request.tool_choice {
            ToolChoice::None => Vec::new(),
            ToolChoice::Auto => rule
                .call
                .iter()
                .enumerate()
                .map(|(n, call)| ToolCall {
                    id: format!("offline_{}_{n}", request.messages.len()),
                    name: call.name.clone(),
                    arguments: facts.value(&call.arguments, &captures),
                    provider_state: None,
                })
                .collect(),
        };
        let text = if text.is_empty() && calls.is_empty() { nothing_fits(&facts) } else { text };
        Ok(answer(request, text, calls))
    }
}

fn nothing_fits(facts: &Facts<'_>) -> String {
    if let Some(tool) = facts.last_tool() {
        return format!("I had to stop here. The newest result is from {tool}.");
    }
    format!(
        "I am the offline provider: I answer from a script, and it has no rule for this. You wrote: \
         {}",
        facts.user()
    )
}

fn answer(request: &LlmRequest, text: String, tool_calls: Vec<ToolCall>) -> Answer {
    let finish_reason =
        if tool_calls.is_empty() { FinishReason::Stop } else { FinishReason::ToolCalls };
    let said = text.chars().count()
        + tool_calls
            .iter()
            .map(|call| call.name.len() + call.arguments.to_string().len())
            .sum::<usize>();
    let asked = request.messages.iter().map(|message| match message {
        Message::System { content } | Message::User { content } | Message::Tool { content, .. } => {
            content.chars().count()
        }
        Message::Assistant(turn) => turn.text.chars().count(),
    });
    let (prompt, completion) = (tokens(asked.sum()), tokens(said));
    let usage = Usage {
        prompt_tokens: prompt,
        completion_tokens: completion,
        total_tokens: prompt + completion,
        ..Usage::default()
    };
    Answer { message: AssistantMessage { text, tool_calls, thoughts: None }, finish_reason, usage }
}

/// The common estimate: four characters are a token.
fn tokens(chars: usize) -> u64 {
    u64::try_from(chars.div_ceil(4)).unwrap_or(u64::MAX)
}

/// A scripted answer, word by word.
pub(crate) struct OfflineStream {
    words: std::vec::IntoIter<String>,
    /// `None` once it was returned.
    answer: Option<Box<Answer>>,
}

impl OfflineStream {
    pub(crate) fn new(answer: Answer) -> Self {
        let words: Vec<String> =
            answer.message.text.split_inclusive(char::is_whitespace).map(str::to_owned).collect();
        Self { words: words.into_iter(), answer: Some(Box::new(answer)) }
    }

    pub(crate) fn next(&mut self) -> Result<Piece, Failure> {
        match self.words.next() {
            Some(word) => Ok(Piece::Text(word)),
            None => self.answer.take().map(Piece::Done).ok_or_else(Failure::cut_off),
        }
    }
}
