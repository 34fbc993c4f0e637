//! A backend and a daemon in one server. The backend hands out what is not delivered yet; the
//! daemon answers as the test says.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use service::settings::Layers;
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;
use wombat_dispatcher::{DispatchError, Settings};

pub(crate) type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;
pub(crate) type Daemon = Arc<dyn Fn(Value) -> Answer + Send + Sync>;

#[derive(Default)]
pub(crate) struct Log {
    pub(crate) waiting: Vec<Value>,
    pub(crate) polls: Vec<(Method, HashMap<String, String>)>,
    pub(crate) sent: Vec<Value>,
    pub(crate) send_headers: Vec<HeaderMap>,
    pub(crate) acked: Vec<String>,
    pub(crate) dead: Vec<(String, Value)>,
    /// Acknowledgements that are answered with 500 first.
    pub(crate) fail_acks: usize,
    pub(crate) verb: Option<Method>,
    pub(crate) poll_down: bool,
    /// What polls are answered with instead.
    pub(crate) poll_answer: Option<(u16, &'static str, &'static str)>,
    /// The notifications that were posted.
    pub(crate) notified: Vec<Value>,
    /// What that is answered with instead.
    pub(crate) notify_status: Option<u16>,
    /// How many were acknowledged by each call that takes several.
    pub(crate) batches: Vec<usize>,
    /// What a call that takes several is answered with instead.
    pub(crate) batch_status: Option<u16>,
    /// The `Last-Event-ID` of each stream of events that was opened.
    pub(crate) streams: Vec<Option<String>>,
    pub(crate) events_down: bool,
    /// Runs whose instance died; each is given out once.
    pub(crate) orphans: Vec<Value>,
    /// The bodies of the calls that asked for them.
    pub(crate) orphan_polls: Vec<Value>,
    /// What was posted as a detached run.
    pub(crate) resumed: Vec<Value>,
    /// What that is answered with at first, one after the other, instead of 202.
    pub(crate) resume_answers: Vec<(u16, &'static str)>,
    /// Runs that the backend has ended; each is told once.
    pub(crate) ended: Vec<Value>,
    /// Keys and sessions of runs that the daemon was asked for.
    pub(crate) looked_at: Vec<(String, String)>,
    /// The statuses that this is answered with at first.
    pub(crate) look_answers: Vec<u16>,
    /// The wait that these ask for, in seconds.
    pub(crate) retry_after: Option<u32>,
    /// How often somebody asked whether the daemon is there.
    pub(crate) probes: usize,
    /// Whether it says so.
    pub(crate) daemon_away: bool,
    listeners: Vec<UnboundedSender<Bytes>>,
}

impl Log {
    /// Sends this to all who listen.
    pub(crate) fn tell(&mut self, text: &str) {
        self.listeners.retain(|listener| listener.send(text.to_owned().into()).is_ok());
    }

    /// Ends all streams, in the middle of what they say.
    pub(crate) fn break_streams(&mut self) {
        self.listeners.clear();
    }
}

#[derive(Clone)]
pub(crate) struct Fake {
    pub(crate) url: String,
    pub(crate) log: Arc<Mutex<Log>>,
    daemon: Daemon,
    features: Value,
}

pub(crate) fn status(status: u16, code: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, Json(json!({"error": "why", "code": code}))).into_response()
}

pub(crate) fn ok() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

/// A daemon that answers at once.
pub(crate) fn answers(answer: impl Fn(&Value) -> Response + Send + Sync + 'static) -> Daemon {
    Arc::new(move |body| {
        let response = answer(&body);
        Box::pin(async move { response })
    })
}

pub(crate) fn notification(user: &str, id: &str) -> Value {
    json!({"notification_id": id, "user_id": user, "session_key": format!("user:{user}:scout"),
           "content": format!("content {id}")})
}

pub(crate) fn id_of(body: &Value) -> String {
    body["metadata"]["notification_id"].as_str().unwrap().to_owned()
}

