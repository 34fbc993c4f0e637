//! A proxy between the dispatchers and the other programs that makes calls fail.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{Plan, Report};

/// The proxy.
pub(super) struct Faults {
    pub(super) url: String,
    backend: String,
    daemon: String,
    http: reqwest::Client,
    seed: u64,
    percent: u64,
    /// How often each call was made.
    made: Mutex<HashMap<String, u64>>,
    forwards: AtomicUsize,
    failed_forwards: AtomicUsize,
    acknowledgements: AtomicUsize,
    failed_acknowledgements: AtomicUsize,
}

/// At which point a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Before it is made.
    Lost,
    /// After it was made: the response is lost.
    Unheard,
}

impl Faults {
    pub(super) async fn start(
        plan: &Plan,
        backend: &str,
        daemon: &str,
    ) -> std::io::Result<Arc<Self>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let faults = Arc::new(Self {
            url: format!("http://{}", listener.local_addr()?),
            backend: backend.to_owned(),
            daemon: daemon.to_owned(),
            http: reqwest::Client::new(),
            seed: plan.seed,
            percent: plan.percent,
            made: Mutex::default(),
            forwards: AtomicUsize::default(),
            failed_forwards: AtomicUsize::default(),
            acknowledgements: AtomicUsize::default(),
            failed_acknowledgements: AtomicUsize::default(),
        });
        let router = Router::new().fallback(any(call)).with_state(Arc::clone(&faults));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(faults)
    }

    /// Adds what was counted to a report.
    pub(super) fn count(&self, report: &mut Report) {
        report.forwards = self.forwards.load(Ordering::Relaxed);
        report.failed_forwards = self.failed_forwards.load(Ordering::Relaxed);
        report.acknowledgements = self.acknowledgements.load(Ordering::Relaxed);
        report.failed_acknowledgements = self.failed_acknowledgements.load(Ordering::Relaxed);
    }

    /// Whether this call fails; depends on the seed and the call only.
    fn fault(&self, what: &str) -> Option<Fault> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let nth = made.entry(what.to_owned()).or_default();
        *nth += 1;
        let mut hasher = DefaultHasher::new();
        (self.seed, what, *nth).hash(&mut hasher);
        let dice = hasher.finish();
        let fails = dice % 100 < self.percent;
        fails.then_some(if (dice / 100).is_multiple_of(2) { Fault::Lost } else { Fault::Unheard })
    }
}

async fn call(
    State(faults): State<Arc<Faults>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path();
    let is_send = path == "/api/agents/send";
    let is_acknowledgement = path.ends_with("/deliver");
    let fault = if is_send {
        faults.forwards.fetch_add(1, Ordering::Relaxed);
        let message: Value = serde_json::from_slice(&body).unwrap_or_default();
        faults.fault(message["message"].as_str().unwrap_or_default())
    } else if is_acknowledgement {
        faults.acknowledgements.fetch_add(1, Ordering::Relaxed);
        faults.fault("acknowledgement")
    } else {
        None
    };
    if fault.is_some() {
        let counter =
            if is_send { &faults.failed_forwards } else { &faults.failed_acknowledgements };
        counter.fetch_add(1, Ordering::Relaxed);
    }
    if fault == Some(Fault::Lost) {
        return failure(500);
    }
    let upstream = if is_send { &faults.daemon } else { &faults.backend };
    let path_and_query = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = faults.http.request(method, format!("{upstream}{path_and_query}")).body(body);
    for (name, value) in &headers {
        if *name != header::HOST && *name != header::CONTENT_LENGTH {
            request = request.header(name, value);
        }
    }
    let answer = match request.send().await {
        Ok(answer) => answer,
        // As a load balancer says it that has nobody to ask.
        Err(error) if error.is_connect() => return failure(503),
        Err(_) => return failure(502),
    };
    if fault == Some(Fault::Unheard) {
        // To its end, so that the call has all its effects.
        let _ = answer.bytes().await;
        return failure(500);
    }
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut response = Response::new(Body::from_stream(answer.bytes_stream()));
    *response.status_mut() = status;
    for (name, value) in &headers {
        if *name != header::TRANSFER_ENCODING && *name != header::CONNECTION {
            response.headers_mut().append(name, value.clone());
        }
    }
    response
}

fn failure(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, axum::Json(json!({ "error": "as the plan says" }))).into_response()
}
