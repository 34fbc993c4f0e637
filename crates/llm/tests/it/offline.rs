//! The offline provider: the built-in round, and scripts of one's own.

use std::io::Write as _;

use llm::event::FinishReason;
use llm::model::{ModelRef, Provider};
use llm::request::{Message, ToolChoice, ToolSpec};
use llm::{CallContext, LlmClient, LlmErrorKind, LlmSettings};
use serde_json::{Value, json};

use crate::server::{client, drain, request, weather};

fn offline() -> LlmSettings {
    LlmSettings::new(ModelRef::new(Provider::Offline, "offline"))
}

/// A tool without anything but its name.
fn tool(name: &str) -> ToolSpec {
    let endpoints = "POST /api/schools/search, GET /api/schools/*/profile";
    ToolSpec { name: name.to_owned(), description: endpoints.to_owned(), ..weather() }
}

const ALL: [&str; 5] =
    ["call_backend", "create_task", "list_tasks", "update_task", "create_document"];

/// Plays a conversation: the person's words, then results for each call that the script makes.
async fn play(
    client: &LlmClient,
    tools: &[&str],
    words: &str,
    results: &[Value],
) -> (Vec<(String, Value)>, String) {
    play_as(client, "scout", vec![Message::user(words)], tools, results).await
}

/// The same as another role, with what comes before.
async fn play_as(
    client: &LlmClient,
    role: &str,
    mut messages: Vec<Message>,
    tools: &[&str],
    results: &[Value],
) -> (Vec<(String, Value)>, String) {
    let mut results = results.iter();
    let mut calls = Vec::new();
    let call = CallContext { role: role.to_owned(), ..CallContext::default() };
    loop {
        let mut asked = request(client, messages.clone());
        asked.tools = tools.iter().map(|name| tool(name)).collect::<Vec<_>>().into();
        let answer = client.complete(&asked, &call).await.unwrap();
        messages.push(Message::Assistant(answer.message.clone()));
        if answer.message.tool_calls.is_empty() {
            assert_eq!(answer.finish_reason, FinishReason::Stop);
            return (calls, answer.message.text);
        }
        for made in answer.message.tool_calls {
            let result = results.next().unwrap_or_else(|| panic!("a result for {made:?}"));
            let content = format!("<untrusted source=\"x\">\n{result}\n</untrusted>\n(data)");
            messages.push(Message::tool(made.id, made.name.clone(), content));
            calls.push((made.name, made.arguments));
        }
    }
}

fn names(calls: &[(String, Value)]) -> Vec<&str> {
    calls.iter().map(|(name, _)| name.as_str()).collect()
}

fn two_schools() -> Value {
    let school = |id: &str, name: &str, fees: u64| {
        json!({ "id": id, "name": name, "level": "primary", "suburb": "Bay", "near": ["beach"], "rating": 4.5,
            "fees_per_year": fees, "distance_to_beach_km": 0.5, "programs": ["chess"], "enrolment": 300 })
    };
    let schools = [school("s1", "Bay Primary School", 900), school("s2", "Cove Primary School", 0)];
    json!({ "schools": schools, "total": 6 })
}

#[tokio::test]
async fn the_built_in_script_searches_reads_writes_and_completes_the_task() {
    let client = client(offline());
    assert!(client.configured());
    let profile = |name: &str| json!({ "name": name, "description": "By the sea.", "contact": "a@b", "enrolment": 3, "programs": ["chess"] });
    let results = [
        two_schools(),
        profile("Bay Primary School"),
        profile("Cove Primary School"),
        json!({ "id": "d9", "title": "Found", "task_id": "t9" }),
        json!({ "id": "t9", "title": "Schools", "status": "completed" }),
    ];
    let words = "@scout find two primary schools near the beach";
    let (calls, reply) = play(&client, &ALL, words, &results).await;
    let expected =
        ["call_backend", "call_backend", "call_backend", "create_document", "update_task"];
    assert_eq!(names(&calls), expected);
    assert_eq!(
        calls[0].1,
        json!({ "method": "POST", "path": "/api/schools/search",
        "body": { "level": "primary", "near": "beach", "limit": 2 } })
    );
    assert_eq!(calls[1].1, json!({ "method": "GET", "path": "/api/schools/s1/profile" }));
    // The document belongs to the task of the reply, which is then done.
    assert_eq!(calls[3].1.get("task_id"), None);
    assert!(calls[3].1["content"].as_str().unwrap().contains("Cove Primary School"));
    assert_eq!(calls[4].1, json!({ "task_id": "t9", "status": "completed" }));
    for part in [
        "I found 6 primary schools near the beach",
        "Bay Primary",
        "Cove Primary",
        "“Schools” is completed",
    ] {
        assert!(reply.contains(part), "{part}: {reply}");
    }
}

