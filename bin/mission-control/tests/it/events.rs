//! What happens, as it happens.

use std::time::Duration;

use jsonwebtoken::Algorithm;
use mc_client::client::{McClient, RetryPolicy};
use mc_client::events::{Event, Events, News};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::auth::{claims, now, signed};
use crate::harness::{Backend, Caller, MC, SECRET};

/// How long something may take to be told.
const PATIENCE: Duration = Duration::from_secs(30);

async fn within<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.expect("it happens in time")
}

async fn connected(mut events: Events) -> Events {
    assert_eq!(within(events.next()).await.unwrap(), News::Connected);
    events
}

async fn next(events: &mut Events) -> Event {
    match within(events.next()).await.unwrap() {
        News::Event(event) => event,
        News::Connected | News::Broken(_) => panic!("the connection broke"),
    }
}

/// What is told until an event of a kind, that one with it.
async fn until(events: &mut Events, kind: &str) -> Vec<Event> {
    let mut told = Vec::new();
    loop {
        let event = next(events).await;
        let is_last = event.kind == kind;
        told.push(event);
        if is_last {
            return told;
        }
    }
}

/// Waits until the stream is said to be broken.
async fn broken(events: &mut Events) -> String {
    match within(events.next()).await.unwrap() {
        News::Broken(cause) => cause,
        news @ (News::Connected | News::Event(_)) => panic!("not broken: {news:?}"),
    }
}

fn kinds(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.kind.as_str()).collect()
}

async fn listen(caller: &Caller, after: Option<&str>) -> Response {
    let request = caller.raw(Method::GET, &format!("{MC}/events"));
    let request = match after {
        Some(id) => request.header("last-event-id", id),
        None => request,
    };
    request.send().await.unwrap()
}

/// Reads from a stream until a text is there.
async fn read_until(stream: &mut Response, text: &str) -> String {
    let mut read = String::new();
    while !read.contains(text) {
        let chunk = within(stream.chunk()).await.unwrap().expect("the stream goes on");
        read += std::str::from_utf8(&chunk).unwrap();
    }
    read
}

#[tokio::test]
async fn an_event_reads_like_this() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let mut stream = listen(&agent, None).await;
    assert_eq!(stream.status(), 200);
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert_eq!(stream.headers()["cache-control"], "no-cache");
    assert_eq!(stream.headers()["x-accel-buffering"], "no");
    assert_eq!(read_until(&mut stream, "\n\n").await, ": connected\n\n");
    let task = agent.task("two\nlines").await;
    let told = read_until(&mut stream, "\n\n").await;
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines[..2], ["id: 1", "event: task.created"]);
    let data: Value = serde_json::from_str(lines[2].strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(data["type"], "task.created");
    assert_eq!(data["user_id"], "ann");
    assert_eq!((&data["id"], &data["task_id"]), (&json!(task), &json!(task)));
    assert_eq!((&data["title"], &data["status"]), (&json!("two\nlines"), &json!("pending")));
    assert_eq!(lines[3..], [""]);
}

#[tokio::test]
async fn every_change_is_told_once_and_in_order() {
    let backend = Backend::start().await;
    let (agent, person) = (backend.agent("ann", "scout"), backend.person("ann"));
    let mut events = connected(backend.client("ann", "scout").events(None)).await;
    let new = json!({ "title": "T", "idempotency_key": "k" });
    let task = agent.post("/tasks", new.clone()).await.ok()["id"].clone();
    agent.post("/tasks", new).await.ok();
    let path = format!("/tasks/{}", task.as_str().unwrap());
    agent.patch(&path, json!({ "status": "blocked" })).await.ok();
    agent.patch("/tasks/nowhere", json!({ "status": "blocked" })).await.fails(404, "not_found");
    person.post("/messages", json!({ "task_id": task, "content": "@scout go" })).await.ok();
    agent.post("/documents", json!({ "title": "D", "content": "secret text" })).await.ok();
    let run = json!({ "session_key": "user:ann:scout", "task_id": task, "status": "running" });
    agent.put("/runs/r1", run.clone()).await.ok();
    agent.put("/runs/r1", run).await.ok();
    for _ in 0..2 {
        agent.put("/runs/r1/steps/0", json!({ "kind": "k", "payload": 1 })).await.ok();
    }
    let wish = |key: &str| {
        json!({
            "task_id": task, "run_key": "r1", "session_key": "user:ann:scout", "tool": "t",
            "arguments": {}, "idempotency_key": key
        })
    };
    for (key, status) in [("w1", "approved"), ("w2", "denied")] {
        let id = agent.post("/tool-requests", wish(key)).await.ok()["id"].clone();
        let path = format!("/tool-requests/{}", id.as_str().unwrap());
        person.patch(&path, json!({ "status": status })).await.ok();
    }
    agent.post("/tool-requests", wish("w3")).await.ok();
    agent.put("/runs/r1", json!({ "status": "awaiting_approval" })).await.ok();
    person.post("/runs/r1/cancel", json!({})).await.ok();

    let told = until(&mut events, "tool_request.cancelled").await;
    assert_eq!(
        kinds(&told),
        [
            "task.created",
            "task.updated",
            "message.created",
            "notification.created",
            "document.created",
            "run.running",
            "run.step",
            "tool_request.created",
            "tool_request.approved",
            "notification.created",
            "tool_request.created",
            "tool_request.denied",
            "notification.created",
            "tool_request.created",
            "run.awaiting_approval",
            "run.cancel_requested",
            "run.cancelled",
            "tool_request.cancelled",
        ]
    );
    let ids: Vec<i64> =
        told.iter().map(|event| event.id.as_ref().unwrap().parse().unwrap()).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    for event in &told {
        assert_eq!(event.data["type"], event.kind);
        assert_eq!(event.data["user_id"], "ann");
    }
    assert_eq!(told[3].data["session_key"], "user:ann:scout");
    assert_eq!(told[9].data["run_key"], "r1");
    assert_eq!(told[6].data["index"], 0);
    assert!(!format!("{told:?}").contains("secret text"));
}

