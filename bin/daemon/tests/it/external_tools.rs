//! External tools: the backend's OpenAPI document, its own tools, MCP servers.

mod mcp;

use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, ResponseTemplate};

pub(crate) use self::mcp::{McpServer, connected, tool};
use crate::harness::{ROLES, World, calls, message, says};

/// The tool results in the newest request to the model.
pub(crate) async fn told(world: &World) -> Vec<String> {
    let asked = world.model_got().await;
    let turns = asked.last().unwrap()["messages"].as_array().unwrap().clone();
    let results = turns.iter().filter(|turn| turn["role"] == "tool");
    results.map(|turn| turn["content"].as_str().unwrap().to_owned()).collect()
}

/// The names of the tools in the first request to the model.
pub(crate) async fn offered(world: &World) -> Vec<String> {
    let asked = world.model_got().await;
    let tools = asked[0]["tools"].as_array().unwrap().clone();
    tools.iter().map(|tool| tool["function"]["name"].as_str().unwrap().to_owned()).collect()
}

fn schools() -> Value {
    let id = json!({ "name": "school_id", "in": "path", "required": true, "schema": { "type": "string" } });
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Schools", "version": "1" },
        "paths": {
            "/api/schools/search": { "post": {
                "operationId": "search_schools",
                "summary": "Find schools.",
                "requestBody": { "required": true, "content": { "application/json": { "schema": {
                    "type": "object",
                    "properties": { "near": { "type": "string" }, "limit": { "type": "integer", "maximum": 50 } },
                    "required": ["near"]
                } } } }
            } },
            "/api/schools/{school_id}/profile": {
                "parameters": [id],
                "get": {
                    "operationId": "school_profile",
                    "parameters": [{ "name": "years", "in": "query", "schema": { "type": "array", "items": { "type": "integer" } } }]
                },
                "delete": { "operationId": "delete_school" }
            },
            "/api/broken": { "get": { "operationId": "broken", "parameters": [{ "$ref": "#/nowhere" }] } },
            "/api/secret": { "get": { "operationId": "secret" } }
        }
    })
}

pub(crate) async fn serve(world: &World, verb: &str, at: &str, status: u16, body: Value) {
    Mock::given(method(verb))
        .and(path(at))
        .respond_with(ResponseTemplate::new(status).set_body_json(body))
        .mount(&world.backend)
        .await;
}

/// A daemon with the document of its backend, and a skill that declares the search.
async fn schools_world(config: &str) -> World {
    let world = World::with(&[("WOMBAT_BACKEND_OPENAPI", "/openapi.json")], json!({})).await;
    serve(&world, "GET", "/openapi.json", 200, schools()).await;
    let skill = "---\nname: schools\ndescription: Finds schools.\n---\n\
                 ```http\nPOST /api/schools/search\n```\n";
    world.write("agent-config.json", config);
    world.write("skills/schools/SKILL.md", skill);
    world.daemon.until("/skills", |skills| skills["total"] == 1).await;
    // What the skill refers to has changed, so the document is read again, whatever came of it before.
    world.daemon.until("/tools", |tools| tools["openapi_operations"] == 5).await;
    world
}

#[tokio::test]
async fn operations_that_a_skill_or_a_role_names_become_typed_tools() {
    let config = r#"{"agents": [{"role": "scout", "tools": {"allow": ["*", "GET /api/schools/*/profile", "broken"], "deny": ["secret", "delete_school"]}}]}"#;
    let world = schools_world(config).await;
    serve(&world, "POST", "/api/schools/search", 200, json!([{ "id": "sch_1" }])).await;
    serve(&world, "GET", "/api/schools/sch_1/profile", 200, json!({ "pupils": 240 })).await;
    world
        .model(vec![
            calls(&[
                ("search_schools", json!({ "body": { "near": "beach", "limit": 5 } })),
                ("school_profile", json!({ "school_id": "sch_1", "years": [2025, 2026] })),
            ]),
            says("done"),
        ])
        .await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!(status, 200, "{answer}");
    let offered = offered(&world).await;
    assert!(offered.contains(&"search_schools".to_owned()), "{offered:?}");
    assert!(offered.contains(&"school_profile".to_owned()), "{offered:?}");
    for not in ["secret", "delete_school", "broken"] {
        assert!(!offered.contains(&not.to_owned()), "{offered:?}");
    }
    let told = told(&world).await;
    assert!(told[0].contains("sch_1") && told[0].contains("untrusted-data"), "{told:?}");
    assert!(told[1].contains("240"), "{told:?}");
    let got = world.backend.received_requests().await.unwrap();
    let search = got.iter().find(|r| r.url.path() == "/api/schools/search").unwrap();
    assert!(search.headers.contains_key("x-agent-token"));
    assert!(search.headers.contains_key("idempotency-key"));
    assert!(search.headers.contains_key("traceparent"));
    let body: Value = serde_json::from_slice(&search.body).unwrap();
    assert_eq!(body, json!({ "near": "beach", "limit": 5 }));
    let profile = got.iter().find(|r| r.url.path() == "/api/schools/sch_1/profile").unwrap();
    assert_eq!(profile.url.query(), Some("years=2025&years=2026"));
    let health: Value = world.daemon.get("/health").await.json().await.unwrap();
    let openapi = &health["tools"]["openapi"];
    assert_eq!(openapi["status"], "ok", "{openapi}");
    assert_eq!(openapi["problems"].as_array().unwrap().len(), 1, "{openapi}");
    assert!(openapi["problems"][0].as_str().unwrap().contains("/api/broken"), "{openapi}");
}

