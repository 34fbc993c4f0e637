use serde_json::{Value, json};
use test_support::llm::Reply;
use tokio::process::Command;

use super::{World, new_document, new_task, node};
use crate::peers;

#[tokio::test]
async fn the_official_client_does_a_whole_round() {
    let Some(node) = node(&["@modelcontextprotocol/sdk"]) else { return };
    let refusal = json!({ "error": { "message": "no", "type": "invalid_request_error" } });
    let replies = vec![
        Reply::sse_calls(&[new_task("One")]),
        Reply::sse_text("It is done."),
        Reply::json(400, refusal),
        Reply::sse_calls(&[new_document("Report")]),
        Reply::text("The report is there."),
        Reply::never(),
    ];
    let world = World::new("mcp", replies).await;
    let part = async |part: &str, with: Value| world.client(&node, "mcp.mjs", part, &with).await;

    let listed = part("lists", json!({})).await;
    assert_eq!(listed["tools"], json!(["ask_helper", "ask_scout"]), "{listed}");
    assert_eq!(listed["server"], "wombat");
    assert_eq!(listed["wrong_key"]["code"], 401, "{listed}");

    let asked = part("ask", json!({ "key": "k1" })).await;
    assert_eq!(asked["text"], "It is done.", "{asked}");
    assert_eq!(asked["tools"], json!(["create_task"]));
    let heard = asked["progress"].as_array().unwrap();
    for wanted in ["started", "calls create_task", "create_task is done", "It "] {
        assert!(heard.iter().any(|one| one == wanted), "{wanted}: {asked}");
    }
    let again = part("ask", json!({ "key": "k1" })).await;
    assert_eq!(again["message_id"], asked["message_id"], "{again}");
    assert_eq!(world.titles("/tasks").await, ["Conversation 7", "One"]);

    let bad = part("bad", json!({})).await;
    for what in ["no_tool", "no_role", "no_message", "a_number", "no_user", "bad_cursor"] {
        assert_eq!(bad[what]["code"], -32602, "{what}: {bad}");
    }
    assert_eq!(bad["no_method"]["code"], -32601, "{bad}");
    for what in ["no_resource", "another_scheme", "a_path"] {
        assert_eq!(bad[what]["code"], -32002, "{what}: {bad}");
    }
    assert_eq!(world.llm.asked().len(), 2, "the model was not bothered");

    let failed = part("ask", json!({})).await;
    assert_eq!((&failed["is_error"], &failed["code"]), (&json!(true), &json!("llm_rejected")));

    let waiting = part("ask", json!({ "key": "k2" })).await;
    assert_eq!(waiting["status"], "awaiting_approval", "{waiting}");
    assert!(world.titles("/documents").await.is_empty());
    world.decide("Report", "approved").await;
    let resumed = part("ask", json!({ "resume": waiting["run_key"] })).await;
    assert_eq!(resumed["text"], "The report is there.", "{resumed}");

    let resources = part("resources", json!({})).await;
    assert_eq!(resources["names"], json!(["Conversation 7", "One", "Report"]), "{resources}");
    assert_eq!(resources["templates"], 4);
    assert_eq!(resources["task"], "Conversation 7");
    let thread = ["Do it.", "It is done.", "Do it.", "The report is there."];
    assert_eq!(resources["thread"], json!(thread));
    assert_eq!(resources["document"], "Text.");
    assert_eq!(resources["strangers"], json!([]), "another user has other resources");
    assert_eq!(resources["strangers_task"]["code"], -32002, "{resources}");

    let left = world.client_leaves(&node, "mcp.mjs", "cancel").await;
    assert_eq!(left["kind"], "McpError", "{left}");
}

#[tokio::test]
async fn the_inspector_lists_and_calls() {
    let Some(folder) = peers::npm("@modelcontextprotocol/inspector") else { return };
    let world = World::new("mcp", vec![Reply::text("Hello.")]).await;
    let inspect = async |arguments: &[&str]| {
        let output = Command::new("node")
            .arg(folder.join("node_modules/@modelcontextprotocol/inspector/cli/build/cli.js"))
            .args(["--cli", &format!("{}/mcp", world.stack.daemon_url), "--transport", "http"])
            .args(["--header", &format!("Authorization: Bearer {}", world.stack.daemon_key())])
            .args(["--header", "X-Wombat-User: ann"])
            .args(arguments)
            .kill_on_drop(true)
            .output()
            .await
            .unwrap();
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{complained}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let listed = inspect(&["--method", "tools/list"]).await;
    assert_eq!(listed["tools"][1]["name"], "ask_scout", "{listed}");
    let call = ["--method", "tools/call", "--tool-name", "ask_scout", "--tool-arg", "message=Hi"];
    let called = inspect(&call).await;
    assert_eq!(called["content"][0]["text"], "Hello.", "{called}");
    let listed = inspect(&["--method", "resources/list"]).await;
    assert_eq!(listed["resources"][0]["name"], "Chat", "{listed}");
}
