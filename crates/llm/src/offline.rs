//! The offline provider: answers from a script, without a network and without a key. The script is the
//! built-in one, which plays the demo, or one of the user's own.

mod demo;
mod script;
mod template;

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::context::CallContext;
use crate::event::{FinishReason, Usage};
use crate::offline::template::Facts;
use crate::provider::{Answer, Failure, Piece};
use crate::request::{AssistantMessage, LlmRequest, Message, ToolCall, ToolChoice};

pub(crate) use script::Rules;

/// Where answers come from.
#[derive(Debug)]
pub(crate) enum Script {
    /// The model of the demo.
    BuiltIn,
    /// A script of one's own.
    Own(Rules),
}

impl Script {
    /// Reads a script; the built-in one without a path.
    pub(crate) fn load(path: Option<&Path>) -> Result<Self, String> {
        path.map_or(Ok(Self::BuiltIn), |path| Rules::load(path).map(Self::Own))
    }

    /// The answer to a request.
    pub(crate) async fn answer(
        &self,
        request: &LlmRequest,
        call: &CallContext,
    ) -> Result<Answer, Failure> {
        let facts = Facts::new(request, call);
        match self {
            Self::BuiltIn => Ok(built_in(request, &facts)),
            Self::Own(rules) => by_rules(rules, request, &facts).await,
        }
    }
}

/// An answer of the built-in script.
fn built_in(request: &LlmRequest, facts: &Facts<'_>) -> Answer {
    let turn = demo::turn(demo::Asked {
        role: facts.role(),
        message: facts.user(),
        earlier: facts.earlier(),
        tools: &request.tools,
        has_scout: names_scout(request),
        results: facts.results(),
    });
    match request.tool_choice {
        // What was done so far is said with all the rest, at the end.
        ToolChoice::Auto if !turn.calls.is_empty() => answer(request, String::new(), turn.calls),
        ToolChoice::Auto => answer(request, with_files(turn.text, facts), Vec::new()),
        ToolChoice::None if turn.calls.is_empty() => {
            answer(request, with_files(turn.text, facts), Vec::new())
        }
        ToolChoice::None => {
            let text = [turn.text, stopped(facts)].join("\n\n");
            answer(request, text.trim().to_owned(), Vec::new())
        }
    }
}

/// Whether the prompt names a role scout.
fn names_scout(request: &LlmRequest) -> bool {
    request.messages.iter().any(|message| match message {
        Message::System { content } => content
            .split(|c: char| !c.is_alphanumeric())
            .any(|word| word.eq_ignore_ascii_case("scout")),
        Message::User { .. } | Message::Assistant(_) | Message::Tool { .. } => false,
    })
}

/// A reply that also says which files came.
fn with_files(text: String, facts: &Facts<'_>) -> String {
    match facts.files() {
        none if none.is_empty() => text,
        files => {
            format!("You attached {files}; a scripted model cannot look into files.\n\n{text}")
        }
    }
}

/// The answer by the first rule that fits.
async fn by_rules(
    rules: &Rules,
    request: &LlmRequest,
    facts: &Facts<'_>,
) -> Result<Answer, Failure> {
    let may_call = request.tool_choice == ToolChoice::Auto;
    // In a turn without tools, the text of a rule that calls one would promise too much, unless
    // no tool has been called yet: then it is the best there is.
    let is_last = !may_call && facts.last_tool().is_some();
    let mut fitting = rules.iter().filter(|rule| !is_last || rule.call.is_empty());
    let fitting = fitting.find_map(|rule| Some((rule, rule.fits(facts)?)));
    let Some((rule, captures)) = fitting else {
        return Ok(answer(request, nothing_fits(facts), Vec::new()));
    };
    if rule.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(rule.delay_ms)).await;
    }
    if let Some(fail) = &rule.fail {
        return Err(Failure::scripted(fail.status, fail.retry_after));
    }
    let text = rule.say.as_deref().map(|say| facts.text(say, &captures)).unwrap_or_default();
    let calls: Vec<_> = match request.tool_choice {
        ToolChoice::None => Vec::new(),
        ToolChoice::Auto => rule
            .call
            .iter()
            .map(|call| (call.name.clone(), facts.value(&call.arguments, &captures)))
            .collect(),
    };
    let text = if text.is_empty() && calls.is_empty() { nothing_fits(facts) } else { text };
    Ok(answer(request, text, calls))
}

fn stopped(facts: &Facts<'_>) -> String {
    match facts.last_tool() {
        Some(tool) => format!("I had to stop here. The newest result is from {tool}."),
        None => "I cannot use tools in this turn.".to_owned(),
    }
}

fn nothing_fits(facts: &Facts<'_>) -> String {
    if facts.last_tool().is_some() {
        return stopped(facts);
    }
    format!(
        "I am a scripted model: I answer from LLM_OFFLINE_SCRIPT, and it has no rule for this. You \
         wrote: {}",
        facts.user()
    )
}

fn answer(request: &LlmRequest, text: String, calls: Vec<(String, Value)>) -> Answer {
    let tool_calls: Vec<ToolCall> = calls
        .into_iter()
        .enumerate()
        .map(|(n, (name, arguments))| ToolCall {
            id: format!("offline_{}_{n}", request.messages.len()),
            name,
            arguments,
            provider_state: None,
        })
        .collect();
    let finish_reason =
        if tool_calls.is_empty() { FinishReason::Stop } else { FinishReason::ToolCalls };
    let said = text.chars().count()
        + tool_calls
            .iter()
            .map(|call| call.name.len() + call.arguments.to_string().len())
            .sum::<usize>();
    let asked = request.messages.iter().map(|message| match message {
        Message::System { content }
        | Message::User { content, .. }
        | Message::Tool { content, .. } => content.chars().count(),
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
