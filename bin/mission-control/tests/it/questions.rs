//! Questions: asked in the thread, answered by a message or a decision, ended by time.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Backend, Caller, column};

fn question(task: &str, key: &str, arguments: Value) -> Value {
    json!({
        "task_id": task, "run_key": "r1", "session_key": "user:ann:scout", "kind": "question",
        "tool": "ask_user", "arguments": arguments, "idempotency_key": key
    })
}

fn colours() -> Value {
    json!({ "question": "Which colour?", "options": ["Red", "Dark blue"] })
}

/// Asks on a task: the path of the question.
async fn ask(agent: &Caller, task: &str, key: &str, arguments: Value) -> String {
    let made = agent.post("/tool-requests", question(task, key, arguments)).await;
    format!("/tool-requests/{}", made.ok()["id"].as_str().unwrap())
}

fn decision(path: &str) -> String {
    format!("{path}/decision")
}

async fn say(person: &Caller, task: &str, content: &str) -> Value {
    let said = person.post("/messages", json!({ "task_id": task, "content": content })).await;
    said.ok().clone()
}

async fn deliveries(backend: &Backend) -> Vec<Value> {
    let polled = backend.internal().post("/dispatch/undelivered", json!({})).await;
    polled.ok()["deliveries"].as_array().unwrap().clone()
}

async fn thread(agent: &Caller, task: &str) -> Vec<Value> {
    agent.get(&format!("/messages?task_id={task}")).await.items().to_vec()
}

#[tokio::test]
async fn a_question_is_asked_in_the_thread_and_answered_by_a_decision() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    let made = agent.post("/tool-requests", question(&task, "k", colours())).await;
    let asked = made.ok();
    assert_eq!((&asked["kind"], &asked["status"]), (&json!("question"), &json!("pending")));
    assert_eq!(asked["parameters"], json!({ "enum": ["Red", "Dark blue"] }));
    assert!(asked["expires_at"].is_string());
    let again = agent.post("/tool-requests", question(&task, "k", colours())).await;
    assert!(again.replayed());
    let messages = thread(&agent, &task).await;
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0]["content"], "Which colour?");
    assert_eq!(messages[0]["tool_request_id"], asked["id"]);
    assert_eq!((&messages[0]["actor_type"], &messages[0]["agent_role"]), (&json!("agent"), &json!("scout")));

    let path = format!("/tool-requests/{}", asked["id"].as_str().unwrap());
    let ann = backend.person("ann");
    for (body, code) in [
        (json!({ "answer": "Green" }), "answer_mismatch"),
        (json!({ "answer": null }), "answer_mismatch"),
        (json!({ "status": "approved" }), "answer_mismatch"),
        (json!({}), "answer_mismatch"),
        (json!({ "status": "denied", "answer": "Red" }), "invalid_payload"),
        (json!({ "answer": "Red", "edited": { "arguments": {} } }), "invalid_payload"),
    ] {
        let refused = ann.post(&decision(&path), body).await;
        refused.fails(400, code);
        if code == "answer_mismatch" {
            assert!(refused.body["details"]["errors"][0].is_string(), "{}", refused.text);
        }
    }
    ann.patch(&path, json!({ "status": "approved" })).await.fails(400, "answer_mismatch");
    assert_eq!(agent.get(&path).await.ok()["status"], "pending");
    let answered = ann.post(&decision(&path), json!({ "answer": " dark BLUE" })).await;
    assert_eq!((&answered.ok()["status"], &answered.ok()["answer"]), (&json!("answered"), &json!("Dark blue")));
    assert_eq!(answered.ok()["decided_by"], json!({ "type": "person", "id": "ann" }));
    ann.post(&decision(&path), json!({ "answer": "Red" })).await.fails(409, "already_decided");
    let told = deliveries(&backend).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["run_key"], "r1");
    assert_eq!(told[0]["metadata"]["tool_request_status"], "answered");
    assert_eq!(agent.get("/tool-requests?status=answered").await.items().len(), 1);
}

