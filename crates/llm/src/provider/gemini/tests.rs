//! What the model says goes back with the next request.

use serde_json::json;

use super::parse;
use super::request::contents;
use crate::event::FinishReason;
use crate::model::Provider;
use crate::request::{Message, ToolCall};

#[test]
fn signatures_and_ids_come_back_with_the_results() {
    let body = json!({ "candidates": [{ "finishReason": "STOP", "content": { "role": "model", "parts": [
        { "text": "thinking", "thought": true },
        { "functionCall": { "name": "f", "args": { "x": 1 }, "id": "g1" }, "thoughtSignature": "sig" },
        { "functionCall": { "name": "g" } },
    ]}}]});
    let answer = parse(Provider::Google, &body).unwrap();
    assert_eq!((answer.message.text.as_str(), answer.finish_reason), ("", FinishReason::ToolCalls));
    let calls = answer.message.tool_calls.clone();
    let result = |call: &ToolCall| Message::Tool {
        call_id: call.id.clone(),
        name: call.name.clone(),
        content: "7".into(),
    };
    let sent = contents(
        "gemini-3-pro",
        &[
            Message::user("Go"),
            Message::Assistant(answer.message),
            result(&calls[0]),
            result(&calls[1]),
        ],
    );
    assert_eq!(
        sent,
        json!([
            { "role": "user", "parts": [{ "text": "Go" }] },
            { "role": "model", "parts": [
                { "functionCall": { "name": "f", "args": { "x": 1 }, "id": "g1" }, "thoughtSignature": "sig" },
                { "functionCall": { "name": "g", "args": {} } },
            ]},
            { "role": "user", "parts": [
                { "functionResponse": { "name": "f", "response": { "result": "7" }, "id": "g1" } },
                { "functionResponse": { "name": "g", "response": { "result": "7" } } },
            ]},
        ])
    );
}
