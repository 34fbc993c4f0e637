use serde_json::json;

use super::json::MAX_COUNT;
use super::*;

#[test]
fn a_call_that_came_twice_is_one_and_others_stay() {
    let call = |id: &str, n: u64| ToolCall {
        id: id.to_owned(),
        name: "f".to_owned(),
        arguments: json!({ "n": n }),
        provider_state: None,
    };
    let mut calls = vec![call("a", 1), call("b", 1), call("a", 1), call("a", 2), call("b", 1)];
    without_repeats(&mut calls);
    assert_eq!(calls, [call("a", 1), call("b", 1), call("a", 2)]);
}

#[test]
fn arguments_are_json_text_or_nothing() {
    assert_eq!(arguments(" "), json!({}));
    assert_eq!(arguments("{\"a\":1}"), json!({"a": 1}));
    assert_eq!(arguments("{not json"), json!("{not json"));
    assert_eq!(arguments_of(Some(&json!({"a": 1}))), json!({"a": 1}));
    assert_eq!(object(&json!("{not json")), json!({}));
}

fn ended(end: FinishReason, text: &str, arguments: &[&str]) -> Result<Answer, Failure> {
    let call = |text: &&str| PartialCall {
        name: "f".to_owned(),
        arguments: (*text).to_owned(),
        ..PartialCall::default()
    };
    Assembly {
        text: text.to_owned(),
        calls: arguments.iter().map(call).collect(),
        end: Some(End::Good(end)),
        ..Assembly::default()
    }
    .take()
}

#[test]
fn calls_of_an_answer_that_was_cut_off_are_not_whole() {
    let written = ["{\"a\":1}", "", "{}", "{\"a\":"];
    let arguments = |end| {
        let calls = ended(end, "", &written).unwrap().message.tool_calls.into_iter();
        calls.map(|call| call.arguments).collect::<Vec<_>>()
    };
    let cut = arguments(FinishReason::Length);
    assert_eq!(cut, [json!({"a": 1}), json!(""), json!(""), json!("{\"a\":")]);
    let whole = arguments(FinishReason::ToolCalls);
    assert_eq!(whole, [json!({"a": 1}), json!({}), json!({}), json!("{\"a\":")]);
}

#[test]
fn a_bad_end_stays_one() {
    let mut assembly = Assembly::default();
    assembly.ends(Some(End::Good(FinishReason::Stop)));
    assembly.ends(None);
    assert_eq!(assembly.end, Some(End::Good(FinishReason::Stop)));
    for worse in [FinishReason::Length, FinishReason::ContentFilter] {
        assembly.ends(Some(End::Good(worse)));
        assembly.ends(Some(End::Good(FinishReason::Stop)));
        assert_eq!(assembly.end, Some(End::Good(worse)));
    }
    assembly.ends(Some(End::Bad("error".to_owned())));
    assembly.ends(Some(End::Good(FinishReason::Stop)));
    assert_eq!(assembly.end, Some(End::Bad("error".to_owned())));
}

#[test]
fn an_answer_has_a_sane_number_of_calls_and_tokens() {
    assert!(ended(FinishReason::Stop, "", &vec!["{}"; MAX_PARTS]).is_ok());
    assert!(ended(FinishReason::Stop, "", &vec!["{}"; MAX_PARTS + 1]).is_err());
    let counts = json!({ "a": 1e30, "b": u64::MAX, "c": 12.0, "d": -1 });
    let count = |path| count_at(&counts, path);
    assert_eq!((count("/a"), count("/b")), (MAX_COUNT, MAX_COUNT));
    assert_eq!((count("/c"), count("/d")), (12, 0));
}

#[test]
fn the_reason_fits_what_came() {
    let reason = |end, text, calls: &[&str]| ended(end, text, calls).unwrap().finish_reason;
    assert_eq!(reason(FinishReason::Stop, "", &["{}"]), FinishReason::ToolCalls);
    assert_eq!(reason(FinishReason::ToolCalls, "Hi", &[]), FinishReason::Stop);
    assert_eq!(reason(FinishReason::Length, "Hi", &["{}"]), FinishReason::Length);
    assert!(ended(FinishReason::ToolCalls, " ", &[]).unwrap_err().retryable);
    assert!(Assembly::default().take().unwrap_err().retryable);
}

#[test]
fn an_error_that_says_nothing_is_none() {
    for none in [json!(null), json!(""), json!({}), json!(false)] {
        assert_eq!(error_in(&json!({ "error": none })), None);
    }
    for error in [json!("x"), json!({ "message": "x" }), json!(1)] {
        assert!(error_in(&json!({ "error": error })).is_some());
        assert!(error_in(&json!([{ "error": error }])).is_some());
    }
    assert!(error_in(&json!({ "object": "error", "message": "x" })).is_some());
}

#[test]
fn errors_in_a_success_are_found_in_every_shape() {
    for error in [
        json!({ "error": "x" }),
        json!([{ "error": { "message": "x" } }]),
        json!({ "object": "error", "message": "x" }),
        json!({ "detail": "x" }),
        json!({ "message": "x", "code": 500 }),
        json!({ "base_resp": { "status_code": 1008, "status_msg": "x" } }),
    ] {
        assert!(error_in(&error).is_some(), "{error}");
    }
    for answer in [
        json!({ "error": null, "choices": [] }),
        json!({ "type": "message_start", "message": {} }),
        json!({ "candidates": [], "message": "x" }),
        json!({ "base_resp": { "status_code": 0 }, "choices": [] }),
        json!({}),
    ] {
        assert_eq!(error_in(&answer), None);
    }
}

#[test]
fn ids_that_are_missing_are_made_up() {
    assert_eq!(call_id("a"), "a");
    assert_ne!(call_id(""), call_id(""));
}
