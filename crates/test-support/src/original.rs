//! A backend as teams have it that come from the TypeScript original: it keeps that one's contract 1.1.0
//! and knows nothing of ours. What the original's example refuses is refused here in the same form, and
//! what it does not know is 404; so nothing that a program of ours asks for beyond it goes unnoticed.
//!
//! Learned from `examples/mission-control-lite` and `src/scripts` of AppLetico/wombat, commit 6ae477f, and
//! from jose 5.6.3 and fastify 4.26.2, which it is built with.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

/// Where the contract's endpoints are.
const MC: &str = "/api/mission-control";

/// The names of what the example offers.
const FEATURES: [&str; 6] =
    ["task_list", "task_create", "message_post", "document_post", "tool_discover", "tool_execute"];

/// The backend. It lives as long as the test's runtime.
#[derive(Debug, Clone)]
pub struct Original {
    /// Where it listens.
    pub url: String,
    shared: Arc<Mutex<Shared>>,
}

/// How it is built.
#[derive(Debug, Clone)]
pub struct Build {
    /// `AGENT_JWT_SECRET`.
    pub secret: String,
    /// `INTERNAL_API_TOKEN`; with it the backend has notifications, heartbeat and standup, as the original's
    /// scripts call them.
    pub internal: Option<String>,
    /// Ids are numbers and times have no zone, as its database and framework write them.
    pub has_numbers: bool,
}

#[derive(Debug)]
struct Shared {
    build: Build,
    tasks: Vec<Value>,
    messages: Vec<Value>,
    documents: Vec<Value>,
    deliveries: Vec<Value>,
    delivered: Vec<String>,
    /// Path, idempotency key → body as text, answer. Not by user, as in the example.
    keys: HashMap<(String, String), (String, Value)>,
    /// `METHOD /path` of all requests that were answered with 404 or 405.
    unknown: Vec<String>,
}

/// What was stored, of one kind.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Tasks.
    Task,
    /// Messages.
    Message,
    /// Documents.
    Document,
}

