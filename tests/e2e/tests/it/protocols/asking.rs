//! Questions of an agent: the official clients are asked, and answer.

use std::path::Path;

use serde_json::{Value, json};
use test_support::llm::Reply;

use super::{World, node};
use crate::peers;

fn scout() -> Value {
    json!({ "role": "scout", "tools": { "enable": ["ask_user"] } })
}

fn question() -> Reply {
    let asked = json!({ "question": "Which colour?", "options": ["red", "blue"] });
    Reply::sse_calls(&[("ask_user", asked)])
}

#[tokio::test]
async fn the_next_message_of_a2a_is_the_answer() {
    let Some(python) = peers::protocols("a2a.client, httpx") else { return };
    for binding in ["JSONRPC", "HTTP+JSON"] {
        let world =
            World::with("a2a", vec![question(), Reply::sse_text("Red it is.")], scout()).await;
        let with = json!({ "binding": binding });
        let seen = world.client(&python, "a2a_client.py", "answering", &with).await;
        let status = &seen["first"]["status"];
        assert_eq!(status["state"], "TASK_STATE_INPUT_REQUIRED", "{seen}");
        let asked = status["message"]["parts"][0]["text"].as_str().unwrap();
        assert!(asked.contains("Which colour?"), "{seen}");
        assert_eq!(seen["misfit"]["kind"], "InvalidParamsError", "{seen}");
        for answered in ["answer", "again"] {
            assert_eq!(seen[answered]["status"]["state"], "TASK_STATE_COMPLETED", "{seen}");
            assert_eq!(seen[answered]["artifacts"][0]["parts"][0]["text"], "Red it is.", "{seen}");
        }
        let thread = ["Paint it.", "Which colour?", " RED ", "Red it is."];
        assert_eq!(seen["history"], json!(thread), "{seen}");
        assert_eq!(world.llm.asked().len(), 2, "{seen}");
    }
}

#[tokio::test]
async fn the_payload_of_ag_uis_resume_is_the_answer() {
    let Some(node) = node(&["@ag-ui/client"]) else { return };
    let world =
        World::with("ag-ui", vec![question(), Reply::sse_text("Red it is.")], scout()).await;
    let part = async |with: Value| world.client(&node, "ag_ui.mjs", "run", &with).await;
    let asked = part(json!({ "thread": "Paint", "run": "r1" })).await;
    assert_eq!(asked["outcome"], "interrupt", "{asked}");
    let interrupt = &asked["interrupts"][0];
    assert_eq!(interrupt["message"], "Which colour?", "{asked}");
    assert_eq!(interrupt["responseSchema"]["enum"], json!(["red", "blue"]), "{asked}");
    let resume = |run: &str, payload: Value| {
        json!({ "thread": "Paint", "run": run,
        "resume": [{ "interruptId": interrupt["id"], "status": "resolved", "payload": payload }] })
    };
    let misfit = part(resume("r2", json!("green"))).await;
    assert_eq!(misfit["error"], "answer_mismatch", "{misfit}");
    let answered = part(resume("r3", json!("red"))).await;
    assert_eq!(
        (&answered["outcome"], &answered["text"]),
        (&json!("success"), &json!("Red it is."))
    );
}

#[tokio::test]
async fn mcps_client_answers_beside_the_runs_key() {
    let Some(node) = node(&["@modelcontextprotocol/sdk"]) else { return };
    let world = World::with("mcp", vec![question(), Reply::text("Red it is.")], scout()).await;
    let seen = world.client(&node, "mcp.mjs", "answering", &json!({})).await;
    assert_eq!((&seen["status"], &seen["kind"]), (&json!("awaiting_answer"), &json!("question")));
    assert!(seen["text"].as_str().unwrap().contains("Which colour?"), "{seen}");
    assert_eq!(seen["misfit"]["code"], -32602, "{seen}");
    assert_eq!(seen["answer"], "Red it is.", "{seen}");
}

async fn openai(program: &Path, script: &str) {
    let world = World::with("openai", vec![question()], scout()).await;
    let seen = world.client(program, script, "asking", &json!({})).await;
    assert_eq!(seen["status"], "awaiting_answer", "{seen}");
    let asked = &seen["asked"][0];
    assert_eq!((&asked["kind"], &asked["question"]), (&json!("question"), &json!("Which colour?")));
    assert_eq!(asked["options"], json!(["red", "blue"]), "{seen}");
}

#[tokio::test]
async fn openais_clients_are_told_what_is_asked() {
    if let Some(python) = peers::protocols("openai") {
        openai(&python, "openai_client.py").await;
    }
    if let Some(node) = node(&["openai"]) {
        openai(&node, "openai.mjs").await;
    }
}
