//! Makes a long conversation fit the model's context window: the oldest turns are left out, then old
//! tool results; then what is left of the run's own turns is shortened. A pure function of the conversation, so that a resumed run leaves out the same.

use std::borrow::Cow;

use llm::MediaSupport;
use llm::request::Message;

use super::meter::estimate_message;
use super::shortening::shorten;

/// The share of the window that a prompt may fill by estimate, percent: estimates are too low for some
/// languages and tokenizers.
const FILL_PERCENT: u64 = 85;

/// The least share of the window that the prompt may fill, percent, however long the answer may be.
const LEAST_FILL_PERCENT: u64 = 50;

/// Turns are left out in steps of this share of the room, so that the prompt's beginning, which the
/// provider has in its cache, does not change with every call.
const STEPS: u64 = 4;

/// A prompt that fits, as far as that could be done.
#[derive(Debug)]
pub struct Fitted<'a> {
    /// The conversation, or what is left of it.
    pub messages: Cow<'a, [Message]>,
    /// How many earlier messages of the conversation were left out.
    pub left_out: usize,
    /// How many tool results of this run were left out.
    pub results_left_out: usize,
    /// How many tool calls and results of this run were shortened.
    pub shortened: usize,
    /// About how many tokens the prompt has, tools included.
    pub tokens: u64,
}

/// The room for a prompt in a model's window, tokens. `answer` is the longest answer that may come.
pub fn prompt_room(window: u64, answer: u64) -> u64 {
    let filled = window.saturating_sub(answer) * FILL_PERCENT / 100;
    filled.max(window * LEAST_FILL_PERCENT / 100)
}

/// Leaves out what does not fit into `room` tokens. `history` is where the earlier turns of the
/// conversation are, of which system messages stay: they are instructions, or the summary of what came
/// before. The run's own messages come behind them, `tools` is the size of the tools, and `media` says
/// what images and PDFs cost.
pub fn fit<'a>(
    messages: &'a [Message],
    history: std::ops::Range<usize>,
    tools: u64,
    room: u64,
    media: &MediaSupport,
) -> Fitted<'a> {
    let size = |message: &Message| estimate_message(message) + media.tokens_of(message);
    let sizes: Vec<u64> = messages.iter().map(size).collect();
    let tokens = sizes.iter().sum::<u64>() + tools;
    let whole = Fitted {
        messages: Cow::Borrowed(messages),
        left_out: 0,
        results_left_out: 0,
        shortened: 0,
        tokens,
    };
    if tokens <= room {
        return whole;
    }
    let step = (room / STEPS).max(1);
    let excess = (tokens - room).div_ceil(step) * step;
    // A turn that a person began is kept or left out as a whole.
    let is_begin = |message: &Message| matches!(message, Message::User { .. });
    let is_system = |message: &Message| matches!(message, Message::System { .. });
    let (mut freed, mut left_out, mut begin) = (0, 0, history.start);
    while begin < history.end && (freed < excess || left_out > 0 && !is_begin(&messages[begin])) {
        if !is_system(&messages[begin]) {
            freed += sizes[begin];
            left_out += 1;
        }
        begin += 1;
    }
    let mut kept = messages[..history.start].to_vec();
    let passed = &messages[history.start..begin];
    kept.extend(passed.iter().filter(|message| is_system(message)).cloned());
    if left_out > 0 {
        kept.push(Message::user(note(left_out)));
    }
    kept.extend_from_slice(&messages[begin..history.end]);
    let mut own = messages[history.end..].to_vec();
    let (results_left_out, shortened) = shorten(&mut own, (tokens - freed).saturating_sub(room));
    kept.extend(own);
    let tokens = kept.iter().map(size).sum::<u64>() + tools;
    Fitted { messages: Cow::Owned(kept), left_out, results_left_out, shortened, tokens }
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
mod tests;
