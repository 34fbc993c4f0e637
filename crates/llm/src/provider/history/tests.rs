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

const OPEN_AI: Order = Order { system_anywhere: true, is_strict: false };
const HOSTED: Order = Order { system_anywhere: false, is_strict: false };
const STRICT: Order = Order { system_anywhere: false, is_strict: true };

fn put_in_order(messages: &[Message], order: Order) -> Vec<Message> {
    let ordered = ordered(paired(messages), order).into_owned();
    assert!(is_ordered(&ordered, order) && is_paired(&ordered), "{ordered:?}");
    // What is in order stays as it is.
    assert!(matches!(super::ordered(Cow::Borrowed(&ordered), order), Cow::Borrowed(_)));
    ordered
}

#[test]
fn an_ordinary_conversation_is_in_order_everywhere() {
    let messages = [
        Message::system("Be kind."),
        Message::user("Hello"),
        calls(&["a", "b"]),
        result("a", "1"),
        result("b", "2"),
        calls(&["c"]),
        result("c", "3"),
        Message::assistant("Done"),
        Message::user("Again"),
    ];
    for order in [OPEN_AI, HOSTED, STRICT] {
        assert!(matches!(ordered(paired(&messages), order), Cow::Borrowed(_)), "{order:?}");
    }
}

#[test]
fn instructions_lead_once_and_are_labelled_elsewhere() {
    let messages = [
        Message::system("One."),
        Message::system(" "),
        Message::system("Two."),
        Message::user("Hello"),
        Message::system("Three."),
    ];
    let note = "[System message]\nThree.\n[End of system message]";
    assert_eq!(
        put_in_order(&messages, HOSTED),
        [Message::system("One.\n\nTwo."), Message::user("Hello"), Message::user(note),]
    );
    assert_eq!(
        put_in_order(&messages, STRICT),
        [Message::system("One.\n\nTwo."), Message::user(format!("Hello\n\n{note}")),]
    );
    assert_eq!(put_in_order(&messages, OPEN_AI).len(), 4);
}

#[test]
fn strict_servers_get_turns_that_alternate_from_user_to_user() {
    let messages = [
        Message::assistant("Before."),
        Message::user("One"),
        Message::user("Two"),
        Message::assistant("I look."),
        calls(&["a"]),
        result("a", "1"),
        Message::user("Sum up."),
        Message::assistant(""),
        Message::assistant("Half"),
    ];
    let Message::Assistant(mut looked) = calls(&["a"]) else { unreachable!() };
    looked.text = "I look.".to_owned();
    assert_eq!(
        put_in_order(&messages, STRICT),
        [
            Message::user(BEGAN_EARLIER),
            Message::assistant("Before."),
            Message::user("One\n\nTwo"),
            Message::Assistant(looked),
            result("a", "1"),
            Message::assistant(RESULTS_READ),
            Message::user("Sum up."),
            Message::assistant("Half"),
            Message::user(GO_ON),
        ]
    );
    assert_eq!(put_in_order(&[Message::system("Alone.")], STRICT).len(), 2);
    // Others get the same turns, without the empty one.
    assert_eq!(put_in_order(&messages, HOSTED).len(), 8);
}

#[test]
fn no_text_is_empty() {
    let messages = [Message::user(" "), calls(&["a"]), result("a", ""), Message::user("?")];
    let texts = put_in_order(&messages, HOSTED);
    assert_eq!(texts[0], Message::user(EMPTY));
    assert_eq!(texts[2], result("a", EMPTY));
}

#[test]
fn calls_become_text_where_none_may_be_made() {
    let Message::Assistant(mut turn) = calls(&["a", "b"]) else { unreachable!() };
    turn.text = "I look.".to_owned();
    turn.tool_calls[0].arguments = json!({ "x": 1 });
    let messages = [Message::user("Hello"), Message::Assistant(turn), result("a", "1")];
    let text = as_text(&messages);
    assert!(!uses_tools(&text) && uses_tools(&messages));
    assert_eq!(text[1], Message::assistant("I look.\n[called f with {\"x\":1}]\n[called f]"));
    assert_eq!(text[2], Message::user("[Result of f]\n1\n[End of result]"));
    assert_eq!(text.len(), 4, "the missing result is told");
}