#[tokio::test]
async fn nobody_may_be_going_to_answer() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    for (key, patched) in [("k1", false), ("k2", true)] {
        let path = ask(&agent, &task, key, colours()).await;
        let deny = json!({ "status": "denied", "note": "your choice" });
        let ann = backend.person("ann");
        let denied = match patched {
            true => ann.patch(&path, deny).await,
            false => ann.post(&decision(&path), deny).await,
        };
        assert_eq!((&denied.ok()["status"], &denied.ok()["note"]), (&json!("denied"), &json!("your choice")));
    }
}

#[tokio::test]
async fn a_message_on_the_task_answers_the_only_question() {
    let backend = Backend::start().await;
    let (agent, ann) = (backend.agent("ann", "scout"), backend.person("ann"));
    for (n, (arguments, content, answer)) in [
        (colours(), "  red ", json!("Red")),
        (colours(), "@scout RED", json!("Red")),
        (json!({ "question": "Anything else?" }), "No, thanks", json!("No, thanks")),
        (json!({ "question": "How many?", "schema": { "type": "integer" } }), "3", json!(3)),
        (json!({ "question": "Sure?", "schema": { "type": "boolean" } }), "@scout: true", json!(true)),
    ]
    .into_iter()
    .enumerate()
    {
        let task = agent.task(&format!("Work {n}")).await;
        let path = ask(&agent, &task, &format!("k{n}"), arguments).await;
        let said = say(&ann, &task, content).await;
        let answered = agent.get(&path).await;
        assert_eq!(answered.ok()["answer"], answer, "{content}");
        assert_eq!(said["tool_request_id"], answered.body["id"]);
        assert_eq!(said["content"], content);
        // The role hears of the decision, not of a mention.
        let told = deliveries(&backend).await;
        assert_eq!(told.len(), 1, "{content}: {told:?}");
        assert_eq!(told[0]["metadata"]["tool_request_status"], "answered");
        let id = told[0]["notification_id"].as_str().unwrap();
        let done = format!("/dispatch/notifications/{id}/deliver?user_id=ann");
        backend.internal().post(&done, json!({})).await.ok();
    }
}

#[tokio::test]
async fn what_answers_no_question_is_a_message() {
    let backend = Backend::start().await;
    let (agent, ann) = (backend.agent("ann", "scout"), backend.person("ann"));
    let (task, other) = (agent.task("Work").await, agent.task("Other").await);
    let path = ask(&agent, &task, "k", colours()).await;
    for (task, content) in
        [(&task, "green"), (&task, "@analyst red"), (&task, "@scout @analyst red"), (&other, "red")]
    {
        let said = say(&ann, task, content).await;
        assert!(said.get("tool_request_id").is_none(), "{said}");
    }
    // An agent's words are no person's.
    agent.post("/messages", json!({ "task_id": task, "content": "red" })).await.ok();
    assert_eq!(agent.get(&path).await.ok()["status"], "pending");
    let roles: Vec<_> = deliveries(&backend).await.iter().map(|one| one["session_key"].clone()).collect();
    assert_eq!(roles.len(), 3, "{roles:?}");
    // Of two that wait none is meant.
    ask(&agent, &task, "k2", json!({ "question": "Else?" })).await;
    let said = say(&ann, &task, "red").await;
    assert!(said.get("tool_request_id").is_none(), "{said}");
    assert_eq!(agent.get("/tool-requests?status=pending").await.items().len(), 2);
}

