//! Tools with names and arguments that a provider does not take: they are offered under others, and the
//! call reaches its place under its own.

use regex::Regex;
use serde_json::{Map, Value, json};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::external_tools::{McpServer, connected, serve};
use crate::harness::{World, calls, message, says};

/// A provider that refuses what the real one refuses. Its model calls every tool that it knows from its
/// description, with every argument, and then says that it is done.
struct Provider {
    is_gemini: bool,
}

impl Respond for Provider {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let tools =
            if self.is_gemini { &body["tools"][0]["functionDeclarations"] } else { &body["tools"] };
        let schema = if self.is_gemini { "parameters" } else { "input_schema" };
        let name = if self.is_gemini {
            "^[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}$"
        } else {
            "^[a-zA-Z0-9_-]{1,64}$"
        };
        let name = Regex::new(name).unwrap();
        let property = Regex::new("^[a-zA-Z0-9_.-]{1,64}$").unwrap();
        let mut made = Vec::new();
        for tool in tools.as_array().into_iter().flatten() {
            let called = tool["name"].as_str().unwrap();
            if !name.is_match(called) {
                return self.refuses(&format!("tools.name: {called:?} does not match"));
            }
            let properties = tool[schema]["properties"].as_object().cloned().unwrap_or_default();
            for (name, schema) in &properties {
                if !property.is_match(name) {
                    return self.refuses(&format!("Property keys should match: {name:?}"));
                }
                let mut values = schema["enum"].as_array().into_iter().flatten();
                if self.is_gemini && values.any(|value| value == "") {
                    return self.refuses("enum[1]: cannot be empty");
                }
            }
            if tool["description"].as_str().unwrap().contains("awkward") {
                made.push((called.to_owned(), arguments(&properties)));
            }
        }
        let is_answered = body.to_string().contains("untrusted-data");
        self.answers(if is_answered { Vec::new() } else { made })
    }
}

/// A value for each property, which its description gives.
fn arguments(properties: &Map<String, Value>) -> Value {
    let value = |schema: &Value| -> Value {
        let told = schema["description"].as_str().unwrap().split_whitespace().next().unwrap();
        serde_json::from_str(told).unwrap_or_else(|_| json!(told))
    };
    Value::Object(properties.iter().map(|(name, schema)| (name.clone(), value(schema))).collect())
}

impl Provider {
    fn refuses(&self, why: &str) -> ResponseTemplate {
        let error = if self.is_gemini {
            json!({ "error": { "code": 400, "message": why, "status": "INVALID_ARGUMENT" } })
        } else {
            json!({ "type": "error", "error": { "type": "invalid_request_error", "message": why } })
        };
        ResponseTemplate::new(400).set_body_json(error)
    }

    fn answers(&self, made: Vec<(String, Value)>) -> ResponseTemplate {
        let is_done = made.is_empty();
        let mut parts: Vec<Value> = made
            .into_iter()
            .enumerate()
            .map(|(n, (name, arguments))| {
                if self.is_gemini {
                    json!({ "functionCall": { "name": name, "args": arguments } })
                } else {
                    json!({ "type": "tool_use", "id": format!("toolu_{n}"), "name": name, "input": arguments })
                }
            })
            .collect();
        if is_done {
            parts.push(json!({ "type": "text", "text": "done" }));
        }
        let body = if self.is_gemini {
            json!({ "candidates": [{ "finishReason": "STOP", "content": { "role": "model", "parts": parts } }],
                "usageMetadata": { "promptTokenCount": 9, "candidatesTokenCount": 1 } })
        } else {
            json!({ "type": "message", "role": "assistant", "content": parts,
                "stop_reason": if is_done { "end_turn" } else { "tool_use" },
                "usage": { "input_tokens": 9, "output_tokens": 1 } })
        };
        ResponseTemplate::new(200).set_body_json(body)
    }
}

fn renders() -> Value {
    let query =
        |name: &str, schema: Value| json!({ "name": name, "in": "query", "schema": schema });
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Renders", "version": "1" },
        "paths": { "/api/renders": { "get": {
            "operationId": "3d_render",
            "summary": "An awkward operation.",
            "parameters": [
                query("filter[name]", json!({ "type": "string", "description": "tower is a name" })),
                query("$top", json!({ "type": "integer", "description": "7 at most" })),
                query("größe", json!({ "type": "string", "enum": ["xl", ""], "description": "xl or s" })),
            ]
        } } }
    })
}

