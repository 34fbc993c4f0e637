//! Bringing a conversation into a form that providers accept. A conversation that has it already, as
//! nearly all have, is not copied.

use std::borrow::Cow;

use crate::request::{AssistantMessage, Message, ToolCall};

/// The result of a call of which none is known.
const NO_RESULT: &str = "(No result: it is not known whether the call was made.)";

/// The conversation with calls and results one to one: right behind a turn with calls stand their
/// results, in the order of the calls, with their ids and names. A missing result is made up, one
/// without a call becomes text of the user, and so does a second one of the same call. Ids are neither
/// empty nor used twice in a turn.
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
    for (at, message) in messages.iter().enumerate() {
        match message {
            Message::Assistant(turn) if !turn.tool_calls.is_empty() => {
                let calls = with_ids(&turn.tool_calls, at);
                let results: Vec<Message> = (turn.tool_calls.iter().zip(&calls))
                    .map(|(given, call)| {
                        let found = result_of(&given.id, messages, at + 1, &mut used);
                        Message::Tool {
                            call_id: call.id.clone(),
                            name: call.name.clone(),
                            content: found.unwrap_or(NO_RESULT).to_owned(),
                        }
                    })
                    .collect();
                paired.push(Message::Assistant(AssistantMessage {
                    tool_calls: calls,
                    ..turn.clone()
                }));
                paired.extend(results);
            }
            Message::Tool { name, content, .. } => {
                if !used[at] {
                    paired.push(Message::User { content: result_note(name, content) });
                }
            }
            Message::System { .. } | Message::User { .. } | Message::Assistant(_) => {
                paired.push(message.clone());
            }
        }
    }
    Cow::Owned(paired)
}

/// The result of a tool as text of the user.
pub(in crate::provider) fn result_note(name: &str, content: &str) -> String {
    format!("[Result of {name}]\n{content}\n[End of result]")
}

fn is_paired(messages: &[Message]) -> bool {
    let mut rest = messages;
    while let Some((message, behind)) = rest.split_first() {
        rest = behind;
        match message {
            Message::Tool { .. } => return false,
            Message::Assistant(turn) if !turn.tool_calls.is_empty() => {
                let calls = &turn.tool_calls;
                let Some((results, behind)) = rest.split_at_checked(calls.len()) else {
                    return false;
                };
                if !have_ids(calls) || !calls.iter().zip(results).all(|(c, r)| answers(r, c)) {
                    return false;
                }
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

/// Whether each call has an id of its own.
fn have_ids(calls: &[ToolCall]) -> bool {
    calls.iter().enumerate().all(|(at, call)| {
        !call.id.is_empty() && calls[..at].iter().all(|other| other.id != call.id)
    })
}

/// The calls of the turn at this place, each with an id of its own. What is made up is the same each
/// time, so that a provider's cache still fits.
fn with_ids(calls: &[ToolCall], at: usize) -> Vec<ToolCall> {
    let mut calls = calls.to_vec();
    if !have_ids(&calls) {
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
) -> Option<&'a str> {
    for (message, used) in messages.iter().zip(used).skip(from) {
        match message {
            Message::Tool { call_id, content, .. } if call_id == id && !*used => {
                *used = true;
                return Some(content);
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
