//! Bringing a conversation into a form that providers accept. A conversation that has it already, as
//! nearly all have, is not copied.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::Value;

use crate::media::Media;
use crate::request::{AssistantMessage, LlmRequest, Message, ToolCall, ToolList};

/// The result of a call of which none is known.
const NO_RESULT: &str = "(No result: it is not known whether the call was made.)";

/// The conversation with calls and results one to one: right behind a turn with calls stand their
/// results, in the order of the calls, with their ids and names. A missing result is made up, one
/// without a call becomes text of the user, and so does a second one of the same call. Ids are neither
/// empty nor used twice: some servers count calls in each turn from zero, and others refuse that
/// (<https://github.com/can1357/oh-my-pi/issues/2055>).
///
/// Sources: <https://platform.openai.com/docs/guides/function-calling> ("an assistant message with
/// 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'"),
/// <https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/implement-tool-use> (results
/// immediately follow), <https://docs.mistral.ai/capabilities/function_calling> ("Not the same number
/// of function calls and responses").
pub(in crate::provider) fn paired(messages: &[Message]) -> Cow<'_, [Message]> {
    if is_paired(messages) {
        return Cow::Borrowed(messages);
    }
    let mut paired = Vec::with_capacity(messages.len());
    let mut used = vec![false; messages.len()];
    let mut seen: HashSet<String> = HashSet::new();
    for (at, message) in messages.iter().enumerate() {
        match message {
            Message::Assistant(turn) if !turn.tool_calls.is_empty() => {
                let calls = with_ids(&turn.tool_calls, at, |id| seen.contains(id));
                seen.extend(calls.iter().map(|call| call.id.clone()));
                let results: Vec<Message> = (turn.tool_calls.iter().zip(&calls))
                    .map(|(given, call)| {
                        let found = result_of(&given.id, messages, at + 1, &mut used);
                        let (content, media) = found.unwrap_or((NO_RESULT, &[]));
                        Message::tool_with(&call.id, &call.name, content, media.to_vec())
                    })
                    .collect();
                paired.push(Message::Assistant(AssistantMessage {
                    tool_calls: calls,
                    ..turn.clone()
                }));
                paired.extend(results);
            }
            Message::Tool { name, content, media, .. } => {
                if !used[at] {
                    paired.push(Message::user_with(result_note(name, content), media.clone()));
                }
            }
            Message::System { .. } | Message::User { .. } | Message::Assistant(_) => {
                paired.push(message.clone());
            }
        }
    }
    Cow::Owned(paired)
}

/// How a server wants the turns.
#[derive(Debug, Clone, Copy)]
pub(in crate::provider) struct Order {
    /// Instructions may come anywhere, not only once at the beginning.
    pub(in crate::provider) system_anywhere: bool,
    /// User and assistant alternate, beginning and ending with the user; tool results count as the
    /// assistant's.
    pub(in crate::provider) is_strict: bool,
}

/// What stands for a text that is empty.
pub(in crate::provider) const EMPTY: &str = "(empty)";
/// The user's turn before a conversation that begins with the assistant's.
pub(in crate::provider) const BEGAN_EARLIER: &str = "(The conversation began earlier.)";
/// The user's turn behind a conversation that ends with the assistant's.
pub(in crate::provider) const GO_ON: &str = "(Please go on.)";
/// The assistant's turn between results and what the user says next.
const RESULTS_READ: &str = "(I have read the results.)";

/// A paired conversation in the order that a server wants. No text is empty.
///
/// Sources: <https://github.com/zed-industries/zed/issues/37021> (Mistral: no `user` behind `tool`),
/// <https://github.com/crewAIInc/crewAI/issues/2194> (Mistral: no `assistant` at the end),
/// <https://github.com/ggml-org/llama.cpp/issues/19851> and
/// <https://github.com/suitenumerique/conversations/issues/197> (chat templates: strict alternation
/// after one system message).
pub(in crate::provider) fn ordered(
    messages: Cow<'_, [Message]>,
    order: Order,
) -> Cow<'_, [Message]> {
    if is_ordered(&messages, order) {
        return messages;
    }
    let mut turns: Vec<Message> = Vec::with_capacity(messages.len() + 1);
    let mut instructions: Vec<String> = Vec::new();
    for message in messages.into_owned() {
        let message = match message {
            Message::System { content } if is_blank(&content) => continue,
            Message::System { content } if !order.system_anywhere => {
                if turns.is_empty() {
                    instructions.push(content);
                    continue;
                }
                Message::user(system_note(&content))
            }
            Message::User { content, media } if media.is_empty() && is_blank(&content) => {
                Message::user(EMPTY)
            }
            Message::Tool { call_id, name, content, media } if is_blank(&content) => {
                Message::tool_with(call_id, name, EMPTY, media)
            }
            Message::Assistant(turn) if turn.tool_calls.is_empty() && is_blank(&turn.text) => {
                continue;
            }
            message => message,
        };
        push(&mut turns, message, order);
    }
    if order.is_strict && !matches!(turns.last(), Some(Message::User { .. } | Message::Tool { .. }))
    {
        turns.push(Message::user(GO_ON));
    }
    if turns.is_empty() && instructions.is_empty() {
        turns.push(Message::user(EMPTY));
    }
    if !instructions.is_empty() {
        turns.insert(0, Message::System { content: instructions.join("\n\n") });
    }
    Cow::Owned(turns)
}

