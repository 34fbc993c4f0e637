//! Tools of servers that send what they should not: each costs itself. Marks of fences.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::external_tools::connected;
use crate::harness::{World, calls, message, says};

type Answers = Arc<dyn Fn(&str, &Value) -> String + Send + Sync>;

/// An MCP server that answers lists and calls with whatever it is told; says its address.
async fn server(answers: impl Fn(&str, &Value) -> String + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let answers: Answers = Arc::new(answers);
    let router = Router::new().route("/mcp", post(answer)).with_state(answers);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

async fn answer(State(answers): State<Answers>, body: String) -> Response {
    let request: Value = serde_json::from_str(&body).unwrap();
    let result = match request["method"].as_str().unwrap() {
        "initialize" => json!({ "protocolVersion": "2025-06-18", "capabilities": { "tools": {} },
            "serverInfo": { "name": "s", "version": "1" } })
        .to_string(),
        at @ ("tools/list" | "tools/call") => answers(at, &request["params"]),
        at if at.starts_with("notifications/") => return StatusCode::ACCEPTED.into_response(),
        _ => {
            let error = json!({ "code": -32601, "message": "Method not found" });
            let answer = json!({ "jsonrpc": "2.0", "id": request["id"], "error": error });
            return axum::Json(answer).into_response();
        }
    };
    let answer = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, request["id"]);
    ([(header::CONTENT_TYPE, "application/json")], answer).into_response()
}

fn tool(name: &str, schema: Value) -> Value {
    json!({ "name": name, "inputSchema": schema })
}

fn good() -> Value {
    tool("good", json!({ "type": "object" }))
}

/// The contents of the newest request to the model that have this role.
async fn told(world: &World, role: &str) -> Vec<String> {
    let asked = world.model_got().await;
    let turns = asked.last().unwrap()["messages"].as_array().unwrap().clone();
    let of_role = turns.iter().filter(|turn| turn["role"] == role);
    of_role.map(|turn| turn["content"].as_str().unwrap().to_owned()).collect()
}

/// Makes one call; says what the model was told, and the names of its tools.
async fn call(world: &World, name: &str, arguments: Value) -> (String, Vec<String>) {
    world.llm.reset().await;
    world.model(vec![calls(&[(name, arguments)]), says("done")]).await;
    world.daemon.send(&message(json!({}))).await;
    let tools = world.model_got().await[0]["tools"].as_array().unwrap().clone();
    let names = tools.iter().map(|tool| tool["function"]["name"].as_str().unwrap().to_owned());
    (told(world, "tool").await.remove(0), names.collect())
}