impl Fake {
    pub(crate) async fn start(daemon: Daemon, features: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let fake = Self { url, log: Arc::default(), daemon, features };
        let mc = "/api/mission-control";
        let router = Router::new()
            .route(&format!("{mc}/capabilities"), get(capabilities))
            .route(&format!("{mc}/dispatch/undelivered"), any(undelivered))
            .route(&format!("{mc}/dispatch/notifications/{{id}}/deliver"), post(deliver))
            .route(&format!("{mc}/dispatch/notifications/{{id}}/fail"), post(fail))
            .route(&format!("{mc}/dispatch/deliver"), post(deliver_many))
            .route(&format!("{mc}/events"), get(events))
            .route(&format!("{mc}/notifications"), post(notify))
            .route(&format!("{mc}/dispatch/orphans"), post(orphans))
            .route("/api/agents", get(agents))
            .route("/api/agents/runs", post(runs))
            .route("/api/agents/runs/{key}", get(look))
            .route("/api/agents/send", post(send))
            .with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        fake
    }

    pub(crate) fn put(&self, notifications: impl IntoIterator<Item = Value>) {
        self.log.lock().unwrap().waiting.extend(notifications);
    }

    pub(crate) fn read<T>(&self, read: impl FnOnce(&mut Log) -> T) -> T {
        read(&mut self.log.lock().unwrap())
    }

    pub(crate) fn pairs(&self) -> Vec<(&'static str, String)> {
        vec![
            ("INTERNAL_API_TOKEN", "internal".into()),
            ("AGENT_JWT_SECRET", "0123456789abcdef0123456789abcdef".into()),
            ("BACKEND_URL", self.url.clone()),
            ("AGENT_DAEMON_URL", self.url.clone()),
            ("AGENT_DAEMON_API_KEY", "daemon-key".into()),
            ("DISPATCH_MIN_INTERVAL_SEC", "0.02".into()),
            ("DISPATCH_MAX_INTERVAL_SEC", "0.05".into()),
        ]
    }

