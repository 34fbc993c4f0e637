use proptest::prelude::*;

use super::*;

#[test]
fn a_thought_is_no_reply() {
    for (text, expected) in [
        ("Hello", "Hello"),
        (" Hello\n", " Hello\n"),
        (" \n", " \n"),
        ("<think>plan</think>Hello", "Hello"),
        ("\n<think>\nplan\n</think>\n\nHello\n", "Hello\n"),
        ("<THINKING>a < b</think> c</Thinking> Hello", "Hello"),
        ("<thought>x</thought>Hello <seed:think>y</seed:think>you", "Hello you"),
        ("<think>a</think>\n<think>b</think>Hello", "Hello"),
        ("Wait.\n<think>plan</think>\nHello", "Wait.\n\nHello"),
        ("<think>never closed", ""),
        ("Hello\n<think>never closed", "Hello\n"),
        ("Some write <think> before.", "Some write <think> before."),
        ("Some<think>plan</think> more", "Some more"),
        ("Some <think>\nplan\n\nplan</think> more", "Some  more"),
        ("Some <think> before\nand </think> after", "Some <think> before\nand </think> after"),
        ("Some <think> before\n<think>plan</think>Hello", "Some <think> before\nHello"),
        ("Some <think> `before\n<think>plan</think>Hello", "Some <think> `before\nHello"),
        ("Write `<think>`, not `</think>`.", "Write `<think>`, not `</think>`."),
        ("``a ` <think>`` b", "``a ` <think>`` b"),
        ("```\n<think>\n</think>\n```\nSo.", "```\n<think>\n</think>\n```\nSo."),
        (
            "````\n```\n<think>x</think>\n````\n<think>y</think>",
            "````\n```\n<think>x</think>\n````\n",
        ),
        ("5 o`clock\n<think>plan</think>Hello", "5 o`clock\nHello"),
        ("a <b> <thin> </thinker> <", "a <b> <thin> </thinker> <"),
        ("<thin", "<thin"),
        ("größer <think>é</think>ö", "größer ö"),
    ] {
        assert_eq!(reply(text, false), expected, "{text:?}");
        assert_eq!(reply(text, true), expected, "{text:?}");
    }
}

#[test]
fn in_a_whole_answer_a_lone_end_of_a_thought_ends_one() {
    for (text, expected) in [
        ("plan</think>Hello", "Hello"),
        (" plan\n</think>\n\nHello", "Hello"),
        ("<think>a<think>b</think>c</think>Hello", "Hello"),
        ("plan</think>", ""),
        ("Write `</think>` here", "Write `</think>` here"),
        ("plan: \"</think>\" ends it\n</think>\nHello", "Hello"),
        ("plan.</think> Hello, </think> ends it", "Hello, </think> ends it"),
    ] {
        assert_eq!(reply(text, true), expected, "{text:?}");
    }
    assert_eq!(reply("plan</think>Hello", false), "plan</think>Hello");
}

#[test]
fn a_mention_of_a_tag_ends_no_thought() {
    for text in [
        "You end it with </think> and then write the answer.",
        "You end it with </think>\nThen you write the answer.",
        "You end it with </think>.",
        "The tag is \"</think>\" (or '</think>').",
        "The tag is “</think>”.",
        "First, it ends.\n- </think> is the tag.",
    ] {
        assert_eq!(reply(text, true), text);
    }
}

#[test]
fn a_closing_tag_at_the_end_leaves_no_empty_reply() {
    let mut message = AssistantMessage { text: "plan</think>\n".into(), ..Default::default() };
    assert_eq!(reply_in(&message, true), message.text);
    message.tool_calls.push(crate::request::ToolCall {
        id: "a".into(),
        name: "f".into(),
        arguments: serde_json::json!({}),
        provider_state: None,
    });
    assert_eq!(reply_in(&message, true), "");
    message.text = "<think>plan</think>".to_owned();
    message.tool_calls.clear();
    assert_eq!(reply_in(&message, true), "");
}

#[test]
fn a_mention_of_a_tag_does_not_stop_the_stream() {
    let mut filter = ThoughtFilter::new();
    assert_eq!(filter.push("Some write <think> before".to_owned()), "Some write ");
    assert_eq!(filter.push(".\nAnd more".to_owned()), "<think> before.\nAnd more");
    assert_eq!(filter.push(" text".to_owned()), " text");
    assert!(!filter.has_thoughts(false));

    let text = format!("A <think> {} </think>", "é < word ".repeat(MAX_LINE / 9));
    for size in [1, 7, 10_000] {
        let mut filter = ThoughtFilter::new();
        let chars: Vec<char> = text.chars().collect();
        let mut streamed = String::new();
        for piece in chars.chunks(size) {
            streamed += &filter.push(piece.iter().collect());
        }
        assert!(streamed.len() > MAX_LINE, "{}", streamed.len());
        streamed += &filter.finish();
        assert_eq!(streamed, text);
        assert_eq!(reply(&text, false), text);
    }
}

#[test]
fn a_piece_without_a_tag_is_passed_on_at_once() {
    let mut filter = ThoughtFilter::new();
    assert_eq!(filter.push("Hello ".to_owned()), "Hello ");
    assert_eq!(filter.push("you <".to_owned()), "you ");
    assert_eq!(filter.push("b>".to_owned()), "<b>");
    assert_eq!(filter.finish(), "");
    assert!(!filter.has_thoughts(false));
}

proptest! {
    #[test]
    fn pieces_of_any_size_give_the_same_reply(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("<think>"), Just("</think>"), Just("<thinking>"), Just("</thinking>"),
                Just("`"), Just("``"), Just("```"), Just("\n"), Just(" "), Just("a"), Just("é"),
                Just("<"), Just("</"), Just("<thi"), Just(">"), Just("word and word"),
            ],
            0..12,
        ),
        cuts in proptest::collection::vec(1..6_usize, 1..6),
    ) {
        let text = parts.concat();
        let mut filter = ThoughtFilter::new();
        let mut streamed = String::new();
        let mut rest: Vec<char> = text.chars().collect();
        for size in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let behind = rest.split_off((*size).min(rest.len()));
            streamed += &filter.push(rest.iter().collect());
            rest = behind;
        }
        streamed += &filter.finish();
        prop_assert_eq!(&streamed, &reply(&text, false), "{:?}", text);
        if !filter.has_thoughts(false) {
            prop_assert_eq!(streamed, text);
        }
    }
}
