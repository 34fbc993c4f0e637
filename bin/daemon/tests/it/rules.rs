//! Rules of roles on operations: by name and by endpoint, in every spelling, through every tool.

use serde_json::{Value, json};
use wiremock::matchers::{any, path_regex};
use wiremock::{Mock, ResponseTemplate};

use crate::harness::{World, calls, message, says};

/// The daemon's tools: those of the document, those of the backend, `call_backend`.
const SKILL: &str = "---\nname: shop\ndescription: A shop.\n---\n```http\nPOST /app/{kind}/{id}/{verb}\n\
                     POST /app/orders/{action}\nGET /app/posts/{id}.json\nPOST /app/orders/{id}/\n\
                     POST /api/tools/{name}\nPOST /api/mission-control/tasks\nPOST /app/dav/{id}\nPOST /app/elsewhere/{id}\n\
                     POST /app/forms/{id}?_method=PUT\n```\n";

fn operation(id: &str, parameters: &[&str]) -> Value {
    let parameter = |name: &&str| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } });
    let parameters: Vec<Value> = parameters.iter().map(parameter).collect();
    json!({
        "operationId": id, "parameters": parameters,
        "requestBody": { "content": { "application/json": { "schema": { "type": "object" } } } }
    })
}

fn document() -> Value {
    let mut dav = operation("dav", &["id"]);
    dav["parameters"].as_array_mut().unwrap().push(json!({ "name": "_method", "in": "query" }));
    dav["requestBody"]["content"]["application/json"]["schema"]["properties"] =
        json!({ "X-HTTP-Method": { "type": "string" } });
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Shop", "version": "1" },
        "paths": {
            "/app/orders/{id}/refund": { "post": operation("orders/refund", &["id"]) },
            "/app/{kind}/{id}/{verb}": { "post": operation("doAnything", &["kind", "id", "verb"]) },
            "/app/posts/{id}.json": { "get": operation("getPost", &["id"]) },
            "/app/dav/{id}": { "post": dav },
            "/app/elsewhere/{id}": { "$ref": "paths.yaml#/elsewhere" },
            "/app/legacy?action=pay": { "post": operation("payLegacy", &[]) },
        }
    })
}

/// A daemon with these rules; its backend has the shop and answers everything.
async fn shop(rules: Value) -> World {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), document().to_string()).unwrap();
    let place = format!("file://{}", file.path().display());
    let settings = [("WOMBAT_BACKEND_OPENAPI", place.as_str())];
    let world = World::with(&settings, json!({ "tools": true })).await;
    let is_read = |health: &Value| health["tools"]["openapi"]["status"] == "ok";
    world.daemon.until("/health", is_read).await;
    let list = json!({ "tools": [{ "name": "payOut", "description": "Pays." }] });
    crate::external_tools::serve(&world, "GET", "/api/tools", 200, list).await;
    for paths in ["^/app/", "^/api/tools/"] {
        Mock::given(any())
            .and(path_regex(paths))
            .respond_with(ResponseTemplate::new(200).set_body_json(json!({ "done": true })))
            .with_priority(100)
            .mount(&world.backend)
            .await;
    }
    let config = json!({ "agents": [{ "role": "scout", "tools": rules }] });
    world.write("agent-config.json", &config.to_string());
    world.write("skills/shop/SKILL.md", SKILL);
    world.daemon.until("/skills", |skills| skills["total"] == 1).await;
    world
}

/// Has the model make one call in a run of its own; says whether the backend got it.
async fn reaches(world: &World, tool: &str, arguments: &Value) -> bool {
    world.llm.reset().await;
    world.model(vec![calls(&[(tool, arguments.clone())]), says("done")]).await;
    let before = world.backend.received_requests().await.unwrap().len();
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!(status, 200, "{answer}");
    let got = world.backend.received_requests().await.unwrap();
    got[before..].iter().any(|request| {
        let path = request.url.path();
        // The daemon reads these for itself, when it likes.
        let is_list = matches!(path, "/api/tools" | "/openapi.json");
        let is_task = request.method.as_str() == "POST" && path.ends_with("/tasks");
        is_task || (!is_list && !path.starts_with("/api/mission-control/"))
    })
}

fn post(path: &str) -> Value {
    json!({ "method": "POST", "path": path })
}