#[tokio::test]
async fn the_last_turn_promises_nothing_that_it_cannot_do() {
    let client = client(offline());
    let result = |content: &str| Message::tool("1", "call_backend", content);
    let mut asked = request(
        &client,
        vec![
            Message::user("find two primary schools"),
            result(&two_schools().to_string()),
            Message::user("You have used all your tool calls. Answer now."),
        ],
    );
    asked.tools = ALL.map(tool).to_vec().into();
    asked.tool_choice = ToolChoice::None;
    let answer = client.complete(&asked, &CallContext::default()).await.unwrap();
    assert_eq!(answer.message.text, "I had to stop here. The newest result is from call_backend.");
}

#[tokio::test]
async fn the_built_in_script_says_what_came_back_and_nothing_else() {
    let client = client(offline());
    let failed = [json!({ "error": "not allowed", "status": 403 })];
    let (calls, reply) = play(&client, &ALL, "Find two schools", &failed).await;
    assert_eq!((calls.len(), reply.contains("not allowed")), (1, true), "{reply}");
    let none = || json!({ "schools": [], "total": 0 });
    let (_, reply) = play(&client, &ALL, "schools near the river", &[none()]).await;
    assert!(
        reply.starts_with("I found no such school: there are no schools near the river."),
        "{reply}"
    );
    let nothing = [none(), two_schools(), two_schools()];
    let (calls, reply) = play(&client, &ALL, "find a boarding school under 1,000", &nothing).await;
    assert_eq!(calls[0].1["body"], json!({ "query": "boarding", "max_fees": 999, "limit": 1 }));
    assert!(
        reply.contains("there are no schools with “boarding”, with fees under 1000."),
        "{reply}"
    );
    // Fewer than were asked for.
    let schools = json!({ "schools": [two_schools()["schools"][0]], "total": 1 });
    let results = [schools, json!({ "name": "Bay" }), json!({ "error": "full" })];
    let (_, reply) = play(&client, &ALL, "find three schools", &results).await;
    assert!(reply.contains("You asked for 3; there are no more than 1."), "{reply}");
    // The document failed, so nothing is done.
    assert!(reply.contains("create_document did not work: full"), "{reply}");
    // What the agent may not do it says.
    let (calls, reply) = play(&client, &["list_tasks"], "find two schools", &[]).await;
    assert!(calls.is_empty() && reply.contains("step 7, adds one"), "{reply}");
    let mine = json!({ "items": [{ "id": "t", "title": "A", "status": "pending" }] });
    let (_, reply) = play(&client, &["list_tasks"], "delete the task A", &[mine]).await;
    assert!(reply.contains("takes the tool update_task"), "{reply}");
}

