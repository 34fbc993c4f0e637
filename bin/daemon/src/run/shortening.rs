//! Shortens the turns of a run when they alone are too long for the model's context window: first old
//! tool results go, then the long arguments of old calls, at last parts of the newest results.

use llm::request::{AssistantMessage, Message};
use serde_json::Value;

use super::meter::estimate_message;

/// What stands in place of a tool result that was left out.
pub(super) const RESULT_LEFT_OUT: &str = "[This result was left out to fit the model's context window. Call the tool again if you need it.]";

/// The least that is left of a newest result, tokens. The end of a fence is within its last quarter.
const LEAST_RESULT: u64 = 200;

/// Texts in arguments of old calls that are longer than this, bytes, are cut to half of it.
const LONG_ARGUMENT: usize = 400;

/// The bytes that count as a token in estimates.
const TOKEN_BYTES: u64 = 4;

/// Frees `excess` tokens of a run's own messages, as far as that can be done. Says how many results were
/// left out, and how many calls and results were shortened. The newest turn's calls are kept, and of
/// each of its results at least a part.
pub(super) fn shorten(own: &mut [Message], excess: u64) -> (usize, usize) {
    let newest = own.iter().rposition(|message| matches!(message, Message::Assistant(_)));
    let (old, newest) = own.split_at_mut(newest.unwrap_or(0));
    let mut left = excess;
    let (mut left_out, mut shortened) = (0, 0);
    for message in old.iter_mut() {
        let before = estimate_message(message);
        match message {
            Message::Tool { content, media, .. }
                if left > 0 && (content.len() > RESULT_LEFT_OUT.len() || !media.is_empty()) =>
            {
                RESULT_LEFT_OUT.clone_into(content);
                media.clear();
                left_out += 1;
            }
            _ => continue,
        }
        left = left.saturating_sub(before.saturating_sub(estimate_message(message)));
    }
    for message in old.iter_mut() {
        let before = estimate_message(message);
        match message {
            Message::Assistant(turn) if left > 0 => shortened += shorten_calls(turn),
            _ => continue,
        }
        left = left.saturating_sub(before.saturating_sub(estimate_message(message)));
    }
    (left_out, shortened + shorten_results(newest, left))
}

/// Shortens the long texts in the arguments of a turn's calls; says of how many calls.
fn shorten_calls(turn: &mut AssistantMessage) -> usize {
    let calls = turn.tool_calls.iter_mut();
    calls.map(|call| shorten_texts(&mut call.arguments)).filter(|texts| *texts > 0).count()
}

