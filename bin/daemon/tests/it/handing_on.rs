//! Handing on where the backend has no journal, and where it does not know mentions of agents.

use serde_json::{Value, json};

use crate::harness::{World, calls, message, says};

const ROLES: &str = r#"{"agents": [
    {"role": "scout", "tools": {"enable": ["ask_agent", "mention"]}},
    {"role": "writer", "tools": {"deny": ["create_document"]}}
]}"#;

async fn world(settings: &[(&str, &str)], features: Value) -> World {
    let world = World::with(settings, features).await;
    world.write("agent-config.json", ROLES);
    let has_both = |agents: &Value| agents.to_string().contains("writer");
    world.daemon.until("/api/agents", has_both).await;
    world
}

#[tokio::test]
async fn without_a_journal_a_child_runs_in_memory_and_its_reply_is_a_fenced_result() {
    let world = world(&[], json!({})).await;
    let ask = json!({ "role": "writer", "message": "Write me a line." });
    world.model(vec![calls(&[("ask_agent", ask)]), says("A line."), says("Here it is.")]).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!((status, &answer["response"]), (200, &json!("Here it is.")), "{answer}");
    let asked = world.model_got().await;
    let messages = asked[1]["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(messages[1]["content"].as_str().unwrap().ends_with("Write me a line."));
    assert!(!asked[1]["tools"].to_string().contains("create_document"));
    let told = asked[2]["messages"].as_array().unwrap().last().unwrap()["content"].to_string();
    assert!(told.contains("A line.") && told.contains("ask_agent"), "{told}");
    let stored = world.backend_got("POST", "/messages").await;
    assert_eq!(stored.len(), 1);
    assert_eq!(answer["usage"]["total_tokens"], 330, "{answer}");
    assert_eq!(answer["steps"][0]["child"]["role"], "writer", "{answer}");
}

#[tokio::test]
async fn where_the_backend_knows_no_mentions_of_agents_there_is_no_tool_and_nobody_is_named() {
    let world = world(&[], json!({})).await;
    world.model(vec![says("@writer look at this")]).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer.get("mentions_refused"), None, "{answer}");
    assert!(!world.model_got().await[0]["tools"].to_string().contains("\"mention\""));
    let stored = world.backend_got("POST", "/messages").await;
    let body: Value = serde_json::from_slice(&stored[0].body).unwrap();
    assert_eq!((body.get("mentions"), body.get("chain")), (None, None), "{body}");
}

#[tokio::test]
async fn where_it_does_the_reply_names_whom_the_limits_let_pass() {
    let world = world(&[], json!({ "agent_mentions": true })).await;
    world.model(vec![says("@writer and @scout and @nobody")]).await;
    let (_, answer) = world.daemon.send(&message(json!({}))).await;
    let refused = json!([{ "role": "scout", "code": "agent_cycle" }, { "role": "nobody", "code": "unknown_role" }]);
    assert_eq!(answer["mentions_refused"], refused, "{answer}");
    let stored = world.backend_got("POST", "/messages").await;
    let body: Value = serde_json::from_slice(&stored[0].body).unwrap();
    assert_eq!(body["mentions"], json!(["writer"]), "{body}");
    assert_eq!(body["chain"], json!({ "root_run_key": answer["run_key"], "roles": ["scout"] }));
}

#[tokio::test]
async fn an_agent_that_was_woken_by_another_does_not_wake_it_again() {
    let world = world(&[], json!({ "agent_mentions": true })).await;
    world.model(vec![says("@writer look")]).await;
    let woken = |chain: Value| {
        message(
            json!({ "metadata": { "type": "mc.notification", "notification_id": "n1", "chain": chain } }),
        )
    };
    let chain = json!({ "root_run_key": "k", "roles": ["writer"] });
    let (_, answer) = world.daemon.send(&woken(chain)).await;
    assert_eq!(answer["mentions_refused"][0]["code"], "agent_cycle", "{answer}");
    let stored = world.backend_got("POST", "/messages").await;
    let body: Value = serde_json::from_slice(&stored[0].body).unwrap();
    assert_eq!(body["mentions"], json!([]), "{body}");
    // A chain that cannot be read is not taken for none.
    let (status, refused) = world.daemon.send(&woken(json!("k"))).await;
    assert_eq!((status, &refused["code"]), (400, &json!("invalid_payload")), "{refused}");
    assert!(refused["error"].as_str().unwrap().contains("metadata.chain"), "{refused}");
}
