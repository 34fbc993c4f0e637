//! MCP servers of `mcp.json`: kept connected, their tools listed and called.
//!
//! Each server has a task of its own that connects, lists its tools, looks again when the server
//! says that the list has changed, and connects anew after a failure. Whatever goes wrong with a
//! server costs its own tools and nothing else. No server gets a token of the backend.

mod answer;
mod connection;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use retry::Backoff;
use rmcp::model::{CallToolRequestParams, CallToolResponse, RequestMetaObject};
use rmcp::service::{Peer, RoleClient, ServiceError};
use serde_json::{Map, Value, json};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wombat_core::mcp_config::{McpConfig, ServerConfig};

use super::reply::ToolReply;
use connection::Connection;

/// How long a run waits for servers that have never been there.
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// How long a call waits for a server that is being connected again.
const CALL_WAIT: Duration = Duration::from_secs(5);

/// How long the list of tools may take.
const LIST_LIMIT: Duration = Duration::from_secs(30);

/// How often the list is asked for although nobody said that it changed: some servers never say,
/// and a server on the network that is gone says nothing either.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// The delays between attempts to connect.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// How long the servers may take to stop when the daemon does.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// The most tools of one server.
const MAX_TOOLS: usize = 1_000;

/// A tool as its server describes it.
#[derive(Debug, PartialEq)]
pub(super) struct McpTool {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) schema: Value,
}

/// The tools of one server.
pub(super) type McpTools = Arc<[Arc<McpTool>]>;

/// A server with its tools.
pub(super) type Listed = (Arc<McpServer>, McpTools);

/// All servers.
#[derive(Debug)]
pub(super) struct McpServers {
    http: reqwest::Client,
    workspace: PathBuf,
    running: Mutex<Running>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct Running {
    config: Arc<McpConfig>,
    servers: BTreeMap<String, Arc<McpServer>>,
}

/// A server, whether it is there at the moment or not.
#[derive(Debug)]
pub(super) struct McpServer {
    name: String,
    config: ServerConfig,
    state: watch::Sender<ServerState>,
    /// Somebody wants it now.
    wanted: Notify,
    stop: CancellationToken,
}

#[derive(Debug, Clone, Default)]
struct ServerState {
    /// The newest list; kept while the server is away, so that its calls fail in words.
    tools: Option<McpTools>,
    peer: Option<Peer<RoleClient>>,
    error: Option<String>,
    /// What it calls itself.
    about: Option<String>,
}

impl ServerState {
    fn is_settled(&self) -> bool {
        self.tools.is_some() || self.error.is_some()
    }
}

impl McpServers {
    /// None yet. Programs are started in `workspace`.
    pub(super) fn new(http: reqwest::Client, workspace: PathBuf) -> Self {
        Self {
            http,
            workspace,
            running: Mutex::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    /// The servers of a configuration with their tools. Starts and stops what it must; waits only
    /// for servers that are just being connected for the first time.
    pub(super) async fn get(&self, config: &Arc<McpConfig>) -> Vec<Listed> {
        let servers = self.reconcile(config);
        if servers.is_empty() {
            return Vec::new();
        }
        let first = async {
            for server in &servers {
                let mut state = server.state.subscribe();
                // The sender lives in the server.
                let _settled = state.wait_for(ServerState::is_settled).await.map(drop);
            }
        };
        let _in_vain = timeout(FIRST_WAIT, first).await;
        let listed = servers.into_iter().filter_map(|server| {
            let tools = server.state.borrow().tools.clone()?;
            Some((server, tools))
        });
        listed.collect()
    }

    /// Makes what runs what is configured.
    pub(super) fn reconcile(&self, config: &Arc<McpConfig>) -> Vec<Arc<McpServer>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&running.config, config) && !self.stop.is_cancelled() {
            running.config = config.clone();
            let mut before = std::mem::take(&mut running.servers);
            for (name, entry) in &config.servers {
                let Ok(wanted) = entry else { continue };
                let server = match before.remove(name) {
                    Some(server) if server.config == *wanted => server,
                    changed => {
                        if let Some(changed) = changed {
                            changed.stop.cancel();
                        }
                        self.start(name, wanted)
                    }
                };
                running.servers.insert(name.clone(), server);
            }
            for gone in before.into_values() {
                gone.stop.cancel();
            }
        }
        running.servers.values().cloned().collect()
    }