#[tokio::test]
async fn what_nobody_names_is_no_tool_and_arguments_stay_in_their_place() {
    let world = schools_world(ROLES).await;
    world
        .model(vec![
            calls(&[
                ("secret", json!({})),
                ("search_schools", json!({ "body": { "near": 7 } })),
                ("search_schools", json!({ "near": "beach" })),
                ("search_schools", json!({ "body": { "near": "x" }, "host": "evil.example" })),
            ]),
            says("done"),
        ])
        .await;
    world.daemon.send(&message(json!({}))).await;
    let told = told(&world).await;
    assert!(told[0].contains("there is no tool"), "{told:?}");
    assert!(told[1].contains("/body/near"), "{told:?}");
    assert!(told[2].contains("body") && told[3].contains("host"), "{told:?}");
    let got = world.backend.received_requests().await.unwrap();
    assert!(got.iter().all(|request| !request.url.path().starts_with("/api/s")), "nothing is sent");
}

#[tokio::test]
async fn a_path_argument_cannot_leave_its_segment() {
    let config = r#"{"agents": [{"role": "scout", "tools": {"allow": ["school_profile"]}}]}"#;
    let world = schools_world(config).await;
    let bad = [
        "..",
        ".",
        "a/b",
        "a\\b",
        "",
        "a\u{0}",
        "a\r\nX: y",
        "%2e%2e",
        "%2F",
        "..%2f",
        "a?x=1",
        "a#b",
        "//evil.example",
        "http://evil.example",
    ];
    let all: Vec<_> = bad.iter().map(|id| ("school_profile", json!({ "school_id": id }))).collect();
    world.model(vec![calls(&all), says("done")]).await;
    world.daemon.send(&message(json!({}))).await;
    let got = world.backend.received_requests().await.unwrap();
    // Whatever is sent is a single, fully encoded segment.
    for request in got.iter().filter(|r| r.url.path().starts_with("/api/schools")) {
        let segments: Vec<_> = request.url.path_segments().unwrap().collect();
        assert_eq!(segments.len(), 4, "{}", request.url);
        assert_eq!((segments[0], segments[1], segments[3]), ("api", "schools", "profile"));
        assert!(request.url.query().is_none() && request.url.fragment().is_none());
        assert!(!segments[2].contains("%2F") && !segments[2].contains("%5C"), "{}", request.url);
    }
    let told = told(&world).await;
    assert_eq!(told.len(), bad.len());
    for (id, told) in bad.iter().zip(&told).take(7) {
        assert!(told.starts_with("{\"error\""), "{id:?}: {told}");
    }
}

#[tokio::test]
async fn a_document_that_cannot_be_read_costs_nothing_else_and_is_told() {
    let world = World::with(&[("WOMBAT_BACKEND_OPENAPI", "/openapi.json")], json!({})).await;
    world.model(vec![says("hello")]).await;
    let (status, _) = world.daemon.send(&message(json!({}))).await;
    assert_eq!(status, 200);
    let failed = |health: &Value| health["tools"]["openapi"]["status"] == "error";
    let health = world.daemon.until("/health", failed).await;
    assert!(health["tools"]["openapi"]["error"].as_str().unwrap().contains("404"), "{health}");
    assert_eq!(health["status"], "degraded");
}

#[tokio::test]
async fn the_backends_own_tools_are_offered_and_called_as_the_user() {
    let world = World::with(&[], json!({ "tools": true })).await;
    let list = json!({ "tools": [
        { "name": "shortlist", "description": "Adds a school.", "parameters": {
            "type": "object", "properties": { "id": { "type": "string" } }, "required": ["id"] } },
        { "name": "a b", "description": "Not callable." },
        { "name": "create_task", "description": "Another one." },
    ] });
    serve(&world, "GET", "/api/tools", 200, list).await;
    serve(&world, "POST", "/api/tools/shortlist", 200, json!({ "added": true })).await;
    serve(&world, "POST", "/api/tools/create_task", 409, json!({ "error": "taken" })).await;
    world
        .model(vec![
            calls(&[
                ("shortlist", json!({ "id": "sch_1" })),
                ("shortlist", json!({})),
                ("create_task_2", json!({ "x": 1 })),
            ]),
            says("done"),
        ])
        .await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!(status, 200, "{answer}");
    let oks: Vec<_> =
        answer["steps"].as_array().unwrap().iter().map(|s| s["ok"].as_bool().unwrap()).collect();
    assert_eq!(oks, [true, false, false]);
    let told = told(&world).await;
    assert!(told[0].contains("added") && told[1].contains("id"), "{told:?}");
    assert!(told[2].contains("taken") && told[2].contains("409"), "{told:?}");
    let got = world.backend.received_requests().await.unwrap();
    let call = got.iter().find(|r| r.url.path() == "/api/tools/shortlist").unwrap();
    assert!(call.headers.contains_key("x-agent-token"));
    assert!(call.headers["idempotency-key"].to_str().unwrap().contains(":shortlist:"));
    let body: Value = serde_json::from_slice(&call.body).unwrap();
    assert_eq!(body, json!({ "arguments": { "id": "sch_1" } }));
    let health: Value = world.daemon.get("/health").await.json().await.unwrap();
    assert_eq!(health["tools"]["backend"]["tools"], 2, "{health}");
    assert!(health["tools"]["backend"]["problems"][0].as_str().unwrap().contains("a b"));
}
