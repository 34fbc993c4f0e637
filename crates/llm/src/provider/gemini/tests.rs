//! What the model says goes back with the next request, and conversations in the form that it takes.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::contents::contents;
use super::{GeminiReader, parse};
use crate::event::FinishReason;
use crate::model::{ModelRef, Provider};
use crate::provider::answer::Answer;
use crate::provider::failure::Failure;
use crate::provider::wire::{Delta, Reader as _};
use crate::request::{AssistantMessage, Message, ToolCall};

fn gemini(model: &str) -> ModelRef {
    ModelRef::new(Provider::Google, model)
}

fn piece(parts: &Value, reason: Option<&str>) -> Value {
    let mut candidate = json!({ "content": { "role": "model", "parts": parts } });
    if let Some(reason) = reason {
        candidate["finishReason"] = json!(reason);
    }
    json!({ "candidates": [candidate] })
}

fn whole(parts: &Value, reason: &str) -> Result<Answer, Failure> {
    parse(Provider::Google, &piece(parts, Some(reason)))
}

fn read(events: &[Value]) -> Result<Answer, Failure> {
    let mut reader = GeminiReader::new(Provider::Google);
    let mut told = String::new();
    for event in events {
        if let Delta::Text(text) = reader.event(event)? {
            told.push_str(&text);
        }
    }
    if !reader.is_complete() {
        return Err(Failure::cut_off());
    }
    let answer = reader.answer()?;
    assert_eq!(told, answer.message.text);
    Ok(answer)
}

fn result(call: &ToolCall) -> Message {
    Message::tool(&call.id, &call.name, "7")
}

#[test]
fn signatures_and_ids_come_back_with_the_results() {
    let parts = json!([
        { "text": "thinking", "thought": true },
        { "functionCall": { "name": "f", "args": { "x": 1 }, "id": "g1" }, "thoughtSignature": "sig" },
        { "functionCall": { "name": "g" } },
    ]);
    let answer = whole(&parts, "STOP").unwrap();
    assert_eq!((answer.message.text.as_str(), answer.finish_reason), ("", FinishReason::ToolCalls));
    let calls = answer.message.tool_calls.clone();
    let turns = [
        Message::user("Go"),
        Message::Assistant(answer.message),
        result(&calls[0]),
        result(&calls[1]),
        Message::user("Now?"),
    ];
    assert_eq!(
        contents(&gemini("gemini-3-pro"), &turns, true),
        json!([
            { "role": "user", "parts": [{ "text": "Go" }] },
            { "role": "model", "parts": [
                { "text": "thinking", "thought": true },
                { "functionCall": { "name": "f", "args": { "x": 1 }, "id": "g1" }, "thoughtSignature": "sig" },
                { "functionCall": { "name": "g", "args": {} } },
            ]},
            { "role": "user", "parts": [
                { "functionResponse": { "name": "f", "response": { "result": "7" }, "id": "g1" } },
                { "functionResponse": { "name": "g", "response": { "result": "7" } } },
            ]},
            // Text does not stand in the turn of the results.
            { "role": "user", "parts": [{ "text": "Now?" }] },
        ])
    );
}

#[test]
fn a_signature_goes_back_in_its_part_through_the_journal() {
    for last in [
        json!({ "text": "", "thoughtSignature": "last" }),
        json!({ "text": "!", "thoughtSignature": "last" }),
        json!({ "thoughtSignature": "last" }),
    ] {
        let answer = read(&[
            piece(&json!([{ "text": "Plan", "thought": true }]), None),
            piece(&json!([{ "text": "ned", "thought": true }]), None),
            piece(&json!([{ "text": "", "thought": true, "thoughtSignature": "t" }]), None),
            piece(&json!([{ "text": "He" }]), None),
            piece(&json!([{ "text": "llo" }]), None),
            piece(&json!([last]), Some("STOP")),
        ]);
        let stored = serde_json::to_string(&answer.unwrap().message).unwrap();
        let turn: AssistantMessage = serde_json::from_str(&stored).unwrap();
        let turns = [Message::user("Hi"), Message::Assistant(turn), Message::user("And?")];
        let sent = contents(&gemini("gemini-3-pro"), &turns, true);
        let text = last["text"].as_str().unwrap_or_default();
        assert_eq!(
            sent[1]["parts"],
            json!([
                { "text": "Planned", "thought": true },
                { "text": "", "thought": true, "thoughtSignature": "t" },
                { "text": "Hello" },
                { "text": text, "thoughtSignature": "last" },
            ])
        );
        let other = ModelRef::new(Provider::OpenAi, "gpt-4o");
        let sent = contents(&other, &turns, true);
        assert_eq!(sent[1]["parts"], json!([{ "text": format!("Hello{text}") }]));
    }
}

