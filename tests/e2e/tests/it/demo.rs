//! The demo's scripted model on the real programs: what it says is what the backend has.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use test_support::stack::{Stack, StackOptions, example};
use test_support::wait_for;

const USER: &str = "ann";

struct Demo {
    stack: Stack,
}

impl Demo {
    async fn start() -> Self {
        Self::with(example()).await
    }

    async fn with(example: PathBuf) -> Self {
        let options = StackOptions { example, ..StackOptions::default() };
        Self { stack: Stack::start(&options).await.unwrap() }
    }

    /// The run of a message.
    async fn run(&self, role: &str, message: &str) -> Value {
        let body = json!({
            "user_id": USER, "session_key": format!("user:{USER}:{role}"), "message": message,
            "task_title": "Chat",
        });
        let answer = reqwest::Client::new()
            .post(format!("{}/api/agents/send", self.stack.daemon_url))
            .header("x-agent-daemon-key", self.stack.daemon_key())
            .json(&body);
        let run: Value = answer.send().await.unwrap().json().await.unwrap();
        assert!(run["status"] == "ok" || run["status"] == "awaiting_approval", "{message}: {run}");
        let failed = run["steps"].as_array().unwrap().iter().find(|step| step["ok"] == false);
        assert_eq!(failed, None, "{message}: {run}");
        run
    }

    async fn say(&self, message: &str) -> String {
        self.run("scout", message).await["response"].as_str().unwrap().to_owned()
    }

    /// The names of the schools of a reply, in their order.
    async fn schools(&self, message: &str) -> Vec<String> {
        let reply = self.say(message).await;
        let names = reply.split("**").skip(1).step_by(2);
        names.map(|name| name.replace(" School", "").replace(" College", "")).collect()
    }

    async fn tasks(&self) -> Vec<(String, String)> {
        let text = |task: &Value, field: &str| task[field].as_str().unwrap().to_owned();
        let tasks = self.stack.person(USER).list("/tasks").await.unwrap();
        tasks.iter().map(|task| (text(task, "title"), text(task, "status"))).collect()
    }

    async fn status(&self, title: &str) -> Option<String> {
        self.tasks().await.into_iter().find(|(known, _)| known == title).map(|(_, status)| status)
    }
}

#[tokio::test]
async fn schools_are_found_by_level_place_fee_and_number() {
    let mut demo = Demo::start().await;
    let two =
        demo.schools("Can you find me two elementary shcools close to the sea, please?").await;
    assert_eq!(two, ["Seacliff Primary", "Banksia Primary"]);
    let city = demo.schools("which secondary schools are in the city").await;
    assert_eq!(city, ["Cathedral", "Heron", "Exchange", "Juniper"]);
    let cheap = demo.schools("top 3 cheapest schools in the hills").await;
    assert_eq!(cheap, ["Summit Primary", "Lookout", "Hillcrest Primary"]);
    let fees = demo.schools("primary schools near the beach for less than 1,000 a year").await;
    assert_eq!(fees, ["Banksia Primary", "Pelican Primary", "Surfside Primary"]);
    let changed = demo.schools("and in the park?").await;
    assert_eq!(changed, ["Fern Primary", "Wattle Primary", "Parkland Primary"]);
    let suburb = demo.schools("what schools are there in old town").await;
    assert_eq!(suburb, ["Central Primary", "Foundry", "Station Primary"]);
    let none = demo.say("Find a boarding school under 1,000").await;
    assert!(
        none.starts_with("I found no such school: there are no schools with “boarding”"),
        "{none}"
    );
    // Each document hangs on the task of the replies, which is done in the standup; no visit is booked.
    let documents = demo.stack.person(USER).list("/documents").await.unwrap();
    let tasks = demo.stack.person(USER).list("/tasks").await.unwrap();
    assert_eq!((documents.len(), tasks.len()), (6, 1));
    assert!(documents.iter().all(|document| document["task_id"] == tasks[0]["id"]));
    let day = json!({ "timezone": "UTC", "user_id": USER });
    let day = demo.stack.person(USER).post("/standup", &day).await.unwrap();
    assert_eq!(day["done"][0]["title"], "Chat", "{day}");
    demo.stack.stop().await.unwrap();
}

