//! What a person sees and does on the page: decisions, runs, dead letters, money.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::harness::{Answer, Backend, send};

pub(crate) async fn open(backend: &Backend, path: &str) -> String {
    let page = send(backend.nobody().raw(Method::GET, path)).await;
    assert_eq!(page.status, 200, "{path} {}", page.text);
    page.text
}

/// The page as `ann` sees it.
pub(crate) async fn overview(backend: &Backend) -> String {
    open(backend, "/?user=ann").await
}

fn form(backend: &Backend, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = backend.nobody().raw(Method::POST, path).body(body);
    request.header("content-type", "application/x-www-form-urlencoded")
}

async fn token(backend: &Backend) -> String {
    let page = overview(backend).await;
    let (_, rest) = page.split_once("name=\"token\" value=\"").unwrap();
    rest.split_once('"').unwrap().0.to_owned()
}

/// Sends a form about one of `ann`'s objects.
pub(crate) async fn act(backend: &Backend, path: &str, id: &str, more: &[(&str, &str)]) -> Answer {
    let token = token(backend).await;
    let mut fields = vec![("token", token.as_str()), ("user", "ann"), ("id", id)];
    fields.extend_from_slice(more);
    send(form(backend, path, &fields)).await
}

/// The part of a page under a heading.
pub(crate) fn part<'a>(page: &'a str, id: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("<section id=\"{id}\"")).unwrap();
    rest.split_once("</section>").unwrap().0
}

