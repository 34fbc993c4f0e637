//! A reverse proxy between a program and the servers that it calls. It can hold any request for
//! ever: before it is forwarded, or after the server has answered and before the response is
//! returned. It can also inject faults and hide optional features of a backend.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// At which point a request is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The server never sees it.
    Before,
    /// The server has processed it, and the response is not returned.
    After,
}

/// What is returned instead of the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This status with an error body. The server never sees the request.
    Status(u16),
    /// A success that is not JSON. The server never sees the request.
    Garbage,
    /// The first half of the server's response.
    Half,
}

/// A request that came through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
}

impl Passed {
    /// The kind of request: method and path with `*` for every id, and the names of the query.
    pub fn kind(&self) -> String {
        let (path, query) = self.path.split_once('?').unwrap_or((&self.path, ""));
        let is_id = |part: &str| {
            part.len() >= 32 && part.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
        };
        let parts: Vec<_> =
            path.split('/').map(|part| if is_id(part) { "*" } else { part }).collect();
        let names: Vec<_> =
            query.split('&').map(|pair| pair.split('=').next().unwrap_or_default()).collect();
        format!("{} {}?{}", self.method, parts.join("/"), names.join("&"))
    }
}

#[derive(Debug, Default)]
struct Shared {
    passed: Vec<Passed>,
    stop_at: Option<(usize, Side)>,
    failing: Option<(String, Fault)>,
    holding: Option<(String, Side)>,
    hidden: Vec<String>,
}

/// The feature of the contract that an endpoint belongs to.
fn feature(method: &Method, path: &str) -> Option<&'static str> {
    let rest = path.strip_prefix("/api/mission-control").unwrap_or(path);
    let begins = |prefix: &str| rest.starts_with(prefix);
    Some(match method.as_str() {
        "GET" if begins("/tasks/") => "tasks_get",
        "PATCH" if begins("/tasks/") => "tasks_update",
        "GET" if begins("/messages?") && rest.contains("idempotency_key=") => "message_lookup",
        "GET" if begins("/messages") => "messages_list",
        "GET" if begins("/documents") => "documents_list",
        _ if begins("/notifications") => "notifications",
        _ if begins("/runs/") => "run_journal",
        _ if begins("/tool-requests") => "tool_requests",
        _ if begins("/sessions/") => "session_leases",
        _ if begins("/budget") || begins("/usage") => "budgets",
        _ if begins("/api/tools") => "tools",
        _ => return None,
    })
}

/// Removes hidden features from a backend's capabilities.
fn without(capabilities: &[u8], hidden: &[String]) -> Vec<u8> {
    let mut body: serde_json::Value = serde_json::from_slice(capabilities).unwrap_or_default();
    if let Some(features) = body["features"].as_object_mut() {
        features.retain(|name, _| !hidden.contains(name));
    }
    if let Some(features) = body["features_list"].as_array_mut() {
        features.retain(|name| !hidden.iter().any(|hidden| *name == **hidden));
    }
    body.to_string().into_bytes()
}

/// The proxy. Clones share their counts and faults.
#[derive(Debug, Clone)]
pub struct Gate {
    shared: Arc<Mutex<Shared>>,
    reached: watch::Sender<bool>,
    released: watch::Sender<usize>,
    http: reqwest::Client,
}

#[derive(Clone)]
struct Way {
    gate: Gate,
    target: Arc<str>,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// A gate that forwards everything.
    pub fn new() -> Self {
        let reached = watch::Sender::new(false);
        let released = watch::Sender::new(0);
        Self { shared: Arc::default(), reached, released, http: reqwest::Client::new() }
    }

    /// Starts to listen in front of a server, and returns the URL to use instead.
    pub async fn to(&self, target: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let way = Way { gate: self.clone(), target: target.trim_end_matches('/').into() };
        let app = Router::new().fallback(pass).with_state(way);
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    }

    /// Starts to count anew, and holds the request with this number (from 0), or none.
    pub fn arm(&self, stop_at: Option<(usize, Side)>) {
        let mut shared = self.lock();
        shared.passed.clear();
        shared.stop_at = stop_at;
        shared.failing = None;
        shared.holding = None;
        drop(shared);
        self.reached.send_replace(false);
    }