    /// Runs a dispatcher to the end of the queue.
    pub(crate) async fn drain(&self, more: &[(&'static str, &str)]) -> Result<(), DispatchError> {
        let settings = self.settings(more);
        let stop = CancellationToken::new();
        work_in_time(wombat_dispatcher::run(&settings, true, None, stop)).await
    }

    pub(crate) fn settings(&self, more: &[(&'static str, &str)]) -> Settings {
        let mut pairs = self.pairs();
        pairs.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Settings::read(&Layers::from_pairs(pairs)).unwrap()
    }

    /// Starts a dispatcher that runs until the token says stop.
    pub(crate) fn dispatch(&self, more: &[(&'static str, &str)]) -> Running {
        let settings = self.settings(more);
        let stop = CancellationToken::new();
        let token = stop.clone();
        let task =
            tokio::spawn(
                async move { wombat_dispatcher::run(&settings, false, None, token).await },
            );
        Running { stop, task }
    }

    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&mut Log) -> bool) {
        let wait = async {
            while !self.read(&condition) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect(what);
    }
}

pub(crate) struct Running {
    pub(crate) stop: CancellationToken,
    pub(crate) task: tokio::task::JoinHandle<Result<(), DispatchError>>,
}

impl Running {
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        work_in_time(async { self.task.await.unwrap() }).await.unwrap();
    }
}

async fn work_in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), work).await.expect("ends in time")
}

async fn capabilities(State(fake): State<Fake>, headers: HeaderMap) -> Response {
    assert!(headers.contains_key("x-agent-token") || headers["x-internal-token"] == "internal");
    Json(json!({"contract_version": "v1", "features": fake.features})).into_response()
}

async fn undelivered(
    State(fake): State<Fake>,
    method: Method,
    headers: HeaderMap,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    assert_eq!(headers["x-internal-token"], "internal");
    fake.read(|log| {
        log.polls.push((method.clone(), query));
        if let Some((status, kind, body)) = log.poll_answer {
            let status = StatusCode::from_u16(status).unwrap();
            return (status, [("content-type", kind)], body).into_response();
        }
        if log.poll_down {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        if log.verb.as_ref().is_some_and(|verb| *verb != method) {
            return StatusCode::METHOD_NOT_ALLOWED.into_response();
        }
        let limit = log.polls.last().unwrap().1["limit_notifications"].parse().unwrap();
        let deliveries: Vec<_> = log.waiting.iter().take(limit).cloned().collect();
        Json(json!({"deliveries": deliveries})).into_response()
    })
}

fn done(log: &mut Log, id: &str, query: &HashMap<String, String>) {
    let at = log.waiting.iter().position(|item| item["notification_id"] == id);
    if let Some(at) = at {
        assert_eq!(log.waiting[at]["user_id"], query["user_id"].as_str());
        log.waiting.remove(at);
    }
}

async fn deliver(
    State(fake): State<Fake>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    fake.read(|log| {
        if log.fail_acks > 0 {
            log.fail_acks -= 1;
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        done(log, &id, &query);
        log.acked.push(id);
        ok()
    })
}

async fn deliver_many(State(fake): State<Fake>, Json(body): Json<Value>) -> Response {
    fake.read(|log| {
        if let Some(answer) = log.batch_status {
            return status(answer, "no");
        }
        if log.fail_acks > 0 {
            log.fail_acks -= 1;
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        let items = body["deliveries"].as_array().unwrap().clone();
        log.batches.push(items.len());
        let mut unknown = Vec::new();
        for item in items {
            let id = item["notification_id"].as_str().unwrap().to_owned();
            if !log.waiting.iter().any(|one| one["notification_id"] == item["notification_id"]) {
                unknown.push(id);
                continue;
            }
            let user = item["user_id"].as_str().unwrap().to_owned();
            done(log, &id, &HashMap::from([("user_id".to_owned(), user)]));
            log.acked.push(id);
        }
        Json(json!({"delivered": log.acked.len(), "not_found": unknown})).into_response()
    })
}

async fn events(State(fake): State<Fake>, headers: HeaderMap) -> Response {
    assert_eq!(headers["x-internal-token"], "internal");
    let last = headers.get("last-event-id").map(|id| id.to_str().unwrap().to_owned());
    fake.read(|log| {
        log.streams.push(last);
        if log.events_down {
            return status(503, "down");
        }
        let (tell, told) = tokio::sync::mpsc::unbounded_channel();
        log.listeners.push(tell);
        let stream = futures::stream::unfold(told, |mut told| async move {
            Some((Ok::<Bytes, std::convert::Infallible>(told.recv().await?), told))
        });
        ([("content-type", "text/event-stream")], axum::body::Body::from_stream(stream))
            .into_response()
    })
}

async fn fail(
    State(fake): State<Fake>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    Json(body): Json<Value>,
) -> Response {
    if fake.features["notifications_fail"] != true {
        return StatusCode::NOT_FOUND.into_response();
    }
    fake.read(|log| {
        done(log, &id, &query);
        log.dead.push((id, body));
        ok()
    })
}

async fn send(State(fake): State<Fake>, headers: HeaderMap, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap();
    fake.read(|log| {
        log.sent.push(body.clone());
        log.send_headers.push(headers);
    });
    (fake.daemon)(body).await
}

async fn notify(State(fake): State<Fake>, Json(body): Json<Value>) -> Response {
    fake.read(|log| match log.notify_status {
        Some(answer) => status(answer, "no"),
        None => {
            log.notified.push(body);
            Json(json!({ "id": "n1" })).into_response()
        }
    })
}

async fn orphans(
    State(fake): State<Fake>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    assert_eq!(headers["x-internal-token"], "internal");
    fake.read(|log| {
        log.orphan_polls.push(body);
        let (runs, ended) = (std::mem::take(&mut log.orphans), std::mem::take(&mut log.ended));
        Json(json!({ "runs": runs, "ended": ended })).into_response()
    })
}

async fn look(State(fake): State<Fake>, Path(key): Path<String>, headers: HeaderMap) -> Response {
    let session = headers["x-wombat-session"].to_str().unwrap().to_owned();
    fake.read(|log| {
        log.looked_at.push((key, session));
        match log.look_answers.is_empty() {
            true => ok(),
            false => status(log.look_answers.remove(0), "draining"),
        }
    })
}

async fn agents(State(fake): State<Fake>) -> Response {
    fake.read(|log| {
        log.probes += 1;
        if log.daemon_away {
            status(503, "draining")
        } else {
            Json(json!({"agents": []})).into_response()
        }
    })
}

async fn runs(State(fake): State<Fake>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    assert_eq!(headers["x-agent-daemon-key"], "daemon-key");
    assert!(headers["traceparent"].to_str().unwrap().starts_with("00-"));
    fake.read(|log| {
        log.resumed.push(body);
        if !log.resume_answers.is_empty() {
            let (answer, code) = log.resume_answers.remove(0);
            let mut answer = status(answer, code);
            if let Some(wait) = log.retry_after {
                answer.headers_mut().insert("retry-after", wait.into());
            }
            return answer;
        }
        (StatusCode::ACCEPTED, Json(json!({"status": "queued"}))).into_response()
    })
}
