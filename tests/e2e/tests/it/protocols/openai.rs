use std::path::Path;

use serde_json::{Value, json};
use test_support::llm::Reply;

use super::{World, new_document, new_task, node};
use crate::peers;

/// What the model says, in the order of the scripts.
fn script() -> Vec<Reply> {
    let refusal = json!({ "error": { "message": "no", "type": "invalid_request_error" } });
    vec![
        Reply::calls(&[new_task("One")]),
        Reply::text("It is done."),
        Reply::sse_calls(&[new_task("Two")]),
        Reply::sse_text("All of it is done."),
        Reply::json(400, refusal.clone()),
        Reply::json(400, refusal),
        Reply::calls(&[new_document("Report")]),
        Reply::text("The report is there."),
        Reply::never(),
    ]
}

async fn round(program: &Path, script_name: &str) {
    let world = World::new("openai", script()).await;
    let part =
        async |part: &str, with: Value| world.client(program, script_name, part, &with).await;

    let listed = part("models", json!({})).await;
    assert_eq!(listed["models"], json!(["helper", "scout"]));
    assert_eq!(listed["one"], "scout");
    assert_eq!(listed["unknown"]["kind"], "NotFoundError", "{listed}");
    assert_eq!(listed["unknown"]["code"], "model_not_found");
    assert_eq!(listed["wrong_key"]["kind"], "AuthenticationError", "{listed}");

    let whole = part("whole", json!({ "key": "k1" })).await;
    assert_eq!(whole["text"], "It is done.", "{whole}");
    assert_eq!(whole["finish_reason"], "stop");
    assert_eq!(whole["total_tokens"], 220);
    assert_eq!(whole["tools"], json!(["create_task"]));
    let again = part("whole", json!({ "key": "k1" })).await;
    assert_eq!(again["text"], whole["text"], "{again}");
    assert_eq!(again["message_id"], whole["message_id"]);
    assert_eq!(world.titles("/tasks").await, ["Conversation 7", "One"]);

    let streamed = part("stream", json!({})).await;
    assert_eq!(streamed["text"], "All of it is done.", "{streamed}");
    assert!(streamed["chunks"].as_u64().unwrap() > 4, "{streamed}");
    assert_eq!(
        (&streamed["finish_reason"], &streamed["total_tokens"]),
        (&json!("stop"), &json!(220))
    );
    assert_eq!(streamed["tools"], json!(["create_task"]));
    assert_eq!(world.titles("/tasks").await, ["Conversation 7", "One", "Two"]);
    assert_eq!(world.llm.asked().len(), 4);

    let bad = part("bad", json!({})).await;
    for (what, param) in [
        ("no_user", "user"),
        ("no_messages", "messages"),
        ("own_tools", "tools"),
        ("an_image", "messages.0.content.0"),
        ("no_question", "messages.0.role"),
    ] {
        assert_eq!(bad[what]["kind"], "BadRequestError", "{what}: {bad}");
        assert_eq!(bad[what]["param"], param, "{what}: {bad}");
        assert_eq!(bad[what]["type"], "invalid_request_error");
    }
    assert_eq!(bad["no_role"]["code"], "model_not_found", "{bad}");
    assert_eq!(world.llm.asked().len(), 4, "the model was not bothered");

    let failed = part("failures", json!({})).await;
    assert_eq!(failed["whole"]["kind"], "InternalServerError", "{failed}");
    assert_eq!(failed["whole"]["code"], "llm_rejected");
    assert_eq!(failed["stream"]["kind"], "APIError", "{failed}");
    assert_eq!(failed["stream"]["code"], "llm_rejected");
    assert_eq!(world.llm.asked().len(), 6, "a client does not repeat what may have had effects");

    let waiting = part("whole", json!({ "key": "k2" })).await;
    assert_eq!(waiting["status"], "awaiting_approval", "{waiting}");
    assert!(waiting["text"].as_str().unwrap().contains("create_document"), "{waiting}");
    assert!(world.titles("/documents").await.is_empty());
    world.decide("Report", "approved").await;
    let resumed = part("whole", json!({ "resume": waiting["run_key"] })).await;
    assert_eq!(resumed["text"], "The report is there.", "{resumed}");
    assert_eq!(world.titles("/documents").await, ["Report"]);

    let left = world.client_leaves(program, script_name, "leave").await;
    assert_eq!(left["left"], true);
}

#[tokio::test]
async fn the_official_javascript_client_does_a_whole_round() {
    let Some(node) = node(&["openai"]) else { return };
    round(&node, "openai.mjs").await;
}

#[tokio::test]
async fn the_official_python_client_does_a_whole_round() {
    let Some(python) = peers::protocols("openai") else { return };
    round(&python, "openai_client.py").await;
}
