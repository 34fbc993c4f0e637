//! Makes a long conversation fit the model's context window: the oldest turns are left out, then old
//! tool results. A pure function of the conversation, so that a resumed run leaves out the same.

use std::borrow::Cow;

use llm::request::Message;

use super::meter::estimate_message;

/// The share of the window that a prompt may fill by estimate, percent: estimates are too low for some
/// languages and tokenizers.
const FILL_PERCENT: u64 = 85;

/// The least share of the window that the prompt may fill, percent, however long the answer may be.
const LEAST_FILL_PERCENT: u64 = 50;

/// Turns are left out in steps of this share of the room, so that the prompt's beginning, which the
/// provider has in its cache, does not change with every call.
const STEPS: u64 = 4;

/// What stands in place of a tool result that was left out.
const RESULT_LEFT_OUT: &str = "[This result was left out to fit the model's context window. Call the tool again if you need it.]";

/// A prompt that fits, as far as that could be done.
#[derive(Debug)]
pub struct Fitted<'a> {
    /// The conversation, or what is left of it.
    pub messages: Cow<'a, [Message]>,
    /// How many earlier messages of the conversation were left out.
    pub left_out: usize,
    /// How many tool results of this run were left out.
    pub results_left_out: usize,
    /// About how many tokens the prompt has, tools included.
    pub tokens: u64,
}

/// The room for a prompt in a model's window, tokens. `answer` is the longest answer that may come.
pub fn prompt_room(window: u64, answer: u64) -> u64 {
    let filled = window.saturating_sub(answer) * FILL_PERCENT / 100;
    filled.max(window * LEAST_FILL_PERCENT / 100)
}

/// Leaves out what does not fit into `room` tokens. `history` is where the earlier turns of the
/// conversation are; the run's own messages come behind them, `tools` is the size of the tools.
pub fn fit(
    messages: &[Message],
    history: std::ops::Range<usize>,
    tools: u64,
    room: u64,
) -> Fitted<'_> {
    let sizes: Vec<u64> = messages.iter().map(estimate_message).collect();
    let tokens = sizes.iter().sum::<u64>() + tools;
    let whole =
        Fitted { messages: Cow::Borrowed(messages), left_out: 0, results_left_out: 0, tokens };
    if tokens <= room {
        return whole;
    }
    let step = (room / STEPS).max(1);
    let excess = (tokens - room).div_ceil(step) * step;
    let mut freed = 0;
    let mut left_out = 0;
    while left_out < history.len() && freed < excess {
        freed += sizes[history.start + left_out];
        left_out += 1;
    }
    // A turn that a person began is kept or left out as a whole.
    let is_begin = |message: &Message| matches!(message, Message::User { .. });
    while left_out > 0 && left_out < history.len() && !is_begin(&messages[history.start + left_out])
    {
        freed += sizes[history.start + left_out];
        left_out += 1;
    }
    let mut kept = messages[..history.start].to_vec();
    if left_out > 0 {
        kept.push(Message::user(note(left_out)));
    }
    kept.extend_from_slice(&messages[history.start + left_out..history.end]);
    let own = &messages[history.end..];
    let results_left_out =
        push_own(own, &mut kept, (tokens - freed).saturating_sub(room), excess > freed);
    let tokens = kept.iter().map(estimate_message).sum::<u64>() + tools;
    Fitted { messages: Cow::Owned(kept), left_out, results_left_out, tokens }
}

/// The size of the tool results that could still be left out of a prompt, tokens.
pub fn old_results(messages: &[Message]) -> u64 {
    let newest_turn = newest_turn(messages);
    let results = messages[..newest_turn].iter().filter(|message| {
        matches!(message, Message::Tool { content, .. } if content.len() > RESULT_LEFT_OUT.len())
    });
    results.map(estimate_message).sum()
}

/// Where the newest turn of the model begins.
fn newest_turn(messages: &[Message]) -> usize {
    messages.iter().rposition(|message| matches!(message, Message::Assistant(_))).unwrap_or(0)
}

