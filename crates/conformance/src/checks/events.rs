//! The event stream.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::suite::Suite;
use crate::verdict::{NotPassed, ensure, failed};

/// The timeout for an expected event.
const EVENT_TIMEOUT: Duration = Duration::from_secs(15);

/// How long to watch for an event that must not come.
const QUIET: Duration = Duration::from_millis(700);

/// An open stream of server-sent events.
pub(super) struct Stream {
    response: reqwest::Response,
    read: String,
}

/// An event.
pub(super) struct Event {
    pub(super) id: String,
    kind: String,
    pub(super) data: Value,
}

impl Stream {
    pub(super) async fn open(caller: &Caller<'_>, after: Option<&str>) -> Result<Self, NotPassed> {
        Self::open_at(caller, "/events", after).await
    }

    /// The same with a query.
    pub(super) async fn open_at(
        caller: &Caller<'_>,
        path: &str,
        after: Option<&str>,
    ) -> Result<Self, NotPassed> {
        let mut request = caller.request(Method::GET, path)?;
        request = request.header("accept", "text/event-stream");
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let lost = |error: reqwest::Error| {
            NotPassed::Failed(format!("GET /events: {}", shown::cause(&error)))
        };
        let answer = tokio::time::timeout(EVENT_TIMEOUT, request.send()).await;
        let Ok(answer) = answer else { return failed("GET /events: no response") };
        let response = answer.map_err(lost)?;
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok());
        let fits = response.status() == 200
            && kind.is_some_and(|kind| kind.starts_with("text/event-stream"));
        ensure(fits, || {
            format!(
                "GET /events: expected 200 with Content-Type: text/event-stream, got {}, {kind:?}",
                response.status()
            )
        })?;
        Ok(Self { response, read: String::new() })
    }

    /// The next event; `None` after the timeout.
    async fn next(&mut self, wait: Duration) -> Result<Option<Event>, NotPassed> {
        let until = tokio::time::Instant::now() + wait;
        loop {
            while let Some(end) = self.read.find("\n\n") {
                let block = self.read[..end].to_owned();
                self.read.drain(..end + 2);
                if let Some(event) = event(&block) {
                    return Ok(Some(event));
                }
            }
            match tokio::time::timeout_at(until, self.response.chunk()).await {
                Err(_) => return Ok(None),
                Ok(Ok(Some(bytes))) => {
                    self.read.push_str(&String::from_utf8_lossy(&bytes).replace('\r', ""));
                }
                Ok(Ok(None)) => {
                    return failed("GET /events: expected the stream to stay open, got its end");
                }
                Ok(Err(error)) => {
                    return failed(format!("GET /events: the connection failed: {error}"));
                }
            }
        }
    }

    /// The next event of a kind about an object; skips others.
    pub(super) async fn about(&mut self, kind: &str, id: &str) -> Result<Event, NotPassed> {
        self.about_but(kind, id, "").await
    }

    /// The same, where one of another kind must not come.
    pub(super) async fn about_but(
        &mut self,
        kind: &str,
        id: &str,
        never: &str,
    ) -> Result<Event, NotPassed> {
        loop {
            let Some(event) = self.next(EVENT_TIMEOUT).await? else {
                return failed(format!(
                    "expected {kind} for {id} within {} s, got no such event",
                    EVENT_TIMEOUT.as_secs()
                ));
            };
            ensure(event.kind != never, || format!("expected no {never}, got one"))?;
            if event.kind == kind && event.data.to_string().contains(id) {
                return Ok(event);
            }
        }
    }
}

/// A block of a stream that is an event (HTML, 9.2.6).
fn event(block: &str) -> Option<Event> {
    let field = |name: &str| {
        let of = |line: &str| {
            let rest = line.strip_prefix(name)?.strip_prefix(':')?;
            Some(rest.strip_prefix(' ').unwrap_or(rest).to_owned())
        };
        block.lines().filter_map(of).collect::<Vec<_>>()
    };
    let data = field("data");
    if data.is_empty() {
        return None;
    }
    let data: Value = serde_json::from_str(&data.join("\n")).ok()?;
    let named = data["type"].as_str().unwrap_or_default().to_owned();
    let kind = field("event").pop().unwrap_or(named);
    Some(Event { id: field("id").pop().unwrap_or_default(), kind, data })
}

pub(crate) async fn run(suite: &mut Suite<'_>) {
    let sentence =
        "GET /events: SSE of task.*, message.*, document.*; an agent token hears its own tenant's";
    suite
        .check("own-events", &["events_sse"], sentence, async |w| {
            let mut stream = Stream::open(&w.agent(&w.one), None).await?;
            let others = w.task(&w.two, "another's").await?;
            let task = w.task(&w.one, "own").await?;
            let event = stream.about("task.created", &task).await?;
            ensure(!event.id.is_empty(), || "expected an id with each event, got none".to_owned())?;
            let message = json!({ "task_id": task, "content": "said" });
            let message = w.agent(&w.one).post("/messages", message).await?;
            stream.about("message.created", message.text_at("id")?).await?;
            let document = json!({ "title": w.title("d"), "content": "x", "task_id": task });
            let document = w.agent(&w.one).post("/documents", document).await?;
            stream.about("document.created", document.text_at("id")?).await?;
            w.task(&w.two, "another's again").await?;
            if let Some(event) = stream.next(QUIET).await? {
                let own = event.data["user_id"].as_str().is_none_or(|user| user == w.one);
                ensure(own && !event.data.to_string().contains(&others), || {
                    format!("expected only own events, got {} of another tenant", event.kind)
                })?;
            }
            Ok("own tasks, messages and documents, nobody else's".to_owned())
        })
        .await;
    let sentence = "internal token → all";
    suite
        .check("all-events", &["events_sse"], sentence, async |w| {
            let mut stream = Stream::open(&w.service()?, None).await?;
            for user in [&w.one, &w.two] {
                let task = w.task(user, "anybody's").await?;
                stream.about("task.created", &task).await?;
            }
            Ok("both users' events".to_owned())
        })
        .await;
    let sentence = "resumes from Last-Event-ID";
    suite
        .check("resumed-events", &["events_sse"], sentence, async |w| {
            let mut stream = Stream::open(&w.agent(&w.one), None).await?;
            let seen = w.task(&w.one, "seen").await?;
            let last = stream.about("task.created", &seen).await?.id;
            drop(stream);
            let missed = w.task(&w.one, "missed").await?;
            let mut stream = Stream::open(&w.agent(&w.one), Some(&last)).await?;
            loop {
                let Some(event) = stream.next(EVENT_TIMEOUT).await? else {
                    return failed("expected the missed event after Last-Event-ID, got none");
                };
                let text = event.data.to_string();
                ensure(!text.contains(&seen), || {
                    "expected no event up to Last-Event-ID again, got one".to_owned()
                })?;
                if event.kind == "task.created" && text.contains(&missed) {
                    return Ok("the missed event, and none twice".to_owned());
                }
            }
        })
        .await;
}