#[tokio::test]
async fn a_person_approves_one_call_and_denies_another() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    let mut ids = Vec::new();
    for tool in ["create_document", "delete_everything"] {
        let wish = json!({
            "task_id": task, "run_key": "r1", "session_key": "user:ann:scout", "tool": tool,
            "arguments": { "title": "<b>Plan</b>" }, "reason": "asked to", "idempotency_key": tool
        });
        let made = agent.post("/tool-requests", wish).await;
        ids.push(made.ok()["id"].as_str().unwrap().to_owned());
    }
    let page = overview(&backend).await;
    let waiting = part(&page, "approvals");
    for text in ["create_document", "delete_everything", "asked to", "&lt;b&gt;Plan&lt;/b&gt;"] {
        assert!(waiting.contains(text), "{text} is not in {waiting}");
    }
    assert!(part(&open(&backend, "/?user=bob").await, "approvals").contains("Nothing."));

    let approve = [("decision", "approved"), ("note", " fine ")];
    let foreign = [("token", "guess"), ("user", "ann"), ("id", &ids[0]), ("decision", "approved")];
    assert_eq!(send(form(&backend, "/decide", &foreign)).await.status, 403);
    assert_eq!(act(&backend, "/decide", &ids[0], &[("decision", "maybe")]).await.status, 400);
    assert_eq!(act(&backend, "/decide", "nowhere", &approve).await.status, 404);
    assert_eq!(act(&backend, "/decide", &ids[0], &approve).await.status, 303);
    assert_eq!(act(&backend, "/decide", &ids[0], &approve).await.status, 409);
    assert_eq!(act(&backend, "/decide", &ids[1], &[("decision", "denied")]).await.status, 303);
    let mut decided = Vec::new();
    for id in &ids {
        let request = agent.get(&format!("/tool-requests/{id}")).await.ok().clone();
        decided.push((request["status"].clone(), request["note"].clone()));
    }
    assert_eq!(decided, [(json!("approved"), json!("fine")), (json!("denied"), Value::Null)]);
    assert!(part(&overview(&backend).await, "approvals").contains("Nothing."));
    let told = backend.internal().post("/dispatch/undelivered", json!({})).await;
    assert_eq!(told.ok()["deliveries"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_run_is_shown_step_by_step_and_can_be_stopped() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    let run = json!({ "session_key": "user:ann:scout", "task_id": task, "error": "none yet" });
    agent.put("/runs/a%2Fb%20c", run).await.ok();
    let step = json!({
        "kind": "tool",
        "payload": { "call_id": "c1", "name": "search", "arguments": {}, "nth": 1, "ok": true,
            "content": "<script>alert(1)</script>", "duration_ms": 12 }
    });
    agent.put("/runs/a%2Fb%20c/steps/0", step).await.ok();
    let link = "/runs/a%2Fb%20c?user=ann";
    for page in [overview(&backend).await, open(&backend, &format!("/tasks/{task}?user=ann")).await]
    {
        let runs = part(&page, "runs");
        assert!(runs.contains(link) && runs.contains("steps: 1"), "{runs}");
    }
    let page = open(&backend, link).await;
    let timeline = part(&page, "timeline");
    for text in ["Tool search", "12 ms", "&lt;script&gt;alert(1)&lt;/script&gt;"] {
        assert!(timeline.contains(text), "{text} is not in {timeline}");
    }
    assert!(!page.contains("<script>alert"));
    assert!(part(&page, "run").contains("none yet"));
    let foreign = send(backend.nobody().raw(Method::GET, "/runs/a%2Fb%20c?user=bob")).await;
    assert_eq!(foreign.status, 404);

    assert_eq!(act(&backend, "/cancel", "a/b c", &[]).await.headers["location"], link);
    assert!(open(&backend, link).await.contains("Cancellation requested."));
    assert_eq!(agent.get("/runs/a%2Fb%20c").await.ok()["cancel_requested"], true);
}

#[tokio::test]
async fn a_person_puts_back_what_was_given_up() {
    let backend = Backend::start().await;
    let new = json!({ "user_id": "ann", "session_key": "user:ann:scout", "content": "poison" });
    let id = backend.internal().post("/notifications", new).await.ok()["id"].clone();
    let id = id.as_str().unwrap();
    assert!(!overview(&backend).await.contains("Try again"));
    let failure = json!({ "error": "no such role", "attempts": 8, "dead": true });
    let path = format!("/dispatch/notifications/{id}/fail?user_id=ann");
    backend.internal().post(&path, failure).await.ok();
    let page = overview(&backend).await;
    let shown = part(&page, "notifications");
    assert!(shown.contains("no such role") && shown.contains("Try again"), "{shown}");
    assert_eq!(act(&backend, "/requeue", id, &[]).await.status, 303);
    let waiting = backend.internal().post("/dispatch/undelivered", json!({})).await;
    assert_eq!(waiting.ok()["deliveries"][0]["content"], "poison");
}

#[tokio::test]
async fn spending_is_shown_by_day_beside_the_budget() {
    let backend = Backend::with_budget(2.0).await;
    let agent = backend.agent("ann", "scout");
    for (key, cost) in [("a", 0.25), ("b", 0.5)] {
        let usage = json!({
            "run_id": "r", "role": "scout", "model": "m", "prompt_tokens": 10, "completion_tokens": 5,
            "cost_usd": cost, "estimated": false, "idempotency_key": key
        });
        agent.post("/usage", usage).await.ok();
    }
    let page = overview(&backend).await;
    let spending = part(&page, "spending");
    for text in ["$0.7500 in this period of $2.00; $1.2500 left", "calls: 2, tokens: 30", "<rect"]
    {
        assert!(spending.contains(text), "{text} is not in {spending}");
    }
    assert!(part(&open(&backend, "/?user=bob").await, "spending").contains("Nothing yet."));
}

#[tokio::test]
async fn the_page_hears_of_its_users_changes_and_nobody_elses() {
    let backend = Backend::start().await;
    let page = overview(&backend).await;
    assert!(page.contains("data-events=\"/live?user=ann\""), "{page}");
    let mut stream = backend.nobody().raw(Method::GET, "/live?user=ann").send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert_eq!(stream.headers()["x-frame-options"], "DENY");
    backend.agent("bob", "scout").task("Bob's").await;
    backend.agent("ann", "scout").task("Ann's").await;
    let mut told = String::new();
    while !told.contains("Ann's") {
        let chunk = stream.chunk().await.unwrap().expect("the stream goes on");
        told += std::str::from_utf8(&chunk).unwrap();
    }
    assert!(
        told.contains("data: {") && !told.contains("event: ") && !told.contains("Bob's"),
        "{told}"
    );
    let foreign =
        backend.nobody().raw(Method::GET, "/live?user=ann").header("host", "evil.example");
    assert_eq!(send(foreign).await.status, 403);
}

#[tokio::test]
async fn what_an_agent_said_with_its_heartbeat_is_shown() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    agent.post("/heartbeat", json!({ "user_id": "ann" })).await.ok();
    assert!(part(&overview(&backend).await, "agents").contains("times: 1"));
    for note in ["All quiet.", "<b>一切正常。</b>"] {
        let beat = json!({ "user_id": "ann", "role": "scout", "note": note });
        agent.post("/heartbeat", beat).await.ok();
    }
    let page = overview(&backend).await;
    let agents = part(&page, "agents");
    // A note is no heartbeat of its own.
    assert!(agents.contains("times: 1"), "{agents}");
    assert!(agents.contains("&lt;b&gt;一切正常。&lt;/b&gt;") && !agents.contains("quiet"), "{agents}");
    // It stays until there is another one.
    agent.post("/heartbeat", json!({ "user_id": "ann" })).await.ok();
    let page = overview(&backend).await;
    let agents = part(&page, "agents");
    assert!(agents.contains("times: 2") && agents.contains("一切正常"), "{agents}");
}