#[tokio::test]
async fn a_message_that_names_its_question_answers_it_or_is_refused() {
    let backend = Backend::start().await;
    let (agent, ann) = (backend.agent("ann", "scout"), backend.person("ann"));
    let (task, other) = (agent.task("Work").await, agent.task("Other").await);
    let first = ask(&agent, &task, "k1", colours()).await;
    let second = ask(&agent, &task, "k2", json!({ "question": "Else?" })).await;
    let id = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let named = |task: &str, path: &str, content: &str, key: &str| {
        json!({ "task_id": task, "content": content, "tool_request_id": id(path), "idempotency_key": key })
    };
    let before = thread(&agent, &task).await.len();
    let misfit = ann.post("/messages", named(&task, &first, "green", "m0")).await;
    misfit.fails(400, "answer_mismatch");
    assert!(misfit.body["details"]["errors"][0].as_str().unwrap().contains("Dark blue"));
    ann.post("/messages", named(&other, &first, "red", "m1")).await.fails(400, "invalid_payload");
    ann.post("/messages", named(&task, "/none", "red", "m2")).await.fails(404, "not_found");
    backend.person("bob").post("/messages", named(&task, &first, "red", "m3")).await.fails(404, "not_found");
    agent.post("/messages", named(&task, &first, "red", "m4")).await.fails(400, "invalid_payload");
    assert_eq!(thread(&agent, &task).await.len(), before);

    let body = named(&task, &second, "@analyst knows", "m5");
    let said = ann.post("/messages", body.clone()).await;
    assert_eq!(said.ok()["tool_request_id"], json!(id(&second)));
    assert_eq!(agent.get(&second).await.ok()["answer"], "@analyst knows");
    assert!(ann.post("/messages", body).await.replayed());
    let late = ann.post("/messages", named(&task, &second, "again", "m6")).await;
    late.fails(409, "already_decided");
    assert_eq!(agent.get(&first).await.ok()["status"], "pending");
    assert_eq!(thread(&agent, &task).await.len(), before + 1);
    let told = deliveries(&backend).await;
    let mut sessions = column(&told, "session_key");
    sessions.sort_unstable();
    assert_eq!(sessions, ["user:ann:analyst", "user:ann:scout"]);
}

#[tokio::test]
async fn of_many_answers_at_once_one_counts() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    let path = ask(&agent, &task, "k", json!({ "question": "Who?" })).await;
    let id = path.rsplit('/').next().unwrap().to_owned();
    let calls: Vec<_> = (0..18)
        .map(|n| {
            let (ann, path) = (backend.person("ann"), decision(&path));
            let (content, named) = (format!("it was {n}"), json!({ "task_id": task, "content": format!("it was {n}"), "tool_request_id": id }));
            let unnamed = json!({ "task_id": task, "content": content });
            tokio::spawn(async move {
                match n % 3 {
                    0 => ann.post(&path, json!({ "answer": content })).await,
                    1 => ann.post("/messages", named).await,
                    _ => ann.post("/messages", unnamed).await,
                }
            })
        })
        .collect();
    let mut won = 0;
    for call in calls {
        let answer = call.await.unwrap();
        match answer.status.as_u16() {
            200 => won += usize::from(answer.body["status"] == "answered" || answer.body["tool_request_id"].is_string()),
            _ => answer.fails(409, "already_decided"),
        }
    }
    assert_eq!(won, 1);
    assert_eq!(deliveries(&backend).await.len(), 1);
}

#[tokio::test]
async fn an_agent_answers_the_questions_of_its_own_session_only() {
    let backend = Backend::with_leads(&["boss"]).await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    let path = decision(&ask(&agent, &task, "k", colours()).await);
    let answer = json!({ "answer": "Red" });
    backend.agent("ann", "analyst").post(&path, answer.clone()).await.fails(404, "not_found");
    backend.agent("bob", "scout").post(&path, answer.clone()).await.fails(404, "not_found");
    backend.agent("ann", "boss").post(&path, answer.clone()).await.fails(403, "forbidden");
    for body in [json!({ "status": "denied" }), json!({ "answer": "Red", "note": "x" }), json!({})] {
        agent.post(&path, body).await.fails(403, "forbidden");
    }
    agent.post(&path, json!({ "answer": "Green" })).await.fails(400, "answer_mismatch");
    let answered = agent.clone().with("idempotency-key", "a").post(&path, answer.clone()).await;
    assert_eq!(answered.ok()["decided_by"], json!({ "type": "agent", "id": "scout" }));
    let again = agent.with("idempotency-key", "a").post(&path, answer).await;
    assert_eq!(again.ok(), answered.ok());
}

