//! Answers in every style in which servers send them, and what goes back with the next request.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::input::input;
use super::{ResponsesReader, parse};
use crate::event::FinishReason;
use crate::model::Provider;
use crate::provider::answer::Answer;
use crate::provider::failure::Failure;
use crate::provider::wire::{Delta, Reader as _};
use crate::request::{AssistantMessage, Message, ToolCall};

fn read(events: &[Value]) -> Result<Answer, Failure> {
    let mut reader = ResponsesReader::new(Provider::OpenAi);
    let mut told = String::new();
    for event in events {
        match reader.event(event)? {
            Delta::Text(text) => told.push_str(&text),
            Delta::Nothing => {}
            Delta::End => break,
        }
        if reader.has_ended() {
            break;
        }
    }
    if !reader.is_complete() {
        return Err(Failure::cut_off());
    }
    let answer = reader.answer()?;
    assert_eq!(told, answer.message.text);
    Ok(answer)
}

fn whole(output: &[Value]) -> Answer {
    let usage = json!({ "input_tokens": 9, "output_tokens": 4 });
    let body = json!({ "status": "completed", "output": output, "usage": usage });
    parse(Provider::OpenAi, &body).unwrap()
}

/// How a server streams.
#[derive(Debug, Clone, Copy)]
struct Style {
    /// Events name the item by its id.
    ids: bool,
    /// Events name the item by its index.
    indices: bool,
    /// Each event has another id for the same item, as vLLM's had.
    unstable_ids: bool,
    added: bool,
    /// A call has its whole arguments when it begins.
    whole_start: bool,
    deltas: bool,
    /// `output_text.done`, `function_call_arguments.done`.
    text_done: bool,
    part_done: bool,
    item_done: bool,
    /// The last event repeats the output.
    listed: bool,
    /// Events of text say which part of the message they belong to.
    part_indices: bool,
}

impl Style {
    /// Whether it tells everything, and which item each event is about.
    fn is_sufficient(&self) -> bool {
        let has_text = self.deltas || self.text_done;
        let tells_apart = self.ids || self.indices || self.added || self.item_done;
        tells_apart && (self.item_done || self.listed || (self.added && has_text))
    }
}

fn style() -> impl Strategy<Value = Style> {
    any::<[bool; 11]>()
        .prop_map(|[a, b, c, d, e, f, g, h, i, j, k]| Style {
            ids: a,
            indices: b,
            unstable_ids: a && b && c,
            added: d,
            whole_start: k,
            deltas: e,
            text_done: f,
            part_done: g && j,
            item_done: h,
            listed: i,
            part_indices: j,
        })
        // Without an index nothing tells whose text it is, and without deltas not how much is old.
        .prop_map(|style| Style {
            text_done: style.text_done && (style.part_indices || !style.deltas),
            ..style
        })
        .prop_filter("tells everything", Style::is_sufficient)
}

fn stream(output: &[Value], style: Style) -> Vec<Value> {
    let mut events =
        vec![json!({ "type": "response.created", "response": { "status": "queued" } })];
    let mut number = 0;
    for (index, item) in output.iter().enumerate() {
        let mut id = || {
            number += 1;
            if style.unstable_ids { json!(format!("x{number}")) } else { item["id"].clone() }
        };
        let mut item_event = |kind: &str, mut item: Value| {
            item["id"] = id();
            if !style.ids {
                item.as_object_mut().unwrap().remove("id");
            }
            let mut event = json!({ "type": kind, "item": item });
            if style.indices {
                event["output_index"] = json!(index);
            }
            event
        };
        if style.added {
            let mut begun = item.clone();
            for field in ["content", "arguments", "encrypted_content", "phase"] {
                if field != "arguments" || !style.whole_start {
                    begun.as_object_mut().unwrap().remove(field);
                }
            }
            events.push(item_event("response.output_item.added", begun));
        }
        let done = item_event("response.output_item.done", item.clone());
        let mut place = |mut event: Value| {
            if style.ids {
                event["item_id"] = id();
            }
            if style.indices {
                event["output_index"] = json!(index);
            }
            event
        };
        match item["type"].as_str().unwrap() {
            "message" => events.extend(text_events(item, style).into_iter().map(place)),
            "function_call" => {
                let arguments = item["arguments"].as_str().unwrap();
                let chars: Vec<char> = arguments.chars().collect();
                for piece in chars.chunks(3).filter(|_| style.deltas) {
                    let piece: String = piece.iter().collect();
                    events.push(place(
                        json!({ "type": "response.function_call_arguments.delta", "delta": piece }),
                    ));
                }
                if style.text_done {
                    events.push(place(json!({ "type": "response.function_call_arguments.done",
                        "arguments": arguments })));
                }
            }
            _ => {}
        }
        if style.item_done {
            events.push(done);
        }
    }
    let listed = if style.listed { output } else { &[] };
    events.push(json!({ "type": "response.completed", "response": { "status": "completed",
        "output": listed, "usage": { "input_tokens": 9, "output_tokens": 4 } } }));
    events
}