#[tokio::test]
async fn the_built_in_script_changes_only_the_task_that_is_meant() {
    let client = client(offline());
    let task =
        |id: &str, title: &str, status: &str| json!({ "id": id, "title": title, "status": status });
    let tasks = || json!({ "items": [task("t1", "Call Ann", "pending"), task("t2", "Call Bob", "pending"), task("t3", "Buy shoes", "completed")] });
    for (words, id, status, said) in [
        ("I finished the call Bob task", "t2", "completed", "Done: “Call Bob” is completed."),
        ("Delete \"call ann\" please", "t1", "cancelled", "Deleted: “Call Ann” is cancelled"),
        ("start task 2", "t2", "in_progress", "“Call Bob” is in progress."),
        ("reopen the shoes task", "t3", "pending", "“Buy shoes” is pending."),
    ] {
        let title = said.split(['“', '”']).nth(1).unwrap();
        let results = [tasks(), task(id, title, status)];
        let (calls, reply) = play(&client, &ALL, words, &results).await;
        assert_eq!(calls[1].1, json!({ "task_id": id, "status": status }), "{words}");
        assert!(reply.contains(said), "{words}: {reply}");
    }
    for (words, said) in [
        (
            "complete the call task",
            "Which task shall I complete? Nothing is changed yet.\n\n1. “Call Ann” (pending)\n2. “Call Bob”",
        ),
        ("delete the task \"Sell shoes\"", "I found no such task."),
        ("mark the shoes task as done", "“Buy shoes” is already completed."),
        ("delete all my tasks", "That would delete 3 tasks; nothing is changed yet."),
        (
            "show my tasks",
            "You have 3 tasks:\n\n1. “Call Ann” (pending)\n2. “Call Bob” (pending)\n3. “Buy shoes” (completed)",
        ),
        ("which tasks are blocked?", "You have no task that is blocked."),
    ] {
        let (calls, reply) = play(&client, &ALL, words, &[tasks()]).await;
        assert_eq!(names(&calls), ["list_tasks"], "{words}");
        assert!(reply.contains(said), "{words}: {reply}");
    }
}

#[tokio::test]
async fn a_visit_is_booked_only_when_it_is_asked_for() {
    let client = client(offline());
    let profile = json!({ "id": "s2", "name": "Cove Primary School", "contact": "c@cove" });
    let results = [
        two_schools(),
        profile,
        json!({ "id": "v", "title": "Visit Cove Primary School, Friday" }),
    ];
    let (calls, reply) = play(&client, &ALL, "book a visit to Cove on Friday", &results).await;
    assert_eq!(names(&calls), ["call_backend", "call_backend", "create_task"]);
    assert_eq!(calls[2].1["title"], "Visit Cove Primary School, Friday");
    assert!(reply.contains("booked on your list") && reply.contains("c@cove"), "{reply}");
    let results = [two_schools(), json!({}), json!({}), json!({ "id": "d" })];
    let words = "find two schools near the beach, but do not book a visit";
    let (calls, _) = play(&client, &ALL, words, &results).await;
    assert!(!names(&calls).contains(&"create_task"), "{calls:?}");
    let (calls, reply) = play(&client, &ALL, "book a visit", &[]).await;
    assert!(calls.is_empty() && reply.contains("Nothing is booked yet"), "{reply}");
}

#[tokio::test]
async fn the_built_in_script_says_what_it_is_with_three_examples() {
    let client = client(offline());
    for words in
        ["Qwertz?", "Finde zwei Schulen am Strand", "What's the weather?", "what can you do?"]
    {
        let (calls, reply) = play(&client, &ALL, words, &[]).await;
        assert!(
            calls.is_empty() && reply.contains("scripted model") && reply.contains("no key"),
            "{reply}"
        );
        let examples = ["1. “find two", "2. “compare", "3. “show my tasks”"];
        assert!(examples.iter().all(|example| reply.contains(example)), "{words}: {reply}");
    }
    assert!(play(&client, &ALL, "Qwertz?", &[]).await.1.contains("You wrote: Qwertz?"));
    assert!(play(&client, &ALL, "Generate a plan", &[]).await.1.contains("Plan"));
    let heartbeat = play(&client, &ALL, "Heartbeat: is anything pending?", &[]).await.1;
    assert_eq!(heartbeat, "HEARTBEAT_OK");
    for words in ["what is a heartbeat?", "heartbeats of the school"] {
        let reply = play(&client, &ALL, words, &[]).await.1;
        assert_ne!(reply, "HEARTBEAT_OK", "{words}");
    }
    assert!(play(&client, &ALL, "Hello!", &[]).await.1.contains("scout"));
}