#[tokio::test]
async fn a_question_ends_in_time_once_and_after_a_restart() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    let mut body = question(&task, "k", colours());
    body["ttl_secs"] = json!(1);
    let made = agent.post("/tool-requests", body.clone()).await;
    let path = format!("/tool-requests/{}", made.ok()["id"].as_str().unwrap());
    let other = backend.another().await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    // Nobody has read it since.
    let told = deliveries(&backend).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["run_key"], "r1");
    assert_eq!(told[0]["metadata"]["tool_request_status"], "expired");
    let ended = other.agent("ann", "scout").get(&path).await;
    assert_eq!(ended.ok()["status"], "expired");
    assert_eq!(ended.ok()["decided_by"], json!({ "type": "system" }));
    let late = backend.person("ann").post(&decision(&path), json!({ "answer": "Red" })).await;
    late.fails(409, "already_decided");
    assert_eq!(late.body["details"]["status"], "expired");
    other.stop().await;
    // One that ends while no backend runs.
    body["idempotency_key"] = json!("k2");
    agent.post("/tool-requests", body).await.ok();
    let home = backend.stop().await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let backend = Backend::beside(home, crate::harness::Options::default()).await;
    let agent = backend.agent("ann", "scout");
    assert_eq!(agent.get("/tool-requests?status=expired").await.items().len(), 2);
}

#[tokio::test]
async fn a_cancelled_runs_questions_need_no_answer() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    let run = json!({ "session_key": "user:ann:scout", "task_id": task, "status": "awaiting_answer" });
    agent.put("/runs/r1", run).await.ok();
    let path = ask(&agent, &task, "k", colours()).await;
    agent.post("/runs/r1/cancel", json!({})).await.ok();
    assert_eq!(agent.get(&path).await.ok()["status"], "cancelled");
    let said = say(&backend.person("ann"), &task, "red").await;
    assert!(said.get("tool_request_id").is_none());
}

#[tokio::test]
async fn what_is_no_question_is_refused() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    let many: Vec<_> = (0..21).map(|n| n.to_string()).collect();
    for (arguments, field) in [
        (json!({}), "arguments.question"),
        (json!({ "question": " " }), "arguments.question"),
        (json!({ "question": "x".repeat(2_001) }), "arguments.question"),
        (json!({ "question": "?", "options": ["a"] }), "arguments.options"),
        (json!({ "question": "?", "options": many }), "arguments.options"),
        (json!({ "question": "?", "options": ["a", " A"] }), "arguments.options"),
        (json!({ "question": "?", "options": ["a", ""] }), "arguments.options"),
        (json!({ "question": "?", "options": ["a", "b"], "schema": {} }), "arguments.schema"),
        (json!({ "question": "?", "schema": { "type": "nothing" } }), "arguments.schema"),
        (json!({ "question": "?", "schema": { "$ref": "https://example.com/x" } }), "arguments.schema"),
        (json!({ "question": "?", "schema": { "description": "x".repeat(9_000) } }), "arguments.schema"),
    ] {
        let refused = agent.post("/tool-requests", question(&task, "k", arguments)).await;
        refused.fails(400, "invalid_payload");
        assert!(refused.body["details"]["fields"][field].is_string(), "{field}: {}", refused.text);
    }
    for (field, value) in [
        ("ttl_secs", json!(0)),
        ("ttl_secs", json!(99_999_999)),
        ("expires_at", json!("2020-01-01T00:00:00Z")),
        ("kind", json!("wish")),
    ] {
        let mut body = question(&task, "k", colours());
        body[field] = value;
        agent.post("/tool-requests", body).await.fails(400, "invalid_payload");
    }
    assert!(thread(&agent, &task).await.is_empty());
}