#[tokio::test]
async fn schools_are_compared_and_visited_when_that_is_asked() {
    let mut demo = Demo::start().await;
    let reply = demo.say("Seacliff or Banksai, which is better?").await;
    assert!(
        reply.contains("Best rated: Seacliff Primary School; lowest fees: Banksia Primary School"),
        "{reply}"
    );
    demo.say("find two secondary schools near the river or the city, but don't book a visit").await;
    assert_eq!(demo.tasks().await.len(), 1);
    let reply = demo.say("book a visit to the second one on Friday").await;
    assert!(reply.contains("“Visit Heron College, Friday”"), "{reply}");
    assert_eq!(demo.status("Visit Heron College, Friday").await.as_deref(), Some("pending"));
    let reply = demo
        .say("Find a primary school in the hills, compare it with Elm and book a visit to Summit")
        .await;
    assert!(
        reply.contains("Compared: ") && reply.contains("“Visit Summit Primary School”"),
        "{reply}"
    );
    demo.say("I've been there: mark the visit to Summit as done").await;
    assert_eq!(demo.status("Visit Summit Primary School").await.as_deref(), Some("completed"));
    demo.stack.stop().await.unwrap();
}

#[tokio::test]
async fn tasks_are_made_listed_completed_and_deleted() {
    let mut demo = Demo::start().await;
    demo.say("Please create a task to call Ann").await;
    demo.say("remind me to buy shoes").await;
    let list = demo.say("what's on my list?").await;
    assert!(
        list.contains("“call Ann” (pending)") && list.contains("“buy shoes” (pending)"),
        "{list}"
    );
    demo.say("I finished the call Ann task").await;
    assert_eq!(demo.status("call Ann").await.as_deref(), Some("completed"));
    let day = json!({ "timezone": "UTC", "user_id": USER });
    let day = demo.stack.person(USER).post("/standup", &day).await.unwrap();
    assert_eq!(day["done"][0]["title"], "call Ann", "{day}");
    let before = demo.tasks().await;
    for unclear in
        ["delete the task sell shoes", "complete it", "delete everything", "Don't delete buy shoes"]
    {
        demo.say(unclear).await;
    }
    assert_eq!(demo.tasks().await, before);
    demo.say("delete the shoes task").await;
    assert_eq!(demo.status("buy shoes").await.as_deref(), Some("cancelled"));
    let list = demo.say("show my tasks").await;
    assert!(!list.contains("shoes") && list.contains("“call Ann” (completed)"), "{list}");
    demo.stack.stop().await.unwrap();
}

#[tokio::test]
async fn a_task_is_deleted_after_approval_where_the_workspace_wants_that() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("example");
    assert!(Command::new("cp").arg("-r").arg(example()).arg(&copy).status().unwrap().success());
    let agents =
        json!({ "agents": [{ "role": "scout", "tools": { "approval": ["update_task"] } }] });
    std::fs::write(copy.join("config/agent-config.json"), agents.to_string()).unwrap();
    let mut demo = Demo::with(copy).await;
    demo.say("create two tasks: call Ann, call Bob").await;
    let person = demo.stack.person(USER);
    for (title, decision, status, said) in [
        ("call Ann", "denied", "pending", "update_task did not work"),
        ("call Bob", "approved", "cancelled", "Deleted: “call Bob” is cancelled"),
    ] {
        let run = demo.run("scout", &format!("delete the task {title}")).await;
        assert_eq!(run["status"], "awaiting_approval", "{run}");
        assert_eq!(demo.status(title).await.as_deref(), Some("pending"));
        let id = run["tool_requests"][0]["id"].as_str().unwrap();
        let decision = json!({ "status": decision });
        person.patch(&format!("/tool-requests/{id}"), &decision).await.unwrap();
        // The dispatcher has the run resumed.
        let thread = format!("/messages?task_id={}", run["task_id"].as_str().unwrap());
        wait_for("the reply", async || {
            let replies = person.list(&thread).await.unwrap();
            replies
                .iter()
                .any(|reply| reply["content"].as_str().unwrap().contains(said))
                .then_some(())
        })
        .await;
        assert_eq!(demo.status(title).await.as_deref(), Some(status));
    }
    demo.stack.stop().await.unwrap();
}

#[tokio::test]
async fn every_agent_says_what_it_can_do_and_what_it_is() {
    let mut demo = Demo::start().await;
    for (role, message, said) in [
        ("jarvis", "what can you do?", "complete and delete tasks"),
        ("jarvis", "find two primary schools", "write “@scout find two primary schools”"),
        ("jarvis", "create a task: call Bob", "I made the task “call Bob”"),
        ("analyst", "compare Elm and Heron", "Compared: Elm College, Heron College."),
        ("analyst", "complete the task call Bob", "takes the tool update_task"),
        ("scout", "what can you do?", "search schools by level, place, suburb, fees"),
        ("scout", "Wie wird das Wetter?", "I am a scripted model"),
    ] {
        let run = demo.run(role, message).await;
        let reply = run["response"].as_str().unwrap();
        assert!(reply.contains(said), "{role}, {message}: {reply}");
    }
    demo.stack.stop().await.unwrap();
}
