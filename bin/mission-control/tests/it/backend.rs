//! A backend on a free port with a database of its own.

use std::path::Path;
use std::time::Duration;

use mc_client::token::{Algorithm, Key, TokenMinter, TokenVerifier};
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use wombat_mission_control::{Config, RunError, run};

pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const INTERNAL: &str = "internal-token";

pub(crate) struct Backend {
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
    dir: Option<TempDir>,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), RunError>>,
    _stop: DropGuard,
}

/// An answer, read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The body of a success.
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()
    }

    /// Status and code of an error in the contract's shape.
    pub(crate) fn error(&self) -> (u16, String) {
        let body = self.json();
        assert!(body["error"].as_str().is_some_and(|error| !error.is_empty()), "{self:?}");
        (self.status, body["code"].as_str().unwrap_or_default().to_owned())
    }
}

fn key() -> Key {
    Key::Secret(SECRET.to_owned().into())
}

/// A token as the daemon makes it.
pub(crate) fn token(user: &str, role: &str) -> String {
    let minter = TokenMinter::new(&key(), Algorithm::Hs256, Duration::from_secs(60)).unwrap();
    minter.mint(user, role).unwrap().header().to_str().unwrap().to_owned()
}

impl Backend {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut backend = Self::open(&dir.path().join("mc.db")).await;
        backend.dir = Some(dir);
        backend
    }

    pub(crate) async fn open(database: &Path) -> Self {
        let config = Config {
            database: database.to_owned(),
            verifier: TokenVerifier::new(&key(), Algorithm::Hs256).unwrap(),
            internal_token: Some(INTERNAL.to_owned().into()),
            board: true,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(run(listener, config, shutdown.clone()));
        let http =
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { url, http, dir: None, task, _stop: shutdown.clone().drop_guard(), shutdown }
    }

    /// Stops it in good order.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let path = if path.starts_with("/api/") {
            path.to_owned()
        } else {
            format!("/api/mission-control{path}")
        };
        self.http.request(method, format!("{}{path}", self.url))
    }

    pub(crate) fn agent(&self, user: &str, role: &str) -> Caller<'_> {
        Caller { backend: self, headers: vec![("x-agent-token", token(user, role))] }
    }

    pub(crate) fn person(&self, user: &str) -> Caller<'_> {
        let headers =
            vec![("x-internal-token", INTERNAL.to_owned()), ("x-on-behalf-of", user.to_owned())];
        Caller { backend: self, headers }
    }

    pub(crate) fn internal(&self) -> Caller<'_> {
        Caller { backend: self, headers: vec![("x-internal-token", INTERNAL.to_owned())] }
    }

    pub(crate) fn with(&self, headers: &[(&'static str, &str)]) -> Caller<'_> {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Caller { backend: self, headers }
    }
}

pub(crate) struct Caller<'a> {
    backend: &'a Backend,
    headers: Vec<(&'static str, String)>,
}

impl Caller<'_> {
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let mut request = self.backend.request(method, path);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        read(request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Some(&body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PATCH, path, Some(&body)).await
    }

    /// A new task's id.
    pub(crate) async fn task(&self, title: &str) -> String {
        self.post("/tasks", json!({ "title": title })).await.ok()["id"].as_str().unwrap().to_owned()
    }
}

pub(crate) async fn read(request: RequestBuilder) -> Answer {
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Answer { status, headers, text: answer.text().await.unwrap() }
}

/// The field of each item.
pub(crate) fn each(page: &Value, field: &str) -> Vec<String> {
    let items = page["items"].as_array().unwrap_or_else(|| panic!("no items: {page}"));
    items.iter().map(|item| item[field].as_str().unwrap_or_default().to_owned()).collect()
}