fn push(turns: &mut Vec<Message>, message: Message, order: Order) {
    if order.is_strict {
        match (turns.last_mut(), &message) {
            (None, Message::Assistant(_)) => turns.push(Message::user(BEGAN_EARLIER)),
            (
                Some(Message::User { content, media }),
                Message::User { content: more, media: others },
            ) => {
                if !content.is_empty() {
                    content.push_str("\n\n");
                }
                content.push_str(more);
                media.extend_from_slice(others);
                return;
            }
            (Some(Message::Assistant(turn)), Message::Assistant(more)) => {
                *turn = joined(turn, more);
                return;
            }
            (Some(Message::Tool { .. }), Message::User { .. }) => {
                turns.push(Message::assistant(RESULTS_READ));
            }
            _ => {}
        }
    }
    turns.push(message);
}

/// Two turns of the model as one. The thoughts are those of the second, which may have calls.
fn joined(first: &AssistantMessage, second: &AssistantMessage) -> AssistantMessage {
    let texts = [first.text.as_str(), second.text.as_str()];
    let texts: Vec<&str> = texts.into_iter().filter(|text| !is_blank(text)).collect();
    let mut thoughts = second.thoughts.clone();
    if let Some(Value::Object(fields)) = thoughts.as_mut().map(|thoughts| &mut thoughts.content) {
        // A text with thoughts in it would replace both.
        fields.remove("content");
    }
    let tool_calls = [first.tool_calls.as_slice(), &second.tool_calls].concat();
    AssistantMessage { text: texts.join("\n\n"), tool_calls, thoughts }
}

fn is_ordered(messages: &[Message], order: Order) -> bool {
    if messages.is_empty() {
        return false;
    }
    let mut last: Option<&Message> = None;
    for message in messages {
        let fits = match (last, message) {
            (_, Message::System { content }) if is_blank(content) => false,
            (last, Message::System { .. }) => order.system_anywhere || last.is_none(),
            (_, Message::User { content, media }) if media.is_empty() && is_blank(content) => false,
            (_, Message::Tool { content, .. }) if is_blank(content) => false,
            (_, Message::Assistant(turn)) if turn.tool_calls.is_empty() && is_blank(&turn.text) => {
                false
            }
            (_, Message::User { .. } | Message::Tool { .. } | Message::Assistant(_))
                if !order.is_strict =>
            {
                true
            }
            (Some(Message::User { .. } | Message::Tool { .. }), Message::User { .. }) => false,
            (
                None | Some(Message::System { .. } | Message::Assistant(_)),
                Message::Assistant(_),
            ) => false,
            (_, Message::User { .. } | Message::Tool { .. } | Message::Assistant(_)) => true,
        };
        if !fits {
            return false;
        }
        last = Some(message);
    }
    !order.is_strict || matches!(last, Some(Message::User { .. } | Message::Tool { .. }))
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

/// Whether the conversation has calls or results.
pub(in crate::provider) fn uses_tools(messages: &[Message]) -> bool {
    messages.iter().any(|message| match message {
        Message::Tool { .. } => true,
        Message::Assistant(turn) => !turn.tool_calls.is_empty(),
        Message::System { .. } | Message::User { .. } => false,
    })
}

/// The conversation with its calls and results as plain text, for a turn in which no tool may be
/// called: a server that gets no tools then, and a model that sees no calls, cannot make one.
pub(in crate::provider) fn as_text(messages: &[Message]) -> Vec<Message> {
    let text = paired(messages).into_owned().into_iter().map(|message| match message {
        Message::Assistant(turn) if !turn.tool_calls.is_empty() => {
            let calls = turn.tool_calls.iter().map(|call| match &call.arguments {
                Value::Object(fields) if fields.is_empty() => format!("[called {}]", call.name),
                Value::String(text) => format!("[called {} with {text}]", call.name),
                other => format!("[called {} with {other}]", call.name),
            });
            let lines: Vec<String> =
                Some(turn.text).into_iter().filter(|text| !is_blank(text)).chain(calls).collect();
            Message::assistant(lines.join("\n"))
        }
        Message::Tool { name, content, media, .. } => {
            Message::user_with(result_note(&name, &content), media)
        }
        message => message,
    });
    text.collect()
}

/// The conversation with calls and results one to one, or as plain text if the request has no tools: a
/// protocol that gets none may reject them.
pub(in crate::provider) fn for_tools(messages: &[Message], has_tools: bool) -> Cow<'_, [Message]> {
    let is_text = |message: &Message| match message {
        Message::System { .. } | Message::User { .. } => true,
        Message::Assistant(turn) => turn.tool_calls.is_empty(),
        Message::Tool { .. } => false,
    };
    if has_tools || messages.iter().all(is_text) {
        paired(messages)
    } else {
        Cow::Owned(as_text(messages))
    }
}

