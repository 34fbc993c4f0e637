//! A2A 1.0: an agent card for each role, and its bindings JSON-RPC and HTTP+JSON (docs/PROTOCOLS.md).
//!
//! The protocol's task, and its context, is a task of the backend; its message is one run, whose key
//! is the message's id. Every instance serves every task; live updates come from the instance that
//! runs the task only.

mod ask;
mod card;
mod fault;
mod open_tasks;
mod stored;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use mc_client::client::AgentClient;
use mc_client::error::McError;
use mc_client::types::Capabilities;
use serde_json::{Map, Value, json};
use service::trace::TraceId;

use self::fault::{Fault, Kind};
use self::open_tasks::{OpenTask, OpenTasks};
use super::error::ApiError;
use super::extract::JsonObject;
use super::protocol_request::{ProtocolRequest, USER_HEADER, header_text, known_role};
use super::run_stream::RunStream;
use super::sse::{self, Event};
use crate::run::error::RunError;
use crate::state::App;

/// The supported version.
const VERSION: &str = "1.0";
const VERSION_HEADER: &str = "a2a-version";
/// The media type of the HTTP+JSON binding.
const MEDIA_TYPE: &str = "application/a2a+json";
/// The path of the default agent card.
const WELL_KNOWN: &str = "/.well-known/agent-card.json";

/// The endpoints.
pub(super) fn router() -> Router<App> {
    Router::new()
        .route(WELL_KNOWN, get(first_card))
        .route("/a2a/{role}/.well-known/agent-card.json", get(card))
        .route("/a2a/{role}", post(rpc).fallback(no_method))
        .route("/a2a/{role}/{*path}", any(rest))
        .layer(Extension(OpenTasks::default()))
}

/// Whether a path belongs to this protocol.
pub(super) fn is_path(path: &str) -> bool {
    path.starts_with("/a2a/") || path == WELL_KNOWN
}

/// An error of the middleware, in the form of the binding that the path belongs to.
pub(super) fn error_response(path: &str, error: &ApiError) -> Response {
    let status = error.status;
    let fault = Fault::from(error.clone());
    let is_rpc = path.strip_prefix("/a2a/").is_some_and(|rest| !rest.contains('/'));
    if is_rpc { fault.rpc_response(&Value::Null, status) } else { fault.rest_response() }
}

async fn no_method() -> Response {
    let fault = Fault::new(Kind::Request, "the JSON-RPC endpoint supports POST only");
    fault.rpc_response(&Value::Null, StatusCode::METHOD_NOT_ALLOWED)
}

/// A body of the HTTP+JSON binding.
fn json_response(status: StatusCode, body: &Value) -> Response {
    let mut response = (status, body.to_string()).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response
}

/// The card of the workspace's first role.
async fn first_card(State(app): State<App>, headers: HeaderMap) -> Response {
    let roles = app.workspace.snapshot().agents();
    match roles.first() {
        Some(agent) => json_card(&card::of(&app, &headers, &agent.role)),
        None => Fault::new(Kind::Unsupported, "the workspace has no role").rest_response(),
    }
}

async fn card(State(app): State<App>, Path(role): Path<String>, headers: HeaderMap) -> Response {
    match known_role(&app, &role) {
        Ok(role) => json_card(&card::of(&app, &headers, &role)),
        Err(error) => Fault::from(error).rest_response(),
    }
}

fn json_card(card: &Value) -> Response {
    axum::Json(card).into_response()
}

/// One request of either binding.
struct Incoming {
    app: App,
    trace: TraceId,
    open_tasks: OpenTasks,
    role: String,
    headers: HeaderMap,
}