#[test]
fn calls_of_another_model_say_that_they_have_no_signature() {
    let call = |name: &str| ToolCall {
        id: name.into(),
        name: name.into(),
        arguments: json!({}),
        provider_state: None,
    };
    let calls = vec![call("f"), call("g")];
    let turns = [
        Message::user("Go"),
        Message::Assistant(AssistantMessage {
            tool_calls: calls.clone(),
            ..AssistantMessage::default()
        }),
        result(&calls[0]),
        result(&calls[1]),
    ];
    let parts = |model: &str| contents(&gemini(model), &turns, true)[1]["parts"].clone();
    let new = parts("gemini-3-pro");
    assert_eq!(new[0]["thoughtSignature"], "skip_thought_signature_validator");
    assert!(new[1].get("thoughtSignature").is_none());
    assert!(parts("gemini-2.5-flash")[0].get("thoughtSignature").is_none());
}

#[test]
fn only_known_ends_are_good() {
    let parts = json!([{ "text": "Half a" }]);
    assert_eq!(whole(&parts, "STOP").unwrap().finish_reason, FinishReason::Stop);
    assert_eq!(whole(&parts, "MAX_TOKENS").unwrap().finish_reason, FinishReason::Length);
    for word in ["SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE"] {
        let answer = whole(&parts, word).unwrap();
        assert_eq!(answer.finish_reason, FinishReason::ContentFilter, "{word}");
    }
    for word in [
        "OTHER",
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
        "MALFORMED_RESPONSE",
        "NO_IMAGE",
        "A_NEW_ONE",
        "stop",
    ] {
        let failure = whole(&parts, word).unwrap_err();
        assert!(failure.retryable && failure.code.as_deref() == Some(word), "{word}: {failure:?}");
        assert!(read(&[piece(&parts, None), piece(&json!([]), Some(word))]).is_err(), "{word}");
    }
    assert!(whole(&parts, "").unwrap_err().retryable);
    let blocked = |reason: &str| {
        let body = json!({ "promptFeedback": { "blockReason": reason }, "usageMetadata": {} });
        parse(Provider::Google, &body)
    };
    assert_eq!(blocked("SAFETY").unwrap().finish_reason, FinishReason::ContentFilter);
    assert_eq!(blocked("OTHER").unwrap_err().code.as_deref(), Some("OTHER"));
    for body in [json!({ "candidates": [] }), json!({ "usageMetadata": { "promptTokenCount": 1 } })]
    {
        assert!(parse(Provider::Google, &body).unwrap_err().retryable, "{body}");
        assert!(read(std::slice::from_ref(&body)).is_err(), "{body}");
    }
}

#[test]
fn the_last_of_several_reasons_decides() {
    let text = |text: &str, reason| piece(&json!([{ "text": text }]), reason);
    let good = read(&[text("a", Some("STOP")), text("b", None), text("c", Some("STOP"))]).unwrap();
    assert_eq!(good.message.text, "abc");
    assert!(read(&[text("a", Some("STOP")), text("b", None)]).is_err());
    let failure = read(&[text("a", Some("STOP")), text("b", Some("OTHER"))]).unwrap_err();
    assert_eq!(failure.code.as_deref(), Some("OTHER"));
}

#[test]
fn arguments_may_be_absent_text_or_null_and_ids_the_same() {
    let calls = json!([
        { "functionCall": { "name": "a", "id": "same" } },
        { "functionCall": { "name": "b", "id": "same", "args": null } },
        { "functionCall": { "name": "c", "args": "{\"x\":1}" } },
        { "functionCall": { "name": "d", "args": { "x": 1 } } },
    ]);
    let message = whole(&calls, "STOP").unwrap().message;
    let arguments: Vec<_> = message.tool_calls.iter().map(|call| &call.arguments).collect();
    assert_eq!(arguments, [&json!({}), &json!({}), &json!({ "x": 1 }), &json!({ "x": 1 })]);
    let ids: std::collections::HashSet<_> =
        message.tool_calls.iter().map(|call| call.id.as_str()).collect();
    assert_eq!(ids.len(), 4);
    // Each result goes back with the id that Gemini gave.
    let mut turns = vec![Message::user("Go"), Message::Assistant(message.clone())];
    turns.extend(message.tool_calls.iter().map(result));
    let sent = contents(&gemini("gemini-2.5-flash"), &turns, true);
    let id = |n: usize| sent[2]["parts"][n]["functionResponse"].get("id");
    assert_eq!((id(0), id(1), id(2)), (Some(&json!("same")), Some(&json!("same")), None));
}

#[test]
fn counts_are_kept_where_later_pieces_lack_them() {
    let piece = |usage: Value, reason: Option<&str>| {
        let mut piece = piece(&json!([{ "text": "a" }]), reason);
        piece["usageMetadata"] = usage;
        piece
    };
    let usage = read(&[
        piece(
            json!({ "promptTokenCount": 10, "candidatesTokenCount": 1, "thoughtsTokenCount": 5 }),
            None,
        ),
        piece(
            json!({ "candidatesTokenCount": 7, "promptTokenCount": 0, "totalTokenCount": 22 }),
            None,
        ),
        piece(json!(null), Some("STOP")),
    ]);
    let usage = usage.unwrap().usage;
    assert_eq!((usage.prompt_tokens, usage.completion_tokens), (10, 12));
    assert_eq!(usage.reasoning_tokens, 5);
    // Only a total.
    let usage =
        read(&[piece(json!({ "promptTokenCount": 10, "totalTokenCount": 17 }), Some("STOP"))]);
    assert_eq!(usage.unwrap().usage.completion_tokens, 7);
    let usage = read(&[piece(json!({}), Some("STOP"))]).unwrap().usage;
    assert!(usage.is_unknown());
}