/// The model's settings, and a daemon with tools of all sources that have awkward names.
async fn world(provider: &str, server: &MockServer) -> (World, McpServer) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), renders().to_string()).unwrap();
    let place = format!("file://{}", file.path().display());
    let url = server.uri();
    let world = World::with(
        &[
            ("WOMBAT_BACKEND_OPENAPI", place.as_str()),
            ("LLM_PROVIDER", provider),
            ("LLM_MODEL_DEFAULT", "a-model"),
            ("LLM_MODEL_CHEAP", "mistral/small"),
            ("LLM_MODEL_BEST", "a-model"),
            ("LLM_MODEL_FALLBACK", "xai/other"),
            ("ANTHROPIC_BASE_URL", &url),
            ("ANTHROPIC_API_KEY", "key"),
            ("GEMINI_BASE_URL", &url),
            ("GEMINI_API_KEY", "key"),
        ],
        json!({ "tools": true }),
    )
    .await;
    let config = r#"{"agents": [{"role": "scout", "tools": {
        "allow": ["*", "GET /api/renders", "3d_render", "POST /api/tools/*", "mcp__3d*"],
        "deny": ["mcp__3d_forbidden"] }}]}"#;
    world.write("agent-config.json", config);
    world.daemon.until("/health", |health| health["tools"]["openapi"]["status"] == "ok").await;
    serve(&world, "GET", "/api/renders", 200, json!([{ "id": 1 }])).await;
    let object = |name: &str| {
        json!({ "type": "object", "required": [name], "properties": {
        name: { "type": "string", "description": "large or small" } } })
    };
    let list = json!({ "tools": [
        { "name": "3d.print", "description": "An awkward tool.", "parameters": object("größe in mm") },
        { "name": "list", "description": "No object.", "parameters": { "type": "array" } },
    ] });
    serve(&world, "GET", "/api/tools", 200, list).await;
    serve(&world, "POST", "/api/tools/3d.print", 200, json!({ "printed": true })).await;
    let tool = |name: &str| json!({ "name": name, "description": "An awkward MCP tool.", "inputSchema": object("@id") });
    let mcp = McpServer::start(vec![tool("3d scan"), tool("3d_forbidden")]).await;
    connected(&world, json!({ "mcp": { "url": mcp.url } }), "mcp", "ok").await;
    (world, mcp)
}

#[tokio::test]
async fn awkward_names_reach_the_model_as_its_provider_takes_them_and_the_backend_as_they_are() {
    for provider in ["anthropic", "google"] {
        let server = MockServer::start().await;
        let is_gemini = provider == "google";
        Mock::given(method("POST")).respond_with(Provider { is_gemini }).mount(&server).await;
        let (world, mcp) = world(provider, &server).await;
        let (status, answer) = world.daemon.send(&message(json!({ "message": "again" }))).await;
        assert_eq!((status, &answer["response"]), (200, &json!("done")), "{provider} {answer}");
        let steps = answer["steps"].as_array().unwrap();
        let names: Vec<_> = steps.iter().map(|step| step["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["3d_render", "3d_print", "mcp__3d_scan"], "{provider} {answer}");
        assert!(steps.iter().all(|step| step["ok"] == true), "{provider} {answer}");

        let got = world.backend.received_requests().await.unwrap();
        let rendered = got.iter().find(|request| request.url.path() == "/api/renders").unwrap();
        let query: Vec<_> = rendered.url.query_pairs().into_owned().collect();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(query, [pair("filter[name]", "tower"), pair("$top", "7"), pair("größe", "xl")]);
        let printed =
            got.iter().find(|request| request.url.path() == "/api/tools/3d.print").unwrap();
        let body: Value = serde_json::from_slice(&printed.body).unwrap();
        assert_eq!(body, json!({ "arguments": { "größe in mm": "large" } }));
        let (_, scanned) = &mcp.calls()[0];
        assert_eq!(scanned["params"]["name"], "3d scan");
        assert_eq!(scanned["params"]["arguments"], json!({ "@id": "large" }));

        // What the model saw, and what it did not, is told.
        let health: Value = world.daemon.get("/health").await.json().await.unwrap();
        let tools = &health["tools"];
        assert!(tools["backend"]["problems"][0].as_str().unwrap().contains("array"), "{tools}");
        let models: Vec<_> = tools["models"].as_object().unwrap().keys().cloned().collect();
        let default = format!("{provider}/a-model");
        assert_eq!(models, [&default, "mistral/small", "xai/other"], "{tools}");
        let mapped = tools["models"][format!("{provider}/a-model")]["mapped"].to_string();
        assert!(mapped.contains("filter[name]"), "{tools}");
        assert_eq!(mapped.contains("there it is _3d_render"), is_gemini, "{tools}");
    }
}

#[tokio::test]
async fn an_unknown_tool_is_answered_with_the_nearest_and_the_run_goes_on() {
    let world = World::new().await;
    let asked = ["functions.list_tasks", "list tasks", "multi_tool_use.parallel", ""];
    let made: Vec<_> = asked.iter().map(|name| (*name, json!({}))).collect();
    world.model(vec![calls(&made), says("done")]).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!((status, &answer["response"]), (200, &json!("done")), "{answer}");
    let body = world.model_got().await.pop().unwrap();
    let turns = body["messages"].as_array().unwrap();
    let told: Vec<_> = turns
        .iter()
        .filter(|turn| turn["role"] == "tool")
        .map(|turn| turn["content"].as_str().unwrap())
        .collect();
    for (told, near) in told.iter().zip([true, true, false, false]) {
        assert!(told.contains("there is no tool") && told.contains("create_task"), "{told}");
        assert_eq!(told.contains("nearest: list_tasks;"), near, "{told}");
    }
    let name = Regex::new("^[a-zA-Z0-9_-]{1,64}$").unwrap();
    let calls = turns.iter().flat_map(|turn| turn["tool_calls"].as_array().into_iter().flatten());
    let names: Vec<_> = calls.map(|call| call["function"]["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), asked.len());
    assert!(names.iter().all(|sent| name.is_match(sent)), "{names:?}");
}
