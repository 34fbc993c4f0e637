//! What one user may take of the backend: places, bytes of answers and pages, sums.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Executor as _;

use crate::harness::{Backend, Caller, MC, column, send};

/// More than an answer's items have, by what surrounds them.
const ANSWER: usize = 4 * 1024 * 1024 + 10_000;

/// The items of a list, page by page, each of which is bounded.
async fn all(caller: &Caller, path: &str) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = caller.get(&format!("{path}limit=200{cursor}")).await;
        assert!(page.text.len() <= ANSWER, "{path}: {}", page.text.len());
        assert!(!page.items().is_empty(), "{path}");
        items.extend(page.items().iter().cloned());
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

#[tokio::test]
async fn a_page_of_a_list_has_so_many_bytes_and_all_items_come() {
    let backend = Backend::start().await;
    let (agent, service) = (backend.agent("ann", "scout"), backend.internal());
    let task = agent.task("Work").await;
    let large = "x".repeat(1_500_000);
    let mut ids = Vec::new();
    for number in 0..7 {
        agent.post("/tasks", json!({ "title": "T", "description": large })).await.ok();
        let said = json!({ "task_id": task, "content": format!("{number} {large}") });
        agent.post("/messages", said).await.ok();
        let note = json!({ "user_id": "ann", "session_key": "user:ann:scout", "content": large });
        let note = service.post("/notifications", note).await.ok()["id"].clone();
        ids.push(note.as_str().unwrap().to_owned());
        let title = json!({ "title": large, "content": "c" });
        agent.post("/documents", title).await.ok();
    }
    assert_eq!(all(&agent, "/tasks?").await.len(), 8);
    assert_eq!(all(&agent, &format!("/messages?task_id={task}&")).await.len(), 7);
    assert_eq!(all(&agent, "/documents?").await.len(), 7);
    let notes = all(&backend.person("ann"), "/notifications?").await;
    assert_eq!(column(&notes, "id"), ids);
    // The queue gives what an answer takes, in its order, and leases no more than that.
    let mut delivered = Vec::new();
    while delivered.len() < ids.len() {
        let some = service.post("/dispatch/undelivered?limit_notifications=100", json!({})).await;
        assert!(some.text.len() <= ANSWER, "{}", some.text.len());
        let some = some.ok()["deliveries"].as_array().unwrap().clone();
        assert!(!some.is_empty());
        for one in column(&some, "notification_id") {
            delivered.push(one.to_owned());
            let path = format!("/dispatch/notifications/{one}/deliver?user_id=ann");
            service.post(&path, json!({})).await.ok();
        }
    }
    assert_eq!(delivered, ids);
    let day = service.post("/standup", json!({ "timezone": "UTC" })).await;
    assert!(day.ok()["items"].is_array() && day.text.len() < 100_000, "{}", day.text.len());
}

#[tokio::test]
async fn a_page_for_people_has_so_many_bytes() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let large = "<".repeat(1_000_000);
    let task = json!({ "title": large, "description": large });
    let task = agent.post("/tasks", task).await.ok()["id"].as_str().unwrap().to_owned();
    let run = json!({ "session_key": "user:ann:scout", "task_id": task, "note": large });
    agent.put("/runs/r", run).await.ok();
    let mut document = String::new();
    for number in 0..10 {
        let said = json!({ "task_id": task, "content": format!("{number} {large}") });
        agent.post("/messages", said).await.ok();
        let step = json!({
            "kind": "tool",
            "payload": { "name": "look", "content": large, "duration_ms": u64::MAX }
        });
        agent.put(&format!("/runs/r/steps/{number}"), step).await.ok();
        let note = json!({ "user_id": "ann", "session_key": "user:ann:scout", "content": large });
        backend.internal().post("/notifications", note).await.ok();
        let made = json!({ "title": large, "content": large, "task_id": task });
        let made = agent.post("/documents", made).await.ok()["id"].clone();
        made.as_str().unwrap().clone_into(&mut document);
    }
    for path in
        ["/".to_owned(), format!("/tasks/{task}"), "/runs/r".into(), format!("/documents/{document}")]
    {
        let request = backend.nobody().raw(Method::GET, &format!("{path}?user=ann"));
        let page = send(request).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(page.text.len() < 5_000_000, "{path}: {}", page.text.len());
        if path.starts_with("/tasks/") {
            assert!(page.text.contains("<p>9 &lt;") && page.text.contains("Older messages"));
        }
        if path == "/runs/r" {
            assert_eq!(page.text.matches("Tool look").count(), 10);
            assert!(page.text.contains(&format!("<dd>{} ms</dd>", u64::MAX)), "the sum");
        }
    }
}