/// Checks the protocol's rules for the order of turns and parts.
fn assert_accepted(turns: &Value) {
    let turns = turns.as_array().unwrap();
    assert!(turns[0]["role"] == "user" && turns[turns.len() - 1]["role"] == "user");
    let mut open: Vec<Value> = Vec::new();
    let mut before = "none";
    for turn in turns {
        let parts = turn["parts"].as_array().unwrap();
        assert!(!parts.is_empty());
        let names = |kind: &str| -> Vec<Value> {
            parts.iter().filter_map(|part| part.get(kind)).map(|f| f["name"].clone()).collect()
        };
        for part in parts {
            let text = part.get("text").and_then(Value::as_str);
            assert!(
                part.get("thoughtSignature").is_some() || text.is_none_or(|t| !t.trim().is_empty())
            );
            assert!(part.get("functionCall").is_none_or(|call| call["args"].is_object()));
        }
        let results = names("functionResponse");
        assert_eq!(results, open, "{turns:?}");
        assert!(results.is_empty() || results.len() == parts.len(), "results stand alone");
        open = names("functionCall");
        assert!(open.is_empty() || before == "user", "calls follow a turn of the user");
        before = turn["role"].as_str().unwrap();
    }
    assert!(open.is_empty());
}

fn message() -> impl Strategy<Value = Message> {
    let text = || prop_oneof![Just(String::new()), Just(" \n".to_owned()), "[a-z ]{1,6}"];
    let id = || prop_oneof![Just(String::new()), "[ab]"];
    let call = (id(), "[fg]").prop_map(|(id, name)| ToolCall {
        id,
        name,
        arguments: json!("no object"),
        provider_state: None,
    });
    prop_oneof![
        text().prop_map(Message::system),
        text().prop_map(Message::user),
        (text(), prop::collection::vec(call, 0..3)).prop_map(|(text, tool_calls)| {
            Message::Assistant(AssistantMessage { text, tool_calls, thoughts: None })
        }),
        (id(), "[fg]", text())
            .prop_map(|(call_id, name, content)| Message::tool(call_id, name, content)),
    ]
}

/// Parts of an answer, each cut into the pieces of a stream.
fn parts() -> impl Strategy<Value = Vec<Value>> {
    let part = prop_oneof![
        "[a-zäß ]{1,12}".prop_map(|text| json!({ "text": text })),
        "[a-z ]{1,9}".prop_map(|text| json!({ "text": text, "thought": true })),
        "[a-z]{0,3}".prop_map(|text| json!({ "text": text, "thoughtSignature": "s" })),
        "[fg]".prop_map(|name| json!({ "functionCall": { "name": name, "args": { "x": 1 } } })),
        Just(json!({ "executableCode": { "code": "1" } })),
    ];
    prop::collection::vec(part, 0..6)
}

fn in_pieces(parts: &[Value]) -> Vec<Value> {
    let mut events = Vec::new();
    for part in parts {
        let text = part.get("text").and_then(Value::as_str).unwrap_or_default();
        let chars: Vec<char> = text.chars().collect();
        if part.get("thoughtSignature").is_some() || chars.len() < 2 {
            events.push(piece(&json!([part]), None));
            continue;
        }
        for chunk in chars.chunks(2) {
            let mut more = part.clone();
            more["text"] = json!(chunk.iter().collect::<String>());
            events.push(piece(&json!([more]), None));
        }
    }
    events.push(piece(&json!([{ "text": "" }]), Some("STOP")));
    events
}

/// An answer without its ids, which are random.
fn without_ids(mut answer: Answer) -> Answer {
    for call in &mut answer.message.tool_calls {
        call.id.clear();
    }
    answer
}

proptest! {
    #[test]
    fn any_conversation_is_brought_into_an_accepted_form(
        conversation in prop::collection::vec(message(), 0..9),
        has_tools: bool,
    ) {
        let turns = contents(&gemini("gemini-3-pro"), &conversation, has_tools);
        assert_accepted(&turns);
        let text = turns.to_string();
        prop_assert!(has_tools || !text.contains("functionCall") && !text.contains("functionResponse"));
    }

    #[test]
    fn an_answer_reads_the_same_in_pieces(parts in parts()) {
        let streamed = read(&in_pieces(&parts)).unwrap();
        prop_assert_eq!(without_ids(streamed), without_ids(whole(&json!(parts), "STOP").unwrap()));
    }
}

#[test]
fn there_is_a_limit_of_calls() {
    let calls: Vec<Value> = (0..20_000)
        .map(|n| json!({ "functionCall": { "id": format!("c{n}"), "name": "f" } }))
        .collect();
    assert!(whole(&json!(calls[..256]), "STOP").is_ok());
    assert!(whole(&json!(calls), "STOP").is_err());
    assert!(read(&[piece(&json!(calls), Some("STOP"))]).is_err());
}