/// A request without the thoughts of earlier turns.
pub(in crate::provider) fn without_thoughts(request: &LlmRequest) -> LlmRequest {
    let mut request = request.clone();
    for message in &mut request.messages {
        if let Message::Assistant(turn) = message {
            turn.thoughts = None;
            for call in &mut turn.tool_calls {
                call.provider_state = None;
            }
        }
    }
    request
}

/// A request without tools, and the conversation as plain text.
pub(in crate::provider) fn without_tools(request: &LlmRequest) -> LlmRequest {
    LlmRequest {
        messages: as_text(&request.messages),
        tools: ToolList::default(),
        ..request.clone()
    }
}

/// Instructions as labelled text of the user.
pub(in crate::provider) fn system_note(content: &str) -> String {
    format!("[System message]\n{content}\n[End of system message]")
}

/// The result of a tool as text of the user.
pub(in crate::provider) fn result_note(name: &str, content: &str) -> String {
    format!("[Result of {name}]\n{content}\n[End of result]")
}

fn is_paired(messages: &[Message]) -> bool {
    let mut rest = messages;
    let mut seen: HashSet<&str> = HashSet::new();
    while let Some((message, behind)) = rest.split_first() {
        rest = behind;
        match message {
            Message::Tool { .. } => return false,
            Message::Assistant(turn) if !turn.tool_calls.is_empty() => {
                let calls = &turn.tool_calls;
                let Some((results, behind)) = rest.split_at_checked(calls.len()) else {
                    return false;
                };
                if !have_ids(calls, |id| seen.contains(id))
                    || !calls.iter().zip(results).all(|(c, r)| answers(r, c))
                {
                    return false;
                }
                seen.extend(calls.iter().map(|call| call.id.as_str()));
                rest = behind;
            }
            Message::System { .. } | Message::User { .. } | Message::Assistant(_) => {}
        }
    }
    true
}

fn answers(message: &Message, call: &ToolCall) -> bool {
    matches!(message, Message::Tool { call_id, name, .. } if *call_id == call.id && *name == call.name)
}

/// Whether each call has an id of its own, also among those of earlier turns.
fn have_ids(calls: &[ToolCall], is_seen: impl Fn(&str) -> bool) -> bool {
    let mut own = HashSet::new();
    calls.iter().all(|call| !call.id.is_empty() && own.insert(&call.id) && !is_seen(&call.id))
}

/// The calls of the turn at this place, each with an id of its own. What is made up is the same each
/// time, so that a provider's cache still fits.
fn with_ids(calls: &[ToolCall], at: usize, is_seen: impl Fn(&str) -> bool) -> Vec<ToolCall> {
    let mut calls = calls.to_vec();
    if !have_ids(&calls, is_seen) {
        for (nth, call) in calls.iter_mut().enumerate() {
            call.id = format!("call_{at}_{nth}");
        }
    }
    calls
}

/// Takes the first unused result with this id, before the id is used by another turn.
fn result_of<'a>(
    id: &str,
    messages: &'a [Message],
    from: usize,
    used: &mut [bool],
) -> Option<(&'a str, &'a [Media])> {
    for (message, used) in messages.iter().zip(used).skip(from) {
        match message {
            Message::Tool { call_id, content, media, .. } if call_id == id && !*used => {
                *used = true;
                return Some((content, media));
            }
            Message::Assistant(turn) if turn.tool_calls.iter().any(|call| call.id == id) => {
                return None;
            }
            Message::System { .. }
            | Message::User { .. }
            | Message::Assistant(_)
            | Message::Tool { .. } => {}
        }
    }
    None
}

#[cfg(test)]
mod tests;
