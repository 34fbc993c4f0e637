//! Answers in the form of each protocol, streamed.

use serde_json::{Value, json};

use super::Answer;
use crate::strict::Profile;

/// An answer as it goes out.
pub(super) struct Written {
    /// The turn, as it must come back.
    pub(super) sent: Value,
    /// The stream.
    pub(super) events: String,
}

/// Writes the answer to the `n`th request.
pub(super) fn answer(profile: Profile, answer: &Answer, n: usize) -> Written {
    match profile {
        Profile::Anthropic => anthropic(answer, n),
        Profile::Gemini => gemini(answer, n),
        Profile::Responses => responses(answer, n),
        _ => chat(profile, answer, n),
    }
}

fn data(events: &[Value]) -> String {
    events.iter().map(|event| format!("data: {event}\n\n")).collect()
}

/// Events with their type as the name.
fn named(events: &[Value]) -> String {
    let line = |event: &Value| {
        format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default())
    };
    events.iter().map(line).collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(' ')
}

fn chat(profile: Profile, answer: &Answer, n: usize) -> Written {
    let id = |k: usize| match profile {
        Profile::Mistral => format!("m{n:04}x{k:03}"),
        _ => format!("call_{n}_{k}"),
    };
    let calls: Vec<Value> = answer
        .calls
        .iter()
        .enumerate()
        .map(|(k, (name, arguments))| {
            json!({ "id": id(k), "type": "function",
                "function": { "name": name, "arguments": arguments.to_string() } })
        })
        .collect();
    let mut sent = json!({ "role": "assistant" });
    let mut deltas = vec![json!({ "role": "assistant", "content": "" })];
    // OpenAI's own models keep theirs to themselves in this protocol.
    if let Some(thought) = answer.thought.as_ref().filter(|_| profile != Profile::OpenAi) {
        let (field, value) = match profile {
            Profile::OpenRouter => (
                "reasoning_details",
                json!([{ "type": "reasoning.encrypted", "data": format!("sealed {thought}"), "id": format!("r{n}"),
                    "format": "anthropic-claude-v1", "index": 0 }]),
            ),
            Profile::Groq | Profile::Ollama => ("reasoning", json!(thought)),
            Profile::Mistral => (
                "content",
                json!([{ "type": "thinking", "thinking": [{ "type": "text", "text": thought }] }]),
            ),
            _ => ("reasoning_content", json!(thought)),
        };
        sent[field] = value.clone();
        deltas.push(json!({ (field): value }));
    }
    deltas.extend(words(&answer.text).map(|word| json!({ "content": word })));
    for (k, call) in calls.iter().enumerate() {
        let mut delta = call.clone();
        delta["index"] = json!(k);
        deltas.push(json!({ "tool_calls": [delta] }));
    }
    if !calls.is_empty() {
        sent["tool_calls"] = Value::Array(calls);
    }
    let reason = if answer.calls.is_empty() { "stop" } else { "tool_calls" };
    let chunk = |delta: &Value, reason: &Value| {
        json!({ "id": format!("c{n}"), "object": "chat.completion.chunk", "model": "scripted",
            "choices": [{ "index": 0, "delta": delta, "finish_reason": reason }] })
    };
    let mut events: Vec<Value> = deltas.iter().map(|delta| chunk(delta, &Value::Null)).collect();
    let mut end = chunk(&json!({}), &json!(reason));
    end["usage"] = json!({ "prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110 });
    events.push(end);
    Written { sent, events: data(&events) + "data: [DONE]\n\n" }
}

fn anthropic(answer: &Answer, n: usize) -> Written {
    let mut content = Vec::new();
    if let Some(thought) = &answer.thought {
        content.push(
            json!({ "type": "thinking", "thinking": thought, "signature": format!("sealed{n}") }),
        );
    }
    if !answer.text.is_empty() {
        content.push(json!({ "type": "text", "text": answer.text }));
    }
    content.extend(answer.calls.iter().enumerate().map(|(k, (name, input))| {
        json!({ "type": "tool_use", "id": format!("toolu_{n}_{k}"), "name": name, "input": input })
    }));
    let mut events = vec![json!({ "type": "message_start", "message": { "id": format!("msg_{n}"),
        "type": "message", "role": "assistant", "content": [], "model": "scripted",
        "usage": { "input_tokens": 100, "output_tokens": 1 } } })];
    for (index, block) in content.iter().enumerate() {
        let mut begin = block.clone();
        let deltas = match block["type"].as_str() {
            Some("text") => {
                begin["text"] = json!("");
                let all =
                    words(&answer.text).map(|word| json!({ "type": "text_delta", "text": word }));
                all.collect()
            }
            Some("thinking") => {
                (begin["thinking"], begin["signature"]) = (json!(""), json!(""));
                vec![
                    json!({ "type": "thinking_delta", "thinking": block["thinking"] }),
                    json!({ "type": "signature_delta", "signature": block["signature"] }),
                ]
            }
            _ => {
                begin["input"] = json!({});
                vec![
                    json!({ "type": "input_json_delta", "partial_json": block["input"].to_string() }),
                ]
            }
        };
        events
            .push(json!({ "type": "content_block_start", "index": index, "content_block": begin }));
        let deltas = deltas.into_iter().map(
            |delta: Value| json!({ "type": "content_block_delta", "index": index, "delta": delta }),
        );
        events.extend(deltas);
        events.push(json!({ "type": "content_block_stop", "index": index }));
    }
    let reason = if answer.calls.is_empty() { "end_turn" } else { "tool_use" };
    events.push(json!({ "type": "message_delta", "delta": { "stop_reason": reason },
        "usage": { "output_tokens": 10 } }));
    events.push(json!({ "type": "message_stop" }));
    Written { sent: json!({ "role": "assistant", "content": content }), events: named(&events) }
}

fn gemini(answer: &Answer, n: usize) -> Written {
    let mut parts = Vec::new();
    if let Some(thought) = &answer.thought {
        parts.push(json!({ "text": thought, "thought": true }));
    }
    parts.extend(words(&answer.text).map(|word| json!({ "text": word })));
    parts.extend(answer.calls.iter().enumerate().map(|(k, (name, args))| {
        let mut part = json!({ "functionCall": { "name": name, "args": args } });
        // The first call of a step carries the signature, also of parallel ones.
        if k == 0 {
            part["thoughtSignature"] = json!(format!("sealed{n}"));
        }
        part
    }));
    let mut events: Vec<Value> = parts
        .iter()
        .map(|part| json!({ "candidates": [{ "index": 0, "content": { "role": "model", "parts": [part] } }] }))
        .collect();
    events.push(json!({
        "candidates": [{ "index": 0, "finishReason": "STOP", "content": { "role": "model", "parts": [{ "text": "" }] } }],
        "usageMetadata": { "promptTokenCount": 100, "candidatesTokenCount": 10, "totalTokenCount": 110 },
    }));
    Written { sent: json!({ "role": "model", "parts": parts }), events: data(&events) }
}

fn responses(answer: &Answer, n: usize) -> Written {
    let mut output = Vec::new();
    if let Some(thought) = &answer.thought {
        output.push(json!({ "type": "reasoning", "id": format!("rs_{n}"), "summary": [],
            "encrypted_content": format!("sealed{n} {thought}") }));
    }
    if !answer.text.is_empty() {
        output.push(json!({ "type": "message", "id": format!("msg_{n}"), "role": "assistant",
            "status": "completed",
            "content": [{ "type": "output_text", "text": answer.text, "annotations": [] }] }));
    }
    output.extend(answer.calls.iter().enumerate().map(|(k, (name, arguments))| {
        json!({ "type": "function_call", "id": format!("fc_{n}_{k}"), "call_id": format!("call_{n}_{k}"),
            "name": name, "arguments": arguments.to_string(), "status": "completed" })
    }));
    let mut events = vec![
        json!({ "type": "response.created", "response": { "id": format!("resp_{n}"), "status": "in_progress" } }),
    ];
    for (index, item) in output.iter().enumerate() {
        events.push(
            json!({ "type": "response.output_item.added", "output_index": index, "item": item }),
        );
        if item["type"] == "message" {
            events.extend(words(&answer.text).map(|word| {
                json!({ "type": "response.output_text.delta", "output_index": index, "content_index": 0,
                    "item_id": item["id"], "delta": word })
            }));
        }
        events.push(
            json!({ "type": "response.output_item.done", "output_index": index, "item": item }),
        );
    }
    events.push(json!({ "type": "response.completed", "response": { "id": format!("resp_{n}"),
        "status": "completed", "output": output,
        "usage": { "input_tokens": 100, "output_tokens": 10, "total_tokens": 110 } } }));
    Written { sent: json!({ "output": output }), events: named(&events) }
}
