//! MCP servers as they are found: other clients' files, redirects, sessions that are forgotten.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::external_tools::{McpServer, connected, offered, told, tool};
use crate::harness::{World, calls, message, says};

/// A server with sessions. It forgets all of them on demand, as after a restart, and then answers to an
/// unknown one as it is told to.
#[derive(Default)]
struct Sessions {
    known: Vec<String>,
    opened: usize,
    done: usize,
    unknown: (u16, String),
    refuses_calls: bool,
    drops_pings: bool,
}

type Shared = Arc<Mutex<Sessions>>;

async fn in_session(State(shared): State<Shared>, headers: HeaderMap, body: String) -> Response {
    let request: Value = serde_json::from_str(&body).unwrap();
    let mut shared = shared.lock().unwrap();
    let session = headers.get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
    let result = match request["method"].as_str().unwrap() {
        "initialize" => {
            shared.opened += 1;
            let id = format!("s{}", shared.opened);
            shared.known.push(id.clone());
            let result = json!({ "protocolVersion": "2025-06-18", "capabilities": { "tools": {} },
                "serverInfo": { "name": "sessions", "version": "1" } });
            let body = json!({ "jsonrpc": "2.0", "id": request["id"], "result": result });
            return ([("mcp-session-id", id)], axum::Json(body)).into_response();
        }
        _ if !session.is_some_and(|id| shared.known.contains(&id)) => {
            let (status, text) = shared.unknown.clone();
            let text = text.replace("\"id\":7", &format!("\"id\":{}", request["id"]));
            let kind = if text.starts_with('{') { "application/json" } else { "text/plain" };
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
            return (status, [(header::CONTENT_TYPE, kind)], text).into_response();
        }
        "tools/list" => json!({ "tools": [tool("add")] }),
        "tools/call" => {
            shared.done += 1;
            if shared.refuses_calls {
                return (StatusCode::BAD_REQUEST, "no such session of yours").into_response();
            }
            json!({ "content": [{ "type": "text", "text": "added" }] })
        }
        // A redirect to nowhere is a failure of the request.
        "ping" if shared.drops_pings => return StatusCode::TEMPORARY_REDIRECT.into_response(),
        "ping" => json!({}),
        _ => return StatusCode::ACCEPTED.into_response(),
    };
    axum::Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })).into_response()
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

/// Makes the model call a tool; what the model was told, and whether the call was one that went well.
async fn call(world: &World, name: &str) -> (String, bool) {
    world.llm.reset().await;
    world.model(vec![calls(&[(name, json!({}))]), says("done")]).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!(status, 200, "{answer}");
    (told(world).await.last().unwrap().clone(), answer["steps"][0]["ok"] == true)
}

#[tokio::test]
async fn a_session_that_is_refused_is_renewed_at_once_and_the_call_is_made_once() {
    let error = |id: Value, message: &str| {
        let error = json!({ "code": -32000, "message": message });
        json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string()
    };
    let shared = Shared::default();
    shared.lock().unwrap().unknown = (400, "no".to_owned());
    let url = serve(Router::new().route("/mcp", post(in_session)).with_state(shared.clone())).await;
    let world = World::new().await;
    connected(&world, json!({ "s": { "url": url } }), "s", "ok").await;
    for (status, text) in [
        (404, String::new()),
        (404, error(Value::Null, "Session not found")),
        (400, error(Value::Null, "Bad Request: No valid session ID provided")),
        (400, error(Value::Null, "Bad Request: Server not initialized")),
        (400, error(json!(7), "Bad Request: No valid session ID provided")),
        (400, "Invalid session id".to_owned()),
        (400, String::new()),
    ] {
        let before = {
            let mut shared = shared.lock().unwrap();
            shared.known.clear();
            shared.unknown = (status, text.clone());
            shared.done
        };
        let (said, is_ok) = call(&world, "s__add").await;
        assert!(is_ok && said.contains("added"), "{status} {text}: {said}");
        assert_eq!(shared.lock().unwrap().done, before + 1, "{status} {text}");
    }
}

#[tokio::test]
async fn a_call_that_is_refused_in_a_session_that_is_known_is_not_repeated() {
    let shared = Shared::default();
    shared.lock().unwrap().refuses_calls = true;
    let url = serve(Router::new().route("/mcp", post(in_session)).with_state(shared.clone())).await;
    let world = World::new().await;
    connected(&world, json!({ "s": { "url": url } }), "s", "ok").await;
    let (said, is_ok) = call(&world, "s__add").await;
    assert!(!is_ok && said.contains("no such session of yours"), "{said}");
    assert_eq!(shared.lock().unwrap().done, 1);
    // A question that fails changes nothing about the answer.
    shared.lock().unwrap().drops_pings = true;
    let (said, is_ok) = call(&world, "s__add").await;
    assert!(!is_ok && said.contains("no such session of yours"), "{said}");
    assert_eq!(shared.lock().unwrap().done, 2);
    assert_eq!(shared.lock().unwrap().opened, 1);
}

