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
    ] {
        assert_eq!(reply(text, true), expected, "{text:?}");
    }
    assert_eq!(reply("plan</think>Hello", false), "plan</think>Hello");
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