#[tokio::test]
async fn everybody_hears_only_what_is_theirs_and_a_service_hears_all() {
    let backend = Backend::start().await;
    let mut ann = connected(backend.client("ann", "scout").events(None)).await;
    let mut anns_person = connected(backend.service().on_behalf_of("ann").events(None)).await;
    let mut service = connected(backend.service().events(None)).await;
    backend.agent("bob", "scout").task("Bob's").await;
    backend.agent("ann", "scout").task("Ann's").await;
    for events in [&mut ann, &mut anns_person] {
        assert_eq!(next(events).await.data["title"], "Ann's");
    }
    let told = [next(&mut service).await, next(&mut service).await];
    assert_eq!(told.map(|event| event.data["user_id"].clone()), ["bob", "ann"]);
}

#[tokio::test]
async fn who_comes_back_is_told_what_was_missed_also_after_a_restart() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let mut events = connected(backend.client("ann", "scout").events(None)).await;
    agent.task("seen").await;
    let seen = next(&mut events).await.id.unwrap();
    assert_eq!(events.last_id(), Some(seen.as_str()));
    drop(events);
    agent.task("missed 1").await;
    agent.task("missed 2").await;
    let backend = backend.restart().await;
    backend.agent("ann", "scout").task("new").await;
    let mut events = connected(backend.client("ann", "scout").events(Some(&seen))).await;
    let mut titles = Vec::new();
    for _ in 0..3 {
        titles.push(next(&mut events).await.data["title"].clone());
    }
    assert_eq!(titles, ["missed 1", "missed 2", "new"]);
    // Without an id it begins now.
    let mut fresh = connected(backend.client("ann", "scout").events(None)).await;
    backend.agent("ann", "scout").task("newer").await;
    assert_eq!(next(&mut fresh).await.data["title"], "newer");
    assert_eq!(next(&mut events).await.data["title"], "newer");
}

#[tokio::test]
async fn an_id_that_was_never_given_out_is_refused_or_means_now() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    for wrong in ["x", "-1", "1.5", "99999999999999999999"] {
        let answer = listen(&agent, Some(wrong)).await;
        assert_eq!(answer.status(), 400, "{wrong}");
        let error: Value = answer.json().await.unwrap();
        assert_eq!(error["code"], "invalid_payload");
    }
    agent.task("before").await;
    let mut events = connected(backend.client("ann", "scout").events(Some("1000000"))).await;
    agent.task("after").await;
    assert_eq!(next(&mut events).await.data["title"], "after");
}