#[tokio::test]
async fn a_denied_endpoint_is_denied_in_every_spelling_and_by_every_tool() {
    let world =
        shop(json!({ "deny": ["POST /app/orders/refund", "POST /app/orders/*/refund"] })).await;
    for path in [
        "/app/orders/REFUND",
        "/app/orders/refund;x=1",
        "/app/orders/refund.json",
        "/app/orders/refund%20",
        "/app/orders/refund/",
        "/app/orders/5/refund",
        "/app/Orders/5/Refund.xml",
    ] {
        assert!(!reaches(&world, "call_backend", &post(path)).await, "{path}");
    }
    for (kind, verb, hit) in [
        ("orders", "refund", false),
        ("ORDERS", "refund;x", false),
        ("orders", "refund.json", false),
        ("orders", "pay", true),
    ] {
        let arguments = json!({ "kind": kind, "id": "5", "verb": verb });
        assert_eq!(reaches(&world, "doAnything", &arguments).await, hit, "{arguments}");
    }
    assert!(!reaches(&world, "orders_refund", &json!({ "id": "5" })).await);
    assert!(reaches(&world, "call_backend", &post("/app/orders/refunds")).await);
    assert!(reaches(&world, "getPost", &json!({ "id": "12" })).await);
}

#[tokio::test]
async fn a_denied_name_is_denied_at_its_endpoint() {
    let world = shop(json!({ "deny": ["orders/refund", "payOut", "create_task"] })).await;
    let (raw, task) = ("call_backend", json!({ "title": "t" }));
    let mut create = post("/api/mission-control/tasks");
    create["body"] = task.clone();
    for (tool, arguments, hit) in [
        (raw, post("/app/orders/5/refund"), false),
        (raw, post("/app/orders/5/REFUND"), false),
        ("doAnything", json!({ "kind": "orders", "id": "5", "verb": "refund" }), false),
        ("orders_refund", json!({ "id": "5" }), false),
        (raw, post("/api/tools/payOut"), false),
        (raw, post("/api/tools/PAYOUT.json"), false),
        ("payOut", json!({}), false),
        (raw, create, false),
        ("create_task", task, false),
        (raw, post("/app/orders/5/pay"), true),
        (raw, post("/api/tools/other"), true),
    ] {
        assert_eq!(reaches(&world, tool, &arguments).await, hit, "{tool} {arguments}");
    }
    let world =
        shop(json!({ "deny": ["POST /api/mission-control/tasks", "POST /api/tools/*"] })).await;
    assert!(!reaches(&world, "create_task", &json!({ "title": "t" })).await);
    assert!(!reaches(&world, "payOut", &json!({})).await);
    assert!(reaches(&world, "call_backend", &post("/app/orders/5/pay")).await);
}

#[tokio::test]
async fn what_is_allowed_by_name_may_be_called_at_its_endpoint_and_nothing_more() {
    let world = shop(json!({ "allow": ["orders/refund", "payOut"] })).await;
    for (tool, arguments, hit) in [
        ("orders_refund", json!({ "id": "5" }), true),
        ("call_backend", post("/app/orders/5/refund"), true),
        ("call_backend", post("/api/tools/payOut"), true),
        ("payOut", json!({}), true),
        ("call_backend", post("/app/orders/5/REFUND"), false),
        ("call_backend", post("/app/orders/5/cancel"), false),
        ("call_backend", post("/api/tools/other"), false),
        ("doAnything", json!({ "kind": "orders", "id": "5", "verb": "cancel" }), false),
        ("create_task", json!({ "title": "t" }), false),
    ] {
        assert_eq!(reaches(&world, tool, &arguments).await, hit, "{tool} {arguments}");
    }
}