impl Original {
    /// Starts it on a free port.
    pub async fn start(build: Build) -> Self {
        let (tasks, messages, documents) = Default::default();
        let (deliveries, delivered, keys, unknown) = Default::default();
        let shared =
            Shared { build, tasks, messages, documents, deliveries, delivered, keys, unknown };
        let shared = Arc::new(Mutex::new(shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let app = Router::new().fallback(serve).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, shared }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was stored.
    pub fn stored(&self, kind: Kind) -> Vec<Value> {
        self.shared().of(kind).clone()
    }

    /// Puts a notification into the queue.
    pub fn notify(&self, delivery: Value) {
        self.shared().deliveries.push(delivery);
    }

    /// The ids of the notifications that were acknowledged.
    pub fn delivered(&self) -> Vec<String> {
        self.shared().delivered.clone()
    }

    /// What was asked for and does not exist here, each once.
    pub fn unknown(&self) -> Vec<String> {
        let mut unknown = self.shared().unknown.clone();
        unknown.sort();
        unknown.dedup();
        unknown
    }
}

impl Shared {
    fn of(&mut self, kind: Kind) -> &mut Vec<Value> {
        match kind {
            Kind::Task => &mut self.tasks,
            Kind::Message => &mut self.messages,
            Kind::Document => &mut self.documents,
        }
    }

    /// Who calls, by its token; the text of the refusal is jose's.
    fn user(&self, headers: &HeaderMap) -> Result<String, String> {
        let token = headers.get("x-agent-token").and_then(|value| value.to_str().ok());
        let token = token.filter(|token| !token.is_empty()).ok_or("Missing X-Agent-Token")?;
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        validation.validate_nbf = true;
        validation.required_spec_claims.clear();
        let key = DecodingKey::from_secret(self.build.secret.as_bytes());
        let claims = jsonwebtoken::decode::<Value>(token, &key, &validation);
        let claims = claims.map_err(|error| match error.kind() {
            ErrorKind::InvalidSignature => "signature verification failed".to_owned(),
            ErrorKind::ExpiredSignature => r#""exp" claim timestamp check failed"#.to_owned(),
            ErrorKind::ImmatureSignature => r#""nbf" claim timestamp check failed"#.to_owned(),
            _ => "Invalid Compact JWS".to_owned(),
        })?;
        let text = |name: &str| claims.claims[name].as_str().filter(|text| !text.is_empty());
        match (text("type"), text("user_id"), text("agent_role")) {
            (Some("agent"), Some(user), Some(_)) => Ok(user.to_owned()),
            _ => Err("Invalid agent token".to_owned()),
        }
    }

    fn create(&mut self, kind: Kind, user: &str, body: &Map<String, Value>) -> Response {
        let (path, needed, why): (&str, &[&str], &str) = match kind {
            Kind::Task => ("tasks", &["title"], "title is required"),
            Kind::Message => {
                ("messages", &["task_id", "content"], "task_id and content are required")
            }
            Kind::Document => (
                "documents",
                &["task_id", "title", "content"],
                "task_id, title, and content are required",
            ),
        };
        let is_given = |name: &&str| body.get(*name).is_some_and(|value| *value != json!(""));
        if !needed.iter().all(is_given) {
            return error(400, why);
        }
        let text = Value::Object(body.clone()).to_string();
        let key = body.get("idempotency_key").and_then(Value::as_str);
        let key = key.map(|key| (path.to_owned(), key.to_owned()));
        if let Some((before, answer)) = key.as_ref().and_then(|key| self.keys.get(key)) {
            return match *before == text {
                true => axum::Json(answer.clone()).into_response(),
                false => error(409, "idempotency_key conflict"),
            };
        }
        let has_numbers = self.build.has_numbers;
        let of_kind = self.of(kind);
        let mut made = body.clone();
        made.remove("idempotency_key");
        made.insert("user_id".to_owned(), json!(user));
        let id = of_kind.len() + 1;
        let id = if has_numbers { json!(id) } else { json!(uuid::Uuid::new_v4()) };
        made.insert("id".to_owned(), id);
        if has_numbers {
            made.insert("created_at".to_owned(), json!("2026-02-01T19:20:00.123456"));
        }
        if matches!(kind, Kind::Task) {
            made.entry("status").or_insert(json!("in_progress"));
        }
        // The example knows no plans.
        if matches!(kind, Kind::Document) && made.get("doc_type") == Some(&json!("plan")) {
            made.insert("doc_type".to_owned(), json!("deliverable"));
        }
        let made = Value::Object(made);
        of_kind.push(made.clone());
        if let Some(key) = key {
            self.keys.insert(key, (text, made.clone()));
        }
        axum::Json(made).into_response()
    }

    /// The endpoints that want an agent.
    fn for_agent(&mut self, user: &str, call: &Call<'_>) -> Option<Response> {
        let answer = match (call.method.as_str(), call.path) {
            ("GET", "/api/mission-control/capabilities") => {
                let also = self.build.internal.is_some();
                json!({
                    "version": "0.1.0", "contract_version": "1.1.0", "features_list": FEATURES,
                    "features": {
                        "tasks": true, "messages": true, "documents": true,
                        "notifications_dispatch": also, "events_sse": false, "heartbeat": also,
                        "standup": also, "tool_requests": false,
                    },
                })
            }
            ("GET", "/api/mission-control/tasks") => {
                let limit = call.query.iter().find(|(name, _)| name == "limit");
                let limit = limit.and_then(|(_, limit)| limit.parse().ok()).unwrap_or(50);
                let own = self.tasks.iter().filter(|task| task["user_id"] == *user);
                json!({ "items": own.take(usize::clamp(limit, 1, 100)).collect::<Vec<_>>() })
            }
            ("POST", "/api/mission-control/tasks") => {
                return Some(self.create(Kind::Task, user, call.body));
            }
            ("POST", "/api/mission-control/messages") => {
                return Some(self.create(Kind::Message, user, call.body));
            }
            ("POST", "/api/mission-control/documents") => {
                return Some(self.create(Kind::Document, user, call.body));
            }
            ("GET", "/api/tools") => json!({ "tools": [{
                "name": "echo", "description": "Gives back what it gets.",
                "parameters": { "type": "object", "required": ["message"],
                    "properties": { "message": { "type": "string" } } },
            }] }),
            ("POST", "/api/tools/echo") => {
                let arguments = call.body.get("arguments");
                json!({ "message": arguments.and_then(|arguments| arguments.get("message")) })
            }
            ("POST", path) if path.starts_with("/api/tools/") => {
                return Some(error(404, "tool not found"));
            }
            ("POST", "/api/mission-control/heartbeat") if self.build.internal.is_some() => {
                json!({ "ok": true, "user_id": user })
            }
            ("POST", "/api/mission-control/standup") if self.build.internal.is_some() => {
                json!({ "summary": "1 task done.", "done": ["Call Bob"] })
            }
            _ => return None,
        };
        Some(axum::Json(answer).into_response())
    }

    /// The endpoints of the dispatcher, which the original calls with `GET`.
    fn for_dispatcher(&mut self, call: &Call<'_>) -> Option<Response> {
        let path = call.path.strip_prefix("/api/mission-control/dispatch/")?;
        match (call.method.as_str(), path) {
            ("GET", "undelivered") => {
                Some(axum::Json(json!({ "deliveries": self.deliveries })).into_response())
            }
            ("POST", path) => {
                let id = path.strip_prefix("notifications/")?.strip_suffix("/deliver")?;
                self.deliveries.retain(|delivery| text_of(&delivery["notification_id"]) != id);
                self.delivered.push(id.to_owned());
                Some(axum::Json(json!({ "ok": true })).into_response())
            }
            _ => None,
        }
    }
}

/// One request.
struct Call<'a> {
    method: &'a Method,
    path: &'a str,
    query: &'a [(String, String)],
    body: &'a Map<String, Value>,
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn error(status: u16, why: &str) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    (status, axum::Json(json!({ "error": why }))).into_response()
}

async fn serve(State(shared): State<Arc<Mutex<Shared>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap_or_default();
    let kind = parts.headers.get("content-type").map(|kind| kind.to_str().unwrap_or_default());
    if !bytes.is_empty() && kind != Some("application/json") {
        return error(415, "Unsupported Media Type");
    }
    let body = match (bytes.is_empty(), serde_json::from_slice::<Value>(&bytes)) {
        (true, _) => Map::new(),
        (false, Ok(Value::Object(body))) => body,
        (false, _) => return error(400, "Bad Request"),
    };
    let path = parts.uri.path();
    let query = parts.uri.query().unwrap_or_default().split('&');
    let query: Vec<(String, String)> = query
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let call = Call { method: &parts.method, path, query: &query, body: &body };
    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let answer = match (path, &shared.build.internal) {
        ("/health", _) => Some(axum::Json(json!({ "status": "ok" })).into_response()),
        ("/api/capabilities", _) => {
            let all =
                json!({ "version": "0.1.0", "contract_version": "1.1.0", "features": FEATURES });
            Some(axum::Json(all).into_response())
        }
        (path, Some(internal)) if path.starts_with(&format!("{MC}/dispatch/")) => {
            let given = parts.headers.get("x-internal-token").map(|token| token.as_bytes());
            match given == Some(internal.as_bytes()) {
                true => shared.for_dispatcher(&call),
                false => Some(error(401, "invalid internal token")),
            }
        }
        _ => match shared.user(&parts.headers) {
            Ok(user) => shared.for_agent(&user, &call),
            Err(why) => Some(error(401, &why)),
        },
    };
    answer.unwrap_or_else(|| {
        shared.unknown.push(format!("{} {path}", parts.method));
        let told = json!({
            "message": format!("Route {}:{path} not found", parts.method), "error": "Not Found",
            "statusCode": 404,
        });
        (StatusCode::NOT_FOUND, axum::Json(told)).into_response()
    })
}