fn text_events(item: &Value, style: Style) -> Vec<Value> {
    let mut events = Vec::new();
    for (number, part) in item["content"].as_array().unwrap().iter().enumerate() {
        let is_refusal = part["type"] == "refusal";
        let (kind, field) =
            if is_refusal { ("refusal", "refusal") } else { ("output_text", "text") };
        let text = part[field].as_str().unwrap();
        let mut push = |mut event: Value| {
            if style.part_indices {
                event["content_index"] = json!(number);
            }
            events.push(event);
        };
        let chars: Vec<char> = text.chars().collect();
        for piece in chars.chunks(2).filter(|_| style.deltas) {
            let piece: String = piece.iter().collect();
            push(json!({ "type": format!("response.{kind}.delta"), "delta": piece }));
        }
        if style.text_done && style.part_indices {
            push(json!({ "type": format!("response.{kind}.done"), field: text }));
        }
        if style.part_done {
            push(json!({ "type": "response.content_part.done", "part": part }));
        }
    }
    events
}

fn output() -> impl Strategy<Value = Vec<Value>> {
    let part = prop_oneof![
        "[a-zäß]{1,7}".prop_map(|text| json!({ "type": "output_text", "text": text })),
        "[a-z]{1,7}".prop_map(|text| json!({ "type": "refusal", "refusal": text })),
    ];
    let item = prop_oneof![
        prop::collection::vec(part, 1..3).prop_map(
            |content| json!({ "type": "message", "role": "assistant", "content": content })
        ),
        ("[fg]", any::<Option<u8>>()).prop_map(|(name, n)| {
            let arguments = n.map_or(json!({}), |n| json!({ "place": "Ort", "n": n }));
            json!({ "type": "function_call", "name": name, "arguments": arguments.to_string() })
        }),
        "[A-Z]{3}".prop_map(|sealed| {
            json!({ "type": "reasoning", "summary": [], "encrypted_content": sealed })
        }),
        Just(json!({ "type": "web_search_call", "status": "completed" })),
    ];
    prop::collection::vec(item, 0..5).prop_map(|mut items| {
        for (n, item) in items.iter_mut().enumerate() {
            item["id"] = json!(format!("item_{n}"));
            if item["type"] == "function_call" {
                item["call_id"] = json!(format!("call_{n}"));
            }
        }
        items
    })
}

proptest! {
    #[test]
    fn an_answer_reads_the_same_in_every_style(mut output in output(), style in style()) {
        if !style.item_done && !style.listed {
            // Reasoning is whole only there.
            output.retain(|item| item["type"] != "reasoning");
        }
        if !style.part_indices && !style.item_done && !style.listed && !style.deltas {
            output.retain(|item| item["type"] != "message");
        }
        let streamed = read(&stream(&output, style)).unwrap();
        prop_assert_eq!(&streamed, &whole(&output));
        prop_assert_eq!(streamed.usage.total_tokens, 13);
    }
}

