//! Runs that are cancelled, or whose client disconnects.

use serde_json::{Value, json};
use test_support::llm::Reply;
use test_support::wait_for;

use super::{World, new_task, run_key};

#[tokio::test]
async fn a_run_that_the_backend_cancels_stops_and_stays_cancelled() {
    let world = World::new(vec![
        Reply::calls(&[new_task("One")]),
        Reply::never(),
        Reply::text("Never said."),
    ])
    .await;
    let (daemon, body) = (world.stack.daemon_url.clone(), world.body("a"));
    // A caller that waits learns of it at the next write of the journal, which here is its end.
    let mut limited = body.clone();
    limited["limits"] = json!({ "timeout_secs": 2 });
    let waits = world.send(&daemon, &limited);
    let cancels = async {
        wait_for("the second turn", async || (world.llm.asked().len() == 2).then_some(())).await;
        let path = format!("/runs/{}/cancel", run_key("a"));
        world.person.post(&path, &json!({})).await.unwrap()
    };
    let ((status, _), told) = tokio::join!(waits, cancels);
    assert!(matches!(status, 409 | 504), "{status}");
    assert_eq!(told["cancel_requested"], true, "{told}");
    let (status, answer) = world.send(&daemon, &body).await;
    assert_eq!((status, answer["code"].as_str()), (409, Some("run_cancelled")), "{answer}");
    assert_eq!((world.llm.asked().len(), world.replies().await.len()), (2, 0));
}

#[tokio::test]
async fn a_stream_whose_reader_goes_is_interrupted_and_its_key_goes_on() {
    let world = World::new(vec![
        Reply::sse_calls(&[new_task("One")]),
        Reply::never(),
        Reply::text("Done."),
    ])
    .await;
    let call = reqwest::Client::new()
        .post(format!("{}/api/agents/stream", world.stack.daemon_url))
        .header("x-agent-daemon-key", world.stack.daemon_key())
        .json(&world.body("a"));
    let mut answer = call.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    wait_for("the second turn", async || (world.llm.asked().len() == 2).then_some(())).await;
    assert!(answer.chunk().await.unwrap().is_some());
    drop(answer);
    let run = wait_for("the last word", async || {
        let run = world.run("a").await;
        (run["status"] == "interrupted").then_some(run)
    })
    .await;
    assert_eq!(run["estimated"], true, "{run}");
    // What the dropped call read is counted by estimate, above what the first one used.
    assert!(run["usage"]["prompt_tokens"].as_u64().unwrap() > 100, "{run}");
    wait_for("the settlement", async || {
        let budget = world.person.get("/budget").await.unwrap();
        (budget["reserved_usd"] == 0.0).then_some(())
    })
    .await;
    let (status, answer) = world.send(&world.stack.daemon_url, &world.body("a")).await;
    assert_eq!((status, answer["response"].as_str()), (200, Some("Done.")), "{answer}");
    assert_eq!((world.llm.asked().len(), world.titles().await.len()), (3, 2));
}

#[tokio::test]
async fn a_run_that_an_instance_cancels_stays_cancelled_everywhere() {
    let world = World::new(vec![Reply::never()]).await;
    let (url, key) = (world.stack.daemon_url.clone(), world.stack.daemon_key().to_owned());
    let call = reqwest::Client::new()
        .post(format!("{url}/api/agents/stream"))
        .header("x-agent-daemon-key", &key)
        .json(&world.body("a"));
    let mut answer = call.send().await.unwrap();
    let first = String::from_utf8(answer.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    let (_, data) = first.split_once("data: ").unwrap();
    let start: Value = serde_json::from_str(data.lines().next().unwrap()).unwrap();
    wait_for("the first turn", async || (world.llm.asked().len() == 1).then_some(())).await;
    let cancel = reqwest::Client::new()
        .delete(format!("{url}/api/agents/runs/{}", start["run_id"].as_str().unwrap()))
        .header("x-agent-daemon-key", &key);
    let receipt: Value = cancel.send().await.unwrap().json().await.unwrap();
    assert_eq!((&receipt["status"], &receipt["estimated"]), (&json!("cancelled"), &json!(true)));
    assert!(receipt["usage"]["prompt_tokens"].as_u64().unwrap() > 0, "{receipt}");
    let rest = answer.text().await.unwrap();
    assert!(rest.contains("run_cancelled"), "{rest}");
    assert_eq!(world.run("a").await["status"], "cancelled");
    let (_other, other) = world.stack.another_daemon(&world.options).await.unwrap();
    for daemon in [&url, &other] {
        let (status, answer) = world.send(daemon, &world.body("a")).await;
        assert_eq!((status, answer["code"].as_str()), (409, Some("run_cancelled")), "{answer}");
    }
    assert_eq!((world.llm.asked().len(), world.replies().await.len()), (1, 0));
}