#[tokio::test]
async fn a_bad_definition_and_a_bad_block_cost_themselves() {
    let world = World::new().await;
    let url = server(|at, _| {
        match at {
        "tools/list" => json!({ "tools": [good(), { "name": "bad", "inputSchema": 5 }, null] }),
        _ => json!({ "content": [{ "type": "text", "text": "first" }, { "type": "text", "text": 5 },
            { "type": "text", "text": "last" }] }),
    }
    .to_string()
    })
    .await;
    let health = connected(&world, json!({ "s": { "url": url } }), "s", "ok").await;
    let problems = &health["tools"]["mcp"]["s"]["problems"];
    assert_eq!(problems[0], r#""bad": inputSchema must be an object"#, "{health}");
    assert_eq!(problems[1], "tool 3: is not an object", "{health}");
    let (told, names) = call(&world, "s__good", json!({})).await;
    assert!(names.contains(&"s__good".to_owned()) && !names.contains(&"s__bad".to_owned()));
    let left_out = "[left out: content.1.text must be a string]";
    assert!(told.contains(&format!("first\n\n{left_out}\n\nlast")), "{told}");
}

#[tokio::test]
async fn a_list_without_end_costs_its_server_alone() {
    let pages = |empty: bool| {
        move |_: &str, params: &Value| {
            let page: usize = params["cursor"].as_str().map_or(0, |at| at.parse().unwrap());
            let tools: Vec<_> = (0..if empty { 0 } else { 50 })
                .map(|n| tool(&format!("t{page}_{n}"), json!({ "description": "x".repeat(2_000) })))
                .collect();
            json!({ "tools": tools, "nextCursor": (page + 1).to_string() }).to_string()
        }
    };
    let again = |_: &str, _: &Value| json!({ "tools": [good()], "nextCursor": "a" }).to_string();
    let tiny = |_: &str, _: &Value| {
        format!(
            r#"{{"tools":[{{"name":"t","inputSchema":{{"enum":[{}0]}}}}]}}"#,
            "0,".repeat(500_000)
        )
    };
    for (url, why) in [
        (server(pages(false)).await, "longer than 8 MiB"),
        (server(pages(true)).await, "within 100 pages"),
        (server(again).await, "the same next page again"),
        (server(tiny).await, "more than 200000 values"),
    ] {
        let well = server(|_, _| json!({ "tools": [good()] }).to_string()).await;
        let world = World::new().await;
        let servers = json!({ "evil": { "url": url }, "well": { "url": well } });
        let health = connected(&world, servers, "evil", "error").await;
        let error = health["tools"]["mcp"]["evil"]["error"].as_str().unwrap();
        assert!(error.contains(why), "{error}");
        assert_eq!(health["tools"]["mcp"]["well"]["status"], "ok", "{health}");
    }
}

#[tokio::test]
async fn a_schema_that_is_too_large_costs_its_tool_and_a_pattern_its_keyword() {
    let world = World::new().await;
    let mut definitions = serde_json::Map::new();
    for n in 0..17 {
        let next = json!({ "$ref": format!("#/$defs/d{}", n + 1) });
        definitions.insert(format!("d{n}"), json!({ "anyOf": [next, next] }));
    }
    definitions.insert("d17".to_owned(), json!({ "type": "string" }));
    let bomb = json!({ "properties": { "a": { "$ref": "#/$defs/d0" } }, "$defs": definitions });
    let odd = json!({ "properties": { "a": { "pattern": "^(?=x)\\Z", "maxLength": 3 } } });
    let list = json!({ "tools": [tool("bomb", bomb), tool("odd", odd), good()] }).to_string();
    let url = server(move |at, _| match at {
        "tools/list" => list.clone(),
        _ => json!({ "content": [{ "type": "text", "text": "called" }] }).to_string(),
    })
    .await;
    connected(&world, json!({ "s": { "url": url } }), "s", "ok").await;
    let (told, names) = call(&world, "s__odd", json!({ "a": "abc" })).await;
    assert!(told.contains("called") && !names.contains(&"s__bomb".to_owned()), "{told}");
    let (told, _) = call(&world, "s__odd", json!({ "a": "abcd" })).await;
    assert!(told.contains("/a: "), "{told}");
    let health: Value = world.daemon.get("/health").await.json().await.unwrap();
    let problems = health["tools"]["mcp"]["s"]["problems"].to_string();
    assert!(problems.contains("bomb") && problems.contains("20000 schemas"), "{problems}");
    assert!(problems.contains("/properties/a") && problems.contains("not checked"), "{problems}");
}

#[tokio::test]
async fn fences_carry_one_mark_in_a_run_and_another_one_in_the_next() {
    let world = World::new().await;
    let mark = |text: &str| {
        let at = text.find("<untrusted-data-").unwrap() + "<untrusted-data-".len();
        text[at..at + 16].to_owned()
    };
    let mut marks = Vec::new();
    for _ in 0..2 {
        world.llm.reset().await;
        let twice = [("list_tasks", json!({})), ("list_tasks", json!({}))];
        world.model(vec![calls(&twice), says("done")]).await;
        let more = json!({ "metadata": { "type": "mc.notification" } });
        world.daemon.send(&message(more)).await;
        let texts = [told(&world, "tool").await, told(&world, "user").await].concat();
        let of_run: Vec<_> = texts.iter().filter(|text| text.contains("<untr")).collect();
        assert_eq!(of_run.len(), 3, "{texts:?}");
        marks.push(mark(of_run[0]));
        for text in of_run {
            assert_eq!(mark(text), *marks.last().unwrap());
            assert_eq!(text.matches(marks.last().unwrap().as_str()).count(), 2, "{text}");
        }
    }
    assert_ne!(marks[0], marks[1]);
}
