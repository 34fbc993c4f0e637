//! `POST /api/agents/can`: what a role may do, and by which rule; nothing is called.

use serde_json::{Value, json};

use crate::external_tools::serve;
use crate::harness::{MC, World};
use crate::profiles::{SKILL, with_profile, writes};

#[tokio::test]
async fn one_can_ask_what_a_role_may_do_and_nothing_is_called() {
    let profile = json!({ "tools": { "deny": ["list_tasks"], "approval": ["create_document"] } });
    let world = with_profile(&[], profile).await;
    world.write("skills/shop/SKILL.md", SKILL);
    world.write(
        "agent-config.json",
        "{\"agents\": [{\"role\": \"scout\", \"tools\": {\n  \"deny\": [\n   \"GET /api/orders\"],\n  \"approval\": [\"post_message\"]}}]}",
    );
    world.daemon.until("/skills", |skills| skills["total"] == 1).await;
    let denies = |agents: &Value| agents["agents"][0]["tools"]["deny"][0] == "GET /api/orders";
    world.daemon.until("/api/agents", denies).await;
    let can = async |call: &str, arguments: Value| -> Value {
        let mut body = json!({ "user_id": "u1", "role": "scout", "call": call });
        if !arguments.is_null() {
            body["arguments"] = arguments;
        }
        let answer = world.daemon.post("/api/agents/can", &body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.json().await.unwrap()
    };
    for (call, arguments, decision, rule) in [
        ("create_task", json!({ "title": "x" }), "allowed", json!({ "source": "agent-config" })),
        ("create_task", Value::Null, "allowed", json!({ "source": "agent-config" })),
        ("create_task", json!({ "titel": "x" }), "denied", json!({ "source": "schema" })),
        (
            "list_tasks",
            json!({}),
            "denied",
            json!({ "source": "profile", "list": "deny", "pattern": "list_tasks" }),
        ),
        (
            "list_tasks",
            Value::Null,
            "denied",
            json!({ "source": "profile", "list": "deny", "pattern": "list_tasks" }),
        ),
        (
            "create_document",
            Value::Null,
            "approval",
            json!({ "source": "profile", "list": "approval", "pattern": "create_document" }),
        ),
        (
            "post_message",
            json!({ "content": "x" }),
            "approval",
            json!({ "source": "agent-config", "list": "approval", "pattern": "post_message", "file": "agent-config.json", "line": 4 }),
        ),
        (
            "post /api/refunds",
            Value::Null,
            "allowed",
            json!({ "source": "skill", "pattern": "POST /api/refunds", "file": "skills/shop/SKILL.md", "line": 6 }),
        ),
        (
            "GET /api/orders",
            Value::Null,
            "denied",
            json!({ "source": "agent-config", "list": "deny", "pattern": "GET /api/orders", "file": "agent-config.json", "line": 3 }),
        ),
        ("DELETE /api/refunds", Value::Null, "denied", json!({ "source": "undeclared" })),
        ("fly", Value::Null, "denied", json!({ "source": "undeclared" })),
    ] {
        let answer = can(call, arguments.clone()).await;
        assert_eq!(
            (&answer["decision"], &answer["rule"]),
            (&json!(decision), &rule),
            "{call} {arguments}: {answer}"
        );
        let has_reason = !answer["errors"].as_array().unwrap().is_empty();
        assert_eq!(has_reason, decision == "denied", "{answer}");
    }
    let endpoint = can("POST /api/refunds", json!({ "amount": 5 })).await;
    assert_eq!(
        (&endpoint["tool"], &endpoint["endpoint"]),
        (&json!("call_backend"), &json!("POST /api/refunds"))
    );
    assert_eq!((writes(&world).await, world.model_got().await.len()), (0, 0));
    let got = world.backend.received_requests().await.unwrap();
    assert!(got.iter().all(|request| request.url.path().starts_with(MC)), "nothing is called");
    for (body, field) in [
        (json!({ "role": "scout", "call": "x" }), "user_id"),
        (json!({ "user_id": "u1", "role": "scout", "call": "FLY /x" }), "call"),
        (json!({ "user_id": "u1", "role": "scout", "call": "x", "workspace": "y" }), "workspace"),
    ] {
        let answer = world.daemon.post("/api/agents/can", &body).send().await.unwrap();
        assert_eq!(answer.status(), 400);
        let answer: Value = answer.json().await.unwrap();
        assert!(answer["details"]["fields"][field].is_string(), "{answer}");
    }
    let unknown = json!({ "user_id": "u1", "role": "nobody", "call": "x" });
    assert_eq!(world.daemon.post("/api/agents/can", &unknown).send().await.unwrap().status(), 404);
}

/// With the document of the application the role has a tool for the endpoint, of a shorter name than its operation.
#[tokio::test]
async fn a_tool_of_the_document_is_judged_as_a_run_would() {
    let document = json!({
        "openapi": "3.1.0", "info": { "title": "Shop", "version": "1" },
        "paths": { "/api/refunds": { "post": { "operationId": "create_refund_api_refunds_post",
            "requestBody": { "required": true, "content": { "application/json": { "schema": {
                "type": "object", "properties": { "amount": { "type": "number" } }, "required": ["amount"]
            } } } } } } }
    });
    let world = World::with(&[("WOMBAT_BACKEND_OPENAPI", "/openapi.json")], json!({})).await;
    serve(&world, "GET", "/openapi.json", 200, document).await;
    world.write("skills/shop/SKILL.md", SKILL);
    world.write(
        "agent-config.json",
        r#"{"agents": [{"role": "scout", "tools": {"deny": ["call_backend"],
            "approval": ["create_refund_api_refunds_post"]}}]}"#,
    );
    let denies = |agents: &Value| agents["agents"][0]["tools"]["deny"][0] == "call_backend";
    world.daemon.until("/api/agents", denies).await;
    world.daemon.until("/tools", |tools| tools["openapi_operations"] == 1).await;
    for (call, arguments) in [
        ("create_refund", None),
        ("create_refund", Some(json!({ "body": { "amount": 5 } }))),
        ("POST /api/refunds", None),
        ("POST /api/refunds", Some(json!({ "amount": 5 }))),
    ] {
        let mut body = json!({ "user_id": "u1", "role": "scout", "call": call });
        if let Some(arguments) = &arguments {
            body["arguments"] = arguments.clone();
        }
        let answer = world.daemon.post("/api/agents/can", &body).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(
            (&answer["decision"], &answer["tool"], &answer["rule"]["pattern"]),
            (&json!("approval"), &json!("create_refund"), &json!("create_refund_api_refunds_post")),
            "{call} {arguments:?}: {answer}"
        );
    }
}
