//! Push notifications of A2A: the official client asks for them, and they arrive as its own types read them.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::post;
use serde_json::{Value, json};
use test_support::llm::Reply;
use test_support::wait_for;

use super::{World, new_document};
use crate::peers;

type Got = Arc<Mutex<Vec<(String, HeaderMap, Value)>>>;

/// A receiver; what comes to which of its paths.
async fn receiver() -> (String, Got) {
    async fn got(State(all): State<Got>, Path(at): Path<String>, headers: HeaderMap, body: Bytes) {
        let body = serde_json::from_slice(&body).unwrap();
        all.lock().unwrap().push((at, headers, body));
    }
    let all = Got::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().route("/{at}", post(got)).with_state(all.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, all)
}

/// The notification at a path, once it is there.
async fn at(got: &Got, path: &str, many: usize) -> (HeaderMap, Value) {
    wait_for("a notification", async || {
        let all = got.lock().unwrap();
        let mut own = all.iter().filter(|(at, ..)| at == path);
        own.nth(many - 1).map(|(_, headers, body)| (headers.clone(), body.clone()))
    })
    .await
}

async fn notified(binding: &str) {
    let Some(python) = peers::protocols("a2a.client, httpx") else { return };
    let refusal = json!({ "error": { "message": "no", "type": "invalid_request_error" } });
    let replies = vec![
        Reply::sse_text("It is done."),
        Reply::sse_calls(&[new_document("Report")]),
        Reply::json(400, refusal),
    ];
    let scout = json!({ "role": "scout", "tools": { "approval": ["create_document"] } });
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let settings = [("WOMBAT_WEBHOOK_ALLOW_PRIVATE", "true"), ("WOMBAT_WEBHOOK_SECRET", secret)];
    let world = World::set("a2a", replies, scout, &settings).await;
    let (url, got) = receiver().await;
    let push = async |mut with: Value| {
        with["binding"] = json!(binding);
        world.client(&python, "a2a_client.py", "push", &with).await
    };

    let first = format!("{url}/first");
    let made = push(json!({ "id": "m1", "url": first })).await;
    assert_eq!((&made["listed"], &made["one"]["id"]), (&json!([first]), &json!("mine")), "{made}");
    assert_eq!(made["one"]["taskId"], made["task"], "{made}");
    let (headers, told) = at(&got, "first", 1).await;
    assert!(headers.contains_key("webhook-signature"), "{headers:?}");
    let task = &told["task"];
    assert_eq!(task["id"], made["task"], "{told}");
    assert_eq!(task["status"]["state"], "TASK_STATE_COMPLETED", "{told}");
    assert_eq!(task["artifacts"][0]["parts"][0]["text"], "It is done.", "{told}");

    // The next run of the task: two more addresses, of which one is taken back.
    world.is_idle().await;
    let more = json!([format!("{url}/second"), format!("{url}/second")]);
    let made = push(json!({ "id": "m2", "task_id": made["task"], "more": more })).await;
    assert_eq!(made["listed"].as_array().unwrap().len(), 2, "the same address once: {made}");
    for path in ["first", "second"] {
        let many = if path == "first" { 2 } else { 1 };
        let (_, told) = at(&got, path, many).await;
        assert_eq!(told["task"]["status"]["state"], "TASK_STATE_INPUT_REQUIRED", "{told}");
    }
    world.is_idle().await;
    let third = json!([format!("{url}/second")]);
    let gone = json!({ "id": "m3", "task_id": made["task"], "more": third, "delete": true });
    assert_eq!(push(gone).await["listed"], json!([first]));
    let (_, told) = at(&got, "first", 3).await;
    assert_eq!(told["task"]["status"]["state"], "TASK_STATE_FAILED", "{told}");
    assert_eq!(told["task"]["metadata"]["code"], "llm_rejected", "{told}");
    // What the client's own types cannot read would be refused here.
    let all: Vec<_> = got.lock().unwrap().iter().map(|(.., body)| body.clone()).collect();
    let read = world.client(&python, "a2a_client.py", "read_pushed", &json!({ "all": all })).await;
    assert_eq!(read["kinds"].as_array().unwrap().len(), all.len(), "{read}");
    assert!(read["kinds"].as_array().unwrap().iter().all(|kind| kind == "task"), "{read}");
}

#[tokio::test]
async fn a_client_is_notified_of_the_ends_of_runs_over_json_rpc() {
    notified("JSONRPC").await;
}

#[tokio::test]
async fn a_client_is_notified_of_the_ends_of_runs_over_http_and_json() {
    notified("HTTP+JSON").await;
}