#[tokio::test]
async fn a_role_has_so_many_event_streams_and_takes_none_of_others() {
    let backend = Backend::start().await;
    let listen = async |caller: &Caller| {
        caller.raw(Method::GET, &format!("{MC}/events")).send().await.unwrap()
    };
    let mut open = Vec::new();
    for number in 0..32 {
        let stream = listen(&backend.agent("ann", "scout")).await;
        assert_eq!(stream.status(), 200, "{number}");
        open.push(stream);
    }
    backend.agent("ann", "scout").get("/events").await.fails(429, "too_many_streams");
    assert_eq!(listen(&backend.agent("ann", "analyst")).await.status(), 200);
    let mut pages = Vec::new();
    for number in 0..32 {
        let page = backend.nobody().raw(Method::GET, "/live?user=ann").send().await.unwrap();
        assert_eq!(page.status(), 200, "{number}");
        pages.push(page);
    }
    let page = backend.nobody().raw(Method::GET, "/live?user=ann");
    send(page).await.fails(429, "too_many_streams");
    assert_eq!(listen(&backend.agent("bob", "scout")).await.status(), 200);
    assert_eq!(listen(&backend.internal()).await.status(), 200);
    // Its calls go on.
    backend.agent("ann", "scout").get("/tasks").await.ok();
}

#[tokio::test]
async fn a_journal_has_so_many_bytes() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let run = json!({ "session_key": "user:ann:scout", "task_id": agent.task("Work").await });
    agent.put("/runs/r", run).await.ok();
    let step = json!({ "kind": "tool", "payload": { "content": "x".repeat(8_000_000) } });
    for number in 0..8 {
        agent.put(&format!("/runs/r/steps/{number}"), step.clone()).await.ok();
    }
    agent.put("/runs/r/steps/8", step.clone()).await.fails(400, "invalid_payload");
    // What is there already is there still.
    agent.put("/runs/r/steps/7", step).await.ok();
    let small = json!({ "kind": "tool", "payload": {} });
    agent.put("/runs/r/steps/8", small).await.ok();
    // The daemon reads all of it.
    let run = backend.client("ann", "scout").run("r").await.unwrap().unwrap();
    assert_eq!(run.steps.len(), 9);
}

#[tokio::test]
async fn sums_do_not_overflow() {
    let backend = Backend::start().await;
    let mut database = backend.database().await;
    for number in 0..9_300 {
        let row = sqlx::query(
            "INSERT INTO usage (id, user_id, run_id, role, model, prompt_tokens, completion_tokens, cost_nanos, estimated, created_at) \
             VALUES ($1, 'rich', 'r', 's', 'm', $2, $2, 1000000000000001, 0, $3)",
        );
        let row = row.bind(format!("u{number}")).bind(i64::MAX);
        let row = row.bind(chrono::Utc::now().to_rfc3339());
        database.execute(row).await.unwrap();
    }
    let agent = backend.agent("rich", "scout");
    let budget = agent.get("/budget").await;
    let spent = budget.ok()["spent_usd"].as_f64().unwrap();
    assert!((spent - 9_300_000_000.0).abs() < 1.0, "{spent}");
    let page = send(backend.nobody().raw(Method::GET, "/?user=rich")).await;
    assert_eq!(page.status, 200, "{}", page.text);
    let limit = json!({ "user_id": "rich", "limit_usd": 5, "period": "month" });
    let limited = backend.internal().put("/budget", limit).await;
    assert_eq!(limited.ok()["remaining_usd"], 0.0);
    let wish = json!({ "run_id": "r", "estimate_usd": 1, "idempotency_key": "k" });
    agent.post("/budget/reserve", wish).await.fails(402, "budget_exceeded");
}