/// Shortens the long texts in a value, whose form stays as it is; says how many.
fn shorten_texts(value: &mut Value) -> usize {
    match value {
        Value::String(text) if text.len() > LONG_ARGUMENT => {
            let kept = text.floor_char_boundary(LONG_ARGUMENT / 2);
            let left_out = text.len() - kept;
            text.truncate(kept);
            *text += &format!(" [{left_out} bytes left out to fit the model's context window]");
            1
        }
        Value::Array(values) => values.iter_mut().map(shorten_texts).sum(),
        Value::Object(fields) => fields.values_mut().map(shorten_texts).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// Cuts the longest results to an equal share of what is left to all of them; says how many.
fn shorten_results(newest: &mut [Message], excess: u64) -> usize {
    if excess == 0 {
        return 0;
    }
    let is_result = |message: &&Message| matches!(message, Message::Tool { .. });
    let sizes: Vec<u64> = newest.iter().filter(is_result).map(estimate_message).collect();
    let room = sizes.iter().sum::<u64>().saturating_sub(excess);
    let share = share(sizes, room).max(LEAST_RESULT);
    let mut shortened = 0;
    for message in newest {
        let size = estimate_message(message);
        if let Message::Tool { content, .. } = message
            && size > share
        {
            *content = without_middle(content, share);
            shortened += 1;
        }
    }
    shortened
}

/// The largest size that all of these may have so that they fit into the room together.
fn share(mut sizes: Vec<u64>, room: u64) -> u64 {
    sizes.sort_unstable();
    let mut left = room;
    for (at, size) in sizes.iter().enumerate() {
        let equal = left / (sizes.len() - at) as u64;
        if *size > equal {
            return equal;
        }
        left -= size;
    }
    u64::MAX
}

/// A text of this many tokens at most: its beginning and its end, where the marks of a fence are.
fn without_middle(text: &str, tokens: u64) -> String {
    let note = format!(
        "\n[… the middle of this result was left out to fit the model's context window; it had {} \
         characters …]\n",
        text.chars().count()
    );
    let bytes = usize::try_from(tokens * TOKEN_BYTES).unwrap_or(usize::MAX);
    let kept = bytes.saturating_sub(note.len());
    let end = text.ceil_char_boundary(text.len().saturating_sub(kept / 4));
    let begin = text.floor_char_boundary(kept - kept / 4).min(end);
    format!("{}{note}{}", &text[..begin], &text[end..])
}

#[cfg(test)]
mod tests {
    use llm::request::ToolCall;
    use serde_json::json;
    use wombat_core::untrusted::FenceKey;

    use super::*;

    fn call(arguments: Value) -> Message {
        let call = ToolCall { id: "c".into(), name: "f".into(), arguments, provider_state: None };
        Message::Assistant(AssistantMessage {
            tool_calls: vec![call],
            ..AssistantMessage::default()
        })
    }

    fn result(content: String) -> Message {
        Message::tool("c", "f", content)
    }

    fn tokens(messages: &[Message]) -> u64 {
        messages.iter().map(estimate_message).sum()
    }

    #[test]
    fn the_newest_results_share_what_is_left_and_keep_their_fences() {
        let mut own = vec![call(json!({})), result("short".to_owned())];
        let mark = FenceKey::new(b"secret").mark("run");
        own.extend((0..8).map(|_| result(mark.fence("f", &"größe ".repeat(3_000)))));
        let excess = tokens(&own) - 10_000;
        assert_eq!(shorten(&mut own, excess), (0, 8));
        assert!((9_900..=10_000).contains(&tokens(&own)), "{}", tokens(&own));
        assert_eq!(own[1], result("short".to_owned()));
        for message in &own[2..] {
            let Message::Tool { content, .. } = message else { panic!("{message:?}") };
            assert!(content.starts_with("<untrusted-data-") && content.contains("left out"));
            assert!(content.contains("</untrusted-data-"), "{content}");
        }
        // Something is left of each, however little room there is.
        assert_eq!(shorten(&mut own, u64::MAX), (0, 8));
        assert!(
            matches!(&own[2], Message::Tool { content, .. } if content.contains("</untrusted-data-"))
        );
    }

    #[test]
    fn long_arguments_of_old_calls_are_shortened_and_stay_objects() {
        let long =
            || json!({ "title": "Plan", "parts": [{ "text": "wörter ".repeat(3_000) }], "n": 1 });
        let mut own: Vec<Message> =
            (0..4).flat_map(|_| [call(long()), result("done".to_owned())]).collect();
        let excess = tokens(&own) / 3;
        assert_eq!(shorten(&mut own, excess), (0, 2));
        let Message::Assistant(turn) = &own[0] else { panic!("{own:?}") };
        let arguments = &turn.tool_calls[0].arguments;
        assert_eq!((&arguments["title"], &arguments["n"]), (&json!("Plan"), &json!(1)));
        let text = arguments["parts"][0]["text"].as_str().unwrap();
        assert!(text.len() < LONG_ARGUMENT && text.contains("bytes left out"), "{text}");
        assert_eq!(own[4], call(long()));
        // The newest call is kept.
        assert_eq!(shorten(&mut own, u64::MAX).1, 1);
        assert_eq!(own[6], call(long()));
    }
}
