//! Every failure has the contract's shape.

use reqwest::{Body, Method};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Answer, Backend, MC, on_postgres, send};

const MAX_BODY: usize = 2 * 1024 * 1024;

async fn post_text(backend: &Backend, kind: Option<&str>, body: impl Into<Body>) -> Answer {
    let agent = backend.agent("ann", "scout");
    let request = agent.raw(Method::POST, &format!("{MC}/tasks")).body(body);
    send(match kind {
        Some(kind) => request.header("content-type", kind),
        None => request,
    })
    .await
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_refused() {
    let backend = Backend::start().await;
    let deep = "[".repeat(200_000);
    for body in ["{", "nonsense", "[]", "7", "null", "\"text\"", "{\"title\":\"x\"} x", &deep] {
        let answer = post_text(&backend, Some("application/json"), body.to_owned()).await;
        answer.fails(400, "malformed_json");
    }
    let latin = vec![b'{', b'"', 0xff, b'"', b':', b'1', b'}'];
    let answer = post_text(&backend, Some("application/json"), latin).await;
    answer.fails(400, "malformed_json");
}

#[tokio::test]
async fn a_body_of_another_kind_is_refused() {
    let backend = Backend::start().await;
    for kind in [None, Some("text/plain"), Some("application/x-www-form-urlencoded")] {
        let answer = post_text(&backend, kind, r#"{"title":"x"}"#).await;
        answer.fails(415, "unsupported_media_type");
    }
    let kind = Some("Application/JSON; charset=utf-8");
    post_text(&backend, kind, r#"{"title":"x"}"#).await.ok();
}

#[tokio::test]
async fn a_field_of_the_wrong_kind_is_named() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    for (path, body, field) in [
        ("/tasks", json!({}), "title"),
        ("/tasks", json!({ "title": " " }), "title"),
        ("/tasks", json!({ "title": 7 }), "title"),
        ("/tasks", json!({ "title": "x", "status": "lost" }), "status"),
        ("/tasks", json!({ "title": "x", "metadata": [] }), "metadata"),
        ("/tasks", json!({ "title": "x", "idempotency_key": {} }), "idempotency_key"),
        ("/messages", json!({ "content": "x" }), "task_id"),
        ("/messages", json!({ "task_id": "t", "content": "" }), "content"),
        ("/messages", json!({ "task_id": "t", "content": "x", "actor_type": "god" }), "actor_type"),
        ("/documents", json!({ "title": "x" }), "content"),
        ("/documents", json!({ "title": "x", "content": ["y"] }), "content"),
    ] {
        let answer = agent.post(path, body.clone()).await;
        assert_eq!(answer.status, 400, "{path} {body}");
        answer.fails(400, "invalid_payload");
        assert!(answer.body["details"]["fields"][field].is_string(), "{body}: {}", answer.text);
    }
    let task = agent.task("T").await;
    for body in [json!({ "title": "" }), json!({ "status": "lost" }), json!({ "title": [] })] {
        agent.patch(&format!("/tasks/{task}"), body).await.fails(400, "invalid_payload");
    }
}

#[tokio::test]
async fn a_field_that_nobody_knows_is_ignored() {
    let backend = Backend::start().await;
    let body = json!({ "title": "x", "colour": "red", "description": null });
    let task = backend.agent("ann", "scout").post("/tasks", body).await;
    assert!(task.ok().get("colour").is_none());
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_not_waited_for() {
    let backend = Backend::start().await;
    let token = backend.agent("ann", "scout").raw(Method::POST, "/").build().unwrap();
    let token = token.headers()["x-agent-token"].to_str().unwrap().to_owned();
    let mut stream = TcpStream::connect(backend.url.trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "POST {MC}/tasks HTTP/1.1\r\nhost: localhost\r\nx-agent-token: {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        MAX_BODY + 1
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn a_body_is_cut_off_where_it_becomes_too_large() {
    let backend = Backend::start().await;
    let kind = Some("application/json");
    let fitting = format!("{{\"title\":\"x\"{}}}", " ".repeat(MAX_BODY - 13));
    assert_eq!(fitting.len(), MAX_BODY);
    post_text(&backend, kind, fitting.clone()).await.ok();
    let too_large = post_text(&backend, kind, format!("{fitting} ")).await;
    too_large.fails(413, "payload_too_large");
}

#[tokio::test]
async fn what_does_not_exist_is_404_and_a_verb_that_is_not_taken_is_405() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    for path in ["/nowhere", "/api/nowhere", "/api/mission-control", "/api/mission-control/tasks/"]
    {
        send(agent.raw(Method::GET, path)).await.fails(404, "not_found");
    }
    for id in ["nowhere", "%00", "%ff", "..%2f..%2fetc", "'%20OR%201=1", &"x".repeat(4_000)] {
        agent.get(&format!("/tasks/{id}")).await.fails(404, "not_found");
        agent.get(&format!("/documents/{id}")).await.fails(404, "not_found");
    }
    for (method, path) in [
        (Method::DELETE, "/tasks"),
        (Method::PUT, "/tasks/x"),
        (Method::GET, "/heartbeat"),
        (Method::DELETE, "/dispatch/dead"),
    ] {
        let answer = send(agent.raw(method, &format!("{MC}{path}"))).await;
        answer.fails(405, "method_not_allowed");
        assert!(answer.headers.contains_key("allow"));
    }
}

#[tokio::test]
async fn a_field_error_reads_like_this() {
    let backend = Backend::start().await;
    let answer = backend.agent("ann", "scout").post("/messages", json!({ "task_id": "t" })).await;
    assert_eq!(
        answer.body,
        json!({
            "error": "content is required",
            "code": "invalid_payload",
            "details": { "fields": { "content": "is required" } }
        })
    );
}

#[tokio::test]
async fn a_database_that_is_locked_is_503_with_the_time_to_come_back() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    agent.task("before").await;
    let mut other = backend.database().await;
    let locks: &[&str] = match on_postgres() {
        true => &["BEGIN", "LOCK TABLE write_turn IN EXCLUSIVE MODE"],
        false => &["BEGIN IMMEDIATE"],
    };
    for lock in locks {
        sqlx::query(*lock).execute(&mut other).await.unwrap();
    }
    let answer = agent.post("/tasks", json!({ "title": "locked out" })).await;
    answer.fails(503, "unavailable");
    assert_eq!(answer.headers["retry-after"], "1");
    // Readers do not wait for a writer.
    assert_eq!(agent.get("/tasks").await.items().len(), 1);
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    agent.task("after").await;
}

#[tokio::test]
async fn probes_need_no_token() {
    let backend = Backend::start().await;
    for path in ["/livez", "/readyz"] {
        assert_eq!(send(backend.nobody().raw(Method::GET, path)).await.text, "ok");
    }
}
