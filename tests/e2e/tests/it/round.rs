//! From a person's message to the stored reply.

use serde_json::{Value, json};
use test_support::llm::{Reply, ScriptedLlm};
use test_support::stack::{Person, Stack, StackOptions, example};
use test_support::wait_for;

const USER: &str = "ann";
const MESSAGE: &str = "@scout find two primary schools near the beach";

async fn stack(daemon: Vec<(&'static str, String)>) -> Stack {
    let options = StackOptions { daemon, example: example(), ..StackOptions::default() };
    Stack::start(&options).await.unwrap()
}

/// A task with a message of the person.
async fn write(person: &Person, content: &str) -> String {
    let task = person.post("/tasks", &json!({ "title": "Schools" })).await.unwrap();
    let id = task["id"].as_str().unwrap().to_owned();
    person.post("/messages", &json!({ "task_id": id, "content": content })).await.unwrap();
    id
}

async fn replies(person: &Person, task_id: &str) -> Vec<Value> {
    let thread = person.list(&format!("/messages?task_id={task_id}")).await.unwrap();
    thread.into_iter().filter(|message| message["actor_type"] == "agent").collect()
}

async fn all_delivered(person: &Person) {
    wait_for("all notifications are delivered", async || {
        let known = person.list("/notifications").await.unwrap();
        known.iter().all(|known| known["delivered"] == true).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_mention_leads_to_tool_calls_and_one_stored_reply() {
    let mut stack = stack(vec![]).await;
    let person = stack.person(USER);
    let task_id = write(&person, MESSAGE).await;
    all_delivered(&person).await;
    let replies = replies(&person, &task_id).await;
    assert_eq!(replies.len(), 1, "{replies:?}");
    assert_eq!(replies[0]["agent_role"], "scout");
    let tasks = person.list("/tasks").await.unwrap();
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    let documents = person.list("/documents").await.unwrap();
    assert_eq!(documents.len(), 1);
    let id = documents[0]["id"].as_str().unwrap();
    let document = person.get(&format!("/documents/{id}")).await.unwrap();
    assert_eq!(document["task_id"], task_id.as_str());
    // The document has the schools of the reply.
    let reply = replies[0]["content"].as_str().unwrap();
    for school in ["Seacliff Primary School", "Banksia Primary School"] {
        let content = document["content"].as_str().unwrap();
        assert!(content.contains(school) && reply.contains(school), "{document} {reply}");
    }
    // What is done stands as done in the standup.
    let day =
        person.post("/standup", &json!({ "timezone": "UTC", "user_id": USER })).await.unwrap();
    assert_eq!(day["done"][0]["id"], task_id.as_str(), "{day}");
    // Nothing of it is another user's.
    assert!(stack.person("bob").list("/tasks").await.unwrap().is_empty());
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn a_dispatcher_that_dies_in_the_middle_leads_to_no_second_reply() {
    let mut stack = stack(vec![]).await;
    let person = stack.person(USER);
    let mut tasks = Vec::new();
    for _ in 0..5 {
        tasks.push(write(&person, MESSAGE).await);
    }
    // Somewhere between the first forward and the last acknowledgement.
    wait_for("a first reply", async || {
        (!replies(&person, &tasks[0]).await.is_empty()).then_some(())
    })
    .await;
    stack.dispatcher.kill().await.unwrap();
    stack.restart_dispatcher().unwrap();
    all_delivered(&person).await;
    for task in &tasks {
        let replies = replies(&person, task).await;
        assert_eq!(replies.len(), 1, "{replies:?}");
    }
    assert_eq!(person.list("/documents").await.unwrap().len(), 5);
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn a_provider_that_is_busy_for_a_moment_leads_to_one_stored_reply() {
    let busy =
        Reply::json(429, json!({ "error": { "message": "slow down" } })).header("retry-after", "1");
    let llm = ScriptedLlm::start([busy, Reply::text("Here I am.")]).await;
    let settings = vec![("LLM_PROVIDER", "openai".to_owned()), ("OPENAI_BASE_URL", llm.base_url())];
    let mut stack = stack(settings).await;
    let person = stack.person(USER);
    let task_id = write(&person, "@jarvis are you there?").await;
    all_delivered(&person).await;
    let replies = replies(&person, &task_id).await;
    assert_eq!(replies.len(), 1);
    assert_eq!(replies[0]["content"], "Here I am.");
    assert_eq!(llm.asked().len(), 2);
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn what_a_model_or_a_tool_result_asks_for_gets_it_no_further_than_the_user() {
    // The model is turned against the user: it tries another user's task, an endpoint that no
    // skill names, and a path that climbs.
    let stack_of_bob_task = json!({ "task_id": "someone-elses", "status": "cancelled" });
    let llm = ScriptedLlm::start([
        Reply::call("update_task", &stack_of_bob_task),
        Reply::call(
            "call_backend",
            &json!({ "method": "GET", "path": "/api/mission-control/dispatch/dead" }),
        ),
        Reply::call(
            "call_backend",
            &json!({ "method": "GET", "path": "/api/schools/../mission-control/tasks/profile" }),
        ),
        Reply::text("I could not."),
    ])
    .await;
    let settings = vec![("LLM_PROVIDER", "openai".to_owned()), ("OPENAI_BASE_URL", llm.base_url())];
    let mut stack = stack(settings).await;
    let person = stack.person(USER);
    let task_id = write(&person, "@scout do it").await;
    all_delivered(&person).await;
    assert_eq!(replies(&person, &task_id).await[0]["content"], "I could not.");
    let asked = llm.asked();
    assert_eq!(asked.len(), 4);
    for (n, request) in asked.iter().enumerate().skip(1) {
        let last = request["messages"].as_array().unwrap().last().unwrap();
        assert!(last["content"].as_str().unwrap().contains("error"), "{n}: {last}");
    }
    stack.stop().await.unwrap();
}
