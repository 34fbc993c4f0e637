use llm::event::Usage;
use llm::model::Provider;
use serde_json::json;

use super::*;

fn answer(text: &str, calls: &[(&str, i64)], finish_reason: FinishReason) -> Completion {
    let tool_calls = calls
        .iter()
        .enumerate()
        .map(|(i, (name, x))| ToolCall {
            id: format!("c{i}"),
            name: (*name).to_owned(),
            arguments: json!({ "x": x }),
            provider_state: None,
        })
        .collect();
    Completion {
        message: AssistantMessage { text: text.to_owned(), tool_calls, thoughts: None },
        finish_reason,
        usage: Usage::default(),
        model: "m".to_owned(),
        provider: Provider::Offline,
    }
}

fn started(max_steps: u32) -> RunState {
    RunState::new(vec![Message::system("s"), Message::user("hello")], max_steps)
}

#[test]
fn a_plain_answer_is_the_reply() {
    let mut run = started(16);
    run.on_completion(answer("hi", &[], FinishReason::Stop));
    assert_eq!(run.next(), Next::Reply { text: "hi", finish_reason: FinishReason::Stop });
}

#[test]
fn tool_results_go_back_in_the_order_of_the_calls() {
    let mut run = started(16);
    run.on_completion(answer("let me see", &[("a", 1), ("b", 2)], FinishReason::ToolCalls));
    let Next::CallTools(calls) = run.next() else { panic!("{run:?}") };
    assert_eq!(calls.len(), 2);
    run.on_tool_results(vec!["one".into(), "two".into()]);
    let Next::Ask { messages, tool_choice } = run.next() else { panic!("{run:?}") };
    assert_eq!(tool_choice, ToolChoice::Auto);
    let results: Vec<_> = messages
        .iter()
        .filter_map(|m| match m {
            Message::Tool { call_id, content, .. } => Some((call_id.as_str(), content.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(results, [("c0", "one"), ("c1", "two")]);
}

#[test]
fn equal_calls_are_counted_over_the_whole_run() {
    let mut run = started(16);
    for expected in [vec![1, 2, 1], vec![3, 4, 2]] {
        run.on_completion(answer("", &[("a", 1), ("a", 1), ("a", 2)], FinishReason::ToolCalls));
        let Next::CallTools(calls) = run.next() else { panic!("{run:?}") };
        assert_eq!(calls.iter().map(|c| c.nth).collect::<Vec<_>>(), expected);
        run.on_tool_results(vec![ToolResult::default(); 3]);
    }
}

#[test]
fn after_the_last_step_the_model_sums_up_without_tools() {
    let mut run = started(2);
    for _ in 0..2 {
        assert!(matches!(run.next(), Next::Ask { tool_choice: ToolChoice::Auto, .. }));
        run.on_completion(answer("", &[("a", 1)], FinishReason::ToolCalls));
        run.on_tool_results(vec!["r".into()]);
    }
    let Next::Ask { messages, tool_choice } = run.next() else { panic!("{run:?}") };
    assert_eq!(tool_choice, ToolChoice::None);
    assert_eq!(messages.last(), Some(&Message::user(SUM_UP)));
    run.on_completion(answer("done", &[("a", 1)], FinishReason::ToolCalls));
    assert!(matches!(run.next(), Next::Reply { text: "done", .. }));
}

#[test]
fn a_turn_cut_off_at_the_output_limit_goes_on_once() {
    let mut run = started(16);
    run.on_completion(answer("one, ", &[], FinishReason::Length));
    assert!(matches!(run.next(), Next::Ask { .. }));
    run.on_completion(answer("two, ", &[], FinishReason::Length));
    assert_eq!(run.next(), Next::Reply { text: "one, two, ", finish_reason: FinishReason::Length });
}

/// An answer that was cut off within its tool calls.
fn cut(text: &str) -> Completion {
    let usage = Usage { completion_tokens: 77, ..Usage::default() };
    Completion { usage, ..answer(text, &[("a", 1)], FinishReason::Length) }
}

#[test]
fn calls_of_a_cut_answer_are_not_made_and_the_model_hears_of_it() {
    for text in ["", "I write it down."] {
        let mut run = started(16);
        run.on_completion(cut(text));
        let Next::Ask { messages, tool_choice } = run.next() else { panic!("{run:?}") };
        assert_eq!(tool_choice, ToolChoice::Auto);
        let Some(Message::User { content, .. }) = messages.last() else { panic!("{messages:?}") };
        assert!(content.contains("77 tokens") && content.contains("cut off"), "{content}");
        assert_eq!(messages.len(), 3 + usize::from(!text.is_empty()));
        run.on_completion(answer("short", &[], FinishReason::Stop));
        assert!(matches!(run.next(), Next::Reply { text: "short", .. }));
    }
}

#[test]
fn the_same_cut_is_paid_for_three_times_at_most() {
    for (last, expected) in [
        (cut(""), Next::Fail(FailReason::CutOff { tokens: 77 })),
        (
            answer("It is too long.", &[], FinishReason::Stop),
            Next::Reply { text: "It is too long.", finish_reason: FinishReason::Stop },
        ),
        (
            answer("", &[("a", 1)], FinishReason::ToolCalls),
            Next::Fail(FailReason::CutOff { tokens: 77 }),
        ),
        (answer("", &[], FinishReason::Stop), Next::Fail(FailReason::CutOff { tokens: 77 })),
        (cut("I begin"), Next::Reply { text: "I begin", finish_reason: FinishReason::Length }),
    ] {
        let mut run = started(16);
        for _ in 0..3 {
            assert!(matches!(run.next(), Next::Ask { tool_choice: ToolChoice::Auto, .. }));
            run.on_completion(cut(""));
        }
        let Next::Ask { messages, tool_choice } = run.next() else { panic!("{run:?}") };
        assert_eq!(
            (tool_choice, messages.last()),
            (ToolChoice::None, Some(&Message::user(GIVE_UP)))
        );
        run.on_completion(last);
        assert_eq!(run.next(), expected);
    }
}

#[test]
fn calls_that_work_in_between_begin_the_count_of_cuts_anew() {
    let mut run = started(16);
    for _ in 0..3 {
        for _ in 0..2 {
            run.on_completion(cut(""));
        }
        run.on_completion(answer("", &[("a", 1)], FinishReason::ToolCalls));
        run.on_tool_results(vec!["r".into()]);
    }
    assert!(matches!(run.next(), Next::Ask { tool_choice: ToolChoice::Auto, .. }));
}

#[test]
fn a_model_that_calls_tools_instead_of_summing_up_is_told_apart() {
    let mut run = started(1);
    assert!(!run.is_summing_up());
    run.on_completion(answer("", &[("a", 1)], FinishReason::ToolCalls));
    run.on_tool_results(vec!["r".into()]);
    assert!(run.is_summing_up());
    run.on_completion(answer("", &[("a", 1)], FinishReason::ToolCalls));
    assert_eq!(run.next(), Next::Fail(FailReason::NoSummary));
}

#[test]
fn an_empty_or_filtered_answer_is_no_reply() {
    let mut run = started(16);
    run.on_completion(answer(" \n", &[], FinishReason::Stop));
    assert_eq!(run.next(), Next::Fail(FailReason::EmptyReply));
    let mut run = started(16);
    run.on_completion(answer("half", &[], FinishReason::ContentFilter));
    assert_eq!(run.next(), Next::Fail(FailReason::ContentFiltered));
}

#[test]
fn the_state_survives_being_written_down() {
    let mut run = started(3);
    run.on_completion(answer("t", &[("a", 1)], FinishReason::ToolCalls));
    let text = serde_json::to_string(&run).unwrap();
    let mut again: RunState = serde_json::from_str(&text).unwrap();
    assert_eq!(again, run);
    again.on_tool_results(vec!["r".into()]);
    assert!(matches!(again.next(), Next::Ask { .. }));
}
