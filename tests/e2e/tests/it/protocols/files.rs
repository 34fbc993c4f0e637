//! Files: the official clients bring them as bytes, and get those that the agent makes. Nothing is fetched.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use test_support::llm::Reply;

use super::{World, node};
use crate::peers;

/// A picture of one pixel.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\
    \x00\x90wS\xde\x00\x00\x00\x0cIDATx\x9cc\xf8\xcf\xc0\x00\x00\x03\x01\x01\x00\xc9\xfe\x92\xef\x00\x00\
    \x00\x00IEND\xaeB`\x82";

fn png() -> String {
    STANDARD.encode(PNG)
}

fn scout() -> Value {
    json!({ "role": "scout", "tools": { "enable": ["save_file"] } })
}

/// The picture and the text file of a message, as they are reported.
fn are_used(attachments: &Value, seen: &Value) {
    let all = attachments.as_array().unwrap_or_else(|| panic!("{seen}"));
    let mut used: Vec<_> =
        all.iter().map(|one| (one["media_type"].as_str(), one["used"].as_str())).collect();
    used.sort_unstable();
    let expected = [(Some("image/png"), Some("image")), (Some("text/plain"), Some("text"))];
    assert_eq!(used, expected, "{seen}");
}

/// What the model was given at last.
fn is_given(world: &World) {
    let asked = world.llm.asked().last().unwrap().to_string();
    assert!(asked.contains(&png()) && asked.contains("Some words."), "{asked}");
}

#[tokio::test]
async fn a2as_client_sends_files_as_bytes() {
    let Some(python) = peers::protocols("a2a.client, httpx") else { return };
    for binding in ["JSONRPC", "HTTP+JSON"] {
        let world = World::with("a2a", vec![Reply::sse_text("A cat.")], scout()).await;
        let png: String = PNG.iter().map(|byte| format!("{byte:02x}")).collect();
        let with = json!({ "binding": binding, "png": png });
        let seen = world.client(&python, "a2a_client.py", "files", &with).await;
        are_used(&seen["attachments"], &seen);
        is_given(&world);
        assert_eq!(seen["far"]["kind"], "ContentTypeNotSupportedError", "{seen}");
        assert_eq!(world.llm.asked().len(), 1, "{seen}");
    }
}

#[tokio::test]
async fn a2as_client_gets_the_files_that_the_agent_has_made() {
    let Some(python) = peers::protocols("a2a.client, httpx") else { return };
    let made = json!({ "name": "list.csv", "media_type": "text/csv", "content": "a,b\n1,2\n" });
    let replies = vec![Reply::sse_calls(&[("save_file", made)]), Reply::sse_text("Here it is.")];
    let world = World::with("a2a", replies, scout()).await;
    let part =
        async |part: &str, with: Value| world.client(&python, "a2a_client.py", part, &with).await;
    let file = json!({ "raw": STANDARD.encode("a,b\n1,2\n"), "filename": "list.csv", "mediaType": "text/csv" });
    let whole = part("whole", json!({ "binding": "JSONRPC" })).await;
    assert_eq!(whole["artifacts"][0]["parts"][1], file, "{whole}");
    // Once the run is over, the backend has them.
    let tasks = part("tasks", json!({ "binding": "JSONRPC", "task_id": whole["id"] })).await;
    assert_eq!(tasks["one"]["artifacts"][0]["parts"][1], file, "{tasks}");
}

#[tokio::test]
async fn ag_uis_client_sends_files_as_content_parts() {
    let Some(node) = node(&["@ag-ui/client"]) else { return };
    let world = World::with("ag-ui", vec![Reply::sse_text("A cat.")], scout()).await;
    let seen = world.client(&node, "ag_ui.mjs", "files", &json!({ "png": png() })).await;
    are_used(&seen[0]["attachments"], &seen);
    is_given(&world);
    assert_eq!(seen[1]["error"], "invalid_payload", "{seen}");
}

async fn openai(program: &Path, script: &str) {
    let world = World::with("openai", vec![Reply::text("A cat.")], scout()).await;
    let seen = world.client(program, script, "files", &json!({ "png": png() })).await;
    are_used(&seen["first"], &seen);
    // The client keeps the conversation: what came with an earlier message is there again.
    are_used(&seen["later"], &seen);
    is_given(&world);
    assert_eq!(seen["far"]["kind"], "BadRequestError", "{seen}");
    assert_eq!(seen["far"]["param"], "messages.0.content.1", "{seen}");
}

#[tokio::test]
async fn openais_python_client_sends_files_as_data() {
    let Some(python) = peers::protocols("openai") else { return };
    openai(&python, "openai_client.py").await;
}

#[tokio::test]
async fn openais_javascript_client_sends_files_as_data() {
    let Some(node) = node(&["openai"]) else { return };
    openai(&node, "openai.mjs").await;
}

#[tokio::test]
async fn mcps_client_brings_files_and_reads_what_the_agent_has_made() {
    let Some(node) = node(&["@modelcontextprotocol/sdk"]) else { return };
    let made = json!({ "name": "list.csv", "media_type": "text/csv", "content": "a,b\n1,2\n" });
    let replies = vec![Reply::calls(&[("save_file", made)]), Reply::text("Here it is.")];
    let world = World::with("mcp", replies, scout()).await;
    let seen = world.client(&node, "mcp.mjs", "files", &json!({ "png": png() })).await;
    are_used(&seen["attachments"], &seen);
    is_given(&world);
    assert_eq!(
        (&seen["link"]["name"], &seen["link"]["mimeType"]),
        (&json!("list.csv"), &json!("text/csv"))
    );
    assert_eq!(seen["read"]["text"], "a,b\n1,2\n", "{seen}");
    assert_eq!(seen["strangers"]["code"], -32002, "{seen}");
}