    fn start(&self, name: &str, config: &ServerConfig) -> Arc<McpServer> {
        let server = Arc::new(McpServer {
            name: name.to_owned(),
            config: config.clone(),
            state: watch::Sender::new(ServerState::default()),
            wanted: Notify::new(),
            stop: self.stop.child_token(),
        });
        let (kept, http, workspace) = (server.clone(), self.http.clone(), self.workspace.clone());
        self.tasks.spawn(async move { kept.keep(http, workspace).await });
        server
    }

    /// How each server is, for `/health`.
    pub(super) fn report(&self, config: &McpConfig, problems: &[(String, String)]) -> Value {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut report = Map::new();
        for (name, entry) in &config.servers {
            let mut told = match (entry, running.servers.get(name)) {
                (Err(why), _) => json!({ "status": "error", "error": why }),
                (Ok(_), None) => json!({ "status": "unchecked" }),
                (Ok(_), Some(server)) => server.report(),
            };
            let problems: Vec<_> = problems.iter().filter(|(of, _)| of == name).collect();
            if !problems.is_empty() {
                told["problems"] = problems.into_iter().map(|(_, what)| what.as_str()).collect();
            }
            report.insert(name.clone(), told);
        }
        Value::Object(report)
    }

    /// Stops them all and waits for the programs to end.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        if timeout(CLOSE_LIMIT, self.tasks.wait()).await.is_err() {
            tracing::warn!("some MCP servers did not stop in time");
        }
    }
}

impl McpServer {
    /// Its name in `mcp.json`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// How long a call may take.
    pub(super) fn timeout(&self) -> Duration {
        self.config.timeout
    }

    fn report(&self) -> Value {
        let state = self.state.borrow();
        let status = match (&state.error, &state.tools) {
            (Some(_), _) => "error",
            (None, Some(_)) => "ok",
            (None, None) => "connecting",
        };
        let mut report = json!({ "status": status });
        if let Some(tools) = &state.tools {
            report["tools"] = tools.len().into();
        }
        if let Some(error) = &state.error {
            report["error"] = error.as_str().into();
        }
        if let Some(about) = &state.about {
            report["server"] = about.as_str().into();
        }
        report
    }

