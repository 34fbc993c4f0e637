//! A backend in this process, and those who call it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mc_client::client::{AgentClient, InternalClient, McClient, RetryPolicy};
use mc_client::token::{AgentAuth, Algorithm, Key, TokenMinter, TokenVerifier};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wombat_mission_control::store::budgets::Nanos;
use wombat_mission_control::{BoardPassword, Config, RunError};

pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const INTERNAL: &str = "the-internal-token-of-the-tests";
pub(crate) const MC: &str = "/api/mission-control";

/// How long a backend may take to stop.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Backend {
    pub(crate) url: String,
    http: reqwest::Client,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), RunError>>,
    dir: TempDir,
}

/// What a test wants of its backend.
struct Options {
    board: bool,
    budget: Option<f64>,
    password: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { board: true, budget: None, password: None }
    }
}

impl Backend {
    pub(crate) async fn start() -> Self {
        Self::start_on(tempfile::tempdir().unwrap()).await
    }

    pub(crate) async fn without_page() -> Self {
        let options = Options { board: false, ..Options::default() };
        Self::start_in(tempfile::tempdir().unwrap(), options).await
    }

    /// With a limit on what each user's agents spend in a month.
    pub(crate) async fn with_budget(usd: f64) -> Self {
        let options = Options { budget: Some(usd), ..Options::default() };
        Self::start_in(tempfile::tempdir().unwrap(), options).await
    }

    /// With a password on the page.
    pub(crate) async fn with_password(password: &str) -> Self {
        let options = Options { password: Some(password.to_owned()), ..Options::default() };
        Self::start_in(tempfile::tempdir().unwrap(), options).await
    }

    /// On the database file that is in a folder.
    pub(crate) async fn start_on(dir: TempDir) -> Self {
        Self::start_in(dir, Options::default()).await
    }

    async fn start_in(dir: TempDir, options: Options) -> Self {
        let key = Key::Secret(SECRET.into());
        let config = Config {
            database: file(dir.path()),
            verifier: TokenVerifier::new(&key, Algorithm::Hs256).unwrap(),
            internal_token: Some(INTERNAL.into()),
            budget: options.budget.and_then(Nanos::of_usd),
            board: options.board,
            board_password: options
                .password
                .map(|password| BoardPassword::new(&password.into()).unwrap()),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(wombat_mission_control::run(listener, config, shutdown.clone()));
        let http = service::http::client_builder().no_proxy().build().unwrap();
        Self { url, http, shutdown, task, dir }
    }

    /// Stops, as a signal would make it.
    pub(crate) async fn stop(self) -> TempDir {
        self.shutdown.cancel();
        let stopped = tokio::time::timeout(PATIENCE, self.task).await;
        stopped.expect("the backend stops in time").unwrap().unwrap();
        self.dir
    }

    /// Stops, and starts anew on the same database file.
    pub(crate) async fn restart(self) -> Self {
        let dir = self.stop().await;
        Self::start_in(dir, Options::default()).await
    }

    /// The database itself, for what no call can bring about, such as the past.
    pub(crate) async fn database(&self) -> SqliteConnection {
        // It is there once the backend answers.
        send(self.nobody().raw(Method::GET, "/readyz")).await;
        let options = SqliteConnectOptions::new().filename(file(self.dir.path()));
        options.busy_timeout(PATIENCE).connect().await.unwrap()
    }

    /// Somebody who says nothing about who it is.
    pub(crate) fn nobody(&self) -> Caller {
        Caller { url: self.url.clone(), http: self.http.clone(), headers: HeaderMap::new() }
    }

    /// The client that the programs use, with a user's agent behind it.
    pub(crate) fn client(&self, user_id: &str, role: &str) -> AgentClient {
        let key = Key::Secret(SECRET.into());
        let minter = TokenMinter::new(&key, Algorithm::Hs256, Duration::from_secs(900)).unwrap();
        self.mc().agent(AgentAuth::new(Arc::new(minter), user_id, role).unwrap().into())
    }

    /// The client of the dispatcher and of other services.
    pub(crate) fn service(&self) -> InternalClient {
        self.mc().internal(INTERNAL.into())
    }

    fn mc(&self) -> McClient {
        McClient::new(&self.url, self.http.clone(), RetryPolicy::default())
    }

    pub(crate) fn agent(&self, user_id: &str, role: &str) -> Caller {
        let key = Key::Secret(SECRET.into());
        let minter = TokenMinter::new(&key, Algorithm::Hs256, Duration::from_secs(900)).unwrap();
        let token = minter.mint(user_id, role).unwrap().header();
        self.nobody().with("x-agent-token", token.to_str().unwrap())
    }

    pub(crate) fn internal(&self) -> Caller {
        self.nobody().with("x-internal-token", INTERNAL)
    }

    pub(crate) fn person(&self, user_id: &str) -> Caller {
        self.internal().with("x-on-behalf-of", user_id)
    }
}

pub(crate) fn file(dir: &Path) -> std::path::PathBuf {
    dir.join("mission-control.db")
}

#[derive(Clone)]
pub(crate) struct Caller {
    url: String,
    http: reqwest::Client,
    headers: HeaderMap,
}

impl Caller {
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    /// A path that begins with `/api`, or is the page's.
    pub(crate) fn raw(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).headers(self.headers.clone())
    }

    /// A path of the contract.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.raw(Method::GET, &format!("{MC}{path}"))).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        send(self.raw(Method::POST, &format!("{MC}{path}")).json(&body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        send(self.raw(Method::PUT, &format!("{MC}{path}")).json(&body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        send(self.raw(Method::DELETE, &format!("{MC}{path}"))).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        send(self.raw(Method::PATCH, &format!("{MC}{path}")).json(&body)).await
    }

    /// Makes a task and gives its id.
    pub(crate) async fn task(&self, title: &str) -> String {
        let task = self.post("/tasks", serde_json::json!({ "title": title })).await;
        task.ok()["id"].as_str().unwrap().to_owned()
    }
}

pub(crate) async fn send(request: reqwest::RequestBuilder) -> Answer {
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    let text = answer.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Answer { status, headers, text, body }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) body: Value,
}

impl Answer {
    /// The body of a success.
    #[track_caller]
    pub(crate) fn ok(&self) -> &Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        &self.body
    }

    /// Checks that it is an error of the contract's shape.
    #[track_caller]
    pub(crate) fn fails(&self, status: u16, code: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.body["code"], code, "{}", self.text);
        assert!(self.body["error"].as_str().is_some_and(|text| !text.is_empty()), "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/json");
    }

    #[track_caller]
    pub(crate) fn items(&self) -> &[Value] {
        self.ok()["items"].as_array().unwrap()
    }

    pub(crate) fn replayed(&self) -> bool {
        self.headers.get("idempotent-replayed").is_some_and(|value| value == "true")
    }
}

/// One field of each item, as text.
#[track_caller]
pub(crate) fn column<'a>(items: &'a [Value], name: &str) -> Vec<&'a str> {
    items.iter().map(|item| item[name].as_str().unwrap()).collect()
}
