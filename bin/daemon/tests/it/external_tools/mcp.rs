//! The tools of MCP servers, and a server for tests.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{offered, told};
use crate::harness::{World, calls, message, says};

/// A minimal MCP server over streamable HTTP.
pub(crate) struct McpServer {
    pub(crate) url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    tools: Mutex<Vec<Value>>,
    got: Mutex<Vec<(HeaderMap, Value)>>,
}

impl McpServer {
    pub(crate) async fn start(tools: Vec<Value>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, tools)
    }

    fn on(listener: TcpListener, tools: Vec<Value>) -> Self {
        let shared = Arc::new(Shared { tools: Mutex::new(tools), got: Mutex::default() });
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let router = Router::new().route("/mcp", post(answer)).with_state(shared.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, shared, task }
    }

    pub(crate) fn calls(&self) -> Vec<(HeaderMap, Value)> {
        let got = self.shared.got.lock().unwrap();
        got.iter().filter(|(_, body)| body["method"] == "tools/call").cloned().collect()
    }
}

impl Drop for McpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: String) -> Response {
    let request: Value = serde_json::from_str(&body).unwrap();
    shared.got.lock().unwrap().push((headers, request.clone()));
    let result = match request["method"].as_str().unwrap() {
        "initialize" => json!({
            "protocolVersion": "2025-06-18",
            "capabilities": { "tools": { "listChanged": true } },
            "serverInfo": { "name": "plain", "version": "1" },
        }),
        "tools/list" => json!({ "tools": *shared.tools.lock().unwrap() }),
        "tools/call" => match request["params"]["name"].as_str().unwrap() {
            "hang" => std::future::pending().await,
            "large" => json!({ "content": [{ "type": "text", "text": "x".repeat(50_000) }] }),
            "fail" => {
                json!({ "isError": true, "content": [{ "type": "text", "text": "no luck" }] })
            }
            name => json!({ "content": [{ "type": "text", "text": format!("{name} did it") }] }),
        },
        method if method.starts_with("notifications/") => {
            return StatusCode::ACCEPTED.into_response();
        }
        _ => {
            let error = json!({ "code": -32601, "message": "Method not found" });
            return axum::Json(json!({ "jsonrpc": "2.0", "id": request["id"], "error": error }))
                .into_response();
        }
    };
    axum::Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })).into_response()
}

pub(crate) fn tool(name: &str) -> Value {
    json!({ "name": name, "description": "Does it.", "inputSchema": {
        "type": "object", "properties": { "n": { "type": "integer" } } } })
}

/// Writes `mcp.json` and waits until the daemon has connected a server of it.
pub(crate) async fn connected(world: &World, servers: Value, name: &str, status: &str) -> Value {
    world.write("mcp.json", &json!({ "mcpServers": servers }).to_string());
    let is_so = |health: &Value| health["tools"]["mcp"][name]["status"] == status;
    // A changed configuration is applied when a run needs its tools.
    world.model(vec![says("first")]).await;
    world.daemon.until("/health", |h| h["tools"]["mcp"][name].is_object()).await;
    world.daemon.send(&message(json!({}))).await;
    world.daemon.until("/health", is_so).await
}