#[tokio::test]
async fn streams_end_when_the_backend_stops() {
    let backend = Backend::start().await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        let mut stream = listen(&backend.internal(), None).await;
        read_until(&mut stream, ": connected").await;
        streams.push(stream);
    }
    backend.stop().await;
    for mut stream in streams {
        assert!(within(stream.chunk()).await.expect("a clean end").is_none());
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let backend = Backend::start().await;
    let mut claims = claims();
    claims["exp"] = json!(now() + 2);
    let token = signed(Algorithm::HS256, SECRET, &claims);
    let mut stream = listen(&backend.nobody().with("x-agent-token", &token), None).await;
    read_until(&mut stream, ": connected").await;
    assert!(within(stream.chunk()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_comment_comes_when_nothing_happens() {
    let backend = Backend::start().await;
    let mut stream = listen(&backend.internal(), None).await;
    read_until(&mut stream, ": keep-alive\n\n").await;
}

#[tokio::test]
async fn who_reads_slowly_holds_up_nobody_and_misses_nothing() {
    const MANY: usize = 2_000;
    let backend = Backend::start().await;
    let mut slow = connected(backend.service().events(None)).await;
    // Enough to fill what connections hold on their own.
    let text = "x".repeat(3_000);
    sqlx::query(
        r#"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
         INSERT INTO events (user_id, kind, data, created_at)
         SELECT 'ann', 'task.created', '{"n": ' || i || ', "text": "' || $2 || '"}', $3 FROM n"#,
    )
    .bind(i64::try_from(MANY).unwrap())
    .bind(text)
    .bind(chrono::Utc::now().to_rfc3339())
    .execute(&mut backend.database().await)
    .await
    .unwrap();
    let mut quick = connected(backend.service().events(Some("0"))).await;
    backend.agent("bob", "scout").task("Bob's").await;
    let told = until(&mut quick, "task.created").await;
    assert_eq!(told[0].data["n"], 1);
    for n in 2..=MANY {
        assert_eq!(next(&mut quick).await.data["n"], json!(n));
    }
    assert_eq!(next(&mut quick).await.data["title"], "Bob's");
    for n in 1..=MANY {
        assert_eq!(next(&mut slow).await.data["n"], json!(n));
    }
    assert_eq!(next(&mut slow).await.data["title"], "Bob's");
}

/// A backend that is not what it should be: takes one connection and gives the request's head.
async fn head(listener: &TcpListener) -> (TcpStream, Vec<String>) {
    let (mut stream, _) = within(listener.accept()).await.unwrap();
    let mut lines = BufReader::new(&mut stream).lines();
    let mut head = Vec::new();
    while let Some(line) = within(lines.next_line()).await.unwrap().filter(|line| !line.is_empty())
    {
        head.push(line.to_lowercase());
    }
    (stream, head)
}

fn client_of(listener: &TcpListener) -> Events {
    let http = service::http::client_builder().no_proxy().build().unwrap();
    let retry = RetryPolicy { delay: Duration::from_millis(1), ..RetryPolicy::default() };
    let url = format!("http://{}", listener.local_addr().unwrap());
    McClient::new(&url, http, retry).internal("token".into()).events(None)
}

const OPEN: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

#[tokio::test]
async fn the_client_opens_a_broken_stream_again_after_the_event_it_had() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut events = client_of(&listener);
    let backend = tokio::spawn(async move {
        let (mut first, head_of_first) = head(&listener).await;
        let text = format!("{OPEN}: hello\n\nid: 7\nevent: a.b\ndata: {{\"n\":1}}\n\ndata: cut of");
        first.write_all(text.as_bytes()).await.unwrap();
        drop(first);
        let (mut refused, _) = head(&listener).await;
        let text = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
        refused.write_all(text.as_bytes()).await.unwrap();
        drop(refused);
        let (mut second, head_of_second) = head(&listener).await;
        let text = format!("{OPEN}id: 8\ndata: {{\"type\":\"c.d\"}}\n\n");
        second.write_all(text.as_bytes()).await.unwrap();
        (second, head_of_first, head_of_second)
    });
    assert_eq!(within(events.next()).await.unwrap(), News::Connected);
    let first = next(&mut events).await;
    assert_eq!((first.kind.as_str(), &first.data), ("a.b", &json!({ "n": 1 })));
    broken(&mut events).await;
    assert_eq!(within(events.next()).await.unwrap_err().status(), Some(503));
    assert_eq!(within(events.next()).await.unwrap(), News::Connected);
    assert_eq!(next(&mut events).await.kind, "c.d");
    let (_second, head_of_first, head_of_second) = backend.await.unwrap();
    assert!(head_of_first.contains(&"accept: text/event-stream".to_owned()), "{head_of_first:?}");
    assert!(!head_of_first.iter().any(|line| line.starts_with("last-event-id")));
    assert!(head_of_second.contains(&"last-event-id: 7".to_owned()), "{head_of_second:?}");
}

#[tokio::test]
async fn the_client_gives_up_a_connection_on_which_nothing_comes_or_no_end_of_an_event() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut events = client_of(&listener).with_idle_timeout(Duration::from_millis(100));
    let backend = tokio::spawn(async move {
        let (mut silent, _) = head(&listener).await;
        silent.write_all(OPEN.as_bytes()).await.unwrap();
        let (mut endless, _) = head(&listener).await;
        endless.write_all(format!("{OPEN}data: ").as_bytes()).await.unwrap();
        let chunk = "x".repeat(64 * 1024);
        // Until the client hangs up.
        while endless.write_all(chunk.as_bytes()).await.is_ok() {}
        let (mut good, _) = head(&listener).await;
        good.write_all(format!("{OPEN}data: 1\n\n").as_bytes()).await.unwrap();
        (silent, good)
    });
    for cause in ["idle timeout", "size limit"] {
        assert_eq!(within(events.next()).await.unwrap(), News::Connected);
        let told = broken(&mut events).await;
        assert!(told.contains(cause), "{told}");
    }
    assert_eq!(within(events.next()).await.unwrap(), News::Connected);
    assert_eq!(next(&mut events).await.data, json!(1));
    drop(backend.await.unwrap());
}
