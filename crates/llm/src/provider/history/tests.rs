use serde_json::json;

use super::*;

pub(super) fn calls(ids: &[&str]) -> Message {
    let call = |id: &&str| ToolCall {
        id: (*id).to_owned(),
        name: "f".to_owned(),
        arguments: json!({}),
        provider_state: None,
    };
    Message::Assistant(AssistantMessage {
        tool_calls: ids.iter().map(call).collect(),
        ..AssistantMessage::default()
    })
}

pub(super) fn result(id: &str, content: &str) -> Message {
    Message::Tool { call_id: id.to_owned(), name: "f".to_owned(), content: content.to_owned() }
}

#[test]
fn an_ordinary_conversation_is_not_copied() {
    let messages = [
        Message::system("Be kind."),
        Message::user("Hello"),
        calls(&["a", "b"]),
        result("a", "1"),
        result("b", "2"),
        Message::assistant("Done"),
        Message::user("Again"),
        calls(&["a"]),
        result("a", "3"),
    ];
    assert!(matches!(paired(&messages), Cow::Borrowed(same) if same == messages));
}

#[test]
fn each_call_gets_its_one_result_right_behind_it() {
    for (messages, expected) in [
        (
            vec![calls(&["a", "b"]), result("b", "2"), result("a", "1")],
            vec![calls(&["a", "b"]), result("a", "1"), result("b", "2")],
        ),
        (
            vec![calls(&["a"]), Message::user("?"), result("a", "1")],
            vec![calls(&["a"]), result("a", "1"), Message::user("?")],
        ),
        (vec![calls(&["a"])], vec![calls(&["a"]), result("a", NO_RESULT)]),
        (
            vec![calls(&["a"]), calls(&["a"]), result("a", "1")],
            vec![calls(&["a"]), result("a", NO_RESULT), calls(&["a"]), result("a", "1")],
        ),
        (
            vec![calls(&["a"]), result("a", "1"), result("a", "2"), result("c", "3")],
            vec![
                calls(&["a"]),
                result("a", "1"),
                Message::user("[Result of f]\n2\n[End of result]"),
                Message::user("[Result of f]\n3\n[End of result]"),
            ],
        ),
        (
            vec![calls(&["", ""]), result("", "1"), result("", "2")],
            vec![
                calls(&["call_0_0", "call_0_1"]),
                result("call_0_0", "1"),
                result("call_0_1", "2"),
            ],
        ),
    ] {
        let made = paired(&messages);
        assert_eq!(*made, expected, "{messages:?}");
        assert!(is_paired(&made));
    }
}