/// The result of a request: one object, or a stream of them.
enum Reply {
    One(Value),
    Many(BoxStream<'static, Value>),
}

async fn rpc(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    Extension(open_tasks): Extension<OpenTasks>,
    Path(role): Path<String>,
    headers: HeaderMap,
    body: Result<JsonObject, ApiError>,
) -> Response {
    let JsonObject(mut body) = match body {
        Ok(body) => body,
        Err(error) => {
            let status = error.status;
            return Fault::from(error).rpc_response(&Value::Null, status);
        }
    };
    let id = body.remove("id").unwrap_or(Value::Null);
    let is_id = id.is_string() || id.is_i64() || id.is_u64();
    let method = body.get("method").and_then(Value::as_str).map(str::to_owned);
    let (Some(method), true, true) = (method, is_id, body.get("jsonrpc") == Some(&json!("2.0")))
    else {
        let fault = Fault::new(Kind::Request, "the body is not a JSON-RPC 2.0 request");
        return fault.rpc_response(&Value::Null, StatusCode::BAD_REQUEST);
    };
    let params = match body.remove("params") {
        Some(Value::Object(params)) => params,
        None | Some(Value::Null) => Map::new(),
        Some(_) => {
            let fault = Fault::new(Kind::Params, "params: must be an object");
            return fault.rpc_response(&id, StatusCode::OK);
        }
    };
    let incoming = Incoming { app, trace, open_tasks, role, headers };
    let wrapped =
        |id: &Value, result: Value| json!({ "jsonrpc": "2.0", "id": id, "result": result });
    match incoming.perform(&method, params).await {
        Ok(Reply::One(result)) => axum::Json(wrapped(&id, result)).into_response(),
        Ok(Reply::Many(events)) => {
            sse::response(events.map(move |event| Event::data(wrapped(&id, event).to_string())))
        }
        Err(fault) => fault.rpc_response(&id, StatusCode::OK),
    }
}

/// The HTTP+JSON binding. Its verbs follow a colon, where the router cannot distinguish them.
async fn rest(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    Extension(open_tasks): Extension<OpenTasks>,
    Path((role, path)): Path<(String, String)>,
    parts: Parts,
    body: Result<JsonObject, ApiError>,
) -> Response {
    let query = match Query::<Map<String, Value>>::try_from_uri(&parts.uri) {
        Ok(Query(query)) => query,
        Err(rejection) => return Fault::new(Kind::Params, rejection.body_text()).rest_response(),
    };
    let incoming = Incoming { app, trace, open_tasks, role, headers: parts.headers };
    match incoming.rest(&parts.method, &path, query, body).await {
        Ok(Reply::One(result)) => json_response(StatusCode::OK, &result),
        Ok(Reply::Many(events)) => {
            sse::response(events.map(|event| Event::data(event.to_string())))
        }
        Err(fault) => fault.rest_response(),
    }
}

impl Incoming {
    async fn rest(
        self,
        method: &Method,
        path: &str,
        mut query: Map<String, Value>,
        body: Result<JsonObject, ApiError>,
    ) -> Result<Reply, Fault> {
        let parts: Vec<_> = path.split('/').collect();
        let (name, id) = match (method.as_str(), parts.as_slice()) {
            ("POST", ["message:send"]) => ("SendMessage", None),
            ("POST", ["message:stream"]) => ("SendStreamingMessage", None),
            ("GET", ["tasks"]) => ("ListTasks", None),
            ("GET" | "POST", ["tasks", last]) => match (method.as_str(), last.rsplit_once(':')) {
                ("POST", Some((id, "cancel"))) => ("CancelTask", Some(id)),
                (_, Some((id, "subscribe"))) => ("SubscribeToTask", Some(id)),
                ("GET", _) => ("GetTask", Some(*last)),
                _ => ("", None),
            },
            (_, ["tasks", _, "pushNotificationConfigs", ..]) => {
                ("CreateTaskPushNotificationConfig", None)
            }
            ("GET", ["extendedAgentCard"]) => ("GetExtendedAgentCard", None),
            _ => ("", None),
        };
        let params = match name {
            "" => {
                let why = format!("there is no {method} {path}");
                return Err(Fault::new(Kind::Method, why));
            }
            "SendMessage" | "SendStreamingMessage" => body?.0,
            _ => {
                if let Some(id) = id {
                    query.insert("id".to_owned(), json!(id));
                }
                query
            }
        };
        self.perform(name, params).await
    }

    /// Calls a method of the protocol.
    async fn perform(self, method: &str, params: Map<String, Value>) -> Result<Reply, Fault> {
        let version = header_text(&self.headers, VERSION_HEADER);
        if version.as_deref().is_some_and(|version| version.split('.').next() != Some("1")) {
            let why = format!("A2A-Version: only {VERSION} is supported");
            return Err(Fault::new(Kind::Version, why));
        }
        match method {
            "SendMessage" => self.send(&params).await,
            "SendStreamingMessage" => {
                let (task, _) = self.begin(&params).await?;
                Ok(Reply::Many(task.follow().boxed()))
            }
            "GetTask" => {
                let id = id_of(&params)?;
                stored::get(&self.caller()?, &id, &params).await.map(Reply::One)
            }
            "ListTasks" => stored::list(&self.caller()?, &params).await.map(Reply::One),
            "CancelTask" => self.cancel(&id_of(&params)?).await,
            "SubscribeToTask" => self.subscribe(&id_of(&params)?).await,
            "GetExtendedAgentCard" => {
                Err(Fault::new(Kind::NoExtendedCard, "there is no other card than the public one"))
            }
            name if name.contains("PushNotificationConfig") => {
                let why =
                    "push notifications are not supported; use a webhook of POST /api/agents/send";
                Err(Fault::new(Kind::PushNotSupported, why))
            }
            name => Err(Fault::new(Kind::Method, format!("there is no method {name:?}"))),
        }
    }

