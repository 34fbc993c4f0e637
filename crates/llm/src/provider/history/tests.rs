use proptest::prelude::*;
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
    Message::tool(id, "f", content)
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
        calls(&["c"]),
        result("c", "3"),
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
            vec![
                calls(&["a"]),
                result("a", NO_RESULT),
                calls(&["call_1_0"]),
                result("call_1_0", "1"),
            ],
        ),
        (
            vec![calls(&["a"]), result("a", "1"), calls(&["a"]), result("a", "2")],
            vec![calls(&["a"]), result("a", "1"), calls(&["call_2_0"]), result("call_2_0", "2")],
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

/// Any message, with few ids and texts, so that they meet.
fn any_message() -> impl Strategy<Value = Message> {
    let text = || proptest::sample::select(vec!["", " ", "a", "b"]);
    let id = || proptest::sample::select(vec!["", "x", "y", "z"]);
    prop_oneof![
        text().prop_map(Message::system),
        text().prop_map(Message::user),
        (text(), proptest::collection::vec(id(), 0..3)).prop_map(|(text, ids)| {
            let Message::Assistant(mut turn) = calls(&ids) else { unreachable!() };
            turn.text = text.to_owned();
            Message::Assistant(turn)
        }),
        (id(), text()).prop_map(|(id, content)| result(id, content)),
    ]
}

/// What is wrong with a conversation for a server that takes the turns in this order, told by the
/// roles alone.
fn wrong(messages: &[Message], order: Order) -> Option<String> {
    let mut open: Vec<&str> = Vec::new();
    let mut role = "";
    for (at, message) in messages.iter().enumerate() {
        let (next, text) = match message {
            Message::System { content } => ("system", content),
            Message::User { content, .. } => ("user", content),
            Message::Assistant(turn) => ("assistant", &turn.text),
            Message::Tool { content, .. } => ("tool", content),
        };
        let has_calls = matches!(message, Message::Assistant(turn) if !turn.tool_calls.is_empty());
        if text.trim().is_empty() && !has_calls {
            return Some(format!("{at}: empty"));
        }
        if next == "system" && at > 0 && !order.system_anywhere {
            return Some(format!("{at}: system"));
        }
        match message {
            Message::Tool { call_id, .. } => {
                if open.is_empty() || open.remove(0) != call_id {
                    return Some(format!("{at}: no call {call_id}"));
                }
            }
            _ if !open.is_empty() => return Some(format!("{at}: no result of {open:?}")),
            Message::Assistant(turn) => {
                open = turn.tool_calls.iter().map(|call| call.id.as_str()).collect();
                let mut ids = open.clone();
                ids.sort_unstable();
                ids.dedup();
                if ids.len() != open.len() || ids.contains(&"") {
                    return Some(format!("{at}: ids {open:?}"));
                }
            }
            Message::System { .. } | Message::User { .. } => {}
        }
        let follows = match next {
            "user" => !matches!(role, "user" | "tool"),
            "assistant" => matches!(role, "user" | "tool"),
            _ => true,
        };
        if order.is_strict && !follows {
            return Some(format!("{at}: {next} behind {role}"));
        }
        role = next;
    }
    if order.is_strict && !matches!(role, "user" | "tool") {
        return Some(format!("the last is {role:?}"));
    }
    (!open.is_empty()).then(|| format!("no result of {open:?} at the end"))
}

proptest! {
    #[test]
    fn any_conversation_comes_into_the_order_of_any_server(
        messages in proptest::collection::vec(any_message(), 0..10),
    ) {
        for order in [OPEN_AI, HOSTED, STRICT] {
            let made = put_in_order(&messages, order);
            prop_assert_eq!(wrong(&made, order), None, "{:?} {:?}", order, made);
            let text = ordered(Cow::Owned(as_text(&messages)), order);
            prop_assert_eq!(wrong(&text, order), None, "{:?} {:?}", order, text);
            prop_assert!(!uses_tools(&text));
        }
    }
}