/// Without a search for schools, it suggests what works, and sends nobody to a role that is not there.
#[tokio::test]
async fn the_built_in_script_suggests_only_what_the_workspace_can_do() {
    let client = client(offline());
    let tools = ["create_task", "list_tasks", "update_task"];
    let asked = async |prompt: &str, words: &str, results: &[Value]| {
        let messages = vec![Message::System { content: prompt.to_owned() }, Message::user(words)];
        play_as(&client, "agent", messages, &tools, results).await
    };
    for words in ["Hello", "what can you do?", "Qwertz?"] {
        let (calls, reply) = asked("You are agent.", words, &[]).await;
        assert!(calls.is_empty() && !reply.to_lowercase().contains("scout"), "{reply}");
        let (_, examples) = reply.split_once("Try for example:\n\n").unwrap();
        let examples: Vec<_> = examples.lines().take(3).collect();
        for (example, tool) in examples.iter().zip(["create_task", "create_task", "list_tasks"]) {
            let example = example.split(['“', '”']).nth(1).unwrap();
            let result = json!({ "id": "t", "title": "x", "items": [] });
            let (calls, _) = asked("You are agent.", example, &[result]).await;
            assert_eq!(names(&calls), [tool], "{example}");
        }
    }
    let words = "find two primary schools near the beach";
    let (_, reply) = asked("You are agent.", words, &[]).await;
    assert!(reply.starts_with("This workspace has no search for schools"), "{reply}");
    let prompt = "Beside you there is **Scout**, who searches.";
    let (_, reply) = asked(prompt, words, &[]).await;
    assert!(reply.contains("write “@scout find two primary"), "{reply}");
    assert!(asked(prompt, "what can you do?", &[]).await.1.contains("@scout …"));
}

#[tokio::test]
async fn what_the_application_cannot_be_asked_is_counted_here() {
    let client = client(offline());
    for (words, none) in [
        ("How many schools are rated at least 8?", true),
        ("How many schools have fees under 0?", true),
        ("How many schools are rated at least 4?", false),
    ] {
        let reply = play(&client, &ALL, words, &[two_schools()]).await.1;
        // The application has 6, of which two are in the answer.
        assert_eq!(!reply.contains('6'), none, "{words}: {reply}");
    }
}

#[tokio::test]
async fn a_script_of_ones_own_streams_fails_and_stops_calling_tools() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let script = "rules:\n  - when: {role: analyst}\n    say: no role\n  - when: {user: down}\n    fail: {status: 402}\n  - when: {user: 'say (.+)'}\n    say: 'so: {1}'\n    call: [{name: t, arguments: {a: 1}}]\n";
    file.write_all(script.as_bytes()).unwrap();
    let client = client(LlmSettings { offline_script: Some(file.path().into()), ..offline() });
    let (texts, end) = drain(&client, request(&client, vec![Message::user("say a b")])).await;
    let end = end.unwrap();
    assert_eq!(texts, ["so: ", "a ", "b"]);
    assert_eq!(end.message.tool_calls[0].name, "t");
    let mut last = request(&client, vec![Message::user("say x")]);
    last.tool_choice = ToolChoice::None;
    let answer = client.complete(&last, &CallContext::default()).await.unwrap();
    assert_eq!((answer.message.text.as_str(), answer.message.tool_calls.len()), ("so: x", 0));
    let down = request(&client, vec![Message::user("down")]);
    let error = client.complete(&down, &CallContext::default()).await.unwrap_err();
    assert_eq!(error.kind, LlmErrorKind::QuotaExhausted);
}

#[test]
fn a_script_that_cannot_be_read_stops_the_client_with_its_name() {
    let settings = LlmSettings { offline_script: Some("/nowhere/x.yaml".into()), ..offline() };
    let error = LlmClient::new(settings, reqwest::Client::new()).unwrap_err().to_string();
    assert!(error.starts_with("LLM_OFFLINE_SCRIPT: /nowhere/x.yaml cannot be read"), "{error}");
}