    /// Keeps the server connected until it is no longer wanted.
    async fn keep(&self, http: reqwest::Client, workspace: PathBuf) {
        let mut failures = 0;
        loop {
            let started = Instant::now();
            let mut connection = None;
            let ended = tokio::select! {
                () = self.stop.cancelled() => None,
                why = self.serve(&http, &workspace, &mut connection) => Some(why),
            };
            self.state.send_modify(|state| state.peer = None);
            let last_words = match connection {
                Some(connection) => connection.close().await,
                None => None,
            };
            let Some(why) = ended else { return };
            self.fails(&why, last_words.as_deref());
            // One that worked for a while and stopped gets a fresh start.
            if started.elapsed() > LOOK_AGAIN {
                failures = 0;
            }
            failures += 1;
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = sleep(BACKOFF.delay(failures)) => {}
                // A run wants it; but never more often than once in a second.
                () = async { sleep(BACKOFF.min).await; self.wanted.notified().await } => {}
            }
        }
    }

    /// Connects and serves calls; comes back with why that ended.
    async fn serve(
        &self,
        http: &reqwest::Client,
        workspace: &std::path::Path,
        connection: &mut Option<Connection>,
    ) -> String {
        let connected = Connection::open(&self.config.transport, http, workspace, connection).await;
        let (peer, changed) = match connected {
            Ok(connected) => connected,
            Err(why) => return why,
        };
        loop {
            let tools = match timeout(LIST_LIMIT, peer.list_all_tools()).await {
                Ok(Ok(tools)) => tools,
                Ok(Err(error)) => return format!("its tools cannot be listed: {}", words(&error)),
                Err(_) => return "its tools cannot be listed: no answer in time".to_owned(),
            };
            self.lists(&peer, tools);
            let ended = async {
                match connection.as_mut() {
                    Some(connection) => connection.ended().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                why = ended => return why,
                () = changed.notified() => {}
                () = self.wanted.notified() => {}
                () = sleep(LOOK_AGAIN) => {}
            }
        }
    }

    fn lists(&self, peer: &Peer<RoleClient>, tools: Vec<rmcp::model::Tool>) {
        let tools: Vec<_> = tools
            .into_iter()
            .take(MAX_TOOLS)
            .map(|tool| {
                Arc::new(McpTool {
                    name: tool.name.into_owned(),
                    description: tool.description.map(Into::into).unwrap_or_default(),
                    schema: Value::Object((*tool.input_schema).clone()),
                })
            })
            .collect();
        let info = peer.peer_info();
        let about = info.as_ref().and_then(|info| info.server_info.as_ref());
        let about = about.map(|server| format!("{} {}", server.name, server.version));
        self.state.send_modify(|state| {
            let same = state.tools.as_ref().is_some_and(|known| known[..] == tools[..]);
            if state.peer.is_none() || state.error.is_some() || !same {
                tracing::info!(server = self.name, tools = tools.len(), "MCP server is there");
            }
            // The same list stays the same object, so that what is made from it stays too.
            if !same {
                state.tools = Some(tools.into());
            }
            state.peer = Some(peer.clone());
            state.error = None;
            state.about = about;
        });
    }

    /// Keeps why it is not there, for `/health`, which anybody may read: the words of the program
    /// itself are for the log alone.
    fn fails(&self, why: &str, last_words: Option<&str>) {
        let why = self.config.transport.hide_secrets(why);
        self.state.send_modify(|state| {
            if state.error.as_ref() != Some(&why) {
                let last_words = last_words.map(|words| self.config.transport.hide_secrets(words));
                tracing::warn!(server = self.name, last_words, "MCP server is not there: {why}");
            }
            state.error = Some(why);
        });
    }

    /// Calls a tool. The key tells a server that looks for it that a call is a repetition.
    pub(super) async fn call(
        &self,
        tool: &McpTool,
        arguments: &Value,
        key: &str,
        traceparent: Option<&str>,
    ) -> ToolReply {
        let Some(peer) = self.connected().await else {
            let why = self.state.borrow().error.clone().unwrap_or_default();
            return ToolReply::Rejected(json!({
                "error": format!("the MCP server {} is not there: {why}", self.name)
            }));
        };
        let mut params = CallToolRequestParams::new(tool.name.clone());
        params.arguments = arguments.as_object().cloned();
        let mut meta = RequestMetaObject::default();
        meta.0.insert("idempotencyKey".to_owned(), key.into());
        if let Some(traceparent) = traceparent {
            meta.0.insert("traceparent".to_owned(), traceparent.into());
        }
        params.meta = Some(meta);
        match peer.call_tool_once(params).await {
            Ok(CallToolResponse::Complete(result)) => answer::of_result(result),
            Ok(_) => ToolReply::Rejected(json!({
                "error": "the tool asks for more than a call can give, such as a person's input"
            })),
            Err(ServiceError::McpError(error)) => ToolReply::Rejected(json!({
                "error": error.message, "code": error.code.0
            })),
            Err(error) => {
                // Find out at once whether it is still there.
                self.wanted.notify_one();
                let why = self.config.transport.hide_secrets(&words(&error));
                ToolReply::Unclear(json!({
                    "error": format!("the MCP server {}: {why}", self.name)
                }))
            }
        }
    }

    /// The connection, once there is one.
    async fn connected(&self) -> Option<Peer<RoleClient>> {
        let known = self.state.borrow().peer.clone();
        if let Some(peer) = known.filter(|peer| !peer.is_transport_closed()) {
            return Some(peer);
        }
        self.wanted.notify_one();
        let mut state = self.state.subscribe();
        let there = state
            .wait_for(|state| state.peer.as_ref().is_some_and(|peer| !peer.is_transport_closed()));
        let state = timeout(CALL_WAIT, there).await.ok()?.ok()?;
        state.peer.clone()
    }
}

/// A failure with its cause, in one line.
fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_words = cause.to_string();
        if !words.contains(&cause_words) {
            words = format!("{words}: {cause_words}");
        }
        source = cause.source();
    }
    words.replace(['\n', '\r'], " ").chars().take(500).collect()
}
