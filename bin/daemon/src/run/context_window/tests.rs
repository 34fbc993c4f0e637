use llm::model::Provider;
use llm::request::{AssistantMessage, ToolCall};
use llm::{Media, MediaSupport};

use super::super::shortening::RESULT_LEFT_OUT;
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
    let fitted = fit(&messages, 1..5, 5, 100, &reader());
    assert!(matches!(fitted.messages, Cow::Borrowed(_)));
    assert_eq!((fitted.left_out, fitted.tokens), (0, 57));
}

#[test]
fn the_oldest_turns_are_left_out_as_whole_turns() {
    let messages = thread(40, 100);
    let fitted = fit(&messages, 1..41, 0, 1_000, &reader());
    assert!(fitted.tokens <= 1_000, "{fitted:?}");
    assert!(fitted.left_out >= 31 && fitted.left_out.is_multiple_of(2), "{fitted:?}");
    assert_eq!(fitted.messages[0], messages[0]);
    let Message::User { content, .. } = &fitted.messages[1] else { panic!("{fitted:?}") };
    assert!(content.contains(&format!("{} earlier messages", fitted.left_out)), "{content}");
    assert_eq!(fitted.messages[2], messages[1 + fitted.left_out]);
    assert_eq!(fitted.messages.last(), messages.last());
}

#[test]
fn a_conversation_that_grows_keeps_its_beginning_for_a_while() {
    let beginnings: Vec<usize> = (40..60)
        .map(|turns| fit(&thread(turns, 10), 1..turns + 1, 0, 200, &reader()).left_out)
        .collect();
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
        messages.push(Message::tool(n.to_string(), "f", text(400)));
    }
    let fitted = fit(&messages, 1..1, 0, 1_000, &reader());
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
    let fitted = fit(&messages, 1..1, 0, 100, &reader());
    assert_eq!(fitted.messages.as_ref(), messages.as_slice());
}

#[test]
fn a_long_answer_leaves_half_of_the_window_to_the_prompt() {
    assert_eq!(prompt_room(128_000, 16_384), 94_873);
    assert_eq!(prompt_room(8_192, 8_192), 4_096);
}

#[test]
fn system_messages_of_the_history_stay_in_front_of_what_is_left() {
    let mut messages = thread(40, 100);
    messages.insert(1, Message::system("The summary of what came before."));
    messages.insert(4, Message::system("Be polite."));
    let fitted = fit(&messages, 1..43, 0, 1_000, &reader());
    assert!(fitted.tokens <= 1_000 && fitted.left_out >= 31, "{fitted:?}");
    assert_eq!(fitted.messages[..3], [&messages[0], &messages[1], &messages[4]].map(Clone::clone));
    assert!(
        matches!(&fitted.messages[3], Message::User { content, .. } if content.contains("left out"))
    );
    assert_eq!(fitted.messages.len(), 4 + 40 - fitted.left_out + 1);
}

/// The table's answer for a model whose images cost what its provider says.
fn reader() -> MediaSupport {
    MediaSupport::of(Provider::Anthropic, "claude-sonnet-4-5")
}

#[test]
fn images_and_pdfs_count_as_their_provider_counts_them() {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    bytes.extend([1_000_u32.to_be_bytes(), 1_000_u32.to_be_bytes()].concat());
    let image = Media::new("a.png", "image/png", bytes);
    let pages = "<</Type /Page>>".repeat(3);
    let pdf = Media::new("a.pdf", "application/pdf", format!("%PDF-1.4 {pages}").into_bytes());
    let messages = [Message::user_with("", vec![image, pdf])];
    let tokens = |media: &MediaSupport| fit(&messages, 0..0, 0, u64::MAX, media).tokens;
    assert_eq!(tokens(&reader()), 1_296 + 9_000);
    // A model that reads neither is told of them.
    let blind = tokens(&MediaSupport::of(Provider::Groq, "llama-3.3-70b-versatile"));
    assert!((30..100).contains(&blind), "{blind}");
    // An old turn with an image goes before the room is exceeded.
    let history = [messages[0].clone(), Message::user("And now?")];
    assert_eq!(fit(&history, 0..1, 0, 5_000, &reader()).left_out, 1);
}