/// Adds the run's own messages, without its oldest tool results while `excess` tokens are too many. The
/// results of the newest turn are kept.
fn push_own(own: &[Message], kept: &mut Vec<Message>, excess: u64, needed: bool) -> usize {
    let newest_turn = newest_turn(own);
    let (mut freed, mut left_out) = (0, 0);
    for (at, message) in own.iter().enumerate() {
        match message {
            Message::Tool { call_id, name, content }
                if needed
                    && at < newest_turn
                    && freed < excess
                    && content.len() > RESULT_LEFT_OUT.len() =>
            {
                freed += estimate_message(message);
                left_out += 1;
                kept.push(Message::Tool {
                    call_id: call_id.clone(),
                    name: name.clone(),
                    content: RESULT_LEFT_OUT.to_owned(),
                });
            }
            _ => kept.push(message.clone()),
        }
    }
    left_out
}

/// What the model reads in place of the turns.
fn note(left_out: usize) -> String {
    let what = if left_out == 1 { "message" } else { "messages" };
    format!(
        "[{left_out} earlier {what} of this conversation were left out to fit the model's context \
         window.]"
    )
}

#[cfg(test)]
mod tests {
    use llm::request::{AssistantMessage, ToolCall};

    use super::*;

    /// A text of this many tokens.
    fn text(tokens: usize) -> String {
        "word".repeat(tokens)
    }

    fn thread(turns: usize, tokens: usize) -> Vec<Message> {
        let mut messages = vec![Message::system(text(10))];
        for n in 0..turns {
            let content = text(tokens);
            messages.push(if n % 2 == 0 {
                Message::user(content)
            } else {
                Message::assistant(content)
            });
        }
        messages.push(Message::user("And now?"));
        messages
    }

    #[test]
    fn what_fits_is_left_as_it_is() {
        let messages = thread(4, 10);
        let fitted = fit(&messages, 1..5, 5, 100);
        assert!(matches!(fitted.messages, Cow::Borrowed(_)));
        assert_eq!((fitted.left_out, fitted.tokens), (0, 57));
    }

    #[test]
    fn the_oldest_turns_are_left_out_as_whole_turns() {
        let messages = thread(40, 100);
        let fitted = fit(&messages, 1..41, 0, 1_000);
        assert!(fitted.tokens <= 1_000, "{fitted:?}");
        assert!(fitted.left_out >= 31 && fitted.left_out.is_multiple_of(2), "{fitted:?}");
        assert_eq!(fitted.messages[0], messages[0]);
        let Message::User { content } = &fitted.messages[1] else { panic!("{fitted:?}") };
        assert!(content.contains(&format!("{} earlier messages", fitted.left_out)), "{content}");
        assert_eq!(fitted.messages[2], messages[1 + fitted.left_out]);
        assert_eq!(fitted.messages.last(), messages.last());
    }

    #[test]
    fn a_conversation_that_grows_keeps_its_beginning_for_a_while() {
        let beginnings: Vec<usize> =
            (40..60).map(|turns| fit(&thread(turns, 10), 1..turns + 1, 0, 200).left_out).collect();
        let mut distinct = beginnings.clone();
        distinct.dedup();
        assert!(distinct.len() <= 6, "{beginnings:?}");
    }

    #[test]
    fn old_tool_results_go_when_there_is_no_history_left_and_the_newest_stay() {
        let mut messages = thread(0, 0);
        for n in 0..4 {
            let call = ToolCall {
                id: n.to_string(),
                name: "f".into(),
                arguments: serde_json::json!({}),
                provider_state: None,
            };
            messages.push(Message::Assistant(AssistantMessage {
                tool_calls: vec![call],
                ..AssistantMessage::default()
            }));
            messages.push(Message::Tool {
                call_id: n.to_string(),
                name: "f".into(),
                content: text(400),
            });
        }
        let fitted = fit(&messages, 1..1, 0, 1_000);
        assert_eq!((fitted.left_out, fitted.results_left_out), (0, 2));
        assert!(fitted.tokens <= 1_000, "{fitted:?}");
        assert_eq!(fitted.messages.len(), messages.len());
        assert_eq!(fitted.messages.last(), messages.last());
        assert!(
            matches!(&fitted.messages[3], Message::Tool { content, .. } if content == RESULT_LEFT_OUT)
        );
    }

    #[test]
    fn a_message_that_is_too_long_by_itself_is_sent() {
        let messages = vec![Message::system("s"), Message::user(text(500))];
        let fitted = fit(&messages, 1..1, 0, 100);
        assert_eq!(fitted.messages.as_ref(), messages.as_slice());
    }

    #[test]
    fn a_long_answer_leaves_half_of_the_window_to_the_prompt() {
        assert_eq!(prompt_room(128_000, 16_384), 94_873);
        assert_eq!(prompt_room(8_192, 8_192), 4_096);
    }
}
