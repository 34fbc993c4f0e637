//! Children that need a person: the run at the top waits, and goes on with them.

use serde_json::{Value, json};
use test_support::wait_for;

use super::model::Turn;
use super::{USER, World, ask, body, document};

/// A tree of which the clerk needs approval, and the writer does not.
fn plays(world: &World) {
    let asks = vec![ask("writer", "draft"), ask("clerk", "file")];
    world.model.plays("lead", vec![Turn::Calls(asks), Turn::Says("Filed.")]);
    world.model.plays("draft", vec![Turn::Says("Drafted.")]);
    world
        .model
        .plays("file", vec![Turn::Calls(vec![document("File")]), Turn::Says("In the file.")]);
}

async fn check_waits(world: &World, key: &str, asked: &Value) {
    assert_eq!(asked["tool"], "create_document", "{asked}");
    assert_eq!(asked["asked_by"]["role"], "clerk", "{asked}");
    let there =
        world.person.get(&format!("/tool-requests/{}", asked["id"].as_str().unwrap())).await;
    let there = there.unwrap();
    assert_eq!(there["run_key"], key, "{there}");
    assert_eq!(there["session_key"], format!("user:{USER}:scout"), "{there}");
    assert_eq!(there["asked_by"], asked["asked_by"], "{there}");
    let report = world.report(key, "scout").await;
    assert_eq!(report["status"], "awaiting_approval", "{report}");
    let of = |role: &str| {
        let children = report["children"].as_array().unwrap();
        children.iter().find(|child| child["role"] == role).unwrap()["status"].clone()
    };
    assert_eq!((of("writer"), of("clerk")), (json!("completed"), json!("awaiting_approval")));
    let child = asked["asked_by"]["run_key"].as_str().unwrap();
    let report = world.report(child, "clerk").await;
    assert_eq!(report["status"], "awaiting_approval", "{report}");
    assert_eq!(report["tool_requests"][0]["id"], asked["id"], "{report}");
}

#[tokio::test]
async fn what_a_child_needs_a_person_for_the_run_at_the_top_waits_for() {
    let world = World::new(&[]).await;
    let (model, daemon) = (&world.model, &world.stack.daemon_url);
    plays(&world);
    for (detached, approves) in [(false, true), (true, true), (false, false)] {
        let before = model.bought("draft", 0);
        let task = world.task("Work").await;
        let key = if detached {
            let (status, run) =
                world.post(daemon, "/api/agents/runs", &body(&task, "lead", json!({}))).await;
            assert_eq!(status, 202, "{run}");
            let key = run["run_key"].as_str().unwrap().to_owned();
            wait_for("the run to wait", async || {
                let report = world.report(&key, "scout").await;
                (report["status"] == "awaiting_approval").then_some(())
            })
            .await;
            key
        } else {
            let (status, answer) = world.send(daemon, &task, "lead", json!({})).await;
            assert_eq!((status, &answer["status"]), (200, &json!("awaiting_approval")), "{answer}");
            answer["run_key"].as_str().unwrap().to_owned()
        };
        let report = world.report(&key, "scout").await;
        let asked = report["tool_requests"][0].clone();
        check_waits(&world, &key, &asked).await;
        let documents = world.documents("File").await;
        let path = format!("/tool-requests/{}", asked["id"].as_str().unwrap());
        let status = if approves { "approved" } else { "denied" };
        world.person.patch(&path, &json!({ "status": status })).await.unwrap();
        // The dispatcher has the run at the top resumed, which goes on with the child.
        let replies = wait_for("the reply", async || {
            let replies = world.replies(&task).await;
            (!replies.is_empty()).then_some(replies)
        })
        .await;
        assert_eq!((replies.len(), &replies[0]["content"]), (1, &json!("Filed.")), "{replies:?}");
        assert_eq!(world.documents("File").await - documents, usize::from(approves));
        assert_eq!(model.bought("draft", 0) - before, 1, "the sibling was asked again");
        // The reply is stored before the run is written as completed.
        let report = wait_for("the end of the run", async || {
            let report = world.report(&key, "scout").await;
            (report["status"] == "completed").then_some(report)
        })
        .await;
        let children = report["children"].as_array().unwrap();
        assert!(children.iter().all(|child| child["status"] == "completed"), "{report}");
    }
}

#[tokio::test]
async fn a_waiting_tree_is_cancelled_as_a_whole() {
    let world = World::new(&[]).await;
    let daemon = &world.stack.daemon_url;
    plays(&world);
    let task = world.task("Work").await;
    let (_, answer) = world.send(daemon, &task, "lead", json!({})).await;
    let key = answer["run_key"].as_str().unwrap();
    let asked = answer["tool_requests"][0].clone();
    let path = format!("/api/agents/runs/{key}?session_key=user:{USER}:scout");
    let gone = world.ask(reqwest::Method::DELETE, daemon, &path).send().await.unwrap();
    assert_eq!(gone.status(), 200);
    let path = format!("/tool-requests/{}", asked["id"].as_str().unwrap());
    assert_eq!(world.person.get(&path).await.unwrap()["status"], "cancelled");
    let report = world.report(key, "scout").await;
    let children = report["children"].as_array().unwrap();
    let statuses: Vec<_> = children.iter().map(|child| child["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["completed", "cancelled"], "{report}");
}

#[tokio::test]
async fn a_waiting_child_that_is_cancelled_alone_lets_the_run_at_the_top_go_on() {
    let world = World::new(&[]).await;
    let daemon = &world.stack.daemon_url;
    plays(&world);
    let task = world.task("Work").await;
    let (_, answer) = world.send(daemon, &task, "lead", json!({})).await;
    let asked = answer["tool_requests"][0].clone();
    let child = asked["asked_by"]["run_key"].as_str().unwrap();
    let path = format!("/api/agents/runs/{child}?session_key=user:{USER}:clerk");
    let gone = world.ask(reqwest::Method::DELETE, daemon, &path).send().await.unwrap();
    assert_eq!(gone.status(), 200);
    let replies = wait_for("the reply", async || {
        let replies = world.replies(&task).await;
        (!replies.is_empty()).then_some(replies)
    })
    .await;
    assert_eq!((replies.len(), &replies[0]["content"]), (1, &json!("Filed.")), "{replies:?}");
    let told = world.model.told("lead");
    assert!(told[1].contains("agent_cancelled"), "{told:?}");
    assert_eq!(world.documents("File").await, 0);
}
