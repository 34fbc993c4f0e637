//! `/v1/responses` as the newest official clients call it, and what other programs send to OpenAI's edge.

use std::path::Path;

use serde_json::{Value, json};
use test_support::llm::Reply;

use super::{World, node};
use crate::peers;

const BILL: &str = r#"{"sum": 7}"#;

/// A turn of the model with words and a call.
fn says_and_calls() -> Reply {
    let arguments = json!({ "title": "Two" }).to_string();
    let call = json!({ "id": "call_1", "type": "function",
        "function": { "name": "create_task", "arguments": arguments } });
    let message = json!({ "role": "assistant", "content": "Let me see.", "tool_calls": [call] });
    let body = json!({ "id": "chatcmpl-1", "object": "chat.completion", "model": "scripted",
        "choices": [{ "index": 0, "finish_reason": "tool_calls", "message": message }],
        "usage": { "prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110 } });
    Reply::json(200, body)
}

async fn round(program: &Path, script: &str) {
    let refusal = json!({ "error": { "message": "no", "type": "invalid_request_error" } });
    let replies = vec![
        Reply::text("It is done."),
        says_and_calls(),
        Reply::sse_text("All of it is done."),
        Reply::text(BILL),
        Reply::sse_text(BILL),
        Reply::json(400, refusal.clone()),
        Reply::json(400, refusal),
        Reply::text("Quite sure."),
    ];
    let world = World::new("openai", replies).await;
    let seen = world.client(program, script, "responses", &json!({})).await;
    assert_eq!(seen["first"], json!(["It is done.", "completed", 110, "ok"]), "{seen}");
    let asked = world.llm.asked();
    let system = asked[0]["messages"].to_string();
    assert!(system.contains("Be brief."), "{system}");
    let turns = asked[1]["messages"].to_string();
    assert!(turns.contains("It is done.") && turns.contains("Go on."), "{turns}");

    let types: Vec<_> =
        seen["types"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let (first, last) = (types[0], types[types.len() - 1]);
    assert_eq!((first, last), ("response.created", "response.completed"), "{seen}");
    for (kind, count) in
        [("output_item.added", 2), ("output_text.done", 2), ("output_item.done", 2)]
    {
        let kind = format!("response.{kind}");
        assert_eq!(types.iter().filter(|seen| **seen == kind).count(), count, "{kind}: {seen}");
    }
    assert_eq!(seen["streamed"], "Let me see.All of it is done.", "{seen}");
    // Not streamed, this is all.
    assert_eq!(seen["reply"], "All of it is done.", "{seen}");
    assert_eq!(seen["tools"], json!(["create_task"]));
    assert_eq!((&seen["typed"], &seen["typed_stream"]), (&json!(7), &json!(7)), "{seen}");

    assert_eq!(seen["failed"], "llm_rejected", "{seen}");
    assert_eq!(seen["whole_failed"]["code"], "llm_rejected", "{seen}");
    for (what, param) in [
        ("kept", "previous_response_id"),
        ("own_tools", "tools"),
        ("no_user", "user"),
        ("other_user", "user"),
    ] {
        assert_eq!(seen[what]["kind"], "BadRequestError", "{what}: {seen}");
        assert_eq!(seen[what]["param"], param, "{what}: {seen}");
    }
    assert_eq!(seen["no_role"]["code"], "model_not_found", "{seen}");
    for unknown in ["retrieved", "embedded"] {
        assert_eq!(seen[unknown]["kind"], "NotFoundError", "{unknown}: {seen}");
        assert_eq!(seen[unknown]["code"], "not_found", "{unknown}: {seen}");
        assert_eq!(seen[unknown]["type"], "invalid_request_error", "{unknown}: {seen}");
    }
    assert_eq!(world.llm.asked().len(), 7, "the model was not bothered");

    let records = world.client(program, script, "records", &json!({})).await;
    assert_eq!(records["text"], "Quite sure.", "{records}");
    let asked = world.llm.asked();
    let turns = asked[7]["messages"].to_string();
    assert!(turns.contains("I see a cat.") && !turns.contains("c1"), "{turns}");
}

#[tokio::test]
async fn the_newest_javascript_client_gets_responses() {
    let Some(node) = node(&["openai"]) else { return };
    round(&node, "openai.mjs").await;
}

#[tokio::test]
async fn the_newest_python_client_gets_responses() {
    let Some(python) = peers::protocols("openai") else { return };
    round(&python, "openai_client.py").await;
}
