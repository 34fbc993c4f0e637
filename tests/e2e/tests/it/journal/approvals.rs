//! Tool calls that wait for a person's approval.

use serde_json::json;
use test_support::llm::Reply;
use test_support::wait_for;

use super::{World, kinds, new_task, run_key};

/// Two tool calls that need approval, and one that does not.
fn wanting() -> Vec<Reply> {
    let document = |title: &str| ("create_document", json!({ "title": title, "content": "Text." }));
    vec![
        Reply::calls(&[document("A"), new_task("One"), document("B")]),
        Reply::text("As you wish."),
    ]
}

async fn decide(world: &World, title: &str, status: &str) {
    let all = world.person.list("/tool-requests").await.unwrap();
    let wanted = all.iter().find(|request| request["arguments"]["title"] == title).unwrap();
    let path = format!("/tool-requests/{}", wanted["id"].as_str().unwrap());
    world.person.patch(&path, &json!({ "status": status, "note": "because" })).await.unwrap();
}

#[tokio::test]
async fn tools_wait_for_a_person_and_then_do_what_was_approved() {
    let world = World::new(wanting()).await;
    let daemon = &world.stack.daemon_url;
    let (status, answer) = world.send(daemon, &world.body("a")).await;
    assert_eq!((status, answer["status"].as_str()), (200, Some("awaiting_approval")), "{answer}");
    assert_eq!(answer["run_key"], run_key("a"));
    let waiting = answer["tool_requests"].as_array().unwrap();
    assert_eq!(waiting.len(), 2, "{answer}");
    assert_eq!(waiting[0]["tool"], "create_document");
    assert_eq!(waiting[0]["arguments"]["title"], "A");
    assert_eq!(world.run("a").await["status"], "awaiting_approval");
    // What needs nobody has been done; what waits has not.
    assert_eq!(world.titles().await, ["One", "Work"]);
    assert!(world.person.list("/documents").await.unwrap().is_empty());
    assert!(world.replies().await.is_empty());
    // One decision of two: it goes on waiting. The dispatcher brings it back after each.
    decide(&world, "A", "approved").await;
    let (_, again) = world.send(daemon, &world.body("a")).await;
    assert_eq!(again["status"], "awaiting_approval", "{again}");
    decide(&world, "B", "denied").await;
    let reply = wait_for("the reply", async || world.replies().await.into_iter().next()).await;
    assert_eq!(reply["content"], "As you wish.");
    wait_for("the end", async || (world.run("a").await["status"] == "completed").then_some(()))
        .await;
    let documents = world.person.list("/documents").await.unwrap();
    let titles: Vec<_> = documents.iter().map(|document| &document["title"]).collect();
    assert_eq!(titles, ["A"]);
    assert_eq!(world.titles().await, ["One", "Work"]);
    assert_eq!(world.llm.asked().len(), 2);
    let told = world.llm.asked()[1].to_string();
    assert!(told.contains("a person denied it") && told.contains("because"), "{told}");
    let run = world.run("a").await;
    assert_eq!(kinds(&run), ["request", "llm", "tool", "tool", "tool", "llm"]);
}

#[tokio::test]
async fn an_agent_asks_for_a_call_of_its_own_accord_and_what_is_approved_is_made() {
    let ask = |tool: &str, title: &str| {
        let arguments = json!({ "title": title });
        ("request_tool", json!({ "tool": tool, "arguments": arguments, "reason": "It is yours." }))
    };
    let world = World::new(vec![
        Reply::calls(&[
            ask("create_task", "Asked"),
            new_task("Unasked"),
            ask("request_tool", "Never"),
            ask("no_such_tool", "Never"),
            ("request_tool", json!({ "tool": "create_task", "arguments": {}, "reason": "x" })),
            ask("create_task", "Not wanted"),
        ]),
        Reply::text("As you wish."),
    ])
    .await;
    let (status, answer) = world.send(&world.stack.daemon_url, &world.body("a")).await;
    assert_eq!((status, answer["status"].as_str()), (200, Some("awaiting_approval")), "{answer}");
    let waiting = answer["tool_requests"].as_array().unwrap();
    assert_eq!(waiting.len(), 2, "what is wrong bothers nobody: {answer}");
    // The person sees the call itself, and why.
    assert_eq!(waiting[0]["tool"], "create_task");
    assert_eq!(waiting[0]["arguments"], json!({ "title": "Asked" }));
    let asked = world.person.list("/tool-requests").await.unwrap();
    assert!(asked.iter().all(|request| request["reason"] == "It is yours."), "{asked:?}");
    assert_eq!(world.titles().await, ["Unasked", "Work"]);
    decide(&world, "Not wanted", "denied").await;
    decide(&world, "Asked", "approved").await;
    wait_for("the reply", async || world.replies().await.into_iter().next()).await;
    assert_eq!(world.titles().await, ["Asked", "Unasked", "Work"]);
    let told = world.llm.asked().last().unwrap()["messages"].to_string();
    assert!(told.contains("cannot be asked for") && told.contains("there is no tool"), "{told}");
    assert!(told.contains("title") && told.contains("a person denied it"), "{told}");
}