#[tokio::test]
async fn the_tools_of_an_mcp_server_are_listed_called_and_their_errors_told() {
    let world = World::new().await;
    let tools = vec![tool("add"), tool("fail"), tool("large"), tool("hang")];
    let server = McpServer::start(tools).await;
    let servers = json!({ "plain": {
        "url": server.url, "headers": { "x-key": "mcp-key" }, "timeout_secs": 1 } });
    let health = connected(&world, servers, "plain", "ok").await;
    assert_eq!(health["tools"]["mcp"]["plain"]["tools"], 4, "{health}");
    world.llm.reset().await;
    world
        .model(vec![
            calls(&[
                ("plain__add", json!({ "n": 1 })),
                ("plain__add", json!({ "n": "one" })),
                ("plain__fail", json!({})),
                ("plain__large", json!({})),
                ("plain__hang", json!({})),
            ]),
            says("done"),
        ])
        .await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!(status, 200, "{answer}");
    let told = told(&world).await;
    assert!(told[0].contains("add did it") && told[0].contains("untrusted-data"), "{told:?}");
    assert!(told[1].contains("/n"), "{told:?}");
    assert!(told[2].contains("no luck"), "{told:?}");
    assert!(told[3].contains("[cut: the first 20000 of 50000 characters; "));
    assert!(told[4].contains("given up after 1 seconds"), "{told:?}");
    let got = server.calls();
    assert_eq!(got.len(), 4, "the wrong call is never sent");
    let (headers, body) = &got[0];
    assert_eq!(headers["x-key"], "mcp-key");
    assert!(!headers.contains_key("x-agent-token"), "the agent's token is the backend's alone");
    assert_eq!(body["params"]["arguments"], json!({ "n": 1 }));
    let meta = &body["params"]["_meta"];
    assert!(meta["idempotencyKey"].as_str().unwrap().contains(":plain__add:"), "{meta}");
    assert!(meta["traceparent"].as_str().unwrap().starts_with("00-"), "{meta}");
    // A call that times out is cancelled at the server.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let cancelled = server
            .shared
            .got
            .lock()
            .unwrap()
            .iter()
            .any(|(_, body)| body["method"] == "notifications/cancelled");
        if cancelled {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "the call was never cancelled");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_role_gets_the_mcp_tools_that_it_may_have() {
    let world = World::new().await;
    let server = McpServer::start(vec![tool("add"), tool("drop")]).await;
    world.write(
        "agent-config.json",
        r#"{"agents": [{"role": "scout", "tools": {"deny": ["plain__d*"]}}]}"#,
    );
    connected(&world, json!({ "plain": { "url": server.url } }), "plain", "ok").await;
    world.llm.reset().await;
    world.model(vec![calls(&[("plain__drop", json!({}))]), says("done")]).await;
    world.daemon.send(&message(json!({}))).await;
    let offered = offered(&world).await;
    assert!(offered.contains(&"plain__add".to_owned()), "{offered:?}");
    assert!(!offered.contains(&"plain__drop".to_owned()), "{offered:?}");
    assert!(server.calls().is_empty());
}

#[tokio::test]
async fn a_server_that_is_down_costs_its_own_tools_and_comes_back_by_itself() {
    let world = World::new().await;
    let well = McpServer::start(vec![tool("add")]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let servers = json!({
        "down": { "url": format!("http://{address}/mcp?key=mcp-canary") },
        "well": { "url": well.url },
        "wrong": { "command": "no-such-program-anywhere" },
        "unset": { "url": "http://h/${NO_SUCH_VARIABLE_ANYWHERE}" },
    });
    let health = connected(&world, servers, "down", "error").await;
    let mcp = &health["tools"]["mcp"];
    assert_eq!(mcp["well"]["status"], "ok", "{mcp}");
    assert!(mcp["wrong"]["error"].as_str().unwrap().contains("no-such-program"), "{mcp}");
    assert!(mcp["unset"]["error"].as_str().unwrap().contains("NO_SUCH_VARIABLE"), "{mcp}");
    assert_eq!(health["status"], "degraded", "{health}");
    assert!(!health.to_string().contains("mcp-canary"), "anybody may read it: {health}");
    world.llm.reset().await;
    world.model(vec![calls(&[("well__add", json!({}))]), says("done")]).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!((status, &answer["steps"][0]["ok"]), (200, &json!(true)), "{answer}");
    // The server is available again.
    let listener = TcpListener::bind(address).await.unwrap();
    let back = McpServer::on(listener, vec![tool("late")]);
    let ok = |health: &Value| health["tools"]["mcp"]["down"]["status"] == "ok";
    world.daemon.until("/health", ok).await;
    world.llm.reset().await;
    world.model(vec![calls(&[("down__late", json!({}))]), says("done")]).await;
    let (_, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!(answer["steps"][0]["ok"], true, "{answer}");
    assert_eq!(back.calls().len(), 1);
}

#[tokio::test]
async fn a_server_that_dies_and_returns_with_other_tools_is_noticed_by_a_call() {
    let world = World::new().await;
    let server = McpServer::start(vec![tool("old")]).await;
    let address = server.url.trim_start_matches("http://").trim_end_matches("/mcp").to_owned();
    connected(&world, json!({ "s": { "url": server.url } }), "s", "ok").await;
    server.task.abort();
    drop(server);
    world.llm.reset().await;
    world.model(vec![calls(&[("s__old", json!({}))]), says("done")]).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!((status, &answer["steps"][0]["ok"]), (200, &json!(false)), "{answer}");
    let error = |health: &Value| health["tools"]["mcp"]["s"]["status"] == "error";
    world.daemon.until("/health", error).await;
    let listener = loop {
        match TcpListener::bind(&address).await {
            Ok(listener) => break listener,
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    };
    let _back = McpServer::on(listener, vec![tool("old"), tool("new")]);
    let two = |health: &Value| {
        let server = &health["tools"]["mcp"]["s"];
        server["status"] == "ok" && server["tools"] == 2
    };
    world.daemon.until("/health", two).await;
}

#[tokio::test]
async fn the_daemon_reads_mcp_json_again_and_drops_what_is_gone() {
    let world = World::new().await;
    let server = McpServer::start(vec![tool("add")]).await;
    connected(&world, json!({ "one": { "url": server.url } }), "one", "ok").await;
    let health = connected(&world, json!({ "two": { "url": server.url } }), "two", "ok").await;
    assert!(health["tools"]["mcp"].get("one").is_none(), "{health}");
    world.llm.reset().await;
    world.model(vec![says("done")]).await;
    world.daemon.send(&message(json!({}))).await;
    let offered = offered(&world).await;
    assert!(offered.contains(&"two__add".to_owned()), "{offered:?}");
    assert!(!offered.iter().any(|name| name.starts_with("one")), "{offered:?}");
}