    async fn send(self, params: &Map<String, Value>) -> Result<Reply, Fault> {
        let (task, returns_at_once) = self.begin(params).await?;
        if !returns_at_once {
            task.ended().await;
        }
        Ok(Reply::One(json!({ "task": task.snapshot() })))
    }

    /// Starts the run of a message; also says whether the caller wants the task at once.
    async fn begin(&self, params: &Map<String, Value>) -> Result<(Arc<OpenTask>, bool), Fault> {
        let asked = ask::read(&self.role, &self.headers, params)?;
        let user = asked.request.user.clone();
        let request = asked.request.validate(&self.app, &self.trace).await?;
        let updates = RunStream::start(self.app.clone(), request, self.trace.clone()).await?;
        let task = self.open_tasks.begin(&self.app, user, self.role.clone(), updates).await?;
        Ok((task, asked.returns_at_once))
    }

    async fn cancel(self, id: &str) -> Result<Reply, Fault> {
        let caller = self.caller()?;
        let Some(task) = caller.open_task(id) else {
            stored::exists(&caller, id).await?;
            let why = "no run of this task is in flight in this instance of the daemon";
            return Err(Fault::new(Kind::TaskNotCancelable, why));
        };
        let _receipt = self.app.runs.cancel(&task.run_id);
        task.ended().await;
        Ok(Reply::One(task.snapshot()))
    }

    async fn subscribe(self, id: &str) -> Result<Reply, Fault> {
        let caller = self.caller()?;
        let Some(task) = caller.open_task(id) else {
            stored::exists(&caller, id).await?;
            let why = "no run of this task is in flight in this instance of the daemon";
            return Err(Fault::new(Kind::Unsupported, why));
        };
        Ok(Reply::Many(task.follow().boxed()))
    }

    /// Who reads tasks: the user, the role, and the backend as them.
    fn caller(&self) -> Result<Caller, Fault> {
        let user = header_text(&self.headers, USER_HEADER).unwrap_or_default();
        let protocol_request =
            ProtocolRequest { user, user_field: USER_HEADER, ..ProtocolRequest::default() };
        let role = known_role(&self.app, &self.role)?;
        let user =
            protocol_request.user().map_err(|why| ApiError::fields("invalid_payload", why))?;
        let client = self.app.backend.agent(user.as_str(), role.as_str());
        let client = client.map_err(|error| backend(&error))?;
        Ok(Caller {
            app: self.app.clone(),
            traceparent: self.trace.traceparent(),
            client: client.with_trace(&self.trace.traceparent()),
            open_tasks: self.open_tasks.clone(),
            user: user.as_str().to_owned(),
            role: role.as_str().to_owned(),
        })
    }
}

/// A client that reads tasks: its user, its role, and the backend as them.
struct Caller {
    app: App,
    traceparent: String,
    client: AgentClient,
    open_tasks: OpenTasks,
    user: String,
    role: String,
}

impl Caller {
    async fn capabilities(&self) -> Result<Arc<Capabilities>, Fault> {
        self.app.backend.capabilities(&self.traceparent).await.map_err(|error| backend(&error))
    }

    /// The user's task, where a run of it is in flight in this instance.
    fn open_task(&self, id: &str) -> Option<Arc<OpenTask>> {
        self.open_tasks.find(&(self.user.clone(), self.role.clone(), id.to_owned()))
    }
}

fn backend(error: &McError) -> Fault {
    ApiError::from(RunError::backend(error)).into()
}

fn id_of(params: &Map<String, Value>) -> Result<String, Fault> {
    let [id] = texts(params, ["id"])?;
    id.ok_or_else(|| Fault::new(Kind::Params, "id: is required"))
}

/// Text parameters; empty ones count as absent.
fn texts<const N: usize>(
    params: &Map<String, Value>,
    names: [&str; N],
) -> Result<[Option<String>; N], Fault> {
    let mut found = names.map(|_| None);
    for (name, text) in names.iter().zip(&mut found) {
        *text = match params.get(*name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()).filter(|text| !text.is_empty()),
            Some(_) => return Err(Fault::new(Kind::Params, format!("{name}: must be a string"))),
        };
    }
    Ok(found)
}

/// A number, or its digits as a string, as in a query.
fn number(params: &Map<String, Value>, name: &str) -> Result<Option<u32>, Fault> {
    let number = match params.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.parse().ok(),
        Some(value) => value.as_u64().and_then(|number| u32::try_from(number).ok()),
    };
    let wrong = || Fault::new(Kind::Params, format!("{name}: must be a whole number"));
    number.map(Some).ok_or_else(wrong)
}

fn flag(params: &Map<String, Value>, name: &str) -> bool {
    params.get(name).is_some_and(|value| *value == json!(true) || *value == json!("true"))
}
