//! Questions to a person, approvals with other arguments, and standing rules.

use serde_json::{Value, json};
use test_support::llm::Reply;
use test_support::wait_for;

use super::{World, run_key};

fn asks() -> (&'static str, Value) {
    ("ask_user", json!({ "question": "Red or blue?", "options": ["Red", "Blue"] }))
}

fn document(title: &str) -> (&'static str, Value) {
    ("create_document", json!({ "title": title, "content": "Text." }))
}

async fn waiting(world: &World) -> Vec<Value> {
    world.person.list("/tool-requests?status=pending").await.unwrap()
}

async fn decide(world: &World, request: &Value, decision: &Value) {
    let path = format!("/tool-requests/{}/decision", request["id"].as_str().unwrap());
    world.person.post(&path, decision).await.unwrap();
}

async fn completed(world: &World, key: &str) {
    let end = async || (world.run(key).await["status"] == "completed").then_some(());
    wait_for("the end", end).await;
}

fn told(world: &World) -> String {
    world.llm.asked().last().unwrap()["messages"].to_string()
}

#[tokio::test]
async fn a_question_is_answered_and_the_run_goes_on_by_itself() {
    let world = World::new(vec![Reply::calls(&[asks()]), Reply::text("Blue, then.")]).await;
    let (status, answer) = world.send(&world.stack.daemon_url, &world.body("a")).await;
    assert_eq!((status, answer["status"].as_str()), (200, Some("awaiting_answer")), "{answer}");
    assert_eq!(world.run("a").await["status"], "awaiting_answer");
    let asked = waiting(&world).await;
    assert_eq!((asked.len(), &asked[0]["kind"]), (1, &json!("question")));
    assert_eq!(answer["tool_requests"][0]["id"], asked[0]["id"]);
    assert!(asked[0]["expires_at"].is_string());
    // It stands in the thread.
    let thread = world.replies().await;
    assert_eq!((thread.len(), &thread[0]["tool_request_id"]), (1, &asked[0]["id"]), "{thread:?}");
    assert_eq!(thread[0]["content"], "Red or blue?");
    decide(&world, &asked[0], &json!({ "answer": " blue" })).await;
    completed(&world, "a").await;
    assert_eq!(world.replies().await.last().unwrap()["content"], "Blue, then.");
    assert!(told(&world).contains(r#"{\"answer\":\"Blue\"}"#), "{}", told(&world));
    assert_eq!((world.replies().await.len(), world.llm.asked().len()), (2, 2));
}

#[tokio::test]
async fn a_message_in_the_thread_answers_a_question() {
    let world = World::new(vec![Reply::calls(&[asks()]), Reply::text("Red, then.")]).await;
    world.send(&world.stack.daemon_url, &world.body("a")).await;
    let message = json!({ "task_id": world.task_id, "content": "RED ", "actor_type": "user" });
    world.person.post("/messages", &message).await.unwrap();
    completed(&world, "a").await;
    assert!(told(&world).contains(r#"{\"answer\":\"Red\"}"#), "{}", told(&world));
}

#[tokio::test]
async fn an_application_answers_at_another_instance_after_the_first_is_gone() {
    let mut world = World::new(vec![Reply::calls(&[asks()]), Reply::text("Red, then.")]).await;
    world.send(&world.stack.daemon_url, &world.body("a")).await;
    world.stack.daemon.kill().await.unwrap();
    let (_other, url) = world.stack.another_daemon(&world.options).await.unwrap();
    let id = waiting(&world).await[0]["id"].as_str().unwrap().to_owned();
    let body = |answer: &str| {
        json!({ "user_id": super::USER, "session_key": format!("user:{}:scout", super::USER),
            "resume_run_key": run_key("a"), "answers": { &id: answer } })
    };
    let (status, refused) = world.send(&url, &body("Green")).await;
    assert_eq!((status, &refused["code"]), (400, &json!("answer_mismatch")), "{refused}");
    let (status, answer) = world.send(&url, &body("Red")).await;
    assert_eq!((status, &answer["response"]), (200, &json!("Red, then.")), "{answer}");
    assert_eq!(answer["steps"][0]["decided_by"]["type"], "agent", "{answer}");
    let (_, again) = world.send(&url, &body("Red")).await;
    assert_eq!((&again["response"], &again["replayed"]), (&json!("Red, then."), &json!(true)));
    assert_eq!((world.llm.asked().len(), waiting(&world).await.len()), (2, 0));
}

#[tokio::test]
async fn a_call_is_approved_with_other_arguments() {
    let world = World::new(vec![Reply::calls(&[document("A")]), Reply::text("Done.")]).await;
    world.send(&world.stack.daemon_url, &world.body("a")).await;
    let asked = waiting(&world).await;
    assert!(asked[0]["parameters"]["properties"]["title"].is_object(), "{asked:?}");
    let edited = json!({ "title": "B", "content": "Other text." });
    let decision = json!({ "status": "approved", "edited": { "arguments": edited } });
    decide(&world, &asked[0], &decision).await;
    completed(&world, "a").await;
    let documents = world.person.list("/documents").await.unwrap();
    assert_eq!((documents.len(), &documents[0]["title"]), (1, &json!("B")));
    let run = world.run("a").await;
    let step = &run["steps"][2]["payload"];
    assert_eq!(step["arguments"], edited);
    assert_eq!(step["requested_arguments"], document("A").1);
    assert_eq!(step["decided_by"], json!({ "type": "person", "id": super::USER }));
}

#[tokio::test]
async fn a_standing_rule_stands_for_a_person_until_it_is_taken_back() {
    let replies = || [Reply::calls(&[document("A")]), Reply::text("Done.")];
    let all = [replies(), replies(), replies()].into_iter().flatten().collect();
    let world = World::new(all).await;
    let daemon = &world.stack.daemon_url;
    world.send(daemon, &world.body("a")).await;
    let until = chrono::Utc::now() + chrono::Duration::days(1);
    let rule = json!({ "when": { "title": { "in": ["A"] } }, "expires_at": until });
    let asked = waiting(&world).await;
    decide(&world, &asked[0], &json!({ "status": "approved", "rule": rule })).await;
    completed(&world, "a").await;
    let (_, answer) = world.send(daemon, &world.body("b")).await;
    assert_eq!(answer["response"], "Done.", "{answer}");
    let rules = world.person.list("/approval-rules?role=scout&tool=create_document").await.unwrap();
    assert_eq!(answer["steps"][0]["rule_id"], rules[0]["id"], "{answer}");
    assert_eq!((rules[0]["uses"].as_u64(), waiting(&world).await.len()), (Some(1), 0));
    let path = format!("/approval-rules/{}", rules[0]["id"].as_str().unwrap());
    world.person.delete(&path).await.unwrap();
    let (_, answer) = world.send(daemon, &world.body("c")).await;
    assert_eq!(answer["status"], "awaiting_approval", "{answer}");
    assert_eq!(world.person.list("/documents").await.unwrap().len(), 2);
}