#[tokio::test]
async fn a_redirect_is_followed_within_the_origin_only_and_with_the_method_and_headers() {
    let got = Arc::new(Mutex::new(0));
    let elsewhere = {
        let got = got.clone();
        let noted = move || {
            *got.lock().unwrap() += 1;
            async { StatusCode::OK }
        };
        serve(Router::new().fallback(any(noted))).await
    };
    let shared = Shared::default();
    shared.lock().unwrap().unknown = (400, "no session".to_owned());
    let to = |status: StatusCode, to: String| {
        post(move || async move { (status, [(header::LOCATION, to)]) })
    };
    let checked = async |State(shared): State<Shared>, headers: HeaderMap, body: String| {
        assert_eq!(headers["x-key"], "mcp-key");
        in_session(State(shared), headers, body).await
    };
    let router = Router::new()
        .route("/mcp", to(StatusCode::TEMPORARY_REDIRECT, "/api/".to_owned()))
        .route("/api/", to(StatusCode::PERMANENT_REDIRECT, "mcp?x=1".to_owned()))
        .route("/api/mcp", post(checked))
        .route("/out", to(StatusCode::TEMPORARY_REDIRECT, elsewhere.clone()))
        .route("/round", to(StatusCode::PERMANENT_REDIRECT, "/round".to_owned()))
        .with_state(shared.clone());
    let url = serve(router).await;
    let root = url.trim_end_matches("/mcp");
    let world = World::new().await;
    let server =
        |path: &str| json!({ "url": format!("{root}{path}"), "headers": { "x-key": "mcp-key" } });
    let servers = json!({ "in": server("/mcp"), "out": server("/out"), "round": server("/round") });
    let health = connected(&world, servers, "in", "ok").await;
    assert!(call(&world, "in__add").await.1);
    assert_eq!(shared.lock().unwrap().done, 1);
    assert_eq!(shared.lock().unwrap().opened, 1);
    let mcp = &health["tools"]["mcp"];
    let why = mcp["out"]["error"].as_str().unwrap();
    let origin = elsewhere.trim_end_matches("/mcp");
    assert!(why.contains(&format!("redirects to {origin}, which is not followed")), "{why}");
    assert!(mcp["round"]["error"].as_str().unwrap().contains("more than 5 redirects"), "{mcp}");
    assert_eq!(*got.lock().unwrap(), 0);
}

#[tokio::test]
async fn the_file_of_another_client_loads_or_costs_one_server_with_its_line() {
    let world = World::new().await;
    let server = McpServer::start(vec![tool("add"), tool("drop"), tool("wipe")]).await;
    world.write(
        "agent-config.json",
        r#"{"agents": [{"role": "scout", "tools": {"deny": ["io_github_me__d*"]}}]}"#,
    );
    let file = format!(
        "// VS Code's\n{{\n  \"inputs\": [],\n  \"servers\": {{\n    \"io.github.me\": {{\n      \
         \"type\": \"http\", \"url\": \"{}\", \"disabledTools\": [\"wipe\"],\n    }},\n    \
         \"asks\": {{\"url\": \"http://h\", \"headers\": {{\"A\": \"${{input:key}}\"}}}},\n    \
         \"odd\": {{\n      \"command\": \"x\",\n      \"args\": 7\n    }},\n  }},\n}}\n",
        server.url
    );
    world.write("mcp.json", &file);
    world.model(vec![says("first")]).await;
    world.daemon.until("/health", |h| h["tools"]["mcp"]["odd"].is_object()).await;
    world.daemon.send(&message(json!({}))).await;
    let is_ok = |health: &Value| health["tools"]["mcp"]["io.github.me"]["status"] == "ok";
    let health = world.daemon.until("/health", is_ok).await;
    let mcp = &health["tools"]["mcp"];
    assert_eq!(mcp["io.github.me"]["tools_begin_with"], "io_github_me__");
    assert_eq!(mcp["io.github.me"]["tools"], 2, "{mcp}");
    assert_eq!(mcp["odd"]["error"], "mcp.json: line 11: args is not a list", "{mcp}");
    let why = mcp["asks"]["error"].as_str().unwrap();
    assert!(why.starts_with("mcp.json: line 8: ${input:key} is asked for by an editor"), "{why}");
    assert_eq!(
        (&health["status"], &health["workspace"]["policy"]),
        (&json!("degraded"), &json!("ok")),
        "{health}"
    );
    let (said, is_ok) = call(&world, "io_github_me__add").await;
    assert!(is_ok, "{said}");
    let offered: Vec<_> =
        offered(&world).await.into_iter().filter(|n| n.starts_with("io_")).collect();
    assert_eq!(offered, ["io_github_me__add"]);
}