#[tokio::test]
async fn a_request_cannot_ask_for_another_method() {
    let world = shop(json!({})).await;
    let with = |path: &str, query: Value, body: Value| json!({ "method": "POST", "path": path, "query": query, "body": body });
    let order = "/app/orders/5";
    for (arguments, hit) in [
        (with(order, json!({}), json!({ "_method": "DELETE" })), false),
        (with(order, json!({ "_Method": "PUT" }), Value::Null), false),
        (with(order, json!({ "X-HTTP-Method-Override": "PUT" }), Value::Null), false),
        (with("/app/orders/5?%5Fmethod=DELETE", json!({}), Value::Null), false),
        (with(order, json!({ "method": "delete" }), Value::Null), false),
        (with(order, json!({}), json!({ "method": "card", "data": { "_method": "x" } })), true),
        // The document declares both, each at its place; a skill declares the one of the form.
        (with("/app/dav/5", json!({ "_method": "MOVE" }), Value::Null), true),
        (with("/app/dav/5", json!({}), json!({ "X-HTTP-Method": "MOVE" })), true),
        (with("/app/dav/5", json!({}), json!({ "_method": "MOVE" })), false),
        (with("/app/forms/5", json!({ "_method": "PUT" }), Value::Null), true),
        (with("/app/forms/5", json!({ "$method": "PUT" }), Value::Null), false),
    ] {
        assert_eq!(reaches(&world, "call_backend", &arguments).await, hit, "{arguments}");
    }
    // The schema of a typed tool's body may take any field.
    let refund = |body: Value| json!({ "id": "5", "body": body });
    assert!(!reaches(&world, "orders_refund", &refund(json!({ "_method": "DELETE" }))).await);
    assert!(reaches(&world, "orders_refund", &refund(json!({ "reason": "late" }))).await);
}

#[tokio::test]
async fn an_approval_is_asked_for_by_whatever_name_the_call_is_made() {
    let world = shop(json!({ "approval": ["orders/refund", "POST /api/tools/payout"] })).await;
    for (tool, arguments) in [
        ("call_backend", post("/app/orders/5/refund")),
        ("call_backend", post("/app/orders/5/Refund.json")),
        ("doAnything", json!({ "kind": "orders", "id": "5", "verb": "refund" })),
        ("orders_refund", json!({ "id": "5" })),
        ("payOut", json!({})),
        ("call_backend", post("/api/tools/payOut")),
    ] {
        assert!(!reaches(&world, tool, &arguments).await, "{tool} {arguments}");
        // The backend has no tool requests, so that the model is told what could not be asked.
        let told = world.model_got().await.last().unwrap()["messages"].to_string();
        assert!(told.contains("approval"), "{tool} {arguments}: {told}");
    }
    assert!(reaches(&world, "call_backend", &post("/app/orders/5/pay")).await);
}

#[tokio::test]
async fn while_the_document_cannot_be_read_a_name_of_a_rule_holds_for_what_is_unknown() {
    let settings = [("WOMBAT_BACKEND_OPENAPI", "/openapi.json")];
    let world = World::with(&settings, json!({})).await;
    world.write(
        "agent-config.json",
        r#"{"agents": [{"role": "scout", "tools": {"deny": ["orders/refund", "create_document"]}}]}"#,
    );
    world.write("skills/shop/SKILL.md", SKILL);
    world.daemon.until("/skills", |skills| skills["total"] == 1).await;
    assert!(!reaches(&world, "call_backend", &post("/app/orders/5/refund")).await);
    let told = world.model_got().await.last().unwrap()["messages"].to_string();
    assert!(told.contains("WOMBAT_BACKEND_OPENAPI") && told.contains("orders/refund"), "{told}");
    assert!(reaches(&world, "create_task", &json!({ "title": "t" })).await);
}

#[tokio::test]
async fn a_path_of_the_document_that_cannot_be_read_may_have_any_name() {
    let world = shop(json!({ "deny": ["somewhere", "dav"] })).await;
    assert!(!reaches(&world, "call_backend", &post("/app/elsewhere/5")).await);
    assert!(reaches(&world, "call_backend", &post("/app/orders/5/pay")).await);
}

#[tokio::test]
async fn an_operation_that_its_query_tells_apart_is_called_with_it_and_allows_no_other_call() {
    let world = shop(json!({ "allow": ["payLegacy", "getPost", "call_backend"] })).await;
    assert!(reaches(&world, "payLegacy", &json!({})).await);
    let got = world.backend.received_requests().await.unwrap();
    let urls: Vec<&str> = got.iter().map(|request| request.url.as_str()).collect();
    assert!(urls.iter().any(|url| url.ends_with("/app/legacy?action=pay")), "{urls:?}");
    let health: Value = world.daemon.get("/health").await.json().await.unwrap();
    let problems = health["tools"]["openapi"]["problems"].to_string();
    assert!(!problems.contains("/app/legacy"), "{problems}");
    let world = shop(json!({ "allow": ["payLegacy"], "deny": ["POST /app/legacy"] })).await;
    assert!(!reaches(&world, "payLegacy", &json!({})).await);
}