#[test]
fn sealed_thoughts_go_back_in_front_of_what_they_led_to() {
    let output = [
        json!({ "type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "one" }),
        json!({ "type": "message", "id": "msg_1", "role": "assistant", "phase": "commentary",
            "content": [{ "type": "output_text", "text": "I look." }] }),
        json!({ "type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "two" }),
        json!({ "type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}" }),
        json!({ "type": "reasoning", "id": "rs_3", "summary": [], "encrypted_content": "loose" }),
    ];
    let stored = serde_json::to_string(&whole(&output).message).unwrap();
    let turn: AssistantMessage = serde_json::from_str(&stored).unwrap();
    let result = Message::tool("c", "f", "7");
    let turns = [Message::user("Go"), Message::Assistant(turn), result];
    assert_eq!(
        input(Provider::OpenAi, &turns, true, true),
        json!([
            { "role": "user", "content": "Go" },
            { "type": "reasoning", "summary": [], "encrypted_content": "one" },
            {
                "type": "message", "role": "assistant", "phase": "commentary",
                "content": [{ "type": "output_text", "text": "I look." }],
            },
            { "type": "reasoning", "summary": [], "encrypted_content": "two" },
            { "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}" },
            { "type": "function_call_output", "call_id": "c", "output": "7" },
        ])
    );
    let plain = input(Provider::OpenRouter, &turns, true, true).to_string();
    assert!(!plain.contains("reasoning") && !plain.contains("phase"), "{plain}");
}

#[test]
fn reasoning_that_is_not_sealed_goes_back_only_with_its_text() {
    let message =
        json!({ "type": "message", "content": [{ "type": "output_text", "text": "Hi" }] });
    let open = json!({ "type": "reasoning", "id": "rs_1", "summary": [],
        "content": [{ "type": "reasoning_text", "text": "hm" }] });
    let bare = json!({ "type": "reasoning", "id": "rs_2", "summary": [] });
    let sent = |reasoning: &Value| {
        let turn = whole(&[reasoning.clone(), message.clone()]).message;
        input(Provider::OpenAi, &[Message::Assistant(turn)], true, true)
    };
    assert_eq!(sent(&open)[0], open);
    assert_eq!(
        sent(&bare),
        json!([{
            "type": "message", "role": "assistant",
            "content": [{ "type": "output_text", "text": "Hi" }],
        }])
    );
}

#[test]
fn only_known_ends_are_good() {
    let response = |status: &str, reason: &str| {
        let mut body = json!({ "output": [{ "type": "message",
            "content": [{ "type": "output_text", "text": "Half a" }] }] });
        if !status.is_empty() {
            body["status"] = json!(status);
        }
        if !reason.is_empty() {
            body["incomplete_details"] = json!({ "reason": reason });
        }
        body
    };
    let both = |status: &str, reason: &str| {
        let body = response(status, reason);
        let event = json!({ "type": "response.completed", "response": body });
        (parse(Provider::OpenAi, &body), read(&[event]))
    };
    for (status, reason, end) in [
        ("completed", "", FinishReason::Stop),
        ("complete", "", FinishReason::Stop),
        ("incomplete", "max_output_tokens", FinishReason::Length),
        ("incomplete", "content_filter", FinishReason::ContentFilter),
    ] {
        let (whole, streamed) = both(status, reason);
        assert_eq!(whole.unwrap().finish_reason, end);
        assert_eq!(streamed.unwrap().finish_reason, end);
    }
    for (status, reason, word) in [
        ("failed", "", "failed"),
        ("cancelled", "", "cancelled"),
        ("queued", "", "queued"),
        ("in_progress", "max_output_tokens", "in_progress"),
        ("incomplete", "", "incomplete"),
        ("incomplete", "new_reason", "new_reason"),
        ("a_new_one", "", "a_new_one"),
    ] {
        let (whole, streamed) = both(status, reason);
        for failure in [whole.unwrap_err(), streamed.unwrap_err()] {
            assert!(failure.retryable && failure.code.as_deref() == Some(word), "{failure:?}");
        }
    }
    // A whole response without a status is none; an event says it by its type.
    let (whole, streamed) = both("", "");
    assert!(whole.unwrap_err().retryable);
    assert_eq!(streamed.unwrap().message.text, "Half a");
    let text = json!({ "type": "response.output_text.delta", "output_index": 0, "delta": "Half" });
    assert!(read(std::slice::from_ref(&text)).is_err());
    let cancelled = json!({ "type": "response.cancelled", "response": { "output": [] } });
    assert_eq!(read(&[text, cancelled]).unwrap_err().code.as_deref(), Some("cancelled"));
}

#[test]
fn usage_that_is_missing_is_unknown() {
    for usage in [json!(null), json!({})] {
        let body = json!({ "status": "completed", "output": [], "usage": usage });
        assert!(parse(Provider::OpenAi, &body).unwrap().usage.is_unknown());
    }
}

#[test]
fn every_call_has_one_output_and_an_id_that_fits() {
    let call = |id: &str| ToolCall {
        id: id.into(),
        name: "f".into(),
        arguments: json!("no object"),
        provider_state: None,
    };
    let long = "x".repeat(90);
    let calls = |calls: Vec<ToolCall>| {
        Message::Assistant(AssistantMessage { tool_calls: calls, ..AssistantMessage::default() })
    };
    let result = |id: &str| Message::tool(id, "f", id);
    let turns = [
        Message::system(" "),
        Message::user(""),
        calls(vec![call(&long), call("a")]),
        result("a"),
        Message::user("Well?"),
        calls(vec![call("a")]),
        result("a"),
        result("orphan"),
    ];
    let sent = input(Provider::OpenAi, &turns, true, true);
    let sent = sent.as_array().unwrap();
    assert_eq!(sent[0], json!({ "role": "user", "content": "(empty)" }));
    let ids = |kind: &str| -> Vec<&str> {
        sent.iter()
            .filter(|item| item["type"] == kind)
            .filter_map(|item| item["call_id"].as_str())
            .collect()
    };
    assert_eq!(ids("function_call"), [&long[..64], "a", "call_5_0"]);
    assert_eq!(ids("function_call_output"), ids("function_call"));
    assert!(sent.last().unwrap()["content"].as_str().unwrap().contains("orphan"));
    let texts = input(Provider::OpenAi, &turns, false, true).to_string();
    assert!(!texts.contains("function_call"), "{texts}");
}

#[test]
fn there_is_a_limit_of_items() {
    let item = |n| json!({ "type": "function_call", "call_id": format!("c{n}"), "name": "f" });
    let items: Vec<Value> = (0..20_000).map(item).collect();
    assert_eq!(whole(&items[..256]).message.tool_calls.len(), 256);
    let body = json!({ "status": "completed", "output": items });
    assert!(parse(Provider::OpenAi, &body).is_err());
    let added = |n| json!({ "type": "response.output_item.added", "item": item(n) });
    let mut reader = ResponsesReader::new(Provider::OpenAi);
    assert!((0..300).any(|n| reader.event(&added(n)).is_err()));
}
