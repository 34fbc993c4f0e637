//! What other instances than the one that executes it say of a run: its typed result, why it has failed,
//! and the task of A2A that it belongs to.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Reader, USER, World, body};
use crate::streams::PIECES;
use crate::streams::model::JSON;

fn typed(kind: &str) -> Value {
    let schema = json!({ "type": "object", "properties": { "sum": { "type": kind } } });
    json!({ "idempotency_key": "k", "message": "a sum [json]", "output": { "schema": schema } })
}

impl World {
    fn a2a_request(&self, daemon: &str, method: &str, params: &Value) -> reqwest::RequestBuilder {
        reqwest::Client::new()
            .post(format!("{daemon}/a2a/scout"))
            .header("x-agent-daemon-key", self.stack.daemon_key())
            .header("x-wombat-user", USER)
            .json(&json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }))
    }

    /// Calls a method of A2A.
    async fn a2a(&self, daemon: &str, method: &str, params: &Value) -> Value {
        let response = self.a2a_request(daemon, method, params).send().await.unwrap();
        response.json().await.unwrap()
    }

    async fn a2a_state(&self, daemon: &str, id: &Value) -> Value {
        let task = self.a2a(daemon, "GetTask", &json!({ "id": id })).await;
        task["result"]["status"]["state"].clone()
    }

    /// Sends a message; returns the task's id while the run is in flight.
    async fn a2a_begin(&self, daemon: &str, id: &str) -> Value {
        let message = json!({ "messageId": id, "role": "ROLE_USER", "parts": [{ "text": id }] });
        let params = json!({ "message": message, "configuration": { "returnImmediately": true } });
        let sent = self.a2a(daemon, "SendMessage", &params).await;
        assert_eq!(sent["result"]["task"]["status"]["state"], "TASK_STATE_WORKING", "{sent}");
        sent["result"]["task"]["id"].clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typed_result_is_the_same_at_any_instance() {
    let world = World::new(true, &[]).await;
    let here = &world.stack.daemon_url;
    let (_other, other) = world.stack.another_daemon(&world.options).await.unwrap();
    let run = world.begin(here, "t", &typed("integer")).await;
    let path = run["stream"].as_str().unwrap();
    for daemon in [here, &other] {
        let mut reader = Reader::open(&world, daemon, path, None).await;
        assert_eq!(reader.end().await.data["output"], json!({ "sum": 7 }));
        let report = world.report(daemon, &run).await;
        assert_eq!(report["answer"]["output"], json!({ "sum": 7 }), "{report}");
        assert_eq!(report["answer"]["response"], JSON.concat());
    }
    let again = world.begin(&other, "t", &typed("integer")).await;
    assert_eq!((&again["replayed"], &again["status"]), (&json!(true), &json!("completed")));
    let other_schema = body("t", &typed("number"));
    let path = "/api/agents/runs";
    let (status, refused) = world.ask(Method::POST, &other, path, Some(&other_schema)).await;
    assert_eq!((status, &refused["code"]), (409, &json!("idempotency_conflict")), "{refused}");
    assert_eq!(*world.model.asked.borrow(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_keeps_its_status_and_code_at_any_instance() {
    let world = World::new(true, &[]).await;
    let here = &world.stack.daemon_url;
    let (_other, other) = world.stack.another_daemon(&world.options).await.unwrap();
    let run = world.begin(here, "t", &typed("boolean")).await;
    let path = run["stream"].as_str().unwrap();
    for daemon in [&other, here] {
        let mut reader = Reader::open(&world, daemon, path, None).await;
        let error = reader.end().await.data.clone();
        assert_eq!(error["code"], "schema_mismatch", "{error}");
        let report = world.report(daemon, &run).await;
        let told = &report["error"];
        assert_eq!((&told["status"], &told["code"]), (&json!(422), &json!("schema_mismatch")));
        assert_eq!(told["details"], error["details"]);
        assert_eq!(told["details"]["output"], json!({ "sum": 7 }), "{told}");
    }
    let mut again = body("t", &typed("boolean"));
    again["detached"] = json!(true);
    let asked = *world.model.asked.borrow();
    let (status, error) = world.ask(Method::POST, &other, "/api/agents/send", Some(&again)).await;
    assert_eq!((status, &error["code"]), (422, &json!("schema_mismatch")), "{error}");
    assert_eq!(*world.model.asked.borrow(), asked, "the same, no model call");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_a2a_task_is_had_followed_and_cancelled_at_any_instance() {
    let world = World::new(false, &[("WOMBAT_PROTOCOLS", "a2a")]).await;
    let here = &world.stack.daemon_url;
    let (_other, other) = world.stack.another_daemon(&world.options).await.unwrap();
    let task = world.a2a_begin(here, "one").await;
    for daemon in [here, &other] {
        assert_eq!(world.a2a_state(daemon, &task).await, "TASK_STATE_WORKING");
    }
    let cancelled = world.a2a(&other, "CancelTask", &json!({ "id": task })).await;
    assert_eq!(cancelled["result"]["status"]["state"], "TASK_STATE_CANCELED", "{cancelled}");
    for daemon in [here, &other] {
        assert_eq!(world.a2a_state(daemon, &task).await, "TASK_STATE_CANCELED");
    }
    let task = world.a2a_begin(here, "two").await;
    let subscribed = world.a2a_request(&other, "SubscribeToTask", &json!({ "id": task }));
    let subscribed = subscribed.send().await.unwrap();
    world.model.let_go().await;
    let told = subscribed.text().await.unwrap();
    let told: Vec<Value> = told
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["result"].clone())
        .collect();
    assert_eq!(told[0]["task"]["status"]["state"], "TASK_STATE_WORKING", "{told:?}");
    let last = told.last().unwrap();
    assert_eq!(last["statusUpdate"]["status"]["state"], "TASK_STATE_COMPLETED", "{told:?}");
    let reply = &told[told.len() - 2]["artifactUpdate"]["artifact"]["parts"][0]["text"];
    assert_eq!(*reply, PIECES.concat());
    let over = world.a2a(&other, "CancelTask", &json!({ "id": task })).await;
    assert_eq!(over["error"]["code"], -32_002, "{over}");
    for daemon in [here, &other] {
        assert_eq!(world.a2a_state(daemon, &task).await, "TASK_STATE_COMPLETED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_a2a_message_that_comes_again_waits_for_no_other_run_and_hides_none() {
    let world = World::new(true, &[("WOMBAT_PROTOCOLS", "a2a")]).await;
    let here = &world.stack.daemon_url;
    let (_other, other) = world.stack.another_daemon(&world.options).await.unwrap();
    let message = json!({ "messageId": "one", "role": "ROLE_USER", "parts": [{ "text": "one" }] });
    let params = json!({ "message": message });
    let first = world.a2a(here, "SendMessage", &params).await["result"]["task"].clone();
    assert_eq!(first["status"]["state"], "TASK_STATE_COMPLETED", "{first}");
    world.model.go.send_replace(false);
    let next = json!({ "messageId": "two", "role": "ROLE_USER", "contextId": first["contextId"], "parts": [{ "text": "two" }] });
    let at_once = json!({ "message": next, "configuration": { "returnImmediately": true } });
    let working = world.a2a(here, "SendMessage", &at_once).await;
    assert_eq!(working["result"]["task"]["status"]["state"], "TASK_STATE_WORKING", "{working}");
    for daemon in [here, &other] {
        let again = timeout(Duration::from_secs(20), world.a2a(daemon, "SendMessage", &params));
        let again = again.await.expect("it is over")["result"]["task"].clone();
        assert_eq!(again["status"]["state"], "TASK_STATE_COMPLETED", "{again}");
        assert_eq!(again["metadata"]["message_id"], first["metadata"]["message_id"], "{again}");
        assert_eq!(again["metadata"]["replayed"], true, "{again}");
        assert_eq!(again["artifacts"], first["artifacts"], "{again}");
        assert_eq!(world.a2a_state(daemon, &first["id"]).await, "TASK_STATE_WORKING");
    }
    world.model.let_go().await;
    test_support::wait_for("the second run's end", async || {
        let state = world.a2a_state(&other, &first["id"]).await;
        (state == "TASK_STATE_COMPLETED").then_some(())
    })
    .await;
    assert_eq!(*world.model.asked.borrow(), 2);
}
