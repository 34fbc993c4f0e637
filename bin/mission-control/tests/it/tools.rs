//! The application's own tools.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Backend, Caller, send};

async fn call(caller: &Caller, name: &str, arguments: Value) -> Answer {
    let request = caller.raw(Method::POST, &format!("/api/tools/{name}"));
    send(request.json(&json!({ "arguments": arguments }))).await
}

#[tokio::test]
async fn the_tools_are_listed_with_a_schema_of_their_arguments() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let listed = send(agent.raw(Method::GET, "/api/tools")).await;
    let tools = listed.ok()["tools"].as_array().unwrap();
    let names: Vec<_> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["list_shortlist", "shortlist_school", "compare_schools"]);
    for tool in tools {
        assert!(!tool["description"].as_str().unwrap().is_empty());
        assert_eq!(tool["parameters"]["type"], "object");
        let properties = tool["parameters"]["properties"].as_object().unwrap();
        for name in tool["parameters"]["required"].as_array().unwrap() {
            assert!(properties.contains_key(name.as_str().unwrap()));
        }
    }
    send(backend.nobody().raw(Method::GET, "/api/tools")).await.fails(401, "unauthorized");
    call(&backend.nobody(), "list_shortlist", json!({})).await.fails(401, "unauthorized");
    send(agent.raw(Method::GET, "/api/tools/x")).await.fails(405, "method_not_allowed");
}

#[tokio::test]
async fn each_user_has_a_shortlist_of_their_own() {
    let backend = Backend::start().await;
    let (ann, bob) = (backend.agent("ann", "scout"), backend.agent("bob", "scout"));
    let put = json!({ "school_id": "sch_002", "note": " near the beach " });
    assert_eq!(call(&ann, "shortlist_school", put).await.ok()["note"], "near the beach");
    call(&ann, "shortlist_school", json!({ "school_id": "sch_001" })).await.ok();
    // It is there once, and keeps its note and its place.
    call(&ann, "shortlist_school", json!({ "school_id": "sch_002" })).await.ok();
    let list = call(&ann, "list_shortlist", json!({})).await;
    let list = list.ok()["schools"].as_array().unwrap();
    let ids: Vec<_> = list.iter().map(|entry| &entry["school_id"]).collect();
    assert_eq!(ids, ["sch_002", "sch_001"]);
    assert_eq!(list[0]["note"], "near the beach");
    assert_eq!(call(&bob, "list_shortlist", json!({})).await.ok(), &json!({ "schools": [] }));
}

#[tokio::test]
async fn a_call_under_a_key_happens_once() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout").with("idempotency-key", "k");
    let first = call(&agent, "shortlist_school", json!({ "school_id": "sch_001" })).await;
    let again = call(&agent, "shortlist_school", json!({ "school_id": "sch_001" })).await;
    assert!(again.replayed());
    assert_eq!(first.ok(), again.ok());
    let other = call(&agent, "shortlist_school", json!({ "school_id": "sch_002" })).await;
    other.fails(409, "idempotency_conflict");
}

#[tokio::test]
async fn schools_are_compared_by_what_is_known_of_them() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let ids = json!({ "school_ids": ["sch_004", "sch_001", "sch_002"] });
    let compared = call(&agent, "compare_schools", ids).await;
    let compared = compared.ok();
    assert_eq!(compared["schools"][1]["name"], "Seacliff Primary School");
    assert_eq!(compared["best_rated"], "sch_001");
    assert_eq!(compared["lowest_fees"], "sch_004");
    assert_eq!(compared["nearest_to_beach"], "sch_002");
}

#[tokio::test]
async fn wrong_arguments_are_named() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    for (name, arguments, field) in [
        ("list_shortlist", json!({ "x": 1 }), "arguments.x"),
        ("shortlist_school", json!({}), "arguments.school_id"),
        ("shortlist_school", json!({ "school_id": 7 }), "arguments.school_id"),
        (
            "shortlist_school",
            json!({ "school_id": "sch_001", "note": "x".repeat(501) }),
            "arguments.note",
        ),
        ("compare_schools", json!({ "school_ids": ["sch_001"] }), "arguments.school_ids"),
        (
            "compare_schools",
            json!({ "school_ids": ["sch_001", "sch_001"] }),
            "arguments.school_ids",
        ),
        ("compare_schools", json!({ "school_ids": [1, 2] }), "arguments.school_ids[0]"),
    ] {
        let refused = call(&agent, name, arguments.clone()).await;
        assert_eq!(refused.status, 400, "{name} {arguments} {}", refused.text);
        refused.fails(400, "invalid_payload");
        assert!(refused.body["details"]["fields"][field].is_string(), "{}", refused.text);
    }
    call(&agent, "list_shortlist", json!([])).await.fails(400, "invalid_payload");
    call(&agent, "no_such_tool", json!({})).await.fails(404, "not_found");
    call(&agent, "shortlist_school", json!({ "school_id": "x" })).await.fails(404, "not_found");
    let ids = json!({ "school_ids": ["sch_001", "x"] });
    call(&agent, "compare_schools", ids).await.fails(404, "not_found");
}

#[tokio::test]
async fn the_client_lists_and_calls_tools() {
    let backend = Backend::start().await;
    let client = backend.client("ann", "scout");
    assert!(client.capabilities().await.unwrap().has("tools"));
    assert_eq!(client.backend_tools().await.unwrap().tools.len(), 3);
    let arguments = json!({ "school_id": "sch_001" });
    let called = client.call_backend_tool("shortlist_school", &arguments, Some("k"), 1_000);
    let called = called.await.unwrap();
    assert_eq!(called.status, 200);
    let entry: Value = serde_json::from_slice(&called.body).unwrap();
    assert_eq!(entry["school_id"], "sch_001");
    let lost = client.call_backend_tool("../tasks", &json!({}), None, 1_000).await.unwrap();
    assert_eq!(lost.status, 404);
    let cut = client.call_backend_tool("list_shortlist", &json!({}), None, 10).await.unwrap();
    assert!(cut.truncated);
}
