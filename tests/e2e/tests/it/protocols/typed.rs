//! Typed results: the official clients get JSON of a schema, and no words that do not fit it.

use std::path::Path;

use serde_json::{Value, json};
use test_support::llm::Reply;

use super::{World, node};
use crate::peers;

const GOOD: &str = r#"{"sum": 7}"#;
const BAD: &str = r#"{"sum": "seven"}"#;

fn schema() -> Value {
    json!({ "type": "object", "properties": { "sum": { "type": "integer" } }, "required": ["sum"],
        "additionalProperties": false })
}

fn scout() -> Value {
    json!({ "role": "scout" })
}

async fn openai(program: &Path, script: &str) {
    // The first run needs a correction, the second one is streamed and needs one, too, the third never
    // succeeds.
    let replies = vec![
        Reply::text(BAD),
        Reply::text(GOOD),
        Reply::sse_text(BAD),
        Reply::sse_text(GOOD),
        Reply::text(BAD),
    ];
    let world = World::with("openai", replies, scout()).await;
    let seen = world.client(program, script, "typed", &json!({})).await;
    assert_eq!((&seen["whole"], &seen["streamed"]), (&json!(7), &json!(7)), "{seen}");
    assert_eq!(seen["output"], json!({ "sum": 7 }), "{seen}");
    assert_eq!(seen["pieces"], json!([GOOD]), "told once, and once valid: {seen}");
    assert_eq!(seen["never"]["code"], "schema_mismatch", "{seen}");
    assert_eq!(world.llm.asked().len(), 7);
}

#[tokio::test]
async fn openais_python_client_parses_the_answer() {
    let Some(python) = peers::protocols("openai") else { return };
    openai(&python, "openai_client.py").await;
}

#[tokio::test]
async fn openais_javascript_client_parses_the_answer() {
    let Some(node) = node(&["openai"]) else { return };
    openai(&node, "openai.mjs").await;
}

#[tokio::test]
async fn a2as_client_gets_a_data_part_and_void_words_are_replaced() {
    let Some(python) = peers::protocols("a2a.client, httpx") else { return };
    for binding in ["JSONRPC", "HTTP+JSON"] {
        let replies = vec![Reply::sse_text(GOOD), Reply::sse_text(BAD), Reply::sse_text(GOOD)];
        let world = World::with("a2a", replies, scout()).await;
        let with = json!({ "binding": binding, "output": { "schema": schema() } });
        let seen = world.client(&python, "a2a_client.py", "typed", &with).await;
        for whole in ["whole", "last", "stored"] {
            assert_eq!(seen[whole][0]["text"], GOOD, "{whole}: {seen}");
            assert_eq!(seen[whole][1]["data"], json!({ "sum": 7.0 }), "{whole}: {seen}");
            assert_eq!(seen[whole][1]["mediaType"], "application/json", "{whole}: {seen}");
        }
        // A reader who appends, and replaces where it is told to, never keeps the bad words.
        let mut text = String::new();
        for piece in seen["pieces"].as_array().unwrap() {
            if piece[1] == false {
                text.clear();
            }
            text += piece[0].as_str().unwrap();
        }
        assert_eq!(text, GOOD, "{seen}");
        assert!(seen["pieces"].as_array().unwrap().contains(&json!(["", false])), "{seen}");
        assert_eq!(seen["json_of_text"]["kind"], "ContentTypeNotSupportedError", "{seen}");
    }
}

#[tokio::test]
async fn ag_uis_client_has_the_output_in_its_state_and_no_void_words() {
    let Some(node) = node(&["@ag-ui/client"]) else { return };
    let world =
        World::with("ag-ui", vec![Reply::sse_text(BAD), Reply::sse_text(GOOD)], scout()).await;
    let with = json!({ "run": "r1", "output": { "schema": schema() } });
    let seen = world.client(&node, "ag_ui.mjs", "typed", &with).await;
    assert_eq!(seen["outcome"], "success", "{seen}");
    assert_eq!(seen["state"]["wombat"]["output"], json!({ "sum": 7 }), "{seen}");
    assert_eq!(seen["state"]["page"], 7, "{seen}");
    let said: Vec<_> = seen["messages"].as_array().unwrap().iter().collect();
    let texts: Vec<_> = said.iter().map(|message| message["content"].as_str().unwrap()).collect();
    assert_eq!(texts, ["Do it.", GOOD], "{seen}");
    let types = seen["types"].as_array().unwrap();
    assert!(types.contains(&json!("MESSAGES_SNAPSHOT")), "{seen}");
}

#[tokio::test]
async fn mcps_client_checks_results_against_the_roles_schema() {
    let Some(node) = node(&["@modelcontextprotocol/sdk"]) else { return };
    let replies = vec![Reply::text(BAD), Reply::text(GOOD), Reply::text(BAD)];
    let fixed = json!({ "role": "scout", "output": { "schema": schema(), "name": "bill" } });
    let world = World::with("mcp", replies, fixed).await;
    let seen = world.client(&node, "mcp.mjs", "typed", &json!({ "calls": 2 })).await;
    assert_eq!(seen["schemas"], json!([null, schema()]), "{seen}");
    let [fits, never] = seen["results"].as_array().unwrap().as_slice() else { panic!("{seen}") };
    assert_eq!(fits["structuredContent"], json!({ "sum": 7 }), "{seen}");
    assert_eq!(fits["_meta"]["wombat/answer"]["output"], json!({ "sum": 7 }), "{seen}");
    assert_eq!(never["isError"], true, "{seen}");
    assert_eq!(never.get("structuredContent"), None, "{seen}");
    assert_eq!(never["_meta"]["wombat/answer"]["code"], "schema_mismatch", "{seen}");
}