    /// Starts to count anew; all requests of this kind ([`Passed::kind`]) get this fault.
    pub fn fail(&self, kind: &str, fault: Fault) {
        self.arm(None);
        self.lock().failing = Some((kind.to_owned(), fault));
    }

    /// Holds all requests of this kind ([`Passed::kind`]) from now on, until [`Gate::release`].
    pub fn hold(&self, kind: &str, side: Side) {
        self.arm(None);
        self.lock().holding = Some((kind.to_owned(), side));
    }

    /// Lets the requests of [`Gate::hold`] go on.
    pub fn release(&self) {
        self.lock().holding = None;
        self.released.send_modify(|times| *times += 1);
    }

    /// Hides features of a backend: removed from its capabilities, and 404 at their endpoints.
    pub fn hide(&self, features: &[&str]) {
        self.lock().hidden = features.iter().map(|name| (*name).to_owned()).collect();
    }

    /// Waits until the request to be held has arrived.
    pub async fn reached(&self) {
        let mut reached = self.reached.subscribe();
        let _never_closed = reached.wait_for(|reached| *reached).await;
    }

    /// The requests so far, including the held one.
    pub fn passed(&self) -> Vec<Passed> {
        self.lock().passed.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().expect("no test has failed here")
    }

    /// Waits while requests of this kind are held.
    async fn wait(&self, kind: &str, side: Side) {
        let mut released = self.released.subscribe();
        let is_held = |shared: &Shared| {
            shared.holding.as_ref().is_some_and(|(held, at)| (&**held, *at) == (kind, side))
        };
        while is_held(&self.lock()) {
            self.reached.send_replace(true);
            let _never_closed = released.changed().await;
        }
    }

    /// Never returns when this request is to be held.
    async fn stop(&self, at: usize, side: Side) {
        let stops = self.lock().stop_at == Some((at, side));
        if stops {
            self.reached.send_replace(true);
            std::future::pending::<()>().await;
        }
    }
}

async fn pass(
    State(way): State<Way>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let (at, kind, hidden, fault) = {
        let mut shared = way.gate.lock();
        let this = Passed { method: method.clone(), path: path.clone() };
        let kind = this.kind();
        let failing = shared.failing.as_ref();
        let fault = failing.filter(|(failing, _)| *failing == kind).map(|(_, fault)| *fault);
        shared.passed.push(this);
        (shared.passed.len() - 1, kind, shared.hidden.clone(), fault)
    };
    match fault {
        Some(Fault::Status(code)) => {
            let mut response = Response::new(Body::from("{\"error\":\"planted\"}"));
            *response.status_mut() = StatusCode::from_u16(code).expect("a status");
            return response;
        }
        Some(Fault::Garbage) => {
            let mut response = Response::new(Body::from("<html>planted</html>"));
            let html = axum::http::HeaderValue::from_static("text/html");
            response.headers_mut().insert("content-type", html);
            return response;
        }
        Some(Fault::Half) | None => {}
    }
    if feature(&method, &path).is_some_and(|name| hidden.iter().any(|hidden| hidden == name)) {
        return status(StatusCode::NOT_FOUND);
    }
    way.gate.stop(at, Side::Before).await;
    way.gate.wait(&kind, Side::Before).await;
    let mut headers = headers;
    headers.remove("host");
    let call = way.gate.http.request(method, format!("{}{path}", way.target)).headers(headers);
    let answer = match call.body(body).send().await {
        Ok(answer) => answer,
        Err(_) => return status(StatusCode::BAD_GATEWAY),
    };
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        if name != "transfer-encoding" && name != "content-length" {
            response = response.header(name, value);
        }
    }
    let Ok(mut bytes) = answer.bytes().await else { return status(StatusCode::BAD_GATEWAY) };
    if path.ends_with("/capabilities") && !hidden.is_empty() {
        bytes = without(&bytes, &hidden).into();
    }
    way.gate.stop(at, Side::After).await;
    way.gate.wait(&kind, Side::After).await;
    if fault == Some(Fault::Half) {
        let half = bytes.slice(..bytes.len() / 2);
        let pieces = [Ok(half), Err(std::io::Error::other("planted"))];
        let body = Body::from_stream(futures::stream::iter(pieces));
        return response.body(body).unwrap_or_else(|_| status(StatusCode::BAD_GATEWAY));
    }
    response.body(Body::from(bytes)).unwrap_or_else(|_| status(StatusCode::BAD_GATEWAY))
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
